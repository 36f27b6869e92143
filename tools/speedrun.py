"""Check an entry of the speedrun, score it on the test set once, and make the table of its page.

    .venv/bin/python tools/speedrun.py check FOLDER     # the folder of a run that `fit` recorded
    .venv/bin/python tools/speedrun.py page             # writes the table of book/runs/speedrun.md

`check` reads the record, compares it with the rules, and tests that the model is exact: changing a
value changes no probability of an earlier one, and the probabilities of all values of a sub-pixel sum
to one. Where all of it holds, the test set is scored, `entry.json` is written into the folder, and the
line for the table is printed. A folder that has an `entry.json` is not scored again.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from pixelcnn_edu import build, load_images, load_model
from pixelcnn_edu.ablations import SCORES
from pixelcnn_edu.blocks import in_mode, seeded
from pixelcnn_edu.parallel import process_device
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import read_run

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "runs" / "speedrun.md"
SHIPPED = ROOT / "book" / "runs" / "cifar10-small"
ENTRIES = ROOT / "book" / "runs" / "speedrun"
ENTRY = "entry.json"

VALIDATION = 5000  # the last of the 50,000 training images
# The first 45,000 training images of CIFAR-10, as `fit` records them.
TRAIN = {"images": 45_000, "sha256_of_some": "517718ae86c54302"}
SECONDS = 2 * 60 * 60
PFLOP = 2.0  # or this much arithmetic, on any machine and for as long as it takes
SAME_SCORE = 0.005  # bits/dim between the recorded validation score and the one computed here
HEAD = (
    "| entry | network | machine | minutes | PFLOP | images | validation | test | departs from the rules |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


class NotExact(ValueError):
    """The model's numbers are not the probabilities of an autoregressive model."""


def training_flop(config):
    """Floating-point operations of training per image, forward and backward, a multiply-add as two."""
    model = build(dataclasses.replace(config, dropout=0.0))
    images = torch.zeros(1, *config.image_shape, dtype=torch.uint8)
    labels = torch.zeros(1, dtype=torch.long) if config.classes else None
    with FlopCounterMode(display=False) as counter:
        model.bits_per_dim(images, labels).mean().backward()
    return counter.get_total_flops()


def facts(folder):
    """What the record of a run says: a dict of plain values, as the table shows them."""
    run = read_run(folder)
    last = {column: values[-1].item() for column, values in run.metrics.items()}
    images = int(last["images"])
    return {
        "entry": Path(folder).resolve().name,
        "network": f"{run.config.filters} filters, {run.config.blocks} block(s)",
        "machine": run.environment["machine"],
        "threads": run.environment["threads"],
        "minutes": last["seconds"] / 60,
        "petaflop": images * training_flop(run.config) / 1e15,
        "images": images,
        "validation_bits_per_dim": last["validation_bits_per_dim"],
        "validation_images": int(last["validation_images"]),
    }


def departures(folder):
    """Where the record of a run departs from the rules: a list of reasons, empty for none."""
    run, found, reasons = read_run(folder), facts(folder), []
    if not run.environment["finished"]:
        reasons.append("the run is not finished")
    if run.data != TRAIN:
        count = f"{run.data['images']:,}" if run.data else "unknown"
        reasons.append(f"trained on {count} images, not on the first {TRAIN['images']:,}")
    if "test_images" in run.training:
        reasons.append("its interim scores are those of test images")
    elif found["validation_images"] != VALIDATION:
        reasons.append(f"validated on {found['validation_images']:,} images at the end, not on {VALIDATION:,}")
    on_gpu = not found["machine"].endswith(" cores")
    by_clock = found["minutes"] * 60 <= SECONDS and (on_gpu or found["threads"] == 1)
    if not (by_clock or found["petaflop"] <= PFLOP):
        where = "one GPU" if on_gpu else f"{found['threads']} thread(s)"
        reasons.append(
            f"{found['minutes']:.0f} minutes on {where} and {found['petaflop']:.2f} PFLOP: more than both budgets"
        )
    return reasons


@torch.no_grad()
def check_exactness(model, image, places, label=None, chunk=64):
    """Raise NotExact unless the model is an exact autoregressive model at some places of an image.

    At each place the sub-pixel takes every value. Earlier sub-pixels, in raster order with the colours
    of a pixel in their order, must keep their probabilities; those of the values themselves must sum to
    one. The sub-pixels' log-probabilities must add up to the image's.

    Args:
        model: answers `log_prob(images, labels, per_channel=...)`, has a `config`, and is in float64.
        image: integers (C, H, W).
        places: triples (channel, row, column).
        label: the image's class, for a model with classes.
        chunk: images that are scored at once.
    """
    levels, device = model.config.levels, next(model.parameters()).device
    channels, _, width = image.shape

    def log_prob(images, per_channel):
        labels = None if label is None else torch.full((len(images),), label, device=device)
        with in_mode(model, training=False), seeded(0, device):
            return model.log_prob(images, labels, per_channel=per_channel)

    for channel, row, column in places:
        variants = image.to(device).repeat(levels, 1, 1, 1)  # (C, H, W) -> (levels, C, H, W)
        variants[:, channel, row, column] = torch.arange(levels, device=device)
        parts = torch.cat([log_prob(some, True) for some in variants.split(chunk)])
        whole = log_prob(variants[:chunk], False)  # (chunk,)
        if not torch.allclose(parts[:chunk].sum(dim=(1, 2, 3)), whole, rtol=1e-9):
            raise NotExact("the sub-pixels' log-probabilities do not add up to the image's")
        order = parts.permute(0, 2, 3, 1).flatten(1)  # (levels, C, H, W) -> (levels, H * W * C)
        place = (row * width + column) * channels + channel
        where = f"channel {channel} of pixel ({row}, {column})"
        change = (order[:, :place] - order[:1, :place]).abs().amax().item() if place else 0.0
        if not change < 1e-9:
            raise NotExact(f"{where} changes an earlier sub-pixel's log-probability by {change:.3g}")
        total = order[:, place].exp().sum().item()
        if not abs(total - 1) < 1e-6:
            raise NotExact(f"the probabilities of all values of {where} sum to {total:.6f}, not 1")


