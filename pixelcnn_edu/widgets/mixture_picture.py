"""The mixture playground's two pictures, all levels and those around the cursor: as bars, or as logarithms."""

import math

import torch

from pixelcnn_edu.widgets.mixtures import LEVELS, bin_densities, log2_probabilities, log2_released

__all__ = ["FRAME", "draw", "scene"]

FRAME = {  # the script has it too; lengths in units of the drawing
    "left": 42,
    "right": 334,
    "top": 22,
    "bottom": 230,
    "logBottom": 142,  # with logarithms, the lower part shows the difference of the two formulas
    "gapTop": 172,
    "beyond": 24.5,  # grey levels shown below 0 and above 255
    "reach": 6.5,  # grey levels shown on either side of the cursor
    "outward": {"all": 8, "near": 1},  # grey levels by which the bar of an open bin is drawn wider
    "inset": {"all": 0, "near": 0.08},  # grey levels left free at either side of a bar
    "even": 120,  # steps of a curve across the picture
    "around": 24,  # more points of it on either side of each mean, a quarter of a scale apart
    "ticks": {"all": [0, 64, 128, 192, 255], "near": [-6, -3, 0, 3, 6]},  # levels; in "near" counted from the cursor
}
MIDDLE = (LEVELS - 1) / 2
BARS = ("bars", "edges", "here", "density", "component1", "component2", "component3")
LOGS = ("gap", "released", "exact")


def scene(components, level):
    """What a change moves: path data by part, text by place, and where the components' numbers stand, (x, y) each."""
    exact, released = log2_probabilities(components), log2_released(components)
    gap, exact, released = (exact - released).tolist(), exact.tolist(), released.tolist()
    gap_top = nice(max(*gap, 0.1))
    paths, texts, labels = {}, {"gap-top": tick(gap_top)}, []
    for panel in (WHOLE, Panel("near", level, FRAME["reach"])):
        highest = max(
            bin_densities(components, panel.places(components)).max().item(), *(2 ** exact[v] for v in panel.levels)
        )
        top, depth = nice(max(highest, 0.001)), nice(max(1.0, *(-released[v] for v in panel.levels)))
        bars = {v: panel.bar(v, 2 ** exact[v] / top) for v in panel.levels}
        parts = {
            "bars": "".join(bar for v, bar in bars.items() if 0 < v < LEVELS - 1),
            "edges": bars.get(0, "") + bars.get(LEVELS - 1, ""),
            "here": bars[level],
            "density": panel.curve(components, 1 / top),
            "component1": "",
            "component2": "",
            "component3": "",
            "exact": panel.line([1 + bits / depth for bits in exact], FRAME["top"], FRAME["logBottom"]),
            "released": panel.line([1 + bits / depth for bits in released], FRAME["top"], FRAME["logBottom"]),
            "gap": panel.line([bits / gap_top for bits in gap], FRAME["gapTop"], FRAME["bottom"]),
            "cursor": f"M{panel.px(level):.1f} {FRAME['top']}V{FRAME['bottom']}l-4 7h8l-4-7",
        }
        for n, own in enumerate(components, 1):
            factor = own[2] / sum(weight for *_, weight in components) / top
            parts[f"component{n}"] = panel.curve([own], factor)
            if panel is WHOLE:
                peak = factor * bin_densities([own], torch.tensor([own[0]], dtype=torch.double)).item()
                labels.append((panel.px(own[0]), _y(peak) - 6))
        marks = [v + (level if panel.name == "near" else 0) for v in FRAME["ticks"][panel.name]]
        words = {"top": tick(top), "half-top": tick(top / 2), "depth": tick(-depth), "half-depth": tick(-depth / 2)}
        words |= {f"x{i}": str(v) if 0 <= v < LEVELS else "" for i, v in enumerate(marks)}
        paths |= {f"{panel.name}-{part}": data for part, data in parts.items()}
        texts |= {f"{panel.name}-{place}": text for place, text in words.items()}
    return paths, texts, labels


class Panel:
    """One of the two pictures: which levels it shows, and where."""

    def __init__(self, name, middle, reach):
        self.name, self.low, self.high = name, middle - reach, middle + reach
        self.levels = [v for v in range(LEVELS) if self.low < v < self.high]

    def px(self, place):
        """From grey levels to the drawing, kept inside the picture."""
        share = min(max((place - self.low) / (self.high - self.low), 0), 1)
        return FRAME["left"] + share * (FRAME["right"] - FRAME["left"])

    def places(self, components):
        """Where a curve is computed, in grey levels: evenly, and densely around each mean."""
        even = torch.linspace(self.low, self.high, FRAME["even"] + 1, dtype=torch.double)
        steps = torch.arange(-FRAME["around"], FRAME["around"] + 1, dtype=torch.double) / 4
        around = [mean + steps * math.exp(log_scale) * MIDDLE for mean, log_scale, _ in components]
        places = torch.cat([even, *around]).sort().values
        return places[(places >= self.low) & (places <= self.high)]

    def curve(self, components, factor):
        """The curve of some components: path data."""
        places = self.places(components)
        heights = (factor * bin_densities(components, places)).tolist()
        return "M" + " ".join(f"{self.px(place):.1f} {_y(height):.1f}" for place, height in zip(places.tolist(), heights))

    def bar(self, v, share):
        """A level's bar; at the ends, where the bin is open, it is drawn wider: path data."""
        inset, outward = FRAME["inset"][self.name], FRAME["outward"][self.name]
        left, right = v - 0.5 + inset - outward * (v == 0), v + 0.5 - inset + outward * (v == LEVELS - 1)
        bottom = FRAME["bottom"]
        return f"M{self.px(left):.1f} {bottom}V{_y(share):.1f}H{self.px(right):.1f}V{bottom}"

    def line(self, shares, top, bottom):
        """A point for each level shown, at a share of the height between bottom and top: path data."""
        return "M" + " ".join(f"{self.px(v):.1f} {_y(shares[v], top, bottom):.1f}" for v in self.levels)


