"""Samples are drawn pixel by pixel, on the grid, and can be had again."""

import math

import pytest
import torch
from oracles import initialised, tiny

from pixelcnn_edu import PixelCNNpp, sample, to_model


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PixelCNNpp(tiny(dropout=0.5))


def test_the_same_seed_gives_the_same_images(model):
    first, again, other = (sample(model, 2, seed=seed, progress=False) for seed in (1, 1, 2))
    assert first.dtype == torch.uint8
    assert first.shape == (2, 3, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_stands_at_pixels_not_yet_drawn_does_not_matter(model):
    drawn = sample(model, 1, seed=4, progress=False)
    slow = torch.randint(256, (1, 3, 8, 8), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(4)
    model.eval()
    for row in range(8):
        for column in range(8):
            d = model.distribution(to_model(slow))
            parts = [p[..., row, column][..., None, None] for p in (d.logits, d.means, d.log_scales)]
            ties = torch.atanh(d.coefficients[..., row, column][..., None, None])
            slow[:, :, row, column] = type(d)(*parts, ties).sample(generator)[:, :, 0, 0]
    assert torch.equal(drawn, slow)


def test_sampling_leaves_the_model_as_it_was(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sample(model, 1, progress=False)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_sampling_leaves_the_model_as_it_was_even_if_it_fails(monkeypatch):
    model = PixelCNNpp(tiny(classes=2))
    with pytest.raises(ValueError, match="labels must be 3 integers"):
        sample(model, 3, torch.tensor([0, 1]), progress=False)
    assert model.training
    monkeypatch.setattr(PixelCNNpp, "forward", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        sample(model, 2, torch.tensor([0, 1]), progress=False)
    assert model.training


def test_sampling_leaves_the_random_state_alone(model):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    sample(model, 1, seed=9, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_without_dropout_is_the_same_in_training_and_in_evaluation(model):
    in_training = sample(model.train(), 1, progress=False)
    assert torch.equal(in_training, sample(model.eval(), 1, progress=False))
    assert not model.training


def test_images_come_as_often_as_the_model_scores_them():
    """All 64 images of 2x3 pixels in black and white, against the model's own probabilities: chi-squared."""
    model = initialised(tiny(image_shape=(1, 2, 3), levels=2, downsampling=False, mixtures=1)).float()
    images = ((torch.arange(64)[:, None] // 2 ** torch.arange(6)) % 2).view(64, 1, 2, 3).to(torch.uint8)
    with torch.no_grad():
        expected = 4000 * model.log_prob(images).double().exp()
    drawn = sample(model, 4000, seed=3, progress=False).flatten(1).long()
    counts = (drawn * 2 ** torch.arange(6)).sum(dim=1).bincount(minlength=64).double()
    common = expected > 5
    chi_squared = ((counts - expected).square() / expected)[common].sum().item()
    freedom = int(common.sum()) - 1
    assert freedom > 15
    assert chi_squared < freedom + 5 * math.sqrt(2 * freedom)


def test_each_label_draws_from_its_own_distribution():
    """Same seed, same noise, another label: other images; and the place in the batch is the place of the label."""
    model = initialised(tiny(classes=3)).float()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.weight.mul_(20)
    zeros, twos = (sample(model, 2, torch.full((2,), label), seed=1, progress=False) for label in (0, 2))
    mixed = sample(model, 2, torch.tensor([0, 2]), seed=1, progress=False)
    assert not torch.equal(zeros, twos)
    assert torch.equal(mixed[0], zeros[0])
    assert torch.equal(mixed[1], twos[1])


def test_more_than_256_levels_do_not_wrap_around():
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(image_shape=(1, 4, 4), levels=1000, downsampling=False))
    images = sample(model, 20, progress=False)
    assert images.dtype == torch.int64
    assert images.max() > 255
    assert images.max() < 1000
    model.log_prob(images)  # and the model can score them


def test_a_model_in_float64_can_be_sampled():
    model = initialised(tiny(image_shape=(1, 4, 4), downsampling=False))
    assert sample(model, 2, progress=False).shape == (2, 1, 4, 4)


def test_images_that_are_not_square_are_drawn_whole():
    model = PixelCNNpp(tiny(image_shape=(1, 4, 12)))
    with torch.no_grad():
        model.to_params.bias[4:6] += 5  # wide scales, so that a pixel that was never drawn stands out
    images = sample(model, 8, progress=False)
    assert images.shape == (8, 1, 4, 12)
    assert images.double().std(dim=0).min() > 0


def test_labels_and_levels_are_kept():
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(classes=2, levels=4))
    assert sample(model, 2, torch.tensor([0, 1]), progress=False).max() <= 3
    with pytest.raises(ValueError, match="labels"):
        sample(model, 2, progress=False)


def test_no_image_is_refused(model):
    for count in (0, -3):
        with pytest.raises(ValueError, match=f"count must be at least 1, got {count}"):
            sample(model, count)
