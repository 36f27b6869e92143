"""Run the ladder of ablations: every rung that is not recorded yet, one after the other.

Fixed for all rungs: the width of `Config.small`, 48,000 images (3,000 steps of 16), seed 0, the final test on all 10,000
test images with averaged weights. The average remembers 500 steps, not the paper's 2,000, which such a short run would not
outlive. The original PixelCNN is as large in parameters, not in width. What counts for a claim and what against it:
`book/runs/README.md`.

    PIXELCNN_EDU_DATA=... .venv/bin/python tools/ladder.py my-ladder            # every rung that is missing
    PIXELCNN_EDU_DATA=... .venv/bin/python tools/ladder.py my-ladder full softmax

Stopped at any time, the same command goes on.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pixelcnn_edu import Config, Training, build, fit, load_images, load_model
from pixelcnn_edu.ladder import SCORES
from pixelcnn_edu.probes import bits_per_image

BUDGET = {
    "steps": 3000,
    "batch_size": 16,
    "record_every": 250,
    "validation_images": 500,
    "mixed_precision": True,
    "ema_decay": 0.998,
}


@dataclass(frozen=True)
class Rung:
    """What a rung changes against the full model: fields of `Config` and `Training`, and how many images it trains on."""

    model: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    images: int = 50_000
    original: bool = False


RUNGS = {
    "full": Rung(),
    "softmax": Rung({"likelihood": "softmax"}),
    "no-shortcuts": Rung({"shortcuts": False}),
    "sub-pixels": Rung({"whole_pixels": False}),
    "original": Rung({"filters": 96}, original=True),  # as many parameters as the full model
    "no-downsampling": Rung({"downsampling": False}),
    "dequantized": Rung({"likelihood": "dequantized"}),
    "few-images": Rung(images=1000),
    "few-images-dropout": Rung({"dropout": 0.5}, images=1000),
    "hundred-images": Rung(images=100),
    "hundred-images-dropout": Rung({"dropout": 0.5}, images=100),
    "no-init": Rung(training={"init_images": 0}),
    "no-ema": Rung(training={"ema_decay": 0.0}),
    "mixtures-1": Rung({"mixtures": 1}),
    "mixtures-2": Rung({"mixtures": 2}),
    "mixtures-5": Rung({"mixtures": 5}),
    "full-seed-1": Rung(training={"seed": 1}),
    "dropout": Rung({"dropout": 0.5}),
    "classes": Rung({"classes": 10}),
    "full-seed-2": Rung(training={"seed": 2}),
}


def climb(name, folder):
    """Train one rung and record it in `folder`, with its score on every test image; nothing happens where that is done.

    Returns whether it is; a rung that was stopped has no score, for its weights will still change.
    """
    if not (is_finished(folder) and (folder / "samples.png").exists()):
        train(name, folder)
    if is_finished(folder) and not (folder / SCORES).exists() and (folder / "weights.safetensors").exists():
        score(folder)
    return is_finished(folder)


def is_finished(folder):
    """Whether the rung's record says that it was trained to its end."""
    record = folder / "environment.json"
    return record.exists() and json.loads(record.read_text())["finished"]


def train(name, folder):
    """Train one rung on its images and record it."""
    rung = RUNGS[name]
    images, labels = load_images("cifar10", "train")
    test, test_labels = load_images("cifar10", "test")
    config = Config.small(**rung.model)
    config = config.original() if rung.original else config
    training = Training(**{**BUDGET, **rung.training})
    torch.manual_seed(training.seed)
    labels, test_labels = (labels, test_labels) if config.classes else (None, None)
    fit(
        build(config),
        images[: rung.images],
        None if labels is None else labels[: rung.images],
        training,
        test,
        test_labels,
        out=folder,
    )


def score(folder):
    """Write the bits/dim of each test image, so that rungs can be compared image by image."""
    test, labels = load_images("cifar10", "test")
    model = load_model(folder)
    bits = bits_per_image(model, test, labels if model.config.classes else None)
    scratch = folder / f".{SCORES}.part"  # put in place when it is whole, for a run may be stopped at any time
    with scratch.open("wb") as file:
        np.save(file, bits.numpy().astype(np.float32))
    scratch.replace(folder / SCORES)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of all rungs")
    parser.add_argument("rungs", nargs="*", help=f"of {', '.join(RUNGS)}; all where none is named")
    options = parser.parse_args()
    unknown = set(options.rungs) - set(RUNGS)
    if unknown:
        parser.error(f"there is no rung {', '.join(sorted(unknown))}; there are {', '.join(RUNGS)}")
    for name in options.rungs or RUNGS:
        if not climb(name, options.out / name):
            sys.exit(130)  # stopped
        print(f"{name}: {np.load(options.out / name / SCORES).mean():.4f} bits/dim", flush=True)


if __name__ == "__main__":
    main()
