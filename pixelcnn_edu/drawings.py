"""Drawings of the book's ideas, made by code: grids, cells, arrows and labels as inline SVG, in one style.

A drawing is a row of panels that wraps on a narrow screen. Its inks are mixed with the colour of
the text around it, so it reads on a light and on a dark page, and no meaning hangs on colour alone.
`Panel` has the primitives; each function below it makes one drawing. Coordinates are (row, column)
in cells from the upper left corner, as in a tensor.
"""

import html
import math
from fractions import Fraction

from pixelcnn_edu.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED

__all__ = [
    "Drawing",
    "Panel",
    "bin_of_sigmoid",
    "blind_spot_paths",
    "causal_orders",
    "chain_rule",
    "coder",
    "coding_interval",
    "colour_flow",
    "colour_masks",
    "coloured_kernel",
    "contexts",
    "edge_bins",
    "first_layer",
    "hidden_copies",
    "mask_types",
    "ordinary_convolution",
    "original_layers",
    "raster_order",
    "sample_from_sigmoid",
    "two_bells",
    "two_streams",
    "vertical_padding",
]

CELL = 36  # side of a cell in SVG units, which are CSS pixels where there is room
INKS = {"blue": BLUE, "green": GREEN, "grey": GREY, "orange": ORANGE, "purple": PURPLE, "red": RED}
STYLE = (
    ".px-drawing{"
    + "".join(f"--px-{ink}:color-mix(in srgb,{color} 72%,currentColor);" for ink, color in INKS.items())
    + "display:flex;flex-wrap:wrap;justify-content:center;align-items:flex-start;"
    "gap:.75rem 1.75rem;margin:.5rem 0}"
    ".px-drawing svg{display:block;max-width:100%;height:auto;margin:0 auto}"
    ".px-drawing text{font:15px system-ui,sans-serif;fill:currentColor;"
    "text-anchor:middle;dominant-baseline:central}"
    ".px-drawing .px-panel{max-width:100%}"
    ".px-drawing .px-panel p{max-width:17rem;margin:.35rem auto 0;text-align:center;"
    "font-size:.9em;line-height:1.35}"
)


class Drawing:
    """Panels side by side, or below one another on a narrow screen; a notebook shows them."""

    def __init__(self, *panels):
        self.panels = panels

    def __repr__(self):
        return "\n".join(panel.label for panel in self.panels)

    def _repr_html_(self):
        panels = "".join(panel.html() for panel in self.panels)
        return f'<figure class="px-drawing"><style>{STYLE}</style>{panels}</figure>'


