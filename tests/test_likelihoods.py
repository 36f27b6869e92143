"""The likelihood is exact, sums to one, and samples what it scores."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import tiny
from scipy.stats import logistic
from torch.nn import functional as F

from pixelcnn_edu import Categorical, DequantizedLogisticMixture, DiscretizedLogisticMixture, build, likelihoods
from pixelcnn_edu.likelihoods import SubPixels
from pixelcnn_edu.logistic import log_bin

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
    ties = None
    if coefficients.numel():
        ties = coefficients.to(dtype).permute(2, 1, 0)[None, ..., None].clone().requires_grad_()  # (1, K, C(C-1)/2, n, 1)
    images = part["x"].long().T[None, ..., None]  # (1, C, n, 1)
    mixture = DiscretizedLogisticMixture(logits, means, log_scales, ties, levels=8 if name == "rgb3" else 256)
    return mixture, images, answer, [p for p in (logits, means, log_scales, ties) if p is not None]


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
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in parameters)


def test_gradients_are_the_slopes_of_the_log_probability():
    """Against finite differences; no log scale is at the clamp, where there is no slope to compare with."""
    mixture = random_mixture(size=1)
    images = torch.tensor([0, 130, 255]).view(1, 3, 1, 1)
    ties = torch.atanh(mixture.coefficients)
    parameters = [p.requires_grad_() for p in (mixture.logits, mixture.means, mixture.log_scales, ties)]
    assert torch.autograd.gradcheck(lambda *p: DiscretizedLogisticMixture(*p).log_prob(images), parameters)
    assert torch.autograd.gradcheck(lambda *p: DiscretizedLogisticMixture(*p).log_prob(images, True), parameters)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_scale", [-12.0, -7.0, -5.0])
@pytest.mark.parametrize(
    ("mean", "value"), [(-0.9, 200), (-0.9, 255), (0.9, 1), (0.9, 0), (-5.0, 128), (30.0, 254), (30.0, 0)]
)
def test_a_target_far_away_pulls_the_mean_by_one_over_the_scale(mean, value, log_scale, dtype):
    means = torch.full((1, 1, 1, 1, 1), mean, dtype=dtype, requires_grad=True)
    log_scales = torch.full_like(means, log_scale).detach().requires_grad_()
    mixture = DiscretizedLogisticMixture(torch.zeros(1, 1, 1, 1, dtype=dtype), means, log_scales)
    log_prob = mixture.log_prob(torch.full((1, 1, 1, 1), value))
    log_prob.sum().backward()
    assert -1e6 < log_prob.item() < -20
    assert torch.isfinite(log_scales.grad).all()
    # Far out the logistic falls as exp(-distance / scale).
    pull = math.copysign(math.exp(-max(log_scale, -7)), 2 * value / 255 - 1 - mean)
    assert means.grad.item() == pytest.approx(pull, rel=1e-3)


def slow_log_prob(logits, means, log_scales, coefficients, value, levels):
    """One pixel's log-probability, straight from the formula: numbers in nested lists, component first."""
    x = [2 * v / (levels - 1) - 1 for v in value]
    total, weights = 0.0, sum(math.exp(logit) for logit in logits)
    for k, logit in enumerate(logits):
        p, tie = math.exp(logit) / weights, iter(coefficients[k])
        for c, v in enumerate(value):
            mean, scale = means[k][c], math.exp(max(log_scales[k][c], -7))
            for d in range(c):
                mean += math.tanh(next(tie)) * x[d]
            upper = 1.0 if v == levels - 1 else 1 / (1 + math.exp(-(x[c] + 1 / (levels - 1) - mean) / scale))
            lower = 0.0 if v == 0 else 1 / (1 + math.exp(-(x[c] - 1 / (levels - 1) - mean) / scale))
            p *= upper - lower
        total += p
    return math.log(total)


@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (1, 256), (2, 5), (3, 8), (3, 256), (4, 3), (3, 1000)])
@pytest.mark.parametrize("mixtures", [1, 4])
def test_any_channels_and_levels_follow_the_formula(channels, levels, mixtures):
    mixture = random_mixture(channels, mixtures, levels, size=3, log_scale=-0.5)
    images = torch.randint(levels, (1, channels, 3, 3), generator=torch.Generator().manual_seed(2))
    images[:, :, 0, 0], images[:, :, 2, 2] = 0, levels - 1
    got = mixture.log_prob(images)
    for i, j in itertools.product(range(3), range(3)):
        ties = [[]] * mixtures if channels == 1 else torch.atanh(mixture.coefficients)[0, :, :, i, j].tolist()
        pixel = [p[0, ..., i, j].tolist() for p in (mixture.logits, mixture.means, mixture.log_scales)]
        slow = slow_log_prob(*pixel, ties, images[0, :, i, j].tolist(), levels)
        assert got[0, i, j].item() == pytest.approx(slow, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("channels", "each"), [(1, 3), (2, 6), (3, 10), (4, 15)])
