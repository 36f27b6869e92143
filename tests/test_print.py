"""A chapter on paper: whole, unfolded, nothing wider than the sheet, and the same by the book's print and by a reader's."""

import shutil
import unicodedata

import pytest
from book_pages import ROOT, build
from pypdf import PdfReader

from tools.print_book import print_page

CHAPTER = "02-causal-convolutions"
A4 = (595, 842)  # points
# What the right edge of the sheet would cut, and what would be cut inside a box that scrolls on a screen.
TOO_WIDE = """() => [...document.querySelectorAll("article *")]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1
        || e.matches("pre, .text_html, mjx-container[display]") && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def one_page(tmp_path_factory):
    """The front page and a chapter, built as one page in the way of make pdf."""
    copy = tmp_path_factory.mktemp("print")
    shutil.copy(ROOT / "_config.yml", copy)
    shutil.copytree(ROOT / "book", copy / "book", ignore=shutil.ignore_patterns("runs", "*.ipynb"))
    shutil.copy(ROOT / "book" / f"{CHAPTER}.ipynb", copy / "book")
    (copy / "book" / "_toc.yml").write_text(f"format: jb-book\nroot: intro\nchapters:\n- file: {CHAPTER}\n")
    build(copy, "--builder", "singlehtml")
    return copy / "_build" / "singlehtml" / "intro.html"


@pytest.fixture(scope="module")
def tab(browser, one_page):
    """The page in the dark theme, as a reader may have it; paper is white all the same."""
    tab = browser.new_page(color_scheme="dark")
    tab.goto(one_page.as_uri())
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def pdf(tab, one_page, tmp_path_factory):
    file = tmp_path_factory.mktemp("pdf") / "chapter.pdf"
    print_page(tab, one_page.as_uri(), file)
    return PdfReader(file)


def text(pages):
    # Some fonts write "fl" as one sign, and which fonts there are differs from machine to machine.
    return unicodedata.normalize("NFKC", "\n".join(page.extract_text() for page in pages))


def titles(outline):
    return [title for entry in outline for title in (titles(entry) if isinstance(entry, list) else [entry.title])]


def test_a_chapter_is_printed_to_its_end_on_a4(pdf):
    assert 12 <= len(pdf.pages) <= 30
    for page in pdf.pages:
        assert (page.mediabox.width, page.mediabox.height) == pytest.approx(A4, abs=1)
    assert "Further reading" in text(pdf.pages[-2:])


def test_a_chapter_begins_on_a_sheet_of_its_own(pdf):
    (first,) = [page.extract_text() for page in pdf.pages if "About 40 seconds on a CPU" in page.extract_text()]
    assert first.lstrip().startswith("2. Causal convolutions")


def test_the_outline_leads_to_every_section(pdf):
    sections = [title.split()[0] for title in titles(pdf.outline) if title.startswith("2.")]
    assert sections == ["2.", *(f"2.{number}" for number in range(1, len(sections)))]
    assert len(sections) > 5


def test_what_is_folded_on_the_page_is_open_on_paper(pdf):
    printed = text(pdf.pages)
    assert "def blind_spot_size(row, column, size):\n    # k rows up" in printed, "a solution"
    in_one_line = " ".join(printed.split())  # where lines break is the font's affair
    assert "So information flows from vertical to horizontal, and not back" in in_one_line, "an answer"
    assert "from pixelcnn_edu.probes import blind_spot" in printed, "the code of a picture"
    assert "Show code cell" not in printed
    assert "Hide code cell" not in printed


def test_links_stay_inside_the_print_or_lead_to_the_web(pdf):
    links = [link.get_object() for page in pdf.pages for link in page.get("/Annots", []) if "/A" in link.get_object()]
    targets = [link["/A"]["/URI"] for link in links if "/URI" in link["/A"]]
    assert targets
    assert all(target.startswith("https://") for target in targets)


def test_the_page_is_as_before_when_it_has_been_printed(tab, pdf):
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    assert tab.locator("article details").count() > 5
    assert tab.locator("article details[open]").count() == 0


def test_paper_is_light_and_the_sheet_cuts_nothing(tab, pdf):
    tab.set_viewport_size({"width": 672, "height": 1000})  # 210 mm less the margins, at 96 dots an inch
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    colour = tab.evaluate("getComputedStyle(document.querySelector('article p')).color")
    wide = tab.evaluate(TOO_WIDE)
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    tab.emulate_media(media="screen")
    assert sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3]) < 200
    assert not wide
