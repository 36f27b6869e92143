"""The network is the released code's, sees all of the past that it should, and nothing else."""

import json
import math

import pytest
import torch
from oracles import earlier_pixels, influence, initialised

from pixelcnn_edu import Config, PixelCNNpp

SMALLEST = {"filters": 2, "blocks": 1, "mixtures": 1, "dropout": 0.0}


@pytest.mark.parametrize(
    ("changes", "count"), [({}, 53_659_080), ({"filters": 192}, 77_244_104), ({"classes": 10}, 53_659_080 + 204_800)]
)
def test_the_full_size_has_the_released_codes_parameters(changes, count):
    with torch.device("meta"):
        model = PixelCNNpp(Config.paper(**changes))
    assert sum(p.numel() for p in model.parameters()) == count


def jacobian(config):
    """Size of the gradient of each output pixel by each input pixel: float64 (H * W, H, W)."""
    model = initialised(config)
    return influence(
        lambda x: model(x, torch.zeros(len(x), dtype=torch.long) if config.classes else None), config.image_shape
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"image_shape": (3, 8, 8)},
        {"image_shape": (3, 16, 16)},
        {"image_shape": (3, 32, 32)},
        {"image_shape": (1, 8, 12)},
        {"image_shape": (3, 8, 8), "classes": 3},
        {"image_shape": (3, 8, 8), "downsampling": False},
        {"image_shape": (3, 8, 8), "shortcuts": False},
        {"image_shape": (3, 7, 5), "downsampling": False, "shortcuts": False},
    ],
    ids=str,
)
def test_no_pixel_sees_itself_or_later(changes):
    config = Config(**{**SMALLEST, **changes})
    gradient = jacobian(config)
    earlier = earlier_pixels(*config.image_shape[1:])
    assert (gradient[~earlier] == 0).all()
    if config.shortcuts:  # else the first pixels of each low-resolution block see nothing
        assert (gradient[1:].sum(dim=(1, 2)) > 0).all()


def test_with_five_blocks_every_pixel_of_16x16_sees_all_before_it():
    gradient = jacobian(Config(**{**SMALLEST, "image_shape": (3, 16, 16), "filters": 4, "blocks": 5}))
    assert torch.equal(gradient != 0, earlier_pixels(16, 16))


@pytest.mark.parametrize("changes", [{}, {"classes": 3}, {"downsampling": False}, {"shortcuts": False}], ids=str)
def test_every_parameter_gets_a_gradient(changes):
    torch.manual_seed(0)
    model = PixelCNNpp(Config.tiny(image_shape=(3, 8, 8), **changes))
    images, labels = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8), torch.arange(6) % 3
    model.bits_per_dim(images, labels if "classes" in changes else None).mean().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # With no short-cuts nothing reads the vertical stream's very last block but the horizontal one beside it.
    assert dead == []


def test_bits_per_dim_are_nats_over_ln_2_and_sub_pixels():
    model = PixelCNNpp(Config.tiny(image_shape=(3, 8, 8)))
    images = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(model.bits_per_dim(images), -model.log_prob(images) / (math.log(2) * 3 * 64))


def test_the_label_changes_the_output_and_wrong_labels_are_named():
    model = PixelCNNpp(Config.tiny(image_shape=(3, 8, 8), classes=3))
    x = torch.zeros(1, 3, 8, 8)
    assert not torch.equal(model(x, torch.tensor([0])), model(x, torch.tensor([1])))
    for labels, words in [(None, "needed"), (torch.tensor([3]), r"0\.\.2, got 3"), (torch.tensor([0, 1]), "1 integers")]:
        with pytest.raises(ValueError, match=words):
            model(x, labels)
    with pytest.raises(ValueError, match="without classes"):
        PixelCNNpp(Config.tiny(image_shape=(3, 8, 8)))(x, torch.tensor([0]))


def test_images_of_another_kind_are_named():
    model = PixelCNNpp(Config.tiny(image_shape=(3, 8, 8)))
    with pytest.raises(ValueError, match="built for images"):
        model(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match=r"floats in \[-1, 1\]"):
        model(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="multiply by 255"):
        model.log_prob(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_shape": (3, 30, 32)}, "32 x 32"),
        ({"image_shape": (3, 32)}, "image_shape"),
        ({"dropout": 1.0}, "dropout"),
        ({"levels": 1}, "levels"),
        ({"filters": 0}, "filters"),
    ],
)
def test_a_configuration_that_makes_no_model_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Config(**changes)


def test_a_configuration_survives_json():
    config = Config.small(classes=10)
    assert Config(**json.loads(json.dumps(config.to_dict()))) == config
