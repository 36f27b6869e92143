"""Chapter 12: a verdict from two scores, images until a score is reached, and telling strangers apart."""

import math
import tracemalloc

import numpy as np

from pixelcnn_edu.exercises.answers import call, number
from pixelcnn_edu.ladder import compare, verdict

__all__ = ["CHECKS"]


def _what_it_shows(answer):
    random = np.random.default_rng(0)
    images = random.normal(4, 0.8, 2000)  # some are dear to every model, some cheap

    def case(difference, deviation, spread, sample=random.standard_normal):
        noise = sample(len(images))
        noise = (noise - noise.mean()) / noise.std(ddof=1)  # exactly 0 and 1, so that each case is on its side of the rule
        return images, images + difference + deviation * noise, spread

    cases = [
        case(0.02, 0.05, 0.005),  # clear image by image, lost in the standard errors of the two scores
        case(-0.02, 0.05, 0.005),
        case(0.02, 0.05, 0.05),  # less than another seed makes
        case(0.02, 1.0, 0.001),  # less than one standard error
        case(0.03, 0.8, 0.001),  # more than one, less than two
        case(0.05, 1.0, 0.001),  # more than two, less than three
        case(0.2, 0.05, 0.1),
        case(0.3, 1.0, 0.1),  # less than the deviation over images
        case(0.0052, 0.05, 0.005),  # more than each of the two, less than their sum
        case(0.005, 10.0, 0.001),  # less than the deviation divided by the number of images
        case(0.001, 0.1, 0.0005),  # less than one standard error, more than the variance would make of it
        case(0.02, 0.2, 0.005, random.standard_exponential),  # the mean is above 0, the median below
    ]
    got = [call(answer, one.copy(), other.copy(), spread) for one, other, spread in cases]
    right = [verdict(*compare(one, other), spread) for one, other, spread in cases]
    if got == right:
        return None
    if not all(word in ("holds", "fails", "open") for word in got):
        return f'return one of the words "holds", "fails" and "open"; you return {got[0]!r}'
    differences = [(other - one, spread) for one, other, spread in cases]
    if got == [verdict(d.mean(), d.std(ddof=1) / len(d), spread) for d, spread in differences]:
        return "you divide by the number of images; the error of a mean is the deviation divided by the root of it"
    if got == [verdict(d.mean(), d.var(ddof=1) / math.sqrt(len(d)), spread) for d, spread in differences]:
        return "you take the variance; the error of a mean is the standard deviation, divided by the root of their number"
    if got == [verdict(np.median(d), d.std(ddof=1) / math.sqrt(len(d)), spread) for d, spread in differences]:
        return "you take the median of the differences; the standard error belongs to their mean (section 12.1)"
    if got == [verdict(d.mean(), 0.0, min(s, 2 * d.std(ddof=1) / math.sqrt(len(d)))) for d, s in differences]:
        return "the difference must be larger than both, the spread and two standard errors; for you one of the two will do"
    if got == [verdict((other - one).mean(), (other - one).std(ddof=1), spread) for one, other, spread in cases]:
        return "you compare with the deviation over images; the error of a mean is that, divided by the root of their number"
    if got[0] == got[1] == "open" and got[6] == "holds":
        return "you compare two errors of the scores; take the differences image by image first (section 12.1)"
    swapped = {"holds": "fails", "fails": "holds", "open": "open"}
    if got == [swapped[word] for word in right]:
        return "yours is the wrong way round: a change helps where the images cost more without it"
    if got[2] == "holds":
        return "another seed alone makes a larger difference than this one: the spread must count too"
    if got[3] != "open":
        return "this difference is smaller than its own standard error, and chance makes such ones"
    if got[4] != "open":
        return "one standard error is not enough: the rule asks for two"
    if got[1] != "fails":
        return "a change that makes the score clearly worse fails; look at the sign of the difference"
    if got[:8] == right[:8]:
        return (
            "the difference must be larger than each of the two, the spread and two standard errors, and not than their sum"
        )
    return "your rule is not that of section 12.1: larger than two standard errors, and larger than the spread"


