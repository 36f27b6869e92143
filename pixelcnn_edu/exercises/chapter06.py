"""Chapter 6: what a strided stack reads, where a cell looks, and how to hand averages back without a leak."""

import math

import torch
import torch.nn.functional as F

from pixelcnn_edu.exercises.answers import call, number, tensor

__all__ = ["CHECKS"]


def _rows(strides, later=False, first=1):
    """Rows read by kernels of two rows; with `later` a layer's own stride counts for itself too."""
    rows, step = first, 1
    for stride in strides:
        rows += step * stride if later else step
        step *= stride
    return rows


def _rows_read(answer):
    cases = [[1, 1], [2], [2, 2], [1, 2, 1], [2, 2, 1, 1], [3, 1], [1, 1, 1, 2], []]
    got = [number(call(answer, list(case))) for case in cases]

    def answers(function):
        return got == [function(case) for case in cases]

    if answers(_rows):
        return None
    if answers(lambda case: 1 + len(case)):
        return "your answer does not depend on the strides; after a stride of 2 a step is two rows of input (section 6.1)"
    if answers(lambda case: _rows(case, later=True)):
        return "a layer's own stride does not widen what it reads; it counts for the layers that come after it"
    if answers(lambda case: _rows(case, first=0)):
        return "you count the rows that are added, but a cell without any layer is one row already"
    if answers(lambda case: _rows(case[::-1])):
        return "you go through the layers in the wrong order: the first in the list is the one next to the input"
    if answers(lambda case: 2 * _rows(case) - 1):
        return "you add two steps per layer; a kernel of two rows reaches one cell further, not two (section 6.1)"
    if answers(lambda case: 2 * math.prod(case)) or answers(lambda case: 1 + math.prod(case)):
        return "you multiply all strides; each layer adds rows, as many as lie between two of its input's cells"
    if answers(lambda case: 1 + sum(case)):
        return "you add up the strides, but a stride of 2 doubles the step of every layer after it (section 6.1)"
    wrong = next(k for k, case in enumerate(cases) if got[k] != _rows(case))
    return f"for strides {cases[wrong]} you say {got[wrong]:g}; draw the cells of each layer, and what each one reads"


def _box(i, j, halvings, back=None, clip=True):
    """Positions that a cell is made of; `back` is how many lie before the newest, `clip` keeps them inside the image."""
    step = 2**halvings
    back = step - 1 if back is None else back
    low = 0 if clip else -back
    return max(low, step * i - back), step * i, max(low, step * j - back), step * j


def _made_of_box(answer):
    cases = [(2, 3, 1), (2, 1, 2), (0, 2, 2), (1, 0, 3), (5, 5, 0)]
    got = [tuple(tensor(call(answer, *case)).flatten().tolist()) for case in cases]
    if len(got[0]) != 4:
        return f"return four numbers, top, bottom, left and right; you return {len(got[0])}"

    def answers(function):
        return got == [function(*case) for case in cases]

    if answers(_box):
        return None
    if answers(lambda i, j, h: _box(i, j, h, clip=False)):
        return "your box leaves the image: above row 0 and left of column 0 there is only padding"
    if answers(lambda i, j, h: (i * 2**h, (i + 1) * 2**h - 1, j * 2**h, (j + 1) * 2**h - 1)):
        return "these are positions that the cell is handed to; what it is made of ends where they begin (section 6.3)"
    if answers(lambda i, j, h: _box(i, j, h, back=min(h, 1))):
        return "the newest row and column are right, but you go back by one only; at the second halving a step is two rows"
    if answers(lambda i, j, h: _box(i, j, h, back=h)):
        return "the newest row and column are right, but each further halving goes back twice as far as the one before"
    if answers(lambda i, j, h: _box(i, j, h, back=2**h)):
        return (
            "the newest row and column are right, but you go back one too far: after one halving a cell is made of two rows"
        )
    if answers(lambda i, j, h: _box(i, j, min(h, 1))) or answers(lambda i, j, h: _box(i, j, 1)):
        return "that is right for one halving; the next one reads cells of the first, two rows apart (section 6.2)"
    if answers(lambda i, j, h: tuple(n + k % 2 for k, n in enumerate(_box(i, j, h)))):
        return "your box ends one past its last row and column, as a slice does; return the last ones themselves"
    if answers(lambda i, j, h: (_box(i, j, h)[0], 2**h * (i + 1) - 1, _box(i, j, h)[2], 2**h * (j + 1) - 1)):
        return "your box holds the rows that the cell is handed to as well; of these only the first is in it (section 6.3)"
    if any(answers(lambda i, j, h, o=o: tuple(_box(i, j, h)[k] for k in o)) for o in ((0, 2, 1, 3), (2, 3, 0, 1))):
        return "the numbers are right, their order is not: top, bottom, left, right"
    wrong = next(k for k, case in enumerate(cases) if got[k] != _box(*case))
    i, j, halvings = cases[wrong]
    said = ", ".join(f"{n:g}" for n in got[wrong])
    return f"for cell ({i}, {j}) after {halvings} halving(s) you say ({said}); take one halving at a time (section 6.2)"


