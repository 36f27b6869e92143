"""Samples are drawn pixel by pixel, on the grid, and can be had again."""

import pytest
import torch
from oracles import tiny

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


def test_labels_and_levels_are_kept():
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(classes=2, levels=4))
    assert sample(model, 2, torch.tensor([0, 1]), progress=False).max() <= 3
    with pytest.raises(ValueError, match="labels"):
        sample(model, 2, progress=False)


def test_no_image_is_refused(model):
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        sample(model, 0)
