"""The sampling theatre of chapter 11: one image being drawn pixel by pixel, and the same pixels under teacher forcing."""

import functools
import math
from dataclasses import dataclass

import ipywidgets
import torch

from pixelcnn_edu.data import to_model
from pixelcnn_edu.models import PixelCNNpp
from pixelcnn_edu.sampling import trace
from pixelcnn_edu.weights import load_pretrained
from pixelcnn_edu.widgets.faces import TwoFaces
from pixelcnn_edu.widgets.predictions import (
    Predictions,
    at,
    fitted,
    level_probabilities,
    picture,
    predictions,
    script,
    slider,
    style,
    total,
)

__all__ = ["SamplingTheatre"]

SIZE, SEED, TEMPERATURE = 16, 4, 0.9  # of the image that is shown where no model is given
SAME = 1e-6  # probabilities that differ by less are the same but for rounding


class SamplingTheatre(TwoFaces):
    """How is an image drawn, what does each pixel cost the network, and what has teacher forcing to do with it?

    In a live kernel these are sliders and a picture; in a stored page, HTML and a short script with the same numbers inside.
    Without `model` it shows the small pretrained one at work on 16x16 pixels; with one, a PixelCNNpp, the image that it
    draws with this seed, temperature and class `label`. Raises ValueError for another kind of model, for images of other
    than 3 channels or of more than 1,024 pixels, and for a dequantized likelihood. Chapter 11.
    """

    def __init__(self, model=None, seed=SEED, temperature=TEMPERATURE, label=None):
        self._record = _default(seed, temperature) if model is None else record(model, seed, temperature, label)
        count, start = self._record.count, self._record.start + 1
        self.play = ipywidgets.Play(value=start, min=1, max=count, interval=300, description="play")
        self.pixel = ipywidgets.IntSlider(value=start, min=1, max=count, description="pixel")
        self.forcing = ipywidgets.Checkbox(value=False, description="teacher forcing")
        self.view = ipywidgets.HTML()
        ipywidgets.jslink((self.play, "value"), (self.pixel, "value"))
        for control in (self.pixel, self.forcing):
            control.observe(self._redraw, "value")
        super().__init__([self.play, self.pixel, self.forcing, self.view])
        self._redraw()

    def _page(self):
        return static_html(self._record)

    def _redraw(self, change=None):
        drawing = draw(self._record, self.pixel.value - 1, self.forcing.value)
        self.view.value = f'{style("sampling_theatre")}<div class="pred-card st-theatre">{drawing}</div>'


@dataclass(frozen=True, eq=False)
class Record:
    """A drawing, written down.

    Attributes:
        drawn: what each pixel was drawn from.
        forced: what one pass over the finished image says; `drawn` itself where the two are the same.
        naive: positions that the network has been run for after each pixel, with a whole pass for each.
        cached: the same where each activation is computed once.
    """

    drawn: Predictions
    forced: Predictions
    naive: list
    cached: list

    @property
    def count(self):
        """Pixels of the image."""
        return len(self.cached)

    @property
    def start(self):
        """The pixel that is shown first."""
        height, width = self.drawn.image.shape[1:]
        return height * 5 // 8 * width + width // 2


@functools.cache
def _default(seed, temperature):
    """The record of the small pretrained model, the same at every call."""
    model = load_pretrained("cifar10-small")
    return record(fitted(model, SIZE, SIZE), seed, temperature)


@torch.no_grad()
def record(model, seed=SEED, temperature=TEMPERATURE, label=None):
    """Draw one image in float64, and write down all that the theatre shows. Raises ValueError as `SamplingTheatre` does."""
    if not isinstance(model, PixelCNNpp):
        raise ValueError(f"only a PixelCNNpp is drawn from a position at a time, got a {type(model).__name__}")
    _, height, width = model.config.image_shape
    model = fitted(model, height, width)
    labels = None if label is None else torch.tensor([label])
    steps = list(trace(model, 1, labels, seed, temperature=temperature))
    image, levels = steps[-1].images, model.config.levels
    pixels = [_asked(step.distribution, step.images[:, :, step.row, step.column, None, None]) for step in steps]
    then = [torch.cat(part, dim=-1).unflatten(-1, (height, width)).squeeze(-3) for part in zip(*pixels)]
    distribution = model.distribution(to_model(image, levels, torch.float64), labels).tempered(temperature)
    now = _asked(distribution, image)
    same = torch.allclose(then[0], now[0], rtol=0, atol=SAME)
    drawn = predictions(image[0], levels, *then)
    forced = drawn if same else predictions(image[0], levels, *now)
    passes = 1 if model.config.whole_pixels else 3
    naive = [passes * height * width * number for number in range(1, len(steps) + 1)]
    return Record(drawn, forced, naive, [step.positions for step in steps])


