"""The heat map shows the package's bits and probabilities, in a kernel and in a page without one."""

import base64
import io
import re

import matplotlib
import numpy as np
import pytest
import torch
from histograms import expected, in_the_page, slow_bars
from oracles import tiny
from PIL import Image

from pixelcnn_edu import Config, bits_per_pixel, build, load_images, load_pretrained, to_model
from pixelcnn_edu.widgets import BitsHeatMap
from pixelcnn_edu.widgets.bits_heat_map import MAPS, _default, brightest, costs, sentence, static_html
from pixelcnn_edu.widgets.predictions import fitted, level_probabilities


@pytest.fixture(scope="module")
def shown():
    return _default()


@pytest.fixture(scope="module")
def image():
    return load_images("shapes", "test")[0][0]


KINDS = {
    "mixture": tiny(),
    "softmax": tiny(likelihood="softmax", levels=8),
    "one channel after the other": tiny(whole_pixels=False),
    "the original": Config.tiny(image_shape=(3, 8, 8), filters=3, levels=8).original(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_levels_probability_is_that_of_the_image_with_this_level_in_it(kind):
    torch.manual_seed(1)
    model = build(KINDS[kind]).double().eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.1 * torch.randn_like(weights)  # untrained, so that pixels hardly differ
        levels = model.config.levels
        image = torch.randint(levels, (1, 3, 8, 8), dtype=torch.uint8)
        distribution = model.distribution(to_model(image, levels).double())
        probabilities = level_probabilities(distribution, image)
        assert probabilities.shape == (3, levels, 8, 8)
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3, 8, 8, dtype=torch.float64))
        for channel, row, column in ((0, 0, 0), (1, 3, 4), (2, 7, 2)):
            images = image.repeat(levels, 1, 1, 1)
            images[:, channel, row, column] = torch.arange(levels)
            direct = torch.cat([model.log_prob(some, per_channel=True) for some in images.split(32)])
            torch.testing.assert_close(probabilities[channel, :, row, column], direct[:, channel, row, column].exp())


def test_the_bits_are_those_of_bits_per_pixel(shown, image):
    bits = bits_per_pixel(load_pretrained("cifar10-small"), image[None])[0]  # in float32
    torch.testing.assert_close(shown.bits, bits, rtol=1e-3, atol=1e-3)
    written = torch.from_numpy(shown.predictions.cents).T.reshape(bits.shape) / 100
    assert (written - shown.bits).abs().max() < 0.0051


@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 23), (31, 31)])
def test_the_bars_are_the_probabilities_of_four_levels_each(shown, image, row, column):
    model = fitted(load_pretrained("cifar10-small"), 32, 32)
    with torch.no_grad():
        params = model(to_model(image[None]).double())[:, :, row : row + 1, column : column + 1]
        slow = slow_bars(model.likelihood(params), image[:, row, column].tolist())
    assert np.abs(shown.predictions.bars[row * 32 + column] - slow).max() <= 1  # halves may round either way


def test_the_colours_are_those_of_the_bits(shown):
    ramp = matplotlib.colormaps["cividis"]
    for index, bits in enumerate([shown.bits.sum(dim=0), *shown.bits]):
        part = (bits[7, 9] / (8 if index else 24)).item()
        assert shown.colors(index)[:, 7, 9].tolist() == list(ramp(part, bytes=True)[:3])


def test_a_class_and_a_model_of_another_size_are_taken(image):
    model = build(tiny(classes=3))
    piece = image[:, :12, 4:24]
    theirs = costs(model, piece, label=1).bits
    ours = bits_per_pixel(fitted(model, 12, 20), piece[None], torch.tensor([1]))[0]
    assert torch.equal(theirs, ours)


def test_what_cannot_be_shown_is_refused(image):
    grey = build(Config.tiny(image_shape=(1, 8, 8)))
    for model, wrong, reason in (
        (None, image[:1], "integers"),
        (None, image[None], "integers"),
        (None, image.repeat(1, 2, 1), "1,024"),
        (None, image.float(), "float"),
        (grey, image, "3 channels"),
        (build(tiny(likelihood="dequantized")), image, "densities"),
    ):
        with pytest.raises(ValueError, match=reason):
            BitsHeatMap(model, wrong)


def test_the_html_is_small_whole_and_the_same_each_time(shown):
    html = static_html(shown)
    _default.cache_clear()
    assert html == static_html(_default())
    assert len(html) < 400_000
    assert not re.search(r"https?:|url\(|@import", html)


