"""Answers that readers are likely to give in chapter 3, each with words of the diagnosis it must get."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from pixelcnn_edu.causal import MaskedConv2d


def gradient(logits, target):
    return logits.softmax(0) - F.one_hot(torch.tensor(target), len(logits))


def by_autograd(logits, target):
    logits = logits.requires_grad_()
    return torch.autograd.grad(F.cross_entropy(logits[None], torch.tensor([target])), logits)[0]


def mask(n_in, n_out, size, kind, order=(0, 1, 2), everywhere=False):
    """The grouped mask; `order` is the order in which the colours come to be known."""
    rank = torch.tensor(order)
    source, target = rank[torch.arange(n_in) // (n_in // 3)], rank[torch.arange(n_out) // (n_out // 3)]
    centre = size // 2
    result = torch.zeros(n_out, n_in, size, size)
    result[:, :, :centre] = 1
    result[:, :, centre, :centre] = 1
    rule = source <= target[:, None] if kind == "B" else source < target[:, None]
    if everywhere:
        result *= rule[:, :, None, None]
    result[:, :, centre, centre] = rule.float()
    return result


def groups_of_three(n_in, n_out, size, kind):
    result = mask(n_in, n_out, size, kind)
    source, target = torch.arange(n_in) // 3, torch.arange(n_out)[:, None] // 3
    result[:, :, size // 2, size // 2] = (source <= target if kind == "B" else source < target).float()
    return result


def other(kind):
    return "B" if kind == "A" else "A"


def without_colours(n_in, n_out, size, kind):
    return MaskedConv2d(1, 1, size, kind).mask.expand(n_out, n_in, size, size)


def without_left(*case):
    result = mask(*case)
    result[:, :, case[2] // 2, : case[2] // 2] = 0
    return result


ANSWERS = [
    ("3.1", lambda f, n: 2 * f * n, "right"),
    ("3.1", lambda f, n: f * 3 * n, "every weight"),
    ("3.1", lambda f, n: f * n, "type A"),
    ("3.1", lambda f, n: 2 * f * n / 3, "each colour has its own"),
    ("3.1", lambda f, n: 5 * f * n / 3, "Five ninths"),
    ("3.1", lambda f, n: 7, "you say 7"),
    ("3.1", lambda f, n: torch.tensor(f * 3 * n * 2 / 3), "right"),
    ("3.1", lambda f, n: sum(f // 3 * n * colours for colours in (1, 2, 3)), "right"),
    ("3.1", lambda f, n: f * n * 6, "a third of the features"),
    ("3.1", lambda f, n: f * n * 4 / 3, "how many of the nine".capitalize()),
    ("3.1", lambda f, n: 2 * f * n + 3 * n, "biases too"),
    ("3.1", lambda f, n: f * f * n, "has only 72 weights"),
    ("3.1", lambda f, n: (f, 3 * n), "one number is asked for".capitalize()),
    ("3.2", gradient, "right"),
    ("3.2", lambda z, t: gradient(z.double(), t), "right"),
    ("3.2", lambda z, t: np.exp(z.numpy()) / np.exp(z.numpy()).sum() - np.eye(len(z))[t], "right"),
    ("3.2", lambda z, t: list(gradient(z, t)), "right"),
    ("3.2", lambda z, t: z.log_softmax(0), "the logarithms of the probabilities"),
    ("3.2", lambda z, t: z.softmax(0)[t] * gradient(z, t), "the probability itself"),
    ("3.2", lambda z, t: z.softmax(0) * (1 - z.softmax(0)), "by its own logit"),
    ("3.2", lambda z, t: gradient(z, max(t - 1, 0)) if t else z.softmax(0) - torch.eye(len(z))[-1], "off by one place"),
    ("3.2", lambda z, t: z.softmax(0) - 1, "from every level"),
    ("3.2", lambda z, t: z.softmax(0) - t, "the number of the target level"),
    ("3.2", lambda z, t: gradient(z, t)[None], "has the shape (1, 5)"),
    ("3.2", by_autograd, "right"),
    ("3.2", lambda z, t: gradient(z, t).tolist(), "right"),
    ("3.2", lambda z, t: -gradient(z, t), "sign"),
    ("3.2", lambda z, t: z.softmax(0), "pull"),
    ("3.2", lambda z, t: gradient(z, t) * F.one_hot(torch.tensor(t), len(z)), "Only the target"),
    ("3.2", lambda z, t: -F.one_hot(torch.tensor(t), len(z)) / z.softmax(0), "Only the target"),
    ("3.2", lambda z, t: gradient(z, t) / len(z), "divide by the number of levels"),
    ("3.2", lambda z, t: z - F.one_hot(torch.tensor(t), len(z)), "must sum to 0"),
    ("3.2", lambda z, t: 2 * gradient(z, t), "the shares are not"),
    ("3.2", lambda z, t: z.softmax(0)[t] - 1, "has the shape ()"),
    ("3.3", mask, "right"),
    ("3.3", lambda i, o, k, t: mask(i, o, k, t).numpy().astype(bool), "right"),
    ("3.3", lambda i, o, k, t: MaskedConv2d(i, o, k, t, colors=3).mask, "take turns"),
    ("3.3", lambda i, o, k, t: mask(i, o, k, other(t)), "swapped"),
    ("3.3", lambda i, o, k, t: mask(i, o, k, t, order=(2, 1, 0)), "red sees blue"),
    ("3.3", lambda i, o, k, t: mask(i, o, k, t).tolist(), "right"),
    ("3.3", lambda i, o, k, t: mask(i, o, k, t) / 2, "0 and 1 only"),
    ("3.3", groups_of_three, "a third of all channels"),
    ("3.3", lambda i, o, k, t: mask(i, o, k, t).transpose(2, 3), "off the centre row".capitalize()),
    ("3.3", lambda i, o, k, t: mask(i, o, k, t)[0], "must have the shape"),
    ("3.3", lambda i, o, k, t: mask(o, i, k, t), "must have the shape"),
    ("3.3", without_colours, "as a whole"),
    ("3.3", lambda i, o, k, t: mask(i, o, k, t, everywhere=True), "earlier pixels too"),
    ("3.3", lambda i, o, k, t: mask(i, o, k, "B"), "A and your B agree"),
    ("3.3", lambda i, o, k, t: torch.ones(o, i, k, k), "chapter 2's"),
    ("3.3", lambda i, o, k, t: mask(i, o, k, t, order=(1, 0, 2)), "colour by colour"),
    ("3.2", lambda z, t: gradient(z, t) / math.log(2), "in nats"),
    ("3.3", without_left, "In the centre row"),
]
