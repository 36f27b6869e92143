"""The mixture playground shows the package's numbers, in a kernel and in a page without one."""

import math
import random
import re

import pytest
import torch
import torch.nn.functional as F

import pixelcnn_edu as pe
from pixelcnn_edu.widgets import MixturePlayground
from pixelcnn_edu.widgets.mixture_picture import nice, scene
from pixelcnn_edu.widgets.mixture_playground import LIMITS, START, static_html
from pixelcnn_edu.widgets.mixtures import bin_densities, grey_levels, log2_probabilities, log2_released, sentence

SHARP = [(100, -7, 1)]
LEVELS = torch.arange(256)


def at_random(seed):
    """One to three components anywhere on the sliders, and a level."""
    draw = random.Random(seed)

    def component():
        return [round(low + step * draw.randint(0, round((high - low) / step)), 1) for low, high, step in LIMITS.values()]

    return [component() for _ in range(draw.randint(1, 3))], draw.randint(0, 255)


def tensors(components):
    """Logits, means and log-scales (K,) in the units of the package, float64."""
    means, log_scales, weights = torch.tensor(components, dtype=torch.double).T
    return weights.log(), 2 * means / 255 - 1, log_scales


def package_log2(components):
    logits, means, log_scales = (p.view(1, -1, 1, 1).expand(-1, -1, 16, 16) for p in tensors(components))
    mixture = pe.DiscretizedLogisticMixture(logits, means.unsqueeze(2), log_scales.unsqueeze(2), None)
    return mixture.log_prob(LEVELS.view(1, 1, 16, 16)).flatten() / math.log(2)


def softplus(z):  # torch's own is off by 2e-9 from 20 on
    return torch.logaddexp(z, torch.zeros_like(z))


def released_log2(components):
    """`discretized_mix_logistic_loss` of openai/pixel-cnn for one channel, line by line."""
    logits, means, log_scales = (p.unsqueeze(1) for p in tensors(components))
    x = (LEVELS.double() - 127.5) / 127.5
    inv_stdv = torch.exp(-log_scales)
    plus_in, min_in, mid_in = (inv_stdv * (x - means + step) for step in (1 / 255, -1 / 255, 0))
    cdf_delta = torch.sigmoid(plus_in) - torch.sigmoid(min_in)
    log_pdf_mid = mid_in - log_scales - 2 * softplus(mid_in)
    inner = torch.where(cdf_delta > 1e-5, cdf_delta.clamp(min=1e-12).log(), log_pdf_mid - math.log(127.5))
    log_probs = torch.where(x > 0.999, -softplus(min_in), inner)
    log_probs = torch.where(x < -0.999, plus_in - softplus(plus_in), log_probs)
    return torch.logsumexp(log_probs + F.log_softmax(logits, dim=0), dim=0) / math.log(2)


@pytest.mark.parametrize("seed", range(5))
def test_the_numbers_are_those_of_the_package_and_of_the_released_formula(seed):
    components, _ = at_random(seed)
    torch.testing.assert_close(log2_probabilities(components), package_log2(components), atol=1e-9, rtol=1e-12)
    torch.testing.assert_close(log2_released(components), released_log2(components), atol=1e-9, rtol=1e-12)


def test_the_curve_has_an_area_of_one_and_follows_wide_bars():
    fine = torch.arange(-2000, 2256, 0.25, dtype=torch.double)
    assert bin_densities(START[:2], fine).sum() / 4 == pytest.approx(1, abs=1e-6)
    wide = [(120, -2, 1), (60, -1.5, 2)]
    torch.testing.assert_close(bin_densities(wide, LEVELS)[1:-1], log2_probabilities(wide).exp2()[1:-1], atol=0, rtol=1e-3)


def test_the_jump_is_the_one_that_the_chapter_measures():
    assert grey_levels(-7) == pytest.approx(0.1163, abs=1e-4)
    assert sentence(SHARP, 98, log_view=True) == (
        "Level 98 costs 18.61 bits by the exact form and 21.71 by the released one. Over all levels they differ by at most "
        "3.10 bits; from level 98 to level 99 the difference jumps by 3.10 bits."
    )
    assert sentence([(100, -3, 1)], 98, log_view=True).endswith("differ by at most 0.00 bits.")


