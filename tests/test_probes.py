"""The receptive field is what can be counted by hand, and asking for it changes nothing."""

import copy

import pytest
import torch
from oracles import initialised, tiny
from torch import nn

from pixelcnn_edu import PixelCNNpp, receptive_field
from pixelcnn_edu.causal import DownRightShiftedConv2d, DownShiftedConv2d, MaskedConv2d
from pixelcnn_edu.probes import blind_spot


def test_a_masked_3x3_convolution_sees_its_four_neighbours():
    field = receptive_field(MaskedConv2d(1, 4, 3, "A"), 4, 4, image_shape=(1, 8, 8))
    assert {tuple(place) for place in (field > 0).nonzero().tolist()} == {(3, 3), (3, 4), (3, 5), (4, 3)}


@pytest.mark.parametrize(
    ("layer", "offsets"),
    [
        (MaskedConv2d(2, 4, 3, "B"), {(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0)}),
        (DownShiftedConv2d(2, 4), {(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), (0, 1)}),
        (DownRightShiftedConv2d(2, 4), {(-1, -1), (-1, 0), (0, -1), (0, 0)}),
        (nn.Conv2d(2, 1, 1), {(0, 0)}),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 3), (5, 6)])
def test_a_layers_field_is_what_its_kernel_covers_and_the_image_holds(layer, offsets, row, column):
    field = receptive_field(layer, row, column, image_shape=(2, 6, 7))
    assert field.dtype == torch.float64
    assert field.shape == (6, 7)
    expected = {(row + i, column + j) for i, j in offsets if 0 <= row + i < 6 and 0 <= column + j < 7}
    assert {tuple(place) for place in field.nonzero().tolist()} == expected


def test_the_size_is_the_size_of_the_gradient():
    """One output channel: the mean square over random directions is that of a normal number times the weight's square."""
    layer = nn.Conv2d(3, 1, 3, padding=1)
    field = receptive_field(layer, 2, 2, image_shape=(3, 5, 5))
    weight = layer.weight[0].double().square().sum(dim=0).sqrt()  # (3, 3)
    ratio = field[1:4, 1:4] / weight
    torch.testing.assert_close(ratio, ratio[0, 0].expand(3, 3))
    assert 0.3 < ratio[0, 0] < 2
    assert torch.equal(field, receptive_field(layer, 2, 2, image_shape=(3, 5, 5)))


def reached(height, width, row, column, first, later, depth):
    """The pixels that a stack reaches, by walking back layer by layer along the kernels' offsets."""
    pixels = {(row, column)}
    for layer in range(depth):
        offsets = first if layer == depth - 1 else later  # the first layer is the last step back
        pixels = {(i + a, j + b) for i, j in pixels for a, b in offsets if 0 <= i + a < height and 0 <= j + b < width}
    return pixels


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_the_blind_spot_is_what_a_walk_through_the_kernels_does_not_reach(kernel_size, depth):
    r = kernel_size // 2
    first = [(i, j) for i in range(-r, 1) for j in range(-r, r + 1) if (i, j) < (0, 0)]
    later = [*first, (0, 0)]
    layers = [MaskedConv2d(1, 3, kernel_size, "A")] + [MaskedConv2d(3, 3, kernel_size, "B") for _ in range(depth - 1)]
    stack = nn.Sequential(*layers)
    for row, column in [(6, 3), (0, 5), (9, 10), (9, 0)]:
        field = receptive_field(stack, row, column, image_shape=(1, 10, 11))
        seen = reached(10, 11, row, column, first, later, depth)
        blind = {(i, j) for i in range(10) for j in range(11) if (i, j) < (row, column)} - seen
        assert {tuple(place) for place in blind_spot(field, row, column).nonzero().tolist()} == blind


def test_a_full_model_has_no_blind_spot_and_its_horizontal_stream_is_its_output():
    model = initialised(tiny(filters=4, blocks=3))
    for row, column in [(0, 0), (3, 7), (7, 0), (7, 7)]:
        field = receptive_field(model, row, column)
        assert not blind_spot(field, row, column).any()
        horizontal = receptive_field(model, row, column, stream="horizontal")
        assert torch.equal(field > 0, horizontal > 0)


