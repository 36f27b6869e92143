"""Estimate how long each section takes to read, for `book/teachers.md`: 130 words and 30 lines of code a minute.

usage: minutes.py      writes the line "**Minutes to read.**" of every chapter's part
"""

import math
import re
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parent.parent / "book"
WORDS, LINES = 130, 30  # a minute


def minutes(path):
    """Minutes a numbered section of a chapter, rounded up: a dict such as {"4.1": 5}."""
    found, section = {}, None
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE):
                if heading := re.match(r"## (?:(\d+\.\d+) )?", part):
                    section = heading.group(1)  # None for a section without a number, such as "Further reading"
                    found.update({section: 0} if section else {})
                if section:
                    found[section] += len(part.split()) / WORDS
        elif section and "solution" not in cell.metadata.get("tags", []):
            found[section] += len([line for line in cell.source.splitlines() if line.strip()]) / LINES
    return {section: math.ceil(time) for section, time in found.items()}


def line(path):
    """The line of the chapter's part of the page."""
    listed = ", ".join(f"{section} {time}" for section, time in minutes(path).items())
    return f"- **Minutes to read.** {listed}."


def main():
    page = BOOK / "teachers.md"
    text = page.read_text()
    for path in sorted(BOOK.glob("[0-9][0-9]-*.ipynb")):
        heading = re.search(rf"^### Chapter {int(path.name[:2])}: .*\n\n(- \*\*Minutes to read.*\n)?", text, re.MULTILINE)
        text = text[: heading.end(0)].removesuffix(heading.group(1) or "") + line(path) + "\n" + text[heading.end(0) :]
    page.write_text(text)


if __name__ == "__main__":
    main()
