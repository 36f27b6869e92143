"""Each causal convolution sees what it says and nothing that comes later, and computes what a slow loop computes."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from oracles import earlier_pixels, influence
from torch import nn

from pixelcnn_edu.causal import (
    DownRightShiftedConv2d,
    DownRightShiftedConvTranspose2d,
    DownShiftedConv2d,
    DownShiftedConvTranspose2d,
    MaskedConv2d,
    down_shift,
    right_shift,
)


def image(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def indices(*sizes):
    return itertools.product(*map(range, sizes))


# --- shifts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 5), (1, 5), (5, 1), (1, 1)])
def test_shifts_move_by_one_and_let_zeros_in(size):
    x = image(2, 3, *size)
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    for i, j in indices(*size):
        if i > 0:
            down[:, :, i, j] = x[:, :, i - 1, j]
        if j > 0:
            right[:, :, i, j] = x[:, :, i, j - 1]
    assert torch.equal(down_shift(x), down)
    assert torch.equal(right_shift(x), right)


# --- the masked convolution -------------------------------------------------------------------------------------------


def visible(kernel_size, mask_type, colors, in_color, out_color, a, b):
    """The rule in words: what comes before the centre is visible, what comes after is not, and at the centre it is colour
    that decides."""
    centre = kernel_size // 2
    if (a, b) != (centre, centre):
        return (a, b) < (centre, centre)
    return in_color < out_color or (mask_type == "B" and in_color == out_color)


@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize(
    ("kernel_size", "colors", "channels_in", "channels_out"),
    [(1, 1, 2, 3), (3, 1, 3, 4), (5, 3, 3, 6), (3, 3, 9, 3), (7, 2, 4, 2), (3, 3, 8, 4)],
)
def test_the_mask_hides_exactly_what_comes_later(mask_type, kernel_size, colors, channels_in, channels_out):
    conv = MaskedConv2d(channels_in, channels_out, kernel_size, mask_type, colors)
    for o, i, a, b in indices(channels_out, channels_in, kernel_size, kernel_size):
        seen = visible(kernel_size, mask_type, colors, i % colors, o % colors, a, b)
        assert conv.mask[o, i, a, b] == seen


@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_a_masked_convolution_is_a_convolution_with_its_hidden_weights_at_zero(mask_type):
    conv = MaskedConv2d(3, 6, 3, mask_type, colors=3).double()
    x = image(2, 3, 5, 6)
    weight = conv.weight.detach().clone()
    for o, i, a, b in indices(6, 3, 3, 3):
        if not visible(3, mask_type, 3, i, o % 3, a, b):
            weight[o, i, a, b] = 0
    torch.testing.assert_close(conv(x), F.conv2d(x, weight, conv.bias, padding=1))


def test_hidden_weights_never_learn_and_never_matter():
    conv = MaskedConv2d(3, 6, 5, "B", colors=3).double()
    x = image(2, 3, 6, 6)
    before = conv(x)
    before.square().sum().backward()
    hidden = conv.mask == 0
    assert conv.weight.grad[hidden].eq(0).all()
    assert conv.weight.grad[~hidden].ne(0).all()
    with torch.no_grad():
        conv.weight[hidden] = 1e6
    assert torch.equal(conv(x), before)


def test_the_mask_is_not_a_weight_to_be_saved_but_follows_the_model():
    conv = MaskedConv2d(1, 1, 3, "A")
    assert set(conv.state_dict()) == {"weight", "bias"}
    assert "mask" not in dict(conv.named_parameters())
    assert conv.double().mask.dtype == torch.float64
    assert set(MaskedConv2d(1, 1, 3, "A", bias=False).state_dict()) == {"weight"}


@pytest.mark.parametrize("depth", [1, 4])
def test_no_pixel_of_a_masked_stack_sees_itself_or_later(depth):
    layers = [MaskedConv2d(2, 4, 5, "A")] + [MaskedConv2d(4, 4, 3, "B") for _ in range(depth - 1)]
    field = influence(nn.Sequential(*layers).double(), (2, 6, 7))
    assert field[~earlier_pixels(6, 7)].eq(0).all()
    assert field[-1, 5, 5] > 0  # and it does see its left neighbour


def test_red_sees_no_color_of_its_pixel_green_sees_red_and_blue_sees_both():
    """In a stack of an A and a B layer; each output group stands for the colour it predicts."""
    stack = nn.Sequential(MaskedConv2d(3, 6, 3, "A", colors=3), MaskedConv2d(6, 9, 3, "B", colors=3)).double()
    x = image(1, 3, 5, 5).requires_grad_()
    output = stack(x)[0, :, 2, 2]  # (9,): red, green, blue, red, ...
    earlier = earlier_pixels(5, 5)[2 * 5 + 2]
    for o, value in enumerate(output):
        (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
        sees_color = gradient[0, :, 2, 2] != 0
        assert sees_color.tolist() == [o % 3 > 0, o % 3 > 1, False]
        later = ~earlier
        later[2, 2] = False
        assert gradient[0][:, later].eq(0).all()
        assert gradient[0, :, 2, 1].ne(0).all()  # of pixels before it every colour is seen


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((1, 1, 3, "C"), "got 'C'"),
        ((1, 1, 3, "a"), "got 'a'"),
        ((1, 1, 3, None), "got None"),
        ((1, 1, 4, "A"), "odd.* got 4"),
        ((1, 1, 0, "A"), "odd.* got 0"),
        ((2, 6, 3, "A", 3), "2 input and 6 output channels are too few for 3"),
        ((3, 2, 3, "B", 3), "3 input and 2 output"),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        MaskedConv2d(*arguments)


# --- shifted convolutions -----------------------------------------------------------------------------------------------


def slow_convolution(conv, x, left):
    """Every output as a sum over the kernel, whose last row lies on the output's own row; `left` columns lie to its left."""
    (rows, columns), stride = conv.kernel_size, conv.stride[0]
    height, width = x.shape[2] // stride, x.shape[3] // stride
    output = torch.zeros(len(x), conv.out_channels, height, width, dtype=x.dtype)
    for i, j, a, b in indices(height, width, rows, columns):
        row, column = stride * i + a - (rows - 1), stride * j + b - left
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            output[:, :, i, j] += x[:, :, row, column] @ conv.weight[:, :, a, b].T
    return output + conv.bias.view(1, -1, 1, 1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [(2, 3), (1, 3), (3, 5), (2, 1)])
