"""Slides from the tagged cells: every chapter has some, each shows something and fits on a screen, without a network."""

import re
from collections import defaultdict

import nbformat
import pytest
from book_pages import CHAPTERS, ROOT

from tools.slides import Slides, export

SCREEN = {"width": 1280, "height": 720}
# Go to each slide, with all that waits for a click shown; what lies outside the slide, and pictures too small to read.
UNFIT = """() => {
    document.querySelectorAll(".fragment").forEach(e => e.classList.add("visible"))
    const unfit = []
    for (let place = 0; place < Reveal.getTotalSlides(); place++) {
        Reveal.slide(place)
        const slide = Reveal.getCurrentSlide(), edge = slide.getBoundingClientRect(), title = slide.textContent.slice(0, 40)
        for (const e of slide.querySelectorAll(":not(aside, aside *, mjx-container *, svg *)")) {
            const box = e.getBoundingClientRect()
            if (box.width && (box.bottom > edge.bottom + 1 || box.right > edge.right + 1))
                unfit.push([place, title, e.outerHTML.slice(0, 80)])
        }
        for (const e of slide.querySelectorAll("figure img"))
            if (Math.min(e.clientWidth / e.naturalWidth, e.clientHeight / e.naturalHeight) < 0.75)
                unfit.push([place, title, "a picture made small"])
    }
    return unfit
}"""


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Chapter -> the file of its slides."""
    return {file.stem: file for file in export(tmp_path_factory.mktemp("slides"))}


def read(chapter):
    return nbformat.read(ROOT / "book" / f"{chapter}.ipynb", as_version=4)


def sections(cells):
    """The slides of some cells, with any number or name for every label."""
    return Slides(nbformat.v4.new_notebook(cells=cells), defaultdict(str), defaultdict(str)).sections


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_slides_from_its_question_to_its_claims(chapter):
    slides = sections(read(chapter).cells)
    assert 6 <= len(slides) <= 14
    assert len(slides) >= sum("slide" in cell.metadata.get("tags", []) for cell in read(chapter).cells), "one shows nothing"
    assert sum("<img" in shown for _, shown, _ in slides) >= 3
    assert any("<b>Predict first</b>" in shown for _, shown, _ in slides)
    assert any("What you can now claim" in heading for heading, _, _ in slides)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_tagged_cell_has_something_to_show(chapter):
    for cell in read(chapter).cells:
        if "slide" in cell.metadata.get("tags", []) or "same-slide" in cell.metadata.get("tags", []):
            assert {"setup", "solution"}.isdisjoint(cell.metadata.tags)
            cell.metadata.tags = ["slide"]
            assert sections([cell]) or re.search("^#", cell.source, re.MULTILINE), f"only prose: {cell.source}"


def test_the_slides_of_a_chapter_hold_its_pictures_formulas_and_notes(slides):
    page = slides["02-causal-convolutions"].read_text()
    assert re.search(r"<figcaption>Fig\. \d+: What a deep stack of masked 3x3 convolutions sees", page)
    assert re.search(r'<img alt="[A-Z][^"]{30,}" src="data:image/png;base64,[\w+/=\n]{1000,}"', page)
    assert r"\tag{2}" in page
    assert "rf-explorer" in page, "an interactive figure"
    assert re.search(r'<aside class="notes"><p>Chapter 1 read an image number by number', page)
    assert "{numref}" not in page
    assert ":::" not in page


def test_an_answer_waits_for_a_click_and_so_does_all_after_a_question():
    question = ":::{admonition} Predict first\n:class: important\nHow many?\n:::"
    answer = ":::{dropdown} Answer\nNine.\n:::\n\n**Claim.** It is nine."
    source = f"## 1.1 A section\n\nAll prose.\n\n{question}\n\n{answer}"
    cell = nbformat.v4.new_markdown_cell(source, metadata={"tags": ["slide"]})
    ((heading, shown, notes),) = sections([cell])
    assert "1.1 A section" in heading
    assert shown.index("How many?") < shown.index("fragment") < shown.index("Nine.")
    assert shown.count("fragment") == 2
    assert "All prose." in notes
    assert "All prose." not in shown


def test_a_heading_with_nothing_but_prose_is_no_slide():
    cells = [nbformat.v4.new_markdown_cell("## 1.1 A section\n\nAll prose.", metadata={"tags": ["slide"]})]
    assert not sections(cells)
    cells.append(nbformat.v4.new_code_cell("1 + 1", metadata={"tags": ["same-slide"]}))
    assert len(sections(cells)) == 1


def test_a_role_that_slides_do_not_know_is_refused():
    cell = nbformat.v4.new_markdown_cell("**Claim.** {unknown}`x`", metadata={"tags": ["slide"]})
    with pytest.raises(ValueError, match="no role 'unknown'"):
        sections([cell])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_slide_fits_on_a_screen_and_needs_no_network(visit, slides, chapter):
    tab = visit(slides[chapter].as_uri(), SCREEN)
    tab.wait_for_function("Reveal.isReady()")
    assert not tab.strangers
    assert not tab.complaints
    assert not tab.evaluate("document.querySelectorAll('mjx-merror, [data-mjx-error]').length")
    assert not tab.evaluate(UNFIT)
