"""The numbers that the mixture playground shows: what a mixture gives to each level, by two formulas, and its curve."""

import math
from decimal import ROUND_HALF_UP, Decimal

import torch
import torch.nn.functional as F

from pixelcnn_edu.likelihoods import DequantizedLogisticMixture, DiscretizedLogisticMixture

__all__ = ["LEVELS", "bin_densities", "fixed", "grey_levels", "log2_probabilities", "log2_released", "sentence"]

LEVELS = 256
HALF_RANGE = (LEVELS - 1) / 2  # a step of x, which runs from -1 to 1, is 127.5 grey levels
SWITCH = 1e-5  # probability at which the released code changes its formula


def grey_levels(log_scale):
    """A scale in grey levels, from its logarithm in units of x."""
    return math.exp(log_scale) * HALF_RANGE


def log2_probabilities(components):
    """log2 of each level's probability, as the package computes it: float64 (256,).

    A component is its mean in grey levels, its log-scale in units of x, and its weight in parts.
    """
    levels = torch.arange(LEVELS).view(1, 1, 1, LEVELS)
    return _mixture(components, LEVELS, DiscretizedLogisticMixture).log_prob(levels).flatten() / math.log(2)


def log2_released(components):
    """The same by the formula of openai/pixel-cnn: float64 (256,).

    Where a difference of two sigmoids is at most 0.00001 it takes the density in the middle of the bin times its width.
    """
    means, log_scales, weights = torch.tensor(components, dtype=torch.double).T.unsqueeze(2)  # (K, 1) each
    levels = torch.arange(LEVELS)
    z = (levels - means) / HALF_RANGE / log_scales.exp()  # (K, 256)
    half = 0.5 / HALF_RANGE / log_scales.exp()
    difference = torch.sigmoid(z + half) - torch.sigmoid(z - half)
    height = F.logsigmoid(z) + F.logsigmoid(-z) - log_scales - math.log(HALF_RANGE)
    each = torch.where(difference > SWITCH, difference.clamp(min=1e-12).log(), height)
    each = torch.where(levels == 0, F.logsigmoid(z + half), each)
    each = torch.where(levels == LEVELS - 1, F.logsigmoid(half - z), each)
    return torch.logsumexp((weights / weights.sum()).log() + each, dim=0) / math.log(2)


def bin_densities(components, places):
    """The mixture's density at places in grey levels (P,), times the width of a bin: float64 (P,)."""
    x = (places / HALF_RANGE - 1).view(1, 1, 1, -1)
    return _mixture(components, x.numel(), DequantizedLogisticMixture).log_density(x).exp().flatten() / HALF_RANGE


def _mixture(components, count, kind):
    """The package's distribution for a row of `count` pixels, all with the same components."""
    means, log_scales, weights = torch.tensor(components, dtype=torch.double).T.reshape(3, 1, -1, 1, 1)
    grid = (1, len(components), 1, count)
    means, log_scales = (p.expand(grid).unsqueeze(2) for p in (means / HALF_RANGE - 1, log_scales))  # (1, K, 1, 1, count)
    return kind(weights.log().expand(grid), means, log_scales, None, LEVELS)


def sentence(components, level, log_view=False):
    """What the playground shows, in words."""
    exact = log2_probabilities(components)
    if not log_view:
        probabilities = exact.exp2()
        here, first, last = (_probability(probabilities[v].item()) for v in (level, 0, -1))
        return (
            f"The probability of level {level} is {here}; it costs {_cost(exact[level])} bits. "
            f"At the ends, level 0 with all below it gets {first}, level 255 with all above it {last}. "
            f"The 256 bars add up to {fixed(probabilities.sum().item(), 6)}."
        )
    released = log2_released(components)
    apart = (exact - released)[1:-1]  # the levels 1 to 254
    jumps = apart.diff().abs()
    largest = jumps.max().item()
    at = int((jumps > largest - 1e-9).int().argmax()) + 1  # of jumps that are equal up to rounding, the first
    here, there = _cost(exact[level]), _cost(released[level])
    words = (
        f"Level {level} costs {here} bits by the exact form and {there} by the released one. "
        f"Over all levels they differ by at most {fixed(max(0.0, apart.max().item()), 2)} bits"
    )
    jump = f"; from level {at} to level {at + 1} the difference jumps by {fixed(largest, 2)} bits"
    return f"{words}{jump if largest >= 0.005 else ''}."


def fixed(value, digits):
    """A number with so many decimals, as the script's `toFixed` gives it: a tie goes away from zero."""
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def _cost(log2):
    return fixed(max(0.0, -log2.item()), 2)


def _probability(value):
    return fixed(value, 4) if value >= 0.00005 else "less than 0.0001"
