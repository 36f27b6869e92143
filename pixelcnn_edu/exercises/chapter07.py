"""Chapter 7: the doubled ELU, last in first out, and parameters that do nothing."""

import torch
import torch.nn.functional as F
from torch import nn

from pixelcnn_edu.causal import MaskedConv2d
from pixelcnn_edu.exercises.answers import call, tensor

__all__ = ["CHECKS"]


def _undo(answer):
    x = torch.tensor([0.0, 0.5, -0.5, 3.0, -3.0, 40.0, -40.0, 1e-3]).view(2, 2, 1, 2)
    up, down = F.elu(x), F.elu(-x)
    got = tensor(call(answer, torch.cat([up, down], dim=1))).float()
    if got.shape != x.shape:
        return f"you return a shape of {tuple(got.shape)} for x of {tuple(x.shape)}; the channels halve again (section 7.3)"
    if not got.isfinite().all():
        worst = x[~got.isfinite()][0].item()
        return f"for x = {worst:.4g} you return {got[~got.isfinite()][0].item()}: one half is -1 to the last bit there"

    def gives(other):
        return torch.allclose(got, other, rtol=1e-4, atol=1e-5)

    if gives(x):
        return None
    if gives(-x):
        return "the sign is turned: in which half does a positive x come through unchanged?"
    if gives(up):
        return "that is ELU(x) still: it is bent below 0, and for -40 it holds no more than -1"
    if gives(up - down) or gives((up - down) / 2):
        return "the half that lies below 0 is bent, and its bent part is still in your result (section 7.3)"
    if gives(up + down):
        return "the bent half is still in your sum, and x = -3 comes out as x = 3 does (section 7.3)"
    y = torch.cat([up, down], dim=1)
    if gives(y[:, ::2]) or gives(y[:, ::2].relu() - y[:, 1::2].relu()):
        return "you take every second channel; the first half of the channels is ELU(x), the second half ELU(-x)"
    if gives(down):
        return "that is the second half, ELU(-x): where x is positive it is bent, and its sign is turned (section 7.3)"
    if gives(x.abs()) or gives(x.relu()):
        return "you lose the negative values: x = -3 must come back as -3"
    worst = (got - x).abs().argmax()
    return f"for x = {x.flatten()[worst].item():.4g} you return {got.flatten()[worst].item():.4g}"


class _Layer:
    """A stand-in for a layer: it notes in words what it was given."""

    def __init__(self, name, takes_back):
        self.name, self.takes_back, self.misused = name, takes_back, False

    def __call__(self, x, entry=None):
        self.misused |= entry is not None and not self.takes_back
        return f"{self.name}({x}, {entry})" if self.takes_back or entry is not None else f"{self.name}({x})"


def _run(layers, entries, start):
    """The right loop, over entries in the order in which they are to be taken."""
    entries, x = iter(entries), start
    for layer in layers:
        x = layer(x, next(entries)) if layer.takes_back else layer(x)
    return x


def _each_uses_one(layers, entries):
    """What is left for the layers that take back, where every layer uses up an entry; None once they have run out."""
    entries = entries + [None] * len(layers)
    return [entry for layer, entry in zip(layers, entries) if layer.takes_back]


