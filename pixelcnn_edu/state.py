"""All that changes in training, and one step of it: the gradient of a batch, the optimizers, the average of the weights."""

import contextlib
import time

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pixelcnn_edu.interrupts import interrupts_wait
from pixelcnn_edu.optimizers import learning_rate_factor, make_optimizers
from pixelcnn_edu.parallel import mean_over_processes, world_size
from pixelcnn_edu.probes import bits_per_image

__all__ = ["TrainingState", "is_out_of_memory"]


class TrainingState:
    """All that changes in training, to be saved and taken up again: weights, their average, optimizers, record."""

    def __init__(self, model, training, device):
        self.model, self.training, self.device = model, training, device
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay))
        if training.as_released:
            self.average.n_averaged += 1  # the weights as they are count; else the first step's are the start
        self.optimizers = make_optimizers(model, training)
        self.peak_rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}
        self.loss = _Loss(model)
        if training.compile:
            self.loss = torch.compile(self.loss)
        if world_size() > 1:
            self.loss = DistributedDataParallel(self.loss)
        self.step, self.lines, self.losses = 0, [], []
        self.start = time.perf_counter()

    @property
    def _parts(self):
        return {"model": self.model, "average": self.average, **self.optimizers}

    @property
    def seconds(self):
        return time.perf_counter() - self.start

    @property
    def summary(self):
        """Bits/dim, for the progress bar: of the last batch, and of the last validation."""
        last = (self.lines or [{}])[-1].get("validation_bits_per_dim")
        validation = "" if last is None else f", validation {last:.3f}"
        return f"{self.losses[-1]:.3f} bits/dim{validation}" if self.losses else ""

    def gradient(self, images, labels):
        """Leave the gradient of the mean bits/dim in the weights; return that mean, over all processes' images: a float."""
        self.model.zero_grad()
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
                total = total + loss.detach() / self.training.accumulate  # in the loss's precision
        except RuntimeError as error:
            if _has_no_compiler(error):
                raise ValueError(
                    "torch.compile found no working C++ compiler; install a C++ compiler, or leave compile off"
                ) from error
            if not is_out_of_memory(error):
                raise
            too_large = True
        if too_large:  # tried out here, for within the block the error holds on to the memory of the pass that failed
            raise MemoryError(self._what_fits(images, labels, size))
        return mean_over_processes(total).item()

    def _what_fits(self, images, labels, size):
        """Try half the batch, a quarter, ..., and say what to do."""
        too_large = f"a batch of {size} images does not fit into the memory of {self.device}"
        while size > 1:
            size //= 2
            self.model.zero_grad()
            try:
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.training.mixed_precision):
                    self.model.bits_per_dim(images[:size], None if labels is None else labels[:size]).mean().backward()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                continue
            parts = next(parts for parts in range(-(-len(images) // size), len(images) + 1) if len(images) % parts == 0)
            smaller = f"batch_size={size * world_size()}" + (" and accumulate=1" if self.training.accumulate > 1 else "")
            return f"{too_large}, {size} do: set accumulate={parts} to keep the batch, or {smaller}"
        return f"{too_large}, and neither does a single one: take a smaller model"

    def update(self, loss):
        """One step along the gradient, and one of the average of the weights; `loss`, a float, is what gave it."""
        factor = learning_rate_factor(self.training, self.step)
        with interrupts_wait():  # a step is taken whole or not at all
            for name, optimizer in self.optimizers.items():
                optimizer.param_groups[0]["lr"] = self.peak_rates[name] * factor
                optimizer.step()
            self.average.update_parameters(self.model)
            self.step += 1
            self.losses.append(loss)

    @property
    def line_is_due(self):
        """Whether this step belongs in the record and is not there yet; Ctrl-C during validation leaves it to be made up."""
        recorded = self.lines[-1]["step"] if self.lines else 0
        due = self.step == self.training.steps or self.step % self.training.record_every == 0
        return due and self.step > recorded

    def record(self, images, labels, count):
        """Add a line to the record; validated is on the first `count` of these images, all where it is None."""
        line = {"step": self.step, "images": self.step * self.training.batch_size}
        line["train_bits_per_dim"] = sum(self.losses) / len(self.losses)
        if images is not None:
            labels = None if labels is None else labels[:count]
            # Nothing is kept for a backward pass, so twice the images of a training pass fit into the memory.
            at_once = min(100, 2 * self.training.batch_size // self.training.accumulate // world_size())
            live = {"live": self.model} if self.training.ema_decay else {}  # without an average both are the same
            for name, model in {"": self.average.module, **live}.items():
                bits = bits_per_image(model, images[:count], labels, at_once)
                line["_".join(filter(None, (name, "validation_bits_per_dim")))] = bits.mean().item()
            line["validation_images"] = len(images[:count])
        line["seconds"] = self.seconds
        with interrupts_wait():
            self.lines.append(line)
            self.losses = []

    @property
    def is_finite(self):
        """Whether all weights are numbers; a gradient may have become none while its loss still was one."""
        return all(torch.isfinite(p).all() for p in self.model.parameters())

    def state_dict(self):
        """All of it, as `torch.save` takes it: weights, average and moments, step, seconds and record."""
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        return {**parts, **{name: getattr(self, name) for name in ("step", "seconds", "lines", "losses")}}

    def load_state_dict(self, saved):
        """Go on from what `state_dict` gave."""
        for name, part in self._parts.items():
            part.load_state_dict(saved[name])
        self.step, self.lines, self.losses = saved["step"], saved["lines"], saved["losses"]
        self.start = time.perf_counter() - saved["seconds"]


class _Loss(nn.Module):
    """The loss as a module of its own, so that whatever wraps a module's forward pass wraps all of it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images, labels):
        return self.model.bits_per_dim(images, labels).mean()


def _has_no_compiler(error):
    return "InvalidCxxCompiler" in f"{type(error).__name__}: {error}"


def is_out_of_memory(error):
    """Whether PyTorch raised this because memory did not suffice; it has no error of its own for that on a CPU."""
    return (
        isinstance(error, torch.cuda.OutOfMemoryError)
        or "not enough memory" in str(error)
        or "allocate memory" in str(error)
        or "size calculation overflowed" in str(error)
    )