class Panel:
    """One part of a drawing, of so many rows and columns of cells.

    `label` says in a sentence what is drawn, for those who do not see it; `title` stands below,
    for all.
    """

    def __init__(self, rows, columns, label, title=""):
        self.rows, self.columns, self.label, self.title, self.parts = rows, columns, label, title, []

    def html(self):
        """The panel as HTML: an SVG with its label, and the title below it."""
        width, height = (round((cells + 0.2) * CELL) for cells in (self.columns, self.rows))
        edge = -0.1 * CELL  # room for the thickness of the outermost lines
        size = f'width="{width}" height="{height}" viewBox="{edge:g} {edge:g} {width} {height}"'
        svg = f'<svg role="img" aria-label="{html.escape(self.label)}" {size}>{"".join(self.parts)}</svg>'
        title = f"<p>{html.escape(self.title)}</p>" if self.title else ""
        return f'<div class="px-panel">{svg}{title}</div>'

    # --- primitives -------------------------------------------------------------------------------

    def box(self, row, column, rows=1, columns=1, ink="grey", tint=0.0, width=1.0, dashes="", inset=0.0):
        """A rectangle: its outline in `ink`, its inside tinted with it from 0, empty, to 1."""
        x, y = _units(column + inset), _units(row + inset)
        size = f'width="{_units(columns - 2 * inset)}" height="{_units(rows - 2 * inset)}"'
        fill = f'fill="var(--px-{ink})" fill-opacity="{tint:g}"' if tint else 'fill="none"'
        self.parts.append(f'<rect x="{x}" y="{y}" {size} rx="3" {fill} {_line(ink, width, dashes)}/>')

    def words(self, row, column, text, size=15, anchor="middle", bold=False, ink=None):
        """Text whose middle, start or end stands at a point."""
        look = f"font-size:{size}px;text-anchor:{anchor}"
        look += f";fill:var(--px-{ink})" if ink else ""
        look += ";font-weight:600" if bold else ""
        look = f' style="{look}"' if look != "font-size:15px;text-anchor:middle" else ""
        self.parts.append(f'<text x="{_units(column)}" y="{_units(row)}"{look}>{html.escape(text)}</text>')

    def cell(self, row, column, text="", **look):
        """A pixel: a box of one cell, with text in its middle."""
        self.box(row, column, inset=0.04, **look)
        if text:
            self.words(row + 0.5, column + 0.5, text)

    def cross(self, row, column, ink="red"):
        """A cross in the middle of a cell: not seen, or not allowed."""
        left, right = _units(column + 0.28), _units(column + 0.72)
        top, bottom = _units(row + 0.28), _units(row + 0.72)
        path = f"M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}"
        self.parts.append(f'<path d="{path}" fill="none" {_line(ink, 2.2)}/>')

    def line(self, start, end, ink="grey"):
        """A thin straight line from one point (row, column) to another."""
        path = f"M{_units(start[1])} {_units(start[0])}L{_units(end[1])} {_units(end[0])}"
        self.parts.append(f'<path d="{path}" fill="none" {_line(ink, 1.2)}/>')

    def path(self, points, ink="grey", width=2.2):
        """A line through points (row, column)."""
        through = "L".join(f"{_units(column)} {_units(row)}" for row, column in points)
        self.parts.append(f'<path d="M{through}" fill="none" {_line(ink, width)}/>')

    def arrow(self, start, end, ink="orange", width=2.2):
        """A straight arrow from one point (row, column) to another."""
        length = math.dist(start, end)
        down, right = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        head = 0.25  # its length in cells
        neck = (end[0] - head * down, end[1] - head * right)
        self.path([start, neck], ink, width)
        sides = [(neck[0] + side * right, neck[1] - side * down) for side in (head / 2, -head / 2)]
        points = " ".join(f"{_units(column)},{_units(row)}" for row, column in [end, *sides])
        self.parts.append(f'<polygon points="{points}" fill="var(--px-{ink})"/>')

    def curve(self, points, ink="blue", tint=0.0, width=2.4, dashes=""):
        """A line through points (row, column); what it encloses is tinted, its ends joined."""
        path = "M" + "L".join(f"{_units(column)} {_units(row)}" for row, column in points)
        if tint:
            self.parts.append(f'<path d="{path}Z" fill="var(--px-{ink})" fill-opacity="{tint:g}"/>')
        if width:
            self.parts.append(f'<path d="{path}" fill="none" {_line(ink, width, dashes)}/>')

    # --- pixels of a kind, the same in every drawing ------------------------------------------------

    def earlier(self, row, column, text=""):
        """A pixel of the past: tinted."""
        self.cell(row, column, text, ink="blue", tint=0.28)

    def later(self, row, column, text=""):
        """A pixel that is not known yet, or of no concern: empty, its outline thin."""
        self.cell(row, column, text, width=0.7)

    def target(self, row, column, text="?"):
        """The pixel to predict: a thick frame and a question mark."""
        self.cell(row, column, text, ink="orange", tint=0.16, width=2.6)

    def padding(self, row, column):
        """A zero that is put round the image: dashed."""
        self.cell(row, column, "0", dashes="3 3")

    def image(self, rows, columns, target):
        """A grid of pixels, each earlier or later than `target`, the pixel to predict."""
        for place in ((row, column) for row in range(rows) for column in range(columns)):
            kind = self.earlier if place < target else self.later if place > target else self.target
            kind(*place)

    def kernel(self, row, column, rows, columns):
        """The frame of a convolution's kernel."""
        self.box(row, column, rows, columns, ink="purple", width=3)

    def wedge(self, columns, target):
        """Crosses in the blind spot of `target`: k rows up, more than k columns to the right."""
        for k in range(1, target[0] + 1):
            for column in range(target[1] + k + 1, columns):
                self.cross(target[0] - k, column)


def _units(cells):
    """A length in SVG units with one digit at most, so that stored drawings stay light."""
    return f"{round(cells * CELL, 1):g}"


