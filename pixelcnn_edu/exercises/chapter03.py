"""Chapter 3: weights under the sub-pixel mask, the gradient of a softmax, and the mask in another layout."""

import math

import torch

from pixelcnn_edu.causal import MaskedConv2d
from pixelcnn_edu.exercises.answers import call, number, tensor

__all__ = ["CHECKS"]


def _kept_weights(answer):
    cases = [(6, 4), (12, 256), (33, 16)]
    got = [number(call(answer, *case)) for case in cases]
    kept = [float(MaskedConv2d(f, 3 * n, 1, "B", colors=3).mask.sum()) for f, n in cases]

    def answers(function):
        return all(g == function(f, n) for g, (f, n) in zip(got, cases))

    if got == kept:
        return None
    if answers(lambda f, n: 3 * f * n):
        return "that is every weight of the layer; the mask takes some away (section 3.1)"
    if answers(lambda f, n: f * n):
        return "you keep a third: that is type A, or each colour by itself; the last layer is of type B (section 3.1)"
    if answers(lambda f, n: 2 * f * n / 3):
        return "you count one output for each level; each colour has its own (section 3.3)"
    if answers(lambda f, n: 5 * f * n / 3):
        return "five ninths is what a 3x3 kernel keeps of its places; this kernel has one place, with nine pairs of colours"
    if answers(lambda f, n: 6 * f * n):
        return "six of nine pairs of colours are kept, but each pair has a third of the features, not all of them"
    if answers(lambda f, n: 4 * f * n / 3) or answers(lambda f, n: 8 * f * n / 3):
        return "how many of the nine pairs of colours are kept? count them: red sees one colour, green two, blue three"
    if answers(lambda f, n: 2 * f * n + 3 * n):
        return "you count the biases too; the mask works on weights alone"
    if got[0] > 72:
        return f"you say {got[0]:g}, but with 6 features and 4 levels the whole layer has only 72 weights"
    return (
        f"with {cases[0][0]} features and {cases[0][1]} levels you say {got[0]:g} of 72 weights: draw the layer, and "
        "cross out what the mask hides"
    )


def _softmax_gradient(answer):
    generator = torch.Generator().manual_seed(0)
    cases = [(torch.randn(n, generator=generator), target) for n, target in ((5, 2), (256, 128), (8, 0))]
    got = [tensor(call(answer, z.clone(), target)).float() for z, target in cases]
    for (z, _), g in zip(cases, got):
        if g.shape != z.shape:
            return f"for {len(z)} logits the gradient has {len(z)} numbers; yours has the shape {tuple(g.shape)}"

    def answers(function):
        return all(torch.allclose(g, function(z.softmax(0), _one(z, t)), atol=1e-5) for g, (z, t) in zip(got, cases))

    if answers(lambda p, one: p - one):
        return None
    if answers(lambda p, one: one - p):
        return "the sign is off: where the loss falls when a logit rises, as at the target, the gradient is negative"
    if answers(lambda p, one: p):
        return "you push every level down, the target too; nothing pulls the target up"
    if answers(lambda p, one: (p - one) * one) or answers(lambda p, one: -one) or answers(lambda p, one: -one / p):
        return "only the target gets a gradient from you; raising any other logit costs too, because the sum is shared"
    if answers(lambda p, one: (p - one) / len(p)):
        return "you divide by the number of levels; the loss of one sub-pixel is one number, no mean over levels"
    if answers(lambda p, one: (p - one) / math.log(2)):
        return "this is the gradient of the cost in bits; it is asked for in nats"
    if answers(lambda p, one: p.log()) or answers(lambda p, one: -p.log()):
        return "these are the logarithms of the probabilities; the gradient of one of them is asked for"
    if answers(lambda p, one: (p @ one) * (one - p)) or answers(lambda p, one: (p @ one) * (p - one)):
        return "this is the gradient of the probability itself; the cost is minus its logarithm"
    if answers(lambda p, one: p * (1 - p)):
        return "you differentiate each probability by its own logit; the cost is that of the target, for every logit"
    if any(answers(lambda p, one, k=k: p - one.roll(k)) for k in (-1, 1)):
        return "you are off by one place: `target` is the index of its logit, and levels count from 0"
    if answers(lambda p, one: p - 1):
        return "you subtract 1 from every level; only the target gets that pull"
    if all(torch.allclose(g, z.softmax(0) - t, atol=1e-4) for g, (z, t) in zip(got, cases)):
        return "you subtract the number of the target level; the target is a 1 in its own place and 0 elsewhere"
    total = got[0].sum().item()
    if abs(total) > 1e-4:
        return f"your gradient sums to {total:.3g}; the same added to all logits changes no probability, so it must sum to 0"
    return "the sum is right, the shares are not: compare with autograd on F.cross_entropy (section 3.5)"


