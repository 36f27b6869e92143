"""How the tests of two widgets read histograms, and compute them slowly."""

import re

import numpy as np
import torch

READ = """figures => figures.map(figure => ["name", "value", "bits", "peak"].map(
    part => figure.querySelector(`[data-part=${part}]`).textContent
).concat(["bars", "mark"].map(part => figure.querySelector(`[data-part=${part}]`).getAttribute("d"))))"""


def in_the_page(page):
    """What the page shows: for each channel its name, value, bits, the highest bar in percent, the heights, the mark."""
    return [
        [*words, [int(height) for height in re.findall(r"V(\d+)h1", bars)], float(mark[1:].split()[0])]
        for *words, bars, mark in page.locator(".pred-histogram").evaluate_all(READ)
    ]


def expected(shown, place):
    """The same from `Predictions`."""
    r, g, b = shown.values[place]
    names = ["r", f"g given r = {r}", f"b given r = {r}, g = {g}"]
    return [
        [names[c], str(value), f"{shown.cents[place, c] / 100:.2f}", str(bars[0]), bars[1:].tolist(), value + 0.5]
        for c, (value, bars) in enumerate(zip((r, g, b), shown.bars[place]))
    ]


def slow_bars(distribution, values):
    """What `Predictions.bars` holds for a pixel: the distribution (1x1) asked about one level of one channel at a time."""
    bars = []
    for channel in range(3):
        probabilities = []
        for level in range(256):
            pixel = torch.tensor(values, dtype=torch.uint8)
            pixel[channel] = level
            log_prob = distribution.log_prob(pixel.view(1, 3, 1, 1), per_channel=True)[0, channel]
            probabilities.append(log_prob.exp().item())
        sums = np.array(probabilities).reshape(64, 4).sum(axis=1)
        assert abs(sums.sum() - 1) < 1e-6
        bars.append([100 * sums.max(), *(255 * sums / sums.max())])
    return np.rint(bars)
