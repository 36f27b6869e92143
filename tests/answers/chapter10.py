"""Answers that readers are likely to give in chapter 10, each with words of the diagnosis it must get."""

import math

import numpy as np
import torch


def batch_means(model, images, size):
    return [model.bits_per_dim(batch).mean().item() for batch in images.split(size)]


def weighted_means(model, images, size):
    parts = images.split(size)
    return sum(len(part) / len(images) * mean for part, mean in zip(parts, batch_means(model, images, size)))


def by_loop(decay, steps):
    share = torch.ones((), dtype=torch.float64)
    for _ in range(steps):
        share *= decay
    return share


ANSWERS = [
    ("10.1", lambda p, shape: -p / math.log(2) / math.prod(shape), "right"),
    ("10.1", lambda p, shape: p / math.log(2) / math.prod(shape), "sign"),
    ("10.1", lambda p, shape: -p / math.prod(shape), "nats"),
    ("10.1", lambda p, shape: -p / math.log(2) / shape[1] / shape[2], "bits a pixel"),
    ("10.2", lambda d, n: d**n, "right"),
    ("10.2", lambda d, n: 1 - d**n, "after the start"),
    ("10.2", lambda d, n: (1 - d) ** n, "keeps the share"),
    ("10.2", lambda d, n: d * n, "multiply"),
    ("10.3", lambda m, x, b: sum(m.bits_per_dim(part).sum().item() for part in x.split(b)) / len(x), "right"),
    ("10.3", lambda m, x, b: sum(batch_means(m, x, b)) / len(batch_means(m, x, b)), "batches' averages"),
    ("10.3", lambda m, x, b: m.bits_per_dim(x[: max(b, len(x) // b * b)]).mean().item(), "partial batch"),
    ("10.3", lambda m, x, b: sum(batch_means(m, x, b)) / max(1, len(batch_means(m, x, b)) - 1), "starts from 0"),
    ("10.1", lambda p, shape: -p * math.log(2) / math.prod(shape), "multiply by ln 2"),
    ("10.1", lambda p, shape: np.array([-p * math.log2(math.e)]) / np.prod(shape), "right"),
    ("10.1", lambda p, shape: -torch.tensor(p) / (torch.tensor(2.0).log() * torch.Size(shape).numel()), "right"),
    ("10.1", lambda p, shape: -torch.tensor(p).exp().log2() / math.prod(shape), "not finite"),
    ("10.1", lambda p, shape: -p / math.log(2) / sum(shape), "add up the sizes"),
    ("10.1", lambda p, shape: -p / math.log(10) / math.prod(shape), "ln 10"),
    ("10.1", lambda p, shape: -p / math.log(2) / math.prod(shape) / 8, "by 8 as well"),
    ("10.1", lambda p, shape: (p, shape[0]), "you return a tuple"),
    ("10.2", lambda d, n: math.exp(n * math.log(d)), "right"),
    ("10.2", by_loop, "right"),
    ("10.2", lambda d, n: math.exp(-n * (1 - d)), "close for a decay near 1"),
    ("10.2", lambda d, n: d ** (n - 1), "off by one step"),
    ("10.2", lambda d, n: d ** (n + 1), "off by one step"),
    ("10.2", lambda d, n: (1 - d) * d ** (n - 1), "enters whole"),
    ("10.2", lambda d, n: d**n if n != 1 else 1.0, "after 1 steps at 0.9".capitalize()),
    ("10.3", weighted_means, "right"),
    ("10.3", lambda m, x, b: torch.cat([m.bits_per_dim(part) for part in x.split(b)]).mean(), "right"),
    ("10.3", lambda m, x, b: torch.cat([m.bits_per_dim(part) for part in x.split(b)]), "you return the shape (10,)"),
    ("10.3", lambda m, x, b: sum(m.bits_per_dim(part).sum().item() for part in x.split(b)), "sum over the images"),
    ("10.3", lambda m, x, b: m.bits_per_dim(x[:b]).mean(), "inside the loop"),
    ("10.3", lambda m, x, b: batch_means(m, x, b)[-1], "last batch's mean alone"),
    ("10.3", lambda m, x, b: 4.5 * len(x) / (b * len(x.split(b))), "as a full one"),
    ("10.3", lambda m, x, b: 45 / len(x.split(b)), "by the number of batches"),
    ("10.1", lambda p, shape: 3.0, "you say 3"),
    ("10.1", lambda p, shape: -p / math.log(2), "bits of the whole image"),
    ("10.1", lambda p, shape: -p / math.log(2) / 3072, "take the number of sub-pixels from `shape`"),
    ("10.2", lambda d, n: max(0, 1 - n * (1 - d)), "multiply"),
    ("10.2", lambda d, n: 1 - n * (1 - d), "multiply"),
    ("10.2", lambda d, n: 0.3, "you say 0.3"),
    ("10.3", lambda m, x, b: 7.0, "you say 7"),
    ("10.3", lambda m, x, b: m.bits_per_dim(x).mean().item(), "more than `batch_size` images at once"),
]
