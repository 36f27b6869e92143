"""A recorded run is whole or as it was before, can be read back, and is never written over by another."""

import json
import math
import os
import re
import subprocess
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from oracles import random_bytes, tiny
from safetensors import safe_open
from safetensors.torch import load_file

from pixelcnn_edu import PixelCNNpp, Training, to_model
from pixelcnn_edu import runs as runs_module
from pixelcnn_edu.runs import RunFolder, image_grid, read_run

IMAGES = random_bytes(20, 3, 8, 8)
LINES = [
    {
        "step": 5,
        "images": 20,
        "train_bits_per_dim": 7.123456789,
        "validation_bits_per_dim": 7.25,
        "validation_images": 3,
        "seconds": 0.5,
    },
    {"step": 10, "images": 40, "train_bits_per_dim": 6.5, "seconds": 123456.789},
]


def state(step=10, lines=LINES):
    return {"model": {}, "step": step, "seconds": 12.6, "lines": lines, "losses": []}


def everything_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_recorded_can_be_read_back(tmp_path):
    config, training = tiny(classes=2), Training(steps=10, seed=4, betas=(0.9, 0.99))
    RunFolder(tmp_path / "a" / "b", config, training, IMAGES).save(state(), finished=True)
    run = read_run(str(tmp_path / "a" / "b"))
    assert run.config == config
    assert Training(**run.training) == training
    assert run.metrics["step"].tolist() == [5, 10]
    assert run.metrics["train_bits_per_dim"].tolist() == pytest.approx([7.123456789, 6.5], rel=1e-4)
    assert run.metrics["validation_bits_per_dim"][0] == 7.25
    assert math.isnan(run.metrics["validation_bits_per_dim"][1])
    assert run.metrics["seconds"].tolist() == pytest.approx([0.5, 123456.789], rel=1e-4)
    assert run.environment["finished"] is True
    assert run.environment["seconds"] == 13
    assert run.environment["seed"] == 4
    for name in ("started", "ended", "machine", "threads", "python", "torch", "numpy", "commit"):
        assert name in run.environment


def test_a_run_stopped_before_its_first_line_can_be_read(tmp_path):
    RunFolder(tmp_path, tiny(), Training(), IMAGES).save(state(2, []), finished=False)
    run = read_run(tmp_path)
    assert all(len(column) == 0 for column in run.metrics.values())
    assert run.environment["finished"] is False


@pytest.mark.parametrize("missing", ["config.json", "metrics.csv", "environment.json", "all"])
def test_a_missing_file_is_named(tmp_path, missing):
    RunFolder(tmp_path, tiny(), Training(), IMAGES).save(state(), finished=True)
    (tmp_path / missing).unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match="config.json" if missing == "all" else missing):
        read_run(tmp_path / "nowhere" if missing == "all" else tmp_path)


def test_every_difference_to_another_run_is_listed_and_nothing_is_overwritten(tmp_path):
    RunFolder(tmp_path, tiny(), Training(seed=1), IMAGES).save(state(), finished=True)
    before = everything_in(tmp_path)
    with pytest.raises(ValueError, match="another run") as caught:
        RunFolder(tmp_path, tiny(filters=5, classes=3), Training(seed=2, learning_rate=0.1), IMAGES)
    for difference in (
        "model.filters: 3 there, 5 now",
        "model.classes: 0 there, 3 now",
        "training.seed: 1 there, 2 now",
        "training.learning_rate: 0.001 there, 0.1 now",
        str(tmp_path),
    ):
        assert difference in str(caught.value)
    assert "mixtures" not in str(caught.value)
    assert everything_in(tmp_path) == before


def test_a_longer_run_is_no_other_run_and_keeps_its_start(tmp_path):
    first = RunFolder(tmp_path, tiny(), Training(steps=10), IMAGES)
    first.environment["started"] = "2020-02-02T20:20:02+00:00"
    first.save(state(), finished=True)
    second = RunFolder(tmp_path, tiny(), Training(steps=20, accumulate=2, compile=True), IMAGES)
    assert second.checkpoint["step"] == 10
    second.save(state(20), finished=True)
    run = read_run(tmp_path)
    assert run.environment["started"] == "2020-02-02T20:20:02+00:00"
    assert run.training["steps"] == 20