def _line(ink, width, dashes=""):
    """The attributes of a line."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'stroke="var(--px-{ink})" stroke-width="{width:g}"{dashed}'


# --- chapter 1 --------------------------------------------------------------------------------------

CODED = (((1, 2, 1), 1), ((2, 1, 1), 2), ((2, 1, 1), 0))  # quarters of each level, and the level that occurred


def raster_order():
    """An image of 2 by 2 pixels as a sequence, and as it lies in memory. Chapter 1."""
    raster = Panel(
        rows=2.2,
        columns=6.2,
        label="Two rows of two pixels, each of three cells for red, green and blue. The cells are "
        "numbered 0 to 11, pixel after pixel: R0, G1, B2, then R3, G4, B5, and so on.",
        title="Raster order: pixel by pixel, and in each red, green, blue.",
    )
    memory = Panel(
        rows=3,
        columns=4,
        label="The same twelve numbers as three rows, one for each channel: R0, R3, R6, R9, then "
        "G1, G4, G7, G10, then B2, B5, B8, B11.",
        title="In memory: all of red first, then green, then blue.",
    )
    for place in range(12):
        pixel, channel = divmod(place, 3)
        row, column = divmod(pixel, 2)
        look = {"text": f"{'RGB'[channel]}{place}", "ink": ("red", "green", "blue")[channel], "tint": 0.22}
        raster.cell(1.2 * row, 3.2 * column + channel, **look)
        memory.cell(channel, pixel, **look)
    return Drawing(raster, memory)


def coding_interval():
    """The interval from 0 to 1, cut by three predictions in turn; the slice that occurred is kept. Chapter 1."""
    left, wide, high, gap = 1.2, 6.8, 1.2, 1.5
    panel = Panel(
        rows=3 * (high + gap),
        columns=9.2,
        label="Three bars below one another. The first goes from 0 to 1 and is cut into slices for "
        "the levels 0, 1 and 2, of a quarter, a half and a quarter. The slice of level 1 is kept and "
        "becomes the second bar, from 1/4 to 3/4. Its slice of level 2, a quarter, becomes the third "
        "bar, from 5/8 to 3/4. Its slice of level 0, a half, remains: 1/16 of the first bar, 4 bits.",
    )
    low, width = Fraction(0), Fraction(1)
    for step, (quarters, level) in enumerate(CODED):
        top = step * (high + gap)
        panel.words(top + high / 2, left - 0.15, str(low), size=14, anchor="end")
        panel.words(top + high / 2, left + wide + 0.15, str(low + width), size=14, anchor="start")
        start = left
        for name, share in enumerate(quarters):
            end = start + share * wide / 4
            panel.box(top, start, high, end - start, ink="blue", tint=0.22 if name == level else 0.0)
            panel.words(top + 0.38, (start + end) / 2, str(name), bold=True)
            panel.words(top + 0.85, (start + end) / 2, f"p = {Fraction(share, 4)}", size=13)
            if name == level:
                kept = start, end
            start = end
        panel.box(top, kept[0], high, kept[1] - kept[0], ink="orange", width=2.6)
        share = Fraction(quarters[level], 4)
        low, width = low + width * Fraction(sum(quarters[:level]), 4), width * share
        middle = (sum(kept) / 2 + left + wide / 2) / 2
        if step + 1 < len(CODED):
            for start, end in zip(kept, (left, left + wide), strict=True):
                panel.line((top + high, start), (top + high + gap, end))
            bits = share.denominator.bit_length() - 1
            panel.words(top + high + gap / 2, middle, f"{level} occurs: {bits} bit{'s' * (bits > 1)}", size=14)
    panel.words(top + high + 0.5, left + wide / 2, f"what remains: {low} to {low + width}, {width} wide", size=14)
    bits = width.denominator.bit_length() - 1
    digits = f"{low.numerator * (width.denominator // low.denominator):0{bits}b}"
    panel.words(top + high + 1.05, left + wide / 2, f"{bits} bits name it: {digits}", bold=True)
    return Drawing(panel)


def chain_rule():
    """A row for each of the first four numbers: what is known before it, and its factor. Chapter 1."""
    names = [f"x{digit}" for digit in "₁₂₃₄"]
    panel = Panel(
        rows=5.1,
        columns=8.6,
        label="Four rows, a staircase. In the first the number x1 is to be predicted from nothing, "
        "with the factor p of x1. In each further row one number more is known, up to the factor "
        "p of x4 given x1, x2 and x3. Below, their product: p of x1 to x4.",
    )
    for row, name in enumerate(names):
        for column, known in enumerate(names[:row]):
            panel.earlier(row, column, known)
        panel.target(row, row)
        given = f" | {', '.join(names[:row])}" if row else ""
        panel.words(row + 0.5, 4.5, "×" if row else "", anchor="middle")
        panel.words(row + 0.5, 4.9, f"p({name}{given})", anchor="start")
    panel.line((4.1, 4.3), (4.1, 8.5))
    panel.words(4.6, 4.5, "=")
    panel.words(4.6, 4.9, f"p({', '.join(names)})", anchor="start", bold=True)
    return Drawing(panel)


def contexts():
    """What each of chapter 1's guesses looks at. Chapter 1."""
    seen = {
        "histogram": set(),
        "left neighbour": {(1, 0)},
        "linear context": {(0, 0), (0, 1), (1, 0)},
    }
    panels = []
    for name, pixels in seen.items():
        label = f"Six pixels. Of the five around the pixel to predict, {len(pixels)} may be used by the {name}."
        panel = Panel(2, 3, label, name)
        for place in ((row, column) for row in range(2) for column in range(3)):
            kind = panel.target if place == (1, 1) else panel.earlier if place in pixels else panel.later
            kind(*place)
        panels.append(panel)
    return Drawing(*panels)


def coder():
    """An image becomes a code and an image again; encoder and decoder ask the same predictor. Chapter 1."""
    panel = Panel(
        rows=7.5,
        columns=9,
        label="A diagram. An arrow leads from the image to the encoder, from there to a code of zeros "
        "and ones, on to the decoder, and to the image. A predictor stands beside them; arrows lead "
        "from it to the encoder and to the decoder.",
    )
    left, wide, high, gap = 0.1, 4.4, 0.9, 0.75
    boxes = ("image", "encoder", "1010…", "decoder", "the same image")
    for place, text in enumerate(boxes):
        top, works = place * (high + gap), "coder" in text
        panel.box(top, left, high, wide, ink="blue" if works else "grey", tint=0.2 if works else 0.1)
        panel.words(top + high / 2, left + wide / 2, text, bold=works)
        if place:
            panel.arrow((top - gap, left + wide / 2), (top, left + wide / 2), ink="blue")
    top, height = high + gap, 3 * high + 2 * gap
    panel.box(top, 6.2, height, 2.7, ink="green", tint=0.2)
    panel.words(top + height / 2, 7.55, "predictor", bold=True)
    for row in (top + high / 2, top + height - high / 2):
        panel.arrow((row, 6.2), (row, left + wide), ink="green")
        panel.words(row - 0.3, (left + wide + 6.2) / 2, "p", size=14)
    return Drawing(panel)


