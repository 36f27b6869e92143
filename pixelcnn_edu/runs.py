"""Recorded runs: a folder that holds what was trained, how, where, and how well; written by `fit`, read by the chapters."""

import contextlib
import csv
import datetime
import hashlib
import importlib.metadata
import json
import os
import pickle
import platform
import shutil
import subprocess
import warnings
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import safetensors.torch
import torch

from pixelcnn_edu.config import Config
from pixelcnn_edu.data import as_integers, to_bytes, to_model
from pixelcnn_edu.models import build
from pixelcnn_edu.parallel import rank

__all__ = ["Run", "RunFolder", "image_grid", "picture_kind", "read_run", "recorded", "write_sheet"]

CHECKPOINTS = ("checkpoint.pt", "checkpoint-before.pt")
PICTURE_KINDS = ("png", "jpg", "jpeg", "webp", "tif", "tiff")
MAY_CHANGE = ("steps", "accumulate", "compile")  # a run may be made longer, and go on where memory or speed differ
COLUMNS = (
    "step",
    "seconds",
    "images",
    "train_bits_per_dim",
    "validation_bits_per_dim",
    "validation_images",
    "live_validation_bits_per_dim",
)


@dataclass(frozen=True)
class Run:
    """A recorded run: `config` of the model, `training` and `environment` as dicts, `metrics` as a dict of arrays.

    `data` tells the training images from others; it is None in records from before it was written.
    """

    config: Config
    training: dict
    data: dict | None
    environment: dict
    metrics: dict


def read_run(folder):
    """Read a recorded run from its folder.

    Raises FileNotFoundError where a file of it is missing, and ValueError with the name of one that is damaged.
    """
    folder = Path(folder).expanduser()
    settings, environment = (_read_json(folder / name) for name in ("config.json", "environment.json"))
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    # The first edition had no validation images: it looked at test images all along, and named its columns so.
    rows = [{name.replace("test_", "validation_"): value for name, value in row.items()} for row in rows]
    metrics = {name: np.array([float(row.get(name) or "nan") for row in rows]) for name in COLUMNS}
    return Run(Config(**settings["model"]), settings["training"], settings.get("data"), environment, metrics)


def recorded(name):
    """Find the folder of a run that the book brings with it, whether a chapter lies in the book or was downloaded alone.

    Args:
        name: the run's folder below `book/runs`, say "cifar10-small" or "ladder/full".

    Returns: its path, in `runs` beside the notebook, or in the checkout that this package is imported from. Where pip
        fetched the package from a repository, as on Google Colab, that is cloned once, into `repository` beside the chapter.

    Raises FileNotFoundError that says how to get the run.
    """
    checkout, clone = Path(__file__).resolve().parent.parent / "book" / "runs", Path("repository", "book", "runs")
    places = [runs / name for runs in (Path("runs"), checkout, clone)]
    if not any(place.exists() for place in places) and (address := _installed_from()):
        with contextlib.suppress(OSError):  # no git: what there is to say then stands below
            subprocess.run(["git", "clone", "--quiet", "--depth", "1", address, "repository"], check=False)
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(
        f"the recorded run {name} is not beside this notebook: copy the folder book/runs of the book's repository to "
        f"{Path('runs').resolve()}, and run this cell again"
    )


def _installed_from():
    """The address of the repository that pip fetched this package from, which it writes down; None for another way."""
    try:
        origin = json.loads(importlib.metadata.distribution("pixelcnn-edu").read_text("direct_url.json") or "{}")
    except importlib.metadata.PackageNotFoundError:
        return None
    return origin["url"] if "vcs_info" in origin else None


