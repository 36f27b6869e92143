"""Drawings of the book's ideas, made by code: grids, cells, arrows and labels as inline SVG, in one style.

A drawing is a row of panels that wraps on a narrow screen. Its inks are mixed with the colour of the text around it, so it
reads on a light and on a dark page, and no meaning hangs on colour alone. `Panel` has the primitives; each function below
it makes one drawing. Coordinates are (row, column) in cells from the upper left corner, as in a tensor.
"""

import html
import math

from pixelcnn_edu.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED

__all__ = [
    "Drawing",
    "Panel",
    "blind_spot_paths",
    "causal_orders",
    "first_layer",
    "hidden_copies",
    "mask_types",
    "ordinary_convolution",
    "two_streams",
    "vertical_padding",
]

CELL = 36  # side of a cell in SVG units, which are CSS pixels where there is room
INKS = {"blue": BLUE, "green": GREEN, "grey": GREY, "orange": ORANGE, "purple": PURPLE, "red": RED}
STYLE = (
    ".px-drawing{"
    + "".join(f"--px-{name}:color-mix(in srgb,{color} 72%,currentColor);" for name, color in INKS.items())
    + "display:flex;flex-wrap:wrap;justify-content:center;align-items:flex-start;gap:.75rem 1.75rem;margin:.5rem 0}"
    ".px-drawing svg{display:block;max-width:100%;height:auto;margin:0 auto}"
    ".px-drawing text{font:15px system-ui,sans-serif;fill:currentColor;text-anchor:middle;dominant-baseline:central}"
    ".px-drawing .px-panel{max-width:100%}"
    ".px-drawing .px-panel p{max-width:17rem;margin:.35rem auto 0;text-align:center;font-size:.9em;line-height:1.35}"
)


class Drawing:
    """Panels side by side, or one below the other where there is no room; a notebook shows it as a figure."""

    def __init__(self, *panels):
        self.panels = panels

    def __repr__(self):
        return "\n".join(panel.label for panel in self.panels)

    def _repr_html_(self):
        return f'<figure class="px-drawing"><style>{STYLE}</style>{"".join(p.html() for p in self.panels)}</figure>'


