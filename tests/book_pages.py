"""The names of the book's pages, and the screens on which tests look at them."""

from pathlib import Path

import yaml

from tools.check_build import toc_entries

ROOT = Path(__file__).resolve().parent.parent
PAGES = toc_entries(yaml.safe_load((ROOT / "book" / "_toc.yml").read_text()))
CHAPTERS = [page for page in PAGES if page[:2].isdigit()]
PHONE, LAPTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