def test_a_record_that_came_without_its_checkpoint_is_not_written_over(tmp_path):
    """As in a fresh copy of the book: checkpoints are not kept in git, the records are."""
    RunFolder(tmp_path, tiny(), Training(), IMAGES).save(state(), finished=True)
    (tmp_path / "checkpoint.pt").unlink()
    before = everything_in(tmp_path)
    for config in (tiny(), tiny(filters=5)):
        with pytest.raises(ValueError, match="choose another folder"):
            RunFolder(tmp_path, config, Training(), IMAGES)
    assert everything_in(tmp_path) == before


def test_a_folder_with_other_things_in_it_may_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    RunFolder(tmp_path, tiny(), Training(), IMAGES).save(state(), finished=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot write to the output folder .*file.*choose another with out="):
        RunFolder(tmp_path / place, tiny(), Training(), IMAGES)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("name", ["config.json", "metrics.csv", "environment.json", "checkpoint.pt"])
def test_a_file_is_never_half_written(tmp_path, monkeypatch, name):
    """The disk fills up while `name` is put in its place: what was there stays, and no scrap is left beside it."""
    folder = RunFolder(tmp_path, tiny(), Training(), IMAGES)
    folder.save(state(), finished=False)
    before = (tmp_path / name).read_bytes()
    replace = runs_module.os.replace

    def full(source, target):
        if target.name == name:
            assert source.stat().st_size > 0  # all of it was written, next to its target
            assert source.parent == target.parent
            raise OSError("No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(runs_module.os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            RunFolder(tmp_path, tiny(), Training(), IMAGES).save(state(12, LINES[:1]), finished=True)
    where = "checkpoint-before.pt" if name == "checkpoint.pt" else name  # it had been moved out of the way
    assert (tmp_path / where).read_bytes() == before
    assert RunFolder(tmp_path, tiny(), Training(steps=12), IMAGES).checkpoint["step"] in (10, 12)
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_a_file_is_open_for_writing_when_the_disk_is_asked_to_keep_it(tmp_path, monkeypatch):
    """Windows refuses otherwise."""
    fcntl = pytest.importorskip("fcntl")
    asked = []
    monkeypatch.setattr(runs_module.os, "fsync", lambda file: asked.append(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_RDWR))
    RunFolder(tmp_path, tiny(), Training(), IMAGES).save(state(), finished=False)
    assert len(asked) == 4
    assert all(asked)


def test_weights_carry_their_configuration_and_load_into_the_same_function(tmp_path):
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(classes=2)).to(memory_format=torch.channels_last).eval()
    RunFolder(tmp_path, model.config, Training(), IMAGES).save_weights(model)
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        config = type(model.config)(**json.loads(file.metadata()["config"]))
    assert config == model.config
    torch.manual_seed(1)
    other = PixelCNNpp(config).eval()
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    x, labels = to_model(random_bytes(2, 3, 8, 8)), torch.tensor([0, 1])
    torch.testing.assert_close(other(x, labels), model(x, labels))


@pytest.mark.parametrize(
    ("count", "columns", "gap", "channels"),
    [(1, None, 1, 3), (5, 3, 1, 3), (9, None, 2, 1), (8, 8, 0, 3), (2, None, 1, 2), (2, None, 1, 4)],
)
def test_the_sheet_has_every_image_in_its_place_with_white_between(count, columns, gap, channels):
    images = random_bytes(count, channels, 4, 5) // 2  # no white in them
    grid = image_grid(images, columns, gap)
    columns = columns or min(8, count)
    rows = math.ceil(count / columns)
    expected = np.full((rows * 4 + (rows - 1) * gap, columns * 5 + (columns - 1) * gap, 3), 255, np.uint8)
    for n in range(count):
        for c in range(3):
            for i in range(4):
                for j in range(5):
                    row, column = (n // columns) * (4 + gap) + i, (n % columns) * (5 + gap) + j
                    expected[row, column, c] = images[n, c if channels >= 3 else 0, i, j]
    assert grid.dtype == np.uint8
    assert (grid == expected).all()


@pytest.mark.parametrize("levels", [8, 256, 300])
def test_the_sheet_of_samples_shows_the_highest_level_as_white(tmp_path, levels):
    folder = RunFolder(tmp_path, tiny(levels=levels), Training(), IMAGES)
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8 if levels <= 256 else torch.int64)
    images[1] = levels - 1
    folder.save_samples(images)
    sheet = (matplotlib.image.imread(tmp_path / "samples.png")[..., :3] * 255).round()
    assert sheet.shape == (8 * 4, 17 * 4, 3)
    assert (sheet[:, : 8 * 4] == 0).all()
    assert (sheet[:, 9 * 4 :] == 255).all()


def test_the_commit_is_recorded_where_there_is_one(monkeypatch):
    commit = runs_module._commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)

    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert runs_module._commit() is None


