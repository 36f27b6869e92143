"""Print the book, built as one page, into one PDF: _build/pixelcnn-edu.pdf, on A4, with an outline and page numbers.

usage: print_book.py

book/_static/print.css says how a page looks on paper, for this print and for a reader's own.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ONE_PAGE = Path("_build/singlehtml/intro.html")
PDF = Path("_build/pixelcnn-edu.pdf")
FOOT = '<p style="width: 100%; text-align: center; font: 8pt sans-serif"><span class="pageNumber"/></p>'


def print_page(tab, address, pdf):
    """Open the page at `address` in the browser's `tab` and print it into the file `pdf`, its formulas drawn."""
    tab.goto(address)
    tab.wait_for_load_state("load")
    tab.evaluate("() => MathJax.startup.promise.then(() => document.fonts.ready).then(() => true)")
    tab.pdf(
        path=pdf,
        format="A4",
        print_background=True,
        display_header_footer=True,
        header_template="<p/>",
        footer_template=FOOT,
        outline=True,
        tagged=True,
    )


def main():
    if CHROMIUM is None:
        sys.exit("A print needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        print_page(browser.new_page(reduced_motion="reduce"), ONE_PAGE.resolve().as_uri(), PDF)
        browser.close()
    print(f"The book is in {PDF}, {PDF.stat().st_size / 1e6:.0f} MB.")


if __name__ == "__main__":
    main()
