"""What two widgets show of a pixel: the three distributions that were predicted for it, and its place in the picture."""

import base64
import copy
import dataclasses
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pixelcnn_edu.data import to_bytes, to_model

__all__ = ["LARGEST", "Predictions", "fitted", "level_probabilities", "predictions"]

HERE = Path(__file__).parent
BARS = 64  # a histogram's bars, each of 4 levels where there are 256
LARGEST = 1024  # pixels; the bars of 32x32 are 270 kB of text
AT_ONCE = 2**16  # pixels that are scored together: enough to be quick, few enough for the memory


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network predicted for every pixel of an image, in the form in which it is drawn.

    Attributes:
        image: integers (3, H, W).
        levels: values a channel can take.
        bars: uint8 (H * W, 3, 1 + bars): the highest bar's probability in percent, then the heights, the highest 255.
        cents: the bits that each value costs, in hundredths: int64 (H * W, 3).
    """

    image: torch.Tensor
    levels: int
    bars: np.ndarray
    cents: np.ndarray

    @property
    def values(self):
        """The levels of each pixel, int64 (H * W, 3)."""
        return self.image.flatten(1).T.long().numpy()

    @property
    def address(self):
        """The image as a `bitmap`, in as many shades as bytes have."""
        return bitmap(to_bytes(to_model(self.image, self.levels)))

    def data(self):
        """All of it as what JSON can hold, for the page's script."""
        packed = base64.b64encode(self.bars.tobytes()).decode()
        lists = {"values": self.values.ravel().tolist(), "cents": self.cents.ravel().tolist()}
        return {"levels": self.levels, "size": self.bars.shape[2], "bars": packed, **lists}

    def draw(self, place, word):
        """The three histograms of a pixel as HTML; `word` says what the marked value is. The script changes their parts."""
        histograms = "".join(self._histogram(place, channel, word) for channel in range(3))
        note = f"Each bar stands for {self.levels / (self.bars.shape[2] - 1):g} levels. Dashed: the {word}."
        return f'<div class="pred-histograms">{histograms}</div><p class="pred-note">{note}</p>'

    def _histogram(self, place, channel, word):
        values, (peak, *heights) = self.values[place], self.bars[place, channel]
        stretch = f"matrix({self.levels / len(heights):g} 0 0 -.38 0 100)"
        return (
            f'<div class="pred-histogram" data-channel="{"rgb"[channel]}"><div class="pred-title">'
            f'<b data-part="name">{name(values, channel)}</b>'
            f'<span>{word} <span data-part="value">{values[channel]}</span>: '
            f'<span data-part="bits">{self.cents[place, channel] / 100:.2f}</span> bits</span></div>'
            f'<svg viewBox="0 0 {self.levels} 100" preserveAspectRatio="none" aria-hidden="true">'
            f'<path data-part="bars" transform="{stretch}" d="M0 0{"".join(f"V{h}h1" for h in heights)}V0z"/>'
            f'<path data-part="mark" d="M{values[channel] + 0.5} 0V100"/></svg>'
            f'<div class="pred-axis"><span>0</span><span>highest bar <span data-part="peak">{peak}</span> %</span>'
            f"<span>{self.levels - 1}</span></div></div>"
        )


def name(values, channel):
    """What a histogram is the distribution of."""
    known = ", ".join(f"{'rgb'[c]} = {values[c]}" for c in range(channel))
    return "rgb"[channel] + (f" given {known}" if known else "")


def predictions(image, levels, probabilities, bits):
    """Put together image (3, H, W), probabilities (3, levels, H, W) and bits (3, H, W) to `Predictions`."""
    count = min(BARS, levels)
    bins = torch.arange(levels) * count // levels
    sums = torch.zeros(3, count, *image.shape[1:], dtype=torch.float64).index_add_(1, bins, probabilities.double())
    peak = sums.amax(dim=1, keepdim=True)
    parts = torch.cat([100 * peak, 255 * sums / peak], dim=1)  # (3, 1 + bars, H, W)
    bars = parts.round().to(torch.uint8).flatten(2).permute(2, 0, 1).contiguous().numpy()
    return Predictions(image, levels, bars, (100 * bits).round().long().flatten(1).T.numpy())


