"""The rule by which rungs of the ladder are compared, and the records it is applied to."""

import csv
import json
import math
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from oracles import ctrl_c_at

import pixelcnn_edu.training
import tools.ladder
from pixelcnn_edu import ladder
from pixelcnn_edu.ladder import compare, read_scores, spread, verdict
from pixelcnn_edu.models.config import Config
from tools.ladder import BUDGET, RUNGS

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "book" / "runs"
LADDER = RUNS / "ladder"
RECORDED = sorted(path.name for path in LADDER.iterdir())
SCORES = read_scores(LADDER)
RECORD = {"config.json", "environment.json", "metrics.csv", "samples.png"}
each_rung = pytest.mark.parametrize("name", RECORDED)


def record(folder):
    """(config and training, environment, rows of metrics) of a run, read by hand."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return json.loads((folder / "config.json").read_text()), json.loads((folder / "environment.json").read_text()), rows


# --- the rule --------------------------------------------------------------------------------------------------------


def test_a_comparison_is_taken_image_by_image():
    random = np.random.default_rng(0)
    images = random.normal(4, 1, 400)
    other = images + 0.1 + 0.01 * random.standard_normal(400)
    difference, error = compare(images, other)
    by_hand = [b - a for a, b in zip(images, other)]
    mean = math.fsum(by_hand) / 400
    assert difference == pytest.approx(mean)
    assert error == pytest.approx(math.sqrt(math.fsum((d - mean) ** 2 for d in by_hand) / 399 / 400))
    assert error < images.std() / math.sqrt(400) / 50
    assert compare(other, images) == pytest.approx((-difference, error))


@pytest.mark.parametrize(("one", "other"), [(np.ones(3), np.ones(4)), (np.ones(1), np.ones(1)), (np.ones((2, 2)),) * 2])
def test_scores_that_are_not_of_the_same_images_are_refused(one, other):
    with pytest.raises(ValueError, match="scores of the same images"):
        compare(one, other)


@pytest.mark.parametrize(
    ("difference", "error", "seeds", "word"),
    [(0.1, 0.01, 0.05, "holds"), (-0.1, 0.01, 0.05, "fails"), (0.1, 0.06, 0.0, "open"), (-0.1, 0.06, 0.0, "open"),
     (0.1, 0.01, 0.2, "open"), (-0.1, 0.01, 0.2, "open"), (0.0, 0.0, 0.0, "open"), (0.02, 0.01, 0.0, "open")],
)  # fmt: skip
def test_a_verdict_needs_more_than_chance_and_more_than_a_seed(difference, error, seeds, word):
    assert verdict(difference, error, seeds) == word


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="there is no run of the full model"):
        spread({"softmax": np.ones(3)})
    with pytest.raises(ValueError, match="must be numbers, got nan"):
        verdict(math.nan, 0.01, 0.1)


def write(folder, **scores):
    for name, bits in scores.items():
        (folder / name).mkdir()
        np.save(folder / name / ladder.SCORES, np.asarray(bits, dtype=np.float32))


def test_scores_are_read_with_the_full_model_first(tmp_path):
    write(tmp_path, **{"a": [1, 2], "full": [3, 5], "full-seed-1": [4, 5], "full-seed-2": [3.5, 5]})
    scores = read_scores(tmp_path)
    assert list(scores) == ["full", "a", "full-seed-1", "full-seed-2"]
    assert scores["full"].tolist() == [3, 5]
    assert spread(scores) == pytest.approx(0.5)


def test_a_folder_without_scores_and_scores_of_different_length_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="writes them"):
        read_scores(tmp_path)
    write(tmp_path, full=[1, 2], a=[1, 2, 3])
    with pytest.raises(ValueError, match=r"different numbers of images: \{'full': 2, 'a': 3\}"):
        read_scores(tmp_path)


def test_a_rung_that_was_stopped_is_scored_when_it_has_ended_and_not_before(tmp_path, monkeypatch):
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    monkeypatch.setattr(tools.ladder, "load_images", lambda *_: (images, torch.zeros(4, dtype=torch.long)))
    monkeypatch.setattr(tools.ladder, "BUDGET", {"steps": 2, "batch_size": 2, "record_every": 1, "ema_decay": 0.5})
    monkeypatch.setattr(tools.ladder.Config, "small", classmethod(lambda cls, **changes: cls.tiny(filters=2, **changes)))
    monkeypatch.setattr(pixelcnn_edu.training, "sample", lambda model, count, *_, **__: images[:1].expand(count, -1, -1, -1))
    with ctrl_c_at(1, monkeypatch):
        assert not tools.ladder.climb("full", tmp_path / "full")
    assert (tmp_path / "full" / "weights.safetensors").exists()
    assert not (tmp_path / "full" / ladder.SCORES).exists()
    assert tools.ladder.climb("full", tmp_path / "full")
    recorded = float(record(tmp_path / "full")[2][-1]["validation_bits_per_dim"])
    assert read_scores(tmp_path)["full"].mean() == pytest.approx(recorded, abs=1e-4)


# --- the records -----------------------------------------------------------------------------------------------------


def test_the_design_names_every_rung_and_every_record_is_a_rung():
    design = (RUNS / "README.md").read_text().partition("## The first edition's ladder")[2]
    rows = re.findall(r"^\| (`.*?) \|", design, re.MULTILINE)  # first columns
    assert {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)} == set(RUNGS) - {"full"}
    assert set(RECORDED) == set(RUNGS)


@pytest.mark.parametrize(
    "folder", [RUNS / "cifar10-small", *(LADDER / name for name in RECORDED)], ids=lambda path: path.name
)
def test_a_record_is_whole_and_agrees_with_itself(folder):
    more = {ladder.SCORES} if folder.parent == LADDER else {"card.md"}
    assert {path.name for path in folder.iterdir()} == RECORD | more
    settings, environment, rows = record(folder)
    training, last = settings["training"], rows[-1]
    assert environment["finished"] is True
    assert environment["started"] < environment["ended"]
    assert environment["seed"] == training["seed"]
    assert all(environment[name] for name in ("machine", "threads", "python", "torch", "numpy", "commit"))
    assert abs(float(last["seconds"]) - environment["seconds"]) <= 1
    assert int(last["step"]) == training["steps"]
    assert [int(row["images"]) for row in rows] == [int(row["step"]) * training["batch_size"] for row in rows]
    assert [int(row["step"]) for row in rows] == sorted({int(row["step"]) for row in rows})
    assert int(last["test_images"]) == 10_000
    Config(**settings["model"])


@each_rung
def test_the_scores_of_the_images_are_the_score_of_the_record(name):
    bits = SCORES[name]
    assert len(bits) == 10_000
    assert np.isfinite(bits).all()
    # bfloat16 in training, float32 in the score; metrics.csv has five digits
    assert bits.mean() == pytest.approx(float(record(LADDER / name)[2][-1]["test_bits_per_dim"]), abs=2e-4)


@each_rung
def test_a_rung_was_trained_as_the_table_of_rungs_says(name):
    settings, _, _ = record(LADDER / name)
    rung = RUNGS[name]
    config = Config.small(**rung.model)
    config = config.original() if rung.original else config
    assert settings["model"] == json.loads(json.dumps(config.to_dict()))
    for key, value in {**BUDGET, **rung.training}.items():
        assert settings["training"][key.replace("validation", "test")] == value  # they were test images then


def test_every_record_is_read_by_a_chapter():
    """By chapter 12 each rung, whose size and score it prints; by chapter 10 the small model's run."""
    printed = ""
    for path in sorted((ROOT / "book").glob("1[02]-*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                printed += "".join(output.get("text", "") for output in cell.outputs)
    for name in RECORDED:
        score = f"{SCORES[name].mean():.4f}"
        assert re.search(rf"^{name} +[\d,]+ +[\d,]+ +{score}$", printed, re.MULTILINE), f"chapter 12 does not show {name}"
    small = float(record(RUNS / "cifar10-small")[2][-1]["test_bits_per_dim"])
    assert re.search(rf"^{small:.3f} bits/dim on 10,000 test images$", printed, re.MULTILINE)
    assert f"| CIFAR-10, bits/dim | {small:.2f}, the small model" in (ROOT / "README.md").read_text()
