"""Answers that readers are likely to give in chapter 4, each with words of the diagnosis it must get."""

import math

import numpy as np
import torch
from torch.nn import functional as F


def cdf(z):
    return torch.sigmoid(torch.tensor(z, dtype=torch.double)).item()


def level_probability(value, mean, scale, half=0.5, lowest=0, highest=255):
    upper = 1 if value == highest else cdf((value + half - mean) / scale)
    lower = 0 if value == lowest else cdf((value - half - mean) / scale)
    return upper - lower


def height(value, mean, scale):
    return cdf((value - mean) / scale) * cdf((mean - value) / scale) / scale


def edges(low, high, mean, log_scale, half=1 / 255, ends=True):
    x_low, x_high = 2 * low / 255 - 1, 2 * high / 255 - 1
    lower, upper = (x_low - half - mean) / log_scale.exp(), (x_high + half - mean) / log_scale.exp()
    infinity = torch.tensor(math.inf)
    return -infinity if ends and low == 0 else lower, infinity if ends and high == 255 else upper


def exact(*case, **settings):
    lower, upper = edges(*case, **settings)
    return F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))


def naive(*case, floor=0.0):
    lower, upper = edges(*case)
    return torch.log((torch.sigmoid(upper) - torch.sigmoid(lower)).clamp(min=floor))


def one_bin_wide(low, high, mean, log_scale):
    lower, upper = edges(low, high, mean, log_scale)
    return F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-2 / 255 / log_scale.exp()))


def fit(values, ends=True):
    """Mean and log-scale of the likeliest logistic, by Newton's method."""
    x = 2 * values.double() / 255 - 1
    mean = torch.zeros(1, dtype=torch.double, requires_grad=True)
    log_scale = torch.full_like(mean, -1.0).requires_grad_()
    optimiser = torch.optim.LBFGS([mean, log_scale], max_iter=60, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        upper, lower = ((x + half - mean) / log_scale.exp() for half in (1 / 255, -1 / 255))
        if ends:
            upper = upper.masked_fill(values == 255, math.inf)
            lower = lower.masked_fill(values == 0, -math.inf)
        nats = -(F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))).mean()
        nats.backward()
        return nats

    optimiser.step(loss)
    return mean, log_scale


def fit_moments(values):
    x = 2 * values.double() / 255 - 1
    return x.mean(), torch.log(x.std() * math.sqrt(3) / math.pi)


def fit_numbers(values):
    return tuple(p.item() for p in fit(values))


def by_tanh(value, mean, scale):
    upper = 1 if value == 255 else math.tanh((value + 0.5 - mean) / scale / 2)
    lower = -1 if value == 0 else math.tanh((value - 0.5 - mean) / scale / 2)
    return (upper - lower) / 2


def gaussian(value, mean, scale):
    upper, lower = (math.erf((value + half - mean) / scale / math.sqrt(2)) for half in (0.5, -0.5))
    return ((1 if value == 255 else upper) - (-1 if value == 0 else lower)) / 2


def by_logsumexp(low, high, mean, log_scale):
    return torch.stack([exact(v, v, mean, log_scale) for v in range(low, high + 1)]).logsumexp(0)


def quartiles(values):
    x = 2 * values.double() / 255 - 1
    q1, q2, q3 = x.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=x.dtype))
    return q2, torch.log((q3 - q1) / (2 * math.log(3)))


def nan_at_the_ends(low, high, mean, log_scale):
    lower, upper = edges(low, high, mean, log_scale)
    return -F.softplus(-upper) - F.softplus(lower) + torch.log(torch.expm1(upper - lower)) - (upper - lower)


