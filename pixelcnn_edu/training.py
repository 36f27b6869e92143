"""The training loop, to be read in one sitting: draw a batch, step, average the weights, write down how it goes."""

import contextlib
import functools
import math
import signal
import threading
import time
from dataclasses import dataclass

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from pixelcnn_edu.blocks import data_dependent_init, seeded
from pixelcnn_edu.data import to_model
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import RunFolder
from pixelcnn_edu.sampling import sample

__all__ = ["Training", "evaluate", "fit"]


@dataclass(frozen=True)
class Training:
    """How to train; the defaults are the released code's settings, but for the length.

    steps: updates in all.
    batch_size: images an update.
    learning_rate: at the start. learning_rate_decay: its factor at every step.
    betas: how long Adam remembers gradients and their squares.
    ema_decay: of the running average of the weights, which every test number and every sample is taken with.
        0 to take them as they are.
    init_images: size of the batch for data-dependent initialisation, 0 to go without.
    record_every: steps between two lines of the record.
    test_images: how many test images an interim line is measured on; the last line takes all of them.
    mixed_precision: run the network in bfloat16, the likelihood in float32. Rounding every activation costs 0.007 bits/dim
        in the recorded small model (`benchmarks/precision.py`); weights, their average and every test stay in float32.
    seed: of the order of the data and of dropout.

    Raises ValueError for values that make no training. Explained in chapter 10.
    """

    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 1e-3
    learning_rate_decay: float = 0.999995
    betas: tuple[float, float] = (0.95, 0.9995)
    ema_decay: float = 0.9995
    init_images: int = 64
    record_every: int = 100
    test_images: int = 500
    mixed_precision: bool = False
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))  # JSON brings a list
        for name, least in {"steps": 1, "batch_size": 1, "init_images": 0, "record_every": 1, "test_images": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        for name in ("learning_rate_decay", "ema_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")


def fit(model, images, labels=None, training=None, test=None, test_labels=None, out=None, device=None, progress=True):
    """Train `model` on images uint8 (N, C, H, W); return a copy with averaged weights, and the record.

    The record is a list of dicts, one every `record_every` steps: step, seconds (of the clock, tests included), images
    seen, bits/dim on the training batches since the last line, and, where there are test images, bits/dim of the averaged
    weights on them. With `out`, a folder, the run is recorded there (see `runs`), and a folder that holds a checkpoint of
    the same run is continued as if it had never stopped. Ctrl-C ends training early and loses nothing; the record says that
    the run is not finished. `device` is "cuda" where there is a GPU, else "cpu"; `training` defaults to `Training()`.

    Raises ValueError where images are missing or do not match their labels and for a folder with another run, OSError where
    the folder cannot be written, and FloatingPointError where the loss is no longer a number. Explained in chapter 10.
    """
    training = training or Training()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if not len(images):
        raise ValueError("there are no images to train on")
    for what, some, their_labels in (("images", images, labels), ("test images", test, test_labels)):
        if their_labels is not None and len(their_labels) != len(some):
            raise ValueError(f"{len(some)} {what} need as many labels, got {len(their_labels)}")
    if test is not None and not len(test):
        raise ValueError("there are no images to test on; leave test out to train without")
    folder = RunFolder(out, model.config, training) if out else None
    state = _State(model.to(device, memory_format=torch.channels_last).train(), training)

    if folder and folder.checkpoint:
        state.load_state_dict(folder.checkpoint)
    elif training.init_images:
        first, first_labels = _batch(images, labels, training.init_images, 0, training.seed, device)
        with seeded(training.seed, device):
            data_dependent_init(model, to_model(first, model.config.levels), first_labels)

    bar = tqdm(total=training.steps, initial=state.step, unit="step", disable=not progress)
    try:
        while True:
            finished = state.step == training.steps
            if state.line_is_due:
                state.record(test, test_labels, None if finished else training.test_images)
                bar.set_postfix({name: f"{value:.3f}" for name, value in state.lines[-1].items() if "bits" in name})
                if folder:
                    folder.save(state.state_dict(), finished)
            if finished:
                break
            batch, batch_labels = _batch(images, labels, training.batch_size, state.step, training.seed, device)
            # Randomness depends on the seed and the step alone, so a continued run draws what a straight one would have.
            with (
                seeded(training.seed * 1_000_003 + state.step, device),
                torch.autocast(device.type, torch.bfloat16, enabled=training.mixed_precision),
            ):
                loss = model.bits_per_dim(batch, batch_labels).mean()
            state.update(loss)
            bar.update()
    except KeyboardInterrupt:
        bar.write(
            f"stopped at step {state.step} of {training.steps}" + (f"; the same call goes on from {out}" if out else "")
        )
        if folder:
            folder.save(state.state_dict(), finished=state.step == training.steps and not state.line_is_due)
    finally:
        bar.close()

    averaged = state.average.module.eval()
    if folder:
        folder.save_weights(averaged)
        classes = model.config.classes
        folder.save_samples(sample(averaged, 16, torch.arange(16) % classes if classes else None, progress=progress))
    return averaged, state.lines


class _State:
    """All that changes in training, so that it can be saved and taken up again: weights, their average, Adam, the record."""

    def __init__(self, model, training):
        self.model, self.training = model, training
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay))
        self.optimizer = torch.optim.Adam(model.parameters(), lr=training.learning_rate, betas=training.betas, fused=True)
        self.step, self.lines, self.losses = 0, [], []
        self.start = time.perf_counter()

    @property
    def seconds(self):
        return time.perf_counter() - self.start

    def update(self, loss):
        """One step of Adam against `loss`, and of the average of the weights."""
        if not math.isfinite(loss.item()):
            kept = self.lines[-1]["step"] if self.lines else 0
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {self.step}; what was recorded up to step {kept} is kept. "
                "Lower learning_rate, or turn mixed_precision off"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.learning_rate * self.training.learning_rate_decay**self.step
        self.optimizer.zero_grad()
        loss.backward()
        with _interrupts_wait():  # a step is taken whole or not at all
            self.optimizer.step()
            self.average.update_parameters(self.model)
            self.step += 1
            self.losses.append(loss.item())

    @property
    def line_is_due(self):
        """Whether this step belongs in the record and is not there yet; Ctrl-C during a test leaves it to be made up."""
        recorded = self.lines[-1]["step"] if self.lines else 0
        due = self.step == self.training.steps or self.step % self.training.record_every == 0
        return due and self.step > recorded

    def record(self, test, test_labels, count):
        """Add a line to the record; what is tested are the averaged weights, on the first `count` images, None for all."""
        line = {"step": self.step, "images": self.step * self.training.batch_size}
        line["train_bits_per_dim"] = sum(self.losses) / len(self.losses)
        if test is not None:
            labels = None if test_labels is None else test_labels[:count]
            line["test_bits_per_dim"] = evaluate(self.average.module, test[:count], labels)
            line["test_images"] = len(test[:count])
        line["seconds"] = self.seconds
        with _interrupts_wait():
            self.lines.append(line)
            self.losses = []

    def state_dict(self):
        parts = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer")}
        return {**parts, **{name: getattr(self, name) for name in ("step", "seconds", "lines", "losses")}}

    def load_state_dict(self, saved):
        for name in ("model", "average", "optimizer"):
            getattr(self, name).load_state_dict(saved[name])
        self.step, self.lines, self.losses = saved["step"], saved["lines"], saved["losses"]
        self.start = time.perf_counter() - saved["seconds"]


@contextlib.contextmanager
def _interrupts_wait():
    """Ctrl-C pressed inside takes effect when the block is done."""
    if threading.current_thread() is not threading.main_thread():  # it arrives nowhere else
        yield
        return
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        signal.raise_signal(signal.SIGINT)


@functools.lru_cache(maxsize=2)
def _permutation(count, seed):
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _batch(images, labels, size, step, seed, device):
    """Batch number `step` of an endless row of shuffled epochs: images and labels, or None, on the device."""
    places = torch.arange(step * size, (step + 1) * size)
    epochs = places // len(images)
    order = [_permutation(len(images), seed * 1_000_003 + epoch) for epoch in epochs.unique().tolist()]
    indices = torch.cat([p[places[epochs == e] % len(images)] for p, e in zip(order, epochs.unique(), strict=True)])
    return images[indices].to(device), None if labels is None else labels[indices].to(device)


def evaluate(model, images, labels=None, batch_size=100):
    """Bits/dim of `model` on images uint8 (N, C, H, W), over every image, the last partial batch too: a float.

    The mean of `bits_per_image`, which says how it is measured.
    """
    return bits_per_image(model, images, labels, batch_size).mean().item()
