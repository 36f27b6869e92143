"""Naive against cached sampling: milliseconds an image, and their ratio, at each size and batch.

    python benchmarks/sampling.py                         # small and paper, batches of 1, 16 and 64
    python benchmarks/sampling.py --size small --batch 16

The cached method is timed over whole images, with all it prepares. The naive one, which would take hours at the paper's
size, is timed over `--pixels` pixels, after a first one that does not count, and multiplied up: each costs one pass over the
image, whichever pixel it is. Both are timed in turn, and are first checked to draw the same pixels.
"""

import argparse
import copy
import itertools
import statistics
import time

import torch
from measure import machine

from pixelcnn_edu import Config, PixelCNNpp, sample
from pixelcnn_edu.sampling import trace


def compare(size, batch, pixels, rounds):
    """Print a line of the table."""
    torch.manual_seed(0)
    model = PixelCNNpp(getattr(Config, size)())
    check_that_both_draw_the_same(model)
    height, width = model.config.image_shape[1:]
    naive, cached = [], []
    for _ in range(rounds):
        naive.append(seconds_a_naive_pixel(model, batch, pixels) * height * width)
        cached.append(seconds(lambda: sample(model, batch, progress=False, batch_size=batch)))
    naive, cached = (1000 * statistics.median(times) / batch for times in (naive, cached))
    print(f"{size:6} {batch:5} {naive:15,.0f} {cached:15,.1f} {naive / cached:7.0f}", flush=True)


def check_that_both_draw_the_same(model):
    exact = copy.deepcopy(model).double()  # in float64 no value lies within a rounding error of its bin's edge
    naive, cached = (list(itertools.islice(trace(exact, 1, method=method), 2)) for method in ("naive", "cached"))
    assert torch.equal(naive[-1].images, cached[-1].images)


def seconds_a_naive_pixel(model, batch, pixels):
    steps = trace(model, batch, method="naive")
    next(steps)
    return seconds(lambda: list(itertools.islice(steps, pixels))) / pixels


def seconds(call):
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


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
