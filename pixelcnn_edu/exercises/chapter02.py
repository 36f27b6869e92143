"""Chapter 2: masks, the blind spot, and the test for causality."""

import torch
from torch import nn

from pixelcnn_edu.causal import MaskedConv2d
from pixelcnn_edu.exercises.answers import call, number
from pixelcnn_edu.probes import receptive_field

__all__ = ["CHECKS"]


def _visible_weights(answer):
    got = {(k, kind): number(call(answer, k, kind)) for k in (3, 5, 7) for kind in "AB"}
    right = {(k, kind): (k * k - 1) // 2 + (kind == "B") for k in (3, 5, 7) for kind in "AB"}
    if got == right:
        return None
    if all(got[k, "A"] == right[k, "B"] and got[k, "B"] == right[k, "A"] for k in (3, 5, 7)):
        return "you have the types swapped, or count what is hidden: A hides the pixel itself, B shows it"
    if all(got[k, "A"] == got[k, "B"] for k in (3, 5, 7)):
        return "your A and your B agree, but they differ by one weight: the centre (section 2.2)"
    if all(got[k, "A"] == k * (k // 2) for k in (3, 5, 7)):
        return "you count the rows above but not the pixels to the left in the pixel's own row (section 2.2)"
    if all(got[k, "A"] == k // 2 for k in (3, 5, 7)):
        return "you count the pixel's own row but not the rows above it (section 2.2)"
    if all(got[k, "B"] == k * (k // 2 + 1) for k in (3, 5, 7)):
        return "you keep the whole of the pixel's own row, but what stands to its right comes later (section 2.1)"
    if all(got[k, "A"] == k * k - 1 and got[k, "B"] == k * k for k in (3, 5, 7)):
        return "you hide the centre alone; the mask hides all that comes later in raster order (section 2.2)"
    wrong = next(key for key in right if got[key] != right[key])
    return f"a {wrong[0]}x{wrong[0]} kernel of type {wrong[1]} does not keep {got[wrong]:g} weights; draw it and count"


def _blind_spot_size(answer):
    places = [(8, 8, 16), (8, 0, 16), (8, 15, 16), (0, 5, 16), (5, 3, 8), (31, 2, 32)]
    got = [number(call(answer, *place)) for place in places]
    wedge = [[(i, j) for i in range(r) for j in range(n) if j - c > r - i] for r, c, n in places]
    if got == [len(w) for w in wedge]:
        return None
    if got == [sum(j - c >= r - i for i in range(r) for j in range(n)) for r, c, n in places]:
        return "you count the edge of the wedge too, but a pixel k rows up and k columns to the right is seen (section 2.3)"
    if got == [r * (r - 1) // 2 for r, c, n in places] or got == [r * (r + 1) // 2 for r, c, n in places]:
        return "your wedge ignores where the image ends at the right; near that edge less is hidden"
    if any(g < 0 for g in got):
        return "your number falls below 0 near the right edge: a row that the wedge misses hides nothing, not less"
    if got == [sum(max(0, n - 1 - c - k) for k in range(1, r)) for r, c, n in places]:
        return "you leave out one row: the top row lies `row` rows up, and range(1, row) ends before it"
    if got == [sum(max(0, n - 1 - c - k) for k in range(r + 1)) for r, c, n in places]:
        return "you count the pixel's own row too, but what stands to its right comes later and is not hidden (section 2.1)"
    if got == [sum(j - c > 2 * (r - i) for i in range(r) for j in range(n)) for r, c, n in places]:
        return "your paths climb two columns per row; a 3x3 kernel reaches one column to the right per row (section 2.3)"
    if got == [sum(c - j > r - i for i in range(r) for j in range(n)) for r, c, n in places]:
        return (
            "your wedge lies to the upper left; there every row can be read further left, so nothing is hidden (section 2.3)"
        )
    if got == [r * n + c - len(w) for w, (r, c, n) in zip(wedge, places)]:
        return "you count the earlier pixels that are seen; those that are never seen are asked for"
    if got == [n * n - r * n - c + len(w) for w, (r, c, n) in zip(wedge, places)]:
        return "you count all pixels that are not seen; of these, only the ones before (row, column) are asked for"
    if got[3] != 0:
        return "a pixel in the first row has no row above it, so nothing there can be hidden from it"
    if got[2] != 0:
        return "in the last column there is nothing further to the right, so nothing is hidden"
    k = next(k for k, w in enumerate(wedge) if got[k] != len(w))
    row, column, size = places[k]
    return f"at ({row}, {column}) of {size} x {size} you say {got[k]:g}; compare with blind_spot (section 2.3)"


def _masked(*types):
    """A stack of masked 3x3 convolutions of these types, one channel, every visible weight above 0."""
    generator = torch.Generator().manual_seed(0)
    layers = [MaskedConv2d(1, 1, 3, kind) for kind in types]
    for layer in layers:
        layer.weight.data = torch.rand(layer.weight.shape, generator=generator) + 0.5
    return nn.Sequential(*layers)


class _LeaksInOnePlace(nn.Module):
    """Causal but at one output pixel, (1, 4), which sees its right neighbour."""

    def __init__(self):
        super().__init__()
        self.causal = _masked("A", "B")

    def forward(self, x):
        leak = torch.zeros_like(x)
        leak[:, :, 1, 4] = x[:, :, 1, 5]
        return self.causal(x) + leak


class _TwoChannels(nn.Module):
    """The outputs of two networks as the channels of one."""

    def __init__(self, one, other):
        super().__init__()
        self.networks = nn.ModuleList([one, other])

    def forward(self, x):
        return torch.cat([network(x) for network in self.networks], dim=1)


def _causality_violations(answer):
    size = 6
    ordinary = nn.Conv2d(1, 1, 3, padding=1)
    nn.init.constant_(ordinary.weight, 0.1)
    nets = {"causal": _masked("A", "B"), "sees itself": _masked("B"), "ordinary": ordinary, "one place": _LeaksInOnePlace()}
    nets["two channels"] = _TwoChannels(_masked("B"), ordinary)
    got = {name: number(call(answer, net, size)) for name, net in nets.items()}
    seen = {name: _seen(net, size) for name, net in nets.items()}
    right = {name: int(pairs.triu().sum()) for name, pairs in seen.items()}
    if got == right:
        return None
    if any(g != int(g) for g in got.values()):
        return "a count is a whole number: count the gradients that are not 0, and do not add them up"
    if got["causal"] == int(seen["causal"].sum()):
        return (
            "you count the earlier pixels that an output sees, and those are allowed; count the pixel itself and later ones"
        )
    if got == {name: int(pairs.cummax(0).values.triu().sum()) for name, pairs in seen.items()}:
        return "your gradients add up from one output pixel to the next: backward adds to x.grad, so clear it in between"
    if got["causal"]:
        return (
            f"you report {got['causal']:g} violations in a network that has none: does your order of pixels run row by row?"
        )
    if got["sees itself"] == 0:
        return "your test passes a network whose outputs see their own pixel: the pixel itself counts as not yet known"
    if got["one place"] == 0:
        return "your test passes a network that looks ahead at a single output pixel: ask every output pixel, not one"
    if got["ordinary"] == right["ordinary"] and got["two channels"] != right["two channels"]:
        return (
            f"a network with two output channels sees too much in {right['two channels']} pairs of pixels; you count "
            f"{got['two channels']:g}: ask all channels, and count a pair once"
        )
    if got["ordinary"] == 1 or got["ordinary"] == size * size:
        return "count pairs: each output pixel with each later input pixel that it sees"
    return f"an ordinary 3x3 convolution on 6 x 6 pixels has {right['ordinary']} such pairs, you count {got['ordinary']:g}"


def _seen(net, size):
    """Whether an output pixel (first axis, in raster order) depends on an input pixel (second axis)."""
    places = [divmod(place, size) for place in range(size * size)]
    return torch.stack([receptive_field(net, *place, image_shape=(1, size, size)).flatten() != 0 for place in places])


CHECKS = {"2.1": _visible_weights, "2.2": _blind_spot_size, "2.3": _causality_violations}
