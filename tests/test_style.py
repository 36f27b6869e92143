"""The book's colours can be read on its paper and told apart, and asking for the style changes nothing until it is used."""

import itertools
import re
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from contrast import contrast
from matplotlib.figure import Figure

from pixelcnn_edu import live, style, widgets
from pixelcnn_edu.exercises.questions import STYLE

COLORS = ["BLUE", "ORANGE", "GREEN", "PURPLE", "RED", "GREY", "INK"]


def test_the_contrast_formula_gives_the_known_values():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


BOOK_SHEET = (Path(__file__).parent.parent / "book" / "_static" / "book.css").read_text()
DARK = float(re.search(r"html\[data-theme=.dark.\][^{]*img[^{]*{[^}]*brightness\(([\d.]+)\)", BOOK_SHEET)[1])


@pytest.mark.parametrize("brightness", [1, DARK])
@pytest.mark.parametrize("name", COLORS)
def test_every_color_can_be_read_on_paper(name, brightness):
    """In the dark theme a figure and its paper are dimmed together."""
    text, paper = (
        "#" + "".join(f"{round(int(color[i : i + 2], 16) * brightness):02x}" for i in (1, 3, 5))
        for color in (getattr(style, name), style.PAPER)
    )
    assert contrast(text, paper) >= 4.5


FOLDERS = [Path(widgets.__file__).parent, Path(live.__file__).parent]
SHEETS = {file.stem: file.read_text() for folder in FOLDERS for file in sorted(folder.glob("*.css"))} | {"questions": STYLE}


@pytest.mark.parametrize("sheet", SHEETS)
def test_every_text_of_a_widget_can_be_read(sheet):
    """In either theme, for a widget brings its own paper."""
    texts = 0
    for selector, rule in re.findall(r"([^{}]+){([^{}]*)}", SHEETS[sheet]):
        colors = dict(re.findall(r"(?<![-\w])(color|fill|background): ?(#[0-9a-f]{3,6})\b", rule))
        drawn_text = "text" in selector or "label" in selector
        text = colors.get("color") or (drawn_text and colors.get("fill"))
        if text:
            assert contrast(text, colors.get("background", style.PAPER)) >= 4.5, selector
            texts += 1
        if "max-width" in rule and "border-radius" in rule:  # the sheet itself
            assert colors["background"] == style.PAPER, selector
            assert colors["color"] == style.INK, selector
    assert texts


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


def test_a_drawn_field_marks_the_pixel_and_each_earlier_one_that_it_misses():
    field = torch.zeros(4, 5, dtype=torch.float64)
    field[0, 1], field[1, :3], field[2, 0] = 1e-9, 0.5, 1.0
    figure = Figure()
    ax = figure.subplots()
    style.draw_field(ax, field, 2, 1)
    pixel, crosses = ax.lines
    assert (pixel.get_xdata().tolist(), pixel.get_ydata().tolist()) == ([1], [2])
    missed = {(int(i), int(j)) for i, j in zip(crosses.get_ydata(), crosses.get_xdata(), strict=True)}
    assert missed == {(0, 0), (0, 2), (0, 3), (0, 4), (1, 3), (1, 4)}
    shown = ax.images[0].get_array()
    assert (shown.mask == (field == 0).numpy()).all()
    assert shown.max() == shown[2, 0] == 0  # the strongest is the brightest
    assert shown.min() == shown[0, 1] == -3  # three decades, then no darker
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["the pixel to predict", "earlier, but unseen"]


def test_a_field_that_sees_nothing_can_be_drawn_and_crosses_can_be_left_out():
    ax = Figure().subplots()
    style.draw_field(ax, torch.zeros(3, 3, dtype=torch.float64), 0, 0, legend=False, crosses=False)
    assert len(ax.lines) == 1
    assert ax.get_legend() is None
    assert ax.images[0].get_array().mask.all()