# --- chapter 2 --------------------------------------------------------------------------------------


def causal_orders():
    """The rule of order twice: which pixels may predict a pixel, and which words a word. Chapter 2."""
    pixels = Panel(
        rows=4,
        columns=5,
        label="A grid of 4 by 5 pixels numbered in raster order. Pixels 1 to 12 are tinted, "
        "pixel 13 has a question mark, the later ones are empty.",
        title="Pixels: number 13 may use 1 to 12.",
    )
    for place in range(20):
        kind = pixels.earlier if place < 12 else pixels.later
        kind(*divmod(place, 5), str(place + 1)) if place != 12 else pixels.target(2, 2)
    words = ("to", "be", "or", "not", "to")
    tokens = Panel(
        rows=4,
        columns=6.4,
        label="A table with a row for each word to predict and the words that it may use: "
        "for be, to; for or, to and be; row after row one word more, a staircase.",
        title="Words: GPT's causal mask, a row for each word to predict.",
    )
    for row in range(4):
        tokens.words(row + 0.5, 2, f"{words[row + 1]} ?", anchor="end")
        for column in range(4):
            if column <= row:
                tokens.earlier(row, 2.3 + column, words[column])
            else:
                tokens.later(row, 2.3 + column)
    return Drawing(pixels, tokens)


def ordinary_convolution():
    """A 3x3 kernel in the middle of an image and in its corner, its forbidden part crossed out. Chapter 2."""
    middle = Panel(
        rows=5,
        columns=5,
        label="A 3 by 3 kernel centred on the pixel to predict. Four of its nine cells lie on "
        "earlier pixels. The four after the centre are crossed out.",
        title="In the middle: four weights on the past, five that must go.",
    )
    middle.image(5, 5, target=(2, 2))
    corner = Panel(
        rows=5,
        columns=5,
        label="The image with a border of dashed zeros at the top and at the left. In its corner "
        "the kernel covers five zeros, the pixel to predict, and three later ones.",
        title="In the corner: padding, zeros round the image.",
    )
    for row in range(5):
        for column in range(5):
            kind = corner.padding if 0 in (row, column) else corner.later
            kind(row, column) if (row, column) != (1, 1) else corner.target(1, 1)
    for panel, (row, column) in ((middle, (1, 1)), (corner, (0, 0))):
        panel.kernel(row, column, 3, 3)
        for down, right in ((1, 2), (2, 0), (2, 1), (2, 2)):
            if panel is middle or right:
                panel.cross(row + down, column + right)
    return Drawing(middle, corner)


def mask_types():
    """The masks of a 3x3 kernel, of type A and of type B. Chapter 2."""
    panels = []
    for kind, kept in (("A", 4), ("B", 5)):
        panel = Panel(
            rows=3,
            columns=3,
            label=f"A 3 by 3 mask of type {kind}: its first {kept} cells in raster order hold a "
            f"one, the others a zero. The framed centre holds {'a zero' if kind == 'A' else 'a one'}.",
            title=f"type {kind} keeps {kept} of 9",
        )
        for place in range(9):
            kind_of_cell = panel.earlier if place < kept else panel.later
            kind_of_cell(*divmod(place, 3), str(int(place < kept)))
        panel.cell(1, 1, ink="orange", width=2.6)
        panels.append(panel)
    return Drawing(*panels)


def blind_spot_paths():
    """The steps that one masked layer allows, and how far right three of them lead. Chapter 2."""
    steps = Panel(
        rows=3,
        columns=3,
        label="Four arrows lead from a pixel to its neighbours: left, up and to the left, up, up and to the right.",
        title="One layer: four steps.",
    )
    steps.image(3, 3, target=(1, 1))
    for down, right in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):
        start, end = ((1.5 + far * down, 1.5 + far * right) for far in (0.46, 1.15))
        steps.arrow(start, end)
    climb = Panel(
        rows=4,
        columns=8,
        label="Three arrows climb from a pixel along the diagonal to the upper right. Every "
        "earlier pixel to the right of that diagonal is crossed out.",
        title="Three layers: the diagonal is as far right as they lead.",
    )
    climb.image(4, 8, target=(3, 2))
    climb.wedge(8, target=(3, 2))
    for k, near in enumerate((0.46, 0, 0)):
        climb.arrow((3.5 - k - near, 2.5 + k + near), (2.5 - k, 3.5 + k))
    return Drawing(steps, climb)