def _read_json(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


class RunFolder:
    """Writes a run to `path` as it goes; every file is either the old one or the new one, never half of it.

    The checkpoint before the last is kept too, and takes over where the last one is damaged. Of several processes the first
    alone writes. Raises OSError where the folder cannot be written or has no room for the checkpoints, and ValueError where
    it holds a run of another configuration or nothing but damaged checkpoints.
    """

    def __init__(self, path, config, training, images, tensorboard=False):
        self.path = Path(path).expanduser()
        self.settings = {"model": config.to_dict(), "training": asdict(training), "data": _which(images)}
        self.environment = _environment(training.seed)
        self.checkpoint = self._read_checkpoint()  # a dict, None where the folder holds none
        if rank() > 0:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._check_room(config)
            self._write("config.json", json.dumps(self.settings, indent=2) + "\n")
        except OSError as error:
            raise OSError(f"cannot write to the output folder {self.path}: {error}; choose another with out=") from error
        self.tensorboard = _tensorboard_writer(self.path) if tensorboard else None

    def _check_room(self, config):
        """Raise OSError where checkpoints will not fit: at the worst moment three of weights, average and two moments."""
        with torch.device("meta"):  # shapes alone, no numbers
            weights = sum(p.numel() * p.element_size() for p in build(config).parameters())
        held = sum(path.stat().st_size for path in map(self.path.joinpath, CHECKPOINTS) if path.exists())
        needed, free = 3 * 4 * weights - held, shutil.disk_usage(self.path).free
        if needed > free:
            raise OSError(f"its checkpoints need {needed / 2**20:.0f} MiB, and {free / 2**20:.0f} MiB are free")

    def _read_checkpoint(self):
        saved = _first_whole([self.path / name for name in CHECKPOINTS])
        if saved is None:
            if (self.path / "metrics.csv").exists():
                raise ValueError(f"{self.path} holds a recorded run without its checkpoint; choose another folder")
            return None
        self._refuse_another_run(saved["settings"])
        self._refuse_another_schedule(saved)
        if saved["step"] > self.settings["training"]["steps"]:
            raise ValueError(
                f"{self.path} holds a run of {saved['step']} steps, which cannot be made shorter; choose another folder"
            )
        self.environment["started"] = saved["started"]
        return saved

    def save(self, state, finished):
        """Write the checkpoint (`state` and whose it is), the metrics and the environment.

        Raises OSError where that fails, say on a full disk; what was written before is still there.
        """
        if rank() > 0:
            return
        checkpoint = {**state, "settings": self.settings, "started": self.environment["started"]}
        ended = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        environment = {**self.environment, "ended": ended, "seconds": round(state["seconds"]), "finished": finished}
        try:
            self._write(CHECKPOINTS[0], lambda path: torch.save(checkpoint, path), keep_as=CHECKPOINTS[1])
            self._write("metrics.csv", lambda path: _write_csv(path, state["lines"]))
            self._write("environment.json", json.dumps(environment, indent=2) + "\n")
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            raise OSError(
                f"step {state['step']} could not be written to {self.path}: {error}. What was written before is whole: "
                "make room, and the same call goes on from there"
            ) from error
        if self.tensorboard and state["lines"]:
            _report(self.tensorboard, state["lines"][-1])

    def save_weights(self, model):
        """Write the model's weights as safetensors, with its configuration inside."""
        if rank() > 0:
            return
        weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        metadata = {"config": json.dumps(self.settings["model"])}
        content = safetensors.torch.save(weights, metadata)
        self._write("weights.safetensors", lambda path: path.write_bytes(content))  # its own writer locks others out

    def save_samples(self, images):
        """Write images (N, C, H, W), integers on the model's grid, as one sheet, each pixel four times as large."""
        levels = self.settings["model"]["levels"]
        self._write("samples.png", lambda path: write_sheet(path, images, levels, kind="png"))

    def _write(self, name, content, keep_as=None):
        """Write to a file beside the target, then put it in the target's place, which the system does in one step."""
        scratch, target = self.path / f".{name}.part", self.path / name
        try:
            if callable(content):
                content(scratch)
            else:
                scratch.write_text(content)
            with scratch.open("r+b") as file:  # on the disk before it counts, for a power cut; Windows asks for the +
                os.fsync(file.fileno())
            if keep_as and target.exists():
                os.replace(target, self.path / keep_as)
            os.replace(scratch, target)
        finally:
            scratch.unlink(missing_ok=True)

    def _refuse_another_run(self, saved):
        # Fields of the model may be newer than the checkpoint; of training, they would change how the run goes on.
        saved = {"data": self.settings["data"], **saved, "model": {**asdict(Config()), **saved["model"]}}
        if saved["training"].keys() != self.settings["training"].keys():
            raise ValueError(
                f"{self.path} holds a checkpoint that another version of this package wrote; finish it there, or choose "
                "another folder"
            )
        differences = [
            f"{part}.{name}: {saved[part][name]} there, {value} now"
            for part, now in self.settings.items()
            for name, value in now.items()
            if name not in MAY_CHANGE and saved[part][name] != value
        ]
        if differences:
            raise ValueError(
                f"{self.path} holds a checkpoint of another run ({'; '.join(differences)}); choose another folder"
            )

    def _refuse_another_schedule(self, saved):
        """Raise ValueError where the learning rate already fell towards an end that is now another one."""
        training, before = self.settings["training"], saved["settings"]["training"]["steps"]
        cooling_from = (1 - training["cooldown"]) * min(before, training["steps"])
        if training["cooldown"] and before != training["steps"] and saved["step"] > cooling_from:
            raise ValueError(
                f"{self.path} holds a run whose learning rate falls to zero at step {before}; at step {saved['step']} it "
                f"cannot be made one of {training['steps']} steps any more; choose another folder"
            )


def _first_whole(paths):
    """The content of the first checkpoint that is undamaged, None where there is no file; a damaged one is named."""
    damaged = []
    for path in filter(Path.exists, paths):
        try:
            with zipfile.ZipFile(path) as file:
                if broken := file.testzip():  # compares every part's checksum
                    raise zipfile.BadZipFile(f"wrong checksum in {broken}")
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:  # whole by its checksums; whose own words recommend to read it unsafely
            raise ValueError(
                f"{path} holds more than tensors and plain numbers, and is not read, since it could run code. It was not "
                "written by this version of the package; choose another folder"
            ) from None
        except (zipfile.BadZipFile, RuntimeError, EOFError) as error:
            damaged.append(str(path))
            warnings.warn(f"{path} is damaged and is skipped: {error}", stacklevel=2)
    if damaged:
        raise ValueError(f"no checkpoint is whole: {', '.join(damaged)}. Choose another folder, or delete this one's files")
    return None


def _tensorboard_writer(path):
    try:
        from torch.utils.tensorboard import SummaryWriter  # not needed otherwise, and slow to import
    except ImportError as error:
        raise ImportError("tensorboard is not installed: pip install 'pixelcnn-edu[tensorboard]'") from error
    return SummaryWriter(str(path))


def _report(writer, line):
    for name, value in line.items():
        if "bits" in name:
            writer.add_scalar(name, value, line["step"])
    writer.flush()


def image_grid(images, columns=None, gap=1):
    """Lay images uint8 (N, C, H, W) out in rows with white lines between: an array (height, width, 3) for `imshow`.

    One channel is shown in grey, and of two the first; of more than three, the first three.
    """
    images = as_integers(images)
    count, channels, height, width = images.shape
    images = images[:, :3] if channels >= 3 else images[:, :1]  # (N, 3 or 1, H, W)
    columns = columns or min(8, count)
    rows = -(-count // columns)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for n, image in enumerate(images.cpu().numpy()):
        top, left = (n // columns) * (height + gap), (n % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image.transpose(1, 2, 0)  # (H, W, C); one channel becomes grey
    return grid


def write_sheet(path, images, levels=256, columns=None, kind=None):
    """Write images (N, C, H, W), integers 0..levels - 1, as one picture in `image_grid`, each pixel four times as large.

    kind: "png", "jpg" and what else Pillow writes; the path's ending where none is named. Raises ValueError for a kind that
    it does not write.
    """
    sheet = image_grid(to_bytes(to_model(images, levels)), columns).repeat(4, axis=0).repeat(4, axis=1)
    matplotlib.image.imsave(path, sheet, format=kind or picture_kind(path))


def picture_kind(path):
    """The kind of picture that a path's ending names, "png" and the like. Raises ValueError for another."""
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in PICTURE_KINDS:
        raise ValueError(f"{path} must end in .{', .'.join(PICTURE_KINDS)}, to say which kind of picture is written")
    return kind


def _write_csv(path, lines):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in line.items()} for line in lines)


def _which(images):
    """What tells one set of training images from another: how many there are, and a checksum of sixteen of them."""
    some = images[:: -(-len(images) // 16)]
    return {"images": len(images), "sha256_of_some": hashlib.sha256(some.cpu().numpy().tobytes()).hexdigest()[:16]}


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
    """The package's commit where it runs from its git checkout, "-dirty" where something was changed since; else None."""

    def git(*arguments):
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # installed into someone else's checkout, it is not theirs
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
