"""Answers that readers are likely to give in chapter 6, each with words of the diagnosis it must get."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def rows_read(strides, own=False, first=1):
    rows, step = first, 1
    for stride in strides:
        rows += step * (stride if own else 1)
        step *= stride
    return rows


def rows_by_recursion(strides):
    if not strides:
        return 1
    return strides[0] * (rows_by_recursion(strides[1:]) - 1) + 2


def box(i, j, halvings, clip=True):
    step = 2**halvings
    top, left = step * i - step + 1, step * j - step + 1
    return (max(0, top), step * i, max(0, left), step * j) if clip else (top, step * i, left, step * j)


def block_box(i, j, halvings):
    step = 2**halvings
    return step * i, step * i + step - 1, step * j, step * j + step - 1


def short_box(i, j, halvings):
    step, back = 2**halvings, 1 if halvings else 0
    return max(0, step * i - back), step * i, max(0, step * j - back), step * j


def linear_box(i, j, halvings):
    step = 2**halvings
    return max(0, step * i - halvings), step * i, max(0, step * j - halvings), step * j


def spread(cells, down=0, right=0):
    big = F.interpolate(cells, scale_factor=2)
    return F.pad(big, (right, -right, down, -down))


ANSWERS = [
    ("6.1", rows_read, "right"),
    ("6.1", lambda s: 1 + len(s), "does not depend on the strides"),
    ("6.1", lambda s: rows_read(s, own=True), "own stride"),
    ("6.1", lambda s: rows_read(s, first=0), "one row already"),
    ("6.1", lambda s: rows_read(s[::-1]), "wrong order"),
    ("6.1", lambda s: 1 + math.prod(s), "multiply all strides"),
    ("6.1", lambda s: 7, "strides [1, 1] you say 7"),
    ("6.1", lambda s: torch.tensor(rows_read(s)), "right"),
    ("6.1", rows_by_recursion, "right"),
    ("6.1", lambda s: 2 * rows_read(s) - 1, "two steps per layer"),
    ("6.1", lambda s: 2 * math.prod(s), "multiply all strides"),
    ("6.1", lambda s: 1 + sum(s), "add up the strides"),
    ("6.2", box, "right"),
    ("6.2", lambda i, j, h: np.array(box(i, j, h)), "right"),
    ("6.2", lambda i, j, h: torch.tensor(box(i, j, h), dtype=torch.float32), "right"),
    ("6.2", lambda i, j, h: tuple(n + k % 2 for k, n in enumerate(box(i, j, h))), "as a slice does"),
    (
        "6.2",
        lambda i, j, h: (box(i, j, h)[0], block_box(i, j, h)[1], box(i, j, h)[2], block_box(i, j, h)[3]),
        "handed to as well",
    ),
    ("6.2", lambda i, j, h: (*box(i, j, h)[2:], *box(i, j, h)[:2]), "top, bottom, left, right"),
    ("6.2", lambda i, j, h: box(i, j, h)[:2], "four numbers"),
    ("6.2", lambda i, j, h: box(i, j, h)[0], "four numbers"),
    ("6.2", lambda i, j, h: list(box(i, j, h)), "right"),
    ("6.2", lambda i, j, h: box(i, j, h, clip=False), "leaves the image"),
    ("6.2", block_box, "ends where they begin"),
    ("6.2", short_box, "by one only"),
    ("6.2", linear_box, "twice as far"),
    ("6.2", lambda i, j, h: tuple(box(i, j, h)[k] for k in (0, 2, 1, 3)), "top, bottom, left, right"),
    ("6.2", lambda i, j, h: (max(0, 2**h * (i - 1)), 2**h * i, max(0, 2**h * (j - 1)), 2**h * j), "one too far"),
    ("6.2", lambda i, j, h: box(i, j, min(h, 1)), "right for one halving"),
    ("6.2", lambda i, j, h: (i, i, j, j), "cell (2, 3) after 1 halving(s)"),
    ("6.3", lambda x: spread(x, 1, 1), "right"),
    ("6.3", lambda x: spread(x, 1, 1).numpy(), "right"),
    ("6.3", lambda x: spread(x.double(), 1, 1), "right"),
    ("6.3", lambda x: spread(x).roll((1, 1), (2, 3)), "at the top"),
    ("6.3", lambda x: x.repeat(1, 1, 2, 2), "four times"),
    ("6.3", lambda x: spread(x, 1, 1) / 4, "no cell's value"),
    ("6.3", lambda x: spread(x, 1, 1).tolist(), "right"),
    ("6.3", lambda x: spread(x.mT, 1, 1), "height and width should double"),
    ("6.3", spread, "one position too early"),
    ("6.3", lambda x: spread(x, down=1), "column 2j"),
    ("6.3", lambda x: spread(x, right=1), "row 2i"),
    ("6.3", lambda x: spread(x, 2, 2), "waits too long"),
    ("6.3", lambda x: spread(x, -1, -1), "holds something later"),
    ("6.3", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "holds something later"),
    ("6.3", lambda x: spread(x, 3, 3), "does not get the newest"),
    ("6.3", lambda x: x, "height and width should double"),
]
