"""The built pages, as files and in a browser: nothing missing, nothing from elsewhere, nothing that a small screen cuts."""

import functools
import re
from urllib.parse import unquote, urlsplit

import pytest
from book_pages import CHAPTERS, PAGES, PHONE
from bs4 import BeautifulSoup
from conftest import open_tab

# What sticks out to the right of the page's text, less what scrolls or is cut inside a parent of its own.
STICKING_OUT = """() => {
    const contained = e => e && e.tagName != "ARTICLE"
        && (getComputedStyle(e).overflowX != "visible" || contained(e.parentElement))
    return [...document.querySelectorAll("article *")]
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !contained(e.parentElement))
        .map(e => e.outerHTML.slice(0, 120))
}"""
# Formulas that MathJax has not drawn, or has drawn as an error.
BAD_FORMULAS = """() => [
    ...[...document.querySelectorAll(".math")].filter(e => !e.querySelector("mjx-container")),
    ...document.querySelectorAll("mjx-merror, [data-mjx-error]"),
].map(e => e.textContent)"""
BROKEN_PICTURES = """() => [...document.querySelectorAll("article img")]
    .filter(e => !(e.complete && e.naturalWidth)).map(e => e.src)"""

each_page = pytest.mark.parametrize("page", PAGES)


@functools.cache
def soup(html, page):
    """A page as a tree, read once; no test changes it."""
    return BeautifulSoup((html / f"{page}.html").read_text(), "html.parser")


@functools.cache
def anchors(html, page):
    """The names to which a link into the page can lead."""
    return {tag["id"] for tag in soup(html, page).select("[id]")}


# --- the files -------------------------------------------------------------------------------------------------------


@each_page
def test_a_page_loads_nothing_from_elsewhere(html, page):
    for tag in soup(html, page).select("script[src], link[href], img[src], iframe[src], source[src]"):
        target = tag.get("src") or tag["href"]
        if tag.name != "link" or "canonical" not in tag.get("rel", []):
            assert not re.match(r"(https?:)?//", target), tag


@each_page
def test_links_inside_the_book_lead_somewhere(html, page):
    here = (html / f"{page}.html").resolve()
    for link in soup(html, page).select("a[href]"):
        target = urlsplit(link["href"])
        if target.scheme or link["href"] == "#":
            continue
        file = (here.parent / unquote(target.path)).resolve() if target.path else here
        assert file.exists(), link
        if target.fragment and file.suffix == ".html":
            assert unquote(target.fragment) in anchors(html, file.relative_to(html.resolve()).with_suffix("").as_posix()), (
                link
            )


@each_page
def test_every_picture_on_a_page_is_described_in_words(html, page):
    for picture in soup(html, page).select("article img"):
        alt = picture.get("alt", "")
        assert len(alt) >= 10, picture
        assert not re.search(r"[0-9a-f]{16}|_images|\.(png|svg)", alt), picture


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_shows_its_outputs_and_offers_colab(html, page):
    chapter = soup(html, page)
    assert len(chapter.select("article .cell_output")) >= 5
    assert len(chapter.select("article figure figcaption")) >= 3
    (button,) = chapter.select('.article-header-buttons a[href^="https://colab.research.google.com/"]')
    (badge,) = chapter.select('article a[href^="https://colab.research.google.com/"]')
    assert button["href"] == badge["href"]
    assert not chapter.find(string=re.compile("Traceback|CellExecutionError"))


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=PAGES)
def on_a_phone(request, browser, address):
    """Each page in turn, opened once for all tests that take this fixture; test_accessibility.py opens it on a laptop."""
    context = browser.new_context(viewport=PHONE)
    tab = open_tab(context, f"{address}/{request.param}.html")
    tab.name = request.param
    yield tab
    context.close()


def test_a_page_opens_without_a_request_elsewhere_and_without_an_error(on_a_phone):
    assert not on_a_phone.strangers
    assert not on_a_phone.complaints
    assert not on_a_phone.evaluate(BROKEN_PICTURES)


def test_every_formula_is_drawn(on_a_phone):
    assert not on_a_phone.evaluate(BAD_FORMULAS)
    if on_a_phone.name in CHAPTERS:
        assert on_a_phone.locator("mjx-container").count() >= 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_fits_on_a_phone(on_a_phone, theme):
    on_a_phone.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    assert on_a_phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert not on_a_phone.evaluate(STICKING_OUT)


def test_a_page_opens_as_a_file_too(visit, html):
    """The icons' font is the exception: a browser loads no font into a page that is a file."""
    tab = visit(f"{html.as_uri()}/{CHAPTERS[0]}.html")
    assert not tab.strangers
    assert not [text for text in tab.complaints if "font" not in text and "net::ERR_FAILED" not in text]
    assert not tab.evaluate(BAD_FORMULAS)


def test_search_finds_the_chapter_on_causality(visit, address):
    tab = visit(f"{address}/search.html?q=causal")
    tab.wait_for_selector("#search-results li a")
    assert tab.locator('#search-results li a[href*="02-causal"]').count()
    assert not tab.strangers


def test_the_theme_can_be_switched_to_dark(visit, address):
    tab = visit(f"{address}/intro.html", scheme="dark")
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", background)[:3])) < 200
