"""Answers to the book's exercises, checked: `check("2.1", answer)` says what is wrong and why, not only that it is."""

import math

import torch
from torch import nn

from pixelcnn_edu.causal import MaskedConv2d
from pixelcnn_edu.probes import receptive_field

__all__ = ["check"]


def check(exercise, answer):
    """Check `answer`, most often a function, to an exercise such as "2.1"; print a diagnosis, return whether it is right.

    Raises ValueError for an exercise that does not exist. An answer of None, or one that returns None, counts as not
    answered yet; an answer that fails is told with what.
    """
    if exercise not in _CHECKS:
        raise ValueError(f"there is no exercise {exercise!r}; there are {', '.join(_CHECKS)}")
    try:
        diagnosis = "write your answer first, then run this again" if answer is None else _CHECKS[exercise](answer)
    except _NotAnswered:
        diagnosis = "your function returns nothing yet; write it, then run this again"
    except Exception as error:  # a reader's function may fail in any way, and the reader should hear of it calmly
        diagnosis = f"your answer stopped with {type(error).__name__}: {error}"
    print(f"Exercise {exercise}: {'right.' if diagnosis is None else 'not yet. ' + diagnosis[0].upper() + diagnosis[1:]}")
    return diagnosis is None


class _NotAnswered(Exception):
    """A reader's function returned None."""


def _call(function, *arguments):
    result = function(*arguments)
    if result is None:
        raise _NotAnswered
    return result


def _close(a, b):
    return math.isclose(float(a), float(b), rel_tol=1e-4, abs_tol=1e-6)


