"""Chapter 8: early stopping, dropout, and the variance of its noise."""

import torch

from pixelcnn_edu.exercises.answers import call, close, number, tensor

__all__ = ["CHECKS"]

# Steps, bits/dim on training and on held-out images: a bumpy curve with two valleys, the second one deeper.
RECORD = [
    {"step": step, "train": train, "held_out": held_out}
    for step, train, held_out in (
        (0, 9.0, 9.1),
        (25, 7.0, 7.4),
        (50, 6.2, 6.6),
        (75, 5.9, 6.8),
        (100, 5.1, 6.1),
        (125, 4.6, 6.5),
        (150, 4.2, 7.7),
        (175, 4.3, 8.2),
    )
]


def _early_stop(answer):
    lines = [dict(line) for line in RECORD]  # a copy, for an answer may sort it
    got = call(answer, lines)
    if isinstance(got, dict):
        return "that is a whole line of the record; return its step alone"
    got = number(got)
    if got == 100:
        best_of_two = number(call(answer, [dict(line) for line in RECORD[6:]]))
        return None if best_of_two == 150 else f"of two lines, 7.7 at step 150 and 8.2 at 175, you choose {best_of_two:g}"
    diagnoses = {
        4: "that is a place in the list; the step stands in the line at that place",
        6.1: "that is the lowest held-out cost; asked is the step at which it was reached",
        150: "you look at the training curve, which hardly ever turns; which curve tells of new images? (section 8.7)",
        75: "you go one line too far at the first rise; and a measured curve is bumpy: here a deeper valley follows",
        125: "you go one line too far: that is the line after the lowest one",
        5: "that is a place in the list, counted from 1; the step stands in the line at that place",
        9.1: "that is the highest held-out cost; asked is the step of the lowest",
        175: "that is where training ended",
        0: "there the gap is smallest and the cost highest, for nothing has been learned; look for the lowest cost",
        50: "you stop at the first rise; a measured curve is bumpy, and here a deeper valley follows",
    }
    return diagnoses.get(got, f"you say {got:g}; look for the line with the lowest held-out cost, and return its step")


def _dropout(answer):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        x = torch.full((4, 50, 10, 10), 3.0)
        left, given = x.clone(), x.clone()
        quiet = tensor(call(answer, left, 0.25, False)).float()
        noisy = tensor(call(answer, given, 0.25, True)).float()
        again = tensor(call(answer, x.clone(), 0.25, True)).float()
        none = tensor(call(answer, x.clone(), 0.0, True)).float()
        call(answer, x.flatten(), 0.25, True)  # a tensor of any shape
    for result in (noisy, quiet):
        if result.shape != x.shape:
            return f"the shape changes, from {tuple(x.shape)} to {tuple(result.shape)}"
    if not (torch.equal(given, x) and torch.equal(left, x)):
        return "your function changes its argument; the caller may need it, so return a new tensor"
    if not torch.equal(quiet, x):
        factor = (quiet / x).mean().item()
        if (quiet == 0).any():
            return "with training=False you still drop activations; then the answer must be x itself (section 8.6)"
        return f"with training=False you multiply by {factor:.3g}; scale in training, so that nothing is left to do later"
    zeros = (noisy == 0).float().mean().item()
    if zeros in (0, 1) and _one_draw_for_all(answer, x):
        return "you draw once for the whole tensor: all is kept or all is dropped; every activation needs a draw of its own"
    if zeros == 0 and len(noisy.unique()) > 2:
        return "you multiply by the random numbers themselves; compare them with p, which gives a mask of 0 and 1"
    if zeros == 0:
        return "with training=True nothing is dropped"
    if abs(zeros - 0.75) < 0.05:
        return "at p = 0.25 you drop three of four: p is the probability of dropping, not of keeping"

    def shared(dim):
        """Whether a mask serves several places along these axes: then the shares that are dropped are all or nothing."""
        return len((noisy == 0).float().mean(dim=dim).unique()) <= 2

    if shared((2, 3)):
        return "you drop whole channels; every activation needs a draw of its own (section 8.8)"
    if shared(0) or shared(1):
        return "you use one mask for several images or channels; every activation needs a draw of its own"
    if shared(2) or shared(3):
        return "you use one mask for several rows or columns; every activation needs a draw of its own"
    if abs(zeros - 0.6) < 0.02:
        return "at p = 0.25 you drop 60%: your numbers come from randn, a bell; with rand a share p of them lies below p"
    if abs(zeros - 0.25) > 0.03:
        return f"at p = 0.25 you drop {zeros:.0%} of the activations"
    if torch.equal(noisy == 0, again == 0):
        return "two calls drop the same activations; the mask must be drawn anew each time"
    kept = (noisy[noisy != 0] / 3).mean().item()
    if close(kept, 4):
        return "you divide by p; a share 1 - p is kept, and that is to be made up for (section 8.3)"
    if not close(kept, 4 / 3):
        return f"what is kept is multiplied by {kept:.3g}, so the mean is {kept * 0.75:.3g} of what it was (section 8.3)"
    return None if torch.equal(none, x) else "at p = 0 nothing may change"


