"""The built pages, as files and in a browser: nothing missing, nothing from elsewhere, nothing that a small screen cuts."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

from tools.check_build import toc_entries

ROOT = Path(__file__).resolve().parent.parent
PAGES = toc_entries(yaml.safe_load((ROOT / "book" / "_toc.yml").read_text()))
CHAPTERS = [page for page in PAGES if page[:2].isdigit()]
PHONE, LAPTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}

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


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The folder of the pages, built anew by the README's command from a copy of the sources."""
    if missing := [page for page in PAGES if not any((ROOT / "book").glob(f"{page}.*"))]:
        pytest.fail(f"book/_toc.yml names pages that are not there: {missing}")
    copy = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "_config.yml", copy)
    shutil.copytree(ROOT / "book", copy / "book", ignore=shutil.ignore_patterns("checkpoint.pt", ".ipynb_checkpoints"))
    command = [Path(sys.executable).parent / "jupyter-book", "build", "-W", "-n", "--keep-going", "book/"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return copy / "_build" / "html"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def address(html):
    """The pages on a server of this machine."""
    handler = functools.partial(QuietHandler, directory=html)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(browser):
    """A function that opens an address and gives the tab, with `tab.strangers` and `tab.complaints` filled on the way."""
    contexts = []

    def open_page(url, viewport=LAPTOP, scheme="light"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.strangers, tab.complaints = [], []
        home = url[: url.rindex("/")]

        def only_from_home(route):
            if route.request.url.startswith((home, "data:", "blob:")):
                return route.continue_()
            tab.strangers.append(route.request.url)
            return route.abort()

        tab.route("**/*", only_from_home)
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.on("console", lambda line: line.type == "error" and tab.complaints.append(line.text))
        tab.on("response", lambda answer: answer.status >= 400 and tab.complaints.append(f"{answer.status} {answer.url}"))
        tab.goto(url, wait_until="load")
        tab.wait_for_load_state("networkidle")
        tab.evaluate("async () => { if (window.MathJax) await MathJax.startup.promise }")
        return tab

    yield open_page
    for context in contexts:
        context.close()


def soup(html, page):
    return BeautifulSoup((html / f"{page}.html").read_text(), "html.parser")


# --- the files -------------------------------------------------------------------------------------------------------


@each_page
def test_a_page_loads_nothing_from_elsewhere(html, page):
    for tag in soup(html, page).select("script[src], link[href], img[src], iframe[src], source[src]"):
        target = tag.get("src") or tag["href"]
        if tag.name != "link" or "canonical" not in tag.get("rel", []):
            assert not re.match(r"(https?:)?//", target), tag


@each_page
def test_links_inside_the_book_lead_somewhere(html, page):
    for link in soup(html, page).select("a[href]"):
        target = urlsplit(link["href"])
        if target.scheme or link["href"] == "#":
            continue
        file = html / unquote(target.path) if target.path else html / f"{page}.html"
        assert file.exists(), link
        if target.fragment and file.suffix == ".html":
            assert BeautifulSoup(file.read_text(), "html.parser").find(id=unquote(target.fragment)), link


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
    assert chapter.select('.article-header-buttons a[href^="https://colab.research.google.com/github/"]')
    assert not chapter.find(string=re.compile("Traceback|CellExecutionError"))


# --- in a browser ----------------------------------------------------------------------------------------------------


@each_page
def test_a_page_opens_without_a_request_elsewhere_and_without_an_error(visit, address, page):
    tab = visit(f"{address}/{page}.html")
    assert not tab.strangers
    assert not tab.complaints
    assert not tab.evaluate(BROKEN_PICTURES)


@each_page
def test_every_formula_is_drawn(visit, address, page):
    tab = visit(f"{address}/{page}.html")
    assert not tab.evaluate(BAD_FORMULAS)
    if page in CHAPTERS:
        assert tab.locator("mjx-container").count() >= 3


@each_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_on_a_phone(visit, address, page, scheme):
    tab = visit(f"{address}/{page}.html", PHONE, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert not tab.evaluate(STICKING_OUT)


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
