"""Make the page of claims, `book/claims.md`, from `book/claims.toml`, the cells that check them, and the recorded ladder.

usage: claims.py
"""

import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbformat

from pixelcnn_edu.ladder import compare, read_scores, spread, verdict

ROOT = Path(__file__).resolve().parent.parent
STATUSES = ("proved", "measured", "measured at reduced size", "not reproduced", "out of reach here")
HEAD = """# What the paper claims, and what we found

Every claim of the paper that this book looks at, in our words, with the section of the paper {cite}`salimans2017pixelcnnpp`.
*Checked in* leads to the chapter whose section holds the check: run it, change it, and try to break the claim.

- **Proved**: a cell shows it, exactly or by counting.
- **Measured**: a cell measures it on data.
- **Measured at reduced size**: measured on networks a hundred times smaller than the paper's, or smaller still.
- **Not reproduced**: at that size we found the opposite. The number says what.
- **Out of reach here**: it needs the full size, which we have not trained.
- **Open**: measured, and the difference is no larger than what chance or another seed makes.

Differences between two rungs of the ladder are what leaving the change out costs, with two standard errors over the
10,000 test images (section 12.1). A claim that a change does no harm is supported by a difference that is open, too.
{counts}

| Claim | Paper | Checked in | Status | What the check says |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Check:
    """A cell that checks a claim: the page and the section it stands in, its source, and what it has printed."""

    page: str
    section: str
    source: str
    printed: str


def checks(book):
    """All cells with a tag "claim-<id>": a dict of lists by id, in the order of the chapters."""
    found = {}
    for path in sorted(book.glob("[0-9][0-9]-*.ipynb")):
        section = ""
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                section = (re.findall(r"^## (\d+\.\d+) ", cell.source, re.MULTILINE) or [section])[-1]
                continue
            printed = "".join(output.get("text", "") for output in cell.outputs)
            for tag in cell.metadata.get("tags", []):
                if tag.startswith("claim-"):
                    found.setdefault(tag.removeprefix("claim-"), []).append(Check(path.stem, section, cell.source, printed))
    return found


def status(claim, cells, scores):
    """What is known of a claim, and the number that says so. Raises ValueError where the check does not show it."""
    if "ladder" in claim:
        return ladder_status(claim, scores)
    if "shows" not in claim:
        return claim["status"], ""
    for cell in cells:
        if found := re.search(claim["shows"], cell.printed):
            return claim["status"], re.sub(r"\s+", " ", f"{claim.get('of', '')} {found.group()}").strip()
    raise ValueError(f"no cell with the tag claim-{claim['id']} prints {claim['shows']!r}")


def ladder_status(claim, scores):
    """The verdict on a pair of rungs, with the change and without it."""
    with_it, without = claim["ladder"]
    if missing := [name for name in claim["ladder"] if name not in scores]:
        return "not trained yet", f"missing: {', '.join(missing)}"
    difference, error = compare(scores[with_it], scores[without])
    word = verdict(difference, error, spread(scores))
    number = f"{without} less {with_it}: {difference:+.4f} ± {2 * error:.4f} bits/dim"
    if word in claim.get("supported_by", ["holds"]):
        return "measured at reduced size", number
    return ("open" if word == "open" else "not reproduced"), number


def page(book=ROOT / "book"):
    """The text of the page."""
    claims = tomllib.loads((book / "claims.toml").read_text())["claims"]
    cells, scores = checks(book), read_scores(book / "runs" / "ladder")
    rows, counts = [], Counter()
    for claim in claims:
        key = "ladder" if "ladder" in claim else claim["id"]
        found, number = status(claim, cells[key], scores)
        counts[found] += 1
        places = ", ".join(dict.fromkeys(f"{{doc}}`{cell.section} <{cell.page}>`" for cell in cells[key]))
        rows.append(f"| {claim['says']} | {claim['paper']} | {places} | {found} | {number} |")
    listed = ", ".join(f"{counts[name]} {name}" for name in (*STATUSES, "open", "not trained yet") if name in counts)
    return HEAD.replace("{counts}", f"So far: {listed}.") + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (ROOT / "book" / "claims.md").write_text(page())
