"""The training loop, to be read in one sitting: draw a batch, step, average the weights, write down how it goes."""

import contextlib
import functools
import math
import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from tqdm.auto import tqdm

from pixelcnn_edu.blocks import data_dependent_init, seeded, unit_lengths
from pixelcnn_edu.data import as_integers, check_levels, to_model
from pixelcnn_edu.interrupts import interrupts_wait, sigterm_is_ctrl_c
from pixelcnn_edu.models import pixel_model
from pixelcnn_edu.parallel import process_device, rank, world_size
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import RunFolder
from pixelcnn_edu.sampling import sample
from pixelcnn_edu.settings import make_plain, whole_number
from pixelcnn_edu.state import TrainingState

__all__ = ["Training", "evaluate", "fit"]

Optimizer = Literal["adam", "muon"]
LIMITS = {  # the least, and the most where more would overflow the memory or a step's seed
    "steps": (1, 2**40),
    "batch_size": (1, 2**20),
    "record_every": (1,),
    "validation_images": (1,),
    "accumulate": (1,),
    "init_images": (0, 2**20),
    "warmup_steps": (0,),
}


@dataclass(frozen=True)
class Training:
    """How to train; the defaults are the released code's Adam, learning rate, decay and average.

    There a batch has 128 images, and the initialisation takes 16. `as_released` follows it in four details more.

    Attributes:
        steps: updates in all.
        batch_size: images an update.
        optimizer: "adam" for every parameter, as the released code has it, or "muon" for the kernels of the hidden
            convolutions and Adam for the rest (`optimizers`); "muon" needs torch 2.9.
        learning_rate: Adam's, at its height.
        muon_learning_rate: Muon's, at its height.
        warmup_steps: updates at the start over which the learning rates rise linearly.
        learning_rate_decay: the learning rates' factor at every step.
        cooldown: the part of the steps, at the end, over which the learning rates fall linearly to zero; 0 for never.
        betas: how long Adam remembers gradients and their squares.
        ema_decay: of the running average of the weights, which every sample is drawn with.
            0 to take them as they are.
        init_images: size of the batch for data-dependent initialisation, 0 to go without.
        record_every: steps between two lines of the record.
        validation_images: how many validation images an interim line is measured on; the last line takes all of them.
        accumulate: parts that a batch is worked through in; the gradient is that of the whole, the memory that of a part.
        mixed_precision: run the network in bfloat16, but for its first and last layers and the likelihood. Rounding what
            lies between costs 0.002 bits/dim in the recorded small model (`benchmarks/precision.py`); weights, average
            and validation stay in float32. Warns of a GPU that only imitates bfloat16.
        compile: let `torch.compile` fuse the network, which takes minutes at the first step. It pays in long runs: on a CPU,
            where it needs a C++ compiler, a small model trains a quarter faster (`benchmarks/train_step.py --compile`).
        seed: of the order of the data and of dropout.
        as_released: train as the released code does where ours differs: the initialisation measures transposed
            convolutions before their crop, the average starts from the weights as drawn, with lengths 1, Adam's
            epsilon stands inside the root and the loss is a sum, and the learning rate decays before each step.
            Sizes and reasons are on the page "Where paper, code and book differ".

    Raises ValueError for values that make no training. Explained in chapter 10.
    """

    steps: int = 1000
    batch_size: int = 16
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    muon_learning_rate: float = 0.02
    warmup_steps: int = 0
    learning_rate_decay: float = 0.999995
    cooldown: float = 0.0
    betas: tuple[float, float] = (0.95, 0.9995)
    ema_decay: float = 0.9995
    init_images: int = 64
    record_every: int = 100
    validation_images: int = 500
    accumulate: int = 1
    mixed_precision: bool = False
    compile: bool = False
    seed: int = 0
    as_released: bool = False

    def __post_init__(self):
        make_plain(self)
        for name, limits in LIMITS.items():
            whole_number(name, getattr(self, name), *limits)
        if abs(self.seed) >= 2**40:  # a step's own seed, a million times as large, must fit into 64 bits
            raise ValueError(f"seed must lie between -2**40 and 2**40, got {self.seed}")
        if self.optimizer not in get_args(Optimizer):
            raise ValueError(f"optimizer must be one of {', '.join(map(repr, get_args(Optimizer)))}; got {self.optimizer!r}")
        if self.as_released and self.optimizer != "adam":
            raise ValueError(f"as_released trains by Adam; leave optimizer at 'adam', got {self.optimizer!r}")
        for name in ("learning_rate", "muon_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, got {self.betas}")
        for name in ("learning_rate_decay", "cooldown", "ema_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")


