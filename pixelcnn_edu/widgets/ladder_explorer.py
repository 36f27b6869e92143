"""The ladder explorer of chapter 12: the curves of all recorded ablations, to be shown, hidden and compared."""

import html
import json
import math
from pathlib import Path

import ipywidgets

from pixelcnn_edu import style
from pixelcnn_edu.widgets.faces import TwoFaces
from pixelcnn_edu.widgets.ladders import (
    AXES,
    HEIGHT,
    MEASURES,
    OWN,
    RANGES,
    TICKS,
    UNITS,
    WIDTH,
    View,
    data,
    layout,
    read_ladder,
    read_own,
    standing,
    stops,
)

__all__ = ["LadderExplorer"]

HERE = Path(__file__).parent
COLORS = [style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.RED]
DASHES = ["none", "8 3", "2.5 2.5", "9 3 2.5 3"]  # 5 colours and 4 dashes go round together: 20 rungs, no two alike
CHOICES = {"measure": ("bits/dim on", MEASURES), "axis": ("against", AXES), "range": ("vertical axis", RANGES)}


class LadderExplorer(TwoFaces):
    """How fast and how far does each rung of the ladder of ablations come, and by how much does it miss the full model?

    In a live kernel these are boxes to tick and a slider; in a stored page, HTML and a short script with the same numbers.
    folder: holds a recorded run in a folder for each rung, up to 20 of them. own: the folder or the metrics.csv of the
    reader's run, laid over as "your run". Raises FileNotFoundError where there is no run, ValueError where `own` has
    recorded nothing yet. Chapter 12.
    """

    def __init__(self, folder, own=None):
        self._curves = read_ladder(folder) + ([read_own(own)] if own is not None else [])
        self.measure, self.axis, self.range = (
            ipywidgets.Dropdown(options=list(options), description=label) for label, options in CHOICES.values()
        )
        self.shown = [ipywidgets.Checkbox(value=True, description=curve.name, indent=False) for curve in self._curves]
        self.all, self.none = ipywidgets.Button(description="show all"), ipywidgets.Button(description="hide all")
        self.cursor = ipywidgets.IntSlider(description="cursor", min=0, readout=False)
        self.view = ipywidgets.HTML(layout=ipywidgets.Layout(width="100%"))
        self._place = math.inf
        for control in (self.measure, self.axis, self.range, *self.shown):
            control.observe(self._choose, "value")
        self.all.on_click(lambda button: self._show(True))
        self.none.on_click(lambda button: self._show(False))
        self.cursor.observe(self._move, "value")
        for box in self.shown:
            box.layout.width = "11rem"
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        rows = ([self.measure, self.axis, self.range], [*self.shown, self.all, self.none], [self.cursor])
        super().__init__([*(ipywidgets.HBox(row, layout=wrap) for row in rows), self.view])
        self._choose()

    def _page(self):
        return static_html(self._curves)

    def _show(self, value):
        for box in self.shown:
            box.value = value

    def _view(self):
        shown = tuple(box.value for box in self.shown)
        return View(shown, self.measure.value, self.axis.value, self.range.value, self._place)

    def _choose(self, change=None):
        if change and change["owner"] is self.axis:
            self._place = math.inf
        places = stops(self._curves, self._view())
        self.cursor.unobserve(self._move, "value")
        self.cursor.max = len(places) - 1
        self.cursor.value = standing(places, self._place)
        self.cursor.observe(self._move, "value")
        self._redraw()

    def _move(self, change):
        self._place = stops(self._curves, self._view())[self.cursor.value]
        self._redraw()

    def _redraw(self):
        drawing = f"{draw(self._curves, self._view())}{_notes(self._curves)}{_table(self._curves)}"
        self.view.value = f'{_style()}<div class="lad-explorer">{drawing}</div>'


def draw(curves, view, between=""):
    """The chart and the sentence as HTML, with more HTML between them; the script changes path data, places and text."""
    parts = layout(curves, view)
    lines = "".join(
        f'<g class="{_look(n, curve)}"><path class="lad-leader" d="{part["leader"]}"/><path class="lad-line" '
        f'd="{part["line"]}"/><path class="lad-end" d="{part["end"]}"/><path class="lad-at" d="{part["at"]}"/></g>'
        for n, (curve, part) in enumerate(zip(curves, parts["curves"]))
    )
    labels = "".join(
        f'<span class="{_look(n, curve)}" style="{_top(part["top"])}">{html.escape(curve.name)}</span>'
        for n, (curve, part) in enumerate(zip(curves, parts["curves"]))
    )
    ticks = {axis: parts[axis] + [("0", "")] * (most - len(parts[axis])) for axis, most in TICKS.items()}
    x = "".join(f'<span style="left:{place}%">{text}</span>' for place, text in ticks["x"])
    y = "".join(f'<span style="top:{place}px">{text}</span>' for place, text in ticks["y"])
    label = "Curves of bits/dim. The arrow keys move the cursor; the sentence below says the values there."
    return (
        f'<div class="lad-chart"><p class="lad-title">bits/dim on {view.measure}</p><div class="lad-y">{y}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" tabindex="0" role="application" '
        f'aria-label="{label}"><path class="lad-grid" d="{parts["grid"]}"/>{lines}'
        f'<path class="lad-cursor" d="{parts["cursor"]}"/></svg><div class="lad-names">{labels}</div>'
        f'<div class="lad-x">{x}</div><p class="lad-title">{axis_title(view.axis)}</p></div>{between}'
        f'<p class="lad-words" aria-live="polite">{html.escape(parts["words"])}</p>'
    )


