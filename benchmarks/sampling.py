"""Naive against cached sampling: milliseconds an image, and their ratio, at each size and batch.

    python benchmarks/sampling.py                         # small and paper, batches of 1, 16 and 64
    python benchmarks/sampling.py --size small --batch 16

The cached method is timed over whole images. The naive one, which would take an hour at the paper's size, is timed over its
first pixels, as many as `--pixels` says, and multiplied up: each costs one pass over the image, whichever pixel it is.
Both draw with the same seed, in turn, and are first checked to draw the same pixels.
"""

import argparse
import itertools

import torch
from measure import machine, side_by_side

from pixelcnn_edu import Config, PixelCNNpp, sample
from pixelcnn_edu.sampling import trace


def first_pixels(model, batch, method, pixels):
    """The first pixels of a draw: integers (N, C, H, W), 0 where nothing is drawn yet."""
    return list(itertools.islice(trace(model, batch, method=method), pixels))[-1].images


def compare(size, batch, pixels, rounds):
    """Print a line of the table."""
    torch.manual_seed(0)
    model = PixelCNNpp(getattr(Config, size)()).double()
    assert torch.equal(*(first_pixels(model, 1, method, pixels=2) for method in ("naive", "cached")))
    model = model.float()
    calls = {
        "naive": lambda: first_pixels(model, batch, "naive", pixels),
        "cached": lambda: sample(model, batch, progress=False, batch_size=batch),
    }
    seconds = side_by_side(calls, rounds)
    height, width = model.config.image_shape[1:]
    naive = seconds["naive"] / pixels * height * width / batch * 1000
    cached = seconds["cached"] / batch * 1000
    print(f"{size:6} {batch:5} {naive:15,.0f} {cached:15,.1f} {naive / cached:7.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", default=["small", "paper"], choices=["tiny", "small", "paper"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--pixels", type=int, default=2, help="that the naive method is timed over")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    print(f"naive extrapolated from {options.pixels} pixels; medians of {options.rounds} rounds, in turn")
    print("size   batch  naive ms/image cached ms/image   ratio")
    for size in options.size:
        for batch in options.batch:
            compare(size, batch, options.pixels, options.rounds)


if __name__ == "__main__":
    main()
