"""Weight normalisation, its initialisation, and the gated block."""

import pytest
import torch
import torch.nn.functional as F

from pixelcnn_edu import Config, PixelCNNpp
from pixelcnn_edu.blocks import GatedResNet, concat_elu, data_dependent_init
from pixelcnn_edu.causal import DownShiftedConv2d


def test_concat_elu_keeps_both_signs():
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(concat_elu(x), torch.cat([F.elu(x), F.elu(-x)], dim=1))


def test_a_gated_block_is_what_the_paper_says():
    block = GatedResNet(DownShiftedConv2d, 4, shortcut_channels=4, classes=3).double().eval()
    x, stored = torch.randn(2, 2, 4, 5, 5, dtype=torch.float64)
    labels = torch.tensor([2, 0])
    c = block.conv_in(concat_elu(x)) + block.shortcut(concat_elu(stored))
    c = block.conv_out(concat_elu(c)) + block.class_bias.weight[labels][:, :, None, None]
    torch.testing.assert_close(block(x, stored, labels=labels), x + c[:, :4] * torch.sigmoid(c[:, 4:]))


def test_each_output_channel_has_its_own_length():
    for layer in normalized_layers(PixelCNNpp(Config.tiny())):
        axis = 1 if isinstance(layer, torch.nn.ConvTranspose2d) else 0
        length, direction = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
        norms = direction.movedim(axis, 0).flatten(1).norm(dim=1)
        assert length.numel() == layer.out_channels
        expected = direction * (length.flatten() / norms).view(length.shape)
        torch.testing.assert_close(layer.weight, expected)


def normalized_layers(model):
    return [layer for layer in model.modules() if hasattr(layer, "init_scale")]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_after_initialisation_every_layer_has_mean_0_and_its_standard_deviation(dropout):
    torch.manual_seed(0)
    model = PixelCNNpp(Config.tiny(image_shape=(3, 16, 16), dropout=dropout, classes=2)).double()
    x, labels = torch.rand(8, 3, 16, 16, dtype=torch.float64) * 2 - 1, torch.arange(8) % 2
    torch.manual_seed(1)  # the second pass must drop what the first did
    data_dependent_init(model, x, labels)
    outputs = {}
    for layer in normalized_layers(model):
        layer.register_forward_hook(lambda layer, _, output: outputs.__setitem__(layer, output))
    torch.manual_seed(1)
    model(x, labels)
    assert len(outputs) == len(normalized_layers(model)) > 40
    assert {layer.init_scale for layer in outputs} == {1.0, 0.1}
    for layer, output in outputs.items():
        assert output.mean(dim=(0, 2, 3)).abs().max() < 1e-6
        deviation = output.std(dim=(0, 2, 3), unbiased=False)
        torch.testing.assert_close(deviation, torch.full_like(deviation, layer.init_scale), rtol=1e-4, atol=0)


def test_initialisation_refuses_nan():
    with pytest.raises(ValueError, match="NaN"):
        data_dependent_init(PixelCNNpp(Config.tiny()), torch.full((1, 3, 32, 32), float("nan")))
