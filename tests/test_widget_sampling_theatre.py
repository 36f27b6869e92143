"""The theatre shows what the network predicted when it drew, in a kernel and in a page without one."""

import re
import time

import numpy as np
import pytest
import torch
from histograms import expected, in_the_page, slow_bars
from oracles import tiny
from torch import nn

from pixelcnn_edu import Config, PixelCNN, PixelCNNpp, load_pretrained, sample, to_model
from pixelcnn_edu.sampling import trace
from pixelcnn_edu.widgets import SamplingTheatre
from pixelcnn_edu.widgets.predictions import fitted
from pixelcnn_edu.widgets.sampling_theatre import SEED, SIZE, TEMPERATURE, _default, record, sentence, static_html

COUNT = SIZE * SIZE


@pytest.fixture(scope="module")
def shown():
    return _default(SEED, TEMPERATURE)


def test_the_image_is_the_one_that_sample_draws(shown):
    model = fitted(load_pretrained("cifar10-small"), SIZE, SIZE)
    image = sample(model, 1, seed=SEED, temperature=TEMPERATURE, progress=False)
    assert torch.equal(shown.drawn.image, image[0])


@pytest.mark.parametrize("place", [0, 37, 168, 255])
def test_a_pixels_distributions_are_those_of_a_pass_that_knows_only_the_pixels_before_it(shown, place):
    model = fitted(load_pretrained("cifar10-small"), SIZE, SIZE)
    so_far = torch.randint(256, (1, 3, COUNT), dtype=torch.uint8)  # anything, where nothing is drawn yet
    so_far[..., :place] = shown.drawn.image.flatten(1)[:, :place]
    with torch.no_grad():
        params = model(to_model(so_far.view(1, 3, SIZE, SIZE)).double()).flatten(2)[:, :, place, None, None]
        distribution = model.likelihood(params).tempered(TEMPERATURE)
        values = shown.drawn.values[place]
        bits = -distribution.log_prob(torch.tensor(values).view(1, 3, 1, 1), per_channel=True) / np.log(2)
    assert np.abs(shown.drawn.bars[place] - slow_bars(distribution, values)).max() <= 1  # halves may round either way
    assert np.abs(shown.drawn.cents[place] / 100 - bits.flatten().numpy()).max() < 0.0051


def test_teacher_forcing_finds_the_same_in_one_pass(shown):
    assert shown.forced is shown.drawn


class LooksAhead(PixelCNNpp):
    """Where it is given a whole image, its output depends on all of it."""

    def forward(self, x, labels=None):
        return super().forward((x + x.mean()).clamp(-1, 1), labels)


def test_a_network_that_looks_ahead_is_shown_and_said_so(open_html):
    trained = fitted(load_pretrained("cifar10-small"), 8, 8)
    leaky = LooksAhead(trained.config)
    leaky.load_state_dict(trained.state_dict())
    leaky = record(leaky)
    assert (leaky.forced.bars != leaky.drawn.bars).any()
    page = open_html(static_html(leaky))
    assert in_the_page(page) == expected(leaky.drawn, leaky.start)
    page.get_by_label("teacher forcing").check()
    assert in_the_page(page) == expected(leaky.forced, leaky.start)
    assert page.locator(".pred-words").inner_text() == sentence(leaky, leaky.start, True)
    assert "this network is not causal" in sentence(leaky, leaky.start, True)


@pytest.mark.parametrize("whole_pixels", [True, False])
def test_the_counters_are_those_of_trace(whole_pixels):
    model = PixelCNNpp(tiny(whole_pixels=whole_pixels))
    shown = record(model)
    for method, counted in (("naive", shown.naive), ("cached", shown.cached)):
        assert counted == [step.positions for step in trace(model, 1, method=method)]


def test_a_class_is_passed_on():
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(classes=3))
    for module in model.modules():
        if isinstance(module, nn.Embedding):  # untrained, so exaggerate what labels do
            module.weight.data *= 20
    zero, two = (record(model, 5, 1.0, label=label).drawn.image for label in (0, 2))
    drawn = sample(fitted(model, 8, 8), 1, torch.tensor([2]), seed=5, progress=False)
    assert torch.equal(two, drawn[0])
    assert not torch.equal(two, zero)


def test_what_cannot_be_shown_is_refused():
    for model in (
        PixelCNN(tiny()),
        PixelCNNpp(Config.tiny(image_shape=(1, 8, 8))),
        PixelCNNpp(tiny(likelihood="dequantized")),
    ):
        with pytest.raises(ValueError, match=r"only a PixelCNNpp|3 channels|densities"):
            SamplingTheatre(model)


def test_the_html_is_small_whole_and_the_same_each_time(shown):
    html = static_html(shown)
    _default.cache_clear()
    assert html == static_html(_default(SEED, TEMPERATURE))
    assert len(html) < 400_000
    assert not re.search(r"https?:|url\(|@import", html)


def test_it_has_three_faces():
    data = SamplingTheatre()._repr_mimebundle_()
    assert data["text/plain"].startswith("SamplingTheatre: ")
    assert data["text/html"] == static_html(_default(SEED, TEMPERATURE))
    assert "application/vnd.jupyter.widget-view+json" in data


