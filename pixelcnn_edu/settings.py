"""Settings as plain Python numbers, whatever library a number comes from."""

import math
import typing

__all__ = ["make_plain"]


def make_plain(settings):
    """Turn the fields of a frozen dataclass into plain int, float, bool, str and tuples, in place.

    A NumPy scalar or a tensor of one number would be trained with, and then be refused in the checkpoint, which holds
    nothing but plain numbers. A float that is whole will do for an int: `steps=1e4`.

    Raises:
        ValueError: for a value that is no number of the field's kind, with the field's name.
    """
    for name, kind in typing.get_type_hints(type(settings)).items():
        object.__setattr__(settings, name, _plain(name, getattr(settings, name), kind))


def _plain(name, value, kind):
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        values = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(values, (tuple, list)) or len(values) != len(kinds):
            raise ValueError(f"{name} must be {len(kinds)} numbers, got {value!r}")
        return tuple(_plain(name, v, k) for v, k in zip(values, kinds, strict=True))
    if getattr(value, "ndim", None) == 0:  # a scalar of NumPy, a tensor of one number
        value = value.item()
    if kind is bool and not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{name} must be a number, got {value!r}")
        if kind is int and not (math.isfinite(value) and value == int(value)):
            raise ValueError(f"{name} must be a whole number, got {value!r}")
        return kind(value)
    return value
