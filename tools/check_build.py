"""Is the built book whole? Fails unless the front page and the page of every entry of the table of contents are there.

usage: check_build.py [ROOT]

Jupyter Book can end without an error and without a book, for instance when another major version of it is installed.
"""

import sys
from pathlib import Path

import yaml


def toc_entries(toc):
    """The documents that a table of contents names, the root first, as paths without ending."""
    here = [toc[key] for key in ("root", "file") if key in toc]
    children = [child for key in ("parts", "chapters", "sections") for child in toc.get(key, [])]
    return here + [entry for child in children for entry in toc_entries(child)]


def main(root="."):
    root = Path(root)
    html = root / "_build" / "html"
    toc = yaml.safe_load((root / "book" / "_toc.yml").read_text())
    pages = [html / "index.html", *(html / f"{entry}.html" for entry in toc_entries(toc))]
    missing = [str(page) for page in pages if not page.exists()]
    if missing:
        sys.exit("the build has left out " + ", ".join(missing))
    print(f"All {len(pages) - 1} pages are there. Open {pages[0]} in a browser, or run make serve.")


if __name__ == "__main__":
    main(*sys.argv[1:])
