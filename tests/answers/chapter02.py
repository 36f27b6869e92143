"""Answers that readers are likely to give in chapter 2, each with words of the diagnosis it must get."""

import numpy as np
import torch
from torch import nn

from pixelcnn_edu import receptive_field
from pixelcnn_edu.causal import MaskedConv2d


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


def with_leftovers(network, size):
    """Gradients of all channels, never cleared in between."""
    x = torch.rand(1, 1, size, size, requires_grad=True)
    output = network(x)[0].flatten(1)
    count = 0
    for place in range(size * size):
        output[:, place].sum().backward(retain_graph=True)
        count += int((x.grad.flatten()[place:] != 0).sum())
    return count


def gradients_added(network, size):
    x = torch.rand(1, 1, size, size, requires_grad=True)
    output = network(x)[0].flatten(1).sum(0)
    later = [torch.autograd.grad(output[k], x, retain_graph=True)[0].flatten()[k:].sum() for k in range(size * size)]
    return sum(later) * 0.37


def by_changing_pixels(network, size):
    x = torch.rand(1, 1, size, size)
    before = network(x)
    count = 0
    for place in range(size * size):
        changed = x.clone().flatten()
        changed[place] += 1
        moved = (network(changed.view_as(x)) != before).any(1).flatten()
        count += int(moved[: place + 1].sum())
    return np.int64(count)


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
    ("2.1", lambda k, kind: (k * k - 1) / 2 + (kind == "B"), "right"),
    ("2.1", lambda k, kind: MaskedConv2d(1, 1, k, kind).mask.sum(), "right"),
    ("2.1", lambda k, kind: k * k - (k * k - 1) // 2 - (kind == "B"), "count what is hidden"),
    ("2.1", lambda k, kind: k // 2 + (kind == "B"), "not the rows above"),
    ("2.1", lambda k, kind: k * (k // 2 + (kind == "B")), "to the left"),
    ("2.1", lambda k, kind: (k * k - 1) // 2 + (k // 2 + 1) * (kind == "B"), "whole of the pixel's own row"),
    ("2.1", lambda k, kind: k * k - (kind == "A"), "the centre alone"),
    ("2.1", lambda k, kind: ((k * k - 1) // 2, kind), "you return a tuple"),
    ("2.2", wedge, "right"),
    ("2.2", lambda r, c, n: sum(max(0, n - 1 - c - k) for k in range(1, r + 1)), "right"),
    ("2.2", lambda r, c, n: torch.tensor(wedge(r, c, n)), "right"),
    ("2.2", lambda r, c, n: sum(max(0, n - 1 - c - k) for k in range(1, r)), "the top row"),
    ("2.2", lambda r, c, n: sum(max(0, n - 1 - c - k) for k in range(r + 1)), "own row too"),
    ("2.2", lambda r, c, n: sum(n - 1 - c - k for k in range(1, r + 1)), "falls below 0"),
    ("2.2", lambda r, c, n: sum(max(0, n - 1 - c - 2 * k) for k in range(1, r + 1)), "two columns per row"),
    ("2.2", lambda r, c, n: sum(max(0, c - k) for k in range(1, r + 1)), "upper left"),
    ("2.2", lambda r, c, n: r * n + c - wedge(r, c, n), "that are seen"),
    ("2.2", lambda r, c, n: n * n - (r * n + c - wedge(r, c, n)), "only the ones before"),
    ("2.3", by_changing_pixels, "right"),
    ("2.3", with_leftovers, "clear it in between"),
    ("2.3", gradients_added, "do not add them up"),
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
