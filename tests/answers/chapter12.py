"""Answers that readers are likely to give in chapter 12, each with words of the diagnosis it must get."""

import math

import numpy as np
import torch

from pixelcnn_edu.ladder import compare, verdict


def shows(one, other, spread):
    return verdict(*compare(one, other), spread)


def unpaired(one, other, spread):
    error = math.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    return verdict(other.mean() - one.mean(), error, spread)


def of_differences(rule):
    return lambda one, other, spread: rule((other - one).mean(), (other - one).std() / math.sqrt(len(one)), spread)


def never_fails(difference, error, spread):
    return "holds" if difference > max(spread, 2 * error) else "open"


def needed(images, bits, target, last=False, nearest=None):
    (reached,) = np.nonzero(bits <= target)
    if not len(reached):
        return math.inf
    k = reached[-1] if last else reached[0]
    if k == 0:
        return images[0]
    if nearest is not None:
        return images[k + nearest]
    return images[k - 1] + (bits[k - 1] - target) / (bits[k - 1] - bits[k]) * (images[k] - images[k - 1])


def told(own, strangers, ties=0.5, scale=1.0):
    ordered = np.sort(own)
    below, up_to = (np.searchsorted(ordered, strangers, side=side) for side in ("left", "right"))
    return scale * (below + ties * (up_to - below)).mean() / len(own)


def all_pairs(own, strangers):
    return (strangers[:, None] > own).mean() + 0.5 * (strangers[:, None] == own).mean()


def of_deviation(error):
    return lambda one, other, spread: verdict((other - one).mean(), error(other - one), spread)


def with_median(one, other, spread):
    d = other - one
    return verdict(np.median(d), d.std(ddof=1) / math.sqrt(len(d)), spread)


def by_torch(one, other):
    d = torch.from_numpy(other - one)
    return d.mean().item(), (d.std() / len(d) ** 0.5).item()


def by_loop(images, bits, target):
    if bits[0] <= target:
        return float(images[0])
    for k in range(1, len(bits)):
        if bits[k] <= target:
            return float(np.interp(-target, -bits[k - 1 : k + 1], images[k - 1 : k + 1]))
    return math.inf


def from_the_wrong_end(images, bits, target):
    found = needed(images, bits, target)
    if not 100 < found < math.inf:
        return found
    k = int(np.searchsorted(images, found))
    return images[k - 1] + images[k] - found


