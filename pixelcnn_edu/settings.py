"""What a caller gives, as plain Python numbers and paths, whatever library a number comes from."""

import typing
from pathlib import Path

__all__ = ["make_plain", "plain", "user_path", "whole_number"]


def make_plain(settings):
    """Turn the fields of a frozen dataclass into plain int, float, bool, str and tuples, in place.

    A NumPy scalar or a tensor of one number would be trained with, and then be refused in the checkpoint, which holds
    nothing but plain numbers. A float that is whole will do for an int: `steps=1e4`.

    Raises:
        ValueError: for a value that is no number of the field's kind, with the field's name.
    """
    for name, kind in typing.get_type_hints(type(settings)).items():
        object.__setattr__(settings, name, plain(name, getattr(settings, name), kind))


def whole_number(name, value, least=-(2**63), most=2**63 - 1):
    """Turn `value` into a plain int. Raises ValueError, with its name, for anything but one from `least` to `most`."""
    value = plain(name, value, int)
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")
    return value


def user_path(path):
    """A Path, the user's home in place of ~. Raises ValueError for what is no path, and for a user without a home."""
    try:
        return Path(path).expanduser()
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{path!r} is no path that can be used: {error}") from error


def plain(name, value, kind):
    """Turn `value` into a plain number, bool or tuple of the kind. Raises ValueError, with its name, for another."""
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        values = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(values, (tuple, list)) or len(values) != len(kinds):
            raise ValueError(f"{name} must be {len(kinds)} numbers, got {value!r}")
        return tuple(plain(name, v, k) for v, k in zip(values, kinds, strict=True))
    if getattr(value, "ndim", None) == 0:  # a scalar of NumPy, a tensor of one number
        value = value.item()
    if kind is bool and not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{name} must be a number, got {value!r}")
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError(f"{name} must be a whole number, got {value!r}")
        try:
            return kind(value)
        except OverflowError:
            raise ValueError(f"{name} must fit into a float, got a number of {value.bit_length()} bits") from None
    return value
