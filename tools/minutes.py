"""Estimate how long each section takes to read, for `book/teachers.md`: 130 words and 30 lines of code a minute.

usage: minutes.py      writes the line "**Minutes to read.**" of every chapter's part, and the table's columns Read and Work
"""

import math
import re
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parent.parent / "book"
WORDS, LINES = 130, 30  # a minute


def minutes(path):
    """Minutes a numbered section of a chapter, rounded up: a dict such as {"4.1": 5}."""
    return {section: math.ceil(time) for section, time in _times(path).items() if section}


def columns(path):
    """The minutes to read a chapter and to work through it, in fives, as two columns of the page's table.

    The work adds three minutes for each "Predict first", five for the three questions, and 75 for the three exercises.
    """
    read = sum(_times(path).values())
    guesses = sum("Predict first" in cell.source for cell in nbformat.read(path, as_version=4).cells)
    work = read + 3 * guesses + 5 + 75
    return " | ".join(f"{5 * math.ceil(time / 5)}" for time in (read, work))


def _times(path):
    """Minutes a numbered section of a chapter, and under None those of all the rest: its beginning, "Further reading"."""
    found, section = {None: 0}, None
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE):
                if heading := re.match(r"## (?:(\d+\.\d+) )?", part):
                    section = heading.group(1)
                    found.setdefault(section, 0)
                found[section] += len(part.split()) / WORDS
        elif not {"solution", "setup"} & set(cell.metadata.get("tags", [])):
            found[section] += len([line for line in cell.source.splitlines() if line.strip()]) / LINES
    return found


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
        row = rf"^(\| {int(path.name[:2])}\. .* \| .* \| )\d+ \| \d+( \| \d+ s \|)$"
        text = re.sub(row, rf"\g<1>{columns(path)}\g<2>", text, flags=re.MULTILINE)
    page.write_text(text)


if __name__ == "__main__":
    main()
