"""Weight normalisation, its initialisation, and the gated block."""

import pytest
import torch
import torch.nn.functional as F
from oracles import initialised, random_bytes, tiny
from torch import nn

from pixelcnn_edu import Config, PixelCNNpp, to_model
from pixelcnn_edu.blocks import GatedResNet, concat_elu, data_dependent_init, weight_normed
from pixelcnn_edu.causal import (
    DownRightShiftedConv2d,
    DownRightShiftedConvTranspose2d,
    DownShiftedConv2d,
    DownShiftedConvTranspose2d,
)


def test_concat_elu_keeps_both_signs():
    x = torch.randn(2, 3, 4, 4)
    before = x.clone()
    torch.testing.assert_close(concat_elu(x), torch.cat([F.elu(x), F.elu(-x)], dim=1))
    assert torch.equal(x, before)


def both_signs(x):
    return torch.cat([F.elu(x), F.elu(-x)], dim=1)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shortcuts", [0, 1, 2])
@pytest.mark.parametrize("conv", [DownShiftedConv2d, DownRightShiftedConv2d])
def test_a_gated_block_is_what_the_paper_says(conv, shortcuts, classes):
    torch.manual_seed(0)
    block = GatedResNet(conv, 4, shortcut_channels=4 * shortcuts, classes=classes).double().eval()
    x, *stored = torch.randn(1 + shortcuts, 2, 4, 5, 5, dtype=torch.float64)
    labels = torch.tensor([2, 0]) if classes else None
    c = block.conv_in(both_signs(x))
    if shortcuts:
        c = c + block.shortcut(torch.cat([both_signs(s) for s in stored], dim=1))
    c = block.conv_out(both_signs(c))
    if classes:
        c = c + block.class_bias.weight[labels][:, :, None, None]
    torch.testing.assert_close(block(x, *stored, labels=labels), x + c[:, :4] * torch.sigmoid(c[:, 4:]))


def test_dropout_is_in_training_only_and_falls_on_single_activations():
    torch.manual_seed(0)
    block = GatedResNet(DownShiftedConv2d, 4, dropout=0.5)
    x, seen = torch.randn(1, 4, 8, 8), []
    block.dropout.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0] != 0) & (output == 0)))
    block(x)
    share = seen[0].float().mean(dim=(0, 2, 3))  # dropped in each channel
    assert share.min() > 0.2
    assert share.max() < 0.8
    block.eval()
    assert torch.equal(block(x), block(x))
    assert not seen[-1].any()


def test_each_output_channel_has_its_own_length():
    layers = normalized_layers(PixelCNNpp(Config.tiny()))
    assert sum(isinstance(layer, torch.nn.ConvTranspose2d) for layer in layers) == 4
    for layer in layers:
        with torch.no_grad():  # at the start the length is the norm, and any mistake of the axis would cancel
            layer.parametrizations.weight.original0.copy_(torch.rand_like(layer.parametrizations.weight.original0) + 0.5)
        axis = 1 if isinstance(layer, torch.nn.ConvTranspose2d) else 0
        length, direction = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
        norms = direction.movedim(axis, 0).flatten(1).norm(dim=1)
        assert length.numel() == layer.out_channels
        expected = direction * (length.flatten() / norms).view(length.shape)
        torch.testing.assert_close(layer.weight, expected)


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(6, 5, 3), DownShiftedConv2d(4, 7), DownShiftedConvTranspose2d(5, 8), DownRightShiftedConvTranspose2d(8, 5)],
    ids=lambda conv: type(conv).__name__,
)
def test_a_normalized_convolution_starts_as_drawn_and_its_length_is_its_norm(conv):
    torch.manual_seed(0)
    assert weight_normed(conv, init_scale=0.3) is conv
    assert conv.init_scale == 0.3
    assert conv.bias.eq(0).all()
    assert sorted(name for name, _ in conv.named_parameters()) == [
        "bias",
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    ]
    direction = conv.parametrizations.weight.original1
    assert direction.std().item() == pytest.approx(0.05, rel=0.2)
    torch.testing.assert_close(conv.weight, direction)
    axis = 1 if isinstance(conv, nn.ConvTranspose2d) else 0
    lengths = torch.arange(1.0, conv.out_channels + 1)
    with torch.no_grad():
        conv.parametrizations.weight.original0.copy_(lengths.view_as(conv.parametrizations.weight.original0))
    for channel in range(conv.out_channels):
        assert conv.weight.select(axis, channel).norm().item() == pytest.approx(lengths[channel].item(), rel=1e-5)


def test_the_gradient_of_the_direction_never_changes_its_length():
    conv = weight_normed(DownShiftedConvTranspose2d(3, 4)).double()
    conv(torch.randn(2, 3, 4, 4, dtype=torch.float64)).square().sum().backward()
    direction = conv.parametrizations.weight.original1
    along = (direction * direction.grad).sum(dim=(0, 2, 3))
    assert (along.abs() < 1e-10 * direction.grad.norm()).all()


