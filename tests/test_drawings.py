"""The drawings show what the code computes, can be read in both themes and by a screen reader, and stay light."""

import re
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from contrast import contrast

from pixelcnn_edu import Config, PixelCNN, drawings
from pixelcnn_edu.causal import (
    DownRightShiftedConv2d,
    DownShiftedConv2d,
    MaskedConv2d,
    down_shift,
    right_shift,
)
from pixelcnn_edu.exercises.chapter01 import _chapter_context
from pixelcnn_edu.probes import blind_spot, receptive_field

NAMES = [name for name in drawings.__all__ if name[0].islower()]
PAGES = {"light": ("#323232", "#ffffff"), "dark": ("#ced6dd", "#14181e")}  # text and ground
each_drawing = pytest.mark.parametrize("name", NAMES)


def panels(name):
    """The SVG elements of a drawing."""
    markup = getattr(drawings, name)()._repr_html_()
    return list(ElementTree.fromstring(markup).iter("svg"))


def cells(panel, ink, tinted=True):
    """The places (row, column) of a panel's cells with that ink, those that are tinted or the rest."""
    found = set()
    for box in panel.iter("rect"):
        single = float(box.get("width")) < drawings.CELL
        if single and ink in box.get("stroke") and tinted == (box.get("fill") != "none"):
            found.add(tuple(int(float(box.get(side)) // drawings.CELL) for side in "yx"))
    return found


def crosses(panel):
    """The places of a panel's crosses."""
    starts = [
        re.match(r"M([\d.]+) ([\d.]+)L", path.get("d")) for path in panel.iter("path") if "--px-red" in path.get("stroke")
    ]
    return {tuple(int(float(start[side]) // drawings.CELL) for side in (2, 1)) for start in starts}


def seen(network, row, column, rows, columns):
    """The places that a network's output depends on."""
    field = receptive_field(network, row, column, image_shape=(1, rows, columns))
    return {tuple(place) for place in field.nonzero().tolist()}


def texts(panel):
    """Where a panel's texts stand, (row, column) of their cell, and what they say."""
    return {tuple(int(float(text.get(side)) // drawings.CELL) for side in "yx"): text.text for text in panel.iter("text")}


# --- what is drawn is true -------------------------------------------------------------------------------------------


def test_the_orders_drawn_are_those_of_a_tensor():
    raster, memory = panels("raster_order")
    image = torch.arange(12).view(2, 2, 3).movedim(2, 0)  # (C, H, W), numbered in raster order
    assert [text for _, text in sorted(texts(raster).items())] == [f"{'RGB'[n % 3]}{n}" for n in range(12)]
    drawn = {place: int(text[1:]) for place, text in texts(memory).items()}
    assert drawn == {(c, n): image[c].flatten()[n].item() for c in range(3) for n in range(4)}


def test_the_interval_shrinks_as_the_slices_say_and_its_code_lies_in_it():
    (panel,) = panels("coding_interval")
    boxes = [box for box in panel.iter("rect") if "blue" in box.get("stroke")]
    kept = [box for box in panel.iter("rect") if "orange" in box.get("stroke")]
    left = min(float(box.get("x")) for box in boxes)
    wide = sum(float(box.get("width")) for box in boxes) / 3  # three bars of the same length
    low, width = 0.0, 1.0
    for box in kept:
        low += width * (float(box.get("x")) - left) / wide
        width *= float(box.get("width")) / wide
    said = [text.text for text in panel.iter("text")]
    (code,) = (text.split(": ")[1] for text in said if "name it" in text)
    assert low == pytest.approx(int(code, 2) / 2 ** len(code), abs=0.002)
    assert width == pytest.approx(2 ** -len(code), abs=0.002)
    assert sum(int(bits) for text in said for bits in re.findall(r"occurs: (\d) bit", text)) == len(code) - 1
    probabilities = [float(Fraction(text[4:])) for text in said if text.startswith("p = ")]
    assert probabilities == pytest.approx([float(box.get("width")) / wide for box in boxes], abs=0.002)


def test_each_factor_of_the_chain_rule_is_given_all_numbers_before_it():
    (panel,) = panels("chain_rule")
    assert cells(panel, "blue") == {(row, column) for row in range(4) for column in range(row)}
    said = [text.text for text in panel.iter("text")]
    for row in range(1, 4):
        known = [text for (i, _), text in sorted(texts(panel).items()) if i == row and text.startswith("x")]
        assert f"p({'x₁x₂x₃x₄'[2 * row : 2 * row + 2]} | {', '.join(known)})" in said


def test_the_linear_context_drawn_is_the_one_of_the_chapter():
    nothing, neighbour, linear = panels("contexts")
    images = torch.zeros(1, 3, 2, 3, dtype=torch.uint8)
    before, used = _chapter_context(images)[..., 1, 1], set()
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2)):
        changed = images.clone()
        changed[:, :, row, column] = 9
        if not torch.equal(_chapter_context(changed)[..., 1, 1], before):
            used.add((row, column))
    assert cells(linear, "blue") == used
    assert cells(neighbour, "blue") == {(1, 0)}
    assert not cells(nothing, "blue")


def test_the_masks_drawn_are_those_of_the_layer():
    for panel, kind in zip(panels("mask_types"), "AB", strict=True):
        drawn = [int(text.text) for text in panel.iter("text")]
        assert drawn == MaskedConv2d(1, 1, 3, kind).mask.flatten().tolist()
        assert len(cells(panel, "blue")) == sum(drawn)


def test_the_blind_spot_drawn_is_that_of_a_deep_stack():
    stack = torch.nn.Sequential(MaskedConv2d(1, 4, 3, "A"), *[MaskedConv2d(4, 4, 3, "B") for _ in range(12)])
    for panel, columns in ((panels("blind_spot_paths")[1], 8), (panels("hidden_copies")[0], 9)):
        blind = blind_spot(receptive_field(stack, 3, 2, image_shape=(1, 4, columns)), 3, 2)
        assert crosses(panel) == {tuple(place) for place in blind.nonzero().tolist()}


def test_one_layer_leads_to_the_four_pixels_of_its_mask():
    assert cells(panels("blind_spot_paths")[0], "blue") == seen(MaskedConv2d(1, 1, 3, "A"), 1, 1, 3, 3)


def test_the_copies_of_the_rain_lie_in_the_crossed_part():
    (panel,) = panels("hidden_copies")
    copies = cells(panel, "orange", tinted=False)
    assert copies == {(3 - k, 2 + 2 * k) for k in (1, 2, 3)}
    assert copies <= crosses(panel)


class _First(torch.nn.Module):
    def __init__(self, above, left):
        super().__init__()
        self.above, self.left = (conv.double() if conv else None for conv in (above, left))

    def forward(self, x):
        parts = [down_shift(self.above(x))] if self.above else []
        return sum(parts + ([right_shift(self.left(x))] if self.left else []))


def test_the_first_layer_sees_what_is_drawn():
    above, left = DownShiftedConv2d(1, 1, (1, 3)), DownRightShiftedConv2d(1, 1, (2, 1))
    networks = (_First(above, None), _First(None, left), _First(above, left))
    for panel, network in zip(panels("first_layer"), networks, strict=True):
        assert cells(panel, "blue") == seen(network, 1, 1, 3, 3)


def test_the_vertical_stream_sees_what_is_drawn():
    """The drawing has a row of padding above the image."""
    kernel = DownShiftedConv2d(1, 1, (2, 3))
    padded, shifted = panels("vertical_padding")
    for panel, network, row in ((padded, kernel, 2), (shifted, _First(kernel, None), 3)):
        assert cells(panel, "blue") == {(i + 1, j) for i, j in seen(network, row, 2, 4, 5)}


def test_an_ordinary_convolution_sees_what_is_crossed_out():
    field = seen(torch.nn.Conv2d(1, 1, 3, padding=1), 2, 2, 5, 5)
    panel = panels("ordinary_convolution")[0]
    assert crosses(panel) == {place for place in field if place > (2, 2)}
    assert len(field & cells(panel, "blue")) == 4


def line(path):
    """The points (column, row) of a path, in cells."""
    numbers = [float(number) / drawings.CELL for number in re.findall(r"-?[\d.]+", path.get("d"))]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def widest(panel):
    """The points of a chart's main curve: its thickest path that is solid."""
    return line(
        max(
            (path for path in panel.iter("path") if path.get("fill") == "none"),
            key=lambda path: float(path.get("stroke-width")),
        )
    )


def heights(points):
    """Points (column, row) of a chart as columns and heights, which run from 0 on the axis to 1."""
    columns, rows = torch.tensor(points).T
    return columns, (5 - rows) / 4


def test_the_curve_drawn_is_a_sigmoid_and_the_bar_its_rise_across_the_bin():
    panel = panels("bin_of_sigmoid")[0]
    columns, cdf = heights(widest(panel))
    z = torch.logit(cdf.double().clamp(1e-9, 1 - 1e-9))
    inside = (cdf > 0.02) & (cdf < 0.98)
    slopes = z[inside].diff() / columns.double()[inside].diff()
    torch.testing.assert_close(slopes, slopes.mean().expand_as(slopes), rtol=0.2, atol=0)
    dashed = [line(path) for path in panel.iter("path") if path.get("stroke-dasharray") == "5 3"]
    edges = [points[0][0] for points in dashed if points[0][0] == points[1][0]]  # of the bin: upright lines
    rise = np.diff(np.interp(sorted(edges), columns, cdf))
    (bar,) = panel.iter("rect")
    assert float(bar.get("height")) / drawings.CELL / 4 == pytest.approx(rise.item(), abs=0.01)


def test_the_mixture_drawn_is_the_sum_of_its_bells():
    bells, mixture = panels("two_bells")
    curves = [heights(line(path))[1] for path in bells.iter("path") if len(line(path)) > 5]
    assert len(curves) == 2
    torch.testing.assert_close(heights(widest(mixture))[1], sum(curves), atol=0.01, rtol=0)


def test_the_sample_drawn_lies_below_the_curve_and_in_the_bin_of_its_level():
    (panel,) = panels("sample_from_sigmoid")
    columns, cdf = heights(widest(panel))
    tips = [float(head.get("points").split()[0].split(",")[0]) / drawings.CELL for head in panel.iter("polygon")]
    across, _ = panel.iter("polygon")
    height = 1.25 - float(across.get("points").split()[0].split(",")[1]) / drawings.CELL / 4
    assert tips[0] == pytest.approx(tips[1], abs=0.01)
    assert float(np.interp(tips[1], columns, cdf)) == pytest.approx(height, abs=0.01)
    (dot,) = (text for text in panel.iter("text") if text.text == "●")
    assert abs(float(dot.get("x")) / drawings.CELL - tips[1]) < 0.5


def test_the_coloured_kernel_drawn_is_that_of_the_first_layer():
    (panel,) = panels("coloured_kernel")
    mask = MaskedConv2d(3, 3, 7, "A", colors=3).mask.amin(dim=1)  # what a colour of the output sees in all three
    for seen_whole in mask:
        assert {tuple(place) for place in seen_whole.nonzero().tolist()} == cells(panel, "blue") - {(3, 3)}


def test_the_masks_of_colours_drawn_are_those_of_the_layer():
    for panel, kind in zip(panels("colour_masks"), "AB", strict=True):
        rule = MaskedConv2d(3, 3, 1, kind, colors=3).mask.flatten().tolist()
        assert [int(text.text) for text in panel.iter("text") if text.text in "01"] == rule
        assert len(cells(panel, "blue")) == sum(rule)


def test_colours_flow_as_the_masks_let_them():
    """Every arrow between two layers is a one of the mask, and what reaches green's prediction is thick."""
    (panel,) = panels("colour_flow")
    boxes = [tuple(float(box.get(side)) for side in ("y", "x", "height", "width")) for box in panel.iter("rect")]
    (tops, lefts) = (sorted({box[side] for box in boxes}) for side in (0, 1))
    arrows = {}
    for path in panel.iter("path"):
        x, y, end, _ = map(float, re.fullmatch(r"M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)", path.get("d")).groups())
        near = [max(i for i, left in enumerate(lefts) if left < place) for place in (x, end)]
        layer = max(i for i, top in enumerate(tops) if top < y)
        arrows[layer, near[0], near[1]] = "orange" in path.get("stroke")
    reach = torch.eye(3)[1]  # from green's prediction back, layer by layer
    for layer, rule in reversed(list(enumerate([*(MaskedConv2d(3, 3, 1, kind, colors=3).mask for kind in "AB"), None]))):
        rule = torch.eye(3) if rule is None else rule[:, :, 0, 0]
        drawn = torch.zeros(3, 3)  # [output, input]
        thick = torch.zeros(3, 3)
        for (place, source, target), is_thick in arrows.items():
            if place == layer:
                drawn[target, source], thick[target, source] = 1, float(is_thick)
        assert torch.equal(drawn, rule)
        assert torch.equal(thick, rule * reach[:, None])
        reach = (reach @ rule).clamp(max=1)
    assert reach.tolist() == [1, 0, 0]


def test_the_layers_drawn_are_those_of_the_network():
    network, block = panels("original_layers")
    model = PixelCNN(Config.tiny())
    convs = [module for module in model.modules() if isinstance(module, MaskedConv2d)]
    outside = [convs[0], *convs[-2:]]
    sizes = [int(text.text) for text in network.iter("text") if text.text.isdigit()]
    assert sizes == [3, convs[0].out_channels, convs[-2].in_channels, convs[-2].out_channels]
    kernels = [text.text[:3] for text in network.iter("text") if "type" in text.text]
    assert kernels == ["{}x{}".format(*conv.kernel_size) for conv in outside]
    inside = list(model.blocks[0].children())
    sizes = [int(text.text) for text in block.iter("text") if text.text.isdigit()]
    assert sorted(sizes) == sorted([inside[0].in_channels, *(conv.out_channels for conv in inside)])
    kernels = [text.text[:3] for text in block.iter("text") if "type" in text.text]
    assert kernels == ["{}x{}".format(*conv.kernel_size) for conv in inside]
    assert any(text.text.startswith(f"{len(model.blocks)} residual") for text in network.iter("text"))


# --- how it is drawn -------------------------------------------------------------------------------------------------


@each_drawing
def test_a_drawing_is_described_and_the_same_at_every_call(name):
    drawing = getattr(drawings, name)()
    assert drawing._repr_html_() == getattr(drawings, name)()._repr_html_()
    for panel in panels(name):
        label = panel.get("aria-label")
        assert panel.get("role") == "img"
        assert len(label) >= 30
        assert re.fullmatch(r"[A-Z].*\.", label)
        assert label in repr(drawing)


@each_drawing
def test_a_drawing_is_light_and_stays_in_its_frame(name):
    assert len(getattr(drawings, name)()._repr_html_()) < 12_000
    for panel in panels(name):
        left, top, width, height = map(float, panel.get("viewBox").split())
        assert width <= 340, "a panel must be readable on a phone"
        for box in panel.iter("rect"):
            x, y, w, h = (float(box.get(side)) for side in ("x", "y", "width", "height"))
            assert left <= x
            assert top <= y
            assert x + w <= left + width
            assert y + h <= top + height


@each_drawing
def test_a_drawing_has_no_names_that_another_could_have_too(name):
    assert " id=" not in getattr(drawings, name)()._repr_html_()


@pytest.mark.parametrize("theme", PAGES)
@pytest.mark.parametrize("ink", drawings.INKS)
def test_every_ink_can_be_seen_in_both_themes(ink, theme):
    """The browser mixes an ink with the text's colour, 72 to 28."""
    text, ground = PAGES[theme]
    channels = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in (drawings.INKS[ink], text)]
    mixed = "#" + "".join(f"{round(0.72 * a + 0.28 * b):02x}" for a, b in zip(*channels, strict=True))
    assert f"{drawings.INKS[ink]} 72%,currentColor" in drawings.STYLE
    assert contrast(mixed, ground) >= 3
