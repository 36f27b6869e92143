"""What the checks of all chapters need: to call a reader's function, and to compare numbers."""

import math

__all__ = ["NotAnswered", "call", "close"]


class NotAnswered(Exception):
    """A reader's function returned None."""


def call(function, *arguments):
    """What the reader's function returns. Raises NotAnswered where that is None."""
    result = function(*arguments)
    if result is None:
        raise NotAnswered
    return result


def close(a, b):
    """Whether two numbers agree to four digits."""
    return math.isclose(float(a), float(b), rel_tol=1e-4, abs_tol=1e-6)
