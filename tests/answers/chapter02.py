"""Answers that readers are likely to give in chapter 2, each with words of the diagnosis it must get."""

import torch
from torch import nn

from pixelcnn_edu import receptive_field


def wedge(row, column, size, edge=0):
    return sum(j - column > row - i - edge for i in range(row) for j in range(size))


def violations(network, size, own=0):
    fields = [receptive_field(network, *divmod(p, size), image_shape=(1, size, size)).flatten() for p in range(size * size)]
    return sum(int((field[place + own :] != 0).sum()) for place, field in enumerate(fields))


def first_pixel_violations(network, size):
    return int((receptive_field(network, 0, 0, image_shape=(1, size, size)) != 0).sum())


def violating_outputs(network, size):
    fields = [receptive_field(network, *divmod(p, size), image_shape=(1, size, size)).flatten() for p in range(size * size)]
    return sum(bool((field[place:] != 0).any()) for place, field in enumerate(fields))


def backwards(network, size):
    fields = [receptive_field(network, *divmod(p, size), image_shape=(1, size, size)).flatten() for p in range(size * size)]
    return sum(int((field[: place + 1] != 0).sum()) for place, field in enumerate(fields))


class Channel(nn.Module):
    def __init__(self, network, number):
        super().__init__()
        self.network, self.number = network, number

    def forward(self, x):
        return self.network(x)[:, self.number : self.number + 1]


def violations_of_each_channel(network, size):
    channels = network(torch.zeros(1, 1, size, size)).shape[1]
    return sum(violations(Channel(network, number), size) for number in range(channels))


ANSWERS = [
    ("2.1", lambda k, kind: (k * k - 1) // 2 + (kind == "B"), "right"),
    ("2.1", lambda k, kind: (k * k - 1) // 2 + (kind == "A"), "swapped"),
    ("2.1", lambda k, kind: (k * k - 1) // 2, "differ by one"),
    ("2.1", lambda k, kind: k * (k // 2) + (kind == "B"), "to the left"),
    ("2.2", wedge, "right"),
    ("2.2", lambda r, c, n: wedge(r, c, n, edge=1), "edge of the wedge"),
    ("2.2", lambda r, c, n: r * (r - 1) // 2, "image ends"),
    ("2.2", lambda r, c, n: 21, "first row"),
    ("2.3", violations, "right"),
    ("2.3", lambda net, n: violations(net, n, own=1), "own pixel"),
    ("2.3", lambda net, n: 1, "none"),
    ("2.3", lambda net, n: 0, "own pixel"),
    ("2.1", lambda k, kind: (k * k - 1) // 2 + 3 * (kind == "B"), "3x3 kernel of type B does not keep 7"),
    ("2.2", lambda r, c, n: 21 if r else 0, "last column"),
    ("2.2", lambda r, c, n: 2 * wedge(r, c, n), "At (8, 8) of 16 x 16 you say 42"),
    ("2.3", first_pixel_violations, "single output pixel"),
    ("2.3", backwards, "those are allowed"),
    ("2.3", violating_outputs, "Count pairs"),
    ("2.3", lambda net, n: 2 * violations(net, n), "146 such pairs, you count 292"),
    ("2.1", lambda k: k, "TypeError"),
    ("2.3", lambda net, n: violations(Channel(net, 0), n), "ask all channels"),
    ("2.3", violations_of_each_channel, "count a pair once"),
]