def _one_draw_for_all(answer, x):
    """Whether many calls drop everything in some and nothing in others."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        shares = {(tensor(call(answer, x.clone(), 0.5, True)) == 0).float().mean().item() for _ in range(20)}
    return shares == {0, 1}


def _noise_variance(answer):
    generator = torch.Generator().manual_seed(0)
    weight, x = torch.randn(2, 3, 5, generator=generator).double() + 0.3  # 3 channels, 5 places of the kernel
    p = 0.2
    single, whole = (number(call(answer, weight.clone(), x.clone(), p, whole_channels)) for whole_channels in (False, True))
    terms = weight * x
    squares, channels = terms.square().sum().item(), terms.sum(dim=1).square().sum().item()
    factor = p / (1 - p)
    if close(single, factor * squares) and close(whole, factor * channels):
        return None
    if close(single, squares * p * (1 - p)):
        return "you have the variance of a mask of zeros and ones; what is kept is also multiplied by 1 / (1 - p)"
    if close(single, squares * p):
        return "you multiply by 1 / (1 - p) once; a factor multiplies the variance by its square"
    if close(single, squares * p / (1 - p) ** 2):
        return "a mask of zeros and ones has the variance p (1 - p), not p: one of the two factors is missing"
    if close(single, squares):
        return "you add up the squares alone; how far does p make each term vary? (section 8.3)"
    if close(single, factor * terms.square().mean().item()):
        return "you take the mean of the terms' variances; the variances of independent terms add up"
    if close(single, factor * terms.sum().item()) or close(single, factor * terms.abs().sum().item()):
        return "a factor multiplies the variance by its square: each term, weight times activation, enters squared"
    if close(single, factor * weight.square().sum().item()):
        return "the activations are missing: a term of the sum is weight times activation"
    if close(single, squares * (1 - p) / p):
        return "p and 1 - p are swapped: at p = 0 there is no noise at all"
    if close(single**2, factor * squares):
        return "that is the standard deviation; asked is its square, the variance"
    if close(single, squares / (1 - p)):
        return "that is the mean of the square; the variance is less, by the square of the mean"
    if close(single, factor * terms.sum().square().item()):
        return "variances of independent terms add; you square the sum, as if all were dropped together"
    if close(single, factor * x.square().sum().item()):
        return "the weights are missing: a term of the sum is weight times activation"
    if close(single, factor * channels) and close(whole, factor * squares):
        return "the two cases are swapped: with whole_channels the terms of a channel share one draw (section 8.8)"
    if close(single, factor * squares):
        if close(whole, single):
            return "both kinds come out equal; terms that share a draw are added first and squared afterwards"
        if close(whole, factor * terms.sum().square().item()):
            return (
                "for whole channels you square the sum of all terms; each channel has a draw of its own, so its own square"
            )
        if close(whole, factor * terms.sum(dim=0).square().sum().item()):
            return "for whole channels you add up the channels at each place; a draw is shared by the places of one channel"
        return f"single activations are right; whole channels should give {factor * channels:.4g}, you say {whole:.4g}"
    if 0.5 < single / (factor * squares) < 2:
        return (
            f"for single activations you say {single:.4g}, near the right {factor * squares:.4g} but not equal to it; "
            "do you sample? the variance can be written down exactly"
        )
    return f"for single activations at p = 0.2 you say {single:.4g}; compare with the variance over many calls of nn.Dropout"


CHECKS = {"8.1": _early_stop, "8.2": _dropout, "8.3": _noise_variance}