class Panel:
    """One part of a drawing, of so many rows and columns of cells.

    `label` says in a sentence what is drawn, for those who do not see it; `title` stands below for all.
    """

    def __init__(self, rows, columns, label, title=""):
        self.rows, self.columns, self.label, self.title, self.parts = rows, columns, label, title, []

    def html(self):
        """The panel as HTML: an SVG with its label, and the title below it."""
        width, height = round((self.columns + 0.2) * CELL), round((self.rows + 0.2) * CELL)
        edge = -0.1 * CELL
        title = f"<p>{html.escape(self.title)}</p>" if self.title else ""
        return (
            f'<div class="px-panel"><svg role="img" aria-label="{html.escape(self.label)}" width="{width}" height="{height}" '
            f'viewBox="{edge:g} {edge:g} {width} {height}">{"".join(self.parts)}</svg>{title}</div>'
        )

    def box(self, row, column, rows=1, columns=1, ink="grey", tint=0.0, width=1.0, dashes="", inset=0.0):
        """A rectangle: its outline in `ink`, its inside tinted with it from 0, empty, to 1."""
        x, y = _number((column + inset) * CELL), _number((row + inset) * CELL)
        size = f'width="{_number((columns - 2 * inset) * CELL)}" height="{_number((rows - 2 * inset) * CELL)}"'
        look = f'fill="var(--px-{ink})" fill-opacity="{tint:g}" stroke="var(--px-{ink})" stroke-width="{width:g}"'
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(f'<rect x="{x}" y="{y}" {size} rx="3" {look}{dashed}/>')

    def words(self, row, column, text, ink=None, size=15, anchor="middle", bold=False):
        """Text whose middle, or start, is at a point."""
        look = f"font-size:{size}px;text-anchor:{anchor}"
        look += f";fill:var(--px-{ink})" if ink else ""
        look += ";font-weight:600" if bold else ""
        place = f'x="{_number(column * CELL)}" y="{_number(row * CELL)}"'
        self.parts.append(f'<text {place} style="{look}">{html.escape(text)}</text>')

    def cell(self, row, column, text="", ink="grey", tint=0.0, **look):
        """A pixel: a box of one cell, with text in its middle."""
        self.box(row, column, ink=ink, tint=tint, inset=0.04, **look)
        if text:
            self.words(row + 0.5, column + 0.5, text)

    def cross(self, row, column, ink="red", size=0.22):
        """A cross in the middle of a cell: not seen, or not allowed."""
        x, y, d = (column + 0.5) * CELL, (row + 0.5) * CELL, size * CELL
        path = f"M{_number(x - d)} {_number(y - d)}L{_number(x + d)} {_number(y + d)}"
        path += f"M{_number(x - d)} {_number(y + d)}L{_number(x + d)} {_number(y - d)}"
        self.parts.append(f'<path d="{path}" fill="none" stroke="var(--px-{ink})" stroke-width="2.2"/>')

    def arrow(self, start, end, ink="orange", width=2.2, dashes=""):
        """A straight arrow from one point (row, column) to another."""
        (y0, x0), (y1, x1) = ((CELL * row, CELL * column) for row, column in (start, end))
        length, head = math.hypot(x1 - x0, y1 - y0), 9
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        back_x, back_y = x1 - head * ux, y1 - head * uy  # where the shaft ends and the head begins
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(
            f'<path d="M{_number(x0)} {_number(y0)}L{_number(back_x)} {_number(back_y)}" fill="none" '
            f'stroke="var(--px-{ink})" stroke-width="{width:g}"{dashed}/>'
        )
        sides = [(back_x - 0.5 * head * uy, back_y + 0.5 * head * ux), (back_x + 0.5 * head * uy, back_y - 0.5 * head * ux)]
        points = " ".join(f"{_number(x)},{_number(y)}" for x, y in [(x1, y1), *sides])
        self.parts.append(f'<polygon points="{points}" fill="var(--px-{ink})"/>')

    # --- pixels of a kind, the same in every drawing ------------------------------------------------------------------

    def earlier(self, row, column, text="", ink="blue"):
        """A pixel of the past: tinted."""
        self.cell(row, column, text, ink, 0.28)

    def later(self, row, column, text=""):
        """A pixel that is not known yet: empty, its outline thin."""
        self.cell(row, column, text, "grey", 0.0, width=0.6)

    def target(self, row, column, text="?"):
        """The pixel to predict: a thick frame and a question mark."""
        self.cell(row, column, text, "orange", 0.16, width=2.6)

    def padding(self, row, column):
        """A zero that is put round the image: dashed."""
        self.cell(row, column, "0", "grey", 0.0, dashes="3 3", width=0.9)

    def image(self, rows, columns, target=None, top=0, left=0):
        """A grid of pixels, each earlier or later than `target`, a place in the grid."""
        for row in range(rows):
            for column in range(columns):
                if target is not None and (row, column) == target:
                    self.target(top + row, left + column)
                elif target is not None and (row, column) < target:
                    self.earlier(top + row, left + column)
                else:
                    self.later(top + row, left + column)

    def kernel(self, row, column, rows, columns, ink="purple"):
        """The frame of a convolution's kernel."""
        self.box(row, column, rows, columns, ink=ink, width=3)


def _number(value):
    """A coordinate with one digit at most, so that stored drawings stay light."""
    return f"{round(value, 1):g}"


# --- chapter 2 -------------------------------------------------------------------------------------------------------


def causal_orders():
    """What may be used to predict a pixel of an image, and a word of a sentence: the same rule twice. Chapter 2."""
    pixels = Panel(
        4, 5, "A grid of 4 by 5 pixels numbered in raster order. Pixels 1 to 12 are tinted, 13 has a question mark, the rest "
        "are empty.", "Pixels: number 13 may use 1 to 12.",
    )  # fmt: skip
    for place in range(20):
        row, column = divmod(place, 5)
        if place == 12:
            pixels.target(row, column)
        else:
            (pixels.earlier if place < 12 else pixels.later)(row, column, str(place + 1))
    words = ("so", "it", "goes", "on", "…")
    tokens = Panel(
        4, 6.4, "A table with a row for each word to predict and a column for each word that may be read. To predict it, so is "
        "read; to predict goes, so and it; and so on: row after row one more cell is tinted, a staircase.",
        "Words: GPT's causal mask. To predict a row's word, it may use the tinted ones.",
    )  # fmt: skip
    for row in range(4):
        tokens.words(row + 0.5, 1.9, f"{words[row + 1]} ?", anchor="end")
        for column in range(4):
            (tokens.earlier if column <= row else tokens.later)(row, 2.3 + column, words[column] if column <= row else "")
    return Drawing(pixels, tokens)


