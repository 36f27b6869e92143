"""Answers that readers are likely to give in chapter 8, each with words of the diagnosis it must get."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F


def best(record, key):
    return min(record, key=lambda line: line[key])


def first_rise(record):
    for line, following in itertools.pairwise(record):
        if following["held_out"] > line["held_out"]:
            return line["step"]
    return record[-1]["step"]


def drop(x, p, training, shape=None, keep=None, scale=None):
    if not training:
        return x
    kept = torch.rand(shape or x.shape) >= (p if keep is None else 1 - keep)
    return x * kept * (1 / (1 - p) if scale is None else scale)


def in_place(x, p, training):
    return x.mul_(torch.rand_like(x) >= p).div_(1 - p) if training else x


def same_mask(x, p, training):
    generator = torch.Generator().manual_seed(0)
    return x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p) if training else x


def variance(weight, x, p, whole_channels, factor=None):
    terms = weight * x
    if whole_channels:
        terms = terms.sum(dim=1)
    return (p / (1 - p) if factor is None else factor) * terms.square().sum()


def by_sorting(record):
    record.sort(key=lambda line: line["held_out"])
    return record[0]["step"]


def of_four_axes(x, p, training):
    _, _, _, _ = x.shape
    return drop(x, p, training)


def in_place_variance(weight, x, p, whole_channels):
    return variance(weight.mul_(x), 1, p, whole_channels)


ANSWERS = [
    ("8.1", lambda record: best(record, "held_out")["step"], "right"),
    ("8.1", lambda record: best(record, "train")["step"], "training curve"),
    ("8.1", lambda record: record[-1]["step"], "where training ended"),
    ("8.1", lambda record: min(record, key=lambda r: r["held_out"] - r["train"])["step"], "gap is smallest"),
    ("8.1", first_rise, "first rise"),
    ("8.1", lambda record: record.index(best(record, "held_out")), "place in the list"),
    ("8.1", lambda record: best(record, "held_out")["held_out"], "lowest held-out cost; asked is the step"),
    ("8.1", lambda record: 100, "you choose 100"),
    ("8.1", lambda record: best(record, "held_out"), "its step alone"),
    ("8.1", lambda record: 25, "You say 25"),
    ("8.1", by_sorting, "right"),
    ("8.1", lambda record: np.array([line["step"] for line in record])[np.argmin([r["held_out"] for r in record])], "right"),
    (
        "8.1",
        lambda record: record[record.index(best(record, "held_out")) + 1]["step"] if len(record) > 2 else 0,
        "line after the",
    ),
    ("8.1", lambda record: record.index(best(record, "held_out")) + 1, "counted from 1"),
    ("8.1", lambda record: max(line["held_out"] for line in record), "highest held-out cost"),
    ("8.1", lambda record: 75, "one line too far at the first rise"),
    ("8.2", drop, "right"),
    ("8.2", lambda x, p, training: F.dropout(x, p, training), "right"),
    ("8.2", lambda x, p, training: drop(x.double(), p, training), "right"),
    ("8.2", lambda x, p, training: torch.where(torch.rand_like(x) < p, 0, x / (1 - p)) if training else x.clone(), "right"),
    ("8.2", lambda x, p, training: x * torch.rand_like(x) / (1 - p) if training else x, "random numbers themselves"),
    ("8.2", lambda x, p, training: x * (torch.randn_like(x) > p) / (1 - p) if training else x, "come from randn"),
    ("8.2", lambda x, p, training: drop(x, p, training, scale=1 / max(p, 0.01)), "divide by p"),
    ("8.2", lambda x, p, training: drop(x, p, training) if training else x.mul_(1), "right"),
    ("8.2", lambda x, p, training: drop(x, p, training) if training else x.mul_(0.75), "changes its argument"),
    ("8.2", lambda x, p, training: drop(x, p, training) if training else x.sum(), "shape changes"),
    ("8.2", lambda x, p, training: drop(x, p, True), "still drop"),
    ("8.2", lambda x, p, training: drop(x, p, True, scale=1) if training else x * (1 - p), "you multiply by 0.75"),
    ("8.2", lambda x, p, training: drop(x, p, training, scale=1), "multiplied by 1, so the mean is 0.75"),
    ("8.2", lambda x, p, training: drop(x, p, training, keep=p), "not of keeping"),
    ("8.2", lambda x, p, training: drop(x, p, training, shape=(*x.shape[:2], 1, 1)), "whole channels"),
    ("8.2", lambda x, p, training: drop(x, p, training, shape=(1, *x.shape[1:])), "one mask for several"),
    ("8.2", lambda x, p, training: drop(x, p, training, shape=(len(x), 1, *x.shape[2:])), "one mask for several"),
    ("8.2", lambda x, p, training: drop(x, p, training, shape=(1,)), "draw once for the whole tensor"),
    ("8.2", lambda x, p, training: x / (1 - p) if training else x, "nothing is dropped"),
    ("8.2", in_place, "changes its argument"),
    ("8.2", same_mask, "drawn anew"),
    ("8.2", lambda x, p, training: x, "nothing is dropped"),
    ("8.2", lambda x, p, training: drop(x, p / 2, training), "you drop 1"),
    ("8.2", lambda x, p, training: drop(x, p or 0.25, training), "At p = 0"),
    ("8.2", lambda x, p, training: drop(x, p, training).flatten(), "shape changes"),
    ("8.3", variance, "right"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole, p * (1 - p)), "zeros and ones"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole, (1 - p) / p), "swapped: at p = 0"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole, 1 / (1 - p)), "mean of the square"),
    ("8.3", lambda w, x, p, whole: p / (1 - p) * (w * x).sum() ** 2, "you square the sum"),
    ("8.3", lambda w, x, p, whole: variance(torch.ones_like(w), x, p, whole), "weights are missing"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, not whole), "two cases are swapped"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, False), "Both kinds come out equal"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole) * (2 if whole else 1), "whole channels should give"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole) ** 0.5, "standard deviation"),
    ("8.3", lambda w, x, p, whole: p / (1 - p) * (w * x) ** 2, "you return the shape (3, 5)"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole).float(), "right"),
    ("8.3", lambda w, x, p, whole: p / (1 - p) * np.square((w * x).sum(1) if whole else w * x).sum().numpy(), "right"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole, p), "once"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole, p / (1 - p) ** 2), "not p"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole, 1), "squares alone"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole) / (3 if whole else 15), "of the terms' variances"),
    ("8.3", lambda w, x, p, whole: p / (1 - p) * (w * x).sum(), "enters squared"),
    ("8.3", lambda w, x, p, whole: variance(w, torch.ones_like(x), p, whole), "activations are missing"),
    ("8.3", lambda w, x, p, whole: variance(w, x, p, whole) * 1.03, "do you sample?"),
    ("8.3", lambda w, x, p, whole: variance(w.T, x.T, p, whole), "channels at each place"),
    ("8.3", lambda w, x, p, whole: variance((w * x).view(1, -1), 1, p, whole), "each channel has a draw"),
    ("8.3", lambda w, x, p, whole: 1.0, "you say 1"),
    (
        "8.1",
        lambda record: best([{**line, "held_out": -line["held_out"]} for line in record], "held_out")["step"],
        "the cost highest",
    ),
    ("8.2", lambda x, p, training: drop(x, p, training, shape=(*x.shape[:3], 1)), "rows or columns"),
    ("8.2", lambda x, p, training: drop(x, p, training, shape=(*x.shape[:2], 1, x.shape[-1])), "rows or columns"),
    ("8.2", of_four_axes, "stopped with ValueError"),
    ("8.3", in_place_variance, "right"),
]