def _images_needed(answer):
    images = np.array([100.0, 200, 300, 400, 500])
    bits = np.array([6.0, 5.0, 4.0, 4.2, 3.8])  # it need not fall all the way
    cases = {4.5: 250.0, 5.0: 200.0, 4.1: 290.0, 3.9: 475.0, 6.5: 100.0, 3.0: math.inf}
    got = {}
    for target in cases:
        got[target] = number(call(answer, images.copy(), bits.copy(), target))
    if all(math.isclose(got[t], right, rel_tol=1e-5) for t, right in cases.items()):
        return None
    if got[3.0] == -math.inf:
        return "the run never comes down to 3.0 bits/dim: it would take infinitely many images, math.inf, not minus that"
    if not math.isinf(got[3.0]):
        return f"the run never comes down to 3.0 bits/dim; you say {got[3.0]:g} images, where infinity is asked for"
    if got[4.1] == 210:
        return "you measure from the wrong end: the way from the record before to the target, as a share of the whole step"
    if all(g in (0, 1, 2, 3, 4, math.inf) for g in got.values()):
        return "those are places in the array; the number of images stands in `images` at that place"
    if 300 < got[4.1] < math.inf:
        return f"4.1 bits/dim is reached, left and reached again, first after 290 images; you say {got[4.1]:g}"
    if got[4.5] == 300:
        return "you take the first record at or below the target; between two records the curve is a straight line"
    if got[4.5] == 200:
        return "you take the last record above the target; between two records the curve is a straight line"
    if not math.isclose(got[6.5], 100):
        return f"a target that the first record is below already is reached there, after 100 images; you say {got[6.5]:g}"
    target = next(t for t, right in cases.items() if not math.isclose(got[t], right, rel_tol=1e-5))
    after = int(images[bits <= target][0])
    return (
        f"{target} bits/dim is first reached between {after - 100} and {after} images, on a straight line, "
        f"after {cases[target]:g}; you say {got[target]:g}"
    )


def _told_apart(answer):
    random = np.random.default_rng(1)
    own, strangers = np.round(3 + random.exponential(1, 300), 1), np.round(random.normal(4.5, 1, 200), 1)
    got = number(call(answer, own.copy(), strangers.copy()))
    pairs = strangers[:, None] - own  # (200, 300)
    over, ties = (pairs > 0).mean(), (pairs == 0).mean()
    right = over + ties / 2
    if not math.isfinite(got):
        return f"you return {got}, which is no probability"
    if math.isclose(got, 1 - right, abs_tol=1e-6):
        return "yours is the probability that the stranger costs less"
    if math.isclose(got, over, abs_tol=1e-6):
        return "you let ties count for nothing; two equal scores cannot be told apart, so a tie counts half"
    if math.isclose(got, over + ties, abs_tol=1e-6):
        return "you let a tie count for the stranger; it counts half"
    if math.isclose(got, 100 * right, rel_tol=1e-6):
        return "you return per cent; a probability lies between 0 and 1"
    if math.isclose(got, len(pairs) * right, rel_tol=1e-6) or math.isclose(got, pairs.size * right, rel_tol=1e-6):
        return "you count pairs; divide by how many there are"
    if got in (0.0, 1.0):
        return "you compare one number with one number; the probability is over pairs of single scores"
    if math.isclose(got, 2 * right - 1, abs_tol=1e-6):
        return "you take one share minus the other, which runs from -1 to 1; a probability runs from 0 to 1"
    if math.isclose(got, right * len(own), rel_tol=1e-6) or math.isclose(got, right * len(strangers), rel_tol=1e-6):
        return "you divide by one of the two numbers; there are len(own) times len(strangers) pairs"
    if math.isclose(got, over / (1 - ties), abs_tol=1e-6):
        return "you leave the ties out of the count of pairs; they stay in, and each counts half"
    if math.isclose(got, (strangers > own[: len(strangers)]).mean(), abs_tol=1e-6):
        return "you compare each stranger with one own score, that at its place; compare each with every one of them"
    if math.isclose(got, (strangers > np.median(own)).mean(), abs_tol=1e-6):
        return "you compare strangers with the middle of the own scores; compare each with every one of them"
    if math.isclose(got, (strangers > own.mean()).mean(), abs_tol=1e-6):
        return "you compare strangers with the mean of the own scores; compare each with every one of them"
    if not math.isclose(got, right, abs_tol=1e-6):
        return "count by hand: own scores 1 and 2 against strangers 2 and 3 make three and a half of four pairs"
    many = np.linspace(0, 1, 10_000)
    tracemalloc.start()
    try:
        same = number(call(answer, many.copy(), many.copy()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:  # what is traced runs slowly
        tracemalloc.stop()
    if not math.isclose(same, 0.5, abs_tol=1e-6):
        return "the same 10,000 scores twice cannot be told apart: that is 0.5"
    if peak > 2e7:  # all pairs take 1e8 bytes, at a byte each
        return f"right, but for 10,000 scores each you take {peak / 1e6:.0f} MB: do without an array of all pairs"
    return None


CHECKS = {"12.1": _what_it_shows, "12.2": _images_needed, "12.3": _told_apart}
