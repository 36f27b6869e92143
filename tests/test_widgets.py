"""The explorer shows the package's numbers, in a kernel and in a page without one."""

import base64
import re

import numpy as np
import pytest
import torch
from oracles import tiny
from torch import nn

from pixelcnn_edu import PixelCNNpp, receptive_field
from pixelcnn_edu.widgets import ReceptiveFieldExplorer
from pixelcnn_edu.widgets.fields import DEPTHS, LEVELS, NETWORKS, SIZE, build, fields, own_colors, pack, strength_levels
from pixelcnn_edu.widgets.receptive_field import ORDERS, kinds, own_pixel, sentence, static_html


@pytest.mark.parametrize("network", NETWORKS)
def test_the_fields_are_those_of_receptive_field(network):
    model = build(network, 2)
    for row, column in [(0, 0), (3, 15), (8, 8), (15, 0)]:
        field = receptive_field(model, row, column, image_shape=(1, SIZE, SIZE)).flatten()
        assert torch.equal(field > 0, fields(network, 2)[row * SIZE + column] > 0)


def test_packed_levels_come_back():
    levels = strength_levels(fields("two streams", 1))
    assert levels.max() == LEVELS
    data = np.frombuffer(base64.b64decode(pack(levels)), np.uint8)
    nibbles = np.stack([data >> 4, data & 15], axis=1).reshape(-1)
    for output in (1, 2, 77, 255):
        start = output * (output - 1) // 2
        assert np.array_equal(nibbles[start : start + output], levels[output, :output])


def test_level_zero_means_a_gradient_of_exactly_zero():
    assert strength_levels(torch.tensor([0.0, 1e-300, 1e-9, 1.0], dtype=torch.float64)).tolist() == [0, 1, 1, 15]


def test_the_page_is_small_whole_and_the_same_each_time():
    html = static_html()
    assert html == static_html()
    assert len(html) < 400_000
    assert "http" not in html
    assert html.count("<g data-row") == SIZE * SIZE


def test_building_it_leaves_the_random_state_alone():
    state = torch.random.get_rng_state()
    build("two streams", 1)
    assert torch.equal(state, torch.random.get_rng_state())


def drawn(html):
    return re.findall(r'data-row="(\d+)" data-column="(\d+)" data-level="(\d+)" data-kind="(\w+)"', html)


def test_the_live_face_follows_its_controls():
    explorer = ReceptiveFieldExplorer()
    explorer.network.value, explorer.depth.value, explorer.row.value, explorer.column.value = "two streams", 2, 5, 9
    levels = strength_levels(fields("two streams", 2)[5 * SIZE + 9]).reshape(SIZE, SIZE)
    kind = kinds(levels, 5, 9)
    expected = [(str(i), str(j), str(levels[i, j]), kind[i, j]) for i in range(SIZE) for j in range(SIZE)]
    assert drawn(explorer.view.value) == expected
    assert sentence(levels, 5, 9) in explorer.view.value


def test_the_live_face_takes_the_readers_model():
    model = PixelCNNpp(tiny())
    explorer = ReceptiveFieldExplorer(model=model)
    explorer.row.value, explorer.column.value = 4, 4
    field = receptive_field(model, 4, 4)
    assert sum(level != "0" for _, _, level, _ in drawn(explorer.view.value)) == int((field > 0).sum())


def test_a_model_that_looks_ahead_is_shown_and_said_so():
    explorer = ReceptiveFieldExplorer(model=nn.Conv2d(1, 2, 3, padding=1), image_shape=(1, 8, 8))
    explorer.row.value, explorer.column.value = 4, 4
    assert "not causal: it sees 5 that are not before it" in explorer.view.value


def test_a_model_that_does_not_fit_is_refused_at_once():
    for misfit in (nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(1, 2, 3)):  # other channels; a smaller output
        with pytest.raises(ValueError, match="cannot be asked"):
            ReceptiveFieldExplorer(model=misfit, image_shape=(1, 8, 8))


@pytest.fixture
def page(open_html):
    return open_html(static_html())


def in_the_page(page, panel=0):
    cells = page.locator(".rf-panel").nth(panel).locator("svg g")
    return cells.evaluate_all("cells => cells.map(c => [c.dataset.row, c.dataset.column, c.dataset.level, c.dataset.kind])")