def hidden_copies():
    """A pixel of the rain and its copies in the rows above, all in the blind spot. Chapter 2."""
    panel = Panel(
        rows=4,
        columns=9,
        label="The pixel to predict, and its copies in the three rows above, two, four and six "
        "columns further right. All earlier pixels to the right of the diagonal are crossed out, "
        "and all copies are among them.",
    )
    panel.image(4, 9, target=(3, 2))
    panel.wedge(9, target=(3, 2))
    for k in range(1, 4):
        panel.cell(3 - k, 2 + 2 * k, ink="orange", width=2.6)
    return Drawing(panel)


def vertical_padding():
    """A 2x3 kernel under a row of zeros, then its result shifted down. Chapter 2."""
    padded = Panel(
        rows=5,
        columns=5,
        label="A row of dashed zeros above four rows of pixels. A kernel of 2 rows and 3 columns "
        "covers six pixels; a dot, its result, stands in the middle of its lower row.",
        title="Pad one row above: the result stands in the kernel's lower row.",
    )
    shifted = Panel(
        rows=5,
        columns=5,
        label="The same. An arrow leads from the dot one row down to the pixel to predict, which "
        "lies just under the kernel.",
        title="Shift the result down: now the whole kernel lies above it.",
    )
    for panel in (padded, shifted):
        for column in range(5):
            panel.padding(0, column)
        for row in range(1, 5):
            for column in range(5):
                covered = row in (2, 3) and 1 <= column <= 3
                (panel.earlier if covered else panel.later)(row, column)
        panel.kernel(2, 1, 2, 3)
        panel.words(3.5, 2.5, "●", size=18, ink="orange")
    shifted.target(4, 2)
    shifted.arrow((3.6, 2.5), (4.15, 2.5))
    return Drawing(padded, shifted)


def first_layer():
    """What the horizontal stream's first layer sees: two small kernels, and both. Chapter 2."""
    above, left = {(0, 0), (0, 1), (0, 2)}, {(0, 0), (1, 0)}
    panels = [
        Panel(3, 3, "A kernel of 1 by 3 covers the three pixels above.", "1x3, shifted down"),
        Panel(3, 3, "A kernel of 2 by 1 covers the pixel left and the one above that.", "2x1, shifted right"),
        Panel(3, 3, "Together they cover the four pixels that mask A keeps.", "together: the four of mask A"),
    ]
    for panel, covered in zip(panels, (above, left, above | left), strict=True):
        for place in ((row, column) for row in range(3) for column in range(3)):
            kind = panel.target if place == (1, 1) else panel.earlier if place in covered else panel.later
            kind(*place)
    panels[0].kernel(0, 0, 1, 3)
    panels[1].kernel(0, 0, 2, 1)
    return Drawing(*panels)


def two_streams():
    """The layers of the two streams, and which reads which. Chapter 2."""
    panel = Panel(
        rows=9.7,
        columns=8.6,
        label="A diagram. From the image two columns of layers lead down, vertical at the left and "
        "horizontal at the right. Arrows lead from each layer to the next of its column, and from "
        "each later vertical layer to the horizontal one beside it. No arrow leads back. The "
        "prediction comes from the last horizontal layer.",
    )
    left, right, wide, gap = 0.1, 4.9, 3.6, 0.8
    panel.box(0, 2.8, 0.9, 3, tint=0.15)
    panel.words(0.45, 4.3, "image")
    panel.arrow((0.9, 3.4), (0.9 + gap, 2.4), ink="grey")
    panel.arrow((0.9, 5.2), (0.9 + gap, 6.2), ink="grey")

    def layer(row, column, name, kernels, ink):
        """A layer's box; returns where it ends."""
        height = 0.8 + 0.46 * len(kernels)
        panel.box(row, column, height, wide, ink=ink, tint=0.2, width=1.6)
        for line, text in enumerate((name, *kernels)):
            size = 15 if line == 0 else 14
            panel.words(row + 0.4 + 0.46 * line, column + wide / 2, text, size, bold=line == 0)
        return row + height

    top = 0.9 + gap
    ends = [
        layer(top, left, "vertical", ("2x3, shift down", ""), "green"),
        layer(top, right, "horizontal", ("1x3, shift down", "2x1, shift right"), "blue"),
    ]
    for _ in range(2):
        top = ends[0] + gap
        for end, column, ink in zip(ends, (left, right), ("green", "blue"), strict=True):
            panel.arrow((end, column + wide / 2), (top, column + wide / 2), ink=ink)
        ends = [
            layer(top, left, "vertical", ("2x3",), "green"),
            layer(top, right, "horizontal", ("2x2",), "blue"),
        ]
        panel.arrow((top + 0.63, left + wide), (top + 0.63, right), ink="green")
        panel.words(top + 0.3, (left + wide + right) / 2, "1x1", size=13)
    panel.arrow((ends[1], right + wide / 2), (ends[1] + gap, right + wide / 2), ink="blue")
    panel.box(ends[1] + gap, right, 0.9, wide, tint=0.15)
    panel.words(ends[1] + gap + 0.45, right + wide / 2, "prediction")
    return Drawing(panel)


