"""Answers to the book's exercises, checked: `check("2.1", answer)` says what is wrong and why, not only that it is.

A module a chapter holds its checks. A check takes the reader's answer and returns None where it is right, else a diagnosis:
a sentence without a capital or a full stop, that names what was seen and where to read again, and never the solution.
"""

from pixelcnn_edu.exercises import (
    chapter01,
    chapter02,
    chapter03,
    chapter04,
    chapter05,
    chapter06,
    chapter07,
    chapter08,
    chapter09,
    chapter10,
    chapter11,
)
from pixelcnn_edu.exercises.answers import NotAnswered

__all__ = ["CHECKS", "check"]

CHAPTERS = (
    chapter01,
    chapter02,
    chapter03,
    chapter04,
    chapter05,
    chapter06,
    chapter07,
    chapter08,
    chapter09,
    chapter10,
    chapter11,
)
CHECKS = {number: check for chapter in CHAPTERS for number, check in chapter.CHECKS.items()}


def check(exercise, answer):
    """Check `answer`, most often a function, to an exercise such as "2.1"; print a diagnosis, return whether it is right.

    Raises ValueError for an exercise that does not exist. An answer of None, or one that returns None, counts as not
    answered yet; an answer that fails is told with what.
    """
    if exercise not in CHECKS:
        raise ValueError(f"there is no exercise {exercise!r}; there are {', '.join(CHECKS)}")
    try:
        diagnosis = "write your answer first, then run this again" if answer is None else CHECKS[exercise](answer)
    except NotAnswered:
        diagnosis = "your function returns nothing yet; write it, then run this again"
    except Exception as error:  # a reader's function may fail in any way, and the reader should hear of it calmly
        diagnosis = f"your answer stopped with {type(error).__name__}: {error}"
    print(f"Exercise {exercise}: {'right.' if diagnosis is None else 'not yet. ' + diagnosis[0].upper() + diagnosis[1:]}")
    return diagnosis is None
