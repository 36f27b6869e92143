"""The picture to paint on: it works from a file, offline and without WebAssembly, and shows what PyTorch computes."""

import functools
import http.server
import re
import shutil
import threading

import numpy as np
import pytest
import torch
from conftest import QuietHandler
from oracles import rounded
from PIL import Image

from pixelcnn_edu import DataUnavailable, bits_per_pixel, load_images, load_pretrained
from pixelcnn_edu.live import LivePicture
from pixelcnn_edu.live.picture import PICTURES, START, stored_pictures
from tools.execute import LIVE_WEIGHTS
from tools.live_weights import SCRIPT

HTML = LivePicture()._repr_html_()
STORED = LIVE_WEIGHTS.sub(r"\1", HTML)  # as the book has it
FRAME = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><body>'
LOADED = "The network runs here, in WebAssembly."


def words(tab):
    return tab.locator('[data-part="words"]').first.inner_text()


def state(tab):
    return tab.locator('[data-part="state"]').first.inner_text()


def button(tab, name):
    return tab.get_by_role("button", name=name, exact=True).first


def settle(tab):
    """Wait until the network has scored the picture that is shown."""
    tab.wait_for_function("() => document.querySelector('[data-part=words]').textContent.includes('bits/dim')")


def load(tab):
    button(tab, "Load the network").click()
    tab.wait_for_function("() => /runs here|not there/.test(document.querySelector('[data-part=state]').textContent)")
    tab.wait_for_timeout(200)
    settle(tab)


def shown(tab, part="picture"):
    """What a canvas shows: uint8 (3, 32, 32)."""
    values = tab.evaluate(
        """part => Array.from(document.querySelector(`[data-part="${part}"] canvas`)
            .getContext("2d").getImageData(0, 0, 32, 32).data)""",
        part,
    )
    return torch.tensor(values, dtype=torch.uint8).view(32, 32, 4)[..., :3].permute(2, 0, 1)


@pytest.fixture
def tab(open_html):
    """The figure as in a notebook, the network loaded."""
    tab = open_html(HTML, width=1280)
    load(tab)
    return tab


@pytest.fixture
def folder(tmp_path):
    """A built page with the figure twice, and the weights beside it."""
    (tmp_path / "live").mkdir()
    shutil.copy(SCRIPT, tmp_path / "live")
    (tmp_path / "page.html").write_text(FRAME + STORED + STORED, encoding="utf-8")
    return tmp_path


@pytest.fixture(params=["file", "http"])
def site(request, folder):
    """The address of that folder."""
    if request.param == "file":
        yield folder.as_uri()
        return
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_html_is_whole_and_the_same_each_time_and_without_weights_small():
    assert LivePicture()._repr_html_() == HTML
    assert not re.search(r"https?:|@import", HTML)
    assert len(STORED) < 150_000
    assert len(HTML) < 1_800_000


def test_the_stored_pictures_are_test_images():
    try:
        images, _ = load_images("cifar10", "test")
    except DataUnavailable:
        pytest.skip("CIFAR-10 is not there")
    assert torch.equal(stored_pictures(), images[list(PICTURES)])


def test_nothing_is_loaded_before_the_click_and_one_script_for_all_figures_after_it(visit, site):
    tab = visit(f"{site}/page.html")
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.wait_for_timeout(300)
    assert asked == []
    assert "recorded bits" in state(tab)
    load(tab)
    assert state(tab) == LOADED
    button(tab, "Load the network").click()  # of the second figure
    tab.wait_for_function("() => !document.body.innerText.includes('Load the network')")
    assert [url for url in asked if url.endswith(".js")] == [f"{site}/live/cifar10-small.js"]
    assert tab.strangers == tab.complaints == []


def test_it_runs_without_a_connection_once_it_is_there(visit, site):
    tab = visit(f"{site}/page.html")
    load(tab)
    tab.context.set_offline(True)
    button(tab, "fire engine").click()
    settle(tab)
    assert words(tab) != ""
    assert tab.complaints == []


def test_missing_weights_are_said_and_may_come_later(visit, folder):
    script = folder / "live" / SCRIPT.name
    script.rename(folder / "elsewhere.js")
    tab = visit((folder / "page.html").as_uri())
    button(tab, "Load the network").click()
    tab.wait_for_function("() => document.querySelector('[data-part=state]').textContent.includes('not there')")
    assert "live/cifar10-small.js" in state(tab)
    (folder / "elsewhere.js").rename(script)
    load(tab)
    assert state(tab) == LOADED


