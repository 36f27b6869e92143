"""Where the network computes in which precision, under autocast."""

import torch

__all__ = ["in_weight_dtype", "to_autocast_dtype"]


def in_weight_dtype(layer, x):
    """Run a layer in the precision of its weights, under autocast too: for the first layers and the last.

    In bfloat16 a first layer would round the pixels, and the last one the parameters that the likelihood reads; both
    cost bits.
    """
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(layer.bias.dtype))


def to_autocast_dtype(x):
    """Cast x to the dtype of autocast where it is active, so that saved activations take half the memory."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x
