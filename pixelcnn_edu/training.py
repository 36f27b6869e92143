"""The training loop, to be read in one sitting: draw a batch, step, average the weights, write down how it goes."""

import contextlib
import functools
import math
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from pixelcnn_edu.blocks import data_dependent_init, seeded
from pixelcnn_edu.data import to_model
from pixelcnn_edu.interrupts import interrupts_wait, sigterm_is_ctrl_c
from pixelcnn_edu.parallel import mean_over_processes, rank, world_size
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import RunFolder
from pixelcnn_edu.sampling import sample

__all__ = ["Training", "evaluate", "fit"]


@dataclass(frozen=True)
class Training:
    """How to train; the defaults are the released code's settings, but for the length.

    Attributes:
        steps: updates in all.
        batch_size: images an update.
        learning_rate: at the start.
        learning_rate_decay: the learning rate's factor at every step.
        betas: how long Adam remembers gradients and their squares.
        ema_decay: of the running average of the weights, which every test number and every sample is taken with.
            0 to take them as they are.
        init_images: size of the batch for data-dependent initialisation, 0 to go without.
        record_every: steps between two lines of the record.
        test_images: how many test images an interim line is measured on; the last line takes all of them.
        accumulate: parts that a batch is worked through in; the gradient is that of the whole, the memory that of a part.
        mixed_precision: run the network in bfloat16, the likelihood in float32. Rounding every activation costs 0.007
            bits/dim in the recorded small model (`benchmarks/precision.py`); weights, average and tests stay in float32.
        compile: let `torch.compile` fuse the network; it takes minutes to start and pays on a GPU.
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
    accumulate: int = 1
    mixed_precision: bool = False
    compile: bool = False
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))  # JSON brings a list
        at_least_one = ("steps", "batch_size", "record_every", "test_images", "accumulate")
        for name, least in {**dict.fromkeys(at_least_one, 1), "init_images": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        for name in ("learning_rate_decay", "ema_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")


def fit(
    model,
    images,
    labels=None,
    training=None,
    test=None,
    test_labels=None,
    out=None,
    device=None,
    progress=True,
    tensorboard=False,
):
    """Train `model` on images uint8 (N, C, H, W); return a copy with averaged weights, and the record.

    The record is a list of dicts, one every `record_every` steps: step, seconds (of the clock, tests included), images
    seen, bits/dim on the training batches since the last line, and, where there are test images, bits/dim of the averaged
    weights on them. With `out`, a folder, the run is recorded there (see `runs`), and a folder that holds a checkpoint of
    the same run is continued as if it had never stopped. Ctrl-C or a polite kill (SIGTERM) ends training early and loses
    nothing; the record says that the run is not finished. `device` is "cuda" where there is a GPU, else "cpu"; `training`
    defaults to `Training()`. Under `torchrun` (see `parallel`) every process takes its part of each batch, and the first
    alone writes. `tensorboard` writes the record for that program too.

    Raises ValueError where images are missing or do not match their labels and for a folder with another run, OSError where
    the folder cannot be written or has no room, FloatingPointError where the loss is no longer a number, and MemoryError,
    with the batch that would fit, where memory does not suffice. Explained in chapter 10.
    """
    training = training or Training()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    _check(images, labels, test, test_labels, training)
    folder = RunFolder(out, model.config, training, tensorboard) if out else None
    state = _State(model.to(device, memory_format=torch.channels_last).train(), training, device)

    if folder and folder.checkpoint:
        state.load_state_dict(folder.checkpoint)
    elif training.init_images:
        first, first_labels = _take(images, labels, _indices(len(images), training.init_images, 0, training.seed), device)
        with seeded(training.seed, device):
            data_dependent_init(model, to_model(first, model.config.levels), first_labels)

    total, seen = training.steps * training.batch_size, state.step * training.batch_size
    bar = tqdm(total=total, initial=seen, unit="image", disable=not progress or rank() > 0)
    try:
        with sigterm_is_ctrl_c():
            while True:
                finished = state.step == training.steps
                if state.line_is_due:
                    state.record(test, test_labels, None if finished else training.test_images)
                    if folder:
                        folder.save(state.state_dict(), finished)
                if finished:
                    break
                indices = _indices(len(images), training.batch_size, state.step, training.seed)
                batch, batch_labels = _take(images, labels, indices[rank() :: world_size()], device)
                # Randomness depends on seed, step and process alone, so a continued run draws what a straight one would.
                with seeded(training.seed * 1_000_003 + state.step + (rank() << 40), device):
                    loss = state.gradient(batch, batch_labels)
                if not math.isfinite(loss.item()):
                    raise FloatingPointError(_no_number(loss.item(), state, indices, out))
                state.update(loss)
                bar.set_postfix_str(state.summary, refresh=False)
                bar.update(training.batch_size)
    except KeyboardInterrupt:
        goes_on = f"; the same call goes on from {out}" if out else ""
        if rank() == 0:
            bar.write(f"stopped at step {state.step} of {training.steps}{goes_on}")
        finished = state.step == training.steps and not state.line_is_due
        if folder:
            folder.save(state.state_dict(), finished)
    finally:
        bar.close()

    averaged = state.average.module.eval()
    if folder and rank() == 0:
        folder.save_weights(averaged)
        if finished:
            classes = model.config.classes
            folder.save_samples(sample(averaged, 16, torch.arange(16) % classes if classes else None, progress=progress))
    return averaged, state.lines


def _check(images, labels, test, test_labels, training):
    if not len(images):
        raise ValueError("there are no images to train on")
    for what, some, their_labels in (("images", images, labels), ("test images", test, test_labels)):
        if their_labels is not None and len(their_labels) != len(some):
            raise ValueError(f"{len(some)} {what} need as many labels, got {len(their_labels)}")
    if test is not None and not len(test):
        raise ValueError("there are no images to test on; leave test out to train without")
    if training.batch_size % (world_size() * training.accumulate):
        raise ValueError(
            f"batch_size {training.batch_size} does not split evenly into {world_size()} process(es) "
            f"of {training.accumulate} part(s)"
        )


def _no_number(loss, state, indices, out):
    kept = state.lines[-1]["step"] if state.lines else 0
    where = f"the last good checkpoint is that of step {kept} in {out}" if out and kept else "no checkpoint was written yet"
    return (
        f"the loss is {loss} at step {state.step}, on the images {indices.tolist()}; {where}. "
        "Lower learning_rate, or turn mixed_precision off"
    )


class _State:
    """All that changes in training, so that it can be saved and taken up again: weights, their average, Adam, the record."""

    def __init__(self, model, training, device):
        self.model, self.training, self.device = model, training, device
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay))
        self.optimizer = torch.optim.Adam(model.parameters(), lr=training.learning_rate, betas=training.betas, fused=True)
        self.loss = _Loss(model)
        if training.compile:
            self.loss = torch.compile(self.loss)
        if world_size() > 1:
            self.loss = DistributedDataParallel(self.loss)
        self.step, self.lines, self.losses = 0, [], []
        self.start = time.perf_counter()

    @property
    def seconds(self):
        return time.perf_counter() - self.start

    @property
    def summary(self):
        """Bits/dim, for the progress bar: of the last batch, and of the last test."""
        test = f", test {self.lines[-1]['test_bits_per_dim']:.3f}" if "test_bits_per_dim" in (self.lines or [{}])[-1] else ""
        return f"{self.losses[-1]:.3f} bits/dim{test}" if self.losses else ""

    def gradient(self, images, labels):
        """Leave the gradient of the mean bits/dim in the weights; return that mean, over the images of all processes."""
        self.optimizer.zero_grad()
        size = len(images) // self.training.accumulate
        total, too_large = torch.zeros((), device=self.device), False
        try:
            for start in range(0, len(images), size):
                part = slice(start, start + size)
                last = start + size == len(images)
                # Only with the last part are the processes' gradients brought together.
                with contextlib.nullcontext() if last or world_size() == 1 else self.loss.no_sync():
                    with torch.autocast(self.device.type, torch.bfloat16, enabled=self.training.mixed_precision):
                        loss = self.loss(images[part], None if labels is None else labels[part])
                    (loss / self.training.accumulate).backward()
                total += loss.detach() / self.training.accumulate
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            too_large = True
        if too_large:  # tried out here, for within the block the error holds on to the memory of the pass that failed
            raise MemoryError(self._what_fits(images, labels, size))
        return mean_over_processes(total)

    def _what_fits(self, images, labels, size):
        """Try half the batch, a quarter, ..., and say what to do."""
        too_large = f"a batch of {size} images does not fit into the memory of {self.device}"
        while size > 1:
            size //= 2
            self.optimizer.zero_grad()
            try:
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.training.mixed_precision):
                    self.model.bits_per_dim(images[:size], None if labels is None else labels[:size]).mean().backward()
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                continue
            parts = -(-len(images) // size)
            return f"{too_large}, {size} do: set accumulate={parts} to keep the batch, or batch_size={size * world_size()}"
        return f"{too_large}, and neither does a single one: take a smaller model"

    def update(self, loss):
        """One step of Adam along the gradient, and of the average of the weights; `loss` is what gave it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.learning_rate * self.training.learning_rate_decay**self.step
        with interrupts_wait():  # a step is taken whole or not at all
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
        with interrupts_wait():
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


class _Loss(nn.Module):
    """The loss as a module of its own, so that whatever wraps a module's forward pass wraps all of it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images, labels):
        return self.model.bits_per_dim(images, labels).mean()


def _is_out_of_memory(error):
    return (
        isinstance(error, torch.cuda.OutOfMemoryError)
        or "not enough memory" in str(error)
        or "allocate memory" in str(error)
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
