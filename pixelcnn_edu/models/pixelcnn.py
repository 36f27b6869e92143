"""The original PixelCNN, which PixelCNN++ is measured against."""

import torch.nn.functional as F
from torch import nn

from pixelcnn_edu.causal import MaskedConv2d
from pixelcnn_edu.models.base import SCALES, PixelModel
from pixelcnn_edu.models.precision import in_weight_dtype, to_autocast_dtype

__all__ = ["PixelCNN"]


class PixelCNN(PixelModel):
    """The original PixelCNN: masked convolutions, sub-pixels in the order red, green, blue, and a softmax over all levels.

    One 7x7 convolution of type A, then `3 * config.blocks` residual blocks of type B on 2F features, then two 1x1
    convolutions. Of `config` it takes size, levels and classes; `model.config` is `config.original()`, which has none of
    the paper's changes. A label adds a learned bias to the first layer. Source: van den Oord et al. 2016, sections 3 and 5.
    Built in chapter 3.
    """

    renamed = (("first.", "stem."), ("to_params.", "head."))

    def __init__(self, config):
        super().__init__(config.original())
        config, colors, features = self.config, config.image_shape[0], 2 * config.filters
        self.stem = MaskedConv2d(colors, features, 7, "A", colors)
        self.class_bias = nn.Embedding(config.classes, features) if config.classes else None
        self.blocks = nn.Sequential(*[MaskedResidual(config.filters, colors) for _ in range(SCALES * config.blocks)])
        self.head = nn.Sequential(
            nn.ReLU(),
            MaskedConv2d(features, features, 1, "B", colors),
            nn.ReLU(),
            MaskedConv2d(features, config.outputs, 1, "B", colors),
        )

    def hidden_layers(self):
        """The modules between the first convolution and the last."""
        return [*self.blocks.modules(), self.head[1]]

    def forward(self, x, labels=None):
        labels = self.check(x, labels)
        h = in_weight_dtype(self.stem, x)  # (N, C, H, W) -> (N, 2F, H, W)
        if labels is not None:
            h = h + self.class_bias(labels)[:, :, None, None]  # (N, 2F) -> (N, 2F, 1, 1)
        h = self.head[:-1](self.blocks(to_autocast_dtype(h)))
        return in_weight_dtype(self.head[-1], h)  # (N, 2F, H, W) -> (N, P, H, W)


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