def _way_down(answer):
    layers = [_Layer("double" if k in (1, 4) else f"block{k}", k not in (1, 4)) for k in range(7)]
    stored = [f"pair{k}" for k in range(6)]
    try:
        got = call(answer, list(layers), list(stored))
    except IndexError:
        return "you take back more pairs than there are: a doubling layer takes none (section 7.2)"
    if got == _run(layers, stored[-2::-1], stored[-1]):
        return None
    if got in (_run(layers, stored, stored[-1]), _run(layers, stored[1:], stored[0])):
        return "you take the oldest pair first; it has the resolution of the last layer, not of the first (section 7.2)"
    if got == _run(layers, stored[::-1], stored[-1]):
        return "the pair that starts the way down is taken back a second time, so every twin is off by one (section 7.2)"
    if any(layer.misused for layer in layers):
        return "you hand a stored pair to a doubling layer, which takes none (section 7.2)"
    if got == _run([layer for layer in layers if layer.takes_back], stored[-2::-1], stored[-1]):
        return "you leave out the doubling layers: they take no stored pair, but x goes through them too (section 7.2)"
    if got in (_run(layers, _each_uses_one(layers, entries), stored[-1]) for entries in (stored[::-1], stored[-2::-1])):
        return "a doubling layer uses up a stored pair in your loop, though it takes none (section 7.2)"
    if got == _run(layers, ["None"] * len(layers), stored[-1]):
        return "your layers are handed no stored pair at all"
    if got == _run(layers, [stored[-2]] * len(layers), stored[-1]):
        return "every layer gets the same pair: a pair that was taken is gone"
    if not isinstance(got, str):
        return f"you return a {type(got).__name__}; return what the last layer gives"
    return f"your layers were called like this: {got}"


class _Net(nn.Module):
    """Two convolutions in a row, and beside them what the name says."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.first, self.last, self.other = (nn.Conv2d(2, 2, 1) for _ in range(3))
            if kind == "starts at zero":  # as layers at the end of a residual path often do
                nn.init.zeros_(self.other.weight)
                nn.init.zeros_(self.other.bias)
            if kind == "half masked":  # each makes a half of the output
                self.halves = nn.ModuleList([MaskedConv2d(2, 1, 3, "A"), MaskedConv2d(2, 1, 3, "B")])

    def forward(self, x):
        h = self.last(torch.tanh(self.first(x)))
        if self.kind == "cancels":
            h = h + self.other(x)
            return torch.cat([h, -h], dim=1)
        if self.kind == "starts at zero":
            return torch.cat([h, self.other(x)], dim=1)
        if self.kind == "half masked":
            return torch.cat([half(h + self.other(x)) for half in self.halves], dim=1)
        return {"unused": h, "old": h, "alive": h + self.other(x), "times zero": h + 0 * self.other(x)}[self.kind]


def _dead_parameters(answer):
    x = torch.linspace(-1, 1, 2 * 2 * 3 * 3).view(2, 2, 3, 3)
    dead = {"other.weight", "other.bias"}
    got = {}
    alive = ("alive", "half masked", "cancels", "starts at zero")
    for kind in (*alive, "unused", "times zero", "old"):
        net = _Net(kind)
        if kind == "old":
            for p in net.parameters():
                p.grad = torch.ones_like(p)
        names = call(answer, net, x.clone())
        if not hasattr(names, "__iter__") or isinstance(names, str) or any(not isinstance(name, str) for name in names):
            return "return a list of names, as named_parameters gives them"
        got[kind] = set(names)
    right = {kind: set() if kind in alive else dead for kind in got}
    if got == right:
        return None
    if got["alive"]:
        return f"you call {sorted(got['alive'])[0]} dead in a network in which every parameter works"
    if got["half masked"]:
        return (
            f"you call {sorted(got['half masked'])[0]} dead, in a network in which some gradients are 0 in part, and some "
            "parameters feed a part of the output only"
        )
    if got["starts at zero"] and not got["cancels"]:
        return (
            "you call a layer dead whose weights are 0 at the start, though the output follows them: a square or an "
            "absolute value has the slope 0 where the output is 0"
        )
    if not got["unused"] & dead:
        return "you miss a layer that is never called: backward leaves its .grad at None, not at zero"
    if not got["times zero"] & dead:
        return "you miss a layer whose output is multiplied by 0: it has a gradient, and all of it is 0"
    if got["cancels"]:
        return "in a network that puts out h and -h you find dead parameters: in a plain sum they cancel (section 2.1)"
    if not got["old"] & dead:
        return "a gradient left over from an earlier backward pass makes a dead layer look alive"
    kind = next(kind for kind in right if got[kind] != right[kind])
    return f"in a network with a dead layer `other` you name {sorted(got[kind])}"


CHECKS = {"7.1": _undo, "7.2": _way_down, "7.3": _dead_parameters}
