"""Drawings of the book's ideas, made by code: grids, cells, arrows and labels as inline SVG, in one style.

A drawing is a row of panels that wraps on a narrow screen. Its inks are mixed with the colour of
the text around it, so it reads on a light and on a dark page, and no meaning hangs on colour alone.
`Panel` has the primitives; each function below it makes one drawing. Coordinates are (row, column)
in cells from the upper left corner, as in a tensor.
"""

import html
import math

from pixelcnn_edu.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED

__all__ = [
    "Drawing",
    "Panel",
    "blind_spot_paths",
    "causal_orders",
    "colour_flow",
    "colour_masks",
    "coloured_kernel",
    "first_layer",
    "hidden_copies",
    "mask_types",
    "ordinary_convolution",
    "original_layers",
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
    """A 3x3 kernel in the middle of an image and in its corner, its forbidden taps crossed. Chapter 2."""
    middle = Panel(
        rows=5,
        columns=5,
        label="A 3 by 3 kernel centred on the pixel to predict. Four of its nine cells lie on "
        "earlier pixels. The four after the centre are crossed out.",
        title="In the middle: four taps on the past, five that must go.",
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
