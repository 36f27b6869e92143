"""The receptive-field explorer of chapter 2: choose a network, its depth and an output pixel; see what it depends on."""

import json
from pathlib import Path

import ipywidgets
import matplotlib
import numpy as np

from pixelcnn_edu.probes import receptive_field
from pixelcnn_edu.widgets.fields import DEPTHS, LEVELS, NETWORKS, SIZE, fields, pack, strength_levels

__all__ = ["ReceptiveFieldExplorer"]

HERE = Path(__file__).parent
CELL = 20  # a pixel's side in the drawing


class ReceptiveFieldExplorer(ipywidgets.VBox):
    """Which earlier pixels does an output pixel depend on, and how strongly?

    In a live kernel these are sliders and a picture; in a stored page, HTML and a short script with the same numbers inside.
    `model`, any module from (1, C, H, W) to (1, P, H, W), adds "your model" in a live kernel; `image_shape` (C, H, W) is
    needed where it has no `config`. Raises ValueError where the model does not keep the image's height and width. Chapter 2.
    """

    def __init__(self, model=None, image_shape=None):
        self._model = model
        self._shape = (image_shape or model.config.image_shape) if model is not None else None
        names = [*NETWORKS] + (["your model"] if model is not None else [])
        if model is not None:
            height, width = self._shape[1:]
            self._own_field(height - 1, width - 1)  # a model that does not fit is refused now, not at the first click
        self.network = ipywidgets.Dropdown(options=names, value=names[-1 if model is not None else 0], description="network")
        self.depth = ipywidgets.IntSlider(value=DEPTHS[2], min=DEPTHS[0], max=DEPTHS[-1], description="depth")
        self.row = ipywidgets.IntSlider(value=SIZE // 2, min=0, max=SIZE - 1, description="row")
        self.column = ipywidgets.IntSlider(value=SIZE // 2, min=0, max=SIZE - 1, description="column")
        self.view = ipywidgets.HTML()
        for control in (self.network, self.depth, self.row, self.column):
            control.observe(self._redraw, "value")
        super().__init__([self.network, self.depth, self.row, self.column, self.view])
        self._redraw()

    def __repr__(self):
        return "ReceptiveFieldExplorer: run this cell, or open the built page, to move it"

    def _repr_mimebundle_(self, **options):  # ipywidgets 8; version 7 shows the live face alone
        return {**super()._repr_mimebundle_(**options), "text/plain": repr(self), "text/html": static_html()}

    def _own_field(self, row, column):
        try:
            return receptive_field(self._model, row, column, image_shape=self._shape).numpy()
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"the model cannot be asked about images {tuple(self._shape)}: {error}") from error

    def _redraw(self, change=None):
        own = self.network.value == "your model"
        height, width = self._shape[1:] if own else (SIZE, SIZE)
        self.row.max, self.column.max, self.depth.disabled = height - 1, width - 1, own
        row, column = self.row.value, self.column.value
        if own:
            strength = self._own_field(row, column).reshape(-1)
        else:
            strength = fields(self.network.value, self.depth.value)[row * width + column].numpy()
        levels = strength_levels(strength).reshape(height, width)
        self.view.value = f'{_style()}<div class="rf-explorer">{draw(levels, row, column)}</div>'


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


def draw(levels, row, column):
    """The picture as SVG with its sentence below; the page's script changes only data attributes and text."""
    height, width = levels.shape
    kind, cells = kinds(levels, row, column), []
    for i in range(height):
        for j in range(width):
            cells.append(
                f'<g data-row="{i}" data-column="{j}" data-level="{levels[i, j]}" data-kind="{kind[i, j]}" '
                f'transform="translate({j * CELL} {i * CELL})"><rect width="19" height="19"/>'
                '<path d="M6 6l7 7m0-7l-7 7"/></g>'
            )
    words = sentence(levels, row, column)
    return (
        f'<svg viewBox="-2 -2 {width * CELL + 3} {height * CELL + 3}" tabindex="0" role="application" '
        'aria-label="Grid of input pixels. The arrow keys move the output pixel; the sentence below says what it sees.">'
        f'{"".join(cells)}</svg><p class="rf-words" aria-live="polite">{words}</p>{_legend()}'
    )


def static_html(uid="rf"):
    """The explorer as one piece of HTML with its data and script inside; the same bytes at every call."""
    network, depth, row, column = next(iter(NETWORKS)), DEPTHS[2], SIZE // 2, SIZE // 2
    levels = strength_levels(fields(network, depth)[row * SIZE + column]).reshape(SIZE, SIZE)
    data = {"size": SIZE, "fields": {n: [pack(strength_levels(fields(n, d))) for d in DEPTHS] for n in NETWORKS}}
    options = "".join(f"<option>{name}</option>" for name in NETWORKS)
    return (
        f'{_style()}<div class="rf-explorer"><div class="rf-controls">'
        f'<label for="{uid}-network">network</label><select id="{uid}-network" data-control="network">{options}</select>'
        f"{_range(uid, 'depth', depth, DEPTHS[0], DEPTHS[-1])}"
        f"{_range(uid, 'row', row, 0, SIZE - 1)}{_range(uid, 'column', column, 0, SIZE - 1)}</div>"
        f"{draw(levels, row, column)}"
        f'<script type="application/json">{json.dumps(data)}</script></div>'
        f"<script>{(HERE / 'receptive_field.js').read_text()}</script>"
    )


def _range(uid, name, value, low, high):
    return (
        f'<label for="{uid}-{name}">{name} <output>{value}</output></label>'
        f'<input type="range" id="{uid}-{name}" data-control="{name}" min="{low}" max="{high}" value="{value}">'
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
