"""Chapter 9: half-lives, the gradient of weight normalisation, and an average of the weights."""

import math

import torch

from pixelcnn_edu.exercises.answers import call, close, number, tensor

__all__ = ["CHECKS"]


def _half_life(answer):
    decays = (0.5, 0.9, 0.9995, 0.999995)
    got = [number(call(answer, d)) for d in decays]

    def answers(function):
        return all(close(g, function(d)) for g, d in zip(got, decays))

    def right(d):
        return math.log(0.5) / math.log(d)

    if answers(right):
        return None
    if answers(lambda d: math.log(2) / math.log(d)):
        return "a number of steps cannot be below 0: one of the two logarithms has the wrong sign"
    if answers(lambda d: math.log(d) / math.log(0.5)):
        return "your fraction is upside down: the slower the decay, the more steps it takes"
    if answers(lambda d: 1 / (1 - d)):
        return "that is the memory of an average (section 9.3); after so many steps about 37% is left, not a half"
    if answers(lambda d: -1 / math.log(d)):
        return "after so many steps 1/e is left, about 37%, not a half"
    if answers(lambda d: 0.5 / (1 - d)):
        return "you take the same amount away at each step, but the factors multiply: each step takes less than the last"
    if answers(lambda d: math.log(2) / (1 - d)):
        return (
            "that is close for a decay near 1, where log(decay) is nearly decay - 1, but not exact: at 0.5 it is 1.39, not 1"
        )
    if answers(lambda d: math.log(0.5) / (1 - d)):
        return "a number of steps cannot be below 0; and 1 - decay stands for -log(decay) only where the decay is near 1"
    if answers(lambda d: math.log(d)) or answers(lambda d: -math.log(d)):
        return "that is the logarithm of one step's factor; how many such steps make the logarithm of a half?"
    if answers(lambda d: 0.5 / d) or answers(lambda d: d / 0.5):
        return "you divide once; each step multiplies, so the number of steps is an exponent: take logarithms"
    if all(g == round(g) and abs(g - right(d)) <= 1 for g, d in zip(got, decays)):
        return "right but for rounding: return the exact number"
    if all(close(g, right(d)) for g, d in zip(got[:-1], decays)):
        return "right but for 0.999995, of which float32 keeps too few digits; compute in float64, as Python itself does"
    wrong, said = next((d, g) for d, g in zip(decays, got) if not close(g, right(d)))
    return f"at {wrong} you say {said:.4g} steps; compare {wrong} to that power with a half"


def _weight_norm_gradients(answer):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    g, v, w_grad = draw(5, 1, 1, 1).abs() + 0.5, draw(5, 3, 2, 3), draw(5, 3, 2, 3)
    norm = v.flatten(1).norm(dim=1).view_as(g)
    along = (w_grad * v / norm).sum(dim=(1, 2, 3), keepdim=True)
    right = g / norm * (w_grad - along * v / norm)
    kept = g.clone(), v.clone(), w_grad.clone()
    pair = call(answer, g, v, w_grad)
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
        return "return two tensors, the gradient with respect to g and the one with respect to V"
    of_g, of_v = map(tensor, pair)
    if of_g.shape == v.shape and of_v.shape == g.shape:
        return "you return the two in the wrong order: first the gradient with respect to g"
    if of_g.shape != g.shape or of_v.shape != v.shape:
        return (
            f"each gradient has the shape of what it belongs to, here {tuple(g.shape)} and {tuple(v.shape)}; "
            f"yours have {tuple(of_g.shape)} and {tuple(of_v.shape)}"
        )
    if not all(torch.equal(a, b) for a, b in zip(kept, (g, v, w_grad))):
        return "your function changes the tensors it is given; work on copies"
    if _same(of_g, along * norm):
        return "your gradient for g grows with V, but W does not change when V is scaled: W depends on g through V / ||V||"
    if not _same(of_g, along):
        one = v.norm()
        if _same(of_g, (w_grad * v / one).sum(dim=(1, 2, 3), keepdim=True)):
            return "you take one norm over the whole of V; each output channel has its own (section 9.1)"
        if _same(of_g, along / v[0].numel()):
            return "you average over the weights of a channel; the gradient for its length is a sum over them"
        if _same(of_g, along * g):
            return "your gradient for g has g in it: you multiply by W, but dW/dg is the unit vector V / ||V||"
        if _same(of_g, -along):
            return "the gradient for g has the wrong sign: a longer g makes W longer, in the direction of V"
        return "the gradient for g is off: write W as g times a unit vector, and ask how W changes when g does"
    if _same(of_v, g / norm * w_grad):
        return "your gradient for V has a part along V, and must have none: the norm depends on V too (section 9.1)"
    if _same(of_v, -right):
        return "the gradient for g is right; the one for V has the wrong sign"
    if _same(of_v, g / norm * (w_grad - along * v)):
        return "the gradient for g is right; for V, subtract the part along the unit vector: V itself is too long for that"
    if _same(of_v, g / norm * along * v / norm):
        return "the gradient for g is right; for V you return the part along V, the very part that has no effect"
    if _same(of_v, right / g):
        return "the gradient for g is right; the one for V forgets that W is g times as long as the unit vector"
    if _same(of_v, right * norm):
        return "the gradient for g is right; the one for V must shrink as V gets longer: a long V is hard to turn"
    if _same(of_v, right * norm / g):
        return "the gradient for g is right; the one for V forgets that W is g / ||V|| times V"
    if _same(of_v, right):
        return None
    dot = (of_v * v).sum(dim=(1, 2, 3)).abs().max().item()
    return f"the gradient for g is right; the one for V is not, and its product with V, which should be 0, is {dot:.2g}"