def by_ranks(own, strangers):
    """Through the rank sum of Mann and Whitney."""
    _, places, counts = np.unique(np.concatenate([own, strangers]), return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[places]
    return (ranks[len(own) :].sum() - len(strangers) * (len(strangers) + 1) / 2) / (len(own) * len(strangers))


def ties_left_out(own, strangers):
    over, up_to = told(own, strangers, ties=0), told(own, strangers, ties=1)
    return over / (1 - up_to + over)


ANSWERS = [
    ("12.1", shows, "right"),
    ("12.1", unpaired, "image by image first"),
    ("12.1", lambda one, other, spread: shows(other, one, spread), "the wrong way round"),
    ("12.1", lambda one, other, spread: shows(one, other, 0.0), "the spread must count too"),
    ("12.1", of_differences(lambda d, e, s: verdict(d, 0.0, s)), "smaller than its own standard error"),
    ("12.1", of_differences(lambda d, e, s: verdict(d, e / 2, s)), "the rule asks for two"),
    ("12.1", of_differences(never_fails), "clearly worse fails"),
    ("12.1", lambda one, other, spread: other.mean() > one.mean(), "Return one of the words"),
    ("12.1", of_differences(lambda d, e, s: verdict(d, 0.0, s + 2 * e)), "not than their sum"),
    ("12.1", of_differences(lambda d, e, s: verdict(d, 1.5 * e, s)), "Your rule is not"),
    ("12.1", lambda one, other, spread: np.str_(shows(one, other, spread)), "right"),
    ("12.1", lambda one, other, spread: verdict(*by_torch(one, other), spread), "right"),
    ("12.1", of_deviation(lambda d: d.std(ddof=1) / len(d)), "the root of it"),
    ("12.1", of_deviation(lambda d: d.var(ddof=1) / math.sqrt(len(d))), "You take the variance"),
    ("12.1", with_median, "median of the differences"),
    ("12.1", of_differences(lambda d, e, s: verdict(d, 0.0, min(s, 2 * e))), "one of the two will do"),
    ("12.1", lambda one, other, spread: shows(one, other, spread).upper(), "Return one of the words"),
    ("12.2", needed, "right"),
    ("12.2", by_loop, "right"),
    ("12.2", lambda i, b, t: torch.tensor(float(needed(i, b, t))), "right"),
    ("12.2", lambda i, b, t: -math.inf if t < b.min() else needed(i, b, t), "not minus that"),
    ("12.2", from_the_wrong_end, "from the wrong end"),
    ("12.2", lambda i, b, t: int(np.argmax(b <= t)) if t >= b.min() else math.inf, "places in the array"),
    ("12.2", lambda i, b, t: needed(i, b, t) if t >= b.min() else None, "returns nothing"),
    ("12.2", lambda i, b, t: needed(i, b, t, nearest=0), "first record at or below"),
    ("12.2", lambda i, b, t: needed(i, b, t, nearest=-1), "last record above"),
    ("12.2", lambda i, b, t: needed(i, b, t, last=True), "reached again"),
    ("12.2", lambda i, b, t: float(np.interp(t, b[::-1], i[::-1])), "where infinity is asked for"),
    ("12.2", lambda i, b, t: needed(i, b, t) if t < b[0] else 0.0, "reached there, after 100"),
    ("12.2", lambda i, b, t: math.exp(needed(np.log(i), b, t)), "on a straight line"),
    ("12.3", told, "right"),
    ("12.3", lambda own, strangers: np.array([told(own, strangers)]), "right"),
    ("12.3", by_ranks, "right"),
    ("12.3", lambda own, strangers: 2 * told(own, strangers) - 1, "runs from -1 to 1"),
    ("12.3", lambda own, strangers: told(own, strangers, scale=len(own)), "one of the two numbers"),
    ("12.3", ties_left_out, "leave the ties out"),
    ("12.3", lambda own, strangers: strangers > own.mean(), "you return the shape (200,)"),
    ("12.3", lambda own, strangers: 1 - told(own, strangers), "costs less"),
    ("12.3", lambda own, strangers: told(own, strangers, ties=0), "so a tie counts half"),
    ("12.3", lambda own, strangers: told(own, strangers, ties=1), "counts half"),
    ("12.3", lambda own, strangers: told(own, strangers, scale=100), "per cent"),
    ("12.3", lambda own, strangers: told(own, strangers, scale=len(own) * len(strangers)), "divide by how many"),
    ("12.3", lambda own, strangers: float(strangers.mean() > own.mean()), "one number with one number"),
    ("12.3", lambda own, strangers: (strangers > own.mean()).mean(), "the mean of the own scores"),
    ("12.3", lambda own, strangers: (strangers > np.median(own)).mean(), "the middle of the own scores"),
    ("12.3", lambda own, strangers: 0.7, "count by hand".capitalize()),
    ("12.3", lambda own, strangers: float("nan"), "no probability"),
    ("12.3", lambda own, strangers: told(own, strangers) if len(own) < 1000 else 1.0, "cannot be told apart"),
    (
        "12.1",
        lambda one, other, spread: verdict((other - one).mean(), (other - one).std(ddof=1), spread),
        "the root of their number",
    ),
    ("12.2", lambda i, b, t: needed(i.astype(np.float32), b.astype(np.float32), t), "right"),
    ("12.3", all_pairs, "do without an array of all pairs"),
    ("12.3", lambda own, strangers: (strangers > own[: len(strangers)]).mean(), "at its place"),
]