def test_a_component_has_a_weight_and_for_each_channel_a_mean_a_scale_and_its_ties(channels, each):
    assert each == 1 + channels + channels + sum(range(channels))
    assert DiscretizedLogisticMixture.parameter_count(channels, 7) == 7 * each
    mixture = DiscretizedLogisticMixture.from_params(torch.zeros(2, 7 * each, 4, 5), channels)
    assert mixture.log_prob(torch.zeros(2, channels, 4, 5, dtype=torch.uint8)).shape == (2, 4, 5)
    assert mixture.sample().shape == (2, channels, 4, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_scale", [-3.0, 0.0, 3.0])  # narrower ones are in the test of a target far away
@pytest.mark.parametrize(("mean", "value"), [(-0.9, 255), (0.9, 0), (-0.9, 200), (0.9, 55), (-30.0, 128), (30.0, 128)])
def test_a_target_on_either_side_pulls_the_mean_towards_it(mean, value, log_scale, dtype):
    means = torch.full((1, 1, 1, 1, 1), mean, dtype=dtype, requires_grad=True)
    log_scales = torch.full_like(means, log_scale).detach().requires_grad_()
    mixture = DiscretizedLogisticMixture(torch.zeros(1, 1, 1, 1, dtype=dtype), means, log_scales)
    mixture.log_prob(torch.full((1, 1, 1, 1), value)).sum().backward()
    assert torch.isfinite(means.grad).all()
    assert torch.isfinite(log_scales.grad).all()
    assert means.grad.item() * (value * 2 / 255 - 1 - mean) > 0
    if log_scale < 0:  # too narrow for a target so far away, and free to widen
        assert log_scales.grad.item() > 0


@pytest.mark.parametrize("log_scale", [-20.0, -9.0, -8.0, -7.0, -6.0, -4.0, -2.0, 0.0, 3.0, 10.0, 20.0, 50.0])
@pytest.mark.parametrize("mean", [-30.0, -3.0, -1.0, 0.1234, 1.0, 2.0, 30.0])
def test_probabilities_of_all_256_values_sum_to_one(log_scale, mean):
    values = torch.arange(256).view(1, 1, 16, 16)
    full = torch.ones(1, 1, 1, 16, 16, dtype=torch.float64)
    log_prob = DiscretizedLogisticMixture(full[:, :, 0], mean * full, log_scale * full).log_prob(values)
    assert torch.isfinite(log_prob).all()
    assert (log_prob <= 0).all()
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("log_scale", [20.0, 60.0, 120.0])
def test_a_bin_too_narrow_for_float32_has_the_density_times_its_width(log_scale):
    """The scale is so wide that every inner value lies at the logistic's peak, where its density is 1 / (4 scale)."""
    means = torch.zeros(1, 1, 1, 1, 1, requires_grad=True)
    log_scales = torch.full((1, 1, 1, 1, 1), log_scale, requires_grad=True)
    log_prob = DiscretizedLogisticMixture(torch.zeros(1, 1, 1, 1), means, log_scales).log_prob(torch.full((1, 1, 1, 1), 9))
    assert log_prob.item() == pytest.approx(math.log(2 / 255 / 4) - log_scale, rel=1e-6)
    log_prob.sum().backward()
    assert torch.isfinite(means.grad).all()
    assert log_scales.grad.item() == pytest.approx(-1)


def test_probabilities_of_all_colours_sum_to_one():
    levels = 4
    colours = torch.cartesian_prod(*[torch.arange(levels)] * 3)  # (64, 3)
    one = random_mixture(levels=levels, size=1)
    spread = [p.expand(*p.shape[:-2], len(colours), 1) for p in (one.logits, one.means, one.log_scales)]
    ties = torch.atanh(one.coefficients).expand(*one.coefficients.shape[:-2], len(colours), 1)
    log_prob = DiscretizedLogisticMixture(*spread, ties, levels).log_prob(colours.T[None, ..., None])
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_each_channel_given_those_before_it_sums_to_one_and_is_the_ratio_of_sums():
    """p(r), p(g | r) and p(b | r, g) against the table of all 64 joint probabilities."""
    levels = 4
    one = random_mixture(levels=levels, size=1, seed=2)
    colours = torch.cartesian_prod(*[torch.arange(levels)] * 3)  # (64, 3), blue fastest
    spread = [p.expand(*p.shape[:-2], 64, 1) for p in (one.logits, one.means, one.log_scales)]
    ties = torch.atanh(one.coefficients).expand(*one.coefficients.shape[:-2], 64, 1)
    mixture = DiscretizedLogisticMixture(*spread, ties, levels)
    images = colours.T[None, ..., None]
    table = mixture.log_prob(images)[0, :, 0].exp().view(4, 4, 4)
    each = mixture.log_prob(images, per_channel=True)[0, :, :, 0].exp().view(3, 4, 4, 4)
    red, red_green = table.sum(dim=(1, 2)), table.sum(dim=2)
    torch.testing.assert_close(each[0], red.view(4, 1, 1).expand(4, 4, 4))
    torch.testing.assert_close(each[1], (red_green / red[:, None])[..., None].expand(4, 4, 4))
    torch.testing.assert_close(each[2], table / red_green[..., None])
    torch.testing.assert_close(each[2].sum(dim=2), torch.ones(4, 4, dtype=torch.float64))
    assert (red_green / red[:, None]).std(dim=0).max() > 0.05  # green does depend on red


@pytest.mark.parametrize("log_scale", [-1e4, -50.0, 50.0, 1e4])
@pytest.mark.parametrize("mean", [-1e30, -1e4, 0.0, 1e4, 1e30])
def test_parameters_beyond_all_reason_give_finite_scores_and_gradients(log_scale, mean):
    params = torch.zeros(1, 10, 1, 1)
    params[:, 1:4], params[:, 4:7] = mean, log_scale
    params.requires_grad_()
    log_prob = DiscretizedLogisticMixture.from_params(params).log_prob(torch.tensor([0, 100, 255]).view(1, 3, 1, 1))
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert (log_prob <= 0).all()
    assert torch.isfinite(params.grad).all()


def test_log_scales_below_minus_seven_count_as_minus_seven():
    images = torch.randint(256, (1, 3, 2, 2), generator=torch.Generator().manual_seed(0))
    params, scored = torch.randn(1, 10, 2, 2, generator=torch.Generator().manual_seed(1)), []
    for log_scale in (-7.0, -8.0, -100.0):
        params[:, 4:7] = log_scale
        scored.append(DiscretizedLogisticMixture.from_params(params).log_prob(images))
    assert torch.equal(scored[0], scored[1])
    assert torch.equal(scored[0], scored[2])


@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (1, 256), (3, 8), (3, 256), (4, 16)])
def test_channels_add_up_to_the_joint(channels, levels):
    mixture = random_mixture(channels, levels=levels)
    images = torch.randint(levels, (1, channels, 2, 2), generator=torch.Generator().manual_seed(1))
    each = mixture.log_prob(images, per_channel=True)
    assert each.shape == (1, channels, 2, 2)
    assert (each <= 1e-12).all()
    torch.testing.assert_close(each.sum(dim=1), mixture.log_prob(images))