# --- chapter 4 --------------------------------------------------------------------------------------


class _Chart(Panel):
    """A panel with an axis along its lower edge, for a curve of height 0 to 1 over the columns.

    The curve is a logistic's, with its mean and scale in columns: its CDF or its bell.
    """

    def __init__(self, label, title, mean=4.2, scale=0.7, columns=8.8):
        super().__init__(rows=6, columns=columns, label=label, title=title)
        self.mean, self.scale, self.left, self.right = mean, scale, 1.3, columns - 0.2
        self.curve([(5, self.left), (5, self.right)], ink="grey", width=1)

    def row(self, height):
        """Where a height stands: 0 on the axis, 1 four rows above it."""
        return 5 - 4 * height

    def cdf(self, column):
        return 1 / (1 + math.exp((self.mean - column) / self.scale))

    def bell(self, column):
        """The logistic's density, as tall as 0.9 at most."""
        return 3.6 * self.cdf(column) * (1 - self.cdf(column))

    def points(self, function, start=None, stop=None):
        """Points of a curve from column to column, eight in each cell."""
        start, stop = self.left if start is None else start, self.right if stop is None else stop
        count = math.ceil(8 * (stop - start))
        places = [start + (stop - start) * i / count for i in range(count + 1)]
        return [(self.row(function(column)), column) for column in places]

    def area(self, function, start, stop, ink="orange", tint=0.45):
        """Tint what lies between the axis and the curve."""
        self.curve([(5, start), *self.points(function, start, stop), (5, stop)], ink, tint, width=0)


def _cdf_chart(label, title):
    """A sigmoid from 0 to 1 with an axis for its height."""
    chart = _Chart(label, title)
    chart.curve([(0.6, chart.left), (5, chart.left)], ink="grey", width=1)
    chart.words(5, chart.left - 0.2, "0", anchor="end")
    chart.words(1, chart.left - 0.2, "1", anchor="end")
    chart.curve([(1, chart.left), (1, chart.right)], ink="grey", width=0.8, dashes="2 4")
    chart.curve(chart.points(chart.cdf))
    return chart


def bin_of_sigmoid():
    """A level's probability twice: as a difference of two sigmoids, and as an area under the bell. Chapter 4."""
    lower, upper = 4.4, 5.6
    sigmoid = _cdf_chart(
        "A curve rises from 0 to 1 in the shape of an S. At the two edges of a bin, x - h and x + h, dashed "
        "lines lead up to the curve and from there to the left, where a bar spans the two heights: P(x).",
        "The sigmoid F: the bar is its rise across the bin.",
    )
    bell = _Chart(
        "A bell over the same axis, symmetric about its mean. The area under it between the edges of the bin is tinted.",
        "The bell, which is the slope of F: the same number is an area.",
    )
    for chart, function in ((sigmoid, sigmoid.cdf), (bell, bell.bell)):
        for edge, name, anchor in ((lower, "x − h", "end"), (upper, "x + h", "start")):
            chart.curve([(5.1, edge), (chart.row(function(edge)), edge)], "orange", width=1.6, dashes="5 3")
            chart.words(5.45, edge + (0.25 if anchor == "end" else -0.25), name, anchor=anchor)
    for edge in (lower, upper):
        height = sigmoid.row(sigmoid.cdf(edge))
        sigmoid.curve([(height, edge), (height, sigmoid.left)], "orange", width=1.6, dashes="5 3")
    top, bottom = sigmoid.row(sigmoid.cdf(upper)), sigmoid.row(sigmoid.cdf(lower))
    sigmoid.box(top, sigmoid.left - 0.45, bottom - top, 0.45, ink="orange", tint=0.45, width=1.6)
    sigmoid.words((top + bottom) / 2, sigmoid.left - 0.6, "P", anchor="end", bold=True)
    bell.area(bell.bell, lower, upper)
    bell.curve(bell.points(bell.bell))
    bell.curve([(5.1, bell.mean), (5, bell.mean)], ink="grey", width=1)
    bell.words(0.85, bell.mean, "μ")
    bell.arrow((2.6, 6.9), (3.9, 5.2))
    bell.words(2.3, 7.2, "P", bold=True)
    return Drawing(sigmoid, bell)


def edge_bins():
    """What lies beyond the last level: lost, or counted with it. Chapter 4."""
    charts = [
        _Chart(
            "A bell near the right end of the levels. The last bin, 255, is tinted up to its edge; "
            "the tail of the bell beyond that edge is crossed out.",
            "Closed: the tail beyond the last bin belongs to no level.",
            mean=6.0,
        ),
        _Chart(
            "The same bell. The last bin, 255, is tinted together with the whole tail beyond it, "
            "and an arrow leads on to plus infinity; at the left, an arrow leads from bin 0 to minus infinity.",
            "Open: 0 and 255 also hold what lies beyond them.",
            mean=6.0,
        ),
    ]
    names = ("0", "1", "2", "…", "254", "255")
    first, last = 1.4, 1.4 + len(names)  # a bin is one column wide
    for chart, stop in zip(charts, (last, charts[1].right), strict=True):
        chart.area(chart.bell, last - 1, stop)
        for edge in range(len(names) + 1):
            height = chart.row(chart.bell(first + edge)) if 0 < edge < len(names) else 1.4
            chart.curve([(5, first + edge), (height, first + edge)], "grey", width=1, dashes="3 3")
        for place, name in enumerate(names):
            chart.words(5.4, first + place + 0.5, name, size=14)
        chart.curve(chart.points(chart.bell, chart.left))
    charts[0].cross(3.95, last + 0.15)
    charts[1].arrow((2.4, last - 0.6), (2.4, charts[1].right))
    charts[1].words(2, last + 0.55, "+∞")
    charts[1].arrow((2.4, first + 0.6), (2.4, 0.1))
    charts[1].words(2, 0.6, "−∞")
    return Drawing(*charts)


