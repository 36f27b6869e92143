"""Chapter 4: the probability of a bin, its logarithm with all its digits, and a fit to clipped pixels."""

import math

import torch
from torch.nn import functional as F

from pixelcnn_edu.exercises.answers import call, close, number, tensor

__all__ = ["CHECKS"]


def _cdf(z):
    return 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))


def _gaussian(z):
    return (1 + math.erf(z / math.sqrt(2))) / 2


def _bin(value, mean, scale, half=0.5, lowest=0, highest=255):
    """The bin's probability in grey levels; ends that no value has leave it closed."""
    upper = 1 if value == highest else _cdf((value + half - mean) / scale)
    lower = 0 if value == lowest else _cdf((value - half - mean) / scale)
    return upper - lower


def _level_probability(answer):
    cases = [(100, 100.0, 5.0), (90, 100.0, 5.0), (0, 3.0, 4.0), (255, 250.0, 6.0), (255, 300.0, 10.0), (0, -20.0, 8.0)]
    got = [number(call(answer, *case)) for case in cases]

    def answers(function):
        return all(close(g, function(*case)) for g, case in zip(got, cases))

    if answers(_bin):
        return None
    if answers(lambda v, m, s: _bin(v, m, s, lowest=None, highest=None)):
        return "the inner levels are right, but your end bins are closed: what is darker than 0 is stored as 0 (section 4.1)"
    if answers(lambda v, m, s: _bin(v, m, s, lowest=None)) or answers(lambda v, m, s: _bin(v, m, s, highest=None)):
        return "you open one end bin and leave the other closed; both 0 and 255 hold all that lies beyond them (section 4.1)"
    if answers(lambda v, m, s: _bin(v, m, s, lowest=255, highest=0)):
        return "you open the ends the wrong way round: level 0 reaches down to minus infinity, level 255 up to infinity"
    if close(got[0], _bin(*cases[0], half=1 / 255)):
        return (
            "your half bin is 1/255, as for x in [-1, 1]; here the mean and the scale are in grey levels too (section 4.1)"
        )
    if close(got[0], _bin(*cases[0], half=1)):
        return "your bin is two levels wide, so neighbouring bins overlap and the sum is about 2; half a bin is half a level"
    if answers(lambda v, m, s: -_bin(v, m, s)):
        return "your difference has the wrong sign: take the CDF at the upper edge minus the CDF at the lower one"
    if answers(lambda v, m, s: _bin(v, m, math.exp(s))):
        return "you take the scale for a log-scale: `scale` is the scale itself here, so leave out the exp"
    if answers(lambda v, m, s: _bin(v, m, 1 / s)) or close(got[0], _bin(100, 100.0, 1 / 5)):
        return "you multiply by the scale; a larger scale makes the bell wider, so divide by it (section 4.1)"
    if close(got[0], 2 * _gaussian(0.5 / 5) - 1) and close(got[1], _gaussian(-9.5 / 5) - _gaussian(-10.5 / 5)):
        return "your CDF is that of a Gaussian; the logistic's CDF is the sigmoid (section 4.1)"
    if close(got[0], _cdf(0.5 / 5)) and close(got[1], _cdf(-9.5 / 5)):
        return "that is the probability of this level or any darker one; take away what lies below its lower edge"
    if answers(lambda v, m, s: math.log(_bin(v, m, s))):
        return "these are logarithms; the probability itself is asked for"
    if close(got[1], _cdf((cases[1][0] + 1 - 100) / 5) - _cdf((cases[1][0] - 100) / 5)):
        return "your bin begins at the level; it begins half a level below it and ends half a level above (section 4.1)"
    if close(got[0], 1 / (4 * cases[0][2])):
        return (
            "that is the height of the bell, a density; a probability is an area, a difference of two sigmoids (section 4.1)"
        )
    wrong = next(k for k, case in enumerate(cases) if not close(got[k], _bin(*case)))
    value, mean, scale = cases[wrong]
    return f"level {value} under mean {mean:g} and scale {scale:g} does not have the probability {got[wrong]:.4g}"


def _between(low, high, mean, log_scale, half=1 / 255, ends=True, width=None):
    """The log-probability of low..high, both included, exact; `width` replaces the distance of the edges."""
    inverse = math.exp(-log_scale)
    upper, lower = ((2 * v / 255 - 1 + h - mean) * inverse for v, h in ((high, half), (low, -half)))
    upper, lower = (
        torch.tensor(z, dtype=torch.double)
        for z in (math.inf if ends and high == 255 else upper, -math.inf if ends and low == 0 else lower)
    )
    distance = upper - lower if width is None else torch.tensor(width * inverse, dtype=torch.double)
    return float(F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-distance)))


