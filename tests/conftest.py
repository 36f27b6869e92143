"""What test files share: one thread, since small networks lose time when threads wait; one browser; the built pages."""

import fcntl
import functools
import http.server
import os
import shutil
import signal
import threading

import pytest
import torch
from book_pages import LAPTOP, PAGES, ROOT, build
from playwright.sync_api import sync_playwright

from tools.print_book import CHROMIUM

QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background deaf to Ctrl-C

SLOW = {"browser", "html", "python"}  # fixtures: a browser, the built pages, an environment of its own


def pytest_collection_modifyitems(items):
    """Mark as slow what takes such a fixture; a test that is slow for another reason says so itself."""
    for item in items:
        if SLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; the one place that starts it, for Playwright cannot be started twice in a process."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Chromium; CI must install it")
        pytest.skip("there is no Chromium (apt-get install chromium); the pages are not looked at in a browser")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield chromium
        chromium.close()


@pytest.fixture
def open_html(browser, tmp_path):
    """A function that opens a piece of HTML as a page of its own, as narrow as a phone; no script in it may fail."""
    tabs, errors = [], []

    def opened(html, width=360, **options):
        file = tmp_path / f"page{len(tabs)}.html"
        head = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><body>'
        )
        file.write_text(head + html, encoding="utf-8")
        tabs.append(browser.new_page(viewport={"width": width, "height": 740}, **options))
        tabs[-1].on("pageerror", lambda error: errors.append(str(error)))
        tabs[-1].goto(file.as_uri())
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.close()
    assert errors == []


def made_once(tmp_path_factory, name, make):
    """The folder `name`, shared by all processes of a test run; the first that asks fills it with `make(folder)`."""
    mine = tmp_path_factory.getbasetemp()
    shared = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    folder, done = shared / name, shared / f"{name}.done"
    with open(shared / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the others wait here; closing the file lets the next one in
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a process left that failed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def build_pages(folder):
    shutil.copy(ROOT / "_config.yml", folder)
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("checkpoint.pt", ".ipynb_checkpoints"))
    build(folder, "-W", "-n", "--keep-going")


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The folder of the pages, built anew by the README's command from a copy of the sources."""
    if missing := [page for page in PAGES if not any((ROOT / "book").glob(f"{page}.*"))]:
        pytest.fail(f"book/_toc.yml names pages that are not there: {missing}")
    return made_once(tmp_path_factory, "site", build_pages) / "_build" / "html"


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


def open_tab(context, url):
    """Open an address in a tab whose `strangers` and `complaints` list requests to elsewhere and errors."""
    tab = context.new_page()
    tab.strangers, tab.complaints = [], []
    home = url[: url.index("/", len("http://"))] if url.startswith("http") else url[: url.rindex("/")]

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


@pytest.fixture
def visit(browser):
    """A function that opens an address and gives the tab, with `tab.strangers` and `tab.complaints` filled on the way."""
    contexts = []

    def open_page(url, viewport=LAPTOP, scheme="light"):
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme))
        return open_tab(contexts[-1], url)

    yield open_page
    for context in contexts:
        context.close()