def test_the_blind_spot_of_a_deep_masked_stack_is_the_wedge():
    layers = [MaskedConv2d(1, 4, 3, "A")] + [MaskedConv2d(4, 4, 3, "B") for _ in range(20)]
    field = receptive_field(nn.Sequential(*layers), 6, 3, image_shape=(1, 10, 10))
    i, j = torch.meshgrid(torch.arange(10), torch.arange(10), indexing="ij")
    assert torch.equal(blind_spot(field, 6, 3), (i < 6) & (j - 3 > 6 - i))


def test_a_field_that_looks_ahead_has_no_blind_spot():
    field = receptive_field(nn.Conv2d(1, 1, 3, padding=1), 2, 2, image_shape=(1, 5, 5))
    with pytest.raises(ValueError, match="not causal"):
        blind_spot(field, 2, 2)


def test_the_vertical_stream_sees_only_rows_above():
    field = receptive_field(PixelCNNpp(tiny()), 4, 4, stream="vertical")
    assert (field[4:] == 0).all()
    assert (field[:4] > 0).any()


def test_asking_leaves_the_model_as_it_was():
    model = PixelCNNpp(tiny(classes=2)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    receptive_field(model, 3, 3)
    assert model.training
    assert all(tensor.dtype == torch.float32 and torch.equal(before[n], tensor) for n, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_a_model_with_parts_of_its_own_stays_as_it_was_to_the_last_bit():
    """One part frozen in evaluation, one in half precision, gradients there, a hook, a buffer that is not saved."""
    torch.manual_seed(0)
    model = nn.Sequential(MaskedConv2d(1, 2, 3, "A"), nn.Dropout(0.5), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1))
    model(torch.randn(3, 1, 5, 5)).sum().backward()
    model.train()
    model[1].eval()
    model[3].bfloat16()
    model[0].weight.requires_grad_(False)
    parameters = list(model.parameters())
    tensors = [*model.parameters(), *model.buffers()]
    before = [tensor.detach().clone() for tensor in tensors]
    modes = [module.training for module in model.modules()]
    gradients = [copy.deepcopy(p.grad) for p in parameters]
    receptive_field(model, 2, 2, image_shape=(1, 5, 5))
    assert [module.training for module in model.modules()] == modes
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))  # an optimiser still holds them
    for was, tensor in zip(before, [*model.parameters(), *model.buffers()], strict=True):
        assert was.dtype == tensor.dtype
        assert torch.equal(was, tensor)
    for was, p in zip(gradients, parameters, strict=True):
        assert torch.equal(was, p.grad)


@pytest.mark.parametrize("row", [0, 3])
def test_a_failed_question_leaves_the_model_as_it_was(row):
    model = PixelCNNpp(tiny())
    with pytest.raises(ValueError, match="built for images"):
        receptive_field(model, row, 0, image_shape=(1, 8, 8))
    assert model.training
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_dropout_makes_no_holes_in_a_field():
    model = initialised(tiny(dropout=0.5))
    in_evaluation = receptive_field(model, 5, 5)
    assert torch.equal(receptive_field(model.train(), 5, 5), in_evaluation)


def test_the_field_of_a_class_conditional_model_is_asked_without_a_label_and_no_randomness_is_used_up():
    model = initialised(tiny(classes=2))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert receptive_field(model, 4, 4)[4, 3] > 0
    with torch.no_grad():
        assert receptive_field(model, 4, 4)[4, 3] > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_questions_without_an_answer_are_refused():
    model = PixelCNNpp(tiny())
    for row, column in [(-1, 0), (0, -1), (0, 8)]:
        with pytest.raises(ValueError, match=rf"\({row}, {column}\) lies outside"):
            receptive_field(model, row, column)
    with pytest.raises(ValueError, match="stream"):
        receptive_field(nn.Conv2d(1, 1, 1), 0, 0, stream="vertical", image_shape=(1, 4, 4))
    with pytest.raises(ValueError, match=r"\(8, 0\) lies outside the 8 x 8"):
        receptive_field(model, 8, 0)
    with pytest.raises(ValueError, match="stream"):
        receptive_field(model, 0, 0, stream="sideways")


def test_a_module_that_does_not_say_its_images_shape_is_named():
    with pytest.raises(ValueError, match=r"a Conv2d has no config; say image_shape=\(C, H, W\)"):
        receptive_field(torch.nn.Conv2d(1, 1, 1), 0, 0)
