"""The order of colours inside a pixel, for a `PixelCNNpp` that predicts red, then green, then blue."""

import torch
from torch import nn

from pixelcnn_edu.blocks import GatedResNet
from pixelcnn_edu.causal import mask_colors

__all__ = ["mask_sub_pixels"]

OWN_TAP = (-1, -1)  # the tap of a down-right-shifted kernel that reads the pixel itself


def mask_sub_pixels(model):
    """Give each feature of the horizontal stream a colour in turn, and hide later colours from it at its own pixel.

    The vertical stream holds nothing of the pixel's row, so every colour sees all of it.
    Source: van den Oord et al. 2016, section 3.4. Derived in chapter 5.
    """

    def colors(channels):
        return torch.arange(channels) % model.config.image_shape[0]  # (channels,)

    features = colors(model.config.filters)  # (F,)
    twice = features.repeat(2)  # (2F,): concatenated ELU and the gate double the features
    mask_colors(model.stem.own, colors(model.config.image_shape[0]), features, mask_type="A")
    for layer in (*model.up, *model.down):
        horizontal = layer.horizontal
        if isinstance(horizontal, GatedResNet):
            mask_colors(horizontal.conv_in, twice, features, OWN_TAP)
            mask_colors(horizontal.conv_out, twice, twice, OWN_TAP)
            if layer.takes_skip:
                mask_colors(horizontal.shortcut, torch.cat([torch.full_like(twice, -1), twice]), features)
        else:
            tap = (0, 0) if isinstance(horizontal, nn.ConvTranspose2d) else OWN_TAP
            mask_colors(horizontal, features, features, tap)
    mask_colors(model.head, features, colors(model.config.outputs))
