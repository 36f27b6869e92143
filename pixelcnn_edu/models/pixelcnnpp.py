"""PixelCNN++ on one screen, in the order of the paper's figure 2: stem, way up, way down, head."""

import torch
import torch.nn.functional as F
from torch import nn

from pixelcnn_edu.blocks import GatedResNet, weight_normed
from pixelcnn_edu.causal import (
    DownRightShiftedConv2d,
    DownRightShiftedConvTranspose2d,
    DownShiftedConv2d,
    DownShiftedConvTranspose2d,
    down_shift,
    right_shift,
)
from pixelcnn_edu.models.base import SCALES, PixelModel
from pixelcnn_edu.models.precision import in_weight_dtype, to_autocast_dtype
from pixelcnn_edu.models.sub_pixels import mask_sub_pixels

__all__ = ["PixelCNNpp", "TwoStreams", "downsample", "upsample"]


class PixelCNNpp(PixelModel):
    """PixelCNN++: from an image to the distribution of each of its pixels given the pixels before it.

    Two streams run through the network. `vertical` (the paper's "downward", the released code's `u`) sees all rows above;
    `horizontal` ("downward and rightward", `ul`) also sees the pixels to the left. As in the paper, the way up leads to
    coarser resolutions and the way down back to finer ones: the other way round than in drawings of a U-Net. The way up
    keeps its features; the way down takes them back as skip connections ("short-cuts"), last in, first out.

    Raises ValueError for the configuration of a `PixelCNN`.
    Source: figure 2 and section 2 of Salimans et al. 2017 and the released code. Assembled in chapter 10.
    """

    renamed = (
        *((f"first_{name}.", f"stem.{name}.") for name in ("vertical", "above", "left", "own")),
        ("to_params.", "head."),
    )

    def __init__(self, config):
        super().__init__(config)
        if config.architecture != "pixelcnn++":
            raise ValueError(f"this is the configuration of a {config.architecture}; use build(config)")
        self.stem = Stem(config)
        up, down = [], []
        for scale in range(SCALES):
            up += [TwoStreams(config) for _ in range(config.blocks)]
            # One more at each finer scale: the downsampling layer that led up from there has left a skip, too.
            down += [TwoStreams(config, config.shortcuts) for _ in range(config.blocks + (scale > 0))]
            if scale < SCALES - 1:
                up.append(downsample(config))
                down.append(upsample(config))
        self.up, self.down = nn.ModuleList(up), nn.ModuleList(down)
        self.head = weight_normed(nn.Conv2d(config.filters, config.outputs, 1))
        if not config.whole_pixels:
            mask_sub_pixels(self)

    def forward(self, x, labels=None):
        """Map x (N, C, H, W) in [-1, 1] and labels (N,) to the distributions' parameters (N, P, H, W)."""
        labels = self.check(x, labels)
        height, width = x.shape[2:]
        vertical, horizontal = self.stem(x)  # (N, C, H, W) -> two of (N, F, H', W')

        skips = [(vertical, horizontal)]
        for layer in self.up:
            vertical, horizontal = layer(vertical, horizontal, labels=labels)
            skips.append((vertical, horizontal))

        vertical, horizontal = skips.pop()
        for layer in self.down:
            skip = skips.pop() if layer.takes_skip else None
            vertical, horizontal = layer(vertical, horizontal, skip, labels)

        features = horizontal[..., :height, :width]  # (N, F, H', W') -> (N, F, H, W)
        return in_weight_dtype(self.head, F.elu(features))  # (N, F, H, W) -> (N, P, H, W)

    def hidden_layers(self):
        """The modules between the stem and the head."""
        return [*self.up.modules(), *self.down.modules()]