WHOLE = Panel("all", MIDDLE, MIDDLE + FRAME["beyond"])


def _y(share, top=FRAME["top"], bottom=FRAME["bottom"]):
    return bottom - share * (bottom - top)


def nice(value):
    """The smallest of 1, 2, 3, 5, 8 times a power of ten that is not below the value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 3, 5, 8, 10) if step * power >= value)


def tick(value):
    """A number beside an axis."""
    return f"{value:.6g}"


def draw(components, level):
    """Both pictures as SVG; what moves carries `data-part`, `data-text` or `data-label`."""
    paths, texts, labels = scene(components, level)
    left, top, bottom, log_bottom, gap_top = (FRAME[name] for name in ("left", "top", "bottom", "logBottom", "gapTop"))

    def rule(y, key=None):
        words = f' data-text="{key}">{texts[key]}' if key else ">0"
        grid = f'<path class="mix-grid" d="M{left} {y}H{FRAME["right"]}"/>'
        return f'{grid}<text class="mix-y" x="{left - 4}" y="{y + 4}"{words}</text>'

    def title(y, words):
        return f'<text x="{left}" y="{y - 8}">{words}</text>'

    def parts(panel, names):
        each = ((name, f"{panel}-{name}") for name in names)
        return "".join(f'<path class="mix-{name}" data-part="{key}" d="{paths[key]}"/>' for name, key in each)

    def figure(panel, heading, role, numbers=""):
        bars = rule(top, f"{panel}-top") + rule((top + bottom) / 2, f"{panel}-half-top") + rule(bottom)
        bars += parts(panel, BARS) + title(top, "probability") + numbers
        logs = rule(top) + rule((top + log_bottom) / 2, f"{panel}-half-depth") + rule(log_bottom, f"{panel}-depth")
        logs += rule(gap_top, "gap-top") + rule(bottom) + parts(panel, LOGS)
        logs += title(top, "log2 probability") + title(gap_top, "exact minus released, in bits")
        at = WHOLE if panel == "all" else Panel("near", 0, FRAME["reach"])
        keys = ((f"{panel}-x{i}", at.px(v)) for i, v in enumerate(FRAME["ticks"][panel]))
        marks = (
            f'<text class="mix-x" x="{x:.1f}" y="{bottom + 21}" data-text="{key}">{texts[key]}</text>' for key, x in keys
        )
        return (
            f'<figure><figcaption>{heading}</figcaption><svg class="mix-{panel}" viewBox="0 0 340 256" {role}>'
            f'{DEFS}{parts(panel, ["cursor"])}<g data-in="bars">{bars}</g><g data-in="log">{logs}</g>{"".join(marks)}</svg>'
            "</figure>"
        )

    numbers = "".join(
        f'<text class="mix-x" data-label="{n}" x="{x:.1f}" y="{y:.1f}">{n if x else ""}</text>'
        for n, (x, y) in enumerate((*labels, *[(0, 0)] * (3 - len(labels))), 1)
    )
    arrows = (
        'tabindex="0" role="application" aria-label="All levels. The arrow keys move the cursor; words below say the rest."'
    )
    enlarged = 'role="img" aria-label="The levels around the cursor, enlarged."'
    both = figure("all", "all levels", arrows, numbers) + figure("near", "around the cursor", enlarged)
    return f'<div class="mix-panels">{both}</div>'


def legend():
    """What the looks of the pictures mean, for bars and for logarithms."""
    box, line = "M1 13V1H29V13Z", "M0 7H15H30"
    looks = {
        "bars": {
            "probability of a level": {"bars": box},
            "levels 0 and 255, the open bins": {"edges": box},
            "density times the width of a bin": {"density": line},
            "components": {"component1": "M0 2H30", "component2": "M0 7H30", "component3": "M0 12H30"},
        },
        "log": {
            "exact form": {"exact": line},
            "released formula": {"released": line},
            "the first minus the second": {"gap": line},
        },
    }
    html = ""
    for view, items in looks.items():
        html += f'<div class="mix-legend" data-in="{view}">'
        for words, shapes in items.items():
            drawn = "".join(f'<path class="mix-{look}" d="{d}"/>' for look, d in shapes.items())
            html += f'<span><svg viewBox="0 0 30 14" aria-hidden="true">{drawn}</svg>{words}</span>'
        html += "</div>"
    return html


DEFS = (
    '<defs><pattern id="mix-hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="5" height="5" fill="#a35200"/><rect width="2" height="5" fill="#fbfbf9"/></pattern>'
    '<marker id="mix-dot" viewBox="-4 -4 8 8" markerUnits="userSpaceOnUse" markerWidth="8" markerHeight="8">'
    '<circle r="3" fill="#0067a5"/></marker>'
    '<marker id="mix-square" viewBox="-6 -6 12 12" markerUnits="userSpaceOnUse" markerWidth="12" markerHeight="12">'
    '<rect x="-5" y="-5" width="10" height="10" fill="none" stroke="#a35200" stroke-width="1.5"/></marker>'
    '<marker id="mix-diamond" viewBox="-5 -5 10 10" markerUnits="userSpaceOnUse" markerWidth="10" markerHeight="10">'
    '<polygon points="0,-4 4,0 0,4 -4,0" fill="#b3261e"/></marker></defs>'
)