def certain(mixtures, dtype=torch.float32):
    """Distributions that put all their probability on 0 or on 255 in each channel, and the images that they are sure of."""
    generator = torch.Generator().manual_seed(0)
    images = 255 * torch.randint(2, (1, 3, 64, 64), generator=generator)
    means = torch.where(images == 0, -30, 30).to(dtype).unsqueeze(1).repeat(1, mixtures, 1, 1, 1)  # far behind the edges
    logits = 3 * torch.randn(1, mixtures, 64, 64, dtype=dtype, generator=generator)
    no_ties = torch.zeros(1, mixtures, 3, 64, 64, dtype=dtype)
    return DiscretizedLogisticMixture(logits, means, torch.full_like(means, -7), no_ties), images


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_component_that_is_certain_scores_no_more_than_0(dtype):
    mixture, images = certain(1, dtype)
    assert (mixture.log_prob(images) <= 0).all()
    assert (mixture.log_prob(images) > -1e-6).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_components_that_are_certain_score_no_more_than_0(dtype):
    mixture, images = certain(5, dtype)
    assert (mixture.log_prob(images) <= 0).all()


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


@pytest.mark.parametrize("mean", [-1.4, -0.2, 1.1])
def test_grey_samples_come_as_often_as_they_are_scored_at_the_edges_too(mean):
    side = 200
    full = torch.full((1, 1, 1, side, side), mean, dtype=torch.float64)
    mixture = DiscretizedLogisticMixture(0 * full[:, :, 0], full, full * 0 - 2)
    drawn = mixture.sample(torch.Generator().manual_seed(1)).long()
    counts = torch.bincount(drawn.flatten(), minlength=256).double()
    row = DiscretizedLogisticMixture(*(p[..., :16, :16] for p in (mixture.logits, mixture.means, mixture.log_scales)))
    expected = side**2 * row.log_prob(torch.arange(256).view(1, 1, 16, 16)).flatten().exp()
    common = expected > 5
    chi_squared = ((counts - expected).square() / expected)[common].sum().item()
    freedom = int(common.sum()) - 1
    assert chi_squared < freedom + 5 * math.sqrt(2 * freedom)
    if mean < -1:
        assert counts[0] > side**2 / 2  # all that lies below 0.5 is black