def _same(a, b):
    """Whether two tensors agree to four digits, and in shape."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-6)


def _corrected_average(answer):
    generator = torch.Generator().manual_seed(0)
    steps, decay = 5, 0.9
    history = [[torch.randn(shape, generator=generator) for shape in ((3, 2), (4,))] for _ in range(steps)]
    kept = [[w.clone() for w in weights] for weights in history]
    got = _tensors(call(answer, history, decay))
    if any(not torch.equal(w, k) for weights, copies in zip(history, kept) for w, k in zip(weights, copies)):
        return "your function changes the weights it is given; the average reads them and never writes them (section 9.6)"
    if not all(g.shape == w.shape for g, w in zip(got, history[0])) or len(got) != len(history[0]):
        return "return a list with one average for each tensor, of that tensor's shape"

    def mix(keep, new, start=0.0, scale=1.0):
        average = [start * w for w in history[0]]
        for weights in history[1:] if start else history:
            average = [keep * a + new * w for a, w in zip(average, weights)]
        return [a * scale for a in average]

    full = 1 / (1 - decay**steps)
    right = mix(decay, 1 - decay, scale=full)
    if all(map(_same, got, right)):
        once = _tensors(call(answer, history[:1], 0.9995))
        good = all(torch.allclose(a.float(), w, rtol=1e-2) for a, w in zip(once, history[0]))
        return None if good else "after five steps you are right, but after a single one the average must be its weights"
    if _same(got[0], right[0]) or (_same(got[0], mix(decay, 1 - decay)[0]) and not _same(got[1], mix(decay, 1 - decay)[1])):
        return "your first tensor is averaged and the second is not: does the loop end too early?"
    if all(map(_same, got, mix(decay, 1 - decay))):
        return (
            f"you start at zero and leave it in: weights that are always 1 come out as {1 - decay**steps:.2f} "
            "after five steps (section 9.3 has the same problem)"
        )
    if all(map(_same, got, mix(decay, 1 - decay, start=1.0))):
        return f"you start from the first step's weights; after five steps they still weigh {decay ** (steps - 1):.2f}"
    swapped = mix(1 - decay, decay)
    if all(map(_same, got, swapped)) or all(map(_same, got, mix(1 - decay, decay, scale=1 / (1 - (1 - decay) ** steps)))):
        return "`decay` is the old average's share, and you give it to the new weights"
    if all(map(_same, got, mix(1 - decay, decay, scale=full))):
        return "`decay` is the old average's share, and you give it to the new weights"
    if all(map(_same, got, history[-1])):
        return "those are the last step's weights, with nothing averaged"
    if all(map(_same, got, mix(decay, 1.0))):
        return "the new weights enter whole, or as after one step; their share is 1 - decay, and all shares 1 - decay**n"
    if all(map(_same, got, mix(decay, 1 - decay, scale=1 - decay**steps))):
        return "you multiply by the correction; the sum of the shares is too small, so divide by it"
    if all(map(_same, got, mix(decay, 1 - decay, scale=1 / decay**steps))):
        return "you divide by the share of the start; the weights hold the rest, 1 minus that"
    if all(map(_same, got, [sum(ws) / steps for ws in zip(*history)])):
        return "all steps weigh the same in yours; the newer a step, the more it should weigh"
    if all(map(_same, got, mix(decay, 1 - decay, scale=1 / (1 - decay ** (steps - 1))))):
        return "you correct as if there had been one step less; the steps count from 1"
    if any(all(map(_same, got, _corrected_inside(history, decay, each))) for each in (range(1, steps + 1), [steps] * steps)):
        return "you correct inside the loop, and go on from the corrected average; keep the average as it is, correct once"
    ones = [[torch.ones(2)] for _ in range(steps)]
    always = float(_tensors(call(answer, ones, decay))[0][0])
    if not close(always, 1):
        return f"weights that are 1 at every step come out as {always:.4g}: the shares must add up to 1 (section 9.3)"
    return "the shares add up to 1 but are not right: write the average after one step, then after two, and go on"


def _corrected_inside(history, decay, exponents):
    """What comes out where each step goes on from an average that is already divided by 1 - decay**exponent."""
    average = [torch.zeros_like(w) for w in history[0]]
    for weights, n in zip(history, exponents):
        average = [(decay * a + (1 - decay) * w) / (1 - decay**n) for a, w in zip(average, weights)]
    return average


def _tensors(result):
    return [tensor(part) for part in (result if isinstance(result, (list, tuple)) else [result])]


CHECKS = {"9.1": _half_life, "9.2": _weight_norm_gradients, "9.3": _corrected_average}
