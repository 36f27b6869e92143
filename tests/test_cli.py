"""The commands do what the functions do, explain what is wrong, and lose nothing."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest
import torch
from oracles import random_bytes

import pixelcnn_edu.training
from pixelcnn_edu import Config, PixelCNN, PixelCNNpp, Training, complete, data, load_images, load_model, sample
from pixelcnn_edu import cli as cli_module
from pixelcnn_edu.cli import main
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import image_grid, read_run


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few shapes, and samples that cost nothing."""
    monkeypatch.setattr(data, "SHAPES_SPLITS", {"train": (8, 1), "test": (4, 2)})
    monkeypatch.setattr(pixelcnn_edu.training, "sample", lambda model, count, *_, **__: random_bytes(count, 3, 32, 32))


def train(out, *more):
    settings = ["--preset", "tiny", "--data", "shapes", "--batch-size", "2", "--record-every", "1", "--device", "cpu"]
    return main(["train", *settings, "--out", str(out), *more])


def test_train_records_a_run_and_resume_continues_it(tmp_path, capsys):
    assert train(tmp_path / "run", "--steps", "1", "--seed", "3") == 0
    assert train(tmp_path / "run", "--steps", "2", "--seed", "3", "--resume") == 0
    run = read_run(tmp_path / "run")
    assert run.config.filters == 16
    assert run.metrics["step"].tolist() == [1, 2]
    assert run.training["seed"] == run.environment["seed"] == 3
    assert run.training["batch_size"] == 2
    assert run.environment["finished"] is True
    assert f"{run.metrics['validation_bits_per_dim'][-1]:.3f}"[:-1] in capsys.readouterr().out
    names = {"config.json", "metrics.csv", "environment.json", "samples.png", "weights.safetensors", "checkpoint.pt"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == names | {"checkpoint-before.pt"}
    assert train(tmp_path / "straight", "--steps", "2", "--seed", "3", "--resume") == 0
    for name in ("weights.safetensors", "samples.png"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_a_folder_with_a_run_is_not_touched_without_resume(tmp_path, capsys):
    train(tmp_path, "--steps", "1")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert train(tmp_path, "--steps", "2") == 1
    assert "add --resume" in capsys.readouterr().err
    assert train(tmp_path, "--steps", "2", "--resume", "--seed", "5") == 1
    assert "training.seed: 0 there, 5 now" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_run_that_was_stopped_says_so_in_its_status(tmp_path, monkeypatch):
    bits, calls = PixelCNNpp.bits_per_dim, []

    def interrupted(model, images, labels=None):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return bits(model, images, labels)

    with monkeypatch.context() as patch:
        patch.setattr(PixelCNNpp, "bits_per_dim", interrupted)
        assert train(tmp_path, "--steps", "4") == 130
    assert not (tmp_path / "samples.png").exists()
    assert train(tmp_path, "--steps", "4", "--resume") == 0


@pytest.fixture
def seen(monkeypatch):
    """What the command hands to fit, which does nothing."""
    models = []
    monkeypatch.setattr(cli_module, "fit", lambda model, *rest, **_: models.append((model, *rest)) or (model, []))
    return models


def test_the_seed_is_that_of_the_weights_too(tmp_path, seen):
    for seed in ("0", "0", "1"):
        train(tmp_path, "--steps", "1", "--seed", seed)
    first, again, other = (model.stem.vertical.weight for model, *_ in seen)
    assert isinstance(seen[0][0], PixelCNNpp)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("preset", [["--preset=tiny"], ["--preset", "tiny"]])
def test_options_change_the_presets_model_and_the_training(tmp_path, seen, preset):
    options = "--filters 8 --blocks 2 --no-shortcuts --likelihood softmax --classes 3 --steps 7 --learning-rate 0.01"
    main(["train", "--data", "shapes", "--out", str(tmp_path), *preset, *options.split(), "--betas", "0.9", "0.99"])
    model, _, labels, training, *_ = seen[0]
    changes = {"filters": 8, "blocks": 2, "shortcuts": False, "likelihood": "softmax", "classes": 3}
    assert model.config == Config.tiny(**changes)
    assert training == Training(steps=7, learning_rate=0.01, betas=(0.9, 0.99))
    assert len(labels) == 7  # one image is held out


def test_the_original_has_a_switch(tmp_path, seen):
    train(tmp_path, "--original")
    assert isinstance(seen[0][0], PixelCNN)


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["train"], ["train", "--out", "x", "--preset", "huge"], ["train", "--out", "x", "--steps", "many"],
     ["evaluate"], ["train", "--out", "x", "--filters", "0"]],
    ids=str,
)  # fmt: skip
def test_a_command_that_makes_no_sense_is_explained(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "python -m pixelcnn_edu" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [Config, Training])
def test_every_field_is_an_option_with_help_from_its_docstring(kind, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", "--help"])
    assert caught.value.code == 0
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    for name in kind.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in text
        explained = re.search(rf"^        {name}: (.{{10,25}})", kind.__doc__, re.MULTILINE)
        assert explained, f"{kind.__name__}.{name} has no explanation"
        assert " ".join(explained[1].split()[:2]) in text


def test_a_gpu_that_is_not_there_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", "--data", "shapes", "--out", str(tmp_path), "--device", "cuda"]) == 1
    assert "there is no GPU here" in capsys.readouterr().err


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A model that costs little to draw from."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "SHAPES_SPLITS", {"train": (8, 1), "test": (4, 2)})
        patch.setattr(pixelcnn_edu.training, "sample", lambda model, count, *_, **__: random_bytes(count, 3, 32, 32))
        options = "--preset tiny --data shapes --filters 2 --mixtures 1 --batch-size 2 --steps 1 --classes 3"
        assert main(["train", *options.split(), "--out", str(folder), "--device", "cpu"]) == 0
    return folder


def test_evaluate_says_what_evaluate_says(recorded, capsys):
    assert main(["evaluate", str(recorded), "--data", "shapes", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    bits = bits_per_image(load_model(recorded), *load_images("shapes", "test"))
    assert f"{bits.mean():.4f} +- {bits.std() / len(bits) ** 0.5:.4f} bits/dim" in printed
    assert "on 4 images of shapes, test" in printed
    assert main(["evaluate", str(recorded / "weights.safetensors"), "--data", "shapes", "--images", "1"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(recorded), "--data", "shapes", "--split", "train", "--device", "cpu"]) == 0
    bits = bits_per_image(load_model(recorded), *load_images("shapes", "train"))
    assert f"{bits.mean():.4f} +- " in capsys.readouterr().out


def test_sample_and_complete_draw_pictures(recorded, tmp_path):
    picture = tmp_path / "drawn.png"

    def drawn(*command):
        assert main([command[0], str(recorded), *command[1:], "--out", str(picture), "--device", "cpu"]) == 0
        return (matplotlib.image.imread(picture)[::4, ::4, :3] * 255).round()

    model, labels = load_model(recorded), torch.tensor([1, 1])
    sheet = drawn("sample", "--count", "2", "--label", "1", "--seed", "3", "--temperature", "0.5")
    images = sample(model, 2, labels, seed=3, temperature=0.5, progress=False)
    assert (sheet == image_grid(images)).all()

    images, labels = (part[:2] for part in load_images("shapes", "test"))
    known = torch.zeros(32, 32, dtype=torch.bool)
    known[:30] = True
    sheet = drawn("complete", "--data", "shapes", "--count", "2", "--rows", "30", "--seed", "4", "--temperature", "0.5")
    completed = complete(model, images, known, labels, seed=4, temperature=0.5, progress=False)  # the images' own labels
    assert (sheet == image_grid(torch.cat([images, completed]), columns=2)).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["evaluate", "RUN", "--data", "mnist"],
            "--data must be one of cifar10, .*, or a folder of images; mnist is no folder",
        ),
        (["evaluate", "nowhere"], "FileNotFoundError: there are no weights in nowhere"),
        (["sample", "RUN", "--count", "0"], "count must be at least 1"),
        (["sample", "RUN", "--label", "7"], r"labels must be 0\.\.2, got 7\.\.7"),
        (
            ["sample", "RUN", "--count", "1", "--out", "RUN/no/such/folder.png"],
            "FileNotFoundError: there is no folder .*such",
        ),
        (["complete", "RUN", "--data", "shapes", "--out", "RUN/no/such.png"], "FileNotFoundError: there is no folder .*no"),
        (["sample", "RUN", "--count", "1", "--out", "RUN"], "IsADirectoryError: .* is a folder; name a file in it"),
        (["sample", "RUN", "--device", "gpu"], "ValueError: device must be auto, cpu, .* got 'gpu'"),
        (["complete", "RUN", "--data", "shapes", "--count", "-1"], "--count must be at least 1, got -1"),
        (["complete", "RUN", "--data", "shapes", "--rows", "33"], "--rows must be 0 to 32, got 33"),
        (["evaluate", "RUN", "--data", "shapes", "--images", "0"], "--images must be at least 1, got 0"),
    ],
)
def test_what_the_package_refuses_the_command_explains_without_a_traceback(recorded, arguments, words, capsys):
    assert main([argument.replace("RUN", str(recorded)) for argument in arguments]) == 1
    assert re.search(words, capsys.readouterr().err)