def _asked(distribution, image):
    """Probabilities (3, levels, H, W) of all levels, and bits (3, H, W) of those in the image (1, 3, H, W)."""
    return level_probabilities(distribution, image), distribution.log_prob(image, per_channel=True)[0] / -math.log(2)


def sentence(record, place, forcing):
    """The picture in words, for those who do not see it."""
    shown = record.forced if forcing else record.drawn
    row, column = divmod(place, shown.image.shape[2])
    r, g, b = shown.values[place]
    words = f"Pixel {place + 1} of {record.count}, row {row}, column {column}. "
    words += f"Drawn: r {r}, g {g}, b {b}, together {total(shown.cents[place])} bits. "
    if not forcing:
        return f"{words}Pixels that the network had seen: the {place} before it. Those after it did not exist yet."
    words += "The whole image is there, and one pass gives the distributions of all its pixels at once. "
    if record.forced is record.drawn:
        return f"{words}Here they are the same as when the pixel was drawn: only the {place} pixels before it count."
    return f"{words}They are not those that the pixels were drawn from: this network is not causal."


def draw(record, place, forcing):
    """All that changes, as HTML; the page's script changes only attributes, path data and text."""
    shown = record.forced if forcing else record.drawn
    height, width = shown.image.shape[1:]
    row, column = divmod(place, width)
    label = "The image. The left and right arrow keys move by a pixel, up and down by a row; the words below say what it is."
    return (
        f'<div class="pred-columns" data-forcing="{str(forcing).lower()}"><div class="pred-pictures" '
        f'style="{at(row, column, height, width)}">{picture(shown.address, label)}'
        '<div class="st-key"><span><i></i>this pixel</span><span class="st-absent"><i class="st-later"></i>not drawn yet'
        '</span><span class="st-present"><i class="st-later"></i>there, but not looked at</span></div></div>'
        f"<div>{shown.draw(place, 'drawn value')}</div></div>"
        f'<p class="pred-words" aria-live="polite">{sentence(record, place, forcing)}</p>{_work(record, place)}'
    )


def _work(record, place):
    """How many positions the network has been run for by now, in three ways of running it, as a table with bars."""
    rows = {
        "naive": ("drawing, naive: a whole pass a pixel", record.naive[place]),
        "cached": ("drawing, cached: each position once", record.cached[place]),
        "forced": ("teacher forcing: one pass for all pixels", record.count),
    }
    lines = "".join(
        f'<div data-way="{way}"><span>{text}</span><b>{positions:,}</b><i style="--part:{positions}"></i></div>'
        for way, (text, positions) in rows.items()
    )
    return (
        f'<div class="st-work" style="--whole:{record.naive[-1]}">Positions that the network has been run for:{lines}</div>'
    )


def static_html(record):
    """The theatre as one piece of HTML with its data and script inside; the same bytes at every call."""
    place = record.start
    data = {
        "records": [each.data() for each in dict.fromkeys([record.drawn, record.forced])],  # one where they are the same
        "naive": record.naive,
        "cached": record.cached,
        "rows": record.drawn.image.shape[1],
        "columns": record.drawn.image.shape[2],
    }
    return (
        f'{style("sampling_theatre")}<div class="pred-card st-theatre"><div class="pred-controls">'
        f'<button type="button" data-control="play">Play</button>{slider("pixel", "pixel", place + 1, 1, record.count)}'
        f'<label><input type="checkbox" data-control="forcing">teacher forcing</label></div>'
        f"{draw(record, place, False)}{script('sampling_theatre', data)}</div>"
    )