def ordinary_convolution():
    """A 3x3 kernel in the middle of an image, with the taps that a causal network must not have, and at its corner. Chapter 2."""
    middle = Panel(
        5, 5, "A 3 by 3 kernel centred on the pixel to predict. Four of its nine cells lie on earlier pixels; five, the "
        "centre and the four after it, are crossed out.", "In the middle: four taps on the past, five that must go.",
    )  # fmt: skip
    middle.image(5, 5, target=(2, 2))
    for row, column in ((2, 3), (3, 1), (3, 2), (3, 3)):
        middle.cross(row, column)
    middle.kernel(1, 1, 3, 3)
    corner = Panel(
        5, 5, "The image with a border of zeros at the top and at the left. In its corner the kernel covers five zeros and "
        "four pixels.", "In the corner: padding, zeros round the image.",
    )  # fmt: skip
    for row in range(5):
        for column in range(5):
            if 0 in (row, column):
                corner.padding(row, column)
            elif (row, column) == (1, 1):
                corner.target(row, column)
            else:
                corner.later(row, column)
    for row, column in ((1, 2), (2, 1), (2, 2)):
        corner.cross(row, column)
    corner.kernel(0, 0, 3, 3)
    return Drawing(middle, corner)


def mask_types():
    """The masks of a 3x3 kernel, of type A and of type B. Chapter 2."""
    panels = []
    for kind in "AB":
        kept = 4 + (kind == "B")
        panel = Panel(
            3, 3, f"A 3 by 3 mask. Ones in the upper row and at the left of the middle row; "
            f"{'one' if kind == 'B' else 'zero'} in the centre; zeros after it.",
            f"type {kind} keeps {kept} of 9",
        )  # fmt: skip
        for place in range(9):
            row, column = divmod(place, 3)
            (panel.earlier if place < kept else panel.later)(row, column, str(int(place < kept)))
        panel.box(1, 1, ink="orange", width=2.6, inset=0.04)
        panels.append(panel)
    return Drawing(*panels)


def blind_spot_paths():
    """The steps that one masked layer allows, and the furthest right that three of them lead. Chapter 2."""
    steps = Panel(
        3, 3, "Four arrows lead from a pixel to its neighbours: left, up and to the left, up, up and to the right.",
        "One layer: four steps back.",
    )  # fmt: skip
    steps.image(3, 3, target=(1, 1))
    for row, column in ((1, 0), (0, 0), (0, 1), (0, 2)):
        steps.arrow((1.5 + 0.46 * (row - 1), 1.5 + 0.46 * (column - 1)), (0.35 + 1.15 * row, 0.35 + 1.15 * column))
    wedge = Panel(
        4, 8, "Three arrows climb from a pixel in the lowest row along the diagonal to the upper right. Every earlier pixel "
        "to the right of that diagonal is crossed out.", "Three layers: the diagonal is as far right as they lead.",
    )  # fmt: skip
    row, column = 3, 2
    wedge.image(4, 8, target=(row, column))
    for i in range(row):
        for j in range(column + row - i + 1, 8):
            wedge.cross(i, j)
    for k in range(3):
        start = (row + 0.5 - k - 0.46 * (k == 0), column + 0.5 + k + 0.46 * (k == 0))
        wedge.arrow(start, (row - 0.5 - k, column + 1.5 + k))
    return Drawing(steps, wedge)


def hidden_copies():
    """A pixel of the rain and its copies in the rows above, all of them inside the blind spot. Chapter 2."""
    panel = Panel(
        4, 9, "The pixel to predict in the lowest row, and its copies in the three rows above, two, four and six columns "
        "further right. All earlier pixels to the right of the diagonal are crossed out, and all copies are among them.",
        "Framed: the copies of the pixel to predict. Crossed out: the blind spot.",
    )  # fmt: skip
    row, column = 3, 2
    panel.image(4, 9, target=(row, column))
    for i in range(row):
        for j in range(column + row - i + 1, 9):
            panel.cross(i, j)
        panel.box(i, column + 2 * (row - i), ink="orange", width=2.6, inset=0.04)
    return Drawing(panel)


