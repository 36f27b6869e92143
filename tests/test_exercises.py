"""`check` passes right answers and tells likely wrong ones what is wrong."""

import importlib
from pathlib import Path

import pytest

from pixelcnn_edu.exercises import CHECKS, check

FILES = sorted((Path(__file__).parent / "answers").glob("chapter*.py"))
ANSWERS = [answer for file in FILES for answer in importlib.import_module(f"answers.{file.stem}").ANSWERS]


def test_every_exercise_has_a_right_answer_and_three_wrong_ones():
    for exercise in CHECKS:
        words = [words for number, _, words in ANSWERS if number == exercise]
        assert "right" in words
        assert len(set(words) - {"right"}) >= 3, f"exercise {exercise} needs three likely wrong answers, each told apart"


@pytest.mark.parametrize(("exercise", "answer", "words"), ANSWERS)
def test_an_answer_gets_its_diagnosis(exercise, answer, words, capsys):
    right = check(exercise, answer)
    assert right == (words == "right")
    assert words in capsys.readouterr().out


def test_an_exercise_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"no exercise '99\.1'"):
        check("99.1", None)


def raises(*_):
    raise RuntimeError("out of ideas")


@pytest.mark.parametrize("exercise", CHECKS)
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "not yet. Write your answer first"),
        (lambda *_: None, "not yet. Your function returns nothing yet"),
        (raises, "not yet. Your answer stopped with RuntimeError: out of ideas"),
        (5, "not yet. Your answer stopped with TypeError"),
    ],
    ids=["none", "returns none", "raises", "no function"],
)
def test_an_answer_that_is_none_or_fails_is_told_calmly(exercise, answer, words, capsys):
    assert check(exercise, answer) is False
    assert f"Exercise {exercise}: {words}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("divisor", "batches", "words"),
    [
        (lambda means: len(means) - 1, lambda x, b: x.split(b), "starts from 0"),
        (len, lambda x, b: [x[k * b : (k + 1) * b] for k in range(len(x) // b)], "partial batch"),
    ],
    ids=["last number", "partial batch dropped"],
)
def test_an_answer_that_divides_by_zero_at_one_batch_size_is_still_diagnosed(divisor, batches, words, capsys):
    def answer(model, images, batch_size):
        means = [model.bits_per_dim(batch).mean().item() for batch in batches(images, batch_size)]
        return sum(means) / divisor(means)

    assert check("10.3", answer) is False
    assert words in capsys.readouterr().out
