"""What all test files share: one browser a process, and one thread, since small networks lose time when threads wait."""

import os
import shutil

import pytest
import torch
from playwright.sync_api import sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"

torch.set_num_threads(1)


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
