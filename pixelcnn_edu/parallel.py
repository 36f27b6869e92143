"""Several processes that train one model, started by `torchrun`: who is who, and a mean over all of them."""

import contextlib
import os

import torch
from torch import distributed

__all__ = ["joined", "mean_over_processes", "process_device", "rank", "world_size"]


@contextlib.contextmanager
def joined(device):
    """Inside, this process works with the others that `torchrun` started; without `torchrun` nothing happens."""
    if not distributed.is_torchelastic_launched():
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def process_device(name="auto"):
    """The device of this process: "auto" is the GPU of its own where there is one, else the CPU.

    Raises ValueError for what is no device, and for one that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:1 or the like, got {name!r}") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"there is no GPU here that PyTorch {torch.__version__} can use; leave device at auto")
        if device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    try:
        torch.zeros(1, device=device).cpu()  # "meta" holds no numbers, others need hardware, or a build that knows it
    except Exception as error:  # each kind of device has its own
        raise ValueError(f"there is no device {name} here that PyTorch can compute on; leave device at auto") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def rank():
    """This process's number, 0 where it is alone."""
    return distributed.get_rank() if _together() else 0


def world_size():
    """How many processes there are."""
    return distributed.get_world_size() if _together() else 1


def mean_over_processes(value):
    """The mean of a scalar tensor over all processes, the same in each."""
    if _together():
        distributed.all_reduce(value)
        value = value / world_size()
    return value


def _together():
    return distributed.is_available() and distributed.is_initialized()