def test_the_words_of_the_bars():
    assert sentence([(275, -5, 1)], 255) == (
        "The probability of level 255 is 1.0000; it costs 0.00 bits. At the ends, level 0 with all below it gets less than "
        "0.0001, level 255 with all above it 1.0000. The 256 bars add up to 1.000000."
    )


def test_the_axes_end_at_round_numbers():
    assert [nice(value) for value in (0.0011, 0.05, 0.97, 1, 2.15, 8.5)] == [0.002, 0.05, 1, 1, 3, 10]


def test_the_page_is_small_whole_and_the_same_each_time():
    html = static_html()
    assert html == static_html()
    assert len(html) < 400_000
    assert "http" not in html
    assert html.count("data-part=") == 2 * 11


def test_it_starts_where_it_is_told():
    playground = MixturePlayground(components=[(100.2, -7, 1)], level=98, log_view=True)
    html = playground._repr_mimebundle_()["text/html"]
    assert sentence(SHARP, 98, log_view=True) in html
    assert sentence(SHARP, 98, log_view=True) in playground.view.value  # the mean went to the slider's step
    assert repr(playground) == playground._repr_mimebundle_()["text/plain"]


def test_what_the_sliders_cannot_show_is_refused():
    for components, words in (([], "one to three"), ([(300, -3, 1)], "mean must be"), ([(3, -8, 1)], "log-scale must be")):
        with pytest.raises(ValueError, match=words):
            MixturePlayground(components=components)
    with pytest.raises(ValueError, match="level must be"):
        MixturePlayground(level=256)


def drawn(html):
    return dict(re.findall(r'data-part="([\w-]+)" d="([^"]*)"', html))


def test_the_live_face_follows_its_controls():
    playground = MixturePlayground()

    def shows(components, level, log_view=False):
        assert drawn(playground.view.value) == scene(components, level)[0]
        assert sentence(components, level, log_view) in playground.view.value

    shows(START[:2], 250)
    playground.count.value = 3
    assert playground.chosen.value == 3
    mean, log_scale, weight = playground.box.children
    mean.value, log_scale.value, weight.value = 20.5, -4.3, 77
    shows([*START[:2], (20.5, -4.3, 77)], 250)
    playground.chosen.value = 1
    playground.box.children[0].value = 44
    playground.level.value = 0
    playground.log_view.value = True
    shows([(44, *START[0][1:]), START[1], (20.5, -4.3, 77)], 0, log_view=True)
    playground.count.value = 1
    shows([(44, *START[0][1:])], 0, log_view=True)
    assert playground.box.children == tuple(playground.settings[0])


@pytest.fixture
def page(open_html):
    return open_html(static_html())


ROLES = {"components": "combobox", "change component": "combobox", "logarithms": "switch"}


def control(page, name):
    """The control that is shown, found as a screen reader finds it."""
    return page.get_by_role(ROLES.get(name, "slider"), name=re.compile(f"^{name}"))


def shows(page, components, level, log_view=False):
    """The page draws what Python would, and says the same."""
    assert page.locator(".mix-words").inner_text() == sentence(components, level, log_view)
    paths, texts, labels = scene(components, level)
    parts = page.locator("[data-part]").evaluate_all("all => all.map(e => [e.dataset.part, e.getAttribute('d')])")
    assert dict(parts).keys() == paths.keys()
    for part, data in parts:
        assert re.sub(r"[\d.]+", "", data) == re.sub(r"[\d.]+", "", paths[part])
        ours, theirs = (list(map(float, re.findall(r"[\d.]+", each))) for each in (data, paths[part]))
        assert ours == pytest.approx(theirs, abs=0.11), part  # one decimal is written
    words = page.locator("[data-text]").evaluate_all("all => all.map(e => [e.dataset.text, e.textContent])")
    assert dict(words) == texts
    numbers = page.locator("[data-label]").evaluate_all("all => all.map(e => [e.textContent, +e.getAttribute('x')])")
    assert [text for text, _ in numbers] == [str(n) if n <= len(components) else "" for n in (1, 2, 3)]
    assert [x for text, x in numbers if text] == pytest.approx([x for x, _ in labels], abs=0.11)


