"""The book's pages: their names, how they are built, and the screens on which tests look at them."""

import subprocess
import sys
from pathlib import Path

import yaml

from tools.check_build import toc_entries

ROOT = Path(__file__).resolve().parent.parent
PAGES = toc_entries(yaml.safe_load((ROOT / "book" / "_toc.yml").read_text()))
CHAPTERS = [page for page in PAGES if page[:2].isdigit()]
PHONE, LAPTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}


def build(folder, *options):
    """Build the copy of the sources in `folder`; fail with the end of what Jupyter Book says where it does not succeed."""
    command = [Path(sys.executable).parent / "jupyter-book", "build", *options, "book/"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