@torch.no_grad()
def level_probabilities(distribution, image):
    """The probability of every level of each channel of each pixel, given the pixel's earlier channels in the image.

    distribution: any likelihood of the package, over one image; image: integers (1, C, H, W). Returns (C, levels, H, W).
    Each channel is set to every level in turn, and `log_prob` is asked. Used in chapters 11 and 12.
    """
    levels, rows = getattr(distribution, "each", distribution).levels, []
    for channel in range(image.shape[1]):
        for some in torch.arange(levels).split(max(1, AT_ONCE // image[0, 0].numel())):
            images = image.repeat(len(some), 1, 1, 1)
            images[:, channel] = some.to(image.dtype)[:, None, None]
            rows.append(_repeated(distribution, len(some)).log_prob(images, per_channel=True)[:, channel])
    return torch.cat(rows).exp().unflatten(0, (-1, levels))  # (C * levels, H, W) -> (C, levels, H, W)


def _repeated(distribution, times):
    """The same distribution for a batch of so many equal images."""
    many = copy.copy(distribution)
    for key, value in vars(distribution).items():
        if torch.is_tensor(value):
            setattr(many, key, value.repeat(times, *[1] * (value.ndim - 1)))
        elif hasattr(value, "log_prob"):  # what `SubPixels` holds
            setattr(many, key, _repeated(value, times))
    return many


def fitted(model, height, width):
    """A copy of the model in float64 on the CPU, for images of that size: the weights do not depend on it.

    Raises ValueError where an image has other than 3 channels or more than 1,024 pixels, which the page could not hold, and
    for a dequantized likelihood, which gives densities and no probabilities.
    """
    if model.config.image_shape[0] != 3 or height * width > LARGEST:
        raise ValueError(
            f"this shows images of 3 channels and at most {LARGEST:,} pixels, got "
            f"({model.config.image_shape[0]}, {height}, {width}); cut a piece out"
        )
    if model.config.likelihood == "dequantized":
        raise ValueError('a "dequantized" likelihood gives densities; this shows the probabilities of levels')
    copied = copy.deepcopy(model)
    copied.config = dataclasses.replace(model.config, image_shape=(3, height, width))
    return copied.cpu().double().eval()


def bitmap(pixels):
    """An image, uint8 (3, H, W), as an address with the data inside; not compressed, so the same from every library."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(np.asarray(pixels), 0, 2))).save(file, "bmp")
    return f"data:image/bmp;base64,{base64.b64encode(file.getvalue()).decode()}"


def picture(address, label):
    """An image as HTML with a frame around one pixel, which the variables of `at` place."""
    return (
        f'<div class="pred-picture" tabindex="0" role="application" aria-label="{label}">'
        f'<img src="{address}" alt="{label}"><div class="pred-here"></div></div>'
    )


def at(row, column, height, width):
    """The variables by which the frame finds its pixel."""
    return f"--row:{row};--column:{column};--rows:{height};--columns:{width}"


def slider(label, control, value, low, high):
    """A labelled range input of the page. It comes before its output in the source, or the label would be the output's."""
    return (
        f'<label>{label} <input type="range" data-control="{control}" min="{low}" max="{high}" value="{value}">'
        f"<output>{value}</output></label>"
    )


def total(cents):
    """Hundredths of bits, added up, as text."""
    return f"{math.fsum(cents) / 100:.2f}"


def style(widget):
    """The style of all that stands here, and of the widget."""
    return f"<style>{''.join((HERE / f'{file}.css').read_text() for file in ('predictions', widget))}</style>"


def script(widget, data):
    """The data, and the widget's script with what it shares, in a scope of its own; to stand inside the widget's element."""
    code = "".join((HERE / f"{file}.js").read_text() for file in ("predictions", widget))
    return f'<script type="application/json">{json.dumps(data)}</script><script>(() => {{\n{code}}})();</script>'