def _visible_weights(answer):
    got = {(k, kind): _call(answer, k, kind) for k in (3, 5, 7) for kind in "AB"}
    right = {(k, kind): (k * k - 1) // 2 + (kind == "B") for k in (3, 5, 7) for kind in "AB"}
    if got == right:
        return None
    if all(got[k, "A"] == right[k, "B"] and got[k, "B"] == right[k, "A"] for k in (3, 5, 7)):
        return "you have the types swapped: A hides the pixel itself, B shows it"
    if all(got[k, "A"] == got[k, "B"] for k in (3, 5, 7)):
        return "your A and your B agree, but they differ by one weight: the centre (section 2.2)"
    if all(got[k, "A"] == k * (k // 2) for k in (3, 5, 7)):
        return "you count the rows above but not the pixels to the left in the pixel's own row (section 2.2)"
    wrong = next(key for key in right if got[key] != right[key])
    return f"a {wrong[0]}x{wrong[0]} kernel of type {wrong[1]} does not keep {got[wrong]} weights; draw it and count"


def _blind_spot_size(answer):
    places = [(8, 8, 16), (8, 0, 16), (8, 15, 16), (0, 5, 16), (5, 3, 8), (31, 2, 32)]
    got = [_call(answer, *place) for place in places]
    wedge = [[(i, j) for i in range(r) for j in range(n) if j - c > r - i] for r, c, n in places]
    if got == [len(w) for w in wedge]:
        return None
    if got == [sum(j - c >= r - i for i in range(r) for j in range(n)) for r, c, n in places]:
        return "you count the edge of the wedge too, but a pixel k rows up and k columns to the right is seen (section 2.3)"
    if got == [r * (r - 1) // 2 for r, c, n in places] or got == [r * (r + 1) // 2 for r, c, n in places]:
        return "your wedge ignores where the image ends at the right; near that edge less is hidden"
    if got[3] != 0:
        return "a pixel in the first row has no row above it, so nothing there can be hidden from it"
    if got[2] != 0:
        return "in the last column there is nothing further to the right, so nothing is hidden"
    k = next(k for k, w in enumerate(wedge) if got[k] != len(w))
    row, column, size = places[k]
    return (
        f"at ({row}, {column}) of {size} x {size} you say {got[k]}; compare with blind_spot on the deep stack (section 2.3)"
    )


def _masked(*types):
    """A stack of masked 3x3 convolutions of these types, one channel, every visible weight above 0."""
    generator = torch.Generator().manual_seed(0)
    layers = [MaskedConv2d(1, 1, 3, kind) for kind in types]
    for layer in layers:
        layer.weight.data = torch.rand(layer.weight.shape, generator=generator) + 0.5
    return nn.Sequential(*layers)


class _LeaksInOnePlace(nn.Module):
    """Causal but at one output pixel, (1, 4), which sees its right neighbour."""

    def __init__(self):
        super().__init__()
        self.causal = _masked("A", "B")

    def forward(self, x):
        leak = torch.zeros_like(x)
        leak[:, :, 1, 4] = x[:, :, 1, 5]
        return self.causal(x) + leak


def _causality_violations(answer):
    size = 6
    ordinary = nn.Conv2d(1, 1, 3, padding=1)
    nn.init.constant_(ordinary.weight, 0.1)
    nets = {"causal": _masked("A", "B"), "sees itself": _masked("B"), "ordinary": ordinary, "one place": _LeaksInOnePlace()}
    got = {name: int(_call(answer, net, size)) for name, net in nets.items()}
    right = {name: _count_violations(net, size) for name, net in nets.items()}
    if got == right:
        return None
    if got["causal"]:
        return f"you report {got['causal']} violations in a network that has none: does your order of pixels run row by row?"
    if got["sees itself"] == 0:
        return "your test passes a network whose outputs see their own pixel: the pixel itself counts as not yet known"
    if got["one place"] == 0:
        return "your test passes a network that looks ahead at a single output pixel: ask every output pixel, not one"
    if got["ordinary"] == 1 or got["ordinary"] == size * size:
        return "count pairs: each output pixel with each later input pixel that it sees"
    return f"an ordinary 3x3 convolution on 6 x 6 pixels has {right['ordinary']} such pairs, you count {got['ordinary']}"


def _count_violations(net, size):
    count = 0
    for place in range(size * size):
        field = receptive_field(net, *divmod(place, size), image_shape=(1, size, size)).flatten()
        count += int((field[place:] != 0).sum())
    return count


def _bits_from_nats(answer):
    shapes = [(3, 32, 32), (1, 28, 28), (3, 64, 64)]
    got = [_call(answer, -1000.0 * (k + 1), shape) for k, shape in enumerate(shapes)]
    nats = [1000.0 * (k + 1) for k in range(len(shapes))]
    dims = [math.prod(shape) for shape in shapes]

    def answers(function):
        return all(_close(g, function(n, d, s)) for g, n, d, s in zip(got, nats, dims, shapes))

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
    return f"for -1000 nats on (3, 32, 32) you say {float(got[0]):.4g}; divide by ln 2 and by the number of sub-pixels"


def _start_weight(answer):
    cases = [(0.9995, 390), (0.99, 200), (0.9995, 100_000), (0.5, 0)]
    got = [float(_call(answer, *case)) for case in cases]
    if all(_close(g, d**n) for g, (d, n) in zip(got, cases)):
        return None
    if all(_close(g, 1 - d**n) for g, (d, n) in zip(got, cases)):
        return "that is the weight of everything after the start; the start has the rest"
    if all(_close(g, (1 - d) ** n) for g, (d, n) in zip(got, cases)):
        return "each step keeps the share `decay` of the old average, not `1 - decay`"
    if all(_close(g, max(0, 1 - n * (1 - d))) or _close(g, d * n) for g, (d, n) in zip(got, cases)):
        return "the shares multiply from step to step; they do not add"
    return f"after 390 steps at 0.9995 you say {got[0]:.4g}; write the average after one step, then after two, and go on"


class _CostsItsMean(nn.Module):
    """A stand-in for a model: an image costs as many bits/dim as its mean value."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def bits_per_dim(self, images, labels=None):
        return images.double().mean(dim=(1, 2, 3))


def _mean_bits(answer):
    model, images = _CostsItsMean(), torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 1, 2, 2).contiguous()
    threes, fives = (float(_call(answer, model, images, size)) for size in (3, 5))
    if _close(fives, 4.5) and _close(threes, (1 + 4 + 7 + 9) / 4):
        return "you average the batches' averages; the last batch is smaller, and each of its images then counts for more"
    if _close(threes, 4.0):
        return "you drop the last, partial batch: one of ten images never counted with batches of three"
    if _close(fives, 9.0):
        return "you divide by the last batch's number, which starts from 0, instead of by how many there were (section 10.8)"
    # Only now the sizes at which the answers above would divide by 0.
    for size, bits in (
        (3, threes),
        (5, fives),
        *((size, float(_call(answer, model, images, size))) for size in (1, 10, 64)),
    ):
        if not _close(bits, 4.5):
            return f"the ten images cost 4.5 on average, whatever the batch; with batches of {size} you say {bits:.4g}"
    return None


_CHECKS = {
    "2.1": _visible_weights,
    "2.2": _blind_spot_size,
    "2.3": _causality_violations,
    "10.1": _bits_from_nats,
    "10.2": _start_weight,
    "10.3": _mean_bits,
}
