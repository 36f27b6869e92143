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