def test_the_package_installs_a_command_of_its_own():
    command = Path(sys.executable).parent / "pixelcnn-edu"
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "evaluate" in done.stdout


def test_the_record_may_go_to_tensorboard_too(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, "--steps", "2", "--tensorboard")
    events = EventAccumulator(str(tmp_path)).Reload()
    recorded = [event.value for event in events.Scalars("validation_bits_per_dim")]
    assert recorded == pytest.approx(read_run(tmp_path).metrics["validation_bits_per_dim"].tolist(), rel=1e-4)


def test_a_folder_of_images_is_data_too(recorded, tmp_path, capsys):
    for split in ("train", "test"):
        for kind in ("a", "b", "c"):
            (tmp_path / "mine" / split / kind).mkdir(parents=True)
            matplotlib.image.imsave(tmp_path / "mine" / split / kind / "one.png", random_bytes(40, 50, 3).numpy())
    assert main(["evaluate", str(recorded), "--data", str(tmp_path / "mine"), "--device", "cpu"]) == 0
    assert "on 3 images" in capsys.readouterr().out
    options = "--preset tiny --filters 2 --steps 1 --batch-size 2 --image-shape 3 8 8 --device cpu --out"
    monkey = pytest.MonkeyPatch()
    monkey.setattr(pixelcnn_edu.training, "sample", lambda model, count, *_, **__: random_bytes(count, 3, 8, 8))
    assert main(["train", "--data", str(tmp_path / "mine"), *options.split(), str(tmp_path / "run")]) == 0
    monkey.undo()
    assert read_run(tmp_path / "run").config.image_shape == (3, 8, 8)


def test_a_folder_does_not_hide_the_data_set_of_its_name(recorded, tmp_path, monkeypatch, capsys):
    (tmp_path / "shapes" / "test").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(recorded.resolve()), "--data", "shapes", "--images", "1", "--device", "cpu"]) == 0
    assert "on 1 images of shapes" in capsys.readouterr().out


def test_parts_of_a_folder_with_other_classes_are_refused(recorded, tmp_path, capsys):
    for place in ("train/ant", "train/bee", "test/bee", "test/cat"):
        (tmp_path / "mine" / place).mkdir(parents=True)
        matplotlib.image.imsave(tmp_path / "mine" / place / "one.png", random_bytes(8, 8, 3).numpy())
    options = "--preset tiny --filters 2 --classes 3 --steps 1 --image-shape 3 8 8 --device cpu --out"
    assert main(["train", "--data", str(tmp_path / "mine"), *options.split(), str(tmp_path / "run")]) == 1
    assert "['ant', 'cat'] are in one only" in capsys.readouterr().err
    for command in ("evaluate", "complete"):
        assert main([command, str(recorded), "--data", str(tmp_path / "mine"), "--device", "cpu"]) == 1
        assert "['ant', 'cat'] are in one only" in capsys.readouterr().err
