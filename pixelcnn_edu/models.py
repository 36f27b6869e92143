"""PixelCNN++, read from top to bottom as the paper's figure 2 is, and the PixelCNN that it is measured against."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from pixelcnn_edu.blocks import GatedResNet, normalized
from pixelcnn_edu.causal import (
    DownRightShiftedConv2d,
    DownRightShiftedConvTranspose2d,
    DownShiftedConv2d,
    DownShiftedConvTranspose2d,
    MaskedConv2d,
    down_shift,
    mask_colors,
    right_shift,
)
from pixelcnn_edu.data import as_integers, to_model
from pixelcnn_edu.likelihoods import Categorical, DequantizedLogisticMixture, DiscretizedLogisticMixture, SubPixels

__all__ = ["PixelCNN", "PixelCNNpp", "build", "double", "halve"]

OWN_TAP = (-1, -1)  # of a down-right-shifted kernel, the place that reads the pixel itself
SCALES = 3  # resolutions in the network: full, half and a quarter
LIKELIHOODS = {
    "mixture": DiscretizedLogisticMixture,
    "softmax": Categorical,
    "dequantized": DequantizedLogisticMixture,
}


def build(config):
    """The network that a configuration describes: a `PixelCNNpp`, or a `PixelCNN` for `Config.original()`."""
    return {"pixelcnn++": PixelCNNpp, "pixelcnn": PixelCNN}[config.architecture](config)


def _exactly(layer, x):
    """A layer at an end of the network, in its weights' precision under autocast too.

    In bfloat16 it would round the pixels themselves, or the parameters that the likelihood reads; both cost bits.
    """
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(layer.bias.dtype))


def _as_autocast_has_it(x):
    """x in the type that autocast computes in where it is on, so that what is kept of the network's inside takes half."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _values_may_be_looked_at():
    """Not while `torch.compile` follows the network, which it would cut in two there."""
    return not torch.compiler.is_compiling()


