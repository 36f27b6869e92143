"""The bits heat map of chapter 12: what each pixel of an image costs a network, and what had been predicted for it."""

import functools
import math
from dataclasses import dataclass

import ipywidgets
import matplotlib
import numpy as np
import torch

from pixelcnn_edu.data import as_integers, load_images, to_model
from pixelcnn_edu.probes import bits_per_pixel
from pixelcnn_edu.weights import load_pretrained
from pixelcnn_edu.widgets.faces import TwoFaces
from pixelcnn_edu.widgets.predictions import (
    Predictions,
    at,
    bitmap,
    fitted,
    level_probabilities,
    picture,
    predictions,
    script,
    slider,
    style,
    total,
)

__all__ = ["BitsHeatMap"]

MAPS = ["sum", "r", "g given r", "b given r, g"]


class BitsHeatMap(TwoFaces):
    """What does each pixel of an image cost, and what had the network expected there?

    In a live kernel these are sliders and pictures; in a stored page, HTML and a short script with the same numbers inside.
    model: any of the package's, the small pretrained one where none is given; its weights are used for images of any size.
    image: uint8 (3, H, W), one of `shapes` where none is given; `label` its class, for a model that has some. Raises
    ValueError for images of another kind or of more than 1,024 pixels, and for a dequantized likelihood. Chapter 12.
    """

    def __init__(self, model=None, image=None, label=None):
        self._costs = _default() if model is None and image is None else costs(model, image, label)
        height, width = self._costs.predictions.image.shape[1:]
        row, column = self._costs.start
        self.shown = ipywidgets.ToggleButtons(options=MAPS, value=MAPS[0], description="bits")
        self.row = ipywidgets.IntSlider(value=row, min=0, max=height - 1, description="row")
        self.column = ipywidgets.IntSlider(value=column, min=0, max=width - 1, description="column")
        self.view = ipywidgets.HTML()
        for control in (self.shown, self.row, self.column):
            control.observe(self._redraw, "value")
        super().__init__([self.shown, self.row, self.column, self.view])
        self._redraw()

    def _page(self):
        return static_html(self._costs)

    def _redraw(self, change=None):
        drawing = draw(self._costs, self.row.value, self.column.value, MAPS.index(self.shown.value))
        self.view.value = f'{_style()}<div class="pred-card bh-map">{drawing}</div>'


@dataclass(frozen=True, eq=False)
class Costs:
    """An image, what was predicted for it, and what it costs.

    Attributes:
        predictions: of every pixel.
        bits: float64 (3, H, W).
    """

    predictions: Predictions
    bits: torch.Tensor

    @property
    def start(self):
        """The row and the column of the dearest pixel, which is shown first."""
        return divmod(self.bits.sum(dim=0).argmax().item(), self.bits.shape[2])

    def map(self, shown):
        """What a map shows, its index in MAPS: (H, W)."""
        return self.bits[shown - 1] if shown else self.bits.sum(dim=0)

    def guess(self, shown):
        """Bits of a uniform guess, at which the colours end: 8 a channel, 24 a pixel, for bytes."""
        return (1 if shown else 3) * math.log2(self.predictions.levels)

    def colors(self, shown):
        """The map as an image, uint8 (3, H, W), brighter where more bits are paid."""
        shades = matplotlib.colormaps["cividis"]((self.map(shown) / self.guess(shown)).numpy(), bytes=True)  # (H, W, 4)
        return np.moveaxis(shades[..., :3], 2, 0)


@functools.cache
def _default():
    """The costs of the default image under the default model, the same at every call."""
    return costs()


@torch.no_grad()
def costs(model=None, image=None, label=None):
    """Ask the model about one image, in float64. Parameters and errors are those of `BitsHeatMap`."""
    model = load_pretrained("cifar10-small") if model is None else model
    image = load_images("shapes", "test")[0][0] if image is None else as_integers(image)
    if image.ndim != 3 or len(image) != 3:
        raise ValueError(f"image must be integers (3, H, W), got {tuple(image.shape)}")
    model = fitted(model, *image.shape[1:])
    images, labels = image.cpu().unsqueeze(0), None if label is None else torch.tensor([label])
    bits = bits_per_pixel(model, images, labels)[0]  # (3, H, W)
    distribution = model.distribution(to_model(images, model.config.levels, torch.float64), labels)
    return Costs(predictions(images[0], model.config.levels, level_probabilities(distribution, images), bits), bits)


def average(costs):
    """Bits of the average pixel, as text."""
    return f"{costs.bits.sum(dim=0).mean():.2f}, or {costs.bits.mean():.2f} bits/dim"


def sentence(costs, row, column):
    """The chosen pixel in words, for those who do not see it."""
    cents = costs.predictions.cents
    r, g, b = cents[row * costs.bits.shape[2] + column]
    return (
        f"Row {row}, column {column}: {r / 100:.2f} bits for r, {g / 100:.2f} for g given r, "
        f"{b / 100:.2f} for b given both, {total((r, g, b))} together. "
        f"The average pixel of this image costs {average(costs)}."
    )


def brightest(costs, shown):
    """What the bright end of the colour scale stands for, in words."""
    return f"{costs.guess(shown):g} bits, a uniform guess, and more"


def draw(costs, row, column, shown):
    """All that changes, as HTML; the page's script changes only attributes, path data and text."""
    height, width = costs.bits.shape[1:]
    keys = "The arrow keys move to another pixel; the words below say what it costs."
    image, heat = costs.predictions.address, bitmap(costs.colors(shown))
    return (
        f'<div class="pred-pictures" style="{at(row, column, height, width)}">'
        f"{picture(image, f'The image. {keys}')}{picture(heat, f'The bits as a map. {keys}')}</div>"
        f'<div class="bh-scale"><span>0</span><i></i><span data-part="top">{brightest(costs, shown)}</span></div>'
        f"{costs.predictions.draw(row * width + column, 'true value')}"
        f'<p class="pred-words" aria-live="polite">{sentence(costs, row, column)}</p>'
    )


def static_html(costs):
    """The heat map as one piece of HTML with its data and script inside; the same bytes at every call."""
    height, width = costs.bits.shape[1:]
    row, column = costs.start
    data = {
        "record": costs.predictions.data(),
        "rows": height,
        "columns": width,
        "average": average(costs),
        "maps": [[bitmap(costs.colors(shown)), brightest(costs, shown)] for shown in range(len(MAPS))],
    }
    toggles = "".join(
        f'<button type="button" aria-pressed="{str(not shown).lower()}">{name}</button>' for shown, name in enumerate(MAPS)
    )
    sliders = slider("row", "row", row, 0, height - 1) + slider("column", "column", column, 0, width - 1)
    return (
        f'{_style()}<div class="pred-card bh-map"><div class="pred-controls">'
        f'<div class="bh-toggles" role="group" aria-label="bits of">{toggles}</div>{sliders}</div>'
        f"{draw(costs, row, column, 0)}{script('bits_heat_map', data)}</div>"
    )


def _style():
    ramp = ",".join(matplotlib.colors.to_hex(color) for color in matplotlib.colormaps["cividis"](np.linspace(0, 1, 8)))
    return f"{style('bits_heat_map')}<style>.bh-map .bh-scale i{{background:linear-gradient(90deg,{ramp})}}</style>"
