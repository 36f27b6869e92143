"""The statistics of the ablations: what a change is worth, how sure that is, and what may be said of it.

The protocol that fixes all this beforehand is `book/runs/README.md`. Used in chapter 12.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

__all__ = ["MARGIN", "Effect", "effect", "holm", "read_arms", "status"]

MARGIN = 0.03  # bits/dim that "no worse" allows for, decided before the runs
SCORES = "test_bits.npy"  # beside the record of a run: bits/dim of each test image


def read_arms(folder):
    """Bits/dim of each test image for every arm and seed recorded in `folder`.

    Args:
        folder: holds `<arm>/seed-<n>/test_bits.npy`.

    Returns:
        A dict from arm to float64 (seeds, images), the seeds in their order.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: where two runs were scored on different numbers of images.
    """
    files = sorted(Path(folder).glob(f"*/seed-*/{SCORES}"), key=lambda file: (file.parts[-3], int(file.parts[-2][5:])))
    if not files:
        raise FileNotFoundError(f"there is no <arm>/seed-<n>/{SCORES} in {folder}; tools/ablations.py writes them")
    arms = {}
    for file in files:
        arms.setdefault(file.parts[-3], []).append(np.load(file, allow_pickle=False).astype(np.float64))
    sizes = {arm: sorted({len(bits) for bits in runs}) for arm, runs in arms.items()}
    if len({size for both in sizes.values() for size in both}) > 1:
        raise ValueError(f"the arms were scored on different numbers of images: {sizes}")
    return {arm: np.stack(runs) for arm, runs in arms.items()}


@dataclass(frozen=True)
class Effect:
    """What it costs to leave a change out, in bits/dim.

    Attributes:
        mean: difference of the means over seeds, arm minus full model.
        low: lower end of its 95 % interval over seeds (Welch's t).
        high: upper end of it.
        p: two-sided p-value of no difference.
        image_error: standard error over test images of the difference, each image averaged over seeds.
    """

    mean: float
    low: float
    high: float
    p: float
    image_error: float


def effect(arm, full):
    """The `Effect` between two arms, each bits/dim (seeds, images) of the same images.

    Welch's t, since arms have different numbers of seeds and need not spread alike. Raises ValueError for fewer than two
    seeds on either side, and where the numbers of images differ.
    """
    arm, full = np.asarray(arm, dtype=np.float64), np.asarray(full, dtype=np.float64)
    if arm.ndim != 2 or full.ndim != 2 or arm.shape[1] != full.shape[1] or min(len(arm), len(full)) < 2:
        raise ValueError(
            f"an effect needs two or more seeds of each arm, on the same images; got {arm.shape} and {full.shape}"
        )
    test = stats.ttest_ind(arm.mean(axis=1), full.mean(axis=1), equal_var=False)
    interval = test.confidence_interval(0.95)
    by_image = arm.mean(axis=0) - full.mean(axis=0)  # (images,)
    image_error = by_image.std(ddof=1) / math.sqrt(len(by_image))
    return Effect(float(by_image.mean()), float(interval.low), float(interval.high), float(test.pvalue), float(image_error))


def holm(p_values):
    """Holm's correction of the p-values of a family of claims: a dict from name to corrected p-value.

    The k-th smallest of n is multiplied by n - k + 1, and none comes out below a smaller one. Source: Holm 1979.
    """
    corrected, largest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.get)):
        largest = max(largest, min(1.0, p_values[name] * (len(p_values) - place)))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


def status(effect, corrected_p):
    """What may be said of a change: "holds", "contradicted", "no worse" or "open", by the protocol.

    Args:
        effect: the `Effect` of leaving the change out.
        corrected_p: its p-value after Holm's correction.
    """
    if corrected_p < 0.05:
        return "holds" if effect.mean > 0 else "contradicted"
    return "no worse" if -effect.low < MARGIN else "open"
