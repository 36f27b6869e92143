"""The page of claims says what the cells and the records say, and no claim stands there without a check that is alive."""

import ast
import copy
import shutil
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest

from pixelcnn_edu.ladder import read_scores
from tools import claims

BOOK = Path(__file__).resolve().parent.parent / "book"
CLAIMS = tomllib.loads((BOOK / "claims.toml").read_text())["claims"]
CHECKS = claims.checks(BOOK)
each_claim = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])


def test_the_page_is_what_the_tool_makes():
    assert (BOOK / "claims.md").read_text() == claims.page(), "run python tools/claims.py"


def test_every_claim_has_a_check_and_every_check_a_claim():
    ids = [claim["id"] for claim in CLAIMS]
    assert len(ids) == len(set(ids))
    assert set(CHECKS) == {claim["id"] for claim in CLAIMS if "ladder" not in claim} | {"ladder"}


@each_claim
def test_a_claim_says_what_it_is(claim):
    assert set(claim) <= {"id", "says", "paper", "status", "shows", "of", "ladder", "supported_by"}
    assert claim["says"].endswith(".")
    assert claim["paper"]
    assert ("ladder" in claim) != ("status" in claim)
    assert claim.get("status", "proved") in claims.STATUSES


@each_claim
def test_a_check_can_fail(claim):
    """It asserts something, in the cell that prints or in the folded one behind it."""
    cells = CHECKS["ladder" if "ladder" in claim else claim["id"]]
    assert any("assert" in cell.source for cell in cells)
    assert all(cell.section for cell in cells)


def test_the_page_and_the_chapter_compare_the_same_rungs():
    """None is left out of either because of what came out."""
    cells = nbformat.read(next(BOOK.glob("12-*.ipynb")), as_version=4).cells
    (table,) = (cell.source for cell in cells if cell.source.startswith("claims = {"))
    chapter = ast.literal_eval(table.removeprefix("claims = "))
    assert sorted(chapter.values()) == sorted(tuple(claim["ladder"]) for claim in CLAIMS if "ladder" in claim)


@pytest.fixture
def book(tmp_path):
    """A copy of all that the page is made of."""
    for path in [BOOK / "claims.toml", *BOOK.glob("[0-9]*.ipynb")]:
        shutil.copy(path, tmp_path)
    shutil.copytree(BOOK / "runs" / "ladder", tmp_path / "runs" / "ladder")
    return tmp_path


def test_a_cell_that_loses_its_tag_or_prints_something_else_is_noticed(book):
    path = next(book.glob("04-*.ipynb"))
    original = nbformat.read(path, as_version=4)
    for damage in ("tag", "output"):
        notebook = copy.deepcopy(original)
        (cell,) = (cell for cell in notebook.cells if "claim-bins-sum" in cell.metadata.get("tags", []))
        if damage == "tag":
            cell.metadata.tags.remove("claim-bins-sum")
        else:
            cell.outputs[0].text = "with 1/255 they add up to 2\n"
        nbformat.write(notebook, path)
        with pytest.raises((KeyError, ValueError), match="bins-sum"):
            claims.page(book)


def test_the_status_of_a_rung_follows_its_record(book):
    claim = {"id": "x", "ladder": ["full", "other"]}
    full = read_scores(book / "runs" / "ladder")["full"]
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(full))
    for difference, found in ((1.0, "measured at reduced size"), (-1.0, "not reproduced"), (0.0, "open")):
        scores = {"full": full, "full-seed-1": full + 0.01, "other": full + difference + noise}
        assert claims.ladder_status(claim, scores)[0] == found
    assert claims.ladder_status({**claim, "supported_by": ["open"]}, scores)[0] == "measured at reduced size"
    assert claims.ladder_status(claim, {"full": full}) == ("not trained yet", "missing: other")
