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

from pixelcnn_edu.blocks import GatedResNet, in_mode, whole_float32
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
    `model(x, labels)` up to rounding. Do not call the model inside, nor from another thread: hand in a copy, best one
    that `folded` made, whose normalised weights are computed once. Afterwards the model is as before.
    Raises ValueError for labels that do not fit, and TypeError for a model with a kind of convolution that is not in
    `causal`.
    """
    with in_mode(model, training=False):
        x = to_model(images, model.config.levels, next(model.parameters()).dtype)  # (N, C, H, W)
        labels, clock = model.check(x, labels), _Clock()
        with _exchanged(_steps(model, x, labels, clock)):
            yield _Pass(model, images, model.padded(x), labels, clock)


class _Clock:
    """Which pixel it is for: a row and a column, or a row alone while its vertical stream is computed (column None)."""

    row = column = None

    def has(self, stride):
        """Whether a layer whose pixels are `stride` pixels of the image apart has one here."""
        return self.row % stride == 0 and (self.column is None or self.column % stride == 0)


class _Pass:
    """What `one_pixel_at_a_time` gives; x (N, C + 1, H + below, W + right) is what the network has seen of the images."""

    def __init__(self, model, images, x, labels, clock):
        self.model, self.images, self.x, self.labels, self.clock = model, images, x, labels, clock

    @torch.no_grad()
    @whole_float32()
    def __call__(self, row, column):
        clock, width = self.clock, self.images.shape[3]
        if clock.row != row:
            if row:
                self.x[:, :-1, row - 1, :width] = self._values(row - 1, slice(None))
            clock.row, clock.column = row, None
            vertical = self.model.start_vertical(self.x[:, :, max(0, row - REACH) : row + 1])  # (N, F, rows, W)
            self.model.through(vertical[:, :, -1:], None, self.labels)
        clock.column = column
        left = max(0, column - REACH)
        near = slice(left, column + REACH + 1)
        self.x[:, :-1, row, left : column + 1] = self._values(row, slice(left, column + 1))
        horizontal = self.model.start_horizontal(self.x[:, :, max(0, row - REACH) : row + 1, near])
        _, horizontal = self.model.through(None, horizontal[:, :, -1:, column - left : column - left + 1], self.labels)
        return self.model.output(horizontal)

    def _values(self, row, columns):
        return to_model(self.images[:, :, row, columns], self.model.config.levels, self.x.dtype)


def _steps(model, x, labels, clock):
    """What takes the place of each module's forward, for images like x (N, C, H, W): a dict of functions."""
    width = model.padded(x[:1]).shape[3]
    strides = _strides(model, x[:1, :, :1, :1], None if labels is None else labels[:1])
    steps = {}
    for module, (before, after) in strides.items():
        if isinstance(module, GatedResNet):
            continue  # its convolutions take the steps, and its own code connects them
        kind = next((step for of, step in _STEPS.items() if isinstance(module, of)), None)
        if kind is None or (kind is _Pointwise and module.kernel_size != (1, 1)):
            raise TypeError(f'there is no step for {module}; draw with method="naive"')
        steps[module] = kind(module, clock, len(x), width // before, before, after)
    for layer in (*model.up, *model.down):
        vertical, horizontal = (steps.get(part) or _if_any(part.forward) for part in (layer.vertical, layer.horizontal))
        steps[layer.vertical] = _keeps_its_row(vertical, clock, strides[layer.vertical][1])
        steps[layer.horizontal] = _waits_for_rows(horizontal, clock)
    return steps


def _strides(model, x, labels):
    """How many pixels of the image one step to the next position is, before and after each module: a dict of pairs.

    An ordinary pass with the smallest image, x (1, C, 1, 1), padded as the model pads it, tells.
    """
    x = model.padded(x)
    strides = {}

    def note(module, inputs, output):
        strides[module] = x.shape[2] // inputs[0].shape[2], x.shape[2] // output.shape[2]

    parts = [part for layer in (*model.up, *model.down) for part in layer.modules() if part is not layer]
    parts = [part for part in parts if isinstance(part, (GatedResNet, nn.Conv2d, nn.ConvTranspose2d))]
    handles = [part.register_forward_hook(note) for part in (*parts, model.to_params)]
    try:
        _, horizontal = model.through(model.start_vertical(x), model.start_horizontal(x), labels)
        model.output(horizontal)
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


def _if_any(block):
    """A block that does nothing where there is nothing: at positions that its resolution does not have."""

    def step(x, *shortcuts, labels=None):
        return None if x is None else block(x, *shortcuts, labels=labels)

    return step


def _keeps_its_row(vertical, clock, stride):
    """The vertical stream's part of a layer: it runs once a row, and then shows, position by position, what came out."""
    row = None

    def step(*inputs, **labels):
        nonlocal row
        if clock.column is None:
            row = vertical(*inputs, **labels)  # (N, F, 1, W)
            return row
        column = clock.column // stride
        return row[..., column : column + 1] if clock.has(stride) else None

    return step


def _waits_for_rows(horizontal, clock):
    """The horizontal stream's part: it runs at positions, once the row of the vertical stream is there."""

    def step(*inputs, **labels):
        return None if clock.column is None else horizontal(*inputs, **labels)

    return step


class _Rows:
    """A down-shifted convolution, a row at a time."""

    def __init__(self, conv, clock, count, width, before, after):
        rows, columns = conv.kernel_size
        self.conv, self.clock, self.after, self.side = conv, clock, after, (columns - 1) // 2
        self.seen = conv.weight.new_zeros(count, conv.in_channels, rows, width + columns - 1)

    def __call__(self, x):
        if x is None:
            return None
        self.seen = torch.cat([self.seen[:, :, 1:], F.pad(x, (self.side, self.side))], dim=2)
        if not self.clock.has(self.after):
            return None
        return F.conv2d(self.seen, self.conv.weight, self.conv.bias, self.conv.stride)


class _RowSpread:
    """Its transpose: a row of the coarse resolution gives two of the fine one."""

    def __init__(self, conv, clock, count, width, before, after):
        self.spread, self.clock, self.after = conv.forward, clock, after

    def __call__(self, x):
        if x is not None:
            self.rows = self.spread(x)  # (N, F, 1, W) -> (N, F, 2, 2W)
        if not self.clock.has(self.after):
            return None
        row = self.clock.row // self.after % 2
        return self.rows[:, :, row : row + 1]


class _Points:
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


class _PointSpread:
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


class _Pointwise:
    """A 1x1 convolution, a matrix product where it is given one position."""

    def __init__(self, conv, clock, count, width, before, after):
        self.whole, self.bias, self.taps = conv.forward, conv.bias, conv.weight.flatten(1).t().contiguous()  # (C, F)

    def __call__(self, x):
        if x.shape[2] * x.shape[3] > 1:
            return self.whole(x)
        return torch.addmm(self.bias, x.flatten(1), self.taps)[:, :, None, None]


_STEPS = {  # the first that fits
    DownShiftedConv2d: _Rows,
    DownShiftedConvTranspose2d: _RowSpread,
    DownRightShiftedConv2d: _Points,
    DownRightShiftedConvTranspose2d: _PointSpread,
    nn.Conv2d: _Pointwise,
}