WITHOUT = {
    "no WebAssembly": "delete globalThis.WebAssembly",
    "a policy against it": "WebAssembly.instantiate = async () => { throw new WebAssembly.CompileError('policy') }",
}


@pytest.mark.parametrize("reason", WITHOUT)
def test_without_webassembly_it_runs_in_javascript(open_html, reason):
    tab = open_html(f"<script>{WITHOUT[reason]}</script>{HTML}")
    load(tab)
    assert state(tab) == "The network runs here, in JavaScript."
    button(tab, "deer").click()
    settle(tab)
    assert cost(tab) == pytest.approx(bits(list(PICTURES.values()).index("deer")).mean().item(), abs=0.0051)


def cost(tab):
    return float(re.search(r"([\d.]+) bits/dim", words(tab))[1])


@functools.cache
def bits(place):
    """What PyTorch says that a stored picture costs: (3, 32, 32)."""
    return bits_per_pixel(rounded(load_pretrained("cifar10-small")), stored_pictures()[place : place + 1])[0]


def test_before_it_is_loaded_recorded_bits_are_shown(open_html):
    tab = open_html(HTML)
    assert torch.equal(shown(tab), stored_pictures()[START])
    assert cost(tab) == pytest.approx(bits(START).mean().item(), abs=0.0051)
    recorded = shown(tab, "map")
    load(tab)
    assert (shown(tab, "map").int() - recorded.int()).abs().max() <= 2  # weights were rounded


@pytest.mark.parametrize("name", ["ship", "black airplane"])
def test_a_stored_picture_costs_what_pytorch_says(tab, name):
    place = list(PICTURES.values()).index(name)
    button(tab, name).click()
    settle(tab)
    assert torch.equal(shown(tab), stored_pictures()[place])
    assert cost(tab) == pytest.approx(bits(place).mean().item(), abs=0.0051)
    picture = tab.locator('[data-part="picture"]')
    picture.focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowRight"):
        picture.press(key)
    found = re.search(r"Row 14, column 17: .* costs (\S+) bits for r, (\S+) for g given r, (\S+) for b", words(tab))
    assert [float(value) for value in found.groups()] == pytest.approx(bits(place)[:, 14, 17].tolist(), abs=0.0061)


def test_the_keyboard_paints_and_no_earlier_prediction_moves(tab):
    tab.evaluate("document.addEventListener('keydown', (event) => { (window.leaked ??= []).push(event.key) })")
    button(tab, "predictions that moved").click()
    picture = tab.locator('[data-part="picture"]')
    picture.focus()
    before = shown(tab)
    for key in ("ArrowUp", "ArrowLeft", "Space"):
        picture.press(key)
    settle(tab)
    changed = before.clone()
    changed[:, 15, 15] = torch.tensor([255, 0, 0])
    assert torch.equal(shown(tab), changed)
    assert picture.evaluate("element => element === document.activeElement")
    assert tab.evaluate("window.leaked") is None
    tab.wait_for_function("() => document.querySelector('[data-part=words]').textContent.includes('moved:')")
    moved, early, late = re.search(r"(\d+) predictions moved: (\d+) at it or before it, (\d+) after", words(tab)).groups()
    assert int(early) == 0
    assert int(late) == int(moved) > 100
    colors = shown(tab, "map").flatten(1)
    assert (colors[:, : 15 * 32 + 16] == colors[:, :1]).all()  # grey up to the pixel itself
    assert (colors[:, 15 * 32 + 16] != colors[:, 0]).any()


def test_a_stroke_paints_and_is_undone_at_once(tab):
    button(tab, "paints it").click()
    picture = tab.locator('[data-part="picture"]')
    picture.scroll_into_view_if_needed()
    box, before = picture.bounding_box(), shown(tab)
    side = box["width"] / 32
    tab.mouse.move(box["x"] + 10.5 * side, box["y"] + 4.5 * side)
    tab.mouse.down()
    for column in (11, 12, 13):
        tab.mouse.move(box["x"] + (column + 0.5) * side, box["y"] + 4.5 * side)
    tab.mouse.up()
    painted = shown(tab)
    assert (painted != before).any(dim=0).nonzero().tolist() == [[4, 10], [4, 11], [4, 12], [4, 13]]
    button(tab, "Undo").click()
    assert torch.equal(shown(tab), before)