def _one(logits, target):
    return torch.eye(len(logits))[target]


def _mask(colors_in, colors_out, size, mask_type, tie=True, everywhere=False):
    """The mask (out, in, size, size) of channels with these colours; its mistakes on request."""
    centre = size // 2
    mask = torch.zeros(len(colors_out), len(colors_in), size, size)
    mask[:, :, :centre] = 1
    mask[:, :, centre, :centre] = 1
    earlier, own = colors_in < colors_out[:, None], colors_in == colors_out[:, None]
    rule = (earlier | (own & (mask_type == "B"))).float()
    if everywhere:
        mask *= rule[:, :, None, None]
    mask[:, :, centre, centre] = rule if tie else float(mask_type == "B")
    return mask


def _grouped_mask(answer):
    cases = [(6, 9, 3, "A"), (6, 9, 3, "B"), (9, 3, 5, "B"), (3, 6, 1, "A")]
    got = [tensor(call(answer, *case)).float() for case in cases]
    for (n_in, n_out, size, _), g in zip(cases, got):
        if tuple(g.shape) != (n_out, n_in, size, size):
            return (
                f"for {n_in} input and {n_out} output channels and a kernel of {size} the mask must have the shape "
                f"({n_out}, {n_in}, {size}, {size}), as a convolution's weight has; yours has {tuple(g.shape)}"
            )

    def answers(colors=_groups, swap_types=False, backwards=False, **mistakes):
        made = []
        for n_in, n_out, size, kind in cases:
            sign = -1 if backwards else 1
            kind = {"A": "B", "B": "A"}[kind] if swap_types else kind
            made.append(_mask(sign * colors(n_in), sign * colors(n_out), size, kind, **mistakes))
        return all(torch.equal(a, b) for a, b in zip(got, made))

    if answers():
        return None
    if any(not ((g == 0) | (g == 1)).all() for g in got):
        return "a mask holds 0 and 1 only, and yours holds other numbers too"
    if answers(_threes):
        return "you make groups of three channels; a group is a third of all channels, however many there are"
    if answers(_in_turn):
        return "your colours take turns, red, green, blue, red, ...; here the first third of the channels is red"
    if answers(swap_types=True):
        return "you have the types swapped: A hides a colour from itself, B shows it (section 3.1)"
    if answers(backwards=True):
        return "in your mask red sees blue: the first axis of a weight is the output, the second the input"
    if answers(tie=False):
        return "at the centre you treat the pixel as a whole; there green may see red, and blue both (section 3.1)"
    if answers(everywhere=True):
        return "you apply the rule of colours to earlier pixels too, but of those every colour may see all (section 3.1)"
    centres = [size // 2 for _, _, size, _ in cases]
    if any(not g[:, :, :c].all() or g[:, :, c + 1 :].any() for g, c in zip(got, centres)):
        return "off the centre row your mask is not chapter 2's: all of the rows above, nothing of those below"
    if any(not g[:, :, c, :c].all() or g[:, :, c, c + 1 :].any() for g, c in zip(got, centres)):
        return "in the centre row your mask is not chapter 2's: all that is left of the centre, nothing to its right"
    if torch.equal(got[0], got[1]):
        return "your A and your B agree; at the centre, type A hides a colour from itself, and B shows it (section 3.1)"
    return "compare your mask at the centre of the kernel with the two tables of section 3.1, colour by colour"


def _groups(channels):
    return torch.arange(channels) * 3 // channels


def _threes(channels):
    return torch.arange(channels) // 3


def _in_turn(channels):
    return torch.arange(channels) % 3


CHECKS = {"3.1": _kept_weights, "3.2": _softmax_gradient, "3.3": _grouped_mask}
