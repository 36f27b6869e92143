"""Compare our initialisation with the released code's, which measures transposed convolutions before the crop.

usage: initialisation.py FOLDER [STEPS]

Trains the small model from three seeds, from each twice: the weights drawn, the first batch and the
order of the images are the same. Each run has STEPS updates, 300 unless you say otherwise, and goes
to FOLDER; a second call goes on where the first stopped. Their records, without weights, are copied
to book/runs/initialisation. Needs CIFAR-10; a quarter of an hour on one core.
"""

import shutil
import statistics
import sys
from pathlib import Path

import torch

from pixelcnn_edu import Config, Training, build, fit, load_images, to_model
from pixelcnn_edu.blocks import data_dependent_init

ROOT = Path(__file__).resolve().parent.parent
RECORD = ("config.json", "environment.json", "metrics.csv")
SEEDS = 3


def main(folder, steps=300):
    images, _ = load_images("cifar10", "train")
    train, validation = images[:45000], images[45000:46000]
    scores = {"default": [], "released": []}
    for seed in range(SEEDS):
        for name, found in scores.items():
            torch.manual_seed(seed)
            model = build(Config.small())
            data_dependent_init(model, to_model(train[:64]), as_released=name == "released")
            out = Path(folder) / f"{name}-seed-{seed}"
            _, record = fit(model, train, None, training(seed, int(steps)), validation, out=out, samples=0)
            found.append(record[-1]["validation_bits_per_dim"])
            shipped = ROOT / "book" / "runs" / "initialisation" / out.name
            shipped.mkdir(parents=True, exist_ok=True)
            for file in RECORD:
                shutil.copy(out / file, shipped)
            print(out.name, f"{found[-1]:.4f}", flush=True)
    differences = [b - a for a, b in zip(*scores.values())]
    print("released - default:", *(f"{difference:+.4f}" for difference in differences))
    print(f"mean {statistics.mean(differences):+.4f}, standard deviation {statistics.stdev(differences):.4f}")


def training(seed, steps):
    """The released code's Adam and rate, on weights that are initialised already."""
    return Training(
        steps=steps,
        init_images=0,
        ema_decay=0.0,
        record_every=50,
        validation_images=200,
        mixed_precision=True,
        compile=True,
        seed=seed,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
