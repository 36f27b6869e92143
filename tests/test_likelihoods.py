"""The likelihood is exact, sums to one, and samples what it scores."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import logistic

from pixelcnn_edu import DiscretizedLogisticMixture

GOLDEN = np.load(Path(__file__).parent / "golden" / "discretized_logistic_mixture.npz")
SETS = [(name, kind) for name in ("rgb8", "grey8", "rgb3") for kind in ("typical", "wild")]


def golden(name, kind, dtype):
    """The reference's cases as a row of pixels: a distribution of shape (1, K, C, n, 1), its images, the true answer."""
    part = {key: torch.from_numpy(GOLDEN[f"{name}_{kind}_{key}"]) for key in ("x", "logits", "means", "log_scales")}
    coefficients = torch.from_numpy(GOLDEN[f"{name}_{kind}_coefficients"])
    answer = torch.from_numpy(GOLDEN[f"{name}_{kind}_log_prob"])
    logits = part["logits"].to(dtype).T[None, :, :, None].clone().requires_grad_()  # (1, K, n, 1)
    means, log_scales = (
        part[key].to(dtype).permute(2, 1, 0)[None, ..., None].clone().requires_grad_() for key in ("means", "log_scales")
    )  # (1, K, C, n, 1)
    ties = coefficients.to(dtype).permute(2, 1, 0)[None, ..., None] if coefficients.numel() else None
    images = part["x"].long().T[None, ..., None]  # (1, C, n, 1)
    mixture = DiscretizedLogisticMixture(logits, means, log_scales, ties, levels=8 if name == "rgb3" else 256)
    return mixture, images, answer, (logits, means, log_scales)


def random_mixture(channels=3, mixtures=4, levels=256, size=2, log_scale=-2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(1, mixtures, *shape, size, size, dtype=torch.float64, generator=generator)

    pairs = channels * (channels - 1) // 2
    ties = draw(pairs) if pairs else None
    return DiscretizedLogisticMixture(draw(), 0.6 * draw(channels), draw(channels) + log_scale, ties, levels)


@pytest.mark.parametrize(("name", "kind"), SETS)
def test_float64_agrees_with_sixty_digit_arithmetic(name, kind):
    mixture, images, answer, _ = golden(name, kind, torch.float64)
    torch.testing.assert_close(mixture.log_prob(images)[0, :, 0], answer, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("name", "kind"), SETS)
def test_float32_agrees_with_sixty_digit_arithmetic(name, kind):
    mixture, images, answer, _ = golden(name, kind, torch.float32)
    torch.testing.assert_close(mixture.log_prob(images)[0, :, 0].double(), answer, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("name", "kind"), SETS)
def test_gradients_are_finite(name, kind):
    mixture, images, _, parameters = golden(name, kind, torch.float32)
    mixture.log_prob(images).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in parameters)


def test_a_target_far_away_still_pulls_the_mean():
    means = torch.full((1, 1, 1, 1, 1), -0.9, requires_grad=True)
    mixture = DiscretizedLogisticMixture(torch.zeros(1, 1, 1, 1), means, torch.full((1, 1, 1, 1, 1), -7.0))
    log_prob = mixture.log_prob(torch.full((1, 1, 1, 1), 200))
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert means.grad.item() > 1


@pytest.mark.parametrize("log_scale", [-9.0, -7.0, -4.0, 0.0, 3.0, 50.0])
@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.1234, 1.0, 2.0])
def test_probabilities_of_all_256_values_sum_to_one(log_scale, mean):
    values = torch.arange(256).view(1, 1, 16, 16)
    full = torch.ones(1, 1, 1, 16, 16, dtype=torch.float64)
    log_prob = DiscretizedLogisticMixture(full[:, :, 0], mean * full, log_scale * full).log_prob(values)
    assert torch.isfinite(log_prob).all()
    assert (log_prob <= 0).all()
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_probabilities_of_all_colours_sum_to_one():
    levels = 4
    colours = torch.cartesian_prod(*[torch.arange(levels)] * 3)  # (64, 3)
    one = random_mixture(levels=levels, size=1)
    spread = [p.expand(*p.shape[:-2], len(colours), 1) for p in (one.logits, one.means, one.log_scales)]
    ties = torch.atanh(one.coefficients).expand(*one.coefficients.shape[:-2], len(colours), 1)
    log_prob = DiscretizedLogisticMixture(*spread, ties, levels).log_prob(colours.T[None, ..., None])
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (1, 256), (3, 8), (3, 256), (4, 16)])
def test_channels_add_up_to_the_joint(channels, levels):
    mixture = random_mixture(channels, levels=levels)
    images = torch.randint(levels, (1, channels, 2, 2), generator=torch.Generator().manual_seed(1))
    each = mixture.log_prob(images, per_channel=True)
    assert each.shape == (1, channels, 2, 2)
    assert (each <= 1e-12).all()
    torch.testing.assert_close(each.sum(dim=1), mixture.log_prob(images))


