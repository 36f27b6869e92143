"""The network one pixel at a time gives what a pass over the whole image gives, at every pixel, and leaves no trace."""

import pytest
import torch
import torch.nn.functional as F
from oracles import initialised, random_bytes, tiny
from torch import nn

from pixelcnn_edu import Config, models, to_model
from pixelcnn_edu.blocks import GatedResNet
from pixelcnn_edu.cached import one_pixel_at_a_time
from pixelcnn_edu.causal import DownRightShiftedConv2d, DownShiftedConv2d
from pixelcnn_edu.models import PixelCNNpp

VARIANTS = {
    "full": {},
    "blocks": {"blocks": 2},
    "no downsampling": {"downsampling": False},
    "no short-cuts": {"shortcuts": False},
    "neither": {"downsampling": False, "shortcuts": False},
    "dropout": {"dropout": 0.5},
    "classes": {"classes": 3},
    "softmax": {"likelihood": "softmax", "levels": 8},
    "dequantized": {"likelihood": "dequantized"},
    "sub-pixels": {"whole_pixels": False},
    "sub-pixels, classes, no downsampling": {"whole_pixels": False, "classes": 3, "downsampling": False},
    "grey": {"image_shape": (1, 8, 8)},
    "grey, one filter": {"image_shape": (1, 8, 8), "filters": 1},
    "two channels": {"image_shape": (2, 8, 8)},
    "one row": {"image_shape": (3, 1, 9)},
    "one column": {"image_shape": (3, 9, 1)},
    "one pixel": {"image_shape": (3, 1, 1)},
    "wide": {"image_shape": (3, 8, 20)},
    "high": {"image_shape": (3, 12, 4)},
    "padded": {"image_shape": (3, 7, 10)},
    "padded, sub-pixels": {"image_shape": (3, 5, 6), "whole_pixels": False},
    "not padded": {"image_shape": (3, 7, 9), "downsampling": False},
    "16": {"image_shape": (3, 16, 16)},
    "28": {"image_shape": (1, 28, 28)},
    "32": {"image_shape": (3, 32, 32), "mixtures": 1},
}


