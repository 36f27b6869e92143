"""The curves of the ladder of ablations: read from recorded runs, laid out as a chart, and put into words."""

import csv
import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pixelcnn_edu.models import build
from pixelcnn_edu.runs import COLUMNS, read_run

AXES = {"images seen": "images", "seconds": "seconds"}  # what the reader sees, and the column of metrics.csv
UNITS = {"images seen": 1000, "seconds": 1}
MEASURES = {"held-out images": "validation_bits_per_dim", "training images": "train_bits_per_dim"}
RANGES = ("all values", "near the last values")
OWN = "your run"

WIDTH, RIGHT, HEIGHT = 1000, 945, 300  # of the drawing, of the plot inside it; heights are pixels, widths stretch
LINE = 13  # pixels between two labels
TICKS = {"x": 6, "y": 9}  # at most
STEPS = [(float(f"{m}e{e}"), max(0, -e)) for e in range(-4, 7) for m in (1, 2, 5)]  # between ticks, with their decimals


@dataclass(frozen=True)
class Curve:
    """A recorded run: its name, `metrics` as a dict of arrays, its number of parameters, whether it is finished.

    The last two are None where no file says so.
    """

    name: str
    metrics: dict
    parameters: int | None
    finished: bool | None

    @property
    def final(self):
        """Whether the last record is on all held-out images: that of a finished run, or, where no file says so, on more."""
        tested = self.metrics["validation_images"]
        return bool(self.finished) or bool(self.finished is None and tested[-1] > tested[0])

    def points(self, axis, measure):
        """What was recorded, in order: (place on the axis, bits/dim, the images that were measured, in words)."""
        x = np.rint(self.metrics[AXES[axis]]).clip(1).astype(int)  # a run of less than a second still has an axis
        y = self.metrics[MEASURES[measure]]
        on = [measure] * len(x)
        if measure == "held-out images":
            on = [f"the first {count:,.0f} held-out images" for count in self.metrics["validation_images"]]
            if self.final:
                on[-1] = f"all {self.metrics['validation_images'][-1]:,.0f} held-out images"
        return [(int(a), float(b), images) for a, b, images in zip(x, y, on) if math.isfinite(b)]

    def last(self):
        """The last test bits/dim and the number of images, where that is all of them; else None."""
        if not self.final or not math.isfinite(self.metrics["validation_bits_per_dim"][-1]):
            return None
        return self.metrics["validation_bits_per_dim"][-1], int(self.metrics["validation_images"][-1])


@dataclass(frozen=True)
class View:
    """What the reader chose: the curves shown (a bool each), the axes, and the place of the cursor."""

    shown: tuple
    measure: str = "held-out images"
    axis: str = "images seen"
    range: str = RANGES[0]
    cursor: float = math.inf


def read_ladder(folder):
    """All runs in `folder` that have recorded something, `full` first. Raises FileNotFoundError where there is none."""
    folders = sorted(Path(folder).glob("*/metrics.csv"), key=lambda path: (path.parent.name != "full", path.parent.name))
    curves = [_curve(path.parent.name, read_run(path.parent)) for path in folders if _has_records(path)]
    if not curves:
        raise FileNotFoundError(f"there is no recorded run in {folder}; it should hold a folder for each")
    return curves


def read_own(path):
    """The reader's run from its folder or its metrics.csv. Raises FileNotFoundError or ValueError where it holds none."""
    path = Path(path)
    table = path if path.is_file() else path / "metrics.csv"
    if not _has_records(table):
        raise ValueError(f"{table} holds no record yet; fit writes the first after record_every steps")
    if path.is_dir():
        return _curve(OWN, read_run(path))
    with table.open() as file:
        rows = list(csv.DictReader(file))
    if missing := set(COLUMNS) - set(rows[0]):
        raise ValueError(f"{table} is no metrics.csv of fit: it has no column {', '.join(sorted(missing))}")
    return Curve(OWN, {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS}, None, None)


def _has_records(table):
    return len(table.read_text().splitlines()) > 1


def _curve(name, run):
    return Curve(name, run.metrics, parameter_count(run.config), run.environment["finished"])


@functools.cache
def parameter_count(config):
    """How many numbers the network of a configuration learns; nothing is allocated for it."""
    with torch.device("meta"):
        return sum(weights.numel() for weights in build(config).parameters())


def measured(curves, view):
    """The points of every curve, and the lists that set the axes: those shown, or all where none is."""
    lists = [curve.points(view.axis, view.measure) for curve in curves]
    scaled = [points for points, shown in zip(lists, view.shown) if shown and points] or list(filter(None, lists))
    return lists, scaled or [[(0, 0.0, ""), (1, 1.0, "")]]


def stops(curves, view):
    """Where the cursor can stand: wherever one of the curves shown has a record."""
    return sorted({x for points in measured(curves, view)[1] for x, _, _ in points})


def standing(places, cursor):
    """The index of the last stop up to the cursor, the first where there is none."""
    return max(0, sum(x <= cursor for x in places) - 1)