class PixelModel(nn.Module):
    """What every model of this book answers, once it says in `forward` how an image becomes parameters.

    `model(x, labels=None)` maps x (N, C, H, W) in [-1, 1] to parameters (N, P, H, W), those of a pixel depending on the
    pixels before it alone; without whole pixels those of a channel also on the channels before it.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config

    def likelihood(self, params):
        """The distribution that parameters (N, P, H, W) stand for, on as large a part of the image as they cover."""
        likelihood, channels, levels = LIKELIHOODS[self.config.likelihood], self.config.image_shape[0], self.config.levels
        if self.config.whole_pixels:
            return likelihood.from_params(params, channels, levels)
        return SubPixels.from_params(likelihood, params, channels, levels)

    def distribution(self, x, labels=None):
        """The distribution of every pixel given those before it: x (N, C, H, W) in [-1, 1]."""
        return self.likelihood(self(x, labels))

    def log_prob(self, images, labels=None, per_channel=False):
        """Log-likelihood in nats of images, integers (N, C, H, W) -> (N,), or (N, C, H, W) with `per_channel`.

        With a dequantized likelihood, a draw of a lower bound. Raises ValueError for images or labels of another kind.
        """
        images = as_integers(images)
        x = to_model(images, self.config.levels, next(self.parameters()).dtype)
        log_prob = self.distribution(x, labels).log_prob(images, per_channel=per_channel)
        return log_prob if per_channel else log_prob.sum(dim=(1, 2))  # (N, H, W) -> (N,)

    def bits_per_dim(self, images, labels=None):
        """Negative log-likelihood in bits a sub-pixel, integers (N, C, H, W) -> (N,); 8 is a uniform guess at a byte."""
        return -self.log_prob(images, labels) / (math.log(2) * math.prod(images.shape[1:]))

    def hidden_kernels(self):
        """The kernels of all convolutions but those that read pixels and the last: parameters (out, in, rows, columns).

        Of a weight-normed convolution it is the direction V. What Muon moves (see `optimizers`).
        """
        for layer in self.hidden_layers():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                normed = parametrize.is_parametrized(layer, "weight")
                yield layer.parametrizations.weight.original1 if normed else layer.weight

    def check(self, x, labels=None):
        """Raise ValueError unless x and labels fit the model; return the labels as int64 or None."""
        self.check_images(x)
        return self.check_labels(labels, len(x), x.device)

    def check_images(self, x):
        """Raise ValueError unless x is what the network takes: floats (N, C, H, W) in [-1, 1]."""
        if not x.is_floating_point():
            raise ValueError(
                f"the network takes floats in [-1, 1], got {x.dtype}; use log_prob for bytes, or to_model first"
            )
        if x.ndim != 4 or tuple(x.shape[1:]) != self.config.image_shape:
            raise ValueError(
                f"the model was built for images (N, {', '.join(map(str, self.config.image_shape))}), got {tuple(x.shape)}"
            )
        if _values_may_be_looked_at() and not (x.detach().abs() <= 1.001).all():  # also false for NaN
            low, high = x.min().item(), x.max().item()
            raise ValueError(f"the network takes floats in [-1, 1], got values from {low:.4g} to {high:.4g}; see to_model")

    def check_labels(self, labels, count, device=None):
        """Raise ValueError unless there are `count` labels, each a class of the model; return them as int64, or None."""
        if not self.config.classes:
            if labels is not None:
                raise ValueError("labels were given to a model without classes; build it with Config(..., classes=10)")
            return None
        if labels is None:
            raise ValueError(f"the model is conditioned on {self.config.classes} classes: labels (N,) are needed")
        labels = torch.as_tensor(labels, device=device)
        if labels.shape != (count,) or labels.is_floating_point() or labels.dtype == torch.bool:
            raise ValueError(f"labels must be {count} integers, one an image; got {labels.dtype} {tuple(labels.shape)}")
        labels = labels.long()  # unsigned types wider than a byte have no minimum
        if _values_may_be_looked_at() and count and (labels.min() < 0 or labels.max() >= self.config.classes):
            raise ValueError(
                f"labels must be 0..{self.config.classes - 1}, got {labels.min().item()}..{labels.max().item()}"
            )
        return labels


def _colors(config, channels):
    """The colour of each of so many channels, where the colours take turns: (channels,)."""
    return torch.arange(channels) % config.image_shape[0]


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
        if not config.whole_pixels:
            colors = _colors(config, filters)  # (F,)
            twice = colors.repeat(2)  # (2F,): concatenated ELU and the gate double the features
            mask_colors(self.horizontal.conv_in, twice, colors, OWN_TAP)
            mask_colors(self.horizontal.conv_out, twice, twice, OWN_TAP)
            if stored:  # of the vertical stream, which holds nothing of this row, every colour sees all
                mask_colors(self.horizontal.shortcut, torch.cat([torch.full_like(twice, -1), twice]), colors)

    def forward(self, vertical, horizontal, stored=None, labels=None):
        stored_vertical, stored_horizontal = ((s,) for s in stored) if stored else ((), ())
        vertical = self.vertical(vertical, *stored_vertical, labels=labels)
        horizontal = self.horizontal(horizontal, vertical, *stored_horizontal, labels=labels)
        return vertical, horizontal


class Resize(nn.Module):
    """Halve (a convolution with stride 2) or double (its transpose) the resolution of both streams, each in its own way."""

    def __init__(self, config, vertical, horizontal):
        super().__init__()
        self.vertical, self.horizontal = normalized(vertical), normalized(horizontal)
        if not config.whole_pixels:
            colors = _colors(config, config.filters)
            mask_colors(horizontal, colors, colors, (0, 0) if isinstance(horizontal, nn.ConvTranspose2d) else OWN_TAP)

    def forward(self, vertical, horizontal):
        return self.vertical(vertical), self.horizontal(horizontal)


def halve(config):
    """The layer that leads to the next coarser resolution; without downsampling, to another layer of the same."""
    f, stride = config.filters, 2 if config.downsampling else 1
    return Resize(config, DownShiftedConv2d(f, f, stride=stride), DownRightShiftedConv2d(f, f, stride=stride))


def double(config):
    """The layer that leads back up from what `halve` made."""
    f = config.filters
    if config.downsampling:
        return Resize(config, DownShiftedConvTranspose2d(f, f), DownRightShiftedConvTranspose2d(f, f))
    return Resize(config, DownShiftedConv2d(f, f), DownRightShiftedConv2d(f, f))


class PixelCNNpp(PixelModel):
    """PixelCNN++: from an image to the distribution of each of its pixels given the pixels before it.

    Two streams run through the network. `vertical` (the paper's "downward", the released code's `u`) has seen all rows
    above; `horizontal` ("downward and rightward", `ul`) also the pixels to the left. On the way up each keeps what it
    computed; on the way down the twin layers take it back, last in first out.

    Where there is downsampling and height or width is no multiple of 4, zeros are added below and at the right, and what
    comes out for them is dropped. That is exact: they come later in raster order or are known beforehand, and the channel
    of ones tells them from pixels. Raises ValueError for the configuration of a `PixelCNN`.
    Source: figure 2 and section 2 of Salimans et al. 2017 and the released code. Assembled in chapter 10.
    """

    def __init__(self, config):
        super().__init__(config)
        if config.architecture != "pixelcnn++":
            raise ValueError(f"this is the configuration of a {config.architecture}; use build(config)")
        channels, filters = config.image_shape[0], config.filters
        # A first convolution sees the image and a channel of ones, which tells real mid-grey pixels from padding.
        self.first_vertical = normalized(DownShiftedConv2d(channels + 1, filters, (2, 3)))
        self.first_above = normalized(DownShiftedConv2d(channels + 1, filters, (1, 3)))
        self.first_left = normalized(DownRightShiftedConv2d(channels + 1, filters, (2, 1)))
        self.first_own = None
        if not config.whole_pixels:  # green sees red, and blue sees both
            self.first_own = normalized(nn.Conv2d(channels, filters, 1))
            mask_colors(self.first_own, _colors(config, channels), _colors(config, filters), mask_type="A")

        up, down = [], []
        for scale in range(SCALES):
            up += [TwoStreams(config, stored=False) for _ in range(config.blocks)]
            # The way down has one block more at each finer scale: the twin of the layer that led up to that scale.
            down += [TwoStreams(config, stored=config.shortcuts) for _ in range(config.blocks + (scale > 0))]
            if scale < SCALES - 1:
                up.append(halve(config))
                down.append(double(config))
        self.up, self.down = nn.ModuleList(up), nn.ModuleList(down)

        self.to_params = normalized(nn.Conv2d(filters, config.outputs, 1))
        if not config.whole_pixels:
            mask_colors(self.to_params, _colors(config, filters), _colors(config, config.outputs))

    def hidden_layers(self):
        """The modules between the first convolutions and the last."""
        return [*self.up.modules(), *self.down.modules()]

    def forward(self, x, labels=None):
        _, horizontal = self.streams(x, labels)
        return self.output(horizontal)

    def streams(self, x, labels=None):
        """The two streams' last features, before the output layer: x (N, C, H, W) -> two of (N, F, H, W)."""
        labels = self.check(x, labels)
        height, width = x.shape[2:]
        x = self.padded(x)
        vertical, horizontal = self.through(self.start_vertical(x), self.start_horizontal(x), labels)
        return vertical[..., :height, :width], horizontal[..., :height, :width]

    # The parts of a pass, by which `cached` takes it one pixel at a time.

    def padded(self, x):
        """Add the channel of ones, and zeros below and at the right: x (N, C, H, W) -> (N, C + 1, H + below, W + right)."""
        multiple = 2 ** (SCALES - 1) if self.config.downsampling else 1
        below, right = (-size % multiple for size in x.shape[2:])
        return F.pad(torch.cat([x, torch.ones_like(x[:, :1])], dim=1), (0, right, 0, below))

    # Only here is anything shifted: from now on a position holds the past alone, and later layers may look at it.

    def start_vertical(self, x):
        """The vertical stream at the start, from a padded image: (N, C + 1, H, W) -> (N, F, H, W)."""
        return _as_autocast_has_it(down_shift(_exactly(self.first_vertical, x)))

    def start_horizontal(self, x):
        """The horizontal stream at the start, from a padded image: (N, C + 1, H, W) -> (N, F, H, W)."""
        horizontal = down_shift(_exactly(self.first_above, x)) + right_shift(_exactly(self.first_left, x))
        if self.first_own is not None:
            horizontal = horizontal + _exactly(self.first_own, x[:, :-1])
        return _as_autocast_has_it(horizontal)

    def through(self, vertical, horizontal, labels):
        """Both streams at the end of the way up and the way down: two of (N, F, H, W) -> two of (N, F, H, W)."""
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

    def output(self, horizontal):
        """The parameters: (N, F, H, W) -> (N, P, H, W)."""
        return _exactly(self.to_params, F.elu(horizontal))


