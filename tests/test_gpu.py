"""The GPU's script runs at tiny size from end to end, and leaves records that say what they should."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from oracles import random_bytes
from torch import nn

from pixelcnn_edu import Config, build, sample
from pixelcnn_edu.blocks import folded
from tools import gpu, speedrun

ROOT = Path(__file__).resolve().parent.parent
TINY = Config.tiny(image_shape=(3, 8, 8), filters=3, mixtures=2)


def test_what_is_packed_comes_back_as_it_was(tmp_path):
    images = random_bytes(300, 3, 32, 32)
    path = tmp_path / "some.webp"
    gpu.Image.fromarray(gpu.sheet(images)).save(path, lossless=True)
    assert torch.equal(gpu.unpack(path), images)


def test_missing_training_files_are_said_and_test_images_are_not_trained_on(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELCNN_EDU_DATA", str(tmp_path))
    assert "made-up shapes" in gpu.load_data(gpu.SIZES["tiny"]).name
    for name, seed in (("data_batch_2", 2), ("data_batch_4", 4), ("test_batch", 5)):
        images = random_bytes(100, 3, 32, 32, seed=seed)
        gpu.Image.fromarray(gpu.sheet(images)).save(tmp_path / f"{name}.webp", lossless=True)
    data = gpu.load_data(gpu.SIZES["paper"])
    assert data.name == "CIFAR-10, 2 of its 5 training files"
    second, fourth = random_bytes(100, 3, 32, 32, seed=2), random_bytes(100, 3, 32, 32, seed=4)
    assert torch.equal(data.train, torch.cat([second, fourth])[:180])
    assert torch.equal(data.validation, fourth[80:])
    assert torch.equal(data.test, random_bytes(100, 3, 32, 32, seed=5))
    assert data.train[[3, 1]].is_contiguous(memory_format=torch.channels_last)


def test_steps_fit_into_the_time_and_compiling_must_pay():
    assert gpu.steps_within(100, 0.5) == 184
    assert gpu.steps_within(-3, 0.5) == 1
    eager, compiled = (0.2, 0.3, False), (0.1, 60.0, True)
    assert gpu.fastest([eager, compiled], 100) == eager  # 500 steps against 400
    assert gpu.fastest([eager, compiled], 200) == compiled  # 1,000 against 1,400
    assert gpu.fastest([], 100) == (None, None, None)


def test_arithmetic_is_counted_as_by_hand():
    """A convolution's forward pass, again for its weights' gradient, and again for its input's, but for pixels'."""
    model, total = build(TINY), 0

    def count(layer, inputs, output):
        nonlocal total
        positions = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        products = positions[0, 0].numel() * layer.weight.numel()
        reads_pixels = layer in (model.stem.vertical, model.stem.above, model.stem.left)
        total += 2 * products * (2 if reads_pixels else 3)

    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            layer.register_forward_hook(count)
    model.bits_per_dim(random_bytes(1, 3, 8, 8))
    assert speedrun.training_flop(TINY) == pytest.approx(total, rel=0.02)


def test_rows_are_drawn_as_samples_are():
    model = folded(build(TINY))
    first, second = (sample(model, 2, seed=seed, progress=False) for seed in (5, 6))
    images, generator = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.Generator().manual_seed(5)
    rows = gpu.drawn_rows(model, images, generator)
    next(rows)
    for row in range(8):
        assert not images[:, :, row:].any()
        next(rows)
    assert torch.equal(images, first)
    rows.close()
    # A replay starts from what the last drawing left in the images, and must not see it.
    again = gpu.drawn_rows(model, images, generator.manual_seed(6))
    for _ in range(9):
        next(again)
    assert torch.equal(images, second)


@pytest.mark.slow
def test_what_takes_too_long_is_stopped_with_all_that_it_started(tmp_path):
    started, late = tmp_path / "started", tmp_path / "late"
    command = ["sh", "-c", f"(touch {started}; sleep 8; touch {late}) & sleep 60"]
    assert gpu.limited(command, 5) == "stopped after 5 s"
    assert started.exists()
    time.sleep(4)
    assert not late.exists()
    ended = gpu.limited([sys.executable, "-c", "raise SystemExit(3)"], 60)
    assert ended.startswith("failed with exit status 3")


def test_a_failure_is_recorded_and_its_words_are_kept(tmp_path):
    record = gpu.Record(tmp_path)
    record.check("correctness", "an error", 0.5, 0.1)
    record.check("correctness", "no number", float("nan"), 0.1)
    record.note("speed", failed=gpu.one_line(ValueError("two\nlines")))
    assert [row["ok"] for row in record.rows("correctness")] == [False, False]
    text = (tmp_path / "table.txt").read_text()
    assert "an error   0.5    0.1      False" in text
    assert "failed: ValueError: two lines" in text


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """What the whole script leaves at tiny size, without data."""
    out = tmp_path_factory.mktemp("gpu") / "out"
    settings = {"PIXELCNN_EDU_DATA": "/nowhere", "OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
    environment = os.environ | settings
    command = [ROOT / "tools" / "gpu.sh", out, "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "table.txt").read_text() in done.stdout
    return out, json.loads((out / "record.json").read_text())


@pytest.mark.slow
def test_every_part_ends_and_every_check_holds(record):
    _, content = record
    assert list(content["parts"]) == list(gpu.PARTS)
    for part in content["parts"].values():
        assert part["notes"]["ended"].startswith("finished")
        assert part["rows"]
        assert all(row.get("ok", True) and "failed" not in row for row in part["rows"])


@pytest.mark.slow
def test_every_kind_of_step_is_timed(record):
    _, content = record
    steps = {row["step"]: row for row in content["parts"]["speed"]["rows"]}
    assert list(steps) == ["float32", "+ channels-last", "+ bfloat16", "+ Muon", "+ torch.compile"]
    notes = content["parts"]["speed"]["notes"]
    for row in steps.values():
        seconds = row["gradient_seconds"] + row["update_seconds"]
        assert row["images_per_second"] == pytest.approx(notes["batch"] / seconds)
        share = row["images_per_second"] * notes["gigaflop_per_image"] / 1000 / notes["bfloat16_peak_teraflops"]
        assert row["share_of_peak"] == pytest.approx(share)


@pytest.mark.slow
def test_the_training_run_is_recorded_and_scored_once(record):
    out, content = record
    notes, rows = (content["parts"]["training"][name] for name in ("notes", "rows"))
    assert rows[-1]["step"] == notes["steps"] <= gpu.SIZES["tiny"].steps  # fewer on a busy machine
    assert "made-up shapes" in notes["data"]
    assert any("images, not on the first 45,000" in reason for reason in notes["departures"])
    assert "refused" not in notes
    assert notes["test_images"] == gpu.SIZES["tiny"].images[1]
    there = {path.name for path in (out / "train").iterdir()}
    assert there == {
        "config.json",
        "environment.json",
        "metrics.csv",
        "samples.png",
        "weights.safetensors",
        "entry.json",
    }
    with pytest.raises(ValueError, match="is scored once"):
        speedrun.check(out / "train")