def test_samples_come_as_often_as_they_are_scored():
    levels, draws = 4, 20_000
    one = random_mixture(levels=levels, size=1, seed=3)
    many = [p.expand(*p.shape[:-2], draws, 1) for p in (one.logits, one.means, one.log_scales)]
    ties = torch.atanh(one.coefficients)
    mixture = DiscretizedLogisticMixture(*many, ties.expand(*ties.shape[:-2], draws, 1), levels)
    drawn = mixture.sample(torch.Generator().manual_seed(0))[0, :, :, 0].long()  # (3, draws)
    counts = torch.bincount(drawn[0] * 16 + drawn[1] * 4 + drawn[2], minlength=64).double()
    colours = torch.cartesian_prod(*[torch.arange(levels)] * 3)
    short = [p.expand(*p.shape[:-2], 64, 1) for p in (one.logits, one.means, one.log_scales)]
    scored = DiscretizedLogisticMixture(*short, ties.expand(*ties.shape[:-2], 64, 1), levels)
    expected = draws * scored.log_prob(colours.T[None, ..., None])[0, :, 0].exp()
    common = expected > 5
    chi_squared = ((counts - expected).square() / expected)[common].sum().item()
    freedom = int(common.sum()) - 1
    assert chi_squared < freedom + 5 * math.sqrt(2 * freedom)


def test_samples_lie_on_the_grid_and_come_again_from_the_same_generator():
    mixture = random_mixture(size=16)
    first, again = (mixture.sample(torch.Generator().manual_seed(5)) for _ in range(2))
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, mixture.sample(torch.Generator().manual_seed(6)))


def test_half_precision_parameters_are_scored_in_float32():
    mixture = DiscretizedLogisticMixture.from_params(torch.zeros(1, 20, 2, 2, dtype=torch.bfloat16))
    assert mixture.log_prob(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)).dtype == torch.float32


def test_bad_input_is_named():
    mixture = random_mixture(levels=8)
    with pytest.raises(ValueError, match=r"must have shape \(1, 3, 2, 2\), got \(1, 3, 4, 4\)"):
        mixture.log_prob(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="integers"):
        mixture.log_prob(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"0\.\.7, got values from 0 to 9"):
        mixture.log_prob(torch.tensor([0, 9, 0, 0]).view(1, 1, 2, 2).expand(1, 3, 2, 2))
    with pytest.raises(ValueError, match="multiple of 10 parameters"):
        DiscretizedLogisticMixture.from_params(torch.zeros(1, 21, 2, 2))
    with pytest.raises(ValueError, match="coefficients"):
        DiscretizedLogisticMixture(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 3, 4, 4), torch.zeros(1, 2, 3, 4, 4))


def test_one_component_is_the_textbooks_logistic_cut_into_bins():
    mean, scale, values = 0.2, 0.05, np.arange(256)
    x, half_bin = values * 2 / 255 - 1, 1 / 255
    upper, lower = (logistic.cdf(x + shift, mean, scale) for shift in (half_bin, -half_bin))
    upper[-1], lower[0] = 1, 0
    one = torch.ones(1, 1, 1, 16, 16, dtype=torch.float64)
    mixture = DiscretizedLogisticMixture(one[:, :, 0], mean * one, math.log(scale) * one)
    probability = mixture.log_prob(torch.from_numpy(values).view(1, 1, 16, 16)).exp().flatten()
    torch.testing.assert_close(probability, torch.from_numpy(upper - lower), rtol=1e-6, atol=1e-12)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    levels=st.sampled_from([2, 8, 16, 256]),
    share=st.floats(0, 1),
    mean=st.floats(-1e3, 1e3, width=32),
    log_scale=st.floats(-50, 50, width=32),
    logit=st.floats(-100, 100, width=32),
)
def test_extreme_parameters_give_finite_scores_and_gradients(levels, share, mean, log_scale, logit):
    value = torch.full((1, 1, 1, 1), round(share * (levels - 1)))
    means = torch.tensor([mean, 0.0]).view(1, 2, 1, 1, 1).requires_grad_()
    log_scales = torch.tensor([log_scale, -3.0]).view(1, 2, 1, 1, 1).requires_grad_()
    logits = torch.tensor([logit, 0.0]).view(1, 2, 1, 1).requires_grad_()
    log_prob = DiscretizedLogisticMixture(logits, means, log_scales, levels=levels).log_prob(value)
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert (log_prob <= 1e-6).all()
    assert all(torch.isfinite(p.grad).all() for p in (logits, means, log_scales))
