"""Chapter 10: bits a sub-pixel, averaged weights, and the mean over a test set."""

import math

import torch
from torch import nn

from pixelcnn_edu.exercises.answers import call, close, number

__all__ = ["CHECKS"]


def _bits_from_nats(answer):
    shapes = [(3, 32, 32), (1, 28, 28), (3, 64, 64)]
    got = [number(call(answer, -1000.0 * (k + 1), shape)) for k, shape in enumerate(shapes)]
    nats = [1000.0 * (k + 1) for k in range(len(shapes))]
    dims = [math.prod(shape) for shape in shapes]

    def answers(function):
        return all(close(g, function(n, d, s)) for g, n, d, s in zip(got, nats, dims, shapes))

    if answers(lambda n, d, s: n / (math.log(2) * d)):
        return None
    if answers(lambda n, d, s: -n / (math.log(2) * d)):
        return "the sign is off: a log-likelihood is never above 0, a cost in bits never below it"
    if answers(lambda n, d, s: n / d):
        return "these are nats a sub-pixel still; one bit is ln 2 nats (section 10.3)"
    if answers(lambda n, d, s: n * math.log(2) / d):
        return "you multiply by ln 2; there are fewer nats than bits, so dividing makes the number larger"
    if answers(lambda n, d, s: n / (math.log(2) * s[1] * s[2])):
        return "these are bits a pixel; a colour pixel has three sub-pixels, so divide by the channels too"
    if answers(lambda n, d, s: n / math.log(2)):
        return "these are the bits of the whole image; share them out over its sub-pixels"
    if any(not math.isfinite(g) for g in got):
        return "your number is not finite: exp(-1000) is 0 in floating point; a quotient turns nats into bits without it"
    if answers(lambda n, d, s: n / (math.log(2) * sum(s))):
        return "you add up the sizes of the shape; an image has C times H times W sub-pixels"
    if answers(lambda n, d, s: n / (math.log(10) * d)):
        return "you divide by ln 10; a bit is ln 2 nats (section 10.3)"
    if answers(lambda n, d, s: n / (math.log(2) * d * 8)):
        return "you divide by 8 as well; bits/dim are bits per sub-pixel, not a share of the 8 bits that a byte has"
    if close(got[0], nats[0] / (math.log(2) * dims[0])):
        return "right for (3, 32, 32) alone; take the number of sub-pixels from `shape`"
    return f"for -1000 nats on (3, 32, 32) you say {got[0]:.4g}; divide by ln 2 and by the number of sub-pixels"


def _start_weight(answer):
    cases = [(0.9995, 390), (0.99, 200), (0.9, 1), (0.9995, 100_000), (0.5, 0)]
    got = [number(call(answer, *case)) for case in cases]
    if all(close(g, d**n) for g, (d, n) in zip(got, cases)):
        return None
    if all(close(g, 1 - d**n) for g, (d, n) in zip(got, cases)):
        return "that is the weight of everything after the start; the start has the rest"
    if all(close(g, (1 - d) ** n) for g, (d, n) in zip(got, cases)):
        return "each step keeps the share `decay` of the old average, not `1 - decay`"
    if all(
        close(g, 1 - n * (1 - d)) or close(g, max(0, 1 - n * (1 - d))) or close(g, d * n) for g, (d, n) in zip(got, cases)
    ):
        return "the shares multiply from step to step; they do not add"
    if all(close(g, math.exp(-n * (1 - d))) for g, (d, n) in zip(got, cases)):
        return "that is close for a decay near 1, but not exact; write the average after one step, then after two"
    if any(all(close(g, d ** (n + k)) for g, (d, n) in zip(got, cases)) for k in (-1, 1)):
        return "you are off by one step: after no step the start is all there is, after one its share is `decay`"
    if all(close(g, (1 - d) * d ** (n - 1)) or close(g, (1 - d) * d**n) for g, (d, n) in zip(got, cases)):
        return "that is the share of a step's new weights; the start enters whole, without a factor 1 - decay"
    said, (decay, steps) = next((g, case) for g, case in zip(got, cases) if not close(g, case[0] ** case[1]))
    return f"after {steps} steps at {decay} you say {said:.4g}; write the average after one step, then after two, and go on"


class _CostsItsMean(nn.Module):
    """A stand-in for a model: an image costs as many bits/dim as its mean value. Notes the largest batch."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.largest = 0

    def bits_per_dim(self, images, labels=None):
        self.largest = max(self.largest, len(images))
        return images.double().mean(dim=(1, 2, 3))


def _mean_bits(answer):
    model, images = _CostsItsMean(), torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 1, 2, 2).contiguous()
    threes, fives = (number(call(answer, model, images.clone(), size)) for size in (3, 5))
    if close(fives, 4.5) and close(threes, (1 + 4 + 7 + 9) / 4):
        return "you average the batches' averages; the last batch is smaller, and each of its images then counts for more"
    if close(threes, 45) or close(fives, 45):
        return "you return the sum over the images; divide it by their number"
    if close(threes, 1.0) and close(fives, 2.0):
        return "you return after the first batch; does a return stand inside the loop?"
    if close(threes, 9.0) and close(fives, 7.0):
        return "you keep the last batch's mean alone; add the batches up"
    if close(threes, 45 / 12):
        return "you count the last batch as a full one; divide by the number of images that there are"
    if close(threes, 12.0) or close(fives, 22.5):
        return "you divide sums over images by the number of batches; divide by the number of images"
    if close(threes, 4.0):
        return "you drop the last, partial batch: one of ten images never counted with batches of three"
    if close(fives, 9.0):
        return "you divide by the last batch's number, which starts from 0, instead of by how many there were (section 10.8)"
    # Only now the sizes at which the answers above would divide by 0.
    for size, bits in (
        (3, threes),
        (5, fives),
        *((size, number(call(answer, model, images, size))) for size in (1, 10, 64)),
    ):
        if not close(bits, 4.5):
            return f"the ten images cost 4.5 on average, whatever the batch; with batches of {size} you say {bits:.4g}"
    model.largest = 0
    call(answer, model, images, 3)
    if model.largest > 3:
        return "the number is right, but you give the model more than `batch_size` images at once; a test set would not fit"
    return None


CHECKS = {"10.1": _bits_from_nats, "10.2": _start_weight, "10.3": _mean_bits}
