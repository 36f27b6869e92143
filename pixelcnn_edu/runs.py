"""Recorded runs: a folder that holds what was trained, how, where, and how well; written by `fit`, read by the chapters."""

import csv
import datetime
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import torch
from safetensors.torch import save_file

from pixelcnn_edu.config import Config
from pixelcnn_edu.data import to_bytes, to_model

__all__ = ["Run", "RunFolder", "image_grid", "read_run"]

COLUMNS = ("step", "seconds", "images", "train_bits_per_dim", "test_bits_per_dim", "test_images")


@dataclass(frozen=True)
class Run:
    """A recorded run: `config` of the model, `training` and `environment` as dicts, `metrics` as a dict of arrays."""

    config: Config
    training: dict
    environment: dict
    metrics: dict


def read_run(folder):
    """Read a recorded run from its folder. Raises FileNotFoundError where a file of it is missing."""
    folder = Path(folder)
    settings = json.loads((folder / "config.json").read_text())
    environment = json.loads((folder / "environment.json").read_text())
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    metrics = {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS}
    return Run(Config(**settings["model"]), settings["training"], environment, metrics)


class RunFolder:
    """Writes a run to `path` as it goes; every file is either the old one or the new one, never half of it.

    Raises OSError where the folder cannot be written, and ValueError where it holds a run of another configuration.
    """

    def __init__(self, path, config, training):
        self.path = Path(path)
        self.settings = {"model": config.to_dict(), "training": asdict(training)}
        self.environment = _environment(training.seed)
        self.checkpoint = self._read_checkpoint()  # a dict, None where the folder holds none
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._write("config.json", json.dumps(self.settings, indent=2) + "\n")
        except OSError as error:
            raise OSError(f"cannot write to the output folder {self.path}: {error}; choose another with out=") from error

    def _read_checkpoint(self):
        path = self.path / "checkpoint.pt"
        if not path.exists():
            if (self.path / "metrics.csv").exists():
                raise ValueError(f"{self.path} holds a recorded run without its checkpoint; choose another folder")
            return None
        saved = torch.load(path, map_location="cpu", weights_only=True)
        self._refuse_another_run(saved["settings"])
        if saved["step"] > self.settings["training"]["steps"]:
            raise ValueError(
                f"{self.path} holds a run of {saved['step']} steps, which cannot be made shorter; choose another folder"
            )
        self.environment["started"] = saved["started"]
        return saved

    def save(self, state, finished):
        """Write the checkpoint (`state` and whose it is), the metrics and the environment."""
        checkpoint = {**state, "settings": self.settings, "started": self.environment["started"]}
        self._write("checkpoint.pt", lambda path: torch.save(checkpoint, path))
        self._write("metrics.csv", lambda path: _write_csv(path, state["lines"]))
        ended = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        environment = {**self.environment, "ended": ended, "seconds": round(state["seconds"]), "finished": finished}
        self._write("environment.json", json.dumps(environment, indent=2) + "\n")

    def save_weights(self, model):
        """Write the model's weights as safetensors, with its configuration inside."""
        weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        metadata = {"config": json.dumps(self.settings["model"])}
        self._write("weights.safetensors", lambda path: save_file(weights, path, metadata))

    def save_samples(self, images):
        """Write images (N, C, H, W), integers on the model's grid, as one sheet, each pixel four times as large."""
        images = to_bytes(to_model(images, self.settings["model"]["levels"]))
        sheet = image_grid(images).repeat(4, axis=0).repeat(4, axis=1)
        self._write("samples.png", lambda path: matplotlib.image.imsave(path, sheet, format="png"))

    def _write(self, name, content):
        """Write to a file beside the target, then put it in the target's place, which the system does in one step."""
        scratch = self.path / f".{name}.part"
        try:
            if callable(content):
                content(scratch)
            else:
                scratch.write_text(content)
            os.replace(scratch, self.path / name)
        finally:
            scratch.unlink(missing_ok=True)

    def _refuse_another_run(self, saved):
        differences = [
            f"{part}.{name}: {saved[part].get(name)} there, {value} now"
            for part, now in self.settings.items()
            for name, value in now.items()
            if name != "steps" and saved[part].get(name) != value  # a run may be made longer
        ]
        if differences:
            raise ValueError(
                f"{self.path} holds a checkpoint of another run ({'; '.join(differences)}); choose another folder"
            )


def image_grid(images, columns=None, gap=1):
    """Lay images uint8 (N, C, H, W) out in rows with white lines between: an array (height, width, 3) for `imshow`."""
    count, _, height, width = images.shape
    columns = columns or min(8, count)
    rows = -(-count // columns)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for n, image in enumerate(images.cpu().numpy()):
        top, left = (n // columns) * (height + gap), (n % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image.transpose(1, 2, 0)  # (H, W, C); one channel becomes grey
    return grid


def _write_csv(path, lines):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in line.items()} for line in lines)


def _environment(seed):
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "commit": _commit(),
        "seed": seed,
    }


def _machine():
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _commit():
    """The package's commit where it runs from a git checkout, else None."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
