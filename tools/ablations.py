"""Run the ablations of chapter 12: the search for a recipe, then every arm with every seed, each recorded in a folder.

The protocol, with the reason for each number here, is `book/runs/README.md`.

    export PIXELCNN_EDU_DATA=...
    .venv/bin/python tools/ablations.py my-runs time        # seconds a step of every arm, in turn, on an idle core
    .venv/bin/python tools/ablations.py my-runs search ladder

Stopped at any time, the same command goes on. Two of them share the work.
"""

import argparse
import contextlib
import csv
import dataclasses
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pixelcnn_edu import Config, Training, build, fit, load_images, load_model
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import read_run
from pixelcnn_edu.state import TrainingState

TRAIN = 45_000  # of the 50,000 training images; the last 5,000 are for validation
SCORES = "test_bits.npy"  # bits/dim of each of the 10,000 test images, float16
SECONDS = "seconds.csv"
STEPS = 1500  # of 16 images: 24,000
SEARCH_STEPS = 750

COMMON = {"batch_size": 16, "mixed_precision": True, "compile": True, "ema_decay": 0.0, "learning_rate_decay": 1.0}
CENTER = {
    "optimizer": "muon",
    "muon_learning_rate": 0.02,
    "learning_rate": 0.003,
    "betas": (0.9, 0.99),
    "warmup_steps": 100,
    "cooldown": 1.0,
}
# What the search tries besides the center, one setting at a time.
COORDINATES = {
    "muon_learning_rate": (0.01, 0.04),
    "learning_rate": (0.0015, 0.006),
    "betas": ((0.95, 0.9995),),
    "cooldown": (0.5,),
    "optimizer": ("adam",),
}
# The released code's optimiser, with an average that so short a run outlives.
RELEASED = {
    "optimizer": "adam",
    "learning_rate": 0.001,
    "learning_rate_decay": 0.999995,
    "betas": (0.95, 0.9995),
    "warmup_steps": 0,
    "cooldown": 0.0,
    "ema_decay": 0.998,
    "record_every": 250,
}


@dataclass(frozen=True)
class Arm:
    """What an arm changes against the full model, and whose recipe it is trained with."""

    model: dict = field(default_factory=dict)
    recipe: str = "full"
    init: str = "data"
    original: bool = False

    def config(self):
        """The arm's `Config`."""
        config = Config.small(**self.model)
        return config.original() if self.original else config


OFF = {"likelihood": "softmax", "whole_pixels": False, "downsampling": False, "shortcuts": False}
ARMS = {
    "full": Arm(),
    "softmax": Arm({"likelihood": "softmax"}, recipe="softmax"),
    "sub-pixels": Arm({"whole_pixels": False}),
    "sub-pixels-softmax": Arm({"whole_pixels": False, "likelihood": "softmax"}, recipe="softmax"),
    "no-downsampling": Arm({"downsampling": False}, recipe="no-downsampling"),
    "no-shortcuts": Arm({"shortcuts": False}, recipe="no-shortcuts"),
    "neither": Arm({"downsampling": False, "shortcuts": False}, recipe="no-downsampling"),
    "all-off": Arm(OFF, recipe="softmax"),
    "original": Arm({"filters": 96}, recipe="original", original=True),  # as many parameters as the full model
    "dequantized": Arm({"likelihood": "dequantized"}),
    "mixtures-1": Arm({"mixtures": 1}),
    "mixtures-5": Arm({"mixtures": 5}),
    "classes": Arm({"classes": 10}),
    "init-g-1": Arm(init="g-1"),
    "init-pytorch": Arm(init="pytorch"),
}
SEARCHED = ("full", "no-shortcuts", "softmax", "no-downsampling", "original")
RELEASED_ARMS = ("full", "softmax", "sub-pixels", "no-downsampling", "no-shortcuts")
LONG_ARMS = ("full", "softmax", "no-downsampling")
# The rows of the scoreboard, each with one idea more, and two arms at the seconds that the full model takes.
SCOREBOARD = {
    "original": ARMS["original"],
    "all-off": ARMS["all-off"],
    "mixture": Arm(OFF | {"likelihood": "mixture"}, recipe="no-downsampling"),
    "mixture-whole-pixels": ARMS["neither"],
}
TIMED = ARMS | {"mixture": SCOREBOARD["mixture"]}


@dataclass(frozen=True)
class Job:
    """One run: where it is recorded, what is trained, how, and on how many of the training images."""

    path: str
    arm: Arm
    training: Training
    images: int = TRAIN
    validation: int = 5000
    samples: int = 0
    test: bool = True