def test_drawing_from_a_generator_leaves_the_global_state_alone_and_without_one_uses_it():
    mixture = random_mixture(size=8)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    mixture.sample(torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)
    first = mixture.sample()
    torch.manual_seed(3)
    assert torch.equal(mixture.sample(), first)


def test_samples_lie_on_the_grid_and_come_again_from_the_same_generator():
    mixture = random_mixture(size=16)
    first, again = (mixture.sample(torch.Generator().manual_seed(5)) for _ in range(2))
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, mixture.sample(torch.Generator().manual_seed(6)))


@pytest.mark.parametrize(("levels", "dtype"), [(2, torch.uint8), (8, torch.uint8), (256, torch.uint8), (300, torch.int64)])
def test_samples_stay_on_the_grid_where_the_means_do_not(levels, dtype):
    mixture = random_mixture(levels=levels, size=32)
    mixture.means = 10 * mixture.means
    drawn = mixture.sample(torch.Generator().manual_seed(0))
    assert drawn.dtype == dtype
    assert drawn.shape == (1, 3, 32, 32)
    assert drawn.min() == 0
    assert drawn.max() == levels - 1
    assert torch.isfinite(mixture.log_prob(drawn)).all()


def test_green_follows_red_and_blue_follows_red_and_not_green():
    """One narrow component; tanh(+-20) is +-1, so that green = red, and blue = -red whatever green is."""
    pixels = (1, 1, 3, 64, 64)
    log_scales = torch.tensor([-1.0, -7.0, -7.0]).view(1, 1, 3, 1, 1).expand(pixels)
    ties = torch.tensor([20.0, -20.0, 0.0]).view(1, 1, 3, 1, 1).expand(pixels)
    mixture = DiscretizedLogisticMixture(torch.zeros(1, 1, 64, 64), torch.zeros(pixels), log_scales, ties)
    red, green, blue = mixture.sample(torch.Generator().manual_seed(0))[0].long()
    assert red.double().std() > 40
    assert (green - red).abs().max() <= 2
    assert (blue - (255 - red)).abs().max() <= 2


def test_parameters_are_read_in_the_order_logits_means_log_scales_coefficients():
    params = torch.arange(20.0).view(1, 20, 1, 1) / 10
    mixture = DiscretizedLogisticMixture.from_params(params)
    assert mixture.logits.flatten().tolist() == params.flatten()[:2].tolist()
    assert torch.equal(mixture.means.flatten(), params.flatten()[2:8])  # red, green, blue of the first component, then …
    assert torch.equal(mixture.log_scales.flatten(), params.flatten()[8:14])
    assert torch.equal(mixture.coefficients.flatten(), params.flatten()[14:].tanh())
    assert [DiscretizedLogisticMixture.parameter_count(c, 10) for c in (1, 2, 3)] == [30, 60, 100]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parameters_are_scored_in_float32(dtype):
    params = torch.randn(1, 20, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    images = torch.randint(256, (1, 3, 4, 4), generator=torch.Generator().manual_seed(1))
    scored = DiscretizedLogisticMixture.from_params(params).log_prob(images)
    assert scored.dtype == torch.float32
    assert torch.equal(scored, DiscretizedLogisticMixture.from_params(params.float()).log_prob(images))


def test_double_precision_parameters_stay_in_double():
    params = torch.zeros(1, 20, 2, 2, dtype=torch.float64)
    images = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    assert DiscretizedLogisticMixture.from_params(params).log_prob(images).dtype == torch.float64


def test_bad_input_is_named():
    mixture = random_mixture(levels=8)
    with pytest.raises(ValueError, match=r"must have shape \(1, 3, 2, 2\), got \(1, 3, 4, 4\)"):
        mixture.log_prob(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="integers"):
        mixture.log_prob(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"0\.\.7, got values from 0 to 9"):
        mixture.log_prob(torch.tensor([0, 9, 0, 0]).view(1, 1, 2, 2).expand(1, 3, 2, 2))
    for kind in (torch.bool, torch.float16):
        with pytest.raises(ValueError, match=f"integers.* got {kind}"):
            mixture.log_prob(torch.zeros(1, 3, 2, 2, dtype=kind))
    with pytest.raises(ValueError, match="got values from -1 to -1"):
        mixture.log_prob(torch.full((1, 3, 2, 2), -1))
    with pytest.raises(ValueError, match=r"0\.\.255, got values from 256 to 256"):
        random_mixture().log_prob(torch.full((1, 3, 2, 2), 256))
    for count, channels in [(21, 3), (0, 3), (10, 1)]:
        with pytest.raises(ValueError, match=rf"multiple of {(3, 10)[channels == 3]} parameters.* got {count}"):
            DiscretizedLogisticMixture.from_params(torch.zeros(1, count, 2, 2), channels)
    with pytest.raises(ValueError, match="levels must be at least 2, got 1"):
        random_mixture(levels=1)
    with pytest.raises(ValueError, match="logits"):
        DiscretizedLogisticMixture(torch.zeros(1, 3, 4, 4), *torch.zeros(2, 1, 2, 1, 4, 4))
    with pytest.raises(ValueError, match="log_scales"):
        DiscretizedLogisticMixture(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 1, 4, 4), torch.zeros(1, 2, 3, 4, 4))
    with pytest.raises(ValueError, match="coefficients"):
        DiscretizedLogisticMixture(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 3, 4, 4), torch.zeros(1, 2, 3, 4, 4))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"coefficients": None}, r"coefficients must have shape \(1, 2, 3, 4, 4\) .* got None"),
        ({"coefficients": torch.zeros(1, 2, 2, 4, 4)}, r"coefficients must have shape"),
        ({"logits": torch.zeros(1, 3, 4, 4)}, r"logits must have shape \(1, 2, 4, 4\) .* got \(1, 3, 4, 4\)"),
        ({"log_scales": torch.zeros(1, 2, 3, 4, 5)}, r"log_scales must have shape"),
        (
            {"means": torch.zeros(1, 2, 1, 4, 4), "log_scales": torch.zeros(1, 2, 1, 4, 4)},
            r"coefficients .* None to go with",
        ),
    ],
)
def test_parameters_that_do_not_fit_together_are_named(changes, named):
    fitting = {
        "logits": torch.zeros(1, 2, 4, 4),
        "means": torch.zeros(1, 2, 3, 4, 4),
        "log_scales": torch.zeros(1, 2, 3, 4, 4),
        "coefficients": torch.zeros(1, 2, 3, 4, 4),
    }
    DiscretizedLogisticMixture(**fitting)
    with pytest.raises(ValueError, match=named):
        DiscretizedLogisticMixture(**{**fitting, **changes})


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_no_images_have_no_scores(dtype):
    mixture = DiscretizedLogisticMixture.from_params(torch.zeros(0, 10, 2, 2))
    assert mixture.log_prob(torch.zeros(0, 3, 2, 2, dtype=dtype)).shape == (0, 2, 2)