def normalized_layers(model):
    return [layer for layer in model.modules() if hasattr(layer, "init_scale")]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize(
    "changes", [{}, {"downsampling": False}, {"shortcuts": False}, {"image_shape": (1, 16, 12), "blocks": 2}], ids=str
)
def test_after_initialisation_every_layer_has_mean_0_and_its_standard_deviation(dropout, changes):
    torch.manual_seed(0)
    model = PixelCNNpp(Config.tiny(**{"image_shape": (3, 16, 16), "dropout": dropout, "classes": 2, **changes})).double()
    x = torch.rand(8, *model.config.image_shape, dtype=torch.float64) * 2 - 1
    labels = torch.arange(8) % 2
    torch.manual_seed(1)  # the second pass must drop what the first did
    data_dependent_init(model, x, labels)
    outputs = {}
    for layer in normalized_layers(model):
        layer.register_forward_hook(lambda layer, _, output: outputs.__setitem__(layer, output))
    torch.manual_seed(1)
    model(x, labels)
    assert len(outputs) == len(normalized_layers(model)) > 30
    assert {layer.init_scale for layer in outputs} == {1.0, 0.1}
    for layer, output in outputs.items():
        assert output.mean(dim=(0, 2, 3)).abs().max() < 1e-6
        deviation = output.std(dim=(0, 2, 3), unbiased=False)
        torch.testing.assert_close(deviation, torch.full_like(deviation, layer.init_scale), rtol=1e-4, atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_initialisation_refuses_nan_and_infinity_and_changes_nothing(bad):
    model = PixelCNNpp(Config.tiny())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.zeros(1, 3, 32, 32)
    x[0, 1, 2, 3] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        data_dependent_init(model, x)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_initialisation_happens_once_and_leaves_the_mode_as_it_was(training):
    torch.manual_seed(0)
    model = PixelCNNpp(Config.tiny(image_shape=(3, 8, 8))).train(training)
    data_dependent_init(model, torch.rand(4, 3, 8, 8) * 2 - 1)
    assert model.training == training
    after = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.rand(4, 3, 8, 8) * 2 - 1)
    assert all(torch.equal(value, after[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("changes", [{}, {"classes": 2}, {"shortcuts": False}], ids=str)
def test_blocks_start_near_the_identity(changes):
    """The second convolution of a block starts at a tenth of the size, so that 0.1 x sigmoid(...) is what a block adds."""
    model = initialised(tiny(filters=8, **changes))
    inputs_and_outputs = []
    for block in (module for module in model.modules() if isinstance(module, GatedResNet)):
        block.register_forward_hook(lambda _, inputs, output: inputs_and_outputs.append((inputs[0], output)))
    x = to_model(random_bytes(16, 3, 8, 8)).double()
    model(x, torch.arange(16) % 2 if "classes" in changes else None)
    assert len(inputs_and_outputs) == 2 * (3 + 1 + 2 + 2)
    for before, after in inputs_and_outputs:
        assert 0 < (after - before).std() < 0.15 * before.std()


def test_initialisation_drops_as_training_will_whatever_the_mode():
    results = []
    for training in (True, False):
        torch.manual_seed(0)
        model = PixelCNNpp(tiny(dropout=0.5)).train(training)
        data_dependent_init(model, to_model(random_bytes(8, 3, 8, 8)))
        results.append([p.detach() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_initialising_again_on_the_same_batch_changes_nothing():
    torch.manual_seed(0)
    model = PixelCNNpp(tiny()).double()
    x = to_model(random_bytes(16, 3, 8, 8)).double()
    data_dependent_init(model, x)
    before = [p.clone() for p in model.parameters()]
    data_dependent_init(model, x)
    torch.testing.assert_close(list(model.parameters()), before, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("training", [True, False])
def test_initialisation_leaves_no_trace_but_the_weights(training):
    model = PixelCNNpp(tiny(classes=2)).train(training)
    x = to_model(random_bytes(4, 3, 8, 8))
    directions = [layer.parametrizations.weight.original1.clone() for layer in normalized_layers(model)]
    data_dependent_init(model, x, torch.tensor([0, 1, 1, 0]))
    assert model.training == training
    assert not any(layer._forward_hooks for layer in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    for layer, direction in zip(normalized_layers(model), directions, strict=True):
        assert torch.equal(layer.parametrizations.weight.original1, direction)  # only lengths and biases are set
    with pytest.raises(ValueError, match="labels"):
        data_dependent_init(model, x)  # fails half-way
    assert model.training == training
    assert not any(layer._forward_hooks for layer in model.modules())


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 4, 4), (3, 4, 16), (3, 16, 4), (3, 8, 8)])
@pytest.mark.parametrize("images", ["random", "black", "one"])
def test_a_channel_that_never_varies_is_not_blown_up(shape, images):
    """At 4x4 the coarsest scale is one pixel, whose vertical stream is the same for all images: it has no size to set."""
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(image_shape=shape))
    kinds = {"random": random_bytes(16, *shape), "black": 0 * random_bytes(16, *shape), "one": random_bytes(1, *shape)}
    batch = kinds[images]
    data_dependent_init(model, to_model(batch))
    assert max(p.abs().max() for p in model.parameters()) < 1000
    assert (model.bits_per_dim(batch) < 1000).all()