def vertical_padding():
    """A 2x3 kernel with a row of zeros above the image, step by step; then the result shifted down. Chapter 2."""
    centred = Panel(
        5, 5, "A grid of 5 by 5 pixels. A kernel of 2 rows and 3 columns covers part of rows 1 and 2; its result is written "
        "in row 2, under the kernel's lower row.", "Pad one row above: the result stands in the kernel's lower row.",
    )  # fmt: skip
    for column in range(5):
        centred.padding(0, column)
    shifted = Panel(
        5, 5, "The same kernel. An arrow moves its result one row down, to the pixel to predict, which lies under the kernel.",
        "Shift the result down: now the kernel lies above it.",
    )  # fmt: skip
    for column in range(5):
        shifted.padding(0, column)
    for panel in (centred, shifted):
        for row in range(1, 5):
            for column in range(5):
                covered = row in (2, 3) and column in (1, 2, 3)
                (panel.earlier if covered else panel.later)(row, column)
        panel.kernel(2, 1, 2, 3)
    for panel in (centred, shifted):
        panel.words(3.5, 2.5, "●", ink="orange", size=18)
    shifted.target(4, 2)
    shifted.arrow((3.6, 2.5), (4.15, 2.5))
    return Drawing(centred, shifted)


def first_layer():
    """What the first layer of the horizontal stream sees: two small kernels, and the two together. Chapter 2."""
    parts = [("1x3, shifted down", ((0, 0), (0, 1), (0, 2)), (0, 0, 1, 3)), ("2x1, shifted right", ((0, 0), (1, 0)), (0, 0, 2, 1))]
    said = [
        "A kernel of one row covers the three pixels above the one to predict.",
        "A kernel of one column covers the pixel to the left and the one above that.",
    ]
    panels = []
    for (title, taps, frame), label in zip(parts, said, strict=True):
        panel = Panel(3, 3, label, title)
        _neighbourhood(panel, taps)
        panel.kernel(*frame)
        panels.append(panel)
    both = Panel(3, 3, "Together they cover the four pixels that a mask of type A keeps.", "together: mask A's four pixels")
    _neighbourhood(both, {tap for _, taps, _ in parts for tap in taps})
    return Drawing(*panels, both)


def _neighbourhood(panel, taps):
    """The 3x3 pixels round the one to predict, those of `taps` tinted."""
    for row in range(3):
        for column in range(3):
            if (row, column) == (1, 1):
                panel.target(row, column)
            else:
                (panel.earlier if (row, column) in taps else panel.later)(row, column)


def two_streams():
    """The layers of the two streams, and which reads which. Chapter 2."""
    panel = Panel(
        9.7, 8.6, "A diagram. From the image two columns of layers lead down, vertical at the left and horizontal at the right. "
        "Arrows lead from each layer to the next of its column, and from each later vertical layer to the horizontal one "
        "beside it. No arrow leads from right to left. The output comes from the last horizontal layer.",
    )  # fmt: skip
    left, right, wide, gap = 0.1, 4.9, 3.6, 0.8
    kernels = ((("2x3, shift down",), ("1x3, shift down", "2x1, shift right")), (("2x3",), ("2x2",)), (("2x3",), ("2x2",)))
    panel.box(0, 2.8, 0.9, 3, ink="grey", tint=0.15)
    panel.words(0.45, 4.3, "image")
    panel.arrow((0.9, 3.4), (0.9 + gap, 2.4), ink="grey")
    panel.arrow((0.9, 5.2), (0.9 + gap, 6.2), ink="grey")
    row = 0.9 + gap
    for k, lines in enumerate(kernels):
        height = 1.3 if k else 1.7
        for name, column, texts, ink in zip(("vertical", "horizontal"), (left, right), lines, ("green", "blue"), strict=True):
            panel.box(row, column, height, wide, ink=ink, tint=0.2, width=1.6)
            panel.words(row + 0.4, column + wide / 2, name, bold=True)
            for line, text in enumerate(texts):
                panel.words(row + 0.88 + 0.45 * line, column + wide / 2, text, size=14)
            if k < 2:
                panel.arrow((row + height, column + wide / 2), (row + height + gap, column + wide / 2), ink=ink)
        if k:
            panel.arrow((row + 0.65, left + wide), (row + 0.65, right), ink="green")
            panel.words(row + 0.33, (left + wide + right) / 2 - 0.05, "1x1", size=13)
        row += height + gap
    panel.arrow((row - gap, right + wide / 2), (row, right + wide / 2), ink="blue")
    panel.box(row, right, 0.9, wide, ink="grey", tint=0.15)
    panel.words(row + 0.45, right + wide / 2, "prediction")
    return Drawing(panel)