def test_one_component_is_the_textbooks_logistic_cut_into_bins():
    mean, scale, values = 0.2, 0.05, np.arange(256)
    x, half_bin = values * 2 / 255 - 1, 1 / 255
    upper, lower = (logistic.cdf(x + shift, mean, scale) for shift in (half_bin, -half_bin))
    upper[-1], lower[0] = 1, 0
    one = torch.ones(1, 1, 1, 16, 16, dtype=torch.float64)
    mixture = DiscretizedLogisticMixture(one[:, :, 0], mean * one, math.log(scale) * one)
    probability = mixture.log_prob(torch.from_numpy(values).view(1, 1, 16, 16)).exp().flatten()
    torch.testing.assert_close(probability, torch.from_numpy(upper - lower), rtol=1e-6, atol=1e-12)


# --- extreme parameters, drawn -------------------------------------------------------------------------------------------

ANY = st.one_of(st.floats(-3, 3, width=32), st.floats(-1e4, 1e4, width=32), st.sampled_from([-1e30, -7.0, 0.0, 1.0, 1e30]))


@st.composite
def parameters(draw):
    """A likelihood's parameters and images for it: any shape, levels, scales and values, the extremes often."""
    batch, channels, height, width = (draw(st.integers(1, most)) for most in (2, 4, 3, 3))
    levels, mixtures = draw(st.sampled_from([2, 3, 8, 16, 256, 1000])), draw(st.integers(1, 3))
    count = DiscretizedLogisticMixture.parameter_count(channels, mixtures)
    chosen = draw(st.lists(ANY, min_size=1, max_size=12))
    seed = draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(len(chosen), (batch, count, height, width), generator=generator)
    images = torch.randint(levels, (batch, channels, height, width), generator=generator)
    images[torch.rand(images.shape, generator=generator) < 0.2] = draw(st.sampled_from([0, levels - 1]))
    return torch.tensor(chosen)[places], images, levels


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, derandomize=True)
@given(drawn=parameters())
def test_whatever_the_parameters_scores_and_gradients_are_finite_and_never_above_zero(drawn):
    params, images, levels = drawn
    params.requires_grad_()
    mixture = DiscretizedLogisticMixture.from_params(params, images.shape[1], levels)
    log_prob = mixture.log_prob(images)
    log_prob.sum().backward()
    assert log_prob.shape == (images.shape[0], *images.shape[2:])
    assert torch.isfinite(log_prob).all()
    assert (log_prob <= 0).all()
    assert torch.isfinite(params.grad).all()
    each = mixture.log_prob(images, per_channel=True)
    assert torch.isfinite(each).all()
    assert (each <= 0).all()


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
    assert (log_prob <= 0).all()
    assert all(torch.isfinite(p.grad).all() for p in (logits, means, log_scales))