class Stem(nn.Module):
    """Start both streams from an image: (N, C, H, W) -> two of (N, F, H', W').

    Only here is anything shifted. From now on a position holds the past alone, and later layers may look at it.
    """

    def __init__(self, config):
        super().__init__()
        channels, filters = config.image_shape[0], config.filters
        self.vertical = weight_normed(DownShiftedConv2d(channels + 1, filters, (2, 3)))
        self.above = weight_normed(DownShiftedConv2d(channels + 1, filters, (1, 3)))
        self.left = weight_normed(DownRightShiftedConv2d(channels + 1, filters, (2, 1)))
        # Without whole pixels green sees the pixel's own red, and blue sees both.
        self.own = None if config.whole_pixels else weight_normed(nn.Conv2d(channels, filters, 1))
        self.multiple = 2 ** (SCALES - 1) if config.downsampling else 1

    def forward(self, x):
        x = self.pad(x)
        return self.start_vertical(x), self.start_horizontal(x)

    def pad(self, x):
        """Add a channel of ones, and zeros below and at the right: (N, C, H, W) -> (N, C + 1, H', W').

        The ones tell real mid-grey pixels from padding. H' and W' are the next multiples of 4 where there is downsampling.
        That is exact: the zeros come later in raster order or are known beforehand.
        """
        below, right = (-size % self.multiple for size in x.shape[2:])
        return F.pad(torch.cat([x, torch.ones_like(x[:, :1])], dim=1), (0, right, 0, below))

    def start_vertical(self, x):
        """Of a padded image, the rows above: (N, C + 1, H', W') -> (N, F, H', W')."""
        return to_autocast_dtype(down_shift(in_weight_dtype(self.vertical, x)))

    def start_horizontal(self, x):
        """Of a padded image, the row above and the pixels to the left: (N, C + 1, H', W') -> (N, F, H', W')."""
        horizontal = down_shift(in_weight_dtype(self.above, x)) + right_shift(in_weight_dtype(self.left, x))
        if self.own is not None:
            horizontal = horizontal + in_weight_dtype(self.own, x[:, :-1])
        return to_autocast_dtype(horizontal)


class TwoStreams(nn.Module):
    """A gated residual block in each stream; the horizontal one also reads the vertical one's output.

    Maps vertical and horizontal (N, F, H, W) to two of the same shape. `skip` is the pair that a layer on the way up left;
    it is needed where `takes_skip`.
    """

    def __init__(self, config, takes_skip=False):
        super().__init__()
        self.takes_skip = takes_skip
        filters, settings = config.filters, {"dropout": config.dropout, "classes": config.classes}
        self.vertical = GatedResNet(DownShiftedConv2d, filters, filters * takes_skip, **settings)
        self.horizontal = GatedResNet(DownRightShiftedConv2d, filters, filters * (1 + takes_skip), **settings)

    def forward(self, vertical, horizontal, skip=None, labels=None):
        vertical_skip, horizontal_skip = ((s,) for s in skip) if skip else ((), ())
        vertical = self.vertical(vertical, *vertical_skip, labels=labels)
        horizontal = self.horizontal(horizontal, vertical, *horizontal_skip, labels=labels)
        return vertical, horizontal


class Resize(nn.Module):
    """Change the resolution of both streams, each by its own convolution."""

    takes_skip = False

    def __init__(self, vertical, horizontal):
        super().__init__()
        self.vertical, self.horizontal = weight_normed(vertical), weight_normed(horizontal)

    def forward(self, vertical, horizontal, skip=None, labels=None):
        return self.vertical(vertical), self.horizontal(horizontal)


def downsample(config):
    """The layer to the next coarser resolution, by stride 2; without downsampling, a layer at the same resolution."""
    f, stride = config.filters, 2 if config.downsampling else 1
    return Resize(DownShiftedConv2d(f, f, stride=stride), DownRightShiftedConv2d(f, f, stride=stride))


def upsample(config):
    """The layer back to the resolution before `downsample`, by a transposed convolution."""
    f = config.filters
    if config.downsampling:
        return Resize(DownShiftedConvTranspose2d(f, f), DownRightShiftedConvTranspose2d(f, f))
    return Resize(DownShiftedConv2d(f, f), DownRightShiftedConv2d(f, f))
