"""The bricks of the network: concatenated ELU, weight normalisation with its initialisation, the gated residual block."""

import contextlib
import copy
import threading

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

__all__ = [
    "GatedResNet",
    "concat_elu",
    "data_dependent_init",
    "folded",
    "in_mode",
    "no_tf32",
    "seeded",
    "unit_lengths",
    "unwrapped",
    "weight_normed",
]


def concat_elu(x):
    """ELU of x and of -x side by side, so that no sign is lost: (N, C, H, W) -> (N, 2C, H, W). Derived in chapter 7."""
    return F.elu(torch.cat([x, -x], dim=1), inplace=True)  # in place: of the two intermediates only the result is kept


def weight_normed(conv, init_scale=1.0):
    """Put weight normalisation on a convolution, W = g V / ||V||, one length g an output channel; return the convolution.

    V starts from a normal distribution with standard deviation 0.05. `init_scale` is the standard deviation that
    `data_dependent_init` gives the layer's output. Source: Salimans and Kingma 2016. Derived in chapter 9.
    """
    nn.init.normal_(conv.weight, std=0.05)
    nn.init.zeros_(conv.bias)
    # A transposed convolution keeps its output channels in the second axis of the weight; normalising over the first is a
    # well-travelled bug.
    out_axis = 1 if isinstance(conv, nn.ConvTranspose2d) else 0
    weight_norm(conv, dim=out_axis)
    conv.init_scale = init_scale
    return conv


def unwrapped(model):
    """The model itself, where `torch.compile` or data parallelism wrapped it and prefixed the names of its weights."""
    while hasattr(model, "_orig_mod") or isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = getattr(model, "_orig_mod", None) or model.module
    return model