# --- the bin ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_the_slopes_worked_out_by_hand_are_those_autograd_finds(edge):
    generator = torch.Generator().manual_seed(0)
    centred = 2 * torch.randn(200, dtype=torch.float64, generator=generator).requires_grad_()
    log_scales = (2 * torch.randn(200, dtype=torch.float64, generator=generator) - 2).requires_grad_()
    half = 1 / 255
    upper, lower = (centred + half) * torch.exp(-log_scales), (centred - half) * torch.exp(-log_scales)
    width = torch.log(-torch.expm1(lower - upper))
    by_autograd = {-1: F.logsigmoid(-lower), 0: F.logsigmoid(upper) + F.logsigmoid(-lower) + width, 1: F.logsigmoid(upper)}
    expected = torch.autograd.grad(by_autograd[edge].sum(), (centred, log_scales))
    value = log_bin(centred, log_scales, half, torch.full_like(centred, edge))
    torch.testing.assert_close(value, by_autograd[edge].detach())
    torch.testing.assert_close(torch.autograd.grad(value.sum(), (centred, log_scales)), expected)


def test_the_slope_is_right_where_a_scale_is_wider_than_a_float_is_long():
    log_scales = torch.tensor([80.0, 84.5, 90.0, 97.0, 105.0], requires_grad=True)
    value = log_bin(torch.zeros(5), log_scales, 1 / 255, torch.zeros(5))
    (slope,) = torch.autograd.grad(value.sum(), log_scales)
    torch.testing.assert_close(slope, torch.full((5,), -1.0))  # the width of the bin, in scales


def test_the_rarest_draws_lie_equally_far_on_both_sides(monkeypatch):
    """A float32 between 0 and 1 has digits to spare near 0 and none near 1; the logistic's two tails must not differ."""
    far = []
    for extreme in (0.0, 1.0):
        monkeypatch.setattr(torch, "rand", lambda shape, value=extreme, **_: torch.full(shape, value))
        uniform = likelihoods._uniform(torch.zeros(1), None)
        far.append(torch.log(uniform) - torch.log1p(-uniform))
    torch.testing.assert_close(far[0], -far[1])
    assert 16 < far[1] < 17


# --- what to expect -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 5])
def test_the_mean_is_the_sum_of_values_times_probabilities(levels):
    """Of each channel given those before it, over all colours."""
    for likelihood in (random_mixture(levels=levels, size=1), random_softmax(levels=levels)):
        colours = torch.cartesian_prod(*[torch.arange(levels)] * 3).T.reshape(3, *[levels] * 3)  # (3, L, L, L)
        images = colours.reshape(1, 3, -1, 1)
        spread = widen(likelihood, images.shape[2])
        each = spread.log_prob(images, per_channel=True).exp().reshape(3, *[levels] * 3)
        values = torch.arange(levels, dtype=torch.float64)
        expected = [
            torch.einsum("abc,a->", each[0] / levels**2, values).expand(levels, levels, levels),
            torch.einsum("abc,b->a", each[1] / levels, values)[:, None, None].expand(levels, levels, levels),
            torch.einsum("abc,c->ab", each[2], values)[:, :, None].expand(levels, levels, levels),
        ]
        torch.testing.assert_close(spread.mean(images).reshape(3, *[levels] * 3), torch.stack(expected))


def test_the_mean_of_a_narrow_component_is_its_mean_and_none_leaves_the_range():
    for mean, level in [(0.2, 153.0), (-3.0, 0.0), (3.0, 255.0)]:
        one = torch.ones(1, 1, 1, 2, 2, dtype=torch.float64)
        mixture = DiscretizedLogisticMixture(one[:, :, 0], mean * one, -7 * one)
        got = mixture.mean(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
        torch.testing.assert_close(got, torch.full_like(got, level), rtol=0, atol=1e-3)


# --- the softmax --------------------------------------------------------------------------------------------------------


def random_softmax(channels=3, levels=4, size=1, seed=0, whole_pixels=True):
    generator = torch.Generator().manual_seed(seed)
    pairs = channels * (channels - 1) // 2

    def draw(count):
        return torch.randn(1, levels, count, size, size, dtype=torch.float64, generator=generator)

    return Categorical(draw(channels), draw(pairs) if pairs and whole_pixels else None)


def widen(likelihood, count):
    """The distribution of one pixel, at so many: (1, ·, count, 1)."""

    def spread(p):
        return None if p is None else p.expand(*p.shape[:-2], count, 1)

    if isinstance(likelihood, Categorical):
        return Categorical(spread(likelihood.logits), spread(likelihood.coefficients))
    ties = None if likelihood.coefficients is None else torch.atanh(likelihood.coefficients)
    parts = (likelihood.logits, likelihood.means, likelihood.log_scales, ties)
    return type(likelihood)(*map(spread, parts), levels=likelihood.levels)


@pytest.mark.parametrize("whole_pixels", [True, False])
@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (1, 256), (3, 2), (3, 8), (2, 16)])
def test_the_softmax_of_all_colours_sums_to_one_and_follows_the_formula(channels, levels, whole_pixels):
    one = random_softmax(channels, levels, whole_pixels=whole_pixels)
    colours = torch.cartesian_prod(*[torch.arange(levels)] * channels).reshape(-1, channels)
    log_prob = widen(one, len(colours)).log_prob(colours.T[None, ..., None])
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-9)
    value = colours[-2 if channels > 1 else -1].tolist()
    slow, pairs = 0.0, iter(range(3))
    for c, v in enumerate(value):
        logits = one.logits[0, :, c, 0, 0].clone()
        for d in range(c):
            if whole_pixels:
                logits += one.coefficients[0, :, next(pairs), 0, 0] * (2 * value[d] / (levels - 1) - 1)
        slow += logits[v].item() - math.log(sum(math.exp(z) for z in logits.tolist()))
    assert log_prob[0, -2 if channels > 1 else -1, 0].item() == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize("whole_pixels", [True, False])
