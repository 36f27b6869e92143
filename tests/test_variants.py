"""Every combination of the switches builds, sees only the past, trains, samples, and is scored as it samples."""

import dataclasses
import itertools
import json
import math

import pytest
import torch
from oracles import earlier_pixels, initialised, random_bytes

from pixelcnn_edu import Config, PixelCNN, PixelCNNpp, Training, bits_per_pixel, build, evaluate, fit, sample
from pixelcnn_edu.models import LIKELIHOODS

SWITCHES = {
    "likelihood": ("mixture", "softmax", "dequantized"),
    "whole_pixels": (True, False),
    "downsampling": (True, False),
    "shortcuts": (True, False),
    "dropout": (0.0, 0.5),
    "classes": (0, 3),
}
SMALLEST = Config(image_shape=(3, 4, 5), levels=8, filters=4, blocks=1, mixtures=2)
VARIANTS = [
    dataclasses.replace(SMALLEST, **dict(zip(SWITCHES, values))) for values in itertools.product(*SWITCHES.values())
] + [dataclasses.replace(SMALLEST, filters=8, classes=classes).original() for classes in SWITCHES["classes"]]


def name(config):
    parts = [config.architecture, config.likelihood]
    parts += [switch for switch in ("whole_pixels", "downsampling", "shortcuts") if getattr(config, switch)]
    return "-".join(parts + ["dropout"] * bool(config.dropout) + ["classes"] * bool(config.classes))


def labels(config, count):
    return torch.arange(count) % config.classes if config.classes else None


def sub_pixel_jacobian(model):
    """Which output may move with which input: bool (H * W, C, H * W, C), output pixel and channel before input's.

    Output i belongs to channel i mod C in a network without whole pixels; with them all outputs are one pixel's.
    """
    config = model.config
    channels, height, width = config.image_shape
    x = torch.rand(1, channels, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 2 - 1

    def colors(x):
        params = model(x, labels(config, 1))[0]  # (P, H, W)
        weights = torch.rand(len(params), dtype=torch.float64, generator=torch.Generator().manual_seed(5)) + 0.5
        groups = [torch.einsum("phw,p->hw", params[c::channels], weights[c::channels]) for c in range(channels)]
        return torch.stack(groups)  # (C, H, W)

    jacobian = torch.autograd.functional.jacobian(colors, x, vectorize=True)[:, :, :, 0]  # (C, H, W, C, H, W)
    return (jacobian.permute(1, 2, 0, 4, 5, 3) != 0).reshape(height * width, channels, height * width, channels)


@pytest.mark.parametrize("config", VARIANTS, ids=name)
def test_no_combination_sees_what_it_predicts_or_what_comes_later(config):
    seen = sub_pixel_jacobian(initialised(config))
    channels, height, width = config.image_shape
    allowed = earlier_pixels(height, width).reshape(height * width, 1, height * width, 1).repeat(1, channels, 1, channels)
    if not config.whole_pixels:
        earlier_color = torch.arange(channels)[:, None] > torch.arange(channels)[None, :]
        for pixel in range(height * width):
            allowed[pixel, :, pixel] = earlier_color
    assert not seen[~allowed].any()
    if config.shortcuts or not config.downsampling:
        middle = (height // 2) * width + width // 2
        assert seen[middle, :, middle - 1].any(dim=0).all()  # and every channel of its left neighbour it does see
        if not config.whole_pixels:
            own = seen.diagonal(dim1=0, dim2=2).any(dim=-1)  # (C, C), over all pixels, for a ReLU may be off at one
            assert torch.equal(own, earlier_color)


@pytest.mark.parametrize("config", VARIANTS, ids=name)
def test_every_combination_trains_and_every_weight_moves(config):
    config = dataclasses.replace(config, image_shape=(3, 8, 8))  # at 4x5 the coarsest cells have no past to learn from
    images, count = random_bytes(12, *config.image_shape, levels=config.levels), labels(config, 12)
    torch.manual_seed(0)
    model = build(config)
    before = [p.clone() for p in model.parameters()]
    settings = Training(steps=2, batch_size=6, init_images=8, learning_rate=0.01, record_every=1)
    averaged, lines = fit(model, images, count, settings, images, count, device="cpu", progress=False)
    assert all(math.isfinite(line["train_bits_per_dim"]) for line in lines)
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters())]
    assert all(moved)
    assert math.isfinite(lines[-1]["validation_bits_per_dim"])
    assert evaluate(averaged, images, count) == lines[-1]["validation_bits_per_dim"]  # noise, if any, has a fixed seed