def test_the_live_face_follows_its_controls(shown):
    theatre = SamplingTheatre()
    theatre.pixel.value, theatre.forcing.value = 38, True
    html = theatre.view.value
    assert sentence(shown, 37, True) in html
    assert shown.drawn.draw(37, "drawn value") in html
    for part in (f"<b>{38 * COUNT:,}</b>", "<b>38</b>", "--row:2;--column:5", 'data-forcing="true"'):
        assert part in html
    theatre.forcing.value = False
    assert sentence(shown, 37, False) in theatre.view.value


@pytest.fixture
def page(open_html, shown):
    return open_html(static_html(shown))


def check(page, shown, place, forcing=False):
    assert in_the_page(page) == expected(shown.drawn, place)
    assert page.locator(".pred-words").inner_text() == sentence(shown, place, forcing)
    assert page.locator(".st-work b").all_inner_texts() == [f"{(place + 1) * COUNT:,}", str(place + 1), str(COUNT)]
    assert page.locator("label output").inner_text() == str(place + 1)
    assert page.locator(".pred-columns").get_attribute("data-forcing") == str(forcing).lower()
    frame, picture = (page.locator(name).bounding_box() for name in (".pred-here", ".pred-picture"))
    assert round((frame["x"] - picture["x"]) / frame["width"]) == place % SIZE
    assert round((frame["y"] - picture["y"]) / frame["height"]) == place // SIZE


def test_the_page_shows_the_packages_numbers_whatever_moves_it(page, shown):
    check(page, shown, shown.start)
    page.get_by_role("slider", name="pixel").fill("38")
    check(page, shown, 37)
    page.get_by_role("slider", name="pixel").press("ArrowLeft")
    check(page, shown, 36)
    side = page.locator(".pred-picture").bounding_box()["width"] / SIZE
    page.locator(".pred-picture").click(position={"x": 4.5 * side, "y": 9.5 * side})
    check(page, shown, 9 * SIZE + 4)
    for key, place in (("ArrowUp", 8 * SIZE + 4), ("ArrowRight", 8 * SIZE + 5), ("ArrowDown", 9 * SIZE + 5)):
        page.keyboard.press(key)
        check(page, shown, place)
    page.get_by_label("teacher forcing").check()
    check(page, shown, 9 * SIZE + 5, forcing=True)
    page.locator(".pred-picture").click(position={"x": 0.5 * side, "y": 15.5 * side})
    check(page, shown, 15 * SIZE, forcing=True)
    page.locator(".pred-picture").press("ArrowDown")  # there is no row below
    check(page, shown, 15 * SIZE, forcing=True)
    page.get_by_label("teacher forcing").press("Space")
    check(page, shown, 15 * SIZE)


def test_what_is_not_drawn_is_covered(page, shown):
    def covered():
        return page.locator(".pred-picture").evaluate("picture => getComputedStyle(picture, '::before').clipPath")

    page.get_by_role("slider", name="pixel").fill(
        "38"
    )  # row 2, column 5: its right edge is at 6/16, its row from 2/16 to 3/16
    assert {"37.5%", "12.5%", "18.75%"} <= set(re.findall(r"[\d.]+%", covered()))
    before = covered()
    page.get_by_role("slider", name="pixel").fill("39")
    assert covered() != before


def test_play_draws_on_and_pauses(page, shown):
    words, button = page.locator(".pred-words"), page.get_by_role("button")
    page.get_by_role("slider", name="pixel").fill("10")
    button.click()
    assert (button.inner_text(), words.get_attribute("aria-live")) == ("Pause", "off")
    page.wait_for_function("+document.querySelector('[data-control=pixel]').value >= 13")
    button.press("Enter")
    assert (button.inner_text(), words.get_attribute("aria-live")) == ("Play", "polite")
    stopped = int(page.get_by_role("slider", name="pixel").input_value())
    time.sleep(0.4)
    check(page, shown, stopped - 1)
    page.get_by_role("slider", name="pixel").fill("254")
    button.click()
    page.wait_for_function("document.querySelector('button').textContent === 'Play'")
    check(page, shown, COUNT - 1)
    button.click()  # from the beginning
    page.wait_for_function("+document.querySelector('[data-control=pixel]').value < 20")
    page.locator(".pred-picture").press("ArrowRight")  # whoever moves it stops it
    assert button.inner_text() == "Play"


def test_who_wants_little_motion_sees_a_row_a_second(open_html, shown):
    page = open_html(static_html(shown), reduced_motion="reduce")
    page.get_by_role("slider", name="pixel").fill("10")
    page.get_by_role("button").click()
    time.sleep(0.5)
    assert page.get_by_role("slider", name="pixel").input_value() == "10"
    page.wait_for_function("document.querySelector('[data-control=pixel]').value === '26'")


def test_two_on_a_page_do_not_disturb_each_other(open_html, shown):
    page = open_html(2 * static_html(shown))
    page.get_by_role("slider", name="pixel").nth(1).fill("5")
    assert [slider.input_value() for slider in page.get_by_role("slider", name="pixel").all()] == [str(shown.start + 1), "5"]
    assert page.locator(".pred-words").nth(0).inner_text() == sentence(shown, shown.start, False)


def test_the_page_fits_a_phone_and_a_finger(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert all(box.bounding_box()["height"] >= 24 for box in page.locator("label, button").all())
