"""Training does what it says, records it, and goes on from where it stopped as if it never had."""

import json
import math

import pytest
import torch
from oracles import random_bytes, tiny
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

import pixelcnn_edu.training
from pixelcnn_edu import PixelCNNpp, Training, evaluate, fit
from pixelcnn_edu.runs import read_run
from pixelcnn_edu.training import bits_per_image

IMAGES = random_bytes(20, 3, 8, 8)
TEST = random_bytes(10, 3, 8, 8, seed=1)


@pytest.fixture(autouse=True)
def quick_samples(monkeypatch):
    monkeypatch.setattr(pixelcnn_edu.training, "sample", lambda model, count, *_, **__: IMAGES[:count])


def run(steps, out=None, **changes):
    torch.manual_seed(0)
    settings = Training(
        **{"steps": steps, "batch_size": 4, "record_every": 5, "ema_decay": 0.9, "test_images": 10, **changes}
    )
    return fit(PixelCNNpp(tiny(dropout=0.5)), IMAGES, training=settings, test=TEST, out=out, device="cpu", progress=False)


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def without_seconds(lines):
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_a_continued_run_equals_a_straight_one(tmp_path):
    straight, lines = run(20, tmp_path / "straight")
    run(10, tmp_path / "parts")
    continued, parts = run(20, tmp_path / "parts")
    assert same(straight, continued)
    assert without_seconds(parts) == without_seconds(lines)
    a, b = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("straight", "parts"))
    for key in a["optimizer"]["state"]:
        for name, moment in a["optimizer"]["state"][key].items():
            assert torch.equal(moment, b["optimizer"]["state"][key][name])


def test_ctrl_c_loses_nothing(tmp_path, monkeypatch):
    straight, _ = run(12, tmp_path / "straight")
    update = pixelcnn_edu.training._State.update

    def interrupted(state, loss):
        if state.step == 7:
            raise KeyboardInterrupt
        update(state, loss)

    with monkeypatch.context() as patch:
        patch.setattr(pixelcnn_edu.training._State, "update", interrupted)
        run(12, tmp_path / "parts")
    assert read_run(tmp_path / "parts").environment["finished"] is False
    continued, _ = run(12, tmp_path / "parts")
    assert same(straight, continued)
    assert read_run(tmp_path / "parts").environment["finished"] is True


def test_the_average_of_the_weights_has_its_closed_form(monkeypatch):
    seen, update = [], pixelcnn_edu.training._State.update

    def watched(state, loss):
        update(state, loss)
        seen.append([p.detach().clone() for p in state.model.parameters()])

    monkeypatch.setattr(pixelcnn_edu.training._State, "update", watched)
    averaged, _ = run(6)
    for place, average in enumerate(averaged.parameters()):
        expected = 0.9**5 * seen[0][place] + sum(0.1 * 0.9 ** (5 - k) * seen[k][place] for k in range(1, 6))
        torch.testing.assert_close(average.detach(), expected, rtol=1e-4, atol=1e-6)


def test_the_record_is_of_the_averaged_weights():
    averaged, lines = run(6)
    assert lines[-1]["test_bits_per_dim"] == pytest.approx(evaluate(averaged, TEST), abs=1e-9)
    assert [line["step"] for line in lines] == [5, 6]
    assert lines[-1]["images"] == 24


def test_the_learning_rate_decays_at_every_step(monkeypatch):
    rates, update = [], pixelcnn_edu.training._State.update

    def watched(state, loss):
        update(state, loss)
        rates.append(state.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(pixelcnn_edu.training._State, "update", watched)
    run(3, learning_rate_decay=0.5)
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_each_epoch_shows_every_image_once():
    batches = [pixelcnn_edu.training._batch(torch.arange(10), None, 4, step, 0, torch.device("cpu"))[0] for step in range(5)]
    order = torch.cat(batches)
    assert sorted(order[:10].tolist()) == sorted(order[10:].tolist()) == list(range(10))
    assert order[:10].tolist() != order[10:].tolist()


def test_a_checkpoint_of_another_run_is_refused_and_left_alone(tmp_path):
    run(5, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"training\.seed: 0 there, 3 now"):
        run(5, tmp_path, seed=3)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_loss_that_is_no_number_stops_with_its_step(monkeypatch):
    model = PixelCNNpp(tiny())
    monkeypatch.setattr(model, "bits_per_dim", lambda images, labels=None: images.float().mean((1, 2, 3)) * math.nan)
    with pytest.raises(FloatingPointError, match="at step 0"):
        fit(model, IMAGES, training=Training(steps=1), device="cpu", progress=False)


def test_a_folder_that_cannot_be_written_is_named_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write to the output folder .*file.*choose another"):
        run(5, tmp_path / "file" / "run")


def test_a_finished_run_can_be_read_and_its_weights_loaded(tmp_path):
    averaged, lines = run(5, tmp_path)
    record = read_run(tmp_path)
    assert record.config == averaged.config
    assert record.metrics["test_bits_per_dim"][-1] == pytest.approx(lines[-1]["test_bits_per_dim"], rel=1e-4)
    assert record.environment["seed"] == 0
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert json.loads(file.metadata()["config"])["filters"] == averaged.config.filters
    model = PixelCNNpp(record.config)
    model.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert same(model, averaged)
    assert (tmp_path / "samples.png").stat().st_size > 0
    assert not list(tmp_path.glob(".*"))


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    run(5, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def disk_full(state, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        run(10, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_bits_do_not_depend_on_the_batch_size():
    model = PixelCNNpp(tiny(dropout=0.5))
    assert model.training
    bits = [evaluate(model, TEST, batch_size=size) for size in (3, 7, 100)]
    assert bits == pytest.approx([bits[0]] * 3, abs=1e-6)
    assert len(bits_per_image(model, TEST, batch_size=3)) == 10
    assert model.training


class Uniform(nn.Module):
    """Gives every byte the probability 1/256."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    bits_per_dim = PixelCNNpp.bits_per_dim

    def log_prob(self, images, labels=None):
        return torch.full((len(images),), -images[0].numel() * math.log(256), dtype=torch.float64)


def test_a_uniform_guess_costs_exactly_eight_bits():
    assert evaluate(Uniform(), TEST) == pytest.approx(8, abs=1e-12)


def test_pure_noise_cannot_be_brought_below_eight_bits():
    noise = random_bytes(400, 3, 8, 8, seed=2)
    settings = Training(steps=60, ema_decay=0.5, learning_rate=5e-3)
    model, _ = fit(PixelCNNpp(tiny()), noise, training=settings, device="cpu", progress=False)
    assert evaluate(model, random_bytes(400, 3, 8, 8, seed=3)) > 8 - 0.001


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("batch_size", 0), ("learning_rate", 0.0), ("ema_decay", 1.5)])
def test_settings_that_make_no_training_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Training(**{name: value})


def test_nothing_to_train_on_or_to_evaluate_is_said():
    with pytest.raises(ValueError, match="no images"):
        fit(PixelCNNpp(tiny()), IMAGES[:0])
    with pytest.raises(ValueError, match="no images"):
        evaluate(PixelCNNpp(tiny()), IMAGES[:0])