def test_it_has_three_faces(shown):
    data = BitsHeatMap()._repr_mimebundle_()
    assert data["text/plain"].startswith("BitsHeatMap: ")
    assert data["text/html"] == static_html(shown)
    assert "application/vnd.jupyter.widget-view+json" in data


def test_the_live_face_follows_its_controls(shown, image):
    live = BitsHeatMap(image=image)
    live.shown.value, live.row.value, live.column.value = "g given r", 4, 9
    html = live.view.value
    for part in (sentence(shown, 4, 9), shown.predictions.draw(4 * 32 + 9, "true value"), brightest(shown, 2)):
        assert part in html
    first, second = re.findall(r'src="([^"]+)"', html)
    assert np.array_equal(pixels(first), image)
    assert np.array_equal(pixels(second), shown.colors(2))


def pixels(address):
    """The image in an address, uint8 (3, H, W)."""
    data = base64.b64decode(address.removeprefix("data:image/bmp;base64,"))
    return np.moveaxis(np.array(Image.open(io.BytesIO(data))), 2, 0)


@pytest.fixture
def page(open_html, shown):
    return open_html(static_html(shown))


def check(page, shown, row, column):
    assert in_the_page(page) == expected(shown.predictions, row * 32 + column)
    assert page.locator(".pred-words").inner_text() == sentence(shown, row, column)
    for picture in page.locator(".pred-picture").all():
        frame, box = picture.locator(".pred-here").bounding_box(), picture.bounding_box()
        assert (round((frame["y"] - box["y"]) / frame["height"]), round((frame["x"] - box["x"]) / frame["width"])) == (
            row,
            column,
        )


def test_the_page_shows_the_packages_numbers_whatever_moves_it(page, shown):
    check(page, shown, *shown.start)
    page.get_by_role("slider", name="row").fill("20")
    page.get_by_role("slider", name="column").fill("6")
    check(page, shown, 20, 6)
    image, heat = page.locator(".pred-picture").all()
    side = heat.bounding_box()["width"] / 32
    heat.hover(position={"x": 10.5 * side, "y": 3.5 * side})  # only a look
    check(page, shown, 3, 10)
    page.mouse.move(2, 2)
    check(page, shown, 20, 6)
    heat.click(position={"x": 11.5 * side, "y": 4.5 * side})
    page.mouse.move(2, 2)
    check(page, shown, 4, 11)
    for picture, key, place in (
        (image, "ArrowUp", (3, 11)),
        (image, "ArrowLeft", (3, 10)),
        (heat, "ArrowDown", (4, 10)),
        (heat, "ArrowRight", (4, 11)),
    ):
        picture.press(key)
        check(page, shown, *place)
    page.get_by_role("slider", name="row").fill("0")
    image.press("ArrowUp")  # at the edge it stays
    check(page, shown, 0, 11)
    assert page.locator("label output").all_inner_texts() == ["0", "11"]


def test_the_toggles_change_the_map(page, shown, image):
    first, heat = page.locator(".pred-picture img").all()
    for index, name in enumerate(MAPS):
        button = page.get_by_role("button", name=name, exact=True)
        button.press("Enter") if index % 2 else button.click()
        assert [each.get_attribute("aria-pressed") for each in page.get_by_role("button").all()] == [
            str(other == name).lower() for other in MAPS
        ]
        assert np.array_equal(pixels(heat.get_attribute("src")), shown.colors(index))
        assert np.array_equal(pixels(first.get_attribute("src")), image)
        assert page.locator(".bh-scale").inner_text().split("\n")[-1].endswith(brightest(shown, index))


def test_a_finger_chooses(browser, tmp_path, shown):
    path = tmp_path / "page.html"
    path.write_text("<!doctype html><body>" + static_html(shown))
    context = browser.new_context(has_touch=True, viewport={"width": 700, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    heat = page.locator(".pred-picture").nth(1)
    side = heat.bounding_box()["width"] / 32
    heat.tap(position={"x": 7.5 * side, "y": 30.5 * side})
    check(page, shown, 30, 7)
    context.close()


def test_the_page_fits_a_phone_and_a_finger(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert all(box.bounding_box()["height"] >= 24 for box in page.locator("label, button").all())


@pytest.mark.parametrize(("levels", "kind"), [(8, torch.uint8), (1000, torch.int64)])
def test_the_highest_of_any_number_of_levels_is_white(levels, kind):
    image = torch.full((3, 8, 8), levels - 1, dtype=kind)
    address = costs(build(tiny(levels=levels)), image).predictions.address
    with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as bitmap:
        assert bitmap.getextrema() == ((255, 255),) * 3