class PixelCNN(PixelModel):
    """The original PixelCNN: masked convolutions, sub-pixels in the order red, green, blue, and a softmax over all levels.

    One 7x7 convolution of type A, then `3 * config.blocks` residual blocks of type B on 2F features, then two 1x1
    convolutions. Of `config` it takes size, levels and classes; `model.config` is `config.original()`, which has none of
    the paper's changes. A label adds a learned bias to the first layer. Source: van den Oord et al. 2016, sections 3 and 5.
    Built in chapter 3.
    """

    def __init__(self, config):
        super().__init__(config.original())
        config, colors, features = self.config, config.image_shape[0], 2 * config.filters
        self.first = MaskedConv2d(colors, features, 7, "A", colors)
        self.class_bias = nn.Embedding(config.classes, features) if config.classes else None
        self.blocks = nn.Sequential(*[MaskedResidual(config.filters, colors) for _ in range(SCALES * config.blocks)])
        self.to_params = nn.Sequential(
            nn.ReLU(),
            MaskedConv2d(features, features, 1, "B", colors),
            nn.ReLU(),
            MaskedConv2d(features, config.outputs, 1, "B", colors),
        )

    def hidden_layers(self):
        """The modules between the first convolution and the last."""
        return [*self.blocks.modules(), self.to_params[1]]

    def forward(self, x, labels=None):
        labels = self.check(x, labels)
        h = _exactly(self.first, x)  # (N, C, H, W) -> (N, 2F, H, W)
        if labels is not None:
            h = h + self.class_bias(labels)[:, :, None, None]  # (N, 2F) -> (N, 2F, 1, 1)
        h = self.to_params[:-1](self.blocks(_as_autocast_has_it(h)))
        return _exactly(self.to_params[-1], h)  # (N, 2F, H, W) -> (N, P, H, W)


class MaskedResidual(nn.Module):
    """The original's residual block: half the features, a 3x3 convolution among them, and back; (N, 2F, H, W) stays so."""

    def __init__(self, filters, colors):
        super().__init__()
        self.narrow = MaskedConv2d(2 * filters, filters, 1, "B", colors)
        self.look_around = MaskedConv2d(filters, filters, 3, "B", colors)
        self.widen = MaskedConv2d(filters, 2 * filters, 1, "B", colors)

    def forward(self, x):
        h = self.narrow(F.relu(x))  # (N, 2F, H, W) -> (N, F, H, W)
        h = self.look_around(F.relu(h))
        return x + self.widen(F.relu(h))  # (N, F, H, W) -> (N, 2F, H, W)
