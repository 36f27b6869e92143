"""PixelCNN++ one pixel at a time: each activation is computed once, when all that it depends on is known.

A new pixel changes nothing that was computed for the pixels before it; a pass over the whole image for each pixel repeats
itself. Here every convolution keeps what it has seen, and takes one step: the vertical stream a row at a time, as soon as
the row above is complete, the horizontal stream a position at a time. A layer at half or a quarter of the resolution steps
only where it has a position. What connects the convolutions is the model's own code: it runs with its convolutions exchanged
for such steps, so that this module knows kinds of convolutions and no architecture.

Source: Ramachandran et al. 2017. Explained in chapter 11.
"""

import contextlib

import torch
import torch.nn.functional as F
from torch import nn

from pixelcnn_edu.blocks import GatedResNet, in_mode, no_tf32
from pixelcnn_edu.causal import (
    DownRightShiftedConv2d,
    DownRightShiftedConvTranspose2d,
    DownShiftedConv2d,
    DownShiftedConvTranspose2d,
)
from pixelcnn_edu.data import to_model

__all__ = ["one_pixel_at_a_time"]

REACH = 2  # rows above, and columns to each side, that the first layer looks at


@contextlib.contextmanager
@torch.no_grad()
def one_pixel_at_a_time(model, images, labels=None):
    """Inside, a function (row, column) -> parameters (N, P, 1, 1) of that pixel, given those before it in `images`.

    images (N, C, H, W), integers, may be filled in as you go: what is read is what is there at the time. Ask for every pixel
    in raster order; ask again for the same one, where a colour of it has become known. The parameters equal those of
    `model(x, labels)` up to rounding. The model itself is changed meanwhile, so do not call it, nor from another thread:
    hand in a copy, best one that `folded` made, whose normalised weights are computed once. Afterwards the model is as
    before. Raises ValueError for labels that do not fit, and TypeError for a model with a kind of convolution that is not in
    `causal`.
    """
    with in_mode(model, training=False):
        x = to_model(images, model.config.levels, next(model.parameters()).dtype)  # (N, C, H, W)
        labels, clock = model.check(x, labels), _Clock()
        steps = {model.stem: _StemStep(model, images, x, clock), **_steps(model, x, labels, clock)}

        @torch.no_grad()
        @no_tf32()
        def parameters_at(row, column):
            clock.starts_row = row != clock.row
            clock.row, clock.column = row, column
            return model(x, labels)

        with _exchanged(steps), _unchecked(model):
            yield parameters_at


class _Clock:
    """Which pixel it is for, and whether it is the first call of its row."""

    row = column = None
    starts_row = False

    def has(self, stride):
        """Whether a layer whose positions are `stride` pixels of the image apart has one at this pixel."""
        return self.row % stride == 0 and self.column % stride == 0

    def has_row(self, stride):
        """Whether a layer whose positions are `stride` pixels of the image apart has a row at this pixel's row."""
        return self.row % stride == 0


