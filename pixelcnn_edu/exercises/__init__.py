"""Answers to the book's exercises, checked: `check("2.1", answer)` says what is wrong and why, not only that it is.

A module a chapter holds its checks. A check takes the reader's answer and returns None where it is right, else a diagnosis:
a sentence without a capital or a full stop, that names what was seen and where to read again, and never the solution.
From the second wrong answer on a hint is added, from the third on a second and stronger one; both stand in `hints.toml`.
"""

import collections
import importlib
import tomllib
from pathlib import Path

from pixelcnn_edu.exercises.answers import NotAnswered, Unusable
from pixelcnn_edu.exercises.questions import ask

__all__ = ["CHECKS", "HINTS", "ask", "check"]

CHAPTERS = [importlib.import_module(f"{__name__}.chapter{number:02d}") for number in range(1, 13)]
CHECKS = {number: check for chapter in CHAPTERS for number, check in chapter.CHECKS.items()}
HINTS = tomllib.loads((Path(__file__).parent / "hints.toml").read_text())

_wrong = collections.Counter()  # wrong answers in a row, per exercise


def check(exercise, answer):
    """Check `answer`, most often a function, to an exercise such as "2.1"; print a diagnosis, return whether it is right.

    Raises ValueError for an exercise that does not exist. An answer of None, or one that returns None, counts as not
    answered yet; an answer that fails is told with what. The second wrong answer to an exercise brings a hint as well, the
    third and each after it a second, stronger hint. A right answer starts the count anew.
    """
    if exercise not in CHECKS:
        raise ValueError(f"there is no exercise {exercise!r}; there are {', '.join(CHECKS)}")
    if answer is None:
        return _reply(exercise, "write your answer first, then run this again")
    if not callable(answer):
        return _reply(exercise, f"hand over the function itself, not what it returns: here of type {type(answer).__name__}")
    returned = []  # whether a call brought anything

    def watched(*arguments):
        result = answer(*arguments)
        returned.append(result is not None)
        return result

    try:
        diagnosis = CHECKS[exercise](watched)
    except NotAnswered:
        if not any(returned):
            return _reply(exercise, "your function returns nothing yet; write it, then run this again")
        diagnosis = "for some inputs your function returns nothing; does every way through it end with a return?"
    except Unusable as error:
        diagnosis = str(error)
    except Exception as error:  # a reader's function may fail in any way, and the reader should hear of it calmly
        diagnosis = f"your answer stopped with {type(error).__name__}: {error}"
    if diagnosis is None:
        _wrong[exercise] = 0
        return _reply(exercise, None)
    _wrong[exercise] += 1
    return _reply(exercise, diagnosis, HINTS[exercise][: _wrong[exercise] - 1])


def _reply(exercise, diagnosis, hints=()):
    """Print what is to be said of an answer; return whether it is right."""
    print(f"Exercise {exercise}: {'right.' if diagnosis is None else 'not yet. ' + diagnosis[0].upper() + diagnosis[1:]}")
    for name, hint in zip(("Hint", "Second hint"), hints):
        print(f"{name}: {hint}")
    return diagnosis is None