@pytest.mark.parametrize(("channels", "levels"), [(1, 256), (3, 4)])
def test_the_softmax_draws_what_it_scores(channels, levels, whole_pixels):
    one = random_softmax(channels, levels, whole_pixels=whole_pixels, seed=3)
    drawn = widen(one, 40_000).sample(torch.Generator().manual_seed(1))[0, :, :, 0].long()  # (C, 40000)
    place = (drawn * levels ** torch.arange(channels - 1, -1, -1)[:, None]).sum(dim=0)
    counts = torch.bincount(place, minlength=levels**channels).double()
    colours = torch.cartesian_prod(*[torch.arange(levels)] * channels).reshape(-1, channels)
    expected = 40_000 * widen(one, len(colours)).log_prob(colours.T[None, ..., None]).flatten().exp()
    chi_squared = ((counts - expected).square() / expected)[expected > 5].sum().item()
    freedom = int((expected > 5).sum()) - 1
    assert chi_squared < freedom + 5 * math.sqrt(2 * freedom)


def test_the_softmaxs_parameters_are_read_as_logits_and_then_coefficients():
    params = torch.arange(6.0 * 4).view(1, 24, 1, 1)
    softmax = Categorical.from_params(params, channels=3, levels=4)
    assert torch.equal(softmax.logits.flatten(), params.flatten()[:12])  # red, green, blue of level 0, then of level 1, ...
    assert torch.equal(softmax.coefficients.flatten(), params.flatten()[12:])
    assert Categorical.parameter_count(3, 256) == 1536
    with pytest.raises(ValueError, match="need 24 parameters a pixel, got 23"):
        Categorical.from_params(params[:, :23], channels=3, levels=4)
    with pytest.raises(ValueError, match="coefficients must have shape"):
        Categorical(softmax.logits, softmax.coefficients[:, :, :2])
    with pytest.raises(ValueError, match="levels must be at least 2"):
        Categorical(softmax.logits[:, :1])
    for wrong, words in [(torch.full((1, 3, 1, 1), 4), "got values from 4 to 4"), (torch.zeros(1, 3, 1, 1), "integers")]:
        with pytest.raises(ValueError, match=words):
            softmax.log_prob(wrong)
    for dtype in (torch.float16, torch.bfloat16):
        black = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
        assert Categorical.from_params(params.to(dtype), 3, 4).log_prob(black).dtype == torch.float32


