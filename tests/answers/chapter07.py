"""Answers that readers are likely to give in chapter 7, each with words of the diagnosis it must get."""

import torch


def undo(y):
    up, down = y.chunk(2, dim=1)
    return up.relu() - down.relu()


def undo_with_a_logarithm(y):
    up, _ = y.chunk(2, dim=1)
    return torch.where(up > 0, up, torch.log1p(up))


def way_down(layers, stored, start=None, first_out=-1, everywhere=False):
    stored = list(stored)
    x = stored.pop() if start is None else stored[start]
    for layer in layers:
        x = layer(x, stored.pop(first_out)) if everywhere or layer.takes_back else layer(x)
    return x


def doubling_takes_what_is_left(layers, stored):
    *stored, x = stored
    for layer in layers:
        x = layer(x, stored.pop()) if stored else layer(x)
    return x


def oldest_first_from_the_oldest(layers, stored):
    x, *stored = stored
    return way_down(layers, [*stored[::-1], x])


def doubling_left_out(layers, stored):
    return way_down([layer for layer in layers if layer.takes_back], stored)


def doubling_wastes_a_pair(layers, stored):
    *stored, x = stored
    for layer in layers:
        entry = stored.pop() if stored else None
        x = layer(x, entry) if layer.takes_back else layer(x)
    return x


def starting_pair_is_wasted_on_a_layer(layers, stored):
    x = stored[-1]
    for k, layer in enumerate(layers):
        x = layer(x, [None, *stored][-1 - k]) if layer.takes_back else layer(x)
    return x


def by_index(layers, stored):
    x, place = stored[-1], len(stored) - 2
    for layer in layers:
        if layer.takes_back:
            x, place = layer(x, stored[place]), place - 1
        else:
            x = layer(x)
    return x


def same_pair(layers, stored):
    x = stored[-1]
    for layer in layers:
        x = layer(x, stored[-2]) if layer.takes_back else layer(x)
    return x


def nothing_taken(layers, stored):
    x = stored[-1]
    for layer in layers:
        x = layer(x)
    return x


def dead(network, x, weigh=torch.randn_like, clear=True, none=True, zero=True):
    if clear:
        network.zero_grad(set_to_none=True)
    output = network(x)
    (output * weigh(output)).sum().backward()
    return [
        name
        for name, p in network.named_parameters()
        if (none and p.grad is None) or (zero and p.grad is not None and not p.grad.any())
    ]


def partly_dead(network, x):
    network.zero_grad(set_to_none=True)
    output = network(x)
    (output * torch.randn_like(output)).sum().backward()
    return [name for name, p in network.named_parameters() if p.grad is None or not p.grad.all()]


def of_one_number(network, x):
    network.zero_grad(set_to_none=True)
    network(x)[0, 0, 0, 0].backward()
    return [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]


ANSWERS = [
    ("7.1", undo, "right"),
    ("7.1", lambda y: y.chunk(2, dim=1)[0], "ELU(x) still"),
    ("7.1", lambda y: y.chunk(2, dim=1)[0] - y.chunk(2, dim=1)[1], "its bent part"),
    ("7.1", lambda y: -undo(y), "sign is turned"),
    ("7.1", undo_with_a_logarithm, "x = -40 you return -inf"),
    ("7.1", lambda y: y, "channels halve"),
    ("7.1", lambda y: undo(y).abs(), "lose the negative"),
    ("7.1", lambda y: sum(y.chunk(2, dim=1)), "comes out as x = 3"),
    ("7.1", lambda y: 2 * undo(y), "x = 40 you return 80"),
    ("7.1", lambda y: undo(y).numpy(), "right"),
    ("7.1", lambda y: torch.where(y[:, :2] > 0, y[:, :2], -y[:, 2:]), "right"),
    ("7.1", lambda y: torch.where(y[:, :2] > 0, y[:, :2], y[:, 2:]), "lose the negative"),
    ("7.1", lambda y: y[:, 2:], "second half, ELU(-x)"),
    ("7.1", lambda y: y[:, ::2].relu() - y[:, 1::2].relu(), "every second channel"),
    ("7.1", lambda y: y.chunk(2, dim=3)[0], "channels halve"),
    ("7.2", way_down, "right"),
    ("7.2", by_index, "right"),
    ("7.2", lambda layers, stored: (way_down(layers, stored),), "return a tuple; return what"),
    ("7.2", lambda layers, stored: way_down(layers[:-1], stored), "called like this"),
    ("7.2", lambda layers, stored: way_down(layers[::-1], stored), "called like this"),
    ("7.2", lambda layers, stored: way_down(layers, stored, first_out=0), "oldest pair first"),
    ("7.2", oldest_first_from_the_oldest, "oldest pair first"),
    ("7.2", lambda layers, stored: way_down(layers, stored, start=-1), "second time"),
    ("7.2", lambda layers, stored: way_down(layers, stored, everywhere=True), "more pairs than there are"),
    ("7.2", doubling_takes_what_is_left, "doubling layer, which takes none"),
    ("7.2", doubling_left_out, "x goes through them too"),
    ("7.2", doubling_wastes_a_pair, "uses up a stored pair"),
    ("7.2", starting_pair_is_wasted_on_a_layer, "uses up a stored pair"),
    ("7.2", same_pair, "a pair that was taken is gone"),
    ("7.2", nothing_taken, "no stored pair at all"),
    ("7.2", lambda layers, stored: stored, "return a list; return what"),
    ("7.2", lambda layers, stored: layers[0](stored[-1], stored[-2]), "called like this: block0(pair5, pair4)"),
    ("7.3", dead, "right"),
    ("7.3", lambda net, x: set(dead(net, x)), "right"),
    ("7.3", lambda net, x: tuple(dead(net, x, weigh=torch.rand_like)), "right"),
    ("7.3", lambda net, x: dead(net, x, weigh=lambda output: output), "has the slope 0"),
    ("7.3", lambda net, x: dead(net, x, weigh=torch.sign), "has the slope 0"),
    ("7.3", lambda net, x: list(net.named_parameters())[4:], "list of names"),
    ("7.3", lambda net, x: True, "list of names"),
    ("7.3", lambda net, x: [], "at None"),
    ("7.3", lambda net, x: dead(net, x, weigh=torch.ones_like), "cancel"),
    ("7.3", lambda net, x: dead(net, x, clear=False), "earlier backward pass"),
    ("7.3", lambda net, x: dead(net, x, none=False), "at None"),
    ("7.3", lambda net, x: dead(net, x, zero=False), "all of it is 0"),
    ("7.3", lambda net, x: len(dead(net, x)), "list of names"),
    ("7.3", lambda net, x: [name for name, _ in net.named_parameters()], "every parameter works"),
    ("7.3", lambda net, x: dead(net, x)[:1], "you name ['other.weight']"),
    ("7.1", lambda y: undo(y).double(), "right"),
    ("7.3", partly_dead, "gradients are 0 in part"),
    ("7.3", of_one_number, "a part of the output only"),
]
