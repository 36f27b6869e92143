"""The receptive fields that the explorer shows: three kinds of small network, their gradients, in a compact form."""

import base64
import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pixelcnn_edu.blocks import weight_normed
from pixelcnn_edu.causal import DownRightShiftedConv2d, DownShiftedConv2d, MaskedConv2d, down_shift, right_shift
from pixelcnn_edu.models import TwoStreams, downsample, upsample
from pixelcnn_edu.models.config import Config

__all__ = [
    "DEPTHS",
    "LEVELS",
    "NETWORKS",
    "SIZE",
    "TwoStreamStack",
    "fields",
    "masked_stack",
    "own_colors",
    "pack",
    "strength_levels",
]

SIZE = 16  # the grid is 16 x 16
DEPTHS = (1, 2, 3, 4, 5)
LEVELS = 15  # steps of strength; 0 is a gradient of exactly 0
DECADES = 3  # what the steps span: a factor of 1,000
FILTERS = 8
DIRECTIONS = 2  # random directions in the output, each one backward pass


def masked_stack(depth):
    """A masked convolution of type A, then `depth` of type B, all 3x3: maps (N, 1, H, W) to (N, F, H, W)."""
    layers = [MaskedConv2d(1, FILTERS, 3, "A")]
    for _ in range(depth):
        layers += [nn.ELU(), MaskedConv2d(FILTERS, FILTERS, 3, "B")]
    return nn.Sequential(*layers)


class TwoStreamStack(nn.Module):
    """PixelCNN++'s first layer, then `depth` gated blocks in each of the two streams: maps (N, 1, H, W) to (N, F, H, W).

    With `downsampling` the blocks run at half the resolution, and one more at the full one takes the first layer's output
    back by a short-cut; H and W must then be even.
    """

    def __init__(self, depth, downsampling=False):
        super().__init__()
        config, f = Config(filters=FILTERS, dropout=0.0), FILTERS
        self.first_vertical = weight_normed(DownShiftedConv2d(1, f, (2, 3)))
        self.first_above = weight_normed(DownShiftedConv2d(1, f, (1, 3)))
        self.first_left = weight_normed(DownRightShiftedConv2d(1, f, (2, 1)))
        layers = [TwoStreams(config) for _ in range(depth)]
        if downsampling:
            layers = [downsample(config), *layers, upsample(config)]
        self.layers = nn.ModuleList(layers)
        self.last = TwoStreams(config, takes_skip=True) if downsampling else None

    def forward(self, x):
        vertical = down_shift(self.first_vertical(x))  # (N, 1, H, W) -> (N, F, H, W)
        horizontal = down_shift(self.first_above(x)) + right_shift(self.first_left(x))
        stored = (vertical, horizontal)
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal)
        if self.last is not None:
            _, horizontal = self.last(vertical, horizontal, stored)
        return F.elu(horizontal)


NETWORKS = {  # the name the reader sees, and how to build the network from a depth
    "masked 3x3 convolutions": masked_stack,
    "two streams": TwoStreamStack,
    "two streams, with downsampling": functools.partial(TwoStreamStack, downsampling=True),
}


def build(network, depth):
    """The network of that name in float64, with the same weights each time; the reader's random state stays untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(depth)
        return NETWORKS[network](depth).double().eval()


@functools.cache
def fields(network, depth):
    """Size of the gradient of each output pixel by each input pixel, float64 (outputs, inputs), both in raster order.

    The same quantity as `probes.receptive_field`, for all output pixels in one backward pass a direction: each copy of the
    image in a batch is asked about a pixel of its own.
    """
    places, model = SIZE * SIZE, build(network, depth)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 1, SIZE, SIZE, dtype=torch.float64, generator=generator) * 2 - 1
    x = x.expand(places, -1, -1, -1).clone().requires_grad_()
    output = model(x).flatten(2).diagonal(dim1=0, dim2=2)  # (N, F, H, W) -> (F, places): each copy's own pixel
    squares = 0
    for _ in range(DIRECTIONS):
        direction = torch.randn(len(output), 1, dtype=torch.float64, generator=generator)
        (gradient,) = torch.autograd.grad((output * direction).sum(), x, retain_graph=True)
        squares = squares + gradient.flatten(1).square()  # (places, places)
    return (squares / DIRECTIONS).sqrt()


@functools.cache
def own_colors(depth=1):
    """Which colours of its own pixel an output of each colour sees in the sub-pixel order: tuples of bools, red to blue.

    Asked of a stack of masked convolutions with three colours, by its gradients; it is the same at every depth.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(MaskedConv2d(3, 6, 3, "A", 3), *[MaskedConv2d(6, 6, 3, "B", 3) for _ in range(depth)]).double()
        x = torch.rand(1, 3, 5, 5, dtype=torch.float64, requires_grad=True)
        output = model(x)[0, :, 2, 2]  # (6,): channel i belongs to colour i mod 3
    seen = []
    for color in range(3):
        (gradient,) = torch.autograd.grad(output[color::3].sum(), x, retain_graph=True)
        seen.append(tuple((gradient[0, :, 2, 2] != 0).tolist()))
    return tuple(seen)


def strength_levels(field):
    """Strength in 15 logarithmic steps over three decades, 0 only for a gradient of exactly 0: uint8, shape of `field`.

    The strongest value along the last axis, which runs over the inputs of one output pixel, is step 15.
    """
    strength = np.asarray(field)
    top = np.maximum(strength.max(axis=-1, keepdims=True), np.finfo(float).tiny)
    with np.errstate(divide="ignore"):
        steps = np.ceil(LEVELS * (1 + np.log10(strength / top) / DECADES))
    return np.where(strength == 0, 0, steps.clip(1, LEVELS)).astype(np.uint8)


def pack(levels):
    """The levels (outputs, inputs) of earlier inputs alone, two to a byte, as base64 text for the page's script."""
    outputs = len(levels)
    earlier = np.concatenate([levels[p, :p] for p in range(outputs)])  # (outputs * (outputs - 1) / 2,)
    pairs = np.append(earlier, np.zeros(len(earlier) % 2, np.uint8)).reshape(-1, 2)
    return base64.b64encode((pairs[:, 0] * 16 + pairs[:, 1]).astype(np.uint8).tobytes()).decode()
