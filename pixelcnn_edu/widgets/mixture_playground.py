"""The mixture playground of chapter 4: move up to three logistics, and see what each of 256 levels gets and costs."""

import itertools
import json
from pathlib import Path

import ipywidgets

from pixelcnn_edu.widgets.faces import TwoFaces
from pixelcnn_edu.widgets.mixture_picture import FRAME, draw, legend
from pixelcnn_edu.widgets.mixtures import LEVELS, fixed, grey_levels, sentence

__all__ = ["MixturePlayground"]

HERE = Path(__file__).parent
START = ((90, -2.2, 60), (230, -2.5, 40), (160, -7, 20))  # mean in grey levels, log-scale, weight in parts
LIMITS = {"mean": (-20, 275, 0.5), "log-scale": (-7, 0, 0.1), "weight": (1, 100, 1)}  # lowest, highest, step


class MixturePlayground(TwoFaces):
    """What probability does a mixture of logistics give to each level, and what does the level cost in bits?

    In a live kernel these are sliders and a picture; in a stored page, HTML and a short script with the same formulas.
    It starts with `components`, one to three of (mean in grey levels, log-scale in units of x, weight in parts), rounded to
    the sliders' steps, and the cursor at `level`; with `log_view` it compares two formulas of the logarithm instead of
    drawing bars. Raises ValueError for another number of components, and for numbers beyond the sliders' ends. Chapter 4.
    """

    def __init__(self, components=START[:2], level=250, log_view=False):
        components = _checked(components, level)
        self._start, count = (components, level, log_view), len(components)
        self.count = ipywidgets.Dropdown(
            options=[1, 2, 3], value=count, description="components", style={"description_width": "initial"}
        )
        self.chosen = ipywidgets.Dropdown(options=range(1, count + 1), value=count, description="change no.")
        self.settings = [_sliders(each) for each in _three(components)]
        self.level = ipywidgets.IntSlider(value=level, min=0, max=LEVELS - 1, description="level")
        self.log_view = ipywidgets.Checkbox(value=log_view, description="logarithms")
        self.box, self.view = ipywidgets.VBox(), ipywidgets.HTML()
        self.count.observe(self._recount, "value")
        for control in (self.chosen, self.level, self.log_view, *itertools.chain(*self.settings)):
            control.observe(self._redraw, "value")
        super().__init__([self.count, self.chosen, self.box, self.level, self.log_view, self.view])
        self._redraw()

    def _page(self):
        return static_html(*self._start)

    def _recount(self, change):
        self.chosen.options = range(1, self.count.value + 1)
        self.chosen.value = self.count.value  # the newest is the one to change
        self._redraw()

    def _redraw(self, change=None):
        self.box.children = self.settings[self.chosen.value - 1]
        components = [[slider.value for slider in sliders] for sliders in self.settings[: self.count.value]]
        notes = [f"log-scale of component {n}: {_said(components, n)['log-scale']}" for n in range(1, self.count.value + 1)]
        picture = _picture(components, self.level.value, self.log_view.value)
        self.view.value = f"{_style()}{_open(self.log_view.value)}<p>{'; '.join(notes)}.</p>{picture}</div>"


def _checked(components, level):
    """The components, on the sliders' steps, or a ValueError."""
    if not 1 <= len(components) <= 3:
        raise ValueError(f"there must be one to three components, got {len(components)}")
    for each in components:
        for value, (name, (low, high, _)) in zip(each, LIMITS.items(), strict=True):
            if not low <= value <= high:
                raise ValueError(f"the {name} must be from {low} to {high}, got {value}")
    if not 0 <= level < LEVELS:
        raise ValueError(f"the level must be from 0 to {LEVELS - 1}, got {level}")
    steps = [step for *_, step in LIMITS.values()]
    return [[round(round(value / step) * step, 1) for value, step in zip(each, steps)] for each in components]


def _three(components):
    """With what the sliders of the components start that are not there yet."""
    return [*components, *START[len(components) :]]


def _sliders(component):
    return [
        ipywidgets.FloatSlider(
            value=value, min=low, max=high, step=step, description=name, readout_format=f".{int(step < 1)}f"
        )
        for value, (name, (low, high, step)) in zip(component, LIMITS.items())
    ]


def _said(components, number):
    """The settings of a component in words: the scale in grey levels too, and the weight's share of the whole."""
    mean, log_scale, weight = components[number - 1]
    share = weight / sum(each[2] for each in components)
    scale = f"{log_scale:g}, or {fixed(grey_levels(log_scale), 2)} grey levels"
    return {"mean": f"{mean:g}", "log-scale": scale, "weight": f"{weight:g}, a share of {fixed(share, 2)}"}


def _picture(components, level, log_view):
    words = sentence(components, level, log_view)
    return f'{draw(components, level)}<p class="mix-words" aria-live="polite">{words}</p>{legend()}'


def static_html(components=START[:2], level=250, log_view=False):
    """The playground as one piece of HTML with its script inside; the same bytes at every call with the same start."""
    count, all_three = len(components), _three(components)
    sets = ""
    for n, each in enumerate(all_three, 1):
        said = _said(all_three[: max(n, count)], n)
        sliders = "".join(_range(name, value, said[name], *LIMITS[name]) for name, value in zip(LIMITS, each))
        sets += f"<fieldset{'' if n == count else ' hidden'}><legend>component {n}</legend>{sliders}</fieldset>"
    return (
        f'{_style()}{_open(log_view)}<div class="mix-controls">'
        f"{_select('components', 3, count)}{_select('change component', count, count)}"
        f"{_range('level', level, level, 0, LEVELS - 1, 1)}"
        f'<label class="mix-switch"><input type="checkbox" role="switch" data-control="log"{" checked" * log_view}>'
        f"logarithms</label></div>{sets}{_picture(components, level, log_view)}"
        f'<script type="application/json">{json.dumps(FRAME)}</script></div>'
        f"<script>{(HERE / 'mixture_playground.js').read_text()}</script>"
    )


def _open(log_view):
    return f'<div class="mix-playground" data-view="{"log" if log_view else "bars"}">'


def _select(name, options, value):
    items = "".join(f"<option{' selected' * (n == value)}{' disabled' * (n > options)}>{n}</option>" for n in (1, 2, 3))
    return f'<label>{name} <select data-control="{name.split()[0]}">{items}</select></label>'


def _range(name, value, said, low, high, step):
    return (
        f'<label>{name} <span>{said}</span><input type="range" data-control="{name}" min="{low}" max="{high}" '
        f'step="{step}" value="{value}" aria-valuetext="{said}"></label>'
    )


def _style():
    return f"<style>{(HERE / 'mixture_playground.css').read_text()}</style>"