def two_bells():
    """Two weighted bells, and their sum: a mixture. Chapter 4."""
    parts = (("π₁", 0.35, 2.9, 0.25), ("π₂", 0.65, 5.6, 0.55))  # weight, mean, scale
    bells = _Chart(
        "Two bells over one axis: a narrow one at the left with the weight pi 1, a broad one at the right with pi 2.",
        "Two bells, each times its weight.",
    )
    mixture = _Chart(
        "The sum of the two bells, a curve with two humps, cut into bars, one for each level.",
        "Their sum, cut into bars: a mixture.",
    )

    def component(weight, mean, scale):
        """A bell of that area, in columns."""
        bell = _Chart("", "", mean, scale)
        return lambda column: 2.2 * weight * bell.cdf(column) * (1 - bell.cdf(column)) / scale

    curves = [component(*numbers) for _, *numbers in parts]

    def both(column):
        return sum(curve(column) for curve in curves)

    for (name, _, mean, _), curve, ink in zip(parts, curves, ("green", "purple"), strict=True):
        bells.curve(bells.points(curve), ink=ink)
        bells.words(bells.row(curve(mean)) - 0.4, mean, name, ink=ink)
        mixture.curve(mixture.points(curve), ink=ink, width=1.4, dashes="4 4")
    width = 0.5
    for place in range(14):
        column = mixture.left + 0.15 + place * width
        top = mixture.row(both(column + width / 2))
        mixture.box(top, column, 5 - top, width, ink="blue", tint=0.25)
    mixture.curve(mixture.points(both))
    return Drawing(bells, mixture)


def sample_from_sigmoid():
    """A sample: from a uniform height to the curve, down to an intensity, and to the nearest level. Chapter 4."""
    chart = _cdf_chart(
        "The S-shaped curve again. An arrow leads from a height u at the left axis across to the curve, "
        "another from there down to the axis, to nu. Nu lies within a bin, and a dot marks the middle of that bin.",
        "Across from a random height u, down to ν, and to the level in whose bin ν lies.",
    )
    height, first = 0.74, chart.left + 0.5  # of the sample, and where the first bin begins
    nu = chart.mean + chart.scale * math.log(height / (1 - height))
    for edge in range(7):
        chart.curve([(4.85, first + edge), (5.15, first + edge)], ink="grey", width=1.6)
    level = first + math.floor(nu - first) + 0.5
    chart.words(chart.row(height), chart.left - 0.2, "u", anchor="end", bold=True)
    chart.arrow((chart.row(height), chart.left), (chart.row(height), nu))
    chart.arrow((chart.row(height), nu), (5, nu))
    chart.words(4.4, nu + 0.3, "ν", bold=True)
    chart.words(5, level, "●", size=18, ink="orange")
    chart.words(5.55, level, "level")
    return Drawing(chart)


# --- chapter 3 --------------------------------------------------------------------------------------

COLOURS = {"R": "red", "G": "green", "B": "blue"}


def coloured_kernel():
    """The 7x7 kernel of the first layer, its centre split into the three colours of the pixel. Chapter 3."""
    panel = Panel(
        rows=7,
        columns=7,
        label="A 7 by 7 kernel. The three rows above the centre and the three pixels to its left are "
        "tinted, the later ones empty. The centre is split into three strips, R, G and B.",
    )
    for place in ((row, column) for row in range(7) for column in range(7)):
        if place != (3, 3):
            (panel.earlier if place < (3, 3) else panel.later)(*place)
    for strip, (letter, ink) in enumerate(COLOURS.items()):
        panel.box(3.06, 3.06 + 0.29 * strip, 0.88, 0.29, ink=ink, tint=0.22)
        panel.words(3.5, 3.205 + 0.29 * strip, letter, size=11)
    panel.cell(3, 3, ink="orange", width=2.6)
    panel.kernel(0, 0, 7, 7)
    return Drawing(panel)


