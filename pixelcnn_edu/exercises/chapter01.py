"""Chapter 1: bits/dim of a predictor, a table of pairs, and a context that sees more."""

import math

import torch
import torch.nn.functional as F

from pixelcnn_edu.data import shapes
from pixelcnn_edu.exercises.answers import Unusable, call, close, number, tensor

__all__ = ["CHECKS"]


SUMMED = [(1, 2, 3), (2, 3), (1,), ()]  # axes over which a reader may sum, besides the images


def _bits_from_probabilities(answer):
    generator = torch.Generator().manual_seed(0)
    cases = [0.01 + 0.98 * torch.rand(shape, generator=generator) for shape in ((1, 3, 4, 4), (4, 3, 2, 5), (2, 1, 6, 3))]
    got = [tensor(call(answer, p.clone())) for p in cases]
    if any(g.numel() != 1 for g in got):
        return f"one number is asked for, over all images; for 4 images you return the shape {tuple(got[1].shape)}"
    if any(g.isinf() for g in got):
        return "your cost is infinite: a product of so many probabilities is 0 in float32; add up their logarithms"

    def answers(function):
        return all(close(g, function(p)) for g, p in zip(got, cases))

    if answers(lambda p: -p.log2().mean()):
        return None
    if answers(lambda p: p.log2().mean()):
        return "the sign is off: a probability below 1 has a negative logarithm, and costs a positive number of bits"
    if answers(lambda p: -p.log().mean()):
        return "these are nats; a bit is ln 2 nats (section 1.2)"
    if answers(lambda p: -p.log().mean() * math.log(2)):
        return "you multiply nats by ln 2; there are more bits than nats, so the number must grow (section 1.2)"
    if answers(lambda p: -p.log10().mean()):
        return "your logarithm has base 10; bits are counted with base 2 (section 1.2)"
    if answers(lambda p: -(p * p.log2()).mean()) or answers(lambda p: -(p * p.log2()).sum()):
        return "you weight each cost by its probability, as in an entropy; here each level came once and counts once"
    if answers(lambda p: -p.mean().log2()):
        return "you average probabilities, and then take the logarithm; it is the bits that add (section 1.7)"
    if answers(lambda p: -p.log2().sum() / p[:, 0].numel()):
        return "these are bits a pixel; a pixel has C sub-pixels, so divide by the channels too (section 1.2)"
    if answers(lambda p: -p.log2().sum() / len(p)):
        return "these are bits an image; share them out over its sub-pixels (section 1.2)"
    if any(answers(lambda p, d=d: -p.log2().sum() / p[0].numel() * math.prod(p.shape[i] for i in d)) for d in SUMMED):
        return "your number grows with the number of images; it should be their mean"
    if answers(lambda p: -p.log2().mean() * p.shape[2] * p.shape[3]):
        return "your number grows with the size of the image: divide by its height and width too (section 1.2)"
    wanted = -cases[0].log2().mean().item()
    return f"for the first of the probabilities tried you say {float(got[0]):.4g}, and the bits come to {wanted:.4g}"


def _bits_given_previous(answer):
    generator = torch.Generator().manual_seed(0)
    levels = 5
    train, test = (torch.randint(steps, (40,), generator=generator).cumsum(0) * 2 % levels for steps in (2, 3))
    got = number(call(answer, train.clone(), test.clone(), levels))

    def count(before, after):
        return torch.bincount(levels * before + after, minlength=levels**2).view(levels, levels).double()

    def bits(counts, sequence=test, dim=1):
        p = counts / counts.sum(dim, keepdim=True)
        return -p[sequence[:-1], sequence[1:]].log2()

    counts = count(train[:-1], train[1:])
    smooth = counts + 1
    if close(got, bits(smooth).mean()):
        return None
    alone = torch.bincount(train, minlength=levels)
    if not math.isfinite(got):
        return "your cost is not finite: a pair of test never came up in train, so start every count from 1 (section 1.3)"
    if close(got, -(smooth / counts.sum(1, keepdim=True))[test[:-1], test[1:]].log2().mean()):
        return "you start every count from 1, but divide by the old sums; each row of the table must sum to 1"
    if close(got, -(smooth / (counts.sum(1, keepdim=True) + 1))[test[:-1], test[1:]].log2().mean()):
        return "you add 1 to the sum of a row, but 1 to each of its counts; each row of the table must sum to 1"
    if any(close(got, bits(counts + 10.0**-k).mean()) for k in range(1, 16)):
        return "you start the counts from a tiny number, so a pair that train lacks costs very much; start them from 1"
    if close(got, bits((counts > 0) + 1.0).mean()):
        return "you count each pair once at most: counts[i, j] += 1 with tensors i and j adds 1 only once per place"
    if close(got, bits(count(train[:-1:2], train[1::2]) + 1).mean()):
        return "you cut train into pairs side by side; every number but the first forms a pair with the one before it"
    if close(got, bits(smooth)[::2].mean()):
        return "you measure every second number of test; every number but the first has one before it"
    if close(got, bits(smooth.T).mean()) or close(got, bits(smooth, test.flip(0)).mean()):
        return "your table is turned round: its rows are the number before, its columns the one that follows"
    if close(got, bits(count(train, train.roll(-1)) + 1).mean()):
        return "you count the pair of the last number and the first; roll joins the two ends of train"
    if close(got, bits(smooth, dim=(0, 1)).mean()):
        return "you divide by all counts, which gives the probability of the pair; each row of the table must sum to 1"
    if close(got, bits(smooth, dim=0).mean()):
        return "you divide by the sums of the columns: that is the number before, given the one after it"
    if close(got, bits(smooth, train).mean()):
        return "these are the bits of train; count in train, but measure on test (section 1.6)"
    if any(close(got, -((alone + 1) / (alone + 1).sum())[part].log2().mean()) for part in (test, test[1:])):
        return "you leave out what came before: this is the histogram of single numbers (section 1.3)"
    if close(got, bits(smooth).mean() * math.log(2)):
        return "these are nats; take the logarithm to base 2 (section 1.2)"
    if close(got, bits(smooth).sum()):
        return "this is the sum of the bits; their mean is asked for"
    if close(got, bits(smooth).sum() / len(test)):
        return "you divide by all of test, but its first number has none before it and is not counted"
    own = count(test[:-1], test[1:])
    if close(got, bits(own + 1).mean()) or close(got, bits(own + smooth).mean()):
        return "you count in test what you then measure on test; only train may be counted (section 1.6)"
    return f"for one pair of sequences you say {got:.4g}, and the table gives {bits(smooth).mean().item():.4g}"


