"""One command trains a model, records it, and continues it."""

import pytest
import torch
from oracles import random_bytes

import pixelcnn_edu.training
from pixelcnn_edu import PixelCNNpp, data
from pixelcnn_edu.cli import main
from pixelcnn_edu.runs import read_run


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few shapes, and samples that cost nothing."""
    monkeypatch.setattr(data, "SHAPES_SPLITS", {"train": (8, 1), "test": (4, 2)})
    monkeypatch.setattr(pixelcnn_edu.training, "sample", lambda model, count, *_, **__: random_bytes(count, 3, 32, 32))


def train(out, *more):
    settings = ["--preset", "tiny", "--data", "shapes", "--batch-size", "2", "--record-every", "1"]
    main(["train", *settings, "--out", str(out), *more])


def test_train_records_a_run_and_the_same_command_continues_it(tmp_path, capsys):
    train(tmp_path / "run", "--steps", "1", "--seed", "3")
    train(tmp_path / "run", "--steps", "2", "--seed", "3")
    run = read_run(tmp_path / "run")
    assert run.config.filters == 16
    assert run.metrics["step"].tolist() == [1, 2]
    assert run.training["seed"] == run.environment["seed"] == 3
    assert run.training["batch_size"] == 2
    assert run.environment["finished"] is True
    assert f"{run.metrics['test_bits_per_dim'][-1]:.2f}" in capsys.readouterr().out
    names = {"config.json", "metrics.csv", "environment.json", "samples.png", "weights.safetensors", "checkpoint.pt"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == names
    train(tmp_path / "straight", "--steps", "2", "--seed", "3")
    for name in ("weights.safetensors", "samples.png"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_the_seed_is_that_of_the_weights_too(tmp_path, monkeypatch):
    models = []
    monkeypatch.setattr("pixelcnn_edu.cli.fit", lambda model, *_, **__: models.append(model) or (model, []))
    for seed in ("0", "0", "1"):
        train(tmp_path, "--steps", "1", "--seed", seed)
    first, again, other = (model.first_vertical.weight for model in models)
    assert isinstance(models[0], PixelCNNpp)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["train"], ["train", "--out", "x", "--preset", "huge"], ["train", "--out", "x", "--data", "mnist"],
     ["train", "--out", "x", "--steps", "many"]],
    ids=str,
)  # fmt: skip
def test_a_command_that_makes_no_sense_is_explained(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "python -m pixelcnn_edu" in capsys.readouterr().err


def test_help_tells_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ("preset", "data", "steps", "batch-size", "record-every", "mixed-precision", "seed", "out"):
        assert f"--{option}" in text
