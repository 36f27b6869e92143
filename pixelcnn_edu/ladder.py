"""The ladder of ablations: what each rung scores on every test image, and whether a difference is more than chance."""

import math
from pathlib import Path

import numpy as np

__all__ = ["compare", "read_scores", "spread", "verdict"]

SCORES = "test_bits.npy"  # beside the record of a rung
SEEDS = ("full", "full-seed-1", "full-seed-2")


def read_scores(folder):
    """Bits/dim of each test image for every rung recorded in `folder`: a dict of float64 (N,), `full` first.

    Raises FileNotFoundError where there is no rung, ValueError where two were tested on different numbers of images.
    """
    files = sorted(Path(folder).glob(f"*/{SCORES}"), key=lambda file: (file.parent.name != "full", file.parent.name))
    if not files:
        raise FileNotFoundError(f"there is no {SCORES} in a folder of {folder}; tools/ladder.py writes them")
    scores = {file.parent.name: np.load(file, allow_pickle=False).astype(np.float64) for file in files}
    sizes = {name: len(bits) for name, bits in scores.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the rungs were tested on different numbers of images: {sizes}")
    return scores


def compare(one, other):
    """How many bits/dim `other` costs more than `one`, and its standard error; both scores of the same images (N,).

    Image by image, since what makes an image dear makes it dear to both. Raises ValueError where the numbers of images
    differ or there are fewer than two. Derived in chapter 12.
    """
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 2:
        raise ValueError(f"scores of the same images are compared, at least two; got shapes {one.shape} and {other.shape}")
    differences = other - one  # (N,)
    return float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))


def spread(scores):
    """The largest difference in bits/dim that another seed alone makes: over the full model's runs. Chapter 12.

    Raises ValueError where none of them is there; where only one is, it is 0, which says nothing.
    """
    means = [scores[name].mean() for name in SEEDS if name in scores]
    if not means:
        raise ValueError(f"there is no run of the full model; one of {', '.join(SEEDS)} is needed")
    return float(max(means) - min(means))


def verdict(difference, standard_error, spread):
    """Whether a change helps: "holds", "fails" or "open", by the rule of `book/runs/README.md`.

    difference: what it costs in bits/dim to leave the change out. It counts where it is larger than the spread over seeds
    and than two standard errors. Raises ValueError for what is no number. Chapter 12.
    """
    if math.isnan(difference + standard_error + spread):
        raise ValueError(f"difference, error and spread must be numbers, got {difference}, {standard_error} and {spread}")
    if abs(difference) <= max(spread, 2 * standard_error):
        return "open"
    return "holds" if difference > 0 else "fails"