def expected_cells(network, depth, row, column):
    levels = strength_levels(fields(network, depth)[row * SIZE + column]).reshape(SIZE, SIZE)
    kind = kinds(levels, row, column)
    cells = [[str(i), str(j), str(levels[i, j]), kind[i, j]] for i in range(SIZE) for j in range(SIZE)]
    return cells, sentence(levels, row, column)


def test_the_page_shows_the_packages_numbers_whatever_moves_it(page):
    def shows(*choice):
        cells, words = expected_cells(*choice)
        assert in_the_page(page) == cells
        assert page.locator(".rf-words").first.inner_text() == words

    shows("masked 3x3 convolutions", 3, 8, 8)
    page.get_by_label("network", exact=True).select_option("two streams, with downsampling")
    shows("two streams, with downsampling", 3, 8, 8)
    page.locator("#rf-depth").fill("1")
    shows("two streams, with downsampling", 1, 8, 8)
    page.locator(".rf-panel svg").first.locator("g[data-row='9'][data-column='5']").click()
    shows("two streams, with downsampling", 1, 9, 5)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    shows("two streams, with downsampling", 1, 8, 6)
    page.locator("#rf-row").fill("15")
    page.locator("#rf-column").fill("0")
    shows("two streams, with downsampling", 1, 15, 0)
    page.locator(".rf-panel svg").first.focus()
    page.keyboard.press("ArrowLeft")  # at the edge it stays
    shows("two streams, with downsampling", 1, 15, 0)


def test_two_networks_stand_side_by_side_and_move_together(page):
    second = page.locator(".rf-panel").nth(1)
    assert not second.is_visible()
    page.get_by_label("beside it").select_option("two streams")
    assert second.is_visible()
    second.locator("svg g[data-row='3'][data-column='12']").click()
    for panel, network in enumerate(("masked 3x3 convolutions", "two streams")):
        cells, words = expected_cells(network, 3, 3, 12)
        assert in_the_page(page, panel) == cells
        assert page.locator(".rf-words").nth(panel).inner_text() == words
        assert page.locator(".rf-name").nth(panel).inner_text() == network
    page.get_by_label("beside it").select_option("nothing")
    assert not second.is_visible()


def test_depth_is_played_from_the_first_to_the_last_and_can_be_stopped(page):
    page.get_by_role("button", name="play depth").click()
    assert page.locator("#rf-depth").input_value() == str(DEPTHS[0])
    assert in_the_page(page) == expected_cells("masked 3x3 convolutions", DEPTHS[0], 8, 8)[0]
    page.get_by_role("button", name="play depth").wait_for()  # it says "stop" until the last depth
    assert page.locator("#rf-depth").input_value() == str(DEPTHS[-1])
    assert in_the_page(page) == expected_cells("masked 3x3 convolutions", DEPTHS[-1], 8, 8)[0]
    page.get_by_role("button", name="play depth").click()
    page.get_by_role("button", name="stop").click()
    depth = page.locator("#rf-depth").input_value()
    page.wait_for_timeout(900)
    assert page.locator("#rf-depth").input_value() == depth < str(DEPTHS[-1])


def test_the_order_of_sub_pixels_says_what_an_output_sees_of_its_own_pixel(page):
    assert own_colors() == own_colors(3) == ((False,) * 3, (True, False, False), (True, True, False))
    expected = ["nothing.", "red sees nothing.", "green sees red.", "blue sees red and green."]
    for order, words in zip(ORDERS, expected, strict=True):
        page.get_by_label("order").select_option(order)
        assert page.locator(".rf-own").first.inner_text() == own_pixel(order)
        assert own_pixel(order).endswith(words)


def test_the_live_face_compares_plays_and_orders_too():
    explorer = ReceptiveFieldExplorer()
    explorer.second.value, explorer.order.value, explorer.play.value = "two streams", ORDERS[2], 5
    assert explorer.depth.value == 5
    html = explorer.view.value
    assert html.count('class="rf-panel"') == 2
    assert sentence(strength_levels(fields("two streams", 5)[8 * SIZE + 8]).reshape(SIZE, SIZE), 8, 8) in html
    assert html.count("the output for green sees red.") == 2


def test_the_page_fits_a_phone(page):
    page.get_by_label("beside it").select_option("two streams")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_two_copies_in_a_page_have_labels_of_their_own(open_html):
    tab = open_html(2 * static_html())
    tab.get_by_role("slider", name="row").nth(1).fill("3")
    assert [words.startswith("Output pixel: row 3,") for words in tab.locator(".rf-words:visible").all_inner_texts()] == [
        False,
        True,
    ]