def colour_masks():
    """The centre of a mask, colour by colour, of type A and of type B. Chapter 3."""
    panels = []
    for kind, own, kept in (("A", 0, 3), ("B", 1, 6)):
        panel = Panel(
            rows=4.1,
            columns=4.1,
            label=f"A table for type {kind}: a row for the colour of the output, a column for the colour "
            f"of the input, both in the order R, G, B. The ones stand below the diagonal"
            f"{' and on it' if own else ''}, the zeros elsewhere.",
            title=f"type {kind} keeps {kept} of 9",
        )
        for row, (letter, ink) in enumerate(COLOURS.items()):
            panel.words(0.6, 1.5 + row, letter, bold=True, ink=ink)
            panel.words(1.5 + row, 0.6, letter, bold=True, ink=ink)
            for column in range(3):
                seen = column < row + own
                (panel.earlier if seen else panel.later)(1 + row, 1 + column, str(int(seen)))
        panels.append(panel)
    return Drawing(*panels)


def colour_flow():
    """Which colour of one pixel reaches which, from the image through both types to the prediction. Chapter 3."""
    panel = Panel(
        rows=9.2,
        columns=9,
        label="Four rows of three boxes, R, G and B: image, first layer of type A, later layer of "
        "type B, prediction. Type A leads from R to G and B, and from G to B. Type B also leads "
        "from each colour to itself. Thick arrows end in the prediction of G: all start from "
        "the image's R.",
        title="One pixel. Thick: all that reaches the prediction of green. "
        "Earlier pixels feed every box, and are not drawn.",
    )
    left, wide, high, step = 2.7, 1.3, 0.9, 2.7
    names = (("image",), ("first layer,", "type A"), ("later layer,", "type B"), ("prediction",))
    for row, lines in enumerate(names):
        for line, text in enumerate(lines):
            panel.words(row * step + high / 2 + 0.5 * (line - (len(lines) - 1) / 2), 0, text, 14, anchor="start")
        for column, (letter, ink) in enumerate(COLOURS.items()):
            text = letter if row < 3 else f"{letter} ?"
            x = left + 2.4 * column
            panel.box(row * step, x, high, wide, ink=ink, tint=0.22, width=1.6)
            panel.words(row * step + high / 2, x + wide / 2, text)
    for row, kind in enumerate("AB="):
        for source in range(3):
            for target in range(source + (kind == "A"), source + 1 if kind == "=" else 3):
                to_green = {"A": (source, target) == (0, 1), "B": target == 1, "=": target == 1}[kind]
                ends = [
                    (row * step + down, left + 2.4 * column + wide / 2) for down, column in ((high, source), (step, target))
                ]
                if to_green:
                    panel.arrow(*ends, ink="orange", width=3.4)
                else:
                    panel.arrow(*ends, ink="grey", width=1.2)
    return Drawing(panel)


def original_layers():
    """The layers of the original PixelCNN, and the inside of a residual block. Chapter 3."""
    layers = Panel(
        rows=9.7,
        columns=7,
        label="A column of boxes with arrows between them: image with 3 channels, 7 by 7 of type A, "
        "three residual blocks, 1 by 1 of type B, 1 by 1 of type B with 768 outputs.",
        title="The network. At each arrow: channels per pixel.",
    )
    block = Panel(
        rows=9.7,
        columns=7,
        label="A residual block: from its input one path leads through three convolutions of type B, "
        "1 by 1 down to 16 channels, 3 by 3, and 1 by 1 back up to 32; another leads round them, and "
        "the two are added.",
        title="One residual block: narrow, look around, widen, add.",
    )
    rows = (("image", 3), ("7x7, type A", 32), ("3 residual blocks", 32), ("1x1, type B", 32), ("1x1, type B", 768))
    for row, (text, channels) in enumerate(rows):
        top = 1.9 * row
        ink = "grey" if row == 0 else "orange" if "A" in text else "blue"
        layers.box(top, 1, 0.95, 5, ink=ink, tint=0.2, width=1.6)
        layers.words(top + 0.475, 3.5, text)
        if row < 4:
            layers.arrow((top + 0.95, 3.5), (top + 1.9, 3.5), ink="grey")
            layers.words(top + 1.4, 3.8, str(channels), 13, anchor="start")
    layers.words(9.2, 3.5, "256 logits for each of R, G, B", 14)
    rows = (("1x1, type B", 16), ("3x3, type B", 16), ("1x1, type B", 32))
    for row, (text, channels) in enumerate(rows):
        top = 1.9 * row + 1.4
        block.arrow((top - 0.95 if row else 0, 2.7), (top, 2.7), ink="grey")
        block.box(top, 0.2, 0.95, 5, ink="blue", tint=0.2, width=1.6)
        block.words(top + 0.475, 2.7, text)
        block.words(top + 1.4, 3, str(channels), 13, anchor="start")
    block.words(0.4, 3, "32", 13, anchor="start")
    block.arrow((6.15, 2.7), (7.3, 2.7), ink="grey")
    block.cell(7.3, 2.2, "+", ink="purple", width=1.6)
    block.path([(0.75, 2.7), (0.75, 6.2), (7.8, 6.2)], ink="purple")
    block.arrow((7.8, 6.2), (7.8, 3.2), ink="purple")
    block.arrow((8.3, 2.7), (9.5, 2.7), ink="grey")
    return Drawing(layers, block)
