"""Answers that readers are likely to give in chapter 1, each with words of the diagnosis it must get."""

import math

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
    ("1.2", table_bits, "right"),
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
    ("1.3", lambda x: torch.cat([wide(x), shifted(x, 3, 0)], dim=1), "later in raster order"),
    ("1.3", lambda x: torch.cat([wide(x), shifted(x, 0, 2)], dim=1), "later in raster order"),
    ("1.3", lambda x: torch.cat([wide(x), shifted(x, -1, 1)], dim=1), "later in raster order"),
    ("1.3", lambda x: torch.cat([wide(x), x.double().roll(3, 3)], dim=1), "later in raster order"),
]