def test_the_script_computes_the_packages_numbers(page):
    for seed in range(20):
        components, _ = at_random(seed)
        total = sum(weight for *_, weight in components)
        given = [{"mean": m, "scale": grey_levels(s), "share": weight / total} for m, s, weight in components]
        for released, expected in ((False, package_log2(components)), (True, released_log2(components))):
            call = "(root, [components, released]) => root.log2Probabilities(components, released)"
            theirs = page.locator(".mix-playground").evaluate(call, [given, released])
            torch.testing.assert_close(torch.tensor(theirs, dtype=torch.double), expected, atol=1e-9, rtol=1e-12)


def test_the_page_draws_the_packages_numbers_at_random_settings(page):
    for seed in range(4):
        components, level = at_random(100 + seed)
        control(page, "components").select_option(str(len(components)))
        for n, numbers in enumerate(components, 1):
            control(page, "change component").select_option(str(n))
            for name, value in zip(LIMITS, numbers):
                control(page, name).fill(str(value))
        control(page, "level").fill(str(level))
        log_view = control(page, "logarithms")
        log_view.set_checked(seed % 2 == 1)
        shows(page, components, level, log_view=seed % 2 == 1)


def test_every_control_moves_by_mouse_and_keyboard(page):
    first, second, third = ([*each] for each in START)
    shows(page, [first, second], 250)
    control(page, "mean").focus()
    page.keyboard.press("ArrowRight")
    second[0] += 0.5
    control(page, "log-scale").focus()
    page.keyboard.press("Home")
    second[1] = -7
    control(page, "weight").focus()
    page.keyboard.press("End")
    second[2] = 100
    shows(page, [first, second], 250)
    assert control(page, "log-scale").get_attribute("aria-valuetext") == "-7, or 0.12 grey levels"
    control(page, "components").select_option("3")
    assert control(page, "change component").input_value() == "3"
    shows(page, [first, second, third], 250)
    control(page, "weight").click(position={"x": 1, "y": 14})  # by mouse, to its lower end
    shows(page, [first, second, [*third[:2], 1]], 250)
    control(page, "components").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert control(page, "change component").locator("option:enabled").count() == 1
    shows(page, [first], 250)


def test_the_cursor_moves_by_mouse_and_keyboard(page):
    components, picture = START[:2], page.locator("svg.mix-all")
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] * 42 / 340, "y": 50})  # left of all levels
    shows(page, components, 0)
    for key, level in {"ArrowRight": 1, "PageUp": 17, "ArrowUp": 18, "ArrowLeft": 17, "End": 255, "ArrowUp ": 255}.items():
        page.keyboard.press(key.strip())
        shows(page, components, level)
    page.mouse.move(box["x"] + box["width"] * 188 / 340, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 300 / 340, box["y"] + 50)
    page.mouse.up()
    level = int(control(page, "level").input_value())
    assert abs(level - (-24.5 + 304 * (300 - 42) / 292)) < 2
    shows(page, components, level)
    control(page, "logarithms").focus()
    page.keyboard.press("Space")
    shows(page, components, level, log_view=True)
    assert page.locator("[data-part='near-exact']").is_visible()
    assert not page.locator("[data-part='near-bars']").is_visible()


def test_two_of_them_in_a_page_do_not_disturb_each_other(page, tmp_path):
    file = tmp_path / "two.html"
    file.write_text(static_html() + static_html(SHARP, 100, log_view=True), encoding="utf-8")
    page.goto(file.as_uri())
    control(page, "level").first.fill("7")
    words = page.locator(".mix-words").all_inner_texts()
    assert words == [sentence(START[:2], 7), sentence(SHARP, 100, log_view=True)]


def test_the_page_fits_a_phone(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = "all => all.map(e => e.getBoundingClientRect().height)"
    assert min(page.locator(".mix-playground :is(input, select):visible").evaluate_all(heights)) >= 24