@pytest.mark.parametrize("config", VARIANTS, ids=name)
def test_every_combination_says_how_many_numbers_it_puts_out_and_survives_json(config):
    model = build(Config(**json.loads(json.dumps(config.to_dict()))))
    assert model.config == config
    x = torch.zeros(1, *config.image_shape)
    assert model(x, labels(config, 1)).shape == (1, config.outputs, *config.image_shape[1:])


@pytest.mark.parametrize(
    ("changes", "outputs"),
    [
        ({}, 100),
        ({"likelihood": "dequantized"}, 100),
        ({"likelihood": "softmax"}, 1536),
        ({"likelihood": "softmax", "whole_pixels": False}, 768),
        ({"whole_pixels": False}, 90),
        ({"image_shape": (1, 28, 28)}, 30),
        ({"image_shape": (1, 28, 28), "likelihood": "softmax"}, 256),
    ],
)
def test_the_outputs_are_those_the_paper_counts(changes, outputs):
    assert Config(**changes).outputs == outputs
    assert Config.paper().original().outputs == 768


@pytest.mark.parametrize("config", [c for c in VARIANTS if not c.dropout and c.likelihood != "dequantized"], ids=name)
def test_channels_add_up_to_pixels_and_pixels_to_images(config):
    model = initialised(config)
    images = random_bytes(3, *config.image_shape, levels=config.levels)
    each = model.log_prob(images, labels(config, 3), per_channel=True)
    assert each.shape == images.shape
    joint = model.log_prob(images, labels(config, 3))
    torch.testing.assert_close(each.sum(dim=(1, 2, 3)), joint, rtol=1e-10, atol=1e-10)
    bits = bits_per_pixel(model, images, labels(config, 3), batch_size=2)
    torch.testing.assert_close(bits.sum(dim=(1, 2, 3)), -joint / math.log(2), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        bits.mean(dim=(1, 2, 3)), model.bits_per_dim(images, labels(config, 3)), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("config", [c for c in VARIANTS if c.likelihood != "dequantized" and not c.dropout], ids=name)
def test_the_probabilities_of_all_images_sum_to_one(config):
    """Of 2 levels at 1x2 pixels of 3 channels there are 64: the whole chain of conditionals, network and all."""
    model = initialised(dataclasses.replace(config, image_shape=(3, 1, 2), levels=2))
    images = torch.cartesian_prod(*[torch.arange(2)] * 6).reshape(64, 3, 1, 2)
    total = model.log_prob(images, labels(config, 64).zero_() if config.classes else None).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("config", [c for c in VARIANTS if not c.dropout and not c.classes], ids=name)
def test_images_are_drawn_as_often_as_they_are_scored(config):
    """Naive sampling against the score, over all 64 images of 1x2 pixels and 2 levels."""
    model = initialised(dataclasses.replace(config, image_shape=(3, 1, 2), levels=2))
    images = torch.cartesian_prod(*[torch.arange(2)] * 6).reshape(64, 3, 1, 2)
    if config.likelihood == "dequantized":  # it draws what the discretized mixture of the same parameters scores
        scored = build(dataclasses.replace(model.config, likelihood="mixture")).double()
        scored.load_state_dict(model.state_dict())
    else:
        scored = model
    drawn = sample(model, 4_000, seed=3, progress=False).long()
    place = (drawn.flatten(1) * 2 ** torch.arange(5, -1, -1)).sum(dim=1)
    counts = torch.bincount(place, minlength=64).double()
    expected = 4_000 * scored.log_prob(images).exp()
    chi_squared = ((counts - expected).square() / expected)[expected > 5].sum().item()
    freedom = int((expected > 5).sum()) - 1
    assert chi_squared < freedom + 5 * math.sqrt(2 * freedom)


def test_the_original_takes_size_levels_and_classes_and_none_of_the_changes():
    config = Config.tiny(image_shape=(1, 6, 7), levels=16, classes=2, dropout=0.5)
    model = PixelCNN(config)
    assert model.config == config.original() == model.config.original()
    assert (model.config.image_shape, model.config.levels, model.config.classes) == ((1, 6, 7), 16, 2)
    assert (model.config.likelihood, model.config.whole_pixels, model.config.dropout) == ("softmax", False, 0.0)
    assert len(PixelCNN(Config.paper()).blocks) == 15
    with pytest.raises(ValueError, match=r"configuration of a pixelcnn; use build"):
        PixelCNNpp(model.config)
    assert isinstance(build(model.config), PixelCNN)
    assert isinstance(build(config), PixelCNNpp)


def test_the_originals_parameters_are_those_counted_by_hand():
    def conv(inputs, outputs, size):
        return outputs * (inputs * size * size + 1)

    f, blocks = 16, 2
    block = conv(2 * f, f, 1) + conv(f, f, 3) + conv(f, 2 * f, 1)
    by_hand = conv(3, 2 * f, 7) + 3 * blocks * block + conv(2 * f, 2 * f, 1) + conv(2 * f, 768, 1)
    assert sum(p.numel() for p in PixelCNN(Config.tiny(blocks=blocks)).parameters()) == by_hand


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [2, 8, 16, 256])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("whole_pixels", [True, False])
def test_every_likelihood_holds_for_grey_and_colour_and_any_number_of_levels(channels, levels, likelihood, whole_pixels):
    config = Config(
        (channels, 4, 4), levels, filters=3, blocks=1, mixtures=2, likelihood=likelihood, whole_pixels=whole_pixels
    )
    model = initialised(config)
    drawn = sample(model, 3, progress=False)
    assert drawn.dtype == torch.uint8
    assert drawn.max().item() < levels
    assert model.bits_per_dim(drawn).isfinite().all()
    expected = model.distribution(drawn.double() * (2 / (levels - 1)) - 1).mean(drawn)
    assert expected.shape == drawn.shape
    assert (expected >= 0).all()
    assert (expected <= levels - 1).all()