def test_weights_may_be_read_by_whoever_may_read_the_rest(tmp_path):
    model = PixelCNNpp(tiny())
    folder = RunFolder(tmp_path, model.config, Training(), IMAGES)
    folder.save_weights(model)
    assert (tmp_path / "weights.safetensors").stat().st_mode == (tmp_path / "config.json").stat().st_mode


def test_the_commit_of_a_checkout_that_is_not_the_packages_is_not_recorded(tmp_path, monkeypatch):
    installed = tmp_path / "site-packages" / "runs.py"
    installed.parent.mkdir()
    installed.write_text("")
    (tmp_path / "theirs").write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=-", "-c", "user.email=-"]
    for command in (["init", "--quiet"], ["add", "theirs"], ["commit", "--quiet", "--message", "-"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(runs_module, "__file__", str(installed))
    assert runs_module._commit() is None
    subprocess.run([*git, "add", "site-packages"], check=True)
    assert re.fullmatch("[0-9a-f]{40}-dirty", runs_module._commit())


def git(*command, cwd):
    subprocess.run(["git", "-c", "user.name=-", "-c", "user.email=-", *command], cwd=cwd, check=True, capture_output=True)


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A chapter downloaded into an empty folder, with the package far from the book."""
    folder = tmp_path / "alone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(runs_module, "__file__", str(tmp_path / "site-packages" / "pixelcnn_edu" / "runs.py"))
    return folder


def test_a_recorded_run_is_found_beside_the_notebook_else_in_the_checkout_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        runs_module.recorded("cifar10-small") == Path(__file__).resolve().parent.parent / "book" / "runs" / "cifar10-small"
    )
    (tmp_path / "runs" / "cifar10-small").mkdir(parents=True)
    assert runs_module.recorded("cifar10-small") == Path("runs", "cifar10-small")


def test_where_pip_fetched_the_package_from_a_repository_that_is_cloned_once(tmp_path, alone, monkeypatch):
    repository = tmp_path / "origin"
    (repository / "book" / "runs" / "a-run").mkdir(parents=True)
    (repository / "book" / "runs" / "a-run" / "config.json").write_text("{}")
    git("init", "--quiet", cwd=repository)
    git("add", ".", cwd=repository)
    git("commit", "--quiet", "--message", "-", cwd=repository)
    monkeypatch.setattr(runs_module, "_installed_from", lambda: f"file://{repository}")
    assert (runs_module.recorded("a-run") / "config.json").read_text() == "{}"
    monkeypatch.setattr(runs_module, "_installed_from", lambda: pytest.fail("looked for a second time"))
    assert runs_module.recorded("a-run") == Path("repository", "book", "runs", "a-run")


@pytest.mark.parametrize("address", [None, "file:///nowhere"])
@pytest.mark.parametrize("path", [None, ""])
def test_a_run_that_is_nowhere_is_asked_for_in_one_sentence(alone, monkeypatch, address, path):
    if path is not None:
        monkeypatch.setenv("PATH", path)  # no git
    monkeypatch.setattr(runs_module, "_installed_from", lambda: address)
    with pytest.raises(FileNotFoundError, match=rf"a-run.*book/runs.*{alone}/runs"):
        runs_module.recorded("a-run")
