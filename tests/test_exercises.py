"""`check` passes right answers and tells likely wrong ones what is wrong."""

import importlib
from pathlib import Path

import pytest

from pixelcnn_edu import exercises
from pixelcnn_edu.exercises import CHECKS, HINTS, ask, check
from pixelcnn_edu.exercises.questions import QUESTIONS

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
        (5, "not yet. Hand over the function itself, not what it returns: here of type int"),
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


# --- hints -----------------------------------------------------------------------------------------------------------


def test_every_exercise_has_two_hints_of_which_the_second_says_more():
    assert list(HINTS) == list(CHECKS)
    assert all(len(hints) == 2 for hints in HINTS.values())
    assert all(len(hint) > 40 and hint[-1] in ".?" for hints in HINTS.values() for hint in hints)


def test_the_second_wrong_answer_brings_a_hint_the_third_a_stronger_one_and_the_right_one_starts_anew(capsys, monkeypatch):
    monkeypatch.setattr(exercises, "_wrong", type(exercises._wrong)())
    wrong, right = (lambda decay, steps: 0.3), (lambda decay, steps: decay**steps)
    first, second = HINTS["10.2"]
    said = []
    for answer in (lambda *_: None, None, 5, wrong, wrong, wrong, wrong, right, wrong, wrong):
        check("10.2", answer)
        said.append(capsys.readouterr().out)
    assert [f"\nHint: {first}" in text for text in said] == [False] * 4 + [True] * 3 + [False, False, True]
    assert [f"\nSecond hint: {second}" in text for text in said] == [False] * 5 + [True] * 2 + [False] * 3


def test_tries_are_counted_for_each_exercise_by_itself(capsys, monkeypatch):
    monkeypatch.setattr(exercises, "_wrong", type(exercises._wrong)())
    for exercise in ("10.1", "10.2"):
        check(exercise, lambda *_: 0.3)
    assert "Hint" not in capsys.readouterr().out


# --- questions without code ------------------------------------------------------------------------------------------


def test_every_chapter_with_exercises_has_three_questions():
    chapters = [question["chapter"] for question in QUESTIONS]
    assert chapters == sorted(chapters)
    assert {chapter: chapters.count(chapter) for chapter in chapters} == {
        int(exercise.split(".")[0]): 3 for exercise in CHECKS
    }


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: f"{question['chapter']}: {question['text'][:30]}")
def test_a_question_has_one_right_choice_and_a_reason_for_each(question):
    assert question["text"].endswith("?")
    assert question["right"] in question["choices"]
    assert len(question["choices"]) >= 3
    reasons = list(question["choices"].values())
    assert all(len(reason) > 20 and reason.endswith((".", "?")) for reason in reasons)
    assert len(set(reasons)) == len(reasons)


def test_the_right_choices_do_not_all_stand_in_one_place():
    places = [list(question["choices"]).index(question["right"]) for question in QUESTIONS]
    assert all(places.count(place) >= len(places) / 6 for place in range(3))


def test_questions_open_in_a_page_without_a_script(browser):
    page = browser.new_page()
    page.set_content(ask(4)._repr_html_())
    answers = page.locator("details p")
    assert page.locator("script").count() == 0
    assert answers.count() == 9
    assert not answers.first.is_visible()
    page.locator("summary").first.click()
    assert answers.first.is_visible()
    page.locator("summary").nth(1).focus()
    page.keyboard.press("Enter")
    assert answers.nth(1).is_visible()
    assert page.locator("b", has_text="Right.").count() == 3
    page.close()


def test_questions_of_another_chapter_are_refused():
    with pytest.raises(ValueError, match="no questions for chapter 99; there are for 1, 2, 3"):
        ask(99)


def test_questions_are_the_same_bytes_each_time_and_make_no_request():
    assert ask(1)._repr_html_() == ask(1)._repr_html_()
    assert "http" not in ask(1)._repr_html_()
    assert repr(ask(1)).startswith("1. A predictor gives")
