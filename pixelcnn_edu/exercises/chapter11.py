"""Chapter 11: the work of both samplers, temperature, and a strided convolution that remembers."""

import math

import torch

from pixelcnn_edu.exercises.answers import call, number, tensor

__all__ = ["CHECKS"]


def _positions_run(answer):
    cases = [(32, 32, 0), (32, 32, 16), (8, 12, 2), (5, 4, 5)]
    got = {m: [number(call(answer, *case, m)) for case in cases] for m in ("naive", "cached")}
    sizes = [(h * w, (h - k) * w) for h, w, k in cases]  # all pixels, and those to be drawn
    if got == {"naive": [drawn * size for size, drawn in sizes], "cached": [size for size, _ in sizes]}:
        return None
    if got["cached"] == [drawn for _, drawn in sizes]:
        return (
            "you leave out the known pixels, but the cached method must hear of them too: later pixels need their features"
        )
    if got["naive"] == [drawn for _, drawn in sizes]:
        return "you count passes; a pass runs the network for every position of the image (section 11.4)"
    if got["naive"] == [size * size for size, _ in sizes]:
        return "you run a pass for the known pixels too; the naive method needs none for a pixel that is not drawn"
    if got["naive"] == [drawn * drawn for _, drawn in sizes]:
        return "a pass takes the whole image, known rows included; only the number of passes falls with them"
    if got["naive"] == [size for size, _ in sizes] and got["cached"] == [drawn * size for size, drawn in sizes]:
        return "you have the two methods swapped: the naive one is the one that repeats itself (section 11.4)"
    if got["cached"] == [drawn * size for size, drawn in sizes]:
        return "that is the naive count; the cached method runs the network for each position once (section 11.4)"
    if got["naive"] == [3 * drawn * size for size, drawn in sizes] or got["cached"] == [3 * size for size, _ in sizes]:
        return "you count sub-pixels; a pass gives the mixture of a whole pixel, so three colours need one pass"
    if got["cached"] == [2 * size - drawn for size, drawn in sizes]:
        return "you count the known pixels twice; the cached method hears of every pixel once"
    if got["naive"] == [sum(range(size - drawn, size)) for size, drawn in sizes]:
        return "you count what is before each pixel; a pass runs the network for every position, those not drawn yet too"
    right = {"naive": [drawn * size for size, drawn in sizes], "cached": [size for size, _ in sizes]}
    method, at = next((m, i) for m in got for i in range(len(cases)) if got[m][i] != right[m][i])
    h, w, k = cases[at]
    return f'for {h} x {w} pixels and {k} known rows you say {got[method][at]:,.10g} with "{method}"; count 2 x 2 by hand'


def _temper(answer):
    generator = torch.Generator().manual_seed(0)
    logits, log_scales = torch.randn(3, 5, generator=generator), torch.randn(3, 5, generator=generator)
    given = logits.clone(), log_scales.clone()
    got = {t: call(answer, logits, log_scales, t) for t in (0.5, 1.0, 3.0)}
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in got.values()):
        return "return two tensors, the logits and the logarithms of the scales"
    if not (torch.equal(logits, given[0]) and torch.equal(log_scales, given[1])):
        return "you change the tensors that you are given; return new ones"
    got = {t: [tensor(part).float() for part in pair] for t, pair in got.items()}
    for part in got[0.5]:
        if part.shape != logits.shape:
            return f"each tensor keeps its shape, here {tuple(logits.shape)}; you return one of {tuple(part.shape)}"

    def answers(place, function):
        return all(
            pair[place].shape == logits.shape and torch.allclose(pair[place], function(t), atol=1e-5)
            for t, pair in got.items()
        )

    if not answers(0, lambda t: logits / t):
        if answers(0, lambda t: logits * t):
            return "your weights become flatter where they should become sharper: divide the logits (section 11.6)"
        if answers(0, lambda t: logits):
            return "the weights have their temperature too, not the scales alone"
        if answers(0, lambda t: (logits / t).softmax(-1)) or answers(0, lambda t: (logits / t).exp()):
            return "these are weights already; their logits are asked for"
        if answers(0, lambda t: (logits / t).log_softmax(-1)) or answers(0, lambda t: (logits / t).log_softmax(0)):
            return "right, and normalised besides, which is not asked for: return the divided logits as they are"
        if answers(0, lambda t: log_scales + math.log(t)):
            return "you return the two in the wrong order: the logits come first"
        if answers(0, lambda t: logits / t**2) or answers(0, lambda t: logits / t**0.5):
            return "the temperature enters the logits to the first power: neither a square nor a root (section 11.6)"
        if answers(0, lambda t: logits - math.log(t)):
            return "you take the logarithm off the logits; subtracting the same from all of them changes no weight"
        return "your logits are not those of the equation in section 11.6"
    if answers(1, lambda t: log_scales + math.log(t)):
        return None
    if answers(1, lambda t: log_scales * t):
        return "you multiply the logarithm; it is the scale that is to be multiplied"
    if answers(1, lambda t: log_scales / t):
        return "you divide the logarithm, as you do the logits; it is the scale that is to be multiplied"
    if answers(1, lambda t: log_scales + math.log2(t)) or answers(1, lambda t: log_scales + math.log10(t)):
        return "your logarithm has the wrong base: log_scales are natural logarithms"
    if answers(1, lambda t: log_scales + 0.5 * math.log(t)) or answers(1, lambda t: log_scales + 2 * math.log(t)):
        return "the temperature multiplies the scale to the first power: neither a square nor a root (section 11.6)"
    if answers(1, lambda t: log_scales - math.log(t)):
        return "your scales grow where the temperature falls; it should be the other way round"
    if answers(1, lambda t: log_scales + t):
        return "you add the temperature itself to the logarithm of the scale; at temperature 1 nothing may change"
    if answers(1, lambda t: log_scales):
        return "the scales have their temperature too, not the weights alone"
    if answers(1, lambda t: log_scales.exp() * t):
        return "these are the scales; their logarithms are asked for"
    return "your scales are not those of the equation in section 11.6"