def test_the_down_shifted_convolution_sees_its_row_and_those_above(kernel_size, stride):
    conv = DownShiftedConv2d(3, 4, kernel_size, stride).double()
    x = image(2, 3, 6, 8)
    torch.testing.assert_close(conv(x), slow_convolution(conv, x, left=(kernel_size[1] - 1) // 2))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [(2, 2), (2, 1), (1, 2), (3, 3)])
def test_the_down_right_shifted_convolution_sees_its_pixel_and_those_above_and_to_the_left(kernel_size, stride):
    conv = DownRightShiftedConv2d(3, 4, kernel_size, stride).double()
    x = image(2, 3, 6, 8)
    torch.testing.assert_close(conv(x), slow_convolution(conv, x, left=kernel_size[1] - 1))


def slow_transpose(conv, x, left):
    """Every input spread over the kernel, whose first row lies on row 2i; `left` columns of it lie to the left of 2j."""
    batch, _, height, width = x.shape
    output = torch.zeros(batch, conv.out_channels, 2 * height, 2 * width, dtype=x.dtype)
    for i, j, a, b in indices(height, width, *conv.kernel_size):
        row, column = 2 * i + a, 2 * j + b - left
        if 0 <= row < 2 * height and 0 <= column < 2 * width:
            output[:, :, row, column] += x[:, :, i, j] @ conv.weight[:, :, a, b]
    return output + conv.bias.view(1, -1, 1, 1)


@pytest.mark.parametrize("size", [(3, 4), (1, 1)])
def test_transposed_convolutions_double_the_size_and_spread_onto_nothing_earlier(size):
    x = image(2, 3, *size)
    down, down_right = DownShiftedConvTranspose2d(3, 4).double(), DownRightShiftedConvTranspose2d(3, 4).double()
    torch.testing.assert_close(down(x), slow_transpose(down, x, left=1))
    torch.testing.assert_close(down_right(x), slow_transpose(down_right, x, left=0))


@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("vertical", [True, False])
def test_halving_and_doubling_let_nothing_later_through(vertical, halved):
    """A vertical layer may see all of its row, a horizontal one only its left part; halving and doubling must keep to it."""
    kind, back = (
        (DownShiftedConv2d, DownShiftedConvTranspose2d)
        if vertical
        else (DownRightShiftedConv2d, DownRightShiftedConvTranspose2d)
    )
    layers = [kind(2, 3), kind(3, 3, stride=2), kind(3, 3), back(3, 3), kind(3, 2)] if halved else [kind(2, 3), kind(3, 2)]
    field = influence(nn.Sequential(*layers).double(), (2, 8, 12))  # (96, 8, 12)
    i, j = torch.meshgrid(torch.arange(8), torch.arange(12), indexing="ij")
    for pixel in range(96):
        row, column = divmod(pixel, 12)
        hidden = (i > row) if vertical else (i > row) | (j > column)
        assert field[pixel][hidden].eq(0).all()
        if not halved:
            assert field[pixel, row, column] > 0
