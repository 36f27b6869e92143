"""What both networks of the book have in common: from parameters to a likelihood, and the checks of what goes in."""

import math

import torch
from torch import nn
from torch.nn.utils import parametrize

from pixelcnn_edu.blocks import unwrapped
from pixelcnn_edu.data import as_integers, to_model
from pixelcnn_edu.likelihoods import Categorical, DequantizedLogisticMixture, DiscretizedLogisticMixture, SubPixels

__all__ = ["PixelModel", "pixel_model"]

SCALES = 3  # resolutions in the network: full, half and a quarter
LIKELIHOODS = {
    "mixture": DiscretizedLogisticMixture,
    "softmax": Categorical,
    "dequantized": DequantizedLogisticMixture,
}


class PixelModel(nn.Module):
    """What every model of this book answers, once it says in `forward` how an image becomes parameters.

    `model(x, labels=None)` maps x (N, C, H, W) in [-1, 1] to parameters (N, P, H, W), those of a pixel depending on the
    pixels before it alone; without whole pixels those of a channel also on the channels before it.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config

    renamed = ()  # pairs: how names of weights began in the first edition, and how they begin now

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        for old, new in self.renamed:
            for name in [name for name in state_dict if name.startswith(prefix + old)]:
                state_dict[prefix + new + name.removeprefix(prefix + old)] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *rest)

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
        if not torch.compiler.is_compiling() and not (x.detach().abs() <= 1.001).all():  # also false for NaN
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
        labels = as_integers(labels, "labels", lists=True).to(device)
        if labels.shape != (count,) or labels.is_floating_point() or labels.dtype == torch.bool:
            raise ValueError(f"labels must be {count} integers, one an image; got {labels.dtype} {tuple(labels.shape)}")
        labels = labels.long()  # unsigned types wider than a byte have no minimum
        if not torch.compiler.is_compiling() and count and (labels.min() < 0 or labels.max() >= self.config.classes):
            raise ValueError(
                f"labels must be 0..{self.config.classes - 1}, got {labels.min().item()}..{labels.max().item()}"
            )
        return labels


def pixel_model(model):
    """The model itself, without what wraps it. Raises ValueError for anything but a model of this package."""
    model = unwrapped(model)
    if not isinstance(model, PixelModel):
        raise ValueError(f"model must be one that build or load_model gives, got a {type(model).__name__}: {model!r:.60}")
    return model
