"""Answers that readers are likely to give in chapter 1, each with words of the diagnosis it must get."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def table_bits(train, test, levels, start=1, dim=1, measured=None):
    counts = torch.full((levels, levels), float(start))
    for before, after in zip(train[:-1], train[1:]):  # noqa: RUF007
        counts[before, after] += 1
    p = counts / counts.sum(dim, keepdim=True)
    measured = test if measured is None else measured
    return -p[measured[:-1], measured[1:]].log2().mean()


def single_bits(train, test, levels):
    counts = torch.bincount(train, minlength=levels) + 1
    return -(counts / counts.sum())[test].log2().mean()


def raw_bits(train, test, levels):
    counts = torch.bincount(levels * train[:-1] + train[1:], minlength=levels**2).view(levels, levels)
    return -((counts + 1) / counts.sum(1, keepdim=True))[test[:-1], test[1:]].log2().mean()


def pairs_bits(before, after, test, levels, counted_once=False, tiny=None):
    """The bits of test by a table of the given pairs."""
    counts = torch.ones(levels, levels) if tiny is None else torch.full((levels, levels), tiny).double()
    if counted_once:
        counts[before, after] += 1
    else:
        counts.index_put_((before, after), torch.ones((), dtype=counts.dtype), accumulate=True)
    return -(counts / counts.sum(1, keepdim=True))[test[:-1], test[1:]].log2().mean()


def every_second(train, test, levels):
    bits = [table_bits(train, test[k : k + 2], levels) for k in range(0, len(test) - 1, 2)]
    return sum(bits) / len(bits)


def row_sum_plus_one(train, test, levels):
    counts = torch.bincount(levels * train[:-1] + train[1:], minlength=levels**2).view(levels, levels)
    return -((counts + 1) / (counts.sum(1, keepdim=True) + 1))[test[:-1], test[1:]].log2().mean()


def around(images, rows, columns, ahead=0, outside=128):
    """The pixels up to `rows` above and `columns` aside, and those to the left, or as far as `ahead` to the right."""
    height, width = images.shape[-2:]
    padded = F.pad(images.double(), (columns, columns, rows, 0), value=outside)
    steps = [(i, j) for i in range(rows + 1) for j in range(2 * columns + 1) if i < rows or j < columns + ahead]
    return torch.cat([padded[..., i : i + height, j : j + width] for i, j in steps], dim=1)


def wide(images):
    return torch.cat([around(images, 2, 2), images[:, :1].double()], dim=1)


def with_mean(images):
    return torch.cat([wide(images), images.double().mean((2, 3), keepdim=True).expand(images.shape)], dim=1)


def shifted(x, right, down):
    """What stands so far to the right and down, 0 outside the image."""
    padded = F.pad(x.double(), (max(-right, 0), max(right, 0), 0, down))
    return padded[..., down:, max(right, 0) : max(right, 0) + x.shape[-1]]


ANSWERS = [
    ("1.1", lambda p: -p.log2().mean(), "right"),
    ("1.1", lambda p: -p.log2().flatten(1).mean(1).mean().item(), "right"),
    ("1.1", lambda p: p.log2().mean(), "sign"),
    ("1.1", lambda p: -p.log().mean(), "nats"),
    ("1.1", lambda p: -p.mean().log2(), "average probabilities"),
    ("1.1", lambda p: -p.log2().sum(1).mean(), "bits a pixel"),
    ("1.1", lambda p: -p.log2().sum() / len(p), "bits an image"),
    ("1.1", lambda p: -p.log2().sum(), "grows with the number"),
    ("1.1", lambda p: -p.log2().mean((1, 2, 3)), "the shape (4,)"),
    ("1.1", lambda p: 3.0, "you say 3"),
    ("1.1", lambda p: -np.log2(p.numpy()).mean(), "right"),
    ("1.1", lambda p: p.double().log().mean() / -math.log(2), "right"),
    ("1.1", lambda p: -p.log2().mean((0, 1, 2, 3), keepdim=True), "right"),
    ("1.1", lambda p: -(p * p.log2()).mean(), "as in an entropy"),
    ("1.1", lambda p: -p.log().mean() * math.log(2), "multiply nats by ln 2"),
    ("1.1", lambda p: -p.log10().mean(), "base 10"),
    ("1.1", lambda p: -p.prod().log2() / p.numel(), "a product of so many"),
    ("1.1", lambda p: -p.log2().mean((1, 2, 3)).sum(), "grows with the number"),
    ("1.1", lambda p: -p.log2().mean(1).sum(), "grows with the number"),
    ("1.1", lambda p: -p.log2().mean((0, 1)).sum(), "size of the image"),
    ("1.1", lambda p: -p.log2().mean((0, 2, 3)), "the shape (3,)"),
    ("1.1", lambda p: (-p.log2().mean()).half(), "float16, which keeps only three digits"),
    ("1.1", lambda p: str(-p.log2().mean().item()), "you return a str"),
    ("1.2", table_bits, "right"),
    ("1.2", lambda train, test, n: pairs_bits(train[:-1], train[1:], test, n).numpy(), "right"),
    ("1.2", lambda train, test, n: pairs_bits(train[:-1], train[1:], test, n, counted_once=True), "only once per place"),
    ("1.2", lambda train, test, n: pairs_bits(train[:-1:2], train[1::2], test, n), "pairs side by side"),
    ("1.2", lambda train, test, n: pairs_bits(train[1:], train[:-1], test, n), "turned round"),
    ("1.2", lambda train, test, n: pairs_bits(train[:-1], train[1:], test.flip(0), n), "turned round"),
    ("1.2", lambda train, test, n: pairs_bits(train, train.roll(-1), test, n), "joins the two ends"),
    ("1.2", lambda train, test, n: pairs_bits(train[:-1], train[1:], test, n, tiny=1e-9), "from a tiny number"),
    ("1.2", every_second, "every second number of test"),
    ("1.2", row_sum_plus_one, "1 to the sum of a row"),
    ("1.2", lambda train, test, n: (table_bits(train, test, n),), "you return a tuple"),
    ("1.2", lambda train, test, n: table_bits(train, test, n, start=0), "not finite"),
    ("1.2", lambda train, test, n: table_bits(train, test, n, dim=(0, 1)), "the pair"),
    ("1.2", lambda train, test, n: table_bits(train, test, n, dim=0), "columns"),
    ("1.2", lambda train, test, n: table_bits(train, test, n, measured=train), "the bits of train"),
    ("1.2", lambda train, test, n: table_bits(test, test, n), "only train"),
    ("1.2", single_bits, "single numbers"),
    ("1.2", lambda *a: table_bits(*a) * math.log(2), "nats"),
    ("1.2", lambda train, test, n: table_bits(train, test, n) * (len(test) - 1), "the sum"),
    ("1.2", lambda train, test, n: table_bits(train, test, n) * (len(test) - 1) / len(test), "none before it"),
    ("1.2", raw_bits, "old sums"),
    ("1.2", lambda train, test, n: train.float(), "One number"),
    ("1.2", lambda *a: 7.0, "you say 7"),
    ("1.3", wide, "right"),
    ("1.3", lambda x: wide(x).numpy(), "right"),
    ("1.3", lambda x: wide(x.float() / 127.5 - 1), "outside the image"),
    ("1.3", lambda x: wide(x) / 0, "nan or infinity"),
    ("1.3", lambda x: torch.cat([wide(x), x.roll(3, 3).double()], dim=1), "carry the other edge"),
    ("1.3", lambda x: wide(x).movedim(1, -1), "must have the shape"),
    ("1.3", lambda x: around(x, 2, 2)[..., 1:-1, 1:-1], "must have the shape"),
    ("1.3", lambda x: around(x, 2, 2, ahead=1), "itself"),
    ("1.3", lambda x: torch.cat([wide(x), x[:, 2:].double()], dim=1), "blue"),
    ("1.3", lambda x: torch.cat([wide(x), F.pad(x.double(), (0, 1))[..., 1:]], dim=1), "right of it"),
    ("1.3", lambda x: torch.cat([wide(x), F.pad(x.double(), (0, 0, 0, 1))[..., 1:, :]], dim=1), "below it"),
    ("1.3", with_mean, "whole image"),
    ("1.3", lambda x: around(x, 1, 1), "own red"),
    ("1.3", lambda x: torch.cat([around(x, 1, 1), x[:, :1].double()], dim=1), "Look further"),
    ("1.3", lambda x: torch.cat([around(x, 3, 3, outside=0), x[:, :1].double()], dim=1), "outside the image"),
    ("1.3", lambda x: wide(x).flatten(1), "must have the shape"),
    ("1.1", lambda p: -p.log2_().mean(), "right"),
    ("1.3", lambda x: torch.cat([wide(x), shifted(x, 3, 0)], dim=1), "pixels later in raster order"),
    ("1.3", lambda x: torch.cat([wide(x), shifted(x, 0, 2)], dim=1), "pixels later in raster order"),
    ("1.3", lambda x: torch.cat([wide(x), shifted(x, -1, 1)], dim=1), "pixels later in raster order"),
    ("1.3", lambda x: torch.cat([wide(x), x.double().roll(3, 3)], dim=1), "pixels later in raster order"),
]