def _log_prob_between(answer):
    cases = [
        (100, 100, -0.2, -3.0),
        (100, 120, 0.1, -2.0),
        (0, 30, -0.5, -2.0),
        (240, 255, 0.6, -2.0),
        (0, 255, 0.3, -1.0),
        (230, 240, -0.9, -5.0),
        (200, 204, -0.9, -6.0),
    ]
    got = [
        number(call(answer, low, high, torch.tensor(mean), torch.tensor(log_scale))) for low, high, mean, log_scale in cases
    ]

    def answers(function, part=slice(0, 5)):
        return all(abs(g - function(*case)) < 1e-3 * (1 + abs(g)) for g, case in zip(got[part], cases[part]))

    if answers(_between, part=slice(None)):
        return None
    if answers(_between):
        if got[5] == got[6] and math.isfinite(got[5]):
            return f"two ranges far from the mean both get {got[5]:.4g}: a clamp hides how far they are (section 4.5)"
        return f"near the mean you are right; far from it you say {got[5]:.4g}, and the digits are lost (section 4.5)"
    if answers(lambda *case: math.exp(_between(*case))):
        return "these are probabilities; the logarithm is asked for, and taking it at the end loses the digits (section 4.5)"
    if answers(lambda *case: _between(*case) / math.log(2)):
        return "these are bits; nats are asked for"
    if answers(lambda low, high, *rest: _between(low, low, *rest)):
        return "you use `low` alone: your two edges are those of one bin, and `high` is left out"
    if answers(lambda low, high, *rest: _between(high, high, *rest)):
        return "you use `high` alone: your two edges are those of one bin, and `low` is left out"
    if answers(lambda low, high, *rest: _between(low, high - 1, *rest), part=slice(1, 5)):
        return "your range ends before `high`, but both ends are included"
    if answers(lambda low, high, mean, a: _between(low, high, mean, -a)):
        return "you multiply by the scale; divide by it, which is multiplying by exp(-log_scale)"
    if math.isnan(got[0]) and math.isnan(got[1]):
        return "you return nan near the mean already: did you divide by the log-scale? it is negative, so the edges swap"
    if close(got[0], _between(*cases[0])) and close(got[1], sum(_between(v, v, *cases[1][2:]) for v in range(100, 121))):
        return "you add logarithms, and so multiply probabilities: that is all these levels at once, not any one of them"
    if answers(lambda *case: _between(*case, ends=False)):
        return (
            f"all 256 levels together must have the log-probability 0, you say {got[4]:.4g}: open the end bins (section 4.1)"
        )
    if any(answers(lambda *case, e=e: _between(*case, half=0, ends=e), part=slice(1, 4)) for e in (True, False)):
        return (
            "your range runs from the middle of a bin to the middle of another; half a bin is missing at both (section 4.1)"
        )
    if close(got[0], _between(*cases[0])) and close(got[1], _between(*cases[1], width=2 / 255)):
        return "your last term has the width of one bin, but the range from 100 to 120 is 21 bins wide"
    if any(g > 1e-4 for g in got):
        return f"a log-probability is never above 0, you say {max(got):.4g}"
    wrong = next(k for k, case in enumerate(cases) if not abs(got[k] - _between(*case)) < 1e-3 * (1 + abs(got[k])))  # or nan
    low, high, mean, log_scale = cases[wrong]
    return f"levels {low} to {high} under mean {mean:g} and log-scale {log_scale:g} do not have {got[wrong]:.4g}"


MEAN, SCALE = 0.9, 0.2  # of the overexposed pixels


def _overexposed():
    """1,000 levels at even steps of the CDF: no chance in it, and 38 in a hundred are 255."""
    u = (torch.arange(1000, dtype=torch.double) + 0.5) / 1000
    return ((MEAN + SCALE * torch.logit(u) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _fit_logistic(answer):
    values = _overexposed()
    result = call(answer, values.clone())
    if not isinstance(result, (tuple, list)):
        result = tensor(result).flatten()
    if len(result) != 2:
        return "return two numbers, the mean and the log-scale"
    mean, log_scale = map(number, result)
    x = 2 * values.double() / 255 - 1

    def average(m, a):
        shares = torch.bincount(values, minlength=256) / len(values)
        return sum(float(shares[v]) * _between(v, v, m, max(a, -7)) for v in range(256) if shares[v] > 0)

    if not (math.isfinite(mean) and math.isfinite(log_scale)):
        return f"your fit has run away: mean {mean}, log-scale {log_scale}"
    best = average(MEAN, math.log(SCALE))
    if abs(mean) < 10 and log_scale < 5 and average(mean, log_scale) > best - 0.002:
        return None
    if abs(mean) > 3:
        return f"a mean of {mean:.4g} looks like grey levels; in the units of x the levels lie in -1..1"
    if abs(mean - math.log(SCALE)) < 0.05:
        return "you have the two swapped: the mean comes first"
    if abs(log_scale - SCALE) < 0.05:
        return f"a log-scale of {log_scale:.2f} is a scale of {math.exp(log_scale):.2f}; did you return the scale itself?"
    if abs(mean - float(x.mean())) < 0.02:
        return "your mean is the average of the levels, but those above 255 were clipped: the bell's mean lies higher"
    if mean < MEAN - 0.05:
        return f"your mean, {mean:.2f}, is too low: does your level 255 stand for all that is brighter too (section 4.1)"
    if abs(math.exp(log_scale) - float(x.std())) < 0.01:
        return "your scale is the standard deviation of the levels; a logistic's scale is smaller than its deviation"
    if abs(mean - MEAN) <= 0.05 and log_scale < math.log(SCALE) - 0.05:
        return (
            f"your mean is good, but your scale, {math.exp(log_scale):.2f}, is too small: the levels above 255 were "
            "clipped, and a spread measured on clipped levels is too narrow"
        )
    side = ("too small" if log_scale < math.log(SCALE) else "too large") if abs(mean - MEAN) <= 0.05 else "not the best"
    return (
        f"the values have {average(mean, log_scale):.3f} nats each under your bell, and {best:.3f} can be had: mean "
        f"{mean:.2f} and scale {math.exp(log_scale):.2f}, which is {side}; if you climb step by step, climb further"
    )


CHECKS = {"4.1": _level_probability, "4.2": _log_prob_between, "4.3": _fit_logistic}