def _chapter_context(images):
    """The context of section 1.3 for green, without its constant."""
    padded = F.pad(images.double(), (1, 1, 1, 0), value=128)
    around = [padded[..., 1:, :-2], padded[..., :-1, :-2], padded[..., :-1, 1:-1]]
    return torch.cat([*around, images[:, :1].double()], dim=1)


def _squared_error(features, images, edge=0):
    """The mean squared error of the best weighted sum of features (N, F, H, W), and a constant, as a guess at green.

    With `edge` the outermost pixels are left out.
    """
    inside = slice(edge, images.shape[-1] - edge)
    features, images = features[..., inside, inside], images[..., inside, inside]
    columns = torch.cat([features, torch.ones_like(features[:, :1])], dim=1).movedim(1, -1).flatten(0, -2)
    green = images[:, 1].double().flatten()
    weights = torch.linalg.lstsq(columns, green[:, None], driver="gelsd").solution[:, 0]
    return (columns @ weights - green).square().mean().item()


def _features(answer, images):
    features = tensor(call(answer, images.clone()))
    if not features.isfinite().all():
        raise Unusable("your features hold nan or infinity, from which no sum can guess anything")
    return features


def _wide_context(answer):
    images, _ = shapes(12, seed=3)
    features = _features(answer, images)
    if features.ndim != 4 or features.shape[0] != 12 or features.shape[2:] != images.shape[2:]:
        return f"features of 12 images must have the shape (12, F, 32, 32), yours have {tuple(features.shape)}"

    before = _features(answer, images[:1])

    def sees(channel, row, column):
        """Whether the features of pixel (9, 9) change with this sub-pixel."""
        changed = images[:1].clone()
        changed[:, channel, row, column] ^= 128
        return not torch.equal(_features(answer, changed)[:, :, 9, 9], before[:, :, 9, 9])

    later = {"right of it": (9, 10), "below it": (10, 9), "two to its right": (9, 11), "to its lower left": (10, 7)}
    if sees(0, 31, 31):
        return "your features change with the last pixel of the image: is there a mean over the whole image in them?"
    if sees(1, 9, 9):
        return "your features hold the green sub-pixel itself, the very thing to be guessed"
    if sees(2, 9, 9):
        return "your features hold the pixel's own blue, which comes after its green (section 1.1)"
    for words, place in later.items():
        if any(sees(channel, *place) for channel in range(3)):
            return f"your features look at the pixel {words}, which comes later in raster order (section 1.1)"
    for row, column in ((9, 9), (0, 0), (9, 0), (9, 31), (31, 5)):
        changed = images[:1].clone()
        changed[:, 1:, row, column] ^= 128  # the pixel's own green and blue, and all that comes after it
        changed.flatten(2)[..., row * 32 + column + 1 :] ^= 128
        if not torch.equal(_features(answer, changed)[:, :, row, column], before[:, :, row, column]):
            edge = "; does a roll carry the other edge of the image in?" if column in (0, 31) else ""
            return f"your features of pixel ({row}, {column}) change with pixels later in raster order (section 1.1){edge}"
    error, chapter = (_squared_error(part, images) for part in (features, _chapter_context(images)))
    if error <= 0.9 * chapter:
        return None
    numbers = f"squared error {error:.1f}; the chapter's context has {chapter:.1f}, and 0.9 of that is asked for"
    if not sees(0, 9, 9):
        return f"{numbers}. You leave out the pixel's own red, which is known when its green is guessed"
    if _squared_error(features, images, edge=4) <= 0.9 * _squared_error(_chapter_context(images), images, edge=4):
        return f"{numbers}. Inside the images yours is good; what stands in your features for pixels outside the image?"
    return f"{numbers}. Look further: to the upper right, two to the left, two rows up"


CHECKS = {"1.1": _bits_from_probabilities, "1.2": _bits_given_previous, "1.3": _wide_context}
