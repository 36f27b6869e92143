"""Answers that readers are likely to give in chapter 9, each with words of the diagnosis it must get."""

import math

import numpy as np
import torch


def parts(g, v, w, dims=(1, 2, 3)):
    norm = v.square().sum(dim=dims, keepdim=True).sqrt()
    along = (w * v / norm).sum(dim=(1, 2, 3), keepdim=True)
    return norm, along, w - along * v / norm


def gradients(g, v, w):
    norm, along, across = parts(g, v, w)
    return along, g / norm * across


def with_part_along(g, v, w):
    norm, along, _ = parts(g, v, w)
    return along, g / norm * w


def without_length(g, v, w):
    norm, along, across = parts(g, v, w)
    return along, across / norm


def without_norm(g, v, w):
    _, along, across = parts(g, v, w)
    return along, g * across


def by_autograd(g, v, w):
    g, v = g.requires_grad_(), v.requires_grad_()
    return torch.autograd.grad(g * v / v.flatten(1).norm(dim=1).view_as(g), (g, v), w)


def unit_forgotten(g, v, w):
    norm, along, _ = parts(g, v, w)
    return along, g / norm * (w - along * v)


def by_weights(history, decay):
    shares = [decay**n for n in range(len(history))][::-1]
    return [sum(share * w for share, w in zip(shares, weights)) / sum(shares) for weights in zip(*history)]


def in_place(g, v, w):
    right = gradients(g, v, w)
    w.sub_(right[0] * v)
    return right


def average(history, decay, new=None, start=None, correct=True):
    new = 1 - decay if new is None else new
    result = [torch.zeros_like(w) for w in history[0]] if start is None else start
    for weights in history if start is None else history[1:]:
        result = [decay * a + new * w for a, w in zip(result, weights)]
    return [a / (1 - decay ** len(history)) for a in result] if correct else result


def first_tensor_only(history, decay, correct=True):
    return [average(history, decay, correct=correct)[0], *(torch.zeros_like(w) for w in history[0][1:])]


def swapped(history, decay):
    return average(history, 1 - decay, correct=False)


def swapped_and_corrected(history, decay):
    return [a / (1 - decay ** len(history)) for a in swapped(history, decay)]


def corrected_inside(history, decay, exponent=None):
    result = [torch.zeros_like(w) for w in history[0]]
    for n, weights in enumerate(history, 1):
        result = [(decay * a + (1 - decay) * w) / (1 - decay ** (exponent or n)) for a, w in zip(result, weights)]
    return result


def counts_from_zero(history, decay):
    result = average(history, decay, correct=False)
    return [a / (1 - decay ** (len(history) - 1)) for a in result]


def overwrites(history, decay):
    result = average(history, decay)
    for w, a in zip(history[-1], result):
        w.copy_(a)
    return result


def without_g_over_length(g, v, w):
    norm, along, _ = parts(g, v, w)
    return along, w - along * v / norm