def perturbed(config):
    """A model none of whose numbers is special: no bias 0, no two layers alike."""
    model = initialised(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return model


def largest_difference(model, count=2):
    """Between the parameters of a whole pass and those pixel by pixel, while later pixels hold something else.

    In units of the largest parameter, where that is above 1: without whole pixels some of these models reach 900.
    """
    config = model.config
    channels, height, width = config.image_shape
    images = random_bytes(count, *config.image_shape, levels=config.levels)
    labels = torch.arange(count) % config.classes if config.classes else None
    with torch.no_grad():
        whole = model(to_model(images, config.levels).to(next(model.parameters()).dtype), labels)  # (N, P, H, W)
    live = random_bytes(count, *config.image_shape, levels=config.levels, seed=1)
    colors = [slice(None)] if config.whole_pixels else [slice(c, c + 1) for c in range(channels)]
    differences = []
    with one_pixel_at_a_time(model, live, labels) as parameters_at:
        for row in range(height):
            for column in range(width):
                for color in colors:
                    params = parameters_at(row, column)[..., 0, 0]  # (N, P)
                    theirs = slice(None) if config.whole_pixels else slice(color.start, None, channels)
                    differences.append((params[:, theirs] - whole[:, theirs, row, column]).abs().max())
                    live[:, color, row, column] = images[:, color, row, column]
    return torch.stack(differences).max().item() / max(1.0, whole.abs().max().item())


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_the_parameters_equal_those_of_a_whole_pass_at_every_pixel(changes):
    model = perturbed(tiny(**changes))
    assert largest_difference(model) < 1e-10
    assert largest_difference(model.float()) < 5e-6


@pytest.mark.slow
def test_they_equal_them_in_the_recorded_configuration():
    model = initialised(Config.small())
    assert largest_difference(model.float(), count=1) < 5e-6


def test_a_single_image_and_many_are_alike():
    model = perturbed(tiny())
    assert largest_difference(model, count=1) < 1e-10
    assert largest_difference(model, count=5) < 1e-10


def test_a_block_that_computes_something_else_is_followed(monkeypatch):
    """There is no second copy of the architecture that could fall behind."""

    def forward(self, x, *shortcuts, labels=None):
        c = torch.tanh(self.conv_in(torch.cat([x.sin(), x.cos()], dim=1)))
        if shortcuts:
            c = c * self.shortcut(torch.cat([torch.cat([s, -s * s], dim=1) for s in shortcuts], dim=1))
        value, gate = self.conv_out(F.elu(torch.cat([c, -2 * c], dim=1))).chunk(2, dim=1)
        return 0.7 * x + value * gate.tanh()

    model = perturbed(tiny())
    ours = model(to_model(random_bytes(1, 3, 8, 8)).double())
    monkeypatch.setattr(GatedResNet, "forward", forward)
    assert not torch.allclose(model(to_model(random_bytes(1, 3, 8, 8)).double()), ours)
    assert largest_difference(model) < 1e-10


def test_larger_kernels_are_followed(monkeypatch):
    monkeypatch.setattr(
        models, "DownShiftedConv2d", lambda i, o, size=(3, 5), stride=1: DownShiftedConv2d(i, o, size, stride)
    )
    monkeypatch.setattr(
        models, "DownRightShiftedConv2d", lambda i, o, size=(3, 4), stride=1: DownRightShiftedConv2d(i, o, size, stride)
    )
    model = perturbed(tiny(image_shape=(3, 8, 12)))
    assert model.up[0].horizontal.conv_in.kernel_size == (3, 4)
    assert largest_difference(model) < 1e-10


def test_another_way_of_connecting_the_layers_is_followed(monkeypatch):
    run = PixelCNNpp._run

    def backwards(layer, vertical, horizontal, stored, labels):
        vertical, horizontal = run(layer, vertical, horizontal, stored, labels)
        return vertical, horizontal if horizontal is None else -horizontal

    monkeypatch.setattr(PixelCNNpp, "_run", staticmethod(backwards))
    assert largest_difference(perturbed(tiny())) < 1e-10


def test_a_convolution_of_another_kind_is_refused_and_not_passed_over():
    model = perturbed(tiny())
    model.up[0].horizontal.conv_in = nn.Conv2d(6, 3, 3, padding=1).double()
    with (
        pytest.raises(TypeError, match=r'no step for Conv2d\(6, 3.*method="naive"'),
        one_pixel_at_a_time(model, random_bytes(1, 3, 8, 8)),
    ):
        pass
    assert_untouched(model)


def assert_untouched(model):
    assert all("forward" not in vars(module) for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_model_is_as_before_however_it_ends(error):
    model = perturbed(tiny(dropout=0.5)).train()
    x, images = to_model(random_bytes(2, 3, 8, 8)).double(), random_bytes(2, 3, 8, 8)
    model.eval()
    before = model(x)
    model.train()
    try:
        with one_pixel_at_a_time(model, images) as parameters_at:
            parameters_at(0, 0)
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert model.training
    assert_untouched(model)
    assert torch.equal(model.eval()(x), before)


def test_labels_that_do_not_fit_are_refused():
    model = perturbed(tiny(classes=3))
    for labels in (None, torch.tensor([0]), torch.tensor([0, 3])):
        with pytest.raises(ValueError, match="labels"), one_pixel_at_a_time(model, random_bytes(2, 3, 8, 8), labels):
            pass
    assert_untouched(model)


def test_no_activation_is_computed_twice(monkeypatch):
    """The multiplications for all pixels together are those of a single pass, exactly; the first layer is not counted."""
    model, images = perturbed(tiny(image_shape=(3, 16, 16))), random_bytes(1, 3, 16, 16)
    once, work = [], []

    def count(conv, inputs, output):
        transposed = isinstance(conv, nn.ConvTranspose2d)
        once.append((inputs[0] if transposed else output)[0, 0].numel() * conv.weight.numel())

    parts = [part for layers in (model.up, model.down) for part in layers.modules()]
    parts = [part for part in parts if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d))]
    for part in (*parts, model.to_params):
        part.register_forward_hook(count)
    with torch.no_grad():
        model(to_model(images).double())
    for part in (*parts, model.to_params):
        part._forward_hooks.clear()

    conv2d, spread, addmm = F.conv2d, F.conv_transpose2d, torch.addmm

    def counted_conv2d(x, weight, *rest):
        result = conv2d(x, weight, *rest)
        if x.shape[1] != 4:  # the image and the ones
            work.append(result[0, 0].numel() * weight.numel())
        return result

    def counted_spread(x, weight, *rest):
        work.append(x[0, 0].numel() * weight.numel())
        return spread(x, weight, *rest)

    def counted_addmm(bias, x, weight):
        work.append(weight.numel())
        return addmm(bias, x, weight)

    with one_pixel_at_a_time(model, images) as parameters_at:
        monkeypatch.setattr(F, "conv2d", counted_conv2d)
        monkeypatch.setattr(F, "conv_transpose2d", counted_spread)
        monkeypatch.setattr(torch, "addmm", counted_addmm)
        for place in range(256):
            parameters_at(*divmod(place, 16))
    assert sum(work) == sum(once) > 0
