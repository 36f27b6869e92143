"""What moves the weights: the released code's Adam, or Muon on the hidden convolutions, and the schedule of their rates."""

import torch
from torch import nn

__all__ = ["KernelMuon", "learning_rate_factor", "make_optimizers"]


def learning_rate_factor(training, step):
    """What the learning rates are multiplied by at a step: a warm-up, the released code's decay, and a cool-down to zero.

    Args:
        training: the `Training` that names `warmup_steps`, `learning_rate_decay` and `cooldown`.
        step: updates taken so far, 0 to `training.steps` - 1.

    Returns:
        A float in [0, 1], 0 at no step that is taken. Derived in chapter 9.
    """
    warm_up = min(1.0, (step + 1) / training.warmup_steps) if training.warmup_steps else 1.0
    cool_down = min(1.0, (training.steps - step) / (training.cooldown * training.steps)) if training.cooldown else 1.0
    return warm_up * training.learning_rate_decay**step * cool_down


def make_optimizers(model, training):
    """The optimizers of a run, by name, each with its learning rate in its parameter groups.

    "adam" moves every parameter, or, with `training.optimizer` "muon", all but the kernels of the hidden convolutions,
    which "muon" moves.
    """
    kernels = list(model.hidden_kernels()) if training.optimizer == "muon" else []
    ids = {id(kernel) for kernel in kernels}
    others = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    optimizers = {"adam": torch.optim.Adam(others, lr=training.learning_rate, betas=training.betas, fused=True)}
    if kernels:
        optimizers["muon"] = KernelMuon(kernels, training.muon_learning_rate)
    return optimizers


class KernelMuon:
    """PyTorch's Muon for the kernels of convolutions, each taken as one matrix.

    A kernel (out, in, rows, columns) is the matrix (out, in x rows x columns); Muon's update is its momentum with all
    singular values made about equal. The matrices share the kernels' memory, so that a step moves the model itself.

    Args:
        kernels: parameters (out, in, rows, columns), contiguous.
        learning_rate: size of a step, in spectral norm, of a matrix that is no taller than wide.

    Raises:
        ValueError: where the installed torch has no Muon.

    Source: Jordan et al. 2024, Muon. Derived in chapter 9.
    """

    def __init__(self, kernels, learning_rate):
        if not hasattr(torch.optim, "Muon"):
            raise ValueError(f"torch {torch.__version__} has no Muon; install torch 2.9 or newer, or use optimizer='adam'")
        self.kernels = kernels
        self.matrices = [nn.Parameter(kernel.detach().view(len(kernel), -1)) for kernel in kernels]  # (out, in * r * c)
        self.muon = torch.optim.Muon(self.matrices, lr=learning_rate, weight_decay=0.0)
        self.param_groups, self.state_dict = self.muon.param_groups, self.muon.state_dict

    def step(self):
        """Move every kernel along its gradient."""
        for matrix, kernel in zip(self.matrices, self.kernels, strict=True):
            matrix.grad = kernel.grad.view_as(matrix)  # (out, in, r, c) -> (out, in * r * c)
        self.muon.step()

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave."""
        self.muon.load_state_dict(state)
        self.param_groups = self.muon.param_groups
