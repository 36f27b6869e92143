"""The command line: `python -m pixelcnn_edu train --preset small --data cifar10 --steps 18000 --out runs/mine`."""

import argparse

import torch

from pixelcnn_edu.config import Config
from pixelcnn_edu.data import load_images
from pixelcnn_edu.models import PixelCNNpp
from pixelcnn_edu.training import Training, fit

__all__ = ["main"]


def main(arguments=None):
    """Train a model and record the run; the same command again continues where it stopped. See chapter 10."""
    parser = argparse.ArgumentParser(prog="python -m pixelcnn_edu")
    command = parser.add_subparsers(dest="command", required=True).add_parser("train", help="train a model, record the run")
    command.add_argument("--preset", choices=("tiny", "small", "paper"), default="small", help="size of the model")
    command.add_argument("--data", choices=("cifar10", "shapes"), default="cifar10", help="what to train on")
    command.add_argument("--steps", type=int, default=18_000, help="updates in all")
    command.add_argument("--batch-size", type=int, default=16, help="images an update")
    command.add_argument("--record-every", type=int, default=500, help="steps between two lines of the record")
    command.add_argument("--mixed-precision", action="store_true", help="run the network in bfloat16")
    command.add_argument("--seed", type=int, default=0, help="of the weights, the order of the data and dropout")
    command.add_argument("--out", required=True, help="folder for the record")
    options = parser.parse_args(arguments)

    images, _ = load_images(options.data, "train")
    test, _ = load_images(options.data, "test")
    torch.manual_seed(options.seed)
    model = PixelCNNpp(getattr(Config, options.preset)())
    training = Training(
        steps=options.steps,
        batch_size=options.batch_size,
        record_every=options.record_every,
        mixed_precision=options.mixed_precision,
        seed=options.seed,
    )
    _, lines = fit(model, images, training=training, test=test, out=options.out)
    if lines:
        print(f"{lines[-1]['test_bits_per_dim']:.4f} bits/dim on {lines[-1]['test_images']} test images; see {options.out}")
