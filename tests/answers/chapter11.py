"""Answers that readers are likely to give in chapter 11, each with words of the diagnosis it must get."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def positions(height, width, known_rows, method):
    return height * width * ((height - known_rows) * width if method == "naive" else 1)


def either(naive, cached):
    return lambda h, w, k, method: (naive if method == "naive" else cached)(h, w, k)


def strided(seen, x, weight, place):
    return x, None if place % 2 else weight[:, :, 0] @ seen + weight[:, :, 1] @ x


def by_conv1d(seen, x, weight, place):
    return x, None if place % 2 else F.conv1d(torch.stack([seen, x], dim=1)[None], weight)[0, :, 0]


def forgets_odd_places(seen, x, weight, place):
    return (seen, None) if place % 2 else strided(seen, x, weight, place)


def in_place(logits, log_scales, t):
    return logits.div_(t), log_scales + math.log(t)


def cached(h, w, k):
    return h * w


def naive(h, w, k):
    return (h - k) * w * h * w


def only_naive(height, width, known_rows, method):
    if method == "naive":
        return naive(height, width, known_rows)
    return None


ANSWERS = [
    ("11.1", positions, "right"),
    ("11.1", either(naive, lambda h, w, k: (h - k) * w), "must hear of them too"),
    ("11.1", either(lambda h, w, k: (h - k) * w, cached), "You count passes"),
    ("11.1", either(lambda h, w, k: (h * w) ** 2, cached), "none for a pixel that is not drawn"),
    ("11.1", either(lambda h, w, k: ((h - k) * w) ** 2, cached), "known rows included"),
    ("11.1", either(naive, naive), "that is the naive count".capitalize()),
    ("11.1", either(naive, lambda h, w, k: h), "count 2 x 2 by hand"),
    ("11.1", either(lambda h, w, k: sum(range(k * w, h * w)), cached), "those not drawn yet too"),
    ("11.1", either(lambda h, w, k: h * w * (h * w - k), cached), "and 16 known rows you say"),
    ("11.1", lambda h, w, k, method: torch.tensor(positions(h, w, k, method)), "right"),
    ("11.1", lambda h, w, k, method: float(sum([h * w] * ((h - k) * w)) if method == "naive" else h * w), "right"),
    ("11.1", lambda h, w, k, method: 3 * positions(h, w, k, method), "you count sub-pixels".capitalize()),
    ("11.1", either(cached, naive), "two methods swapped"),
    ("11.1", either(naive, lambda h, w, k: (h + k) * w), "known pixels twice"),
    ("11.2", lambda a, s, t: (a / t, s + math.log(t)), "right"),
    ("11.2", lambda a, s, t: [(a / t).numpy(), np.log(np.exp(s.numpy()) * t)], "right"),
    ("11.2", lambda a, s, t: (a * (1 / t), s - math.log(1 / t)), "right"),
    ("11.2", lambda a, s, t: (s + math.log(t), a / t), "wrong order"),
    ("11.2", lambda a, s, t: ((a / t)[None], s + math.log(t)), "keeps its shape"),
    ("11.2", lambda a, s, t: (a / math.sqrt(t), s + math.log(t)), "neither a square nor a root"),
    ("11.2", lambda a, s, t: (a - math.log(t), s + math.log(t)), "changes no weight"),
    ("11.2", lambda a, s, t: (a / t, s / t), "divide the logarithm"),
    ("11.2", lambda a, s, t: (a / t, s + math.log2(t)), "wrong base"),
    ("11.2", lambda a, s, t: (a / t, s + math.log(t) / 2), "neither a square nor a root"),
    ("11.2", lambda a, s, t: (a * t, s + math.log(t)), "divide the logits"),
    ("11.2", lambda a, s, t: (a, s + math.log(t)), "not the scales alone"),
    ("11.2", lambda a, s, t: (a - t, s + math.log(t)), "Your logits are not"),
    ("11.2", lambda a, s, t: ((a / t).softmax(-1), s + math.log(t)), "weights already"),
    ("11.2", lambda a, s, t: (a / t, s * t), "multiply the logarithm"),
    ("11.2", lambda a, s, t: (a / t, s - math.log(t)), "the other way round"),
    ("11.2", lambda a, s, t: (a / t, s + t), "at temperature 1 nothing may change"),
    ("11.2", lambda a, s, t: (a / t, s), "not the weights alone"),
    ("11.2", lambda a, s, t: (a / t, s.exp() * t), "their logarithms are asked for"),
    ("11.2", lambda a, s, t: (a / t, s + 1), "Your scales are not"),
    ("11.2", lambda a, s, t: a / t, "return two tensors".capitalize()),
    ("11.2", in_place, "change the tensors"),
    ("11.3", strided, "right"),
    ("11.3", by_conv1d, "right"),
    ("11.3", lambda m, x, w, p: [x.numpy(), strided(m, x, w, p)[1]], "right"),
    ("11.3", lambda m, x, w, p: strided(m, x, w, p)[::-1], "wrong order"),
    ("11.3", lambda m, x, w, p: (x, None), "no output at any place"),
    ("11.3", lambda m, x, w, p: (x, None if p % 2 else w[:, :, 0] @ m), "the input of this place"),
    ("11.3", lambda m, x, w, p: (m + x, strided(m, x, w, p)[1]), "this very step"),
    ("11.3", forgets_odd_places, "remembered all the same"),
    ("11.3", lambda m, x, w, p: (m, strided(m, x, w, p)[1]), "remember nothing"),
    ("11.3", lambda m, x, w, p: (x, strided(m, x, w, 0)[1]), "at even places only"),
    ("11.3", lambda m, x, w, p: (x, strided(m, x, w, p + 1)[1]), "at the odd places"),
    ("11.3", lambda m, x, w, p: (x, strided(m, x, w.flip(2), p)[1]), "taps are swapped"),
    ("11.3", lambda m, x, w, p: (x, None if p % 2 else w[:, :, 1] @ x), "leaves out the input before"),
    ("11.3", lambda m, x, w, p: (x, None if p % 2 else torch.zeros(4)), "are not those of the convolution"),
    ("11.3", lambda m, x, w, p: (x, None if p % 3 else torch.zeros(4)), "every even place and at no odd one"),
    ("11.3", lambda m, x, w, p: (None, None) if p % 2 else strided(m, x, w, p), "at every place"),
    ("11.3", lambda m, x, w, p: x, "return two things".capitalize()),
    ("11.1", only_naive, "for some inputs your function returns nothing".capitalize()),
    ("11.2", lambda a, s, t: (a.double() / t, s.double() + math.log(t)), "right"),
    ("11.2", lambda a, s, t: ((a / t).log_softmax(-1), s + math.log(t)), "normalised besides"),
    ("11.3", lambda m, x, w, p: (x, None if p % 2 else strided(m, x, w, p)[1].double()), "right"),
    ("11.3", lambda m, x, w, p: (x, None if p % 2 else strided(m, x, w, p)[1][:, None]), "yours has the shape (4, 1)"),
]
