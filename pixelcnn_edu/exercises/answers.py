"""What the checks of all chapters need: to call a reader's function, to read its result, and to compare numbers."""

import math

import numpy as np
import torch

__all__ = ["NotAnswered", "Unusable", "call", "close", "number", "tensor"]


class NotAnswered(Exception):
    """A reader's function returned None."""


class Unusable(Exception):
    """A reader's function returned something of the wrong kind; the message is the diagnosis."""


def call(function, *arguments):
    """What the reader's function returns. Raises NotAnswered where that is None."""
    result = function(*arguments)
    if result is None:
        raise NotAnswered
    return result


def tensor(result):
    """The result as a float64 tensor without gradient, from a number, a list, an array or a tensor.

    Raises Unusable for anything else, and for half precision, whose three digits no check accepts.
    """
    if isinstance(result, (list, tuple)) and any(isinstance(part, (torch.Tensor, np.ndarray)) for part in result):
        parts = [tensor(part) for part in result]
        if len({part.shape for part in parts}) > 1:
            raise Unusable(f"return one tensor; you return a {type(result).__name__} of tensors of different shapes")
        return torch.stack(parts)
    try:  # through NumPy, which keeps Python's numbers in float64
        got = result if isinstance(result, torch.Tensor) else torch.as_tensor(np.array(result))
    except (TypeError, ValueError, RuntimeError):
        raise Unusable(f"return numbers or a tensor; you return {_short(result)}") from None
    if got.dtype in (torch.float16, torch.bfloat16):
        raise Unusable(
            f"your result is {str(got.dtype).split('.')[1]}, which keeps only three digits; use float32 or float64"
        )
    return got.detach().double()


def number(result):
    """The result as a float, where it is one number of any kind. Raises Unusable where it is not."""
    if isinstance(result, (bool, np.bool_)):
        raise Unusable(f"one number is asked for; you return {result}, a truth value")
    got = tensor(result)
    if got.numel() != 1 or isinstance(result, (list, tuple)):  # a tuple of one is a comma too many
        shape = f"the shape {tuple(got.shape)}" if not isinstance(result, (list, tuple)) else _short(result)
        raise Unusable(f"one number is asked for; you return {shape}")
    return got.item()


def _short(result):
    """A result in words, cut where it is long."""
    text = repr(result)
    return f"a {type(result).__name__}: {text if len(text) <= 40 else text[:40] + '...'}"


def close(a, b):
    """Whether two numbers agree to four digits."""
    return math.isclose(float(a), float(b), rel_tol=1e-4, abs_tol=1e-6)