def test_batches_may_change_their_size_between_calls():
    model = initialised(dataclasses.replace(SMALLEST, dropout=0.0))
    images = random_bytes(5, 3, 4, 5, levels=8)
    whole = model.log_prob(images)
    torch.testing.assert_close(torch.cat([model.log_prob(images[:1]), model.log_prob(images[1:])]), whole)
    assert model.log_prob(images[:0]).shape == (0,)


@pytest.mark.parametrize("build_it", [PixelCNN, PixelCNNpp])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, r"floats in \[-1, 1\], got values from nan"),
        (math.inf, "to inf"),
        (255.0, r"got values from 0 to 255; see to_model"),
    ],
)
def test_images_the_network_cannot_mean_are_named(build_it, value, words):
    x = torch.zeros(1, 3, 8, 8)
    x[0, 1, 2, 3] = value
    with pytest.raises(ValueError, match=words):
        build_it(Config.tiny(image_shape=(3, 8, 8)))(x)


@pytest.mark.parametrize("build_it", [PixelCNN, PixelCNNpp])
@pytest.mark.parametrize("wrong", [torch.tensor([3]), torch.tensor([-1]), torch.tensor([True]), torch.tensor([0.0]), None])
def test_labels_that_are_none_are_refused_by_every_network(build_it, wrong):
    with pytest.raises(ValueError, match="labels"):
        build_it(Config.tiny(image_shape=(3, 8, 8), classes=3))(torch.zeros(1, 3, 8, 8), wrong)


@pytest.mark.parametrize("config", [Config.tiny(), Config.tiny(likelihood="softmax"), Config.tiny().original()], ids=name)
def test_float32_is_float64_but_for_a_hundred_thousandth_of_a_bit(config):
    config = dataclasses.replace(config, image_shape=(3, 16, 16))
    double = initialised(config)
    single = build(config).eval()
    single.load_state_dict(double.state_dict())
    images = random_bytes(4, 3, 16, 16)
    bits = single.float().bits_per_dim(images)
    assert bits.dtype == torch.float32
    torch.testing.assert_close(bits.double(), double.bits_per_dim(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_under_autocast_the_network_is_rounded_and_the_likelihood_is_not(likelihood, dtype):
    model = initialised(Config.tiny(image_shape=(3, 8, 8), likelihood=likelihood)).float()
    images = random_bytes(4, 3, 8, 8)
    x, inside = images.float() / 127.5 - 1, []
    model.down[-1].register_forward_hook(lambda layer, inputs, outputs: inside.extend(output.dtype for output in outputs))
    with torch.autocast("cpu", dtype):
        params = model(x)
        assert inside == [dtype, dtype]
        torch.manual_seed(0)
        scored = model.likelihood(params).log_prob(images)
    assert scored.dtype == torch.float32
    torch.manual_seed(0)
    outside = model.likelihood(params.float()).log_prob(images)  # the same parameters, without autocast
    torch.testing.assert_close(scored, outside, rtol=1e-6, atol=1e-6)
