"""The receptive-field explorer of chapter 2: choose a network, its depth and an output pixel; see what it depends on."""

import json
from pathlib import Path

import ipywidgets
import matplotlib
import numpy as np

from pixelcnn_edu.probes import receptive_field, shape_of
from pixelcnn_edu.widgets.faces import TwoFaces
from pixelcnn_edu.widgets.fields import DEPTHS, LEVELS, NETWORKS, SIZE, fields, own_colors, pack, strength_levels

__all__ = ["ReceptiveFieldExplorer"]

HERE = Path(__file__).parent
CELL = 20  # a pixel's side in the drawing
INTERVAL = 700  # milliseconds a depth, when depth is played


NOTHING = "nothing"  # the choice that leaves the second panel away
ORDERS = ("whole pixels", "sub-pixels: red", "sub-pixels: green", "sub-pixels: blue")
COLORS = ("red", "green", "blue")


class ReceptiveFieldExplorer(TwoFaces):
    """Which earlier pixels does an output pixel depend on, and how strongly?

    Two networks can be compared side by side, depth can be played, and the order of sub-pixels adds what an output of one
    colour sees of its own pixel. In a live kernel these are sliders and pictures; in a stored page, HTML and a short script
    with the same numbers inside. `model`, any module from (1, C, H, W) to (1, P, H, W), adds "your model" in a live kernel;
    `image_shape` (C, H, W) is needed where it has no `config`. Raises ValueError where the model does not keep the image's
    height and width. Chapter 2.
    """

    def __init__(self, model=None, image_shape=None):
        self._model = model
        self._shape = (image_shape or shape_of(model)) if model is not None else None
        names = [*NETWORKS] + (["your model"] if model is not None else [])
        if model is not None:
            height, width = self._shape[1:]
            self._own_field(height - 1, width - 1)  # a model that does not fit is refused now, not at the first click
        self.network = ipywidgets.Dropdown(options=names, value=names[-1 if model is not None else 0], description="network")
        self.second = ipywidgets.Dropdown(options=[NOTHING, *NETWORKS], description="beside it")
        self.order = ipywidgets.Dropdown(options=ORDERS, description="order")
        self.depth = ipywidgets.IntSlider(value=DEPTHS[2], min=DEPTHS[0], max=DEPTHS[-1], description="depth")
        self.play = ipywidgets.Play(min=DEPTHS[0], max=DEPTHS[-1], interval=INTERVAL, description="play depth")
        self.row = ipywidgets.IntSlider(value=SIZE // 2, min=0, max=SIZE - 1, description="row")
        self.column = ipywidgets.IntSlider(value=SIZE // 2, min=0, max=SIZE - 1, description="column")
        self.view = ipywidgets.HTML()
        self.play.observe(lambda change: setattr(self.depth, "value", change["new"]), "value")
        for control in (self.network, self.second, self.order, self.depth, self.row, self.column):
            control.observe(self._redraw, "value")
        depth = ipywidgets.HBox([self.depth, self.play])
        super().__init__([self.network, self.second, self.order, depth, self.row, self.column, self.view])
        self._redraw()

    def _page(self):
        return static_html()

    def _own_field(self, row, column):
        try:
            return receptive_field(self._model, row, column, image_shape=self._shape).numpy()
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"the model cannot be asked about images {tuple(self._shape)}: {error}") from error

    def _redraw(self, change=None):
        own = self.network.value == "your model"
        height, width = self._shape[1:] if own else (SIZE, SIZE)
        self.row.max, self.column.max = height - 1, width - 1
        row, column, depth = self.row.value, self.column.value, self.depth.value
        if own:
            levels = strength_levels(self._own_field(row, column).reshape(-1)).reshape(height, width)
        else:
            levels = stored_levels(self.network.value, depth, row, column)
        panels = [panel(self.network.value, levels, row, column, self.order.value)]
        if self.second.value != NOTHING and (height, width) == (SIZE, SIZE):
            levels = stored_levels(self.second.value, depth, row, column)
            panels.append(panel(self.second.value, levels, row, column, self.order.value))
        panels = f'<div class="rf-panels">{"".join(panels)}</div>'
        self.view.value = f'{_style()}<div class="rf-explorer">{panels}{_legend()}</div>'


def stored_levels(network, depth, row, column):
    """The field of one of the explorer's own networks, in steps of strength: (SIZE, SIZE)."""
    return strength_levels(fields(network, depth)[row * SIZE + column]).reshape(SIZE, SIZE)


def kinds(levels, row, column):
    """What each pixel is: "seen", "blind" (earlier, not seen), "output", "later", or "leak" (seen though not earlier)."""
    height, width = levels.shape
    place = np.arange(height * width).reshape(height, width)
    here = row * width + column
    kind = np.where(place < here, np.where(levels > 0, "seen", "blind"), np.where(levels > 0, "leak", "later"))
    kind = kind.astype(object)  # an array of text would cut "output" to the length of the others
    if kind[row, column] == "later":
        kind[row, column] = "output"
    return kind


def sentence(levels, row, column):
    """The picture in words, for those who do not see it."""
    kind = kinds(levels, row, column)
    seen, blind, leaks = (int((kind == name).sum()) for name in ("seen", "blind", "leak"))
    words = f"Output pixel: row {row}, column {column}. It depends on {seen} of the {seen + blind} pixels before it. "
    words += f"Not seen: {blind}."
    if leaks:
        words += f" The network is not causal: it sees {leaks} that are not before it."
    return words


def own_pixel(order):
    """What an output of one colour sees of its own pixel, in words; with whole pixels nothing."""
    if order == ORDERS[0]:
        return "Of its own pixel it sees nothing."
    color = ORDERS.index(order) - 1
    seen = [name for name, is_seen in zip(COLORS, own_colors()[color]) if is_seen]
    return f"Of its own pixel, the output for {COLORS[color]} sees {' and '.join(seen) or 'nothing'}."


def panel(name, levels, row, column, order=ORDERS[0]):
    """A network's name, its field as SVG, and the sentences below; the page's script changes data attributes and text."""
    height, width = levels.shape
    kind, cells = kinds(levels, row, column), []
    for i in range(height):
        for j in range(width):
            cells.append(
                f'<g data-row="{i}" data-column="{j}" data-level="{levels[i, j]}" data-kind="{kind[i, j]}" '
                f'transform="translate({j * CELL} {i * CELL})"><rect width="19" height="19"/>'
                '<path d="M6 6l7 7m0-7l-7 7"/></g>'
            )
    return (
        f'<div class="rf-panel"><p class="rf-name">{name}</p>'
        f'<svg viewBox="-2 -2 {width * CELL + 3} {height * CELL + 3}" tabindex="0" role="application" '
        'aria-label="Grid of input pixels. The arrow keys move the output pixel; the sentence below says what it sees.">'
        f'{"".join(cells)}</svg><p class="rf-words" aria-live="polite">{sentence(levels, row, column)}</p>'
        f'<p class="rf-own">{own_pixel(order)}</p></div>'
    )


def static_html():
    """The explorer as one piece of HTML with its data and script inside; the same bytes at every call."""
    network, depth, row, column = next(iter(NETWORKS)), DEPTHS[2], SIZE // 2, SIZE // 2
    first = panel(network, stored_levels(network, depth, row, column), row, column)  # the script makes a second like it
    data = {
        "size": SIZE,
        "interval": INTERVAL,
        "own": {order: own_pixel(order) for order in ORDERS},
        "fields": {n: [pack(strength_levels(fields(n, d))) for d in DEPTHS] for n in NETWORKS},
    }
    return (
        f'{_style()}<div class="rf-explorer"><div class="rf-controls">'
        f"{_select('network', 'network', NETWORKS)}{_select('second', 'beside it', [NOTHING, *NETWORKS])}"
        f"{_select('order', 'order', ORDERS)}{_range('depth', depth, DEPTHS[0], DEPTHS[-1])}"
        f'<span></span><button type="button" data-control="play">play depth</button>'
        f"{_range('row', row, 0, SIZE - 1)}{_range('column', column, 0, SIZE - 1)}</div>"
        f'<div class="rf-panels">{first}</div>{_legend()}'
        f'<script type="application/json">{json.dumps(data)}</script></div>'
        f"<script>{(HERE / 'own_ids.js').read_text()}{(HERE / 'receptive_field.js').read_text()}</script>"
    )


def _select(control, label, options):
    options = "".join(f"<option>{name}</option>" for name in options)
    return f'<label for="rf-{control}">{label}</label><select id="rf-{control}" data-control="{control}">{options}</select>'


def _range(name, value, low, high):
    return (
        f'<label for="rf-{name}">{name} <output>{value}</output></label>'
        f'<input type="range" id="rf-{name}" data-control="{name}" min="{low}" max="{high}" value="{value}">'
    )


def _legend():
    items = {"seen": "seen, brighter is stronger", "blind": "earlier, not seen", "output": "output pixel", "later": "later"}
    keys = "".join(
        f'<span><svg viewBox="-1 -1 21 21" aria-hidden="true">'
        f'<g data-kind="{kind}" data-level="{LEVELS * (kind == "seen")}">'
        f'<rect width="19" height="19"/><path d="M6 6l7 7m0-7l-7 7"/></g></svg>{text}</span>'
        for kind, text in items.items()
    )
    return f'<div class="rf-legend">{keys}</div>'


def _style():
    ramp = matplotlib.colormaps["cividis"](np.linspace(0.15, 1, LEVELS))
    fills = "".join(
        f'.rf-explorer g[data-level="{n}"] rect{{fill:{matplotlib.colors.to_hex(color)}}}' for n, color in enumerate(ramp, 1)
    )
    return f"<style>{(HERE / 'receptive_field.css').read_text()}{fills}</style>"