def _strided_step(answer):
    generator = torch.Generator().manual_seed(0)
    sequence, weight = torch.randn(9, 3, generator=generator), torch.randn(4, 3, 2, generator=generator)
    seen, outputs, memories = torch.zeros(3), [], []
    for place, x in enumerate(sequence):
        pair = call(answer, seen.clone(), x.clone(), weight.clone(), place)
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            return "return two things: what is to be remembered, and the output or None"
        if pair[1] is not None and torch.equal(tensor(pair[1]).float(), x):
            return "you return the two in the wrong order: what is to be remembered comes first, then the output"
        if pair[0] is None or tuple(tensor(pair[0]).shape) != (3,):
            return "what you remember must be an input of shape (C,), at every place, with an output or without"
        seen = tensor(pair[0]).float()
        outputs.append(None if pair[1] is None else tensor(pair[1]))
        memories.append(seen)
    before = torch.cat([torch.zeros(1, 3), sequence[:-1]])  # (9, 3)
    right = sequence @ weight[:, :, 1].T + before @ weight[:, :, 0].T  # (9, F), at every place
    if all(output is None for output in outputs):
        return "you return no output at any place; with stride 2 there is one at every even place"
    if all(output is not None for output in outputs):
        return "with stride 2 there is an output at even places only"
    if all(output is None for output in outputs[::2]) and all(output is not None for output in outputs[1::2]):
        return "your outputs stand at the odd places; the first one belongs to place 0"
    if any(output is not None for output in outputs[1::2]) or any(output is None for output in outputs[::2]):
        return "with stride 2 there is an output at every even place and at no odd one"
    if tuple(outputs[0].shape) != (4,):
        return f"an output is a vector of shape (F,), here (4,); yours has the shape {tuple(outputs[0].shape)}"
    got = torch.stack(outputs[::2]).float()
    if torch.allclose(got, right[::2], atol=1e-5):
        return None
    if all(torch.equal(memory, torch.zeros(3)) for memory in memories):
        return "you remember nothing: your memory is still what it was at the start"
    skipped = torch.cat([torch.zeros(1, 3), sequence[:-2:2]])  # the last input that had an output
    if torch.allclose(got, sequence[::2] @ weight[:, :, 1].T + skipped @ weight[:, :, 0].T, atol=1e-5):
        return "at places without an output the input must be remembered all the same; the next place needs it"
    if torch.allclose(got, sequence[::2] @ weight[:, :, 0].T + before[::2] @ weight[:, :, 1].T, atol=1e-5):
        return "your taps are swapped: the first one lies on the earlier input"
    if torch.allclose(got, sequence[::2] @ weight[:, :, 1].T, atol=1e-5):
        return "your output leaves out the input before; both taps count (section 11.3)"
    if torch.allclose(got, before[::2] @ weight[:, :, 0].T, atol=1e-5):
        return "your output leaves out the input of this place; both taps count (section 11.3)"
    if torch.allclose(got[0], right[0].float(), atol=1e-5) and not torch.equal(torch.stack(memories), sequence):
        return "the first output is right, a later one is not: is what you remember the input of this very step?"
    return "your outputs are not those of the convolution; compare with `Remembers` in section 11.3"


CHECKS = {"11.1": _positions_run, "11.2": _temper, "11.3": _strided_step}
