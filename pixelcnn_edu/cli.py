"""The command line: `python -m pixelcnn_edu train --preset small --data cifar10 --steps 18000 --out runs/mine`."""

import argparse
import dataclasses
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import torch
import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional

from pixelcnn_edu.data import DATA_SETS, load_images
from pixelcnn_edu.files import class_folders, images_from_folder, stray_images
from pixelcnn_edu.models import build
from pixelcnn_edu.models.config import Config
from pixelcnn_edu.parallel import joined, process_device, rank
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import CHECKPOINTS, picture_kind, write_sheet
from pixelcnn_edu.sampling import complete, sample
from pixelcnn_edu.settings import user_path, whole_number
from pixelcnn_edu.state import is_out_of_memory
from pixelcnn_edu.training import Training, fit
from pixelcnn_edu.weights import load_model

__all__ = ["main"]

Preset = Literal["tiny", "small", "paper"]


@dataclass
class Train:
    """Train a model and record the run.

    Attributes:
        out: folder for the record: configuration, metrics, environment, checkpoints, weights, a sheet of samples.
        preset: size of the model; every option of the model below changes it.
        data: cifar10, shapes, imagenet32, imagenet64, or a folder of your own images with train and test in it. It decides
            the size of the images; your own are scaled to --image-shape, and grey where that has one channel.
        validation: how many of the training images, the last ones, are held out; without a number a tenth, 5,000 at most.
            The test set is left to evaluate.
        resume: go on where the run in the folder stopped; an empty folder starts a run.
        original: take all five of the paper's changes back, and train the original PixelCNN.
        device: auto for a GPU where there is one, else cpu, cuda, cuda:1, ...
        tensorboard: write the record for TensorBoard too.
    """

    out: Path
    preset: Preset = "small"
    data: str = "cifar10"
    validation: int | None = None
    resume: bool = False
    original: bool = False
    device: str = "auto"
    tensorboard: bool = False
    model: OmitArgPrefixes[Config] = field(default_factory=Config.small)
    training: OmitArgPrefixes[Training] = field(default_factory=Training)

    def __call__(self):
        """Train; return whether the run is finished. A run that was stopped is not."""
        self.out = user_path(self.out)
        started = any((self.out / name).exists() for name in CHECKPOINTS)
        if started and not self.resume:
            raise ValueError(f"{self.out} holds a run; add --resume to go on with it, or choose another folder")
        device = process_device(self.device)
        images, labels = _load(self.data, "train", self.model)
        _refuse_another_shape(self.data, self.model.image_shape, images)
        held_out = max(1, min(5000, len(images) // 10)) if self.validation is None else self.validation
        kept = len(images) - held_out
        if not 1 <= kept < len(images):
            raise ValueError(f"--validation must leave images on both sides: {held_out} of {len(images)} do not")
        config = dataclasses.replace(self.model, image_shape=tuple(images.shape[1:]))
        config = config.original() if self.original else config
        labels = labels if config.classes else None
        torch.manual_seed(self.training.seed)
        with joined(device):
            _, lines = fit(
                build(config),
                images[:kept],
                None if labels is None else labels[:kept],
                self.training,
                images[kept:],
                None if labels is None else labels[kept:],
                out=self.out,
                device=device,
                tensorboard=self.tensorboard,
            )
            finished = bool(lines) and lines[-1]["step"] == self.training.steps
            if finished and rank() == 0:
                last = lines[-1]
                print(f"{last['validation_bits_per_dim']:.4f} bits/dim on {last['validation_images']} validation images")
                print(f"see {self.out}; evaluate measures it on the test set")
        return finished


@dataclass
class Evaluate:
    """Measure a recorded run's weights: bits/dim, with its standard error over images.

    Attributes:
        run: the run's folder, a file of weights, cifar10-small, the weights that come with the package,
            or the released code's: the prefix of a TensorFlow checkpoint, or an npz of its variables.
        data: what to measure on: a data set's name, or a folder as in train.
        split: which part of it.
        images: how many images, all where none is named.
        device: auto for a GPU where there is one, else cpu, cuda, cuda:1, ...
    """

    run: Positional[Path]
    data: str = "cifar10"
    split: Literal["train", "test"] = "test"
    images: int | None = None
    device: str = "auto"

    def __call__(self):
        """Measure and print."""
        model = load_model(self.run).to(process_device(self.device))
        images, labels = _load(self.data, self.split, model.config)
        images = images[: _at_least_one("images", self.images)]
        labels = labels[: self.images] if model.config.classes and labels is not None else None
        bits = bits_per_image(model, images, labels)
        error = bits.std().item() / len(bits) ** 0.5 if len(bits) > 1 else float("nan")
        print(f"{bits.mean().item():.4f} +- {error:.4f} bits/dim on {len(bits)} images of {self.data}, {self.split}")
        return True


@dataclass
class Sample:
    """Draw images from a recorded run's weights, into one picture.

    Attributes:
        run: the run's folder, a file of weights, cifar10-small, the weights that come with the package,
            or the released code's: the prefix of a TensorFlow checkpoint, or an npz of its variables.
        out: the picture.
        count: how many images.
        label: the class of all of them, where the model has classes; without it the classes take turns.
        seed: of the draws.
        temperature: below 1 for surer, tamer images, 1 for the model's own.
        device: auto for a GPU where there is one, else cpu, cuda, cuda:1, ...
    """

    run: Positional[Path]
    out: Path = Path("samples.png")
    count: int = 16
    label: int | None = None
    seed: int = 0
    temperature: float = 1.0
    device: str = "auto"

    def __call__(self):
        """Draw and write."""
        out = _check_place(self.out)
        verb = "replaced" if out.exists() else "wrote"
        model = load_model(self.run).to(process_device(self.device))
        _check_height(out, self.count, model)
        labels = _labels(model, self.count, self.label)
        images = sample(model, self.count, labels, self.seed, temperature=self.temperature)
        write_sheet(out, images, model.config.levels)
        print(f"{verb} {out}")
        return True


@dataclass
class Complete:
    """Keep the upper rows of test images and draw the rest with a recorded run's weights, into one picture.

    Attributes:
        run: the run's folder, a file of weights, cifar10-small, the weights that come with the package,
            or the released code's: the prefix of a TensorFlow checkpoint, or an npz of its variables.
        out: the picture: a row of images as they are, and the completions below.
        data: whose test images: a data set's name, or a folder as in train.
        count: how many images.
        rows: how many rows are kept, half of them where none is named.
        label: the class to draw with, where the model has classes; without it the images' own.
        seed: of the draws.
        temperature: below 1 for surer, tamer images, 1 for the model's own.
        device: auto for a GPU where there is one, else cpu, cuda, cuda:1, ...
    """

    run: Positional[Path]
    out: Path = Path("completions.png")
    data: str = "cifar10"
    count: int = 8
    rows: int | None = None
    label: int | None = None
    seed: int = 0
    temperature: float = 1.0
    device: str = "auto"

    def __call__(self):
        """Complete and write."""
        out = _check_place(self.out)
        verb = "replaced" if out.exists() else "wrote"
        model = load_model(self.run).to(process_device(self.device))
        own_labels = model.config.classes and self.label is None
        images, labels = _load(self.data, "test", model.config if own_labels else replace(model.config, classes=0))
        count = _at_least_one("count", self.count)
        images, labels = images[:count], None if labels is None else labels[:count]
        height, width = images.shape[2:]
        rows = height // 2 if self.rows is None else self.rows
        if not 0 <= rows <= height:
            raise ValueError(f"--rows must be 0 to {height}, got {rows}")
        known = torch.zeros(height, width, dtype=torch.bool)
        known[:rows] = True
        if not own_labels:
            labels = _labels(model, len(images), self.label)
        done = complete(model, images, known, labels, self.seed, temperature=self.temperature)
        write_sheet(out, torch.cat([images, done.cpu()]), model.config.levels, columns=len(images))
        print(f"{verb} {out}")
        return True


def main(arguments=None):
    """Run a command; return the exit status: 0 where it is done, 1 where it failed, 130 where training was stopped."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # The preset decides the defaults of the model's options, so it is looked up first.
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--preset", default="small")
    preset = peek.parse_known_args(arguments)[0].preset
    model = getattr(Config, preset)() if preset in get_args(Preset) else Config.small()  # tyro explains what is wrong
    training = Annotated[Train, tyro.conf.subcommand("train", default=Train(out=tyro.MISSING, model=model))]
    others = [Annotated[kind, tyro.conf.subcommand(kind.__name__.lower())] for kind in (Evaluate, Sample, Complete)]
    command = tyro.cli(
        OmitSubcommandPrefixes[training | others[0] | others[1] | others[2]],
        prog="python -m pixelcnn_edu",
        description=__doc__,
        args=arguments,
    )
    try:
        return 0 if command() else 130
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (OSError, ValueError, ArithmeticError, MemoryError, ImportError) as error:  # what the package explains
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        print(f"MemoryError: this takes more memory than there is; ask for less at a time ({error})", file=sys.stderr)
        return 1


def _load(name, split, config):
    """A data set by name, or the part `split` of a folder of images, in the size and channels that a model takes.

    Where the model has classes, every image must have a label, and those of a folder's two parts must mean the same.
    """
    if not _is_folder(name):
        if name not in DATA_SETS:
            what = "a file" if user_path(name).exists() else "no folder"
            raise ValueError(f"--data must be one of {', '.join(DATA_SETS)}, or a folder of images; {name} is {what}")
        return load_images(name, split)
    folder, (channels, height, width) = user_path(name) / split, config.image_shape
    if height != width:
        raise ValueError(f"the images of a folder are cut to squares, and the model takes {height} x {width}")
    if config.classes:
        _check_classes(folder.parent)
        if strays := stray_images(folder):
            raise ValueError(f"{strays[0]} has no class; move it, and all beside it, into one of the sub-folders")
    return images_from_folder(folder, height, channels)


def _is_folder(data):
    """Whether `data` is a folder of your own; one with the name of a data set does not hide it."""
    return data not in DATA_SETS and user_path(data).is_dir()


def _refuse_another_shape(data, asked, images):
    """Raise ValueError where a shape was asked for that is not the data's; the default stands for whatever it is."""
    if asked not in (Config().image_shape, tuple(images.shape[1:])):
        raise ValueError(f"--image-shape {' '.join(map(str, asked))} does not fit {data}: it has {tuple(images.shape[1:])}")


def _check_classes(data):
    """Raise ValueError where the parts of a folder have different sub-folders; their places in the alphabet are labels."""
    parts = [Path(data) / part for part in ("train", "test")]
    if not all(part.is_dir() for part in parts):  # to measure, one part is enough
        return
    train, test = (set(class_folders(part)) for part in parts)
    if train != test:
        raise ValueError(f"train and test in {data} must have the same sub-folders; {sorted(train ^ test)} are in one only")


def _at_least_one(option, number):
    """The number, or None where none was named. Raises ValueError below 1, which Python would count from the end."""
    return None if number is None else whole_number(f"--{option}", number, 1)


def _check_place(out):
    """The picture's path, where it can be written; else raise OSError or ValueError, before it is drawn."""
    out = user_path(out)
    if not out.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {out.parent} to write {out.name} to; make it, or name another with --out"
        )
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder; name a file in it with --out")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise PermissionError(f"cannot write to {out}; name another place with --out")
    picture_kind(out)
    return out


def _check_height(out, count, model):
    """Raise ValueError where the sheet of images would be higher than its kind of picture can be, before it is drawn."""
    height = -(-whole_number("--count", count, 1) // 8) * 4 * (model.config.image_shape[1] + 1)
    most = {"webp": 16_383, "png": 1_000_000}.get(picture_kind(out), 65_535)
    if height > most:
        raise ValueError(f"--count {count} would make a picture {height} pixels high, and {out.name} can have {most}")


def _labels(model, count, label):
    if not model.config.classes:
        if label is not None:
            raise ValueError("a label was given, but the model was trained without classes")
        return None
    return torch.arange(count) % model.config.classes if label is None else [label] * count