# --- sub-pixels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", [DiscretizedLogisticMixture, Categorical])
def test_sub_pixels_are_one_channel_distributions_side_by_side(likelihood):
    count = 3 * (6 if likelihood is DiscretizedLogisticMixture else 8)
    params = torch.randn(2, count, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = torch.randint(8, (2, 3, 4, 5), generator=torch.Generator().manual_seed(1))
    together = SubPixels.from_params(likelihood, params, 3, 8)
    each = together.log_prob(images, per_channel=True)
    for c in range(3):
        alone = likelihood.from_params(params[:, c::3], 1, 8)
        torch.testing.assert_close(each[:, c], alone.log_prob(images[:, c : c + 1]))
        torch.testing.assert_close(together.mean(images)[:, c : c + 1], alone.mean(images[:, c : c + 1]))
    torch.testing.assert_close(together.log_prob(images), each.sum(dim=1))
    assert together.sample().shape == (2, 3, 4, 5)
    with pytest.raises(ValueError, match="23 parameters a pixel do not split into 3"):
        SubPixels.from_params(likelihood, torch.zeros(2, 23, 4, 5), 3, 8)
    with pytest.raises(ValueError, match=r"shape \(N, 3, H, W\), got \(2, 2, 4, 5\)"):
        together.log_prob(images[:, :2])


# --- the dequantized mixture ---------------------------------------------------------------------------------------------


def dequantized(mixture):
    ties = None if mixture.coefficients is None else torch.atanh(mixture.coefficients)
    return DequantizedLogisticMixture(mixture.logits, mixture.means, mixture.log_scales, ties, mixture.levels)


def test_the_density_integrates_to_one():
    """One channel over the real line; two channels over the plane, where the mean of one follows the other's level."""
    one = widen(dequantized(random_mixture(channels=1, levels=8, size=1, log_scale=-1)), 40_001)
    x = torch.linspace(-60, 60, 40_001, dtype=torch.float64)
    assert torch.trapezoid(one.log_density(x.view(1, 1, -1, 1)).exp().flatten(), x).item() == pytest.approx(1, abs=1e-6)
    x = torch.linspace(-25, 25, 1_501, dtype=torch.float64)
    plane = torch.cartesian_prod(x, x).T[None, ..., None]  # (1, 2, 1501 * 1501, 1)
    two = widen(dequantized(random_mixture(channels=2, mixtures=2, levels=8, size=1, log_scale=-1)), plane.shape[2])
    density = two.log_density(plane).exp().reshape(1_501, 1_501)
    assert torch.trapezoid(torch.trapezoid(density, x), x).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (1, 8), (1, 256), (3, 4), (3, 256)])
def test_the_bound_is_below_the_likelihood_and_its_probabilities_average_to_that_of_the_inner_bins(channels, levels):
    mixture = random_mixture(channels, levels=levels, size=1, log_scale=-1)
    images = torch.full((1, channels, 1, 1), min(levels - 2, 3)) if levels > 2 else torch.zeros(1, channels, 1, 1).long()
    count = 20_000
    draws = widen(dequantized(mixture), count).log_prob(images.expand(1, channels, count, 1), generator=seeded_generator(1))
    exact = mixture.log_prob(images).item()
    assert draws.mean().item() < exact + (0 if levels < 256 else 4 * draws.std().item() / math.sqrt(count))
    if levels > 2:  # an edge bin is open, and the density knows only its inner part
        error = draws.exp().std().item() / math.sqrt(count)
        assert draws.exp().mean().item() == pytest.approx(math.exp(exact), abs=5 * error + 1e-12)


def seeded_generator(seed):
    return torch.Generator().manual_seed(seed)


def test_the_bound_is_drawn_from_the_generator_and_channels_add_up():
    mixture = dequantized(random_mixture(levels=8, size=3))
    images = torch.randint(8, (1, 3, 3, 3), generator=seeded_generator(2))
    first, again, other = (mixture.log_prob(images, generator=seeded_generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    each = mixture.log_prob(images, per_channel=True, generator=seeded_generator(1))
    torch.testing.assert_close(each.sum(dim=1), first)
    assert torch.equal(mixture.sample(seeded_generator(5)), random_mixture(levels=8, size=3).sample(seeded_generator(5)))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("likelihood", ["mixture", "softmax"])
def test_a_temperature_that_is_none_is_refused(likelihood, temperature):
    distribution = build(tiny(likelihood=likelihood)).distribution(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=f"temperature must be above 0 and finite, got {temperature}"):
        distribution.tempered(temperature)


@pytest.mark.parametrize("coefficients", [False, True])
def test_a_softmax_at_a_temperature_is_that_of_the_divided_scores(coefficients):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 8, 3, 4, 4, dtype=torch.float64, generator=generator)
    images = torch.randint(8, (2, 3, 4, 4), generator=generator)
    size = Categorical.parameter_count(3, 8)
    params = torch.randn(2, size, 4, 4, dtype=torch.float64, generator=generator)
    whole = Categorical.from_params(params, channels=3, levels=8) if coefficients else Categorical(logits)
    scores = whole._conditional_logits(images) if coefficients else logits  # (N, levels, C, H, W)
    expected = (scores / 0.7).log_softmax(dim=1).gather(1, images.unsqueeze(1)).squeeze(1)  # (N, C, H, W)
    torch.testing.assert_close(whole.tempered(0.7).log_prob(images, per_channel=True), expected)


def test_sub_pixels_at_a_temperature_are_their_channels_at_it():
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(6, 3 * 2, 4, 4, dtype=torch.float64, generator=generator)  # of one channel each
    images = torch.randint(256, (2, 3, 4, 4), generator=generator)
    each = DiscretizedLogisticMixture.from_params(params, channels=1)
    apart = each.tempered(2.0).log_prob(images.flatten(0, 1).unsqueeze(1)).view(2, 3, 4, 4)
    tempered = SubPixels(each, 3).tempered(2.0).log_prob(images, per_channel=True)
    torch.testing.assert_close(tempered, apart)
    assert not torch.allclose(tempered, SubPixels(each, 3).log_prob(images, per_channel=True))