def axis_title(axis):
    """What stands under the horizontal axis."""
    return f"{axis}, in thousands" if UNITS[axis] == 1000 else f"{axis}, on a machine that did other work"


def _top(place):
    return "display:none" if place is None else f"top:{place}px"


def _look(n, curve):
    """The classes that give a curve its colour and its dash."""
    return "lad-own" if curve.name == OWN else f"lad-color{n % len(COLORS)} lad-dash{n % len(DASHES)}"


def _key(n, curve):
    line = '<path class="lad-line" d="M1 7H29"/>'
    return f'<svg class="{_look(n, curve)}" viewBox="0 0 30 14" aria-hidden="true">{line}</svg>'


def static_html(curves):
    """The explorer as one piece of HTML with its data and script inside; the same bytes at every call."""
    view = View((True,) * len(curves))
    selects = "".join(
        f'<label for="lad-{name}">{label}</label><select id="lad-{name}" data-control="{name}">'
        f"{''.join(f'<option>{option}</option>' for option in options)}</select>"
        for name, (label, options) in CHOICES.items()
    )
    boxes = "".join(
        f'<label><input type="checkbox" checked data-rung="{n}">{_key(n, curve)}'
        f"<span>{html.escape(curve.name)}</span></label>"
        for n, curve in enumerate(curves)
    )
    last = len(stops(curves, view)) - 1
    cursor = (
        f'<div class="lad-controls"><label for="lad-cursor">cursor</label>'
        f'<input type="range" id="lad-cursor" data-control="cursor" min="0" max="{last}" value="{last}"></div>'
    )
    titles = {axis: axis_title(axis) for axis in AXES}
    script = json.dumps({**data(curves), "titles": titles}).replace("<", "\\u003c")
    return (
        f'{_style()}<div class="lad-explorer"><div class="lad-controls lad-choices">{selects}</div>'
        f"{draw(curves, view, cursor)}"
        f'<fieldset><legend>rungs</legend><div class="lad-boxes">{boxes}</div><button type="button" data-control="all">'
        'show all</button> <button type="button" data-control="none">hide all</button></fieldset>'
        f'{_notes(curves)}{_table(curves)}<script type="application/json">{script}</script></div>'
        f"<script>{(HERE / 'own_ids.js').read_text()}{(HERE / 'ladder_explorer.js').read_text()}</script>"
    )


def _notes(curves):
    first = sorted({on for curve in curves for *_, on in curve.points("images seen", "held-out images")})
    on_the_way = " or ".join(on for on in first if on.startswith("the first")) or "some held-out images"
    whole = " or ".join(on for on in first if on.startswith("all")) or "all held-out images"
    return (
        f'<p class="lad-notes">On the way, test numbers are taken on {on_the_way}; the last one of a finished run, a filled '
        f"circle, on {whole}. Squares mark the records that the sentence tells; a dotted line leads from the end of a curve "
        "to its name. The seconds of the rungs were taken on a machine that did other work at the same time: they are a "
        "rough guide and no comparison.</p>"
    )


def _table(curves):
    full = next((curve.last() for curve in curves if curve.name == "full"), None)
    counts = sorted({curve.last()[1] for curve in curves if curve.last()})
    images = " or ".join(f"{count:,}" for count in counts) or "all"
    heads = ["rung", "parameters", "images seen", f"bits/dim on {images} held-out images", "difference to full", "run"]
    rows = "".join(f'<th role="columnheader" scope="col">{head}</th>' for head in heads)
    rows = f'<thead role="rowgroup"><tr role="row">{rows}</tr></thead><tbody role="rowgroup">'
    for n, curve in enumerate(curves):
        rows += f'<tr role="row"><th role="rowheader" scope="row">{_key(n, curve)}{html.escape(curve.name)}</th>'
        rows += "".join(f'<td role="cell">{text}</td>' for text in facts(curve, full)) + "</tr>"
    return f'<table class="lad-table" role="table">{rows}</tbody></table>'


def facts(curve, full):
    """A row of the table: parameters, images seen, last test bits/dim, difference to `full` (bits/dim, images), state."""
    last, comparable = curve.last(), full and curve.last() and full[1] == curve.last()[1]
    states = {True: "finished", False: "stopped early", None: "not recorded"}
    return [
        "not recorded" if curve.parameters is None else f"{curve.parameters:,}",
        f"{curve.metrics['images'][-1]:,.0f}",
        f"{last[0]:.4f}" if last else "none yet",
        ("0" if curve.name == "full" else f"{last[0] - full[0]:+.4f}") if comparable else "–",
        states[curve.finished],
    ]


def _style():
    colors = "".join(f".lad-explorer .lad-color{n}{{color:{color}}}" for n, color in enumerate(COLORS))
    dashes = "".join(f".lad-explorer .lad-dash{n} .lad-line{{stroke-dasharray:{dash}}}" for n, dash in enumerate(DASHES))
    return f"<style>{(HERE / 'ladder_explorer.css').read_text()}{colors}{dashes}</style>"
