"""What moves the weights: Adam, or Muon on the hidden convolutions, and the schedule of their rates."""

import math

import torch
from torch import nn

__all__ = ["KernelMuon", "ReleasedAdam", "learning_rate_factor", "make_optimizers"]


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
    decays = step + training.as_released  # the released code decays before the first step already
    return warm_up * training.learning_rate_decay**decays * cool_down


def make_optimizers(model, training):
    """The optimizers of a run, by name, each with its learning rate in its parameter groups.

    "adam" moves every parameter, or, with `training.optimizer` "muon", all but the kernels of the hidden convolutions,
    which "muon" moves. With `training.as_released` "adam" is a `ReleasedAdam`.
    """
    if training.as_released:
        sum_of_nats = training.batch_size * math.prod(model.config.image_shape) * math.log(2)
        return {"adam": ReleasedAdam(model.parameters(), training.learning_rate, training.betas, sum_of_nats)}
    kernels = list(model.hidden_kernels()) if training.optimizer == "muon" else []
    ids = {id(kernel) for kernel in kernels}
    others = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    optimizers = {"adam": torch.optim.Adam(others, lr=training.learning_rate, betas=training.betas, fused=True)}
    if kernels:
        optimizers["muon"] = KernelMuon(kernels, training.muon_learning_rate)
    return optimizers


class ReleasedAdam(torch.optim.Optimizer):
    """Adam as the released code wrote it: epsilon, 1e-8, inside the root, and the loss a sum.

    A step is -lr m / sqrt(v + 1e-8), with m and v the running averages of the gradient of the batch's
    nats and of its square, each divided by 1 - beta^t. There some threads read t when it had already
    grown; here every parameter has the same t.

    Args:
        parameters: what to move.
        lr: the learning rate.
        betas: how long gradients and their squares are remembered.
        scale: what turns the gradient at hand into that of the nats of all images of the batch.

    Source: `adam_updates` in nn.py of openai/pixel-cnn.
    """

    def __init__(self, parameters, lr, betas, scale):
        super().__init__(parameters, {"lr": lr, "betas": betas, "scale": scale})

    @torch.no_grad()
    def step(self):
        """Move every parameter along its gradient."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                gradient, state = parameter.grad * group["scale"], self.state[parameter]
                if not state:
                    state |= {"step": 0, "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
                state["step"] += 1
                mean = state["mean"].mul_(beta1).add_(gradient, alpha=1 - beta1)
                square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                mean, square = mean / (1 - beta1 ** state["step"]), square / (1 - beta2 ** state["step"])
                parameter.addcdiv_(mean, torch.sqrt(square + 1e-8), value=-group["lr"])


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