def some_places(folder, shape, count=3):
    """All colours of a few pixels, which depend on the weights, so that nobody chooses them."""
    digest = hashlib.sha256((Path(folder) / "weights.safetensors").read_bytes()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
    channels, height, width = shape
    pixels = torch.randperm(height * width, generator=generator)[:count].tolist()
    return [(channel, pixel // width, pixel % width) for pixel in pixels for channel in range(channels)]


def verify(folder, validation, labels=None, device="cpu"):
    """Check the record and the model of a run; return what the record says, with `departures`.

    Raises NotExact for a model that is not exact, and ValueError where the validation images (N, C, H, W) do
    not get the score of the record.
    """
    found = {**facts(folder), "departures": departures(folder)}
    model = load_model(folder).to(device)
    labels = labels if model.config.classes else None
    bits = bits_per_image(model, validation, labels).mean().item()
    if not abs(bits - found["validation_bits_per_dim"]) <= SAME_SCORE:
        raise ValueError(
            f"{folder} records {found['validation_bits_per_dim']:.4f} bits/dim on validation images, and its "
            f"weights give {bits:.4f}"
        )
    found["validation_bits_per_dim"] = bits
    places = some_places(folder, model.config.image_shape)
    label = None if labels is None else int(labels[0])
    check_exactness(model.double(), validation[0], places, label)
    return found


def score(folder, test, labels=None, device="cpu"):
    """Bits/dim of the test images (N, C, H, W), and its standard error over images: a dict."""
    model = load_model(folder).to(device)
    bits = bits_per_image(model, test, labels if model.config.classes else None)
    error = bits.std().item() / math.sqrt(len(bits))
    return {
        "test_bits_per_dim": bits.mean().item(),
        "standard_error": error,
        "test_images": len(bits),
    }


def check(folder):
    """Verify and score an entry; return its row of the table. Raises ValueError where it is none."""
    folder = Path(folder).expanduser()
    if (folder / ENTRY).exists():
        raise ValueError(f"{folder / ENTRY} is there: the test set was scored, and is scored once")
    device = process_device()
    images, labels = load_images("cifar10", "train")
    found = verify(folder, images[-VALIDATION:], labels[-VALIDATION:], device)
    if found["departures"]:
        reasons = "; ".join(found["departures"])
        raise ValueError(f"{folder} departs from the rules: {reasons}. The test set was not scored")
    entry = {**found, **score(folder, *load_images("cifar10", "test"), device)}
    write_entry(folder, entry)
    return line(entry)


def write_entry(folder, entry):
    """Write down what was found and scored."""
    (Path(folder) / ENTRY).write_text(json.dumps(entry, indent=2) + "\n")


def line(entry):
    """An entry's row of the table."""
    validation, test = entry["validation_bits_per_dim"], entry["test_bits_per_dim"]
    machine = entry["machine"]
    if machine.endswith(" cores"):
        machine += f", {entry['threads']} used"
    cells = [
        entry["entry"],
        entry["network"],
        machine,
        f"{entry['minutes']:.0f}",
        f"{entry['petaflop']:.2f}",
        f"{entry['images']:,}",
        "none" if validation is None else f"{validation:.4f}",
        f"{test:.4f}",
        "; ".join(entry["departures"]) or "no",
    ]
    return f"| {' | '.join(cells)} |\n"


def shipped(folder=SHIPPED):
    """The shipped run as the first entry, from its record alone."""
    if (folder / ENTRY).exists():
        return json.loads((folder / ENTRY).read_text())
    found = {**facts(folder), "departures": departures(folder)}
    if (folder / SCORES).exists():
        return {
            **found,
            "test_bits_per_dim": np.load(folder / SCORES).astype(np.float64).mean().item(),
        }
    if "test_images" in read_run(folder).training:  # the first edition's record has no other score
        test = found["validation_bits_per_dim"]
        return {**found, "test_bits_per_dim": test, "validation_bits_per_dim": None}
    raise ValueError(f"{folder} has no test score; run: tools/speedrun.py check {folder}")


def table():
    """The table of all entries, the shipped run first, then by test score."""
    entries = [json.loads(path.read_text()) for path in sorted(ENTRIES.glob(f"*/{ENTRY}"))]
    entries.sort(key=lambda entry: entry["test_bits_per_dim"])
    return HEAD + "".join(map(line, [shipped(), *entries]))


def page(text):
    """The page with its table made anew; the table is all that stands between the two marks."""
    before, rest = text.split("<!-- table -->\n")
    _, after = rest.split("<!-- end of table -->\n")
    return f"{before}<!-- table -->\n{table()}<!-- end of table -->\n{after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="verify and score an entry").add_argument("folder", type=Path)
    commands.add_parser("page", help="make the table of book/runs/speedrun.md anew")
    options = parser.parse_args()
    if options.command == "page":
        PAGE.write_text(page(PAGE.read_text()))
        return
    try:
        print(check(options.folder), end="")
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