def limits(scaled, zoomed):
    """The lowest and the highest bits/dim of the vertical axis."""
    values = [y for points in scaled for _, y, _ in (points[-1:] if zoomed else points)]
    low, high = min(values), max(values)
    span = max(high - low, 0.1)
    return (low - 0.15 * span, high + span) if zoomed else (low - 0.05 * span, high + 0.05 * span)


def tick_marks(low, high, most):
    """At most so many round numbers between two values, and how many decimals they need."""
    step, decimals = next(pair for pair in STEPS if high - low <= (most - 1) * pair[0])
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)], decimals


def spread(wanted):
    """Heights as near to the wanted ones as can be, at least `LINE` apart, inside the drawing.

    Labels that would overlap form a block around the middle of their wishes, and blocks that touch are joined.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks = []  # [the sum of wishes, less a line for each label above; the number of labels]
    for rank, i in enumerate(order):
        blocks.append([wanted[i] - rank * LINE, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count]
    starts = [total / count for total, count in blocks for _ in range(count)]
    top, bottom = LINE / 2, HEIGHT - LINE / 2 - LINE * (len(wanted) - 1)
    placed = [0.0] * len(wanted)
    for rank, i in enumerate(order):
        placed[i] = min(max(starts[rank], top), bottom) + rank * LINE
    return placed


def words(curves, lists, view, place):
    """The values at a place in words: the last record of each curve shown, the lowest first."""
    found, missing = {}, []
    for curve, points, shown in zip(curves, lists, view.shown):
        past = [point for point in points if point[0] <= place]
        if shown and past:
            found.setdefault(past[-1][2], []).append((past[-1][1], curve.name))
        elif shown:
            missing.append(curve.name)
    if not any(view.shown):
        return "No rung is shown: tick one."
    text = f"At {place:,} {view.axis}, the last bits/dim recorded so far, the lowest first."
    for on in sorted(found):
        text += f" On {on}: {', '.join(f'{name} {y:.4f}' for y, name in sorted(found[on], key=lambda pair: pair[0]))}."
    return text + (f" Nothing recorded yet: {', '.join(missing)}." if missing else "")


def layout(curves, view):
    """The drawing's parts as text, one dict: what `ladder_explorer.js` computes as well."""
    lists, scaled = measured(curves, view)
    low, high = limits(scaled, view.range == RANGES[1])
    places = stops(curves, view)
    place = places[standing(places, view.cursor)]

    def px(x):
        return _tenths(RIGHT * x / places[-1])

    def py(y):
        return _tenths(HEIGHT * (high - y) / (high - low))

    ends = [i for i, points in enumerate(lists) if view.shown[i] and points]
    tops = dict(zip(ends, spread([HEIGHT * (high - lists[i][-1][1]) / (high - low) for i in ends])))
    parts = []
    for i, points in enumerate(lists):
        if i not in tops:
            parts.append({"leader": "", "line": "", "at": "", "end": "", "top": None})
            continue
        (x, y, _), past = points[-1], [point for point in points if point[0] <= place]
        parts.append(
            {
                "leader": f"M{px(x)} {py(y)}H{RIGHT + 4}L{WIDTH} {_tenths(tops[i])}",
                "line": "M" + "L".join(f"{px(a)} {py(b)}" for a, b, _ in points),
                "at": f"M{px(past[-1][0])} {py(past[-1][1])}h0" if past else "",
                "end": f"M{px(x)} {py(y)}h0" if curves[i].final and view.measure == "held-out images" else "",
                "top": _tenths(tops[i]),
            }
        )
    unit = UNITS[view.axis]
    x_ticks, x_decimals = tick_marks(0, places[-1] / unit, TICKS["x"])
    y_ticks, y_decimals = tick_marks(low, high, TICKS["y"])
    grid = "".join(f"M0 {py(y)}H{RIGHT}" for y in y_ticks)
    return {
        "curves": parts,
        "x": [(_tenths(RIGHT / WIDTH * 100 * x * unit / places[-1]), f"{x:.{x_decimals}f}") for x in x_ticks],
        "y": [(py(y), f"{y:.{y_decimals}f}") for y in y_ticks],
        "grid": grid + "".join(f"M{px(x * unit)} {HEIGHT}v-5" for x in x_ticks) + f"M0 0V{HEIGHT}H{RIGHT}",
        "cursor": f"M{px(place)} 0V{HEIGHT}",
        "words": words(curves, lists, view, place),
    }


def _tenths(value):
    return f"{math.floor(10 * value + 0.5) / 10:g}"  # halves upwards, as the script's Math.round does


def data(curves):
    """All that the page's script needs, for JSON."""
    kinds = sorted({on for c in curves for measure in MEASURES for *_, on in c.points("seconds", measure)})
    runs = [
        {
            "name": curve.name,
            "final": curve.final,
            "points": {a: {m: [(x, y, kinds.index(on)) for x, y, on in curve.points(a, m)] for m in MEASURES} for a in AXES},
        }
        for curve in curves
    ]
    frame = {"width": WIDTH, "right": RIGHT, "height": HEIGHT, "line": LINE, "ticks": TICKS, "steps": STEPS, "units": UNITS}
    return {**frame, "kinds": kinds, "runs": runs, "zoom": RANGES[1], "marked": next(iter(MEASURES))}
