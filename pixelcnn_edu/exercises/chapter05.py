"""Chapter 5: outputs a pixel, means that lean on earlier colours, and the costs of the colours."""

import math

import torch

from pixelcnn_edu.exercises.answers import call, close, number, tensor

__all__ = ["CHECKS"]


def _outputs_a_pixel(answer):
    cases = [(3, 10), (1, 10), (2, 3), (4, 7)]
    got = [number(call(answer, *case)) for case in cases]

    def answers(count):
        return all(close(g, count(c, k)) for g, (c, k) in zip(got, cases))

    if answers(lambda c, k: k * (1 + 2 * c + c * (c - 1) // 2)):
        return None
    if answers(lambda c, k: 10 * k):
        return "ten a component is for three channels; count anew for one, and for four"
    if answers(lambda c, k: k * (1 + 3 * c)):
        return "one coefficient a channel fits three channels by accident; how many has a single one? (section 5.6)"
    if answers(lambda c, k: k * (1 + 2 * c + c * (c - 1))):
        return "you count each pair of channels twice, but only the later one leans on the earlier (section 5.2)"
    if answers(lambda c, k: k * (3 * c + c * (c - 1) // 2)):
        return "you give each channel a logit of its own, but one indicator serves them all (section 5.3)"
    if answers(lambda c, k: k * (2 * c + c * (c - 1) // 2)):
        return "you have left out the logits: the mixture's weights come from the network too"
    if answers(lambda c, k: 1 + k * (2 * c + c * (c - 1) // 2)):
        return "one logit cannot give every component its weight; each has its own (chapter 4)"
    if answers(lambda c, k: k * (1 + 2 * c)):
        return "you have left out the coefficients that tie the channels (section 5.2)"
    if answers(lambda c, k: k * (1 + c + c * (c - 1) // 2)):
        return "one number per channel and component is missing: each has a mean and a log-scale (chapter 4)"
    if answers(lambda c, k: k * (1 + 2 * c + c * (c + 1) // 2)):
        return "you give each channel a coefficient for itself too, but it depends on the earlier ones alone (section 5.2)"
    if answers(lambda c, k: k * (1 + 2 * c + c * c)):
        return "you give each channel a coefficient for every channel; it depends on the earlier ones alone (section 5.2)"
    if answers(lambda c, k: k * (1 + 2 * c + c * (c - 1) // 2) - 1):
        return "one logit could indeed be left out, as the weights sum to 1, but the network does output all of them"
    case = next(k for k, (c, m) in enumerate(cases) if not close(got[k], m * (1 + 2 * c + c * (c - 1) // 2)))
    channels, mixtures = cases[case]
    return f"for {channels} channel(s) and {mixtures} components you say {got[case]:g}; list what one component needs"


def _lean(means, coefficients, values, squash=math.tanh):
    alpha, beta, gamma = (squash(c) for c in coefficients)
    r, g, _ = values
    return [means[0], means[1] + alpha * r, means[2] + beta * r + gamma * g]


def _leaning_means(answer):
    means, coefficients, pixel = [0.1, -0.3, 0.2], [0.9, -0.6, 1.4], [230, 60, 140]
    result = call(answer, list(means), list(coefficients), list(pixel))
    got = list(map(number, result if isinstance(result, (tuple, list)) else tensor(result).flatten()))
    if len(got) != 3:
        return f"there are three means, one a colour; you give {len(got)}"
    x = [2 * value / 255 - 1 for value in pixel]
    alpha, beta, gamma = (math.tanh(c) for c in coefficients)
    mean_green = means[1] + alpha * means[0]

    def gives(expected):
        return all(close(one, other) for one, other in zip(got, expected))

    if gives(_lean(means, coefficients, x)):
        return None
    if gives(_lean(means, coefficients, x, squash=float)):
        return "the coefficients are the network's raw numbers, still without their tanh (section 5.2)"
    if gives(_lean(means, coefficients, x, squash=lambda c: 1 / (1 + math.exp(-c)))):
        return "you squash the coefficients with a sigmoid, so none can be negative; it is tanh (section 5.2)"
    if any(gives(_lean(means, coefficients, [value / half - 1 for value in pixel])) for half in (128, 127)):
        return "your x is a little off: level 0 must become -1 and level 255 must become 1"
    if gives([means[0], means[1] + alpha * x[0], means[2] + beta * x[0] + gamma * x[2]]):
        return "your blue leans on blue itself, as the formula printed in the first version of the paper does (section 5.2)"
    if gives(_lean(means, [coefficients[0], coefficients[2], coefficients[1]], x)):
        return "your blue has its two coefficients swapped: the order is (g,r), (b,r), (b,g)"
    if gives(_lean(means, coefficients, pixel)):
        return "you multiply by levels 0..255; means and coefficients are in units of x, which runs from -1 to 1"
    if gives(_lean(means, coefficients, [value / 255 for value in pixel])):
        return "you map the levels to 0..1; x runs from -1 to 1"
    if gives(_lean(means, coefficients, means)) or gives(_lean(means, coefficients, [means[0], mean_green, 0])):
        return "you lean on the means of the earlier colours; lean on the values that the pixel has (section 5.7)"
    if gives([means[0], means[1] + alpha * x[0], means[2] + beta * x[0]]):
        return "your blue leans on red alone; it leans on green too (section 5.2)"
    if not close(got[0], means[0]):
        return f"red comes first and leans on nothing: its mean stays {means[0]}, you give {got[0]:.4g}"
    c = next(c for c in (1, 2) if not close(got[c], _lean(means, coefficients, x)[c]))
    return f"your mean of {('red', 'green', 'blue')[c]} is off: {got[c]:.4g}; write out its formula (section 5.2)"


def _colour_bits(answer):
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    p = torch.tensor([[0.8, 0.1, 0.4], [0.02, 0.6, 0.5], [0.1, 0.3, 0.05]], dtype=torch.float64)
    got = tensor(call(answer, weights.clone(), p.clone())).flatten()
    if len(got) != 3:
        return f"there are three costs, of r, of g given r and of b given both; you give {len(got)}"
    joint = weights @ p.cumprod(dim=1)  # p(r), p(r, g), p(r, g, b)
    right = -torch.log2(joint / torch.cat([joint.new_ones(1), joint[:-1]]))

    def gives(expected):
        return torch.allclose(got, expected, rtol=1e-4, atol=1e-6)

    if gives(right):
        return None
    if gives(-right):
        return "the sign is off: a cost in bits is never below 0"
    if gives(right * math.log(2)):
        return "these are nats; use the logarithm to base 2"
    if gives(right * math.log10(2)):
        return "your logarithm has base 10; bits are counted with base 2"
    red_only = weights * p[:, 0] / (weights @ p[:, 0])  # the weights once red is seen
    if gives(torch.stack([right[0], right[1], -torch.log2(red_only @ p[:, 2])])):
        return "red changes your weights, but green does not: blue's weights must know both (section 5.4)"
    mixed = weights.softmax(0) @ p.cumprod(dim=1)
    if gives(-torch.log2(mixed / torch.cat([mixed.new_ones(1), mixed[:-1]]))):
        return "you send the weights through a softmax, but they are weights already, not logits: they sum to 1"
    equal = p.cumprod(dim=1).mean(0)
    if gives(-torch.log2(equal / torch.cat([equal.new_ones(1), equal[:-1]]))):
        return "every component counts the same in yours; `weights` says how much each one counts"
    if gives(torch.stack([right[0], *-torch.log2((weights * p[:, 0]) @ p[:, 1:])])):
        return "your new weights do not sum to 1: divide weight times p(r) by its sum over the components (section 5.4)"
    if gives(-torch.log2(weights @ p)):
        return "your colours all mix with the weights from the start; once red is seen they have changed (section 5.4)"
    if gives(-torch.log2(joint)):
        return "these are the costs of r, of r and g, and of all three; take from each what was paid before"
    if gives(-(weights @ p.log2())):
        return "you average the components' costs; average their probabilities, then take the logarithm (section 5.3)"
    if gives(-p.prod(dim=0).log2()):
        return "you multiply over components, but a mixture adds them (section 5.3)"
    if not close(got.sum(), right.sum()):
        return f"the three must add up to the pixel's {right.sum():.3f} bits; yours add up to {got.sum():.3f} (section 5.4)"
    return f"the sum is right, but red alone costs {right[0]:.3f} bits, and you say {got[0]:.3f}"


CHECKS = {"5.1": _outputs_a_pixel, "5.2": _leaning_means, "5.3": _colour_bits}