def test_a_finger_paints(open_html):
    tab = open_html(HTML, width=390, has_touch=True)
    load(tab)
    before = shown(tab)
    button(tab, "paints it").tap()
    picture = tab.locator('[data-part="picture"]')
    side = picture.bounding_box()["width"] / 32
    picture.tap(position={"x": 7.5 * side, "y": 2.5 * side})
    assert (shown(tab) != before).any(dim=0).nonzero().tolist() == [[2, 7]]


def test_keys_in_a_field_do_not_reach_the_notebook_around_it(tab):
    tab.evaluate("document.addEventListener('keydown', (event) => { (window.leaked ??= []).push(event.key) })")
    tab.get_by_label("seed").press("7")
    tab.get_by_label("rows kept").press("ArrowRight")
    button(tab, "predictions that moved").press("Enter")
    assert tab.evaluate("window.leaked") is None
    assert tab.get_by_label("rows kept").input_value() == "17"


def test_looking_changes_nothing(tab):
    before = shown(tab)
    tab.locator('[data-part="picture"]').click(position={"x": 5, "y": 5})
    tab.locator('[data-part="map"]').click(position={"x": 5, "y": 5})
    assert words(tab).startswith("Row 0, column 0:")
    assert torch.equal(shown(tab), before)


def completed(tab, seed, temperature="1"):
    """Complete the first picture below 20 rows."""
    button(tab, list(PICTURES.values())[START]).click()
    settle(tab)
    tab.get_by_label("rows kept").fill("20")
    tab.get_by_label("temperature").fill(temperature)
    tab.get_by_label("seed").fill(str(seed))
    button(tab, "Sample the rest").click()
    settle(tab)
    return shown(tab)


def test_the_rest_is_sampled_below_the_rows_that_are_kept(tab):
    first, again, other = completed(tab, 1), completed(tab, 1), completed(tab, 2)
    for image in (first, other):
        assert torch.equal(image[:, :20], stored_pictures()[START, :, :20])
    assert torch.equal(first, again)
    assert not torch.equal(first[:, 20:], other[:, 20:])
    sharp = completed(tab, 1, "0.1")[:, 20:].double()
    rough = first[:, 20:].double()
    assert sharp.diff(dim=2).abs().mean() < rough.diff(dim=2).abs().mean()  # a low temperature gives smooth pictures


def test_noise_costs_more_than_one_colour(tab):
    costs = {}
    for name in ("noise", "one colour"):
        button(tab, name).click()
        settle(tab)
        costs[name] = cost(tab)
    assert costs["noise"] > 7 > 4 > costs["one colour"]


def test_an_upload_is_cut_to_its_middle_and_scaled(tab, tmp_path):
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, :32], wide[:, 96:] = 255, 255  # white at both sides, outside the square in the middle
    wide[32:, 32:96] = (200, 100, 50)
    Image.fromarray(wide).save(tmp_path / "mine.png")
    tab.get_by_label("your own").set_input_files(tmp_path / "mine.png")
    tab.wait_for_function("() => !document.querySelector('.live-stored [aria-pressed=true]')")
    settle(tab)
    image = shown(tab)
    assert (image[:, :15] == 0).all()
    assert (image[:, 17:] == torch.tensor([200, 100, 50])[:, None, None]).all()
    (tmp_path / "text.png").write_text("no picture")
    tab.get_by_label("your own").set_input_files(tmp_path / "text.png")
    tab.wait_for_function("() => document.querySelector('[data-part=words]').textContent.includes('text.png is no picture')")
    assert torch.equal(shown(tab), image)


def test_the_built_book_has_the_weights_where_its_pages_look_for_them(html):
    assert (html / "live" / SCRIPT.name).read_bytes() == SCRIPT.read_bytes()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_the_screen(open_html, width):
    tab = open_html(HTML, width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_it_says_what_it_does_not_do(open_html):
    text = open_html(HTML).inner_text("body")
    assert "never leaves this page" in text
    assert "cannot show" in text
    assert f"{sum(weights.numel() for weights in load_pretrained('cifar10-small').parameters()):,} parameters" in text
