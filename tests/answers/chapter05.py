"""Answers that readers are likely to give in chapter 5, each with words of the diagnosis it must get."""

import math

import numpy as np
import torch


def lean(means, coefficients, pixel, squash=math.tanh, scale=lambda v: 2 * v / 255 - 1, blue_on=1, order=(0, 1, 2)):
    x = [scale(value) for value in pixel]
    alpha, beta, gamma = (squash(coefficients[k]) for k in order)
    return [means[0], means[1] + alpha * x[0], means[2] + beta * x[0] + gamma * x[blue_on]]


def bits(weights, p):
    joint = weights @ p.cumprod(dim=1)
    return -torch.log2(joint / torch.cat([joint.new_ones(1), joint[:-1]]))


def by_posterior(weights, p, green=True, divide=True):
    """Bits by weights that each colour updates."""
    costs = []
    for colour in range(3):
        mixed = weights @ p[:, colour]
        costs.append(-torch.log2(mixed))
        if colour == 0 or green:
            weights = weights * p[:, colour] / (mixed if divide else 1)
    return costs


ANSWERS = [
    ("5.1", lambda c, k: k * (1 + 2 * c + c * (c - 1) // 2), "right"),
    ("5.1", lambda c, k: 10 * k, "is for three channels"),
    ("5.1", lambda c, k: k * (1 + 3 * c), "by accident"),
    ("5.1", lambda c, k: k * (1 + 2 * c + c * (c - 1)), "pair of channels twice"),
    ("5.1", lambda c, k: k * (3 * c + c * (c - 1) // 2), "logit of its own"),
    ("5.1", lambda c, k: k * (2 * c + c * (c - 1) // 2), "left out the logits"),
    ("5.1", lambda c, k: 1 + k * (2 * c + c * (c - 1) // 2), "each has its own"),
    ("5.1", lambda c, k: k * (1 + 2 * c), "left out the coefficients"),
    ("5.1", lambda c, k: 100, "For 1 channel(s) and 10 components you say 100"),
    ("5.1", lambda c, k: k + 2 * c * k + k * sum(range(c)), "right"),
    ("5.1", lambda c, k: np.int64(k * (c + 1) * (c + 2) // 2), "right"),
    ("5.1", lambda c, k: k * (1 + c + c * (c - 1) // 2), "a mean and a log-scale"),
    ("5.1", lambda c, k: k * (1 + 2 * c + c * (c + 1) // 2), "for itself too"),
    ("5.1", lambda c, k: k * (1 + 2 * c + c * c), "for every channel"),
    ("5.1", lambda c, k: k * (1 + 2 * c + c * (c - 1) // 2) - 1, "all of them"),
    ("5.2", lean, "right"),
    ("5.2", lambda m, c, p: np.array(lean(m, c, p), dtype=np.float32), "right"),
    ("5.2", lambda m, c, p: [torch.tensor([mean]) for mean in lean(m, c, p)], "right"),
    ("5.2", lambda m, c, p: lean(m, c, p, scale=lambda v: v / 128 - 1), "a little off"),
    ("5.2", lambda m, c, p: lean(m, c, p, squash=lambda v: 1 / (1 + math.exp(-v))), "with a sigmoid"),
    ("5.2", lambda m, c, p: str(m), "you return a str"),
    ("5.2", lambda m, c, p: torch.tensor(lean(m, c, p)), "right"),
    ("5.2", lambda m, c, p: lean(m, c, p, squash=float), "tanh"),
    ("5.2", lambda m, c, p: lean(m, c, p, blue_on=2), "blue itself"),
    ("5.2", lambda m, c, p: lean(m, [*c[:2], 0], p), "green too"),
    ("5.2", lambda m, c, p: lean(m, c, p, order=(0, 2, 1)), "swapped"),
    ("5.2", lambda m, c, p: lean(m, c, p, scale=float), "levels 0..255"),
    ("5.2", lambda m, c, p: lean(m, c, p, scale=lambda v: v / 255), "0..1"),
    ("5.2", lambda m, c, p: lean(m, c, m, scale=float), "means of the earlier colours"),
    ("5.2", lambda m, c, p: [0.0, *lean(m, c, p)[1:]], "leans on nothing"),
    ("5.2", lambda m, c, p: m, "mean of green is off"),
    ("5.2", lambda m, c, p: m[:2], "you give 2"),
    ("5.2", lambda m, c, p: m[1], "you give 1"),
    ("5.3", bits, "right"),
    ("5.3", lambda w, p: bits(w, p).tolist(), "right"),
    ("5.3", lambda w, p: bits(w, p).numpy(), "right"),
    ("5.3", by_posterior, "right"),
    ("5.3", lambda w, p: tuple(by_posterior(w, p)), "right"),
    ("5.3", lambda w, p: bits(w, p) * math.log10(2), "base 10"),
    ("5.3", lambda w, p: by_posterior(w, p, green=False), "green does not"),
    ("5.3", lambda w, p: bits(w.softmax(0), p), "weights already"),
    ("5.3", lambda w, p: bits(torch.full_like(w, 1 / len(w)), p), "counts the same"),
    ("5.3", lambda w, p: by_posterior(w, p, green=False, divide=False), "do not sum to 1"),
    ("5.3", lambda w, p: -bits(w, p), "sign"),
    ("5.3", lambda w, p: bits(w, p) * math.log(2), "nats"),
    ("5.3", lambda w, p: -torch.log2(w @ p), "from the start"),
    ("5.3", lambda w, p: -torch.log2(w @ p.cumprod(dim=1)), "what was paid before"),
    ("5.3", lambda w, p: -(w @ p.log2()), "average their probabilities"),
    ("5.3", lambda w, p: -p.prod(dim=0).log2(), "multiply over components"),
    ("5.3", lambda w, p: -torch.log2(w @ p.prod(dim=1)), "you give 1"),
    ("5.3", lambda w, p: 2 * bits(w, p), "yours add up to"),
    ("5.3", lambda w, p: bits(w, p).flip(0), "The sum is right"),
]
