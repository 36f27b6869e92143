"""`check` passes right answers and tells likely wrong ones what is wrong."""

import math

import pytest

from pixelcnn_edu import receptive_field
from pixelcnn_edu.exercises import check


def wedge(row, column, size, edge=0):
    return sum(j - column > row - i - edge for i in range(row) for j in range(size))


def violations(network, size, own=0):
    fields = [receptive_field(network, *divmod(p, size), image_shape=(1, size, size)).flatten() for p in range(size * size)]
    return sum(int((field[place + own :] != 0).sum()) for place, field in enumerate(fields))


def first_pixel_violations(network, size):
    return int((receptive_field(network, 0, 0, image_shape=(1, size, size)) != 0).sum())


def violating_outputs(network, size):
    fields = [receptive_field(network, *divmod(p, size), image_shape=(1, size, size)).flatten() for p in range(size * size)]
    return sum(bool((field[place:] != 0).any()) for place, field in enumerate(fields))


def batch_means(model, images, size):
    return [model.bits_per_dim(batch).mean().item() for batch in images.split(size)]


ANSWERS = [
    ("2.1", lambda k, kind: (k * k - 1) // 2 + (kind == "B"), "right"),
    ("2.1", lambda k, kind: (k * k - 1) // 2 + (kind == "A"), "swapped"),
    ("2.1", lambda k, kind: (k * k - 1) // 2, "differ by one"),
    ("2.1", lambda k, kind: k * (k // 2) + (kind == "B"), "to the left"),
    ("2.2", wedge, "right"),
    ("2.2", lambda r, c, n: wedge(r, c, n, edge=1), "edge of the wedge"),
    ("2.2", lambda r, c, n: r * (r - 1) // 2, "image ends"),
    ("2.2", lambda r, c, n: 21, "first row"),
    ("2.3", violations, "right"),
    ("2.3", lambda net, n: violations(net, n, own=1), "own pixel"),
    ("2.3", lambda net, n: 1, "none"),
    ("2.3", lambda net, n: 0, "own pixel"),
    ("10.1", lambda p, shape: -p / math.log(2) / math.prod(shape), "right"),
    ("10.1", lambda p, shape: p / math.log(2) / math.prod(shape), "sign"),
    ("10.1", lambda p, shape: -p / math.prod(shape), "nats"),
    ("10.1", lambda p, shape: -p / math.log(2) / shape[1] / shape[2], "bits a pixel"),
    ("10.2", lambda d, n: d**n, "right"),
    ("10.2", lambda d, n: 1 - d**n, "after the start"),
    ("10.2", lambda d, n: (1 - d) ** n, "keeps the share"),
    ("10.2", lambda d, n: d * n, "multiply"),
    ("10.3", lambda m, x, b: sum(m.bits_per_dim(part).sum().item() for part in x.split(b)) / len(x), "right"),
    ("10.3", lambda m, x, b: sum(batch_means(m, x, b)) / len(batch_means(m, x, b)), "batches' averages"),
    ("10.3", lambda m, x, b: m.bits_per_dim(x[: max(b, len(x) // b * b)]).mean().item(), "partial batch"),
    ("10.3", lambda m, x, b: sum(batch_means(m, x, b)) / max(1, len(batch_means(m, x, b)) - 1), "starts from 0"),
    ("2.1", lambda k, kind: (k * k - 1) // 2 + 3 * (kind == "B"), "3x3 kernel of type B does not keep 7"),
    ("2.2", lambda r, c, n: 21 if r else 0, "last column"),
    ("2.2", lambda r, c, n: 2 * wedge(r, c, n), "At (8, 8) of 16 x 16 you say 42"),
    ("2.3", first_pixel_violations, "single output pixel"),
    ("2.3", violating_outputs, "Count pairs"),
    ("2.3", lambda net, n: 2 * violations(net, n), "146 such pairs, you count 292"),
    ("10.1", lambda p, shape: -p * math.log(2) / math.prod(shape), "multiply by ln 2"),
    ("10.1", lambda p, shape: 3.0, "you say 3"),
    ("10.2", lambda d, n: max(0, 1 - n * (1 - d)), "multiply"),
    ("10.2", lambda d, n: 0.3, "you say 0.3"),
    ("10.3", lambda m, x, b: 7.0, "you say 7"),
    ("2.1", lambda k: k, "TypeError"),
]


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


@pytest.mark.parametrize("exercise", ["2.1", "2.2", "2.3", "10.1", "10.2", "10.3"])
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