@sigterm_is_ctrl_c()
def fit(
    model,
    images,
    labels=None,
    training=None,
    validation=None,
    validation_labels=None,
    out=None,
    device=None,
    progress=True,
    tensorboard=False,
    samples=16,
):
    """Train `model` on images uint8 (N, C, H, W); return a copy with averaged weights, and the record.

    The record is a list of dicts, one every `record_every` steps: step, seconds (of the clock, validation included), images
    seen, bits/dim on the training batches since the last line, and, where there are validation images, bits/dim on them of
    the averaged weights and of the live ones, those of the last step. With `out`, a folder, the run is recorded there (see
    `runs`), and a folder that holds a checkpoint of the same run is continued as if it had never stopped. Ctrl-C or a polite
    kill (SIGTERM) ends training early and loses nothing; the record says that the run is not finished. `device` is a GPU
    where there is one, else "cpu"; `training` defaults to `Training()`. Under `torchrun` (see `parallel`) every process
    takes its part of each batch, and the first alone writes. `tensorboard` writes the record for that program too, and
    `samples` images are drawn for it at the end.

    Raises ValueError where images are missing or do not match their labels, for a folder with another run and for a device
    that is not there, OSError where the folder cannot be written or has no room, FloatingPointError where the loss is no
    longer a number, and MemoryError, with the batch that would fit, where memory does not suffice. Explained in chapter 10.
    """
    training, model = Training() if training is None else training, pixel_model(model)
    images, labels, validation, validation_labels = _as_tensors(images, labels, validation, validation_labels)
    device = process_device(device or "auto")
    _check(model, images, labels, validation, validation_labels, training, samples)
    _warn_of_slow_bfloat16(device, training)
    others = {"labels": labels, "validation": validation, "validation_labels": validation_labels}
    folder = RunFolder(out, model.config, training, images, tensorboard, **others) if out else None
    if training.as_released and training.init_images:
        unit_lengths(model)
    state = TrainingState(model.to(device).train(), training, device)

    if folder and folder.checkpoint:
        folder.restore(state)
    elif training.init_images:
        first, first_labels = _take(images, labels, _indices(len(images), training.init_images, 0, training.seed), device)
        with seeded(training.seed, device):
            x = to_model(first, model.config.levels, next(model.parameters()).dtype)
            data_dependent_init(model, x, first_labels, training.as_released)

    total, seen = training.steps * training.batch_size, state.step * training.batch_size
    bar = tqdm(total=total, initial=seen, unit="image", disable=not progress or rank() > 0)
    try:
        while True:
            finished = state.step == training.steps
            if state.line_is_due:
                if not state.is_finite:  # or the last good checkpoint would be overwritten
                    raise FloatingPointError(f"the weights are no longer finite{_not_finite(state, out)}")
                state.record(validation, validation_labels, None if finished else training.validation_images)
                if folder:
                    folder.save(state.state_dict(), finished)
            if finished:
                break
            indices = _indices(len(images), training.batch_size, state.step, training.seed)
            batch, batch_labels = _take(images, labels, indices[rank() :: world_size()], device)
            # Randomness depends on seed, step and process alone, so a continued run draws what a straight one would.
            with seeded(training.seed * 1_000_003 + state.step + (rank() << 40), device):
                loss = state.gradient(batch, batch_labels)
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} on the images {indices.tolist()}{_not_finite(state, out)}")
            state.update(loss)
            bar.set_postfix_str(state.summary, refresh=False)
            bar.update(training.batch_size)
    except KeyboardInterrupt:
        finished = _stopped(state, folder, bar)
    finally:
        bar.close()

    averaged = state.average.module.eval()
    if folder and finished:
        folder.save_weights(averaged)
        _draw_samples(folder, averaged, samples, progress)
    return averaged, state.lines


