"""Answers that readers are likely to give in chapter 10, each with words of the diagnosis it must get."""

import math


def batch_means(model, images, size):
    return [model.bits_per_dim(batch).mean().item() for batch in images.split(size)]


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
    ("10.1", lambda p, shape: 3.0, "you say 3"),
    ("10.1", lambda p, shape: -p / math.log(2), "bits of the whole image"),
    ("10.1", lambda p, shape: -p / math.log(2) / 3072, "take the number of sub-pixels from `shape`"),
    ("10.2", lambda d, n: max(0, 1 - n * (1 - d)), "multiply"),
    ("10.2", lambda d, n: 1 - n * (1 - d), "multiply"),
    ("10.2", lambda d, n: 0.3, "you say 0.3"),
    ("10.3", lambda m, x, b: 7.0, "you say 7"),
    ("10.3", lambda m, x, b: m.bits_per_dim(x).mean().item(), "more than `batch_size` images at once"),
]
