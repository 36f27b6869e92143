"""The receptive fields that the explorer shows: three kinds of small network, their gradients, and a compact form of them."""

import base64
import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pixelcnn_edu.blocks import normalized
from pixelcnn_edu.causal import (
    DownRightShiftedConv2d,
    DownRightShiftedConvTranspose2d,
    DownShiftedConv2d,
    DownShiftedConvTranspose2d,
    MaskedConv2d,
    down_shift,
    right_shift,
)
from pixelcnn_edu.models import Config, Resize, TwoStreams

__all__ = ["DEPTHS", "LEVELS", "NETWORKS", "SIZE", "TwoStreamStack", "blind", "build", "fields", "levels", "masked_stack"]

SIZE = 16  # the grid is 16 x 16
DEPTHS = 5  # the reader chooses among depths 1..5
LEVELS = 15  # steps of strength; 0 is a gradient of exactly 0
DECADES = 3  # what the steps span: a factor of 1000 below the strongest
FILTERS = 8
ANY_DEPTH = SIZE  # in a network with more layers than the grid has rows, one layer more reaches nothing new


def masked_stack(depth):
    """A masked convolution of type A, then `depth` of type B, all 3x3: maps (N, 1, H, W) to (N, 1, H, W)."""
    layers = [MaskedConv2d(1, FILTERS, 3, "A")]
    for _ in range(depth):
        layers += [nn.ELU(), MaskedConv2d(FILTERS, FILTERS, 3, "B")]
    return nn.Sequential(*layers, nn.ELU(), nn.Conv2d(FILTERS, 1, 1))


class TwoStreamStack(nn.Module):
    """PixelCNN++ with one resolution, or two: its first layer, then `depth` blocks in each stream.

    With `downsampling` the blocks run at half the resolution, and one more at the full one takes the first layer's output
    back by a short-cut. Maps (N, 1, H, W) to (N, 1, H, W); with `downsampling` H and W must be even.
    """

    def __init__(self, depth, downsampling=False):
        super().__init__()
        config = Config(image_shape=(1, SIZE, SIZE), filters=FILTERS, dropout=0.0)
        self.first_vertical = normalized(DownShiftedConv2d(1, FILTERS, (2, 3)))
        self.first_above = normalized(DownShiftedConv2d(1, FILTERS, (1, 3)))
        self.first_left = normalized(DownRightShiftedConv2d(1, FILTERS, (2, 1)))
        layers = [TwoStreams(config, stored=False) for _ in range(depth)]
        if downsampling:
            halve = Resize(DownShiftedConv2d(FILTERS, FILTERS, stride=2), DownRightShiftedConv2d(FILTERS, FILTERS, stride=2))
            double = Resize(
                DownShiftedConvTranspose2d(FILTERS, FILTERS), DownRightShiftedConvTranspose2d(FILTERS, FILTERS)
            )
            layers = [halve, *layers, double]
        self.layers = nn.ModuleList(layers)
        self.last = TwoStreams(config, stored=True) if downsampling else None
        self.to_output = normalized(nn.Conv2d(FILTERS, 1, 1))

    def forward(self, x):
        vertical = down_shift(self.first_vertical(x))  # (N, 1, H, W) -> (N, F, H, W)
        horizontal = down_shift(self.first_above(x)) + right_shift(self.first_left(x))
        stored = (vertical, horizontal)
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal)
        if self.last is not None:
            vertical, horizontal = self.last(vertical, horizontal, stored)
        return self.to_output(F.elu(horizontal))  # (N, F, H, W) -> (N, 1, H, W)


NETWORKS = {  # the name the reader sees, and how to build it from a depth
    "masked 3x3 convolutions": masked_stack,
    "two streams": TwoStreamStack,
    "two streams, with downsampling": functools.partial(TwoStreamStack, downsampling=True),
}


def build(network, depth):
    """The network of that name in float64, with the same random weights each time and everywhere."""
    with torch.random.fork_rng(devices=[]):  # the layers draw weights as they are built; the reader's seed must not notice
        model = NETWORKS[network](depth).double()
    generator = torch.Generator().manual_seed(0)
    for conv in model.modules():
        if isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)):
            # Uniform, not normal: torch.rand gives the same bits on every processor, and so the page has the same bytes.
            uniform = torch.rand(conv.weight.shape, dtype=torch.float64, generator=generator) * 2 - 1
            _set_weight(conv, uniform * (3 / conv.weight[0].numel()) ** 0.5)
            nn.init.zeros_(conv.bias)
    return model.requires_grad_(False)


def _set_weight(conv, weight):
    if isinstance(conv, MaskedConv2d) or not hasattr(conv, "parametrizations"):
        conv.weight.data = weight
    else:
        conv.weight = weight


def jac(model):
    generator = torch.Generator().manual_seed(0)  # the image that `receptive_field` takes
    x = torch.rand(1, 1, SIZE, SIZE, dtype=torch.float64, generator=generator) * 2 - 1
    x = x.repeat(SIZE * SIZE, 1, 1, 1).requires_grad_()
    y = model(x).flatten(1).diagonal().sum()
    return torch.autograd.grad(y, x)[0][:, 0]