def _stopped(state, folder, bar):
    """After Ctrl-C: say so, and write what there is, however often it is pressed; return whether the run was finished."""
    with interrupts_wait():
        goes_on = f"; the same call goes on from {folder.path}" if folder else ""
        if rank() == 0:
            bar.write(f"stopped at step {state.step} of {state.training.steps}{goes_on}")
        finished = state.step == state.training.steps and not state.line_is_due
        if folder:
            folder.save(state.state_dict(), finished)
            folder.save_weights(state.average.module)
    return finished


def _draw_samples(folder, model, count, progress):
    """The record's sheet of samples; they may be interrupted, and are made up when the run is called for again."""
    count = whole_number("samples", count, 0)
    labels = torch.arange(count) % model.config.classes if model.config.classes else None
    with contextlib.suppress(KeyboardInterrupt):
        if count and rank() == 0:
            folder.save_samples(sample(model, count, labels, progress=progress))


def _as_tensors(images, labels, validation, validation_labels):
    """NumPy arrays as tensors that can be indexed, a list of labels too; None stays None."""
    parts = {"images": images, "labels": labels, "validation": validation, "validation_labels": validation_labels}
    return [None if some is None else as_integers(some, what, lists="labels" in what) for what, some in parts.items()]


def _check(model, images, labels, validation, validation_labels, training, samples):
    """Raise ValueError for what training would stumble over later, when steps would be lost."""
    if not isinstance(training, Training):
        raise ValueError(f"training must be a Training, got {training!r:.60}; write Training(steps=1000, ...)")
    whole_number("samples", samples, 0)
    if not images.numel():
        raise ValueError("there are no images to train on")
    if validation is not None and not validation.numel():
        raise ValueError("there are no images to validate on; leave validation out to train without")
    if validation is None and validation_labels is not None:
        raise ValueError("validation_labels were given without validation, the images that they belong to")
    for what, some, their_labels in (("images", images, labels), ("validation images", validation, validation_labels)):
        if some is None:
            continue
        try:
            check_levels(some, model.config.levels)
            first = some[:1] if some.ndim else some  # the others have its shape and type
            model.check_images(to_model(first, model.config.levels))
            model.check_labels(their_labels, len(some))
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
    if training.batch_size % (world_size() * training.accumulate):
        raise ValueError(
            f"batch_size {training.batch_size} does not split evenly into {world_size()} process(es) "
            f"of {training.accumulate} part(s)"
        )


def _not_finite(state, out):
    kept = state.lines[-1]["step"] if state.lines else 0
    where = f"the last good checkpoint is that of step {kept} in {out}" if out and kept else "no checkpoint was written yet"
    return f", at step {state.step}; {where}. Start a new run, with a lower learning_rate or with mixed_precision off"


def _warn_of_slow_bfloat16(device, training):
    if training.mixed_precision and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        warnings.warn(
            f"{torch.cuda.get_device_name(device)} has no bfloat16 convolutions of its own, and mixed_precision may make it "
            "slower; turn it off",
            stacklevel=4,  # where fit was called, which has a decorator
        )


@functools.lru_cache(maxsize=2)
def _permutation(count, seed):
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _indices(count, size, step, seed):
    """Batch number `step` of an endless row of shuffled epochs over `count` images: their places (size,)."""
    places = torch.arange(step * size, (step + 1) * size)
    epochs = places // count
    order = [_permutation(count, seed * 1_000_003 + epoch) for epoch in epochs.unique().tolist()]
    return torch.cat([p[places[epochs == e] % count] for p, e in zip(order, epochs.unique(), strict=True)])


def _take(images, labels, indices, device):
    """The images and labels, or None, at these places, on the device."""
    return images[indices].to(device), None if labels is None else labels[indices].to(device)


def evaluate(model, images, labels=None, batch_size=100):
    """Bits/dim of `model` on images uint8 (N, C, H, W), over every image, the last partial batch too: a float.

    The mean of `bits_per_image`, which says how it is measured.
    """
    return bits_per_image(model, images, labels, batch_size).mean().item()