def folded(model):
    """A copy of a model with plain weights, in place of those that weight norm or a mask computes at every call.

    It computes what the model does, bit for bit, and nothing that is done to it touches the model.
    """
    model = copy.deepcopy(unwrapped(model))
    for layer in list(model.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            weight = layer.weight.detach()
            del layer.parametrizations
            layer.__class__ = type(layer).__bases__[0]  # what it was before parametrize gave it a class of its own
            layer.weight = nn.Parameter(weight, requires_grad=False)
    return model


@contextlib.contextmanager
def in_mode(model, training):
    """Inside, the model trains (dropout on) or is evaluated; afterwards, and after a failure, it is as before."""
    was_training = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(was_training)


# PyTorch's random state and its settings belong to the whole process. Threads that change them take turns.
_random_state = threading.RLock()
_tf32 = threading.Lock()
_tf32_users, _tf32_before = 0, True


@contextlib.contextmanager
def seeded(seed, device):
    """Draw from a stream of its own inside, one thread at a time; outside, PyTorch's random state stays what it was."""
    with _random_state, torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def no_tf32():
    """Inside, convolutions on a GPU use all 23 bits of a float32's fraction; by default cuDNN keeps ten of them (TF32).

    Threads may be inside together: the last one to leave restores what the first one found.
    """
    global _tf32_users, _tf32_before
    with _tf32:
        if not _tf32_users:
            _tf32_before = torch.backends.cudnn.allow_tf32
            torch.backends.cudnn.allow_tf32 = False
        _tf32_users += 1
    try:
        yield
    finally:
        with _tf32:
            _tf32_users -= 1
            if not _tf32_users:
                torch.backends.cudnn.allow_tf32 = _tf32_before


@torch.no_grad()
def unit_lengths(model):
    """Set every weight-normed layer's lengths g to 1, which the released code starts from."""
    for layer in model.modules():
        if hasattr(layer, "init_scale"):
            layer.parametrizations.weight.original0.fill_(1)


@contextlib.contextmanager
def _rescaling(model, as_released):
    """While this is open, each weight-normed layer sets its length and bias from the first batch it sees."""

    @torch.no_grad()
    def rescale(conv, inputs, output):
        measured = output
        if as_released and isinstance(conv, nn.ConvTranspose2d):  # before it is cropped, where zeros surround it
            measured = F.conv_transpose2d(*inputs, conv.weight, conv.bias, conv.stride, output_padding=1)
        mean = measured.mean(dim=(0, 2, 3))  # (C,)
        variance = measured.var(dim=(0, 2, 3), unbiased=False)  # (C,)
        scale = conv.init_scale / torch.sqrt(variance + 1e-10)  # (C,)
        if not as_released:
            # A channel that is the same everywhere has no size to set; scaling it would blow up rounding errors.
            scale = torch.where(variance > 1e-10, scale, 1.0)  # (C,)
        length = conv.parametrizations.weight.original0  # (C, 1, 1, 1), or (1, C, 1, 1) in a transposed convolution
        length.mul_(scale.view(length.shape))
        conv.bias.sub_(mean).mul_(scale)
        # The next layer must see this layer's new output, or it is set up for numbers that never come again.
        return (output - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1)

    layers = [layer for layer in model.modules() if hasattr(layer, "init_scale")]
    handles = [layer.register_forward_hook(rescale) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def data_dependent_init(model, x, labels=None, as_released=False):
    """Set every weight-normed layer so that on this batch its outputs have mean 0 and a chosen standard deviation.

    One pass through the network on x (N, C, H, W) in [-1, 1], with dropout as in training; 1 is the standard deviation of
    every layer but the second convolution of a gated block, which gets 0.1 so that blocks start near the identity. Run it
    once, before training, never on resuming. `as_released` measures transposed convolutions where the released code does,
    with their margins of zeros. Raises ValueError where the batch holds a NaN or an infinity.
    Source: Salimans and Kingma 2016, section 3. Derived in chapter 9.
    """
    if not torch.isfinite(x).all():
        raise ValueError("the batch for data-dependent initialisation holds NaN or infinite values")
    with in_mode(model, training=True), _rescaling(model, as_released):
        model(x, labels)


class GatedResNet(nn.Module):
    """The paper's residual block: two convolutions, a gate, short-cut inputs between them, and a label's bias.

    `conv` makes a causal convolution from (in_channels, out_channels). `shortcut_channels` is the sum of the channels of
    all short-cut inputs; 0 means that there are none. `classes` > 0 adds a learned bias a class, before the gate.

    Maps x (N, F, H, W), any number of short-cuts (N, ·, H, W) and labels (N,) to (N, F, H, W).
    Source: sections 2.4, 2.5 and 3.2 of Salimans et al. 2017 and the released code. Derived in chapter 7.
    """

    def __init__(self, conv, filters, shortcut_channels=0, dropout=0.5, classes=0):
        super().__init__()
        self.conv_in = weight_normed(conv(2 * filters, filters))
        self.shortcut = weight_normed(nn.Conv2d(2 * shortcut_channels, filters, 1)) if shortcut_channels else None
        self.dropout = nn.Dropout(dropout)  # single activations, not whole channels
        self.conv_out = weight_normed(conv(2 * filters, 2 * filters), init_scale=0.1)
        self.class_bias = nn.Embedding(classes, 2 * filters) if classes else None
        if classes:
            nn.init.normal_(self.class_bias.weight, std=0.05)

    def forward(self, x, *shortcuts, labels=None):
        c = self.conv_in(concat_elu(x))  # (N, 2F, H, W) -> (N, F, H, W)
        if shortcuts:
            c = c + self.shortcut(torch.cat([concat_elu(s) for s in shortcuts], dim=1))
        c = self.conv_out(self.dropout(concat_elu(c)))  # (N, 2F, H, W) -> (N, 2F, H, W)
        if self.class_bias is not None:
            c = c + self.class_bias(labels)[:, :, None, None].to(c.dtype)  # (N, 2F) -> (N, 2F, 1, 1)
        value, gate = c.chunk(2, dim=1)  # two of (N, F, H, W)
        return x + value * gate.sigmoid()