ANSWERS = [
    ("9.1", lambda d: math.log(0.5) / math.log(d), "right"),
    ("9.1", lambda d: math.log(2) / math.log(d), "below 0"),
    ("9.1", lambda d: math.log(d) / math.log(0.5), "upside down"),
    ("9.1", lambda d: 1 / (1 - d), "memory"),
    ("9.1", lambda d: -1 / math.log(d), "1/e"),
    ("9.1", lambda d: 0.5 / (1 - d), "multiply"),
    ("9.1", lambda d: math.ceil(math.log(0.5) / math.log(d)), "rounding"),
    ("9.1", lambda d: 3, "At 0.5 you say 3"),
    ("9.2", gradients, "right"),
    ("9.2", lambda g, v, w: list(gradients(g, v, w)), "right"),
    ("9.2", with_part_along, "part along V"),
    ("9.2", without_length, "g times as long"),
    ("9.2", without_norm, "hard to turn"),
    ("9.2", lambda g, v, w: (gradients(g, v, w)[0], w), "should be 0"),
    ("9.2", lambda g, v, w: ((w * v).sum(dim=(1, 2, 3), keepdim=True), w), "grows with V"),
    ("9.2", lambda g, v, w: (parts(g, v, w, dims=(0, 1, 2, 3))[1], w), "one norm over the whole"),
    ("9.2", lambda g, v, w: (w.sum(dim=(1, 2, 3), keepdim=True), w), "unit vector"),
    ("9.2", lambda g, v, w: gradients(g, v, w)[::-1], "wrong order"),
    ("9.2", lambda g, v, w: (gradients(g, v, w)[0].flatten(), w), "shape"),
    ("9.2", lambda g, v, w: w, "two tensors"),
    ("9.2", in_place, "changes the tensors"),
    ("9.3", average, "right"),
    ("9.3", lambda h, d: tuple(average(h, d)), "right"),
    ("9.3", first_tensor_only, "end too early"),
    ("9.3", lambda h, d: first_tensor_only(h, d, correct=False), "end too early"),
    ("9.3", lambda h, d: average(h, d)[:1], "for each tensor"),
    ("9.3", lambda h, d: average(h, d, correct=False), "come out as 0.41"),
    ("9.3", lambda h, d: average(h, d, start=h[0], correct=False), "still weigh 0.66"),
    ("9.3", swapped, "old average's share"),
    ("9.3", swapped_and_corrected, "old average's share"),
    ("9.3", lambda h, d: average(h, 1 - d), "old average's share"),
    ("9.3", lambda h, d: [sum(ws) / len(h) for ws in zip(*h)], "weigh the same"),
    ("9.3", corrected_inside, "inside the loop"),
    ("9.3", lambda h, d: corrected_inside(h, d, len(h)), "inside the loop"),
    ("9.3", counts_from_zero, "count from 1"),
    ("9.3", overwrites, "never writes"),
    ("9.3", lambda h, d: average(h, d, start=h[0]), "shares must add up"),
    ("9.3", lambda h, d: h[0], "not right"),
    ("9.3", lambda h, d: average(h, d) if len(h) > 1 else [w / 2 for w in h[0]], "after a single one"),
    ("9.1", lambda d: torch.tensor(0.5).log() / torch.tensor(d).log(), "float32 keeps too few"),
    ("9.1", lambda d: math.log(2) / (1 - d), "close for a decay near 1"),
    ("9.1", lambda d: math.log(0.5) / (1 - d), "only where the decay is near 1"),
    ("9.1", lambda d: math.log(d), "one step's factor"),
    ("9.1", lambda d: 0.5 / d, "is an exponent"),
    ("9.1", lambda d: math.log(0.5, d), "right"),
    ("9.1", lambda d: -1 / np.log2([d]), "right"),
    ("9.2", lambda g, v, w: tuple(part.numpy() for part in gradients(g, v, w)), "right"),
    ("9.2", by_autograd, "right"),
    ("9.2", lambda g, v, w: gradients(g.float(), v.float(), w.float()), "right"),
    ("9.2", lambda g, v, w: (gradients(g, v, w)[0] / 18, w), "average over the weights"),
    ("9.2", lambda g, v, w: (gradients(g, v, w)[0] * g, w), "has g in it"),
    ("9.2", lambda g, v, w: (-gradients(g, v, w)[0], w), "wrong sign"),
    ("9.2", lambda g, v, w: (gradients(g, v, w)[0], -gradients(g, v, w)[1]), "the one for V has the wrong sign"),
    ("9.2", unit_forgotten, "too long for that"),
    ("9.3", lambda h, d: [a.numpy() for a in average(h, d)], "right"),
    ("9.3", by_weights, "right"),
    ("9.3", lambda h, d: h[-1], "nothing averaged"),
    ("9.3", lambda h, d: average(h, d, new=1.0, correct=False), "enter whole"),
    ("9.3", lambda h, d: [a * (1 - d ** len(h)) for a in average(h, d, correct=False)], "so divide by it"),
    ("9.3", lambda h, d: [a / d ** len(h) for a in average(h, d, correct=False)], "share of the start"),
    ("9.3", lambda h, d: [a / (1 - d) for a in average(h, d, correct=False)], "as after one step"),
    ("9.2", without_g_over_length, "W is g / ||V|| times V"),
    ("9.3", lambda h, d: [a.double() for a in average(h, d)], "right"),
]