def jobs(stage, out):
    """The runs of a stage in order, as far as the results that they depend on are there; a generator of `Job`s."""
    if stage == "search":
        for arm in SEARCHED:
            while settings := next_trial(trials(out, arm)):
                steps = {"steps": SEARCH_STEPS, "record_every": SEARCH_STEPS, "ema_decay": 0.99}
                path = f"search/{arm}/{trial_name(settings)}"
                yield Job(path, ARMS[arm], training(settings, steps), validation=1000, test=False)
    if stage == "ladder":
        for seed in range(3):
            for name, arm in ARMS.items():
                yield ladder_job(name, arm, seed, out)
        for seed in (3, 4):
            for name in nearby(out):
                yield ladder_job(name, ARMS[name], seed, out)
    if stage == "dropout":
        for seed in range(3):
            for rate in (0.0, 0.1, 0.5):
                steps = {"steps": 3750, "record_every": 250, "seed": seed, "cooldown": 0.0, "ema_decay": 0.99}
                job = training(recipe(out, "full"), steps)
                yield Job(f"dropout/{rate}/seed-{seed}", Arm({"dropout": rate}), job, images=2000, samples=16 * (seed == 0))
    if stage == "released":
        for seed in range(3):
            for name in RELEASED_ARMS:
                yield Job(f"released/{name}/seed-{seed}", ARMS[name], training(RELEASED, {"steps": STEPS, "seed": seed}))
    if stage == "long":
        for name in LONG_ARMS:
            steps = {"steps": 12_500, "record_every": 1250}
            yield Job(f"long/{name}/seed-0", ARMS[name], training(recipe(out, name), steps), samples=16)
    if stage == "equal-seconds":
        seconds = read_seconds(out)
        for name, arm in SCOREBOARD.items():
            yield equal_seconds_job(name, arm, 0, seconds, out)
        for seed in range(3):
            for name in ("softmax", "no-downsampling", "no-shortcuts", "sub-pixels"):
                yield equal_seconds_job(name, ARMS[name], seed, seconds, out)


STAGES = ("search", "ladder", "equal-seconds", "dropout", "released", "long")


def training(settings, changes):
    """A `Training` of what all runs share, a recipe's settings, and changes to them."""
    return Training(**COMMON | settings | changes)


def ladder_job(name, arm, seed, out):
    """One arm with one seed at the ladder's number of images."""
    settings = training(recipe(out, arm.recipe), {"steps": STEPS, "record_every": 500, "seed": seed})
    samples = 0 if arm.original or seed else 16  # the original has no cached sampler that is quick
    return Job(f"ladder/{name}/seed-{seed}", arm, settings, samples=samples)


def equal_seconds_job(name, arm, seed, seconds, out):
    """One arm with one seed for as long as the full model takes for the ladder's number of images."""
    steps = round(STEPS * seconds["full"] / seconds[name])
    settings = training(recipe(out, arm.recipe), {"steps": steps, "record_every": 500, "seed": seed})
    return Job(f"equal-seconds/{name}/seed-{seed}", arm, settings)


def nearby(out):
    """The full model, and the arms whose mean validation score lies within 0.05 bits/dim of its: they get 5 seeds."""
    means = {}
    for name in ARMS:
        folders = [out / f"ladder/{name}/seed-{seed}" for seed in range(3)]
        if all(map(is_trained, folders)):
            means[name] = statistics.mean(last_score(folder) for folder in folders)
    return [name for name, mean in means.items() if abs(mean - means["full"]) <= 0.05]


# The search: from the center along one setting at a time, further where the best lies at an end, then all the best at once.


def trial_name(settings):
    """How a trial differs from the center, as a folder's name."""
    changes = [f"{name}={value}" for name, value in settings.items() if value != CENTER[name]]
    return ",".join(changes).replace(" ", "") or "center"


def trials(out, arm):
    """Settings and validation score of each trial of an arm that has ended: a list of pairs."""
    found = []
    for folder in sorted((out / "search" / arm).glob("*")):
        if is_trained(folder):
            recorded = read_run(folder).training
            settings = {name: tuple(v) if isinstance(v := recorded[name], list) else v for name in CENTER}
            found.append((settings, last_score(folder)))
    return found


def next_trial(done):
    """The settings to try next, given pairs of settings and score; None where the search has ended."""
    scores = {trial_name(settings): score for settings, score in done}
    best = dict(CENTER)
    for name, values in COORDINATES.items():
        alone = {value: CENTER | {name: value} for value in (*values, CENTER[name])}
        for settings in alone.values():
            if trial_name(settings) not in scores:
                return settings
        if name.endswith("learning_rate"):  # doubled or halved until the best lies between two others
            while (further := _further(alone, scores)) is not None:
                alone[further] = CENTER | {name: further}
                if trial_name(alone[further]) not in scores:
                    return alone[further]
        best[name] = min(alone, key=lambda value, alone=alone: scores[trial_name(alone[value])])
    return None if trial_name(best) in scores else best


def _further(alone, scores):
    """The next value beyond the tried ones where the best of them is the smallest or the largest; else None."""
    values = sorted(alone)
    best = min(values, key=lambda value: scores[trial_name(alone[value])])
    if len(values) == 6:  # three steps beyond the first three
        return None
    if best == values[0]:
        return best / 2
    return best * 2 if best == values[-1] else None


