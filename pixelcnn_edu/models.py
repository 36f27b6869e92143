"""PixelCNN++: the whole network, read from top to bottom as the paper's figure 2 is."""

import dataclasses
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from pixelcnn_edu.blocks import GatedResNet, normalized
from pixelcnn_edu.causal import (
    DownRightShiftedConv2d,
    DownRightShiftedConvTranspose2d,
    DownShiftedConv2d,
    DownShiftedConvTranspose2d,
    down_shift,
    right_shift,
)
from pixelcnn_edu.data import to_model
from pixelcnn_edu.likelihoods import DiscretizedLogisticMixture

__all__ = ["Config", "PixelCNNpp", "double", "halve"]

SCALES = 3  # resolutions in the network: full, half and a quarter


@dataclass(frozen=True)
class Config:
    """All that defines a model; the default is the released code's full size.

    image_shape: channels, height, width; height and width multiples of 4 where there is downsampling.
    levels: values a channel can take, 256 for bytes.
    filters: feature maps F in each of the two streams. The paper's text says 192; the released code and its 2.92
        bits/dim checkpoint use 160.
    blocks: gated blocks at each of the three resolutions on the way up.
    mixtures: components K of the mixture of logistics.
    dropout: probability of zeroing an activation inside a gated block, in training.
    classes: number of labels to condition on, 0 for none.
    downsampling: halve the resolution twice (the paper's third change); without it every layer runs at full size.
    shortcuts: feed each layer on the way up into its twin on the way down (the paper's fourth change).

    Raises ValueError for values that make no model. Source: sections 2 and 3.1 of Salimans et al. 2017.
    """

    image_shape: tuple[int, int, int] = (3, 32, 32)
    levels: int = 256
    filters: int = 160
    blocks: int = 5
    mixtures: int = 10
    dropout: float = 0.5
    classes: int = 0
    downsampling: bool = True
    shortcuts: bool = True

    def __post_init__(self):
        object.__setattr__(self, "image_shape", tuple(self.image_shape))  # JSON brings a list
        if len(self.image_shape) != 3 or min(self.image_shape) < 1:
            raise ValueError(f"image_shape must be (channels, height, width), all at least 1; got {self.image_shape}")
        for name, least in {"levels": 2, "filters": 1, "blocks": 1, "mixtures": 1, "classes": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        _, height, width = self.image_shape
        factor = 2 ** (SCALES - 1)
        if self.downsampling and (height % factor or width % factor):
            raise ValueError(
                f"height and width must be multiples of {factor}, which are halved twice; got {height} x {width}. "
                f"Crop or pad the images to {_up(height, factor)} x {_up(width, factor)}, or set downsampling=False"
            )

    @classmethod
    def tiny(cls, **overrides):
        """Seconds on a CPU: the size of the book's chapters."""
        return cls(**{"filters": 16, "blocks": 1, "mixtures": 5, "dropout": 0.0, **overrides})

    @classmethod
    def small(cls, **overrides):
        """Minutes on a free Colab GPU, an hour or two on a laptop's CPU: the size of the recorded run."""
        return cls(**{"filters": 32, "blocks": 1, "mixtures": 10, "dropout": 0.0, **overrides})

    @classmethod
    def paper(cls, **overrides):
        """The released code's size, 53,659,080 parameters: days on several GPUs."""
        return cls(**overrides)

    def to_dict(self):
        """The fields as plain numbers, tuples and booleans, fit for JSON."""
        return dataclasses.asdict(self)


def _up(size, factor):
    return math.ceil(size / factor) * factor


class TwoStreams(nn.Module):
    """One layer of the network: a gated block in each stream; the horizontal one also reads the vertical one's output.

    Maps vertical and horizontal (N, F, H, W) to two of the same shape. `stored`, where there is one, is the pair that the
    twin layer on the way up gave out.
    """

    def __init__(self, config, stored):
        super().__init__()
        filters, settings = config.filters, {"dropout": config.dropout, "classes": config.classes}
        self.vertical = GatedResNet(DownShiftedConv2d, filters, filters if stored else 0, **settings)
        self.horizontal = GatedResNet(DownRightShiftedConv2d, filters, 2 * filters if stored else filters, **settings)

    def forward(self, vertical, horizontal, stored=None, labels=None):
        stored_vertical, stored_horizontal = ((s,) for s in stored) if stored else ((), ())
        vertical = self.vertical(vertical, *stored_vertical, labels=labels)
        horizontal = self.horizontal(horizontal, vertical, *stored_horizontal, labels=labels)
        return vertical, horizontal


class Resize(nn.Module):
    """Halve (a convolution with stride 2) or double (its transpose) the resolution of both streams, each in its own way."""

    def __init__(self, vertical, horizontal):
        super().__init__()
        self.vertical, self.horizontal = normalized(vertical), normalized(horizontal)

    def forward(self, vertical, horizontal):
        return self.vertical(vertical), self.horizontal(horizontal)


def halve(config):
    """The layer that leads to the next coarser resolution; without downsampling, to another layer of the same."""
    f, stride = config.filters, 2 if config.downsampling else 1
    return Resize(DownShiftedConv2d(f, f, stride=stride), DownRightShiftedConv2d(f, f, stride=stride))


def double(config):
    """The layer that leads back up from what `halve` made."""
    f = config.filters
    if config.downsampling:
        return Resize(DownShiftedConvTranspose2d(f, f), DownRightShiftedConvTranspose2d(f, f))
    return Resize(DownShiftedConv2d(f, f), DownRightShiftedConv2d(f, f))


class PixelCNNpp(nn.Module):
    """PixelCNN++: from an image to the distribution of each of its pixels given the pixels before it.

    Two streams run through the network. `vertical` (the paper's "downward", the released code's `u`) has seen all rows
    above; `horizontal` ("downward and rightward", `ul`) also the pixels to the left. On the way up each keeps what it
    computed; on the way down the twin layers take it back, last in first out.

    `model(x, labels=None)` maps x (N, C, H, W) in [-1, 1] to parameters (N, P, H, W). `log_prob` and `bits_per_dim` take
    bytes. Source: figure 2 and section 2 of Salimans et al. 2017 and the released code. Assembled in chapter 10.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        channels, filters = config.image_shape[0], config.filters
        # A first convolution sees the image and a channel of ones, which tells real mid-grey pixels from padding.
        self.first_vertical = normalized(DownShiftedConv2d(channels + 1, filters, (2, 3)))
        self.first_above = normalized(DownShiftedConv2d(channels + 1, filters, (1, 3)))
        self.first_left = normalized(DownRightShiftedConv2d(channels + 1, filters, (2, 1)))

        up, down = [], []
        for scale in range(SCALES):
            up += [TwoStreams(config, stored=False) for _ in range(config.blocks)]
            # The way down has one block more at each finer scale: the twin of the layer that led up to that scale.
            down += [TwoStreams(config, stored=config.shortcuts) for _ in range(config.blocks + (scale > 0))]
            if scale < SCALES - 1:
                up.append(halve(config))
                down.append(double(config))
        self.up, self.down = nn.ModuleList(up), nn.ModuleList(down)

        parameters = DiscretizedLogisticMixture.parameter_count(channels, config.mixtures)
        self.to_params = normalized(nn.Conv2d(filters, parameters, 1))

    def streams(self, x, labels=None):
        """The two streams' last features, before the output layer: x (N, C, H, W) -> two of (N, F, H, W)."""
        labels = self._check(x, labels)
        x = F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0)  # (N, C, H, W) -> (N, C + 1, H, W), the last channel all ones
        # Only here is anything shifted: from now on a position holds the past alone, and later layers may look at it.
        vertical = down_shift(self.first_vertical(x))  # (N, C + 1, H, W) -> (N, F, H, W)
        horizontal = down_shift(self.first_above(x)) + right_shift(self.first_left(x))

        stored = [(vertical, horizontal)]
        for layer in self.up:
            vertical, horizontal = self._run(layer, vertical, horizontal, None, labels)
            stored.append((vertical, horizontal))

        vertical, horizontal = stored.pop()
        for layer in self.down:
            takes_back = isinstance(layer, TwoStreams) and self.config.shortcuts
            vertical, horizontal = self._run(layer, vertical, horizontal, stored.pop() if takes_back else None, labels)
        return vertical, horizontal

    @staticmethod
    def _run(layer, vertical, horizontal, stored, labels):
        if isinstance(layer, Resize):
            return layer(vertical, horizontal)
        return layer(vertical, horizontal, stored, labels)

    def forward(self, x, labels=None):
        _, horizontal = self.streams(x, labels)
        return self.to_params(F.elu(horizontal))  # (N, F, H, W) -> (N, P, H, W)

    def distribution(self, x, labels=None):
        """The distribution of every pixel given those before it: x (N, C, H, W) in [-1, 1]."""
        params = self(x, labels)
        return DiscretizedLogisticMixture.from_params(params, self.config.image_shape[0], self.config.levels)

    def log_prob(self, images, labels=None):
        """Log-likelihood in nats of whole images, integers (N, C, H, W) -> (N,)."""
        x = to_model(images, self.config.levels).to(self.to_params.bias.dtype)
        return self.distribution(x, labels).log_prob(images).sum(dim=(1, 2))  # (N, H, W) -> (N,)

    def bits_per_dim(self, images, labels=None):
        """Negative log-likelihood in bits a sub-pixel, integers (N, C, H, W) -> (N,); 8 is a uniform guess at a byte."""
        return -self.log_prob(images, labels) / (math.log(2) * math.prod(images.shape[1:]))

    def _check(self, x, labels):
        if not x.is_floating_point():
            raise ValueError(
                f"the network takes floats in [-1, 1], got {x.dtype}; use log_prob for bytes, or to_model first"
            )
        if x.ndim != 4 or tuple(x.shape[1:]) != self.config.image_shape:
            raise ValueError(
                f"the model was built for images (N, {', '.join(map(str, self.config.image_shape))}), got {tuple(x.shape)}"
            )
        if not self.config.classes:
            if labels is not None:
                raise ValueError("labels were given to a model without classes; build it with Config(..., classes=10)")
            return None
        if labels is None:
            raise ValueError(f"the model is conditioned on {self.config.classes} classes: labels (N,) are needed")
        labels = torch.as_tensor(labels, device=x.device)
        if labels.shape != x.shape[:1] or labels.is_floating_point():
            raise ValueError(f"labels must be {len(x)} integers, one an image; got {labels.dtype} {tuple(labels.shape)}")
        if len(labels) and (labels.min() < 0 or labels.max() >= self.config.classes):
            raise ValueError(
                f"labels must be 0..{self.config.classes - 1}, got {labels.min().item()}..{labels.max().item()}"
            )
        return labels.long()