def _means(cells, down=1, right=1):
    """Each cell in four places, then moved down and to the right; zeros enter."""
    spread = cells.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    height, width = spread.shape[2:]
    return F.pad(spread, (right, 0, down, 0))[:, :, :height, :width]


def _leak(answer, height, width):
    """An output position and a cell that reaches it before it is complete there, or None."""
    base = torch.zeros(1, 1, height, width)
    before = tensor(call(answer, base.clone()))
    for i in range(height):
        for j in range(width):
            changed = base.clone()
            changed[0, 0, i, j] = 1
            for row, column in (tensor(call(answer, changed)) != before)[0, 0].nonzero().tolist():
                if row < 2 * i + 1 or column < 2 * j + 1:
                    return (row, column), (i, j)
    return None


def _double_means(answer):
    cells = torch.arange(1.0, 2 * 3 * 3 * 4 + 1, dtype=torch.float64).view(2, 3, 3, 4)
    got = tensor(call(answer, cells.float()))
    if tuple(got.shape) != (2, 3, 6, 8):
        return f"from (2, 3, 3, 4) you make {tuple(got.shape)}; height and width should double, and nothing else"
    if torch.equal(got, _means(cells)):
        return None
    if torch.equal(got, _means(cells, 0, 0)):
        return "row 2i gets a mean with row 2i + 1 in it, and likewise for columns: each cell comes one position too early"
    if torch.equal(got, _means(cells, 1, 0)):
        return "the rows are right; but column 2j gets a mean with column 2j + 1 in it"
    if torch.equal(got, _means(cells, 0, 1)):
        return "the columns are right; but row 2i gets a mean with row 2i + 1 in it"
    if torch.equal(got, _means(cells, 0, 0).roll((1, 1), (2, 3))):
        return "you roll, so the last row comes in at the top and the last column at the left; there must be 0 (chapter 2)"
    if torch.equal(got, cells.repeat(1, 1, 2, 2)):
        return "you lay the whole grid out four times; each cell belongs into four places side by side (section 6.2)"
    leak = _leak(answer, 3, 4)
    if leak is not None:
        (row, column), (i, j) = leak
        return f"position ({row}, {column}) hears from cell ({i}, {j}), which holds something later than it (section 6.3)"
    if torch.equal(got, _means(cells, 2, 2)):
        return "nothing leaks, but every position waits too long: cell (0, 0) is complete at (1, 1) already"
    if not torch.isin(got, torch.cat([cells.flatten(), torch.zeros(1)])).all():
        return "your positions hold numbers that are no cell's value; the means are handed on as they are, or 0"
    row, column = (got != _means(cells))[0, 0].nonzero()[0].tolist() if (got != _means(cells))[0, 0].any() else (0, 0)
    return f"nothing leaks, but position ({row}, {column}) does not get the newest cell that is complete there"


CHECKS = {"6.1": _rows_read, "6.2": _made_of_box, "6.3": _double_means}
