"""Tell the book where it lives: change the repository's address everywhere it stands.

usage: set_repository.py https://github.com/OWNER/NAME

The setting is `repository.url` in _config.yml. The Colab badge and the install line of every notebook, the README and the
other texts repeat it, and are changed with it. GitHub only, because Colab opens notebooks from there.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ("_config.yml", "*.md", "CITATION.cff", "pyproject.toml", "book/*.md", "book/*.ipynb", "drafts/*.md")
ADDRESS = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
SETTING = re.compile(r"^repository:\n  url: (\S+)", re.MULTILINE)


def current(root):
    """The repository that _config.yml names, as OWNER/NAME."""
    return ADDRESS.fullmatch(SETTING.search((root / "_config.yml").read_text())[1])[1]


def set_repository(url, root=ROOT):
    """Replace the old address by `url`; return the files that changed. Raises ValueError for another kind of address."""
    new = ADDRESS.fullmatch(url)
    if not new:
        raise ValueError(f"the address must look like https://github.com/OWNER/NAME, got {url}")
    mention = re.compile(rf"(github(?:\.com)?/){re.escape(current(root))}(?![\w-])")  # github/ in Colab's addresses
    changed = []
    for path in sorted(path for pattern in TEXTS for path in root.glob(pattern)):
        old = path.read_text(encoding="utf-8")
        text = mention.sub(rf"\g<1>{new[1]}", old)
        if text != old:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        for file in set_repository(sys.argv[1]):
            print(file.relative_to(ROOT))
    except ValueError as error:
        sys.exit(str(error))