ANSWERS = [
    ("4.1", level_probability, "right"),
    ("4.1", lambda v, m, s: torch.tensor(level_probability(v, m, s)), "right"),
    ("4.1", lambda v, m, s: level_probability(v, m, s, lowest=None, highest=None), "end bins are closed"),
    ("4.1", lambda v, m, s: level_probability(v, m, s, half=1 / 255), "grey levels too"),
    ("4.1", lambda v, m, s: level_probability(v, m, s, half=1), "two levels wide"),
    ("4.1", lambda v, m, s: level_probability(v, m, s, lowest=255, highest=0), "wrong way round"),
    ("4.1", lambda v, m, s: math.log(level_probability(v, m, s)), "logarithms"),
    ("4.1", lambda v, m, s: level_probability(v + 0.5, m, s), "begins at the level"),
    ("4.1", height, "density"),
    ("4.1", lambda v, m, s: 0.3, "does not have the probability 0.3"),
    ("4.1", lambda v, m, s: np.float32(level_probability(v, m, s)), "right"),
    ("4.1", by_tanh, "right"),
    ("4.1", lambda v, m, s: level_probability(v, m, math.exp(s)), "leave out the exp"),
    ("4.1", lambda v, m, s: level_probability(v, m, 1 / s), "multiply by the scale"),
    ("4.1", lambda v, m, s: -level_probability(v, m, s), "wrong sign"),
    ("4.1", lambda v, m, s: level_probability(v, m, s, lowest=None), "leave the other closed"),
    ("4.1", gaussian, "that of a Gaussian"),
    ("4.1", lambda v, m, s: cdf((v + 0.5 - m) / s), "any darker one"),
    ("4.2", exact, "right"),
    ("4.2", by_logsumexp, "right"),
    ("4.2", lambda low, high, m, a: exact(low, high, m.double(), a.double()).numpy(), "right"),
    ("4.2", lambda low, high, m, a: exact(low, low, m, a), "`low` alone"),
    ("4.2", lambda low, high, m, a: exact(high, high, m, a), "`high` alone"),
    ("4.2", lambda low, high, m, a: exact(low, high - 1, m, a), "both ends are included"),
    ("4.2", lambda low, high, m, a: exact(low, high, m, -a), "multiply by the scale"),
    ("4.2", lambda *case: exact(*case, half=0, ends=False), "half a bin is missing"),
    ("4.2", lambda low, high, m, a: exact(low, high, m, torch.log(a)), "divide by the log-scale"),
    ("4.2", lambda *case: exact(*case).item(), "right"),
    ("4.2", naive, "digits are lost"),
    ("4.2", lambda *case: naive(*case, floor=1e-12), "clamp hides"),
    ("4.2", lambda *case: naive(*case).exp(), "logarithm is asked for"),
    ("4.2", lambda *case: exact(*case, ends=False), "open the end bins"),
    ("4.2", lambda *case: exact(*case, half=0), "half a bin is missing"),
    ("4.2", one_bin_wide, "21 bins wide"),
    ("4.2", lambda *case: exact(*case) / math.log(2), "bits"),
    ("4.2", lambda low, high, *rest: sum(exact(v, v, *rest) for v in range(low, high + 1)), "multiply probabilities"),
    ("4.2", lambda low, high, mean, log_scale: -exact(low, high, mean, log_scale), "never above 0"),
    ("4.2", lambda *case: -1.0, "do not have -1"),
    ("4.3", fit, "right"),
    ("4.3", fit_numbers, "right"),
    ("4.3", lambda values: [np.array([p]) for p in fit_numbers(values)], "right"),
    ("4.3", quartiles, "measured on clipped levels"),
    ("4.3", lambda values: (0.9, math.log(0.3)), "which is too large"),
    ("4.3", lambda values: (fit_numbers(values)[0], math.log((2 * values.double() / 255 - 1).std())), "standard deviation"),
    ("4.3", lambda values: 0.9, "two numbers"),
    ("4.3", lambda values: fit(values, ends=False), "too low"),
    ("4.3", fit_moments, "clipped"),
    ("4.3", lambda values: (fit(values)[0], fit(values)[1].exp()), "scale itself"),
    ("4.3", lambda values: fit(values)[::-1], "swapped"),
    ("4.3", lambda values: (242.0, 3.2), "grey levels"),
    ("4.3", lambda values: (0.9, -1.0), "climb further"),
    ("4.3", lambda values: fit(values)[0], "two numbers"),
    ("4.3", lambda values: (math.nan, math.nan), "run away"),
    ("4.2", nan_at_the_ends, "do not have nan"),
    ("4.3", lambda values: np.array(fit_numbers(values)), "right"),
    ("4.3", lambda values: torch.cat(fit(values)), "right"),
]
