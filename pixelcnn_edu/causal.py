"""Convolutions that see only the past, in raster order: left to right, top to bottom.

Two ways to get there. `MaskedConv2d` zeroes the weights that would look ahead, as the original PixelCNN does.
The shifted convolutions use small ordinary kernels and put all their padding on the side of the past, as PixelCNN++
does: no weight needs hiding. Derived in chapter 2.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

__all__ = [
    "DownRightShiftedConv2d",
    "DownRightShiftedConvTranspose2d",
    "DownShiftedConv2d",
    "DownShiftedConvTranspose2d",
    "MaskedConv2d",
    "down_shift",
    "mask_colors",
    "right_shift",
]


def down_shift(x):
    """Move every row of `x` (N, C, H, W) down by one; zeros enter at the top. Derived in chapter 2."""
    return F.pad(x[:, :, :-1], (0, 0, 1, 0))


def right_shift(x):
    """Move every column of `x` (N, C, H, W) right by one; zeros enter at the left. Derived in chapter 2."""
    return F.pad(x[:, :, :, :-1], (1, 0, 0, 0))


class MaskedConv2d(nn.Conv2d):
    """A convolution whose kernel is zero on everything that comes later in raster order.

    Type "A" also hides the pixel itself and belongs in the first layer, where the pixel is the thing to predict. Type "B"
    shows it and belongs in all others, where that position already holds nothing but the past. With `colors` > 1 channel i
    belongs to colour i mod `colors`, and the pixel itself is visible where the input's colour comes before the output's (A),
    or before or with it (B): red, then green, then blue.

    Maps (N, in_channels, H, W) to (N, out_channels, H, W). Raises ValueError for an even kernel, another type, or fewer
    channels than colours. Source: van den Oord et al. 2016, section 3.4. Derived in chapters 2 and 3.
    """

    def __init__(self, in_channels, out_channels, kernel_size, mask_type, colors=1, bias=True):
        if mask_type not in ("A", "B"):
            raise ValueError(f"mask_type must be 'A' (first layer) or 'B' (every later layer), got {mask_type!r}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, so that the kernel has a centre; got {kernel_size}")
        if min(in_channels, out_channels) < colors:
            raise ValueError(f"{in_channels} input and {out_channels} output channels are too few for {colors} colors")
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)
        centre = kernel_size // 2
        mask = torch.zeros_like(self.weight)
        mask[:, :, :centre] = 1  # the rows above
        mask[:, :, centre, :centre] = 1  # the pixels to the left
        colors_in, colors_out = (torch.arange(channels) % colors for channels in (in_channels, out_channels))
        mask[:, :, centre, centre] = _sees(colors_in, colors_out, mask_type).to(mask.dtype)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        return self._conv_forward(x, self.weight * self.mask, self.bias)


def _sees(colors_in, colors_out, mask_type):
    """Which colour of the output may look at which of the input in the same pixel: bool (out_channels, in_channels)."""
    earlier = colors_in[None, :] < colors_out[:, None]
    return earlier | (colors_in[None, :] == colors_out[:, None]) if mask_type == "B" else earlier


def mask_colors(conv, colors_in, colors_out, tap=(0, 0), mask_type="B"):
    """Hide later colours at one tap of a convolution's kernel, the one that reads the pixel itself; return the convolution.

    colors_in (in_channels,) and colors_out (out_channels,) are integers: each channel's colour, -1 for what every colour may
    see. The rule is `MaskedConv2d`'s, and it holds from now on, whatever happens to the weights. Derived in chapter 3.
    """
    sees = _sees(colors_in, colors_out, mask_type)  # (out_channels, in_channels)
    mask = torch.ones_like(conv.weight)  # (out, in, rows, columns), or (in, out, rows, columns) in a transposed convolution
    mask[:, :, tap[0], tap[1]] = (sees.T if isinstance(conv, nn.ConvTranspose2d) else sees).to(mask.dtype)
    parametrize.register_parametrization(conv, "weight", _Mask(mask))
    return conv


class _Mask(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, weight):
        return weight * self.mask


class DownShiftedConv2d(nn.Conv2d):
    """A convolution that sees its own row and the rows above, as far to the right as to the left.

    All the vertical padding is at the top. Maps (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride).
    The released code calls it `down_shifted_conv2d`. Derived in chapter 2.
    """

    def __init__(self, in_channels, out_channels, kernel_size=(2, 3), stride=1):
        super().__init__(in_channels, out_channels, kernel_size, stride)

    def forward(self, x):
        rows, columns = self.kernel_size
        side = (columns - 1) // 2
        return super().forward(F.pad(x, (side, side, rows - 1, 0)))


class DownRightShiftedConv2d(nn.Conv2d):
    """A convolution that sees its own pixel, the pixels to its left, and those above them.

    All the padding is at the top and at the left. Maps (N, in_channels, H, W) to
    (N, out_channels, H / stride, W / stride). The released code calls it `down_right_shifted_conv2d`. Derived in chapter 2.
    """

    def __init__(self, in_channels, out_channels, kernel_size=(2, 2), stride=1):
        super().__init__(in_channels, out_channels, kernel_size, stride)

    def forward(self, x):
        rows, columns = self.kernel_size
        return super().forward(F.pad(x, (columns - 1, 0, rows - 1, 0)))


class DownShiftedConvTranspose2d(nn.ConvTranspose2d):
    """Doubles height and width; row `i` is spread onto rows `2i` and `2i + 1`, never onto an earlier one.

    Maps (N, in_channels, H, W) to (N, out_channels, 2H, 2W). The released code calls it `down_shifted_deconv2d`. Derived in
    chapter 6.
    """

    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels, kernel_size=(2, 3), stride=2, output_padding=(0, 1))

    def forward(self, x):
        # A column j reaches columns 2j - 1, 2j and 2j + 1: sideways is harmless, since the row above is complete.
        return super().forward(x)[..., 1:-1]  # (N, out_channels, 2H, 2W + 2) -> (N, out_channels, 2H, 2W)


class DownRightShiftedConvTranspose2d(nn.ConvTranspose2d):
    """Doubles height and width; pixel (i, j) is spread onto (2i, 2j), (2i, 2j + 1), (2i + 1, 2j) and (2i + 1, 2j + 1).

    Maps (N, in_channels, H, W) to (N, out_channels, 2H, 2W). The released code calls it `down_right_shifted_deconv2d`.
    Derived in chapter 6.
    """

    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels, kernel_size=(2, 2), stride=2)