def _steps(model, x, labels, clock):
    """What takes the place of each module's forward, for images like x (N, C, H, W): a dict of functions."""
    width = model.stem.pad(x[:1]).shape[3]
    strides = _strides(model, x, labels)
    steps = {}
    for module, (before, after) in strides.items():
        if isinstance(module, GatedResNet):
            continue  # its convolutions take the steps, and its own code connects them
        kind = next((step for of, step in _STEPS.items() if isinstance(module, of)), None)
        if kind is None or (kind is _PixelwiseStep and module.kernel_size != (1, 1)):
            raise TypeError(f'there is no step for {module}; draw with method="naive"')
        steps[module] = kind(module, clock, len(x), width // before, before, after)
    for layer in (*model.up, *model.down):
        vertical, horizontal = layer.vertical, layer.horizontal
        if isinstance(horizontal, GatedResNet):
            steps[horizontal] = _block_at_position(horizontal.forward, clock, strides[horizontal][0])
            steps[vertical] = _once_a_row(_block_if_any(vertical.forward), clock)
        else:
            steps[vertical] = _once_a_row(steps[vertical], clock)
    return steps


def _strides(model, x, labels):
    """How many pixels of the image apart a module's positions are, before and after it: a dict of pairs.

    An ordinary pass over a single pixel, padded as the model pads it, tells.
    """
    padded = model.stem.pad(x[:1, :, :1, :1])[:, :-1]  # (1, C, 4, 4), or (1, C, 1, 1) without downsampling
    strides = {}

    def note(module, inputs, output):
        strides[module] = padded.shape[2] // inputs[0].shape[2], padded.shape[2] // output.shape[2]

    parts = [part for layer in (*model.up, *model.down) for part in layer.modules() if part is not layer]
    parts = [part for part in parts if isinstance(part, (GatedResNet, nn.Conv2d, nn.ConvTranspose2d))]
    handles = [part.register_forward_hook(note) for part in (*parts, model.head)]
    try:
        with _unchecked(model):
            model(padded, None if labels is None else labels[:1])
    finally:
        for handle in handles:
            handle.remove()
    return strides


@contextlib.contextmanager
def _exchanged(steps):
    """Inside, each module runs its step in place of its `forward`."""
    for module, step in steps.items():
        module.forward = step
    try:
        yield
    finally:
        for module in steps:
            del module.forward


@contextlib.contextmanager
def _unchecked(model):
    """Inside, the model takes what was checked before, or is a part of it."""
    model.check = lambda x, labels: labels
    try:
        yield
    finally:
        del model.check


def _once_a_row(vertical, clock):
    """The vertical stream's part of a layer: the first call of a row computes it, the others have it again."""
    row = None

    def vertical_step(*inputs, **labels):
        nonlocal row
        if clock.starts_row:
            row = vertical(*inputs, **labels)  # (N, F, 1, W), or None where this resolution has no such row
        return row

    return vertical_step


def _block_if_any(block):
    """A block that does nothing in rows that its resolution does not have."""

    def block_step(x, *shortcuts, labels=None):
        return None if x is None else block(x, *shortcuts, labels=labels)

    return block_step


def _block_at_position(block, clock, stride):
    """The horizontal stream's block: of the vertical stream's row it reads the position that it is for."""

    def block_step(x, vertical, *skips, labels=None):
        if x is None:
            return None
        column = clock.column // stride
        return block(x, vertical[..., column : column + 1], *skips, labels=labels)

    return block_step


class _StemStep:
    """The first convolutions, on the few pixels that they look at, read from `images` as they are at the time."""

    def __init__(self, model, images, x, clock):
        self.stem, self.levels, self.images, self.clock = model.stem, model.config.levels, images, clock
        self.seen = model.stem.pad(x)  # (N, C + 1, H', W')

    def __call__(self, x):
        row, column, vertical = self.clock.row, self.clock.column, None
        rows = slice(max(0, row - REACH), row + 1)
        if self.clock.starts_row:
            if row:
                self._read(row - 1, slice(0, self.images.shape[3]))
            vertical = self.stem.start_vertical(self.seen[:, :, rows])[:, :, -1:]  # (N, F, 1, W')
        left = max(0, column - REACH)
        self._read(row, slice(left, column + 1))
        horizontal = self.stem.start_horizontal(self.seen[:, :, rows, left : column + REACH + 1])
        return vertical, horizontal[:, :, -1:, column - left : column - left + 1]  # the latter (N, F, 1, 1)

    def _read(self, row, columns):
        self.seen[:, :-1, row, columns] = to_model(self.images[:, :, row, columns], self.levels, self.seen.dtype)


class _RowStep:
    """A down-shifted convolution, a row at a time."""

    def __init__(self, conv, clock, count, width, before, after):
        rows, columns = conv.kernel_size
        self.conv, self.clock, self.after, self.side = conv, clock, after, (columns - 1) // 2
        self.seen = conv.weight.new_zeros(count, conv.in_channels, rows, width + columns - 1)

    def __call__(self, x):
        if x is None:
            return None
        self.seen = torch.cat([self.seen[:, :, 1:], F.pad(x, (self.side, self.side))], dim=2)
        if not self.clock.has_row(self.after):
            return None
        return F.conv2d(self.seen, self.conv.weight, self.conv.bias, self.conv.stride)


class _RowTransposeStep:
    """Its transpose: a row of the coarse resolution gives two of the fine one."""

    def __init__(self, conv, clock, count, width, before, after):
        self.spread, self.clock, self.after = conv.forward, clock, after

    def __call__(self, x):
        if x is not None:
            self.rows = self.spread(x)  # (N, F, 1, W) -> (N, F, 2, 2W)
        if not self.clock.has_row(self.after):
            return None
        row = self.clock.row // self.after % 2
        return self.rows[:, :, row : row + 1]


class _PixelStep:
    """A down-right-shifted convolution, a position at a time.

    What its upper taps and its bias contribute is computed once a row; a position costs only the taps of its own row.
    """

    def __init__(self, conv, clock, count, width, before, after):
        rows, self.columns = conv.kernel_size
        self.conv, self.clock, self.before, self.after = conv, clock, before, after
        self.row, self.above = None, conv.weight.new_zeros(count, rows - 1, width + self.columns - 1, conv.in_channels)
        self.own = torch.zeros_like(self.above[:, :1])  # (N, 1, W + columns - 1, C)
        self.taps = conv.weight[:, :, -1].permute(2, 1, 0).flatten(0, 1).contiguous()  # (columns * C, F)

    def __call__(self, x):
        if x is None:
            return None
        if self.clock.row != self.row:
            self._next_row()
        column = self.clock.column // self.before
        self.own[:, 0, column + self.columns - 1] = x.flatten(1)  # (N, C, 1, 1) -> (N, C)
        if not self.clock.has(self.after):
            return None
        seen = self.own[:, 0, column : column + self.columns].flatten(1)  # (N, columns * C)
        return torch.addmm(self.upper[:, self.clock.column // self.after], seen, self.taps)[:, :, None, None]

    def _next_row(self):
        if self.row is not None:
            self.above = torch.cat([self.above, self.own], dim=1)[:, 1:]
        self.row = self.clock.row
        if self.row % self.after == 0:
            rows = self.above.permute(0, 3, 1, 2)  # (N, rows - 1, W + columns - 1, C) -> (N, C, rows - 1, W + columns - 1)
            upper = F.conv2d(rows, self.conv.weight[:, :, :-1], self.conv.bias, (1, self.conv.stride[1]))
            self.upper = upper[:, :, 0].transpose(1, 2).contiguous()  # (N, F, 1, W') -> (N, W', F)


class _PixelTransposeStep:
    """Its transpose: a position of the coarse resolution gives a square of four of the fine one."""

    def __init__(self, conv, clock, count, width, before, after):
        self.clock, self.before, self.after = clock, before, after
        self.taps = conv.weight.permute(0, 2, 3, 1).flatten(1).contiguous()  # (C, F, 2, 2) -> (C, 2 * 2 * F)
        self.bias = conv.bias.repeat(4)  # (4F,)
        self.rows = conv.weight.new_zeros(count, 2, 2 * width, conv.out_channels)

    def __call__(self, x):
        row, column = self.clock.row // self.after, self.clock.column // self.after
        if x is not None:
            square = torch.addmm(self.bias, x.flatten(1), self.taps)  # (N, C) -> (N, 4F)
            self.rows[:, :, column : column + 2] = square.view(len(square), 2, 2, -1)
        return self.rows[:, row % 2, column, :, None, None] if self.clock.has(self.after) else None


class _PixelwiseStep:
    """A 1x1 convolution, a matrix product where it is given one position."""

    def __init__(self, conv, clock, count, width, before, after):
        self.whole, self.bias, self.taps = conv.forward, conv.bias, conv.weight.flatten(1).t().contiguous()  # (C, F)

    def __call__(self, x):
        if x.shape[2] * x.shape[3] > 1:
            return self.whole(x)
        return torch.addmm(self.bias, x.flatten(1), self.taps)[:, :, None, None]


_STEPS = {  # the first that fits
    DownShiftedConv2d: _RowStep,
    DownShiftedConvTranspose2d: _RowTransposeStep,
    DownRightShiftedConv2d: _PixelStep,
    DownRightShiftedConvTranspose2d: _PixelTransposeStep,
    nn.Conv2d: _PixelwiseStep,
}
