"""The book's colours can be read on its paper and told apart, and asking for the style changes nothing until it is used."""

import itertools

import matplotlib as mpl
import pytest

from pixelcnn_edu import style

COLORS = ["BLUE", "ORANGE", "GREEN", "PURPLE", "RED", "GREY", "INK"]


def luminance(color):
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_formula_gives_the_known_values():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", COLORS)
def test_every_color_can_be_read_on_paper(name):
    assert contrast(getattr(style, name), style.PAPER) >= 4.5


def test_no_two_colors_are_the_same():
    for a, b in itertools.combinations(COLORS, 2):
        rgb = [[int(getattr(style, n)[i : i + 2], 16) for i in (1, 3, 5)] for n in (a, b)]
        assert sum(abs(x - y) for x, y in zip(*rgb, strict=True)) > 60


def test_use_style_sets_the_defaults_and_can_be_called_twice():
    with mpl.rc_context():
        assert style.use_style() is None
        first = dict(mpl.rcParams)
        style.use_style()
        assert dict(mpl.rcParams) == first
        assert mpl.rcParams["figure.facecolor"] == mpl.rcParams["axes.facecolor"] == style.PAPER
        assert mpl.rcParams["text.color"] == style.INK
        assert mpl.rcParams["image.interpolation"] == "nearest"  # a pixel is a pixel
        cycle = [entry["color"] for entry in mpl.rcParams["axes.prop_cycle"]]
        assert cycle == [getattr(style, name) for name in COLORS[:5]]