def recipe(out, arm):
    """The settings of the arm's best trial. Raises ValueError where its search has not ended."""
    done = trials(out, arm)
    if next_trial(done) is not None:
        raise ValueError(f"the search for {arm} has not ended; run: tools/ablations.py {out} search")
    return min(done, key=lambda pair: pair[1])[0]


# One run.


def run(job, out):
    """Train and record, and score the test images once; nothing happens where that is done. Return whether it is."""
    folder = out / job.path
    if not is_trained(folder):
        train(job, folder)
    if job.test and is_trained(folder) and not (folder / SCORES).exists():
        score(folder)
    return is_trained(folder)


def is_trained(folder):
    """Whether the folder holds a run that was trained to its end."""
    record = folder / "environment.json"
    return record.exists() and json.loads(record.read_text())["finished"]


def last_score(folder):
    """Validation bits/dim at the end of a run."""
    return float(read_run(folder).metrics["validation_bits_per_dim"][-1])


def train(job, folder):
    """Train one job's model on its images and record it."""
    torch.compiler.reset()  # it stops compiling after eight models in one process
    images, labels = load_images("cifar10", "train")
    config = job.arm.config()
    labels = labels if config.classes else None
    torch.manual_seed(job.training.seed)
    model = build(config)
    settings = job.training
    if job.arm.init != "data":
        start_without_data(model, job.arm.init)
        settings = dataclasses.replace(settings, init_images=0)
    validation = slice(TRAIN, TRAIN + job.validation)
    fit(
        model,
        images[: job.images],
        None if labels is None else labels[: job.images],
        settings,
        images[validation],
        None if labels is None else labels[validation],
        out=folder,
        device="cpu",
        progress=False,
        samples=job.samples,
    )


@torch.no_grad()
def start_without_data(model, init):
    """Set the weight-normed layers as the released code does before it sees data ("g-1"), or as PyTorch does ("pytorch")."""
    for layer in model.modules():
        if hasattr(layer, "init_scale"):
            length, direction = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
            if init == "pytorch":
                bound = direction[0].numel() ** -0.5  # a kernel's inputs, as PyTorch counts them
                direction.uniform_(-bound, bound)
                layer.bias.uniform_(-bound, bound)
                axis = 1 if isinstance(layer, torch.nn.ConvTranspose2d) else 0
                length.copy_(torch.norm_except_dim(direction, 2, axis))
            else:
                length.fill_(1.0)


def score(folder):
    """Write the bits/dim of each test image."""
    test, labels = load_images("cifar10", "test")
    model = load_model(folder)
    bits = bits_per_image(model, test, labels if model.config.classes else None)
    scratch = folder / f".{SCORES}.part"  # put in place when it is whole, for a run may be stopped at any time
    with scratch.open("wb") as file:
        np.save(file, bits.numpy().astype(np.float16))
    scratch.replace(folder / SCORES)


# Time.


def time_arms(out, rounds=7):
    """Time a training step of every arm in turn, on one thread; write the median seconds of each."""
    images, labels = load_images("cifar10", "train")
    steps = {}
    for name, arm in TIMED.items():
        state = TrainingState(build(arm.config()).train(), training(CENTER, {}), torch.device("cpu"))
        arm_labels = labels[:16] if arm.model.get("classes") else None

        def step(state=state, arm_labels=arm_labels):
            state.update(state.gradient(images[:16], arm_labels))

        step()  # compiles
        step()
        steps[name] = step
        print(name, "is compiled", flush=True)
    taken = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(3):
                step()
            taken[name].append((time.perf_counter() - start) / 3)
    with (out / SECONDS).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arm", "seconds_a_step", "smallest", "largest"])
        for name, values in taken.items():
            writer.writerow([name, *(f"{value:.4f}" for value in (statistics.median(values), min(values), max(values)))])


def read_seconds(out):
    """Median seconds a training step of each arm."""
    with (out / SECONDS).open() as file:
        return {row["arm"]: float(row["seconds_a_step"]) for row in csv.DictReader(file)}


@contextlib.contextmanager
def claimed(folder):
    """Inside, no other process runs the job; gives whether it could be had. Released with the process, however it ends."""
    import fcntl  # not on Windows, where one process has to do

    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of all runs")
    parser.add_argument("stages", nargs="+", choices=("time", *STAGES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for stage in options.stages:
        if stage == "time":
            time_arms(options.out)
            continue
        for job in jobs(stage, options.out):
            with claimed(options.out / job.path) as mine:
                if not mine:
                    if stage == "search":
                        time.sleep(5)  # its result decides what is tried next
                    continue
                if not run(job, options.out):
                    sys.exit(130)  # stopped
                print(f"{job.path}: {last_score(options.out / job.path):.4f} bits/dim on validation images", flush=True)


if __name__ == "__main__":
    main()
