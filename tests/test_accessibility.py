"""The book can be read by a screen reader, without sharp eyes and without a mouse, as far as a program can tell."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from book_pages import LAPTOP, PAGES, PHONE, ROOT
from contrast import contrast

from pixelcnn_edu import widgets
from pixelcnn_edu.live import LivePicture

AXE = Axe()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
COLORS = ["color-contrast", "link-in-text-block"]
WHOLE_PAGE = ["document-title", "landmark-one-main", "page-has-heading-one", "region"]  # not asked of a piece of a page

STILL = (
    "*, *::before, *::after { animation: none !important; transition: none !important; scroll-behavior: auto !important }"
    ".repeated { visibility: hidden !important }"
)
UNFOLD = """() => { for (const details of document.querySelectorAll("details")) details.open = true }"""
# A page has thousands of words of code in a dozen colours. One of each colour in each kind of block stays, the others
# become plain text, and axe, which looks at one after the other, is done several times as fast.
THIN_OUT = """() => {
    const seen = new Set()
    for (const word of document.querySelectorAll(".highlight span:not(:has(*))")) {
        const around = [word, word.parentElement, word.closest(".cell_input, .cell_output, .highlight")]
        const kind = around.map(e => e.className).join()
        if (seen.has(kind)) word.replaceWith(word.textContent)
        seen.add(kind)
    }
}"""
# Nor need the colours of every paragraph be looked at: of the texts that look the same, the first stays, in its colour,
# size and weight and on its ground, with all that it stands in. Thinned out like this, a page takes a third of the time.
HIDE_REPEATED = """() => {
    document.querySelectorAll(".repeated").forEach(e => e.classList.remove("repeated"))
    const texts = [...document.body.querySelectorAll("*")]
        .filter(e => [...e.childNodes].some(node => node.nodeType == Node.TEXT_NODE && node.data.trim()))
    const grounds = new Map(), seen = new Set(), stays = new Set()
    const ground = e => {
        if (!e) return ""
        if (!grounds.has(e)) {
            const style = getComputedStyle(e)
            const own = [style.backgroundColor, style.backgroundImage, style.opacity, style.filter].join()
            grounds.set(e, ground(e.parentElement) + (own == "rgba(0, 0, 0, 0),none,1,none" ? "" : own))
        }
        return grounds.get(e)
    }
    for (const e of texts) {
        if (!e.checkVisibility({visibilityProperty: true})) continue
        const style = getComputedStyle(e), around = getComputedStyle(e.parentElement)
        const kind = [e.tagName, ground(e), around.color, style.color, style.fontSize, style.fontWeight,
            style.textDecoration, style.textShadow, style.position].join()
        if (!seen.has(kind)) for (let kept = e; kept; kept = kept.parentElement) stays.add(kept)
        seen.add(kind)
    }
    texts.filter(e => !stays.has(e)).forEach(e => e.classList.add("repeated"))
}"""


def check(tab, **options):
    """Fail with what axe finds in the tab as it stands. It passes over what is hidden or on its way."""
    found = AXE.run(tab, options={"resultTypes": ["violations"], **options})
    assert not found.violations_count, found.generate_report()


def check_all_but_colors(tab, without=()):
    check(tab, runOnly=RULES, rules={rule: {"enabled": False} for rule in [*COLORS, *without]})


def check_colors(tab):
    check(tab, runOnly=COLORS)


def check_colors_in_both_themes(tab):
    tab.add_style_tag(content=STILL)
    for theme in ("light", "dark"):
        tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        tab.evaluate(HIDE_REPEATED)
        check_colors(tab)


@pytest.fixture
def unfolded(visit, address):
    """A function that opens a page, and all that is folded in it."""

    def open_page(page, *screen):
        tab = visit(f"{address}/{page}.html", *screen)
        assert not tab.strangers
        assert not tab.complaints
        tab.add_style_tag(content=STILL)
        tab.evaluate(UNFOLD)
        tab.evaluate(THIN_OUT)
        return tab

    return open_page


# --- by a screen reader, and without sharp eyes ----------------------------------------------------------------------


@pytest.mark.parametrize("page", [*PAGES, "genindex", "search"])
def test_axe_finds_nothing_wrong_with_a_page(unfolded, page):
    tab = unfolded(page)
    check_all_but_colors(tab)
    tab.set_viewport_size(PHONE)
    check_all_but_colors(tab)
    tab.set_viewport_size(LAPTOP)
    check_colors_in_both_themes(tab)


@pytest.mark.parametrize(
    ("page", "screen", "button"),
    [
        ("teachers", LAPTOP, ".dropdown-source-buttons > button"),
        ("10-cifar10", LAPTOP, ".dropdown-launch-buttons > button"),
        ("teachers", LAPTOP, ".search-button-field"),
        ("teachers", PHONE, ".primary-toggle"),
        ("teachers", PHONE, ".secondary-toggle"),
    ],
)
def test_axe_finds_nothing_wrong_with_what_a_button_of_the_page_opens(unfolded, page, screen, button):
    tab = unfolded(page, screen)
    before = tab.screenshot()
    tab.locator(f"{button}:visible").click()
    assert tab.screenshot() != before
    check_all_but_colors(tab)
    check_colors_in_both_themes(tab)


def test_axe_finds_nothing_wrong_with_what_shows_on_the_way_up_and_under_the_mouse(unfolded):
    tab = unfolded("glossary", PHONE)
    for height in (2000, 1800):
        tab.evaluate("height => new Promise(done => { onscroll = done; scrollTo(0, height) })", height)
    assert tab.locator("#pst-back-to-top").is_visible()
    check_colors_in_both_themes(tab)
    tab = unfolded("museum")
    tab.locator("article table a").first.hover()
    check_colors_in_both_themes(tab)


@pytest.mark.parametrize("name", widgets.__all__)
def test_axe_finds_nothing_wrong_with_a_widget_alone(open_html, name):
    what = [ROOT / "book" / "runs" / "ladder"] if name == "LadderExplorer" else []
    tab = open_html(getattr(widgets, name)(*what)._repr_mimebundle_()["text/html"])
    check_all_but_colors(tab, without=WHOLE_PAGE)
    check_colors(tab)


def test_axe_finds_nothing_wrong_with_the_picture_to_paint_on(open_html):
    tab = open_html(LivePicture()._repr_html_())
    check_all_but_colors(tab, without=WHOLE_PAGE)
    check_colors(tab)


def test_axe_finds_what_is_wrong(open_html):
    tab = open_html('<img src="data:,"><span style="color: #888; background: #777">one grey on another</span>')
    with pytest.raises(AssertionError, match="image-alt"):
        check_all_but_colors(tab)
    with pytest.raises(AssertionError, match="color-contrast"):
        check_colors(tab)


def test_axe_finds_the_one_pale_word_among_repeated_ones(open_html):
    """The texts before it are hidden, and so is the paragraph that it stands in, but for this word."""
    text = "<p>a paragraph like the others <span>with a word</span> in it</p>"
    tab = open_html(text * 20)
    check_colors_in_both_themes(tab)
    assert tab.locator(".repeated").count() == 19 * 2
    tab = open_html(text * 20 + text.replace("<span>", '<span style="color: #999">'))
    with pytest.raises(AssertionError, match="color-contrast"):
        check_colors_in_both_themes(tab)


def test_what_is_hidden_repeats_what_is_shown(unfolded):
    tab = unfolded("02-causal-convolutions")
    colors = """() => [...new Set([...document.querySelectorAll("body *")]
        .filter(e => e.checkVisibility({visibilityProperty: true}) && e.innerText)
        .map(e => getComputedStyle(e).color + getComputedStyle(e).backgroundColor))].sort()"""
    before = tab.evaluate(colors)
    tab.evaluate(HIDE_REPEATED)
    assert tab.locator(".repeated").count() > 300
    assert tab.evaluate(colors) == before


def test_thinned_out_code_keeps_a_word_of_each_color(visit, address):
    tab = visit(f"{address}/02-causal-convolutions.html")
    colors = (
        "() => [...new Set([...document.querySelectorAll('.highlight span')].map(e => getComputedStyle(e).color))].sort()"
    )
    before, words = tab.evaluate(colors), tab.locator(".highlight span").count()
    tab.evaluate(THIN_OUT)
    assert tab.evaluate(colors) == before
    assert tab.locator(".highlight span").count() < words / 10


# --- without a mouse -------------------------------------------------------------------------------------------------

# Numbers all that can have the focus and is shown, and gives how many there are.
NUMBER_STOPS = """() => {
    const stops = [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex]")]
        .filter(e => e.tabIndex >= 0 && e.checkVisibility({visibilityProperty: true}))
    stops.forEach((e, number) => { e.dataset.stop = number })
    return stops.length
}"""
# Where the focus is, whether it can be seen, and the colours of its ring and of what the ring is drawn on.
FOCUS = """() => {
    const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect()
    const ground = e => {
        const color = getComputedStyle(e).backgroundColor
        return color != "rgba(0, 0, 0, 0)" ? color : e.parentElement ? ground(e.parentElement) : "rgb(255, 255, 255)"
    }
    const outlined = style.outlineStyle != "none" && parseFloat(style.outlineWidth) >= 2
    const inside = outlined && parseFloat(style.outlineOffset) < 0
    return {
        stop: e.dataset.stop, what: e.outerHTML.slice(0, 120),
        shown: e.checkVisibility({visibilityProperty: true, opacityProperty: true})
            && box.width > 0 && box.left >= -1 && box.right <= innerWidth + 1 && box.bottom > 0 && box.top < innerHeight,
        ring: outlined ? style.outlineColor : style.boxShadow.match(/(rgb[^)]*[)]) 0px 0px 0px [23]px(?! inset)/)?.[1],
        ground: ground(inside ? e : e.parentElement),
    }
}"""


def hexadecimal(color):
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", color)[:3])


@pytest.mark.parametrize("page", ["02-causal-convolutions", "04-logistic-mixture", "11-sampling", "troubleshooting"])
@pytest.mark.parametrize(("screen", "scheme"), [(LAPTOP, "light"), (PHONE, "dark")])
def test_the_tab_key_stops_at_all_that_is_shown_and_the_focus_is_seen(visit, address, page, screen, scheme):
    tab = visit(f"{address}/{page}.html", screen, scheme)
    tab.add_style_tag(content=STILL)
    expected, stops = tab.evaluate(NUMBER_STOPS), set()
    for _ in range(expected):
        tab.keyboard.press("Tab")
        focus = tab.evaluate(FOCUS)
        assert focus["shown"], focus
        assert focus["ring"], focus
        assert contrast(hexadecimal(focus["ring"]), hexadecimal(focus["ground"])) >= 3, focus
        stops.add(focus["stop"])
    assert len(stops) == expected
    assert None not in stops


def test_the_explorer_of_chapter_2_needs_no_mouse(visit, address):
    tab = visit(f"{address}/02-causal-convolutions.html")
    words = tab.locator(".rf-explorer .rf-words").first

    def press(key, control):
        for _ in range(200):
            if tab.evaluate("selector => document.activeElement.matches(selector)", control):
                break
            tab.keyboard.press("Tab")
        before = words.inner_text()
        tab.keyboard.press(key)
        assert words.inner_text() != before

    press("ArrowDown", "#rf-network")
    assert tab.locator("#rf-network").input_value() == "two streams"
    press("ArrowLeft", "#rf-depth")
    press("ArrowLeft", "#rf-row")
    press("ArrowRight", "#rf-column")
    press("ArrowUp", ".rf-panel svg")
    assert [tab.locator(f"#rf-{name}").input_value() for name in ("row", "column")] == ["6", "9"]
