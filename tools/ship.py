"""Take a finished run into the book under a name, and its weights into the package, from where `load_pretrained` takes them.

usage: ship.py RUN NAME

The record goes to `book/runs/NAME`, the weights to `pixelcnn_edu/pretrained/NAME.safetensors` and their checksum to
`SHA256SUMS` beside them. `card.md` of the record says in words what the weights are; it is made from the record alone.
"""

import hashlib
import shutil
import sys
from pathlib import Path

from pixelcnn_edu.runs import read_run

ROOT = Path(__file__).resolve().parent.parent
RECORD = ("config.json", "environment.json", "metrics.csv", "samples.png")
LARGEST = 8_000_000  # bytes of weights
CIFAR10 = {"images": 50_000, "sha256_of_some": "251d12b305a2bbcb"}  # its training images, as `fit` records them
NETWORKS = {"pixelcnn++": "PixelCNN++", "pixelcnn": "PixelCNN"}
CARD = """# {name}

A {network} trained on {data}, with weights averaged over the run: `pixelcnn_edu.load_pretrained("{name}")`.

| | |
|---|---|
| test bits/dim | {bits:.4f} on all {test_images:,} test images |
| data | {data}: {images_there:,} training images, without augmentation |
| budget | {steps:,} steps of {batch_size} images, {images:,} in all; {hours:.1f} hours |
| trained on | {machine}, {threads} thread(s), PyTorch {torch} |
| started, ended | {started}, {ended} |
| seed | {seed} |
| model | {model} |
| training | {training} |
| weights | {parameters:,} numbers in {bytes:,} bytes of safetensors, SHA-256 {digest} |
| licence | MIT, as the code; the training images are not part of it |

It is small and was trained briefly: its pictures have colours and textures of photographs and hardly a thing in them.
Made for the book's chapters; a likelihood from it says nothing about who or what is in a picture.
"""


def card(name, folder, weights):
    """The text of the card of the record in `folder` and its file of weights."""
    run = read_run(folder)
    last = {column: values[-1] for column, values in run.metrics.items()}
    content = weights.read_bytes()
    training = {key: value for key, value in run.training.items() if key not in ("steps", "batch_size", "seed")}
    return CARD.format(
        name=name,
        network=NETWORKS[run.config.architecture],
        data="CIFAR-10" if CIFAR10.items() <= run.data.items() else "other images",
        images_there=run.data["images"],
        bits=last["validation_bits_per_dim"],
        test_images=int(last["validation_images"]),
        steps=int(last["step"]),
        batch_size=run.training["batch_size"],
        images=int(last["images"]),
        hours=last["seconds"] / 3600,
        model=_listed(run.config.to_dict()),
        training=_listed(training),
        parameters=(len(content) - 8 - int.from_bytes(content[:8], "little")) // 4,  # after the header, 4 bytes each
        bytes=len(content),
        digest=hashlib.sha256(content).hexdigest(),
        **{key: run.environment[key] for key in ("machine", "threads", "torch", "started", "ended", "seed")},
    )


def _listed(settings):
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def ship(run, name, root=ROOT):
    """Copy the run in. Raises ValueError where it is not finished, or its weights are too large to carry about."""
    if not read_run(run).environment["finished"]:
        raise ValueError(f"{run} is not finished")
    if (run / "weights.safetensors").stat().st_size > LARGEST:
        raise ValueError(f"the weights of {run} have more than {LARGEST:,} bytes")
    folder, weights = root / "book" / "runs" / name, root / "pixelcnn_edu" / "pretrained" / f"{name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    weights.parent.mkdir(parents=True, exist_ok=True)
    for file in RECORD:
        shutil.copyfile(run / file, folder / file)
    shutil.copyfile(run / "weights.safetensors", weights)
    (folder / "card.md").write_text(card(name, folder, weights))
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" for file in weights.parent.glob("*.safetensors")]
    (weights.parent / "SHA256SUMS").write_text("\n".join(sorted(sums, key=lambda line: line.split()[1])) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ship(Path(sys.argv[1]), sys.argv[2])
