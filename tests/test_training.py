"""Training does what it says, records it, and goes on from where it stopped as if it never had."""

import copy
import itertools
import json
import math
import signal
import warnings

import pytest
import torch
from oracles import ctrl_c_at, random_bytes, tiny
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

import pixelcnn_edu.training
from pixelcnn_edu import PixelCNNpp, Training, build, evaluate, fit, to_model
from pixelcnn_edu.optimizers import KernelMuon, learning_rate_factor
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import RunFolder, read_run
from pixelcnn_edu.state import TrainingState

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")

IMAGES = random_bytes(20, 3, 8, 8)
TEST = random_bytes(10, 3, 8, 8, seed=1)


@pytest.fixture(autouse=True)
def quick_samples(monkeypatch):
    monkeypatch.setattr(pixelcnn_edu.training, "sample", lambda model, count, *_, **__: IMAGES[:count])


def run(steps, out=None, **changes):
    torch.manual_seed(0)
    settings = Training(
        **{"steps": steps, "batch_size": 4, "record_every": 5, "ema_decay": 0.9, "validation_images": 10, **changes}
    )
    return fit(
        PixelCNNpp(tiny(dropout=0.5)), IMAGES, training=settings, validation=TEST, out=out, device="cpu", progress=False
    )


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
    for key in a["adam"]["state"]:
        for name, moment in a["adam"]["state"][key].items():
            assert torch.equal(moment, b["adam"]["state"][key][name])


@pytest.mark.slow
def test_a_run_may_be_continued_at_any_step_and_made_longer(tmp_path):
    straight, lines = run(15, tmp_path / "straight", record_every=3)
    for steps in (3, 6, 15):
        continued, parts = run(steps, tmp_path / "parts", record_every=3)
    assert same(straight, continued)
    assert without_seconds(parts) == without_seconds(lines)
    assert read_run(tmp_path / "parts").training["steps"] == 15


def test_a_finished_run_is_not_trained_further_and_not_made_shorter(tmp_path):
    first, lines = run(6, tmp_path)
    again, same_lines = run(6, tmp_path)
    assert same(first, again)
    assert same_lines == lines
    with pytest.raises(ValueError, match="6 steps"):
        run(4, tmp_path)
    assert read_run(tmp_path).training["steps"] == 6


def test_seconds_go_on_where_a_run_stopped(tmp_path):
    run(5, tmp_path)
    checkpoint = torch.load(tmp_path / "checkpoint.pt")
    torch.save({**checkpoint, "seconds": 5000.0}, tmp_path / "checkpoint.pt")
    assert run(10, tmp_path)[1][-1]["seconds"] > 5000


def test_the_data_dependent_initialisation_happens_once_and_on_the_first_images_alone(tmp_path, monkeypatch):
    seen, init = [], pixelcnn_edu.training.data_dependent_init
    monkeypatch.setattr(
        pixelcnn_edu.training, "data_dependent_init", lambda model, x, labels: seen.append(x) or init(model, x, labels)
    )
    run(5, tmp_path, init_images=7)
    run(10, tmp_path, init_images=7)
    assert [len(x) for x in seen] == [7]
    first, _ = pixelcnn_edu.training._take(IMAGES, None, pixelcnn_edu.training._indices(20, 7, 0, 0), torch.device("cpu"))
    assert torch.equal(seen[0], to_model(first))


# Where a key press can strike: in the network, between Adam's step and the average's, in the test, in the writing.
STRIKES = {
    "in the network": (PixelCNNpp, "log_prob", 9),
    "before the average": (AveragedModel, "update_parameters", 7),
    "at the last step": (AveragedModel, "update_parameters", 12),
    "in a test": (pixelcnn_edu.state, "bits_per_image", 1),
    "in the last test": (pixelcnn_edu.state, "bits_per_image", 3),
    "in the writing": (RunFolder, "save", 1),
    "in the last writing": (RunFolder, "save", 3),
}


@pytest.mark.slow
@pytest.mark.parametrize("strike", STRIKES)
def test_ctrl_c_may_be_pressed_at_any_moment(tmp_path, monkeypatch, strike):
    """A real signal, at the n-th call of some function: the continued run must equal the straight one in all it records."""
    straight, lines = run(12, tmp_path / "straight")
    handler = signal.getsignal(signal.SIGINT)
    owner, name, number = STRIKES[strike]
    function, calls = getattr(owner, name), []

    def struck(*arguments, **keywords):
        calls.append(None)
        if len(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return function(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, struck)
        run(12, tmp_path / "parts")
    assert len(calls) >= number
    assert signal.getsignal(signal.SIGINT) is handler
    continued, parts = run(12, tmp_path / "parts")
    assert same(straight, continued)
    assert without_seconds(parts) == without_seconds(lines)
    assert read_run(tmp_path / "parts").environment["finished"] is True
    assert (tmp_path / "parts" / "weights.safetensors").read_bytes() == (
        tmp_path / "straight" / "weights.safetensors"
    ).read_bytes()


def test_ctrl_c_without_a_folder_gives_back_what_there_is(monkeypatch, capsys):
    bits = PixelCNNpp.bits_per_dim

    def interrupted(model, images, labels=None):
        if interrupted.calls == 7:
            raise KeyboardInterrupt
        interrupted.calls += 1
        return bits(model, images, labels)

    interrupted.calls = 0
    monkeypatch.setattr(PixelCNNpp, "bits_per_dim", interrupted)
    torch.manual_seed(0)
    settings = Training(steps=20, batch_size=4, record_every=5)
    model, lines = fit(PixelCNNpp(tiny()), IMAGES, training=settings, device="cpu", progress=False)
    assert [line["step"] for line in lines] == [5]
    assert not model.training
    assert "stopped at step 7 of 20" in capsys.readouterr().out


def test_ctrl_c_loses_nothing(tmp_path, monkeypatch):
    straight, _ = run(12, tmp_path / "straight")
    with ctrl_c_at(7, monkeypatch):
        run(12, tmp_path / "parts")
    stopped = read_run(tmp_path / "parts")
    assert stopped.environment["finished"] is False
    kept, written = torch.load(tmp_path / "parts" / "checkpoint.pt"), load_file(tmp_path / "parts" / "weights.safetensors")
    assert all(torch.equal(weights, kept["average"][f"module.{name}"]) for name, weights in written.items())
    assert any(not torch.equal(weights, kept["model"][name]) for name, weights in written.items())
    continued, _ = run(12, tmp_path / "parts")
    assert same(straight, continued)
    assert read_run(tmp_path / "parts").environment["finished"] is True


def test_the_average_of_the_weights_has_its_closed_form(monkeypatch):
    seen, update = [], pixelcnn_edu.state.TrainingState.update

    def watched(state, loss):
        update(state, loss)
        seen.append([p.detach().clone() for p in state.model.parameters()])

    monkeypatch.setattr(pixelcnn_edu.state.TrainingState, "update", watched)
    averaged, _ = run(6)
    for place, average in enumerate(averaged.parameters()):
        expected = 0.9**5 * seen[0][place] + sum(0.1 * 0.9 ** (5 - k) * seen[k][place] for k in range(1, 6))
        torch.testing.assert_close(average.detach(), expected, rtol=1e-4, atol=1e-6)


def test_the_record_is_of_the_averaged_weights():
    averaged, lines = run(6)
    assert lines[-1]["validation_bits_per_dim"] == pytest.approx(evaluate(averaged, TEST), abs=1e-9)
    assert [line["step"] for line in lines] == [5, 6]
    assert lines[-1]["images"] == 24


def test_the_learning_rate_decays_at_every_step(monkeypatch):
    rates, update = [], pixelcnn_edu.state.TrainingState.update

    def watched(state, loss):
        update(state, loss)
        rates.append(state.optimizers["adam"].param_groups[0]["lr"])

    monkeypatch.setattr(pixelcnn_edu.state.TrainingState, "update", watched)
    run(3, learning_rate_decay=0.5)
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_the_rates_warm_up_and_cool_down_to_zero():
    settings = Training(steps=10, warmup_steps=4, cooldown=0.5, learning_rate_decay=1.0)
    factors = [learning_rate_factor(settings, step) for step in range(10)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


@pytest.mark.slow
def test_a_longer_run_may_continue_before_the_cool_down_and_not_in_it(tmp_path, monkeypatch):
    straight, _ = run(20, tmp_path / "straight", cooldown=0.5, learning_rate_decay=1.0)
    with ctrl_c_at(5, monkeypatch):
        run(12, tmp_path / "early", cooldown=0.5, learning_rate_decay=1.0)
    continued, _ = run(20, tmp_path / "early", cooldown=0.5, learning_rate_decay=1.0)
    assert same(straight, continued)
    run(12, tmp_path / "late", cooldown=0.5, learning_rate_decay=1.0)
    with pytest.raises(ValueError, match="falls to zero at step 12; at step 12 it cannot be made one of 20 steps"):
        run(20, tmp_path / "late", cooldown=0.5, learning_rate_decay=1.0)


@needs_muon
@pytest.mark.parametrize("original", [False, True])
def test_muon_moves_the_hidden_kernels_and_adam_the_rest(original):
    torch.manual_seed(0)
    config = tiny(filters=6)
    model = build(config.original() if original else config)
    settings = Training(optimizer="muon", muon_learning_rate=0.5, learning_rate=1e-9)
    before = copy.deepcopy(model)
    state = TrainingState(model.train(), settings, torch.device("cpu"))
    state.update(state.gradient(IMAGES[:4], None))
    weight, ends = (".weight", "to_params.3") if original else (".original1", "to_params")
    for (name, new), old in zip(model.named_parameters(), before.parameters(), strict=True):
        is_hidden = name.endswith(weight) and new.ndim == 4 and not name.startswith(("first", ends))
        assert ((new - old).abs().max() > 1e-3) == is_hidden, name


@needs_muon
def test_a_step_of_muon_has_singular_values_near_one():
    generator = torch.Generator().manual_seed(0)
    for shape in ((8, 4, 2, 3), (6, 4, 1, 1)):
        kernel = nn.Parameter(torch.zeros(shape))
        kernel.grad = torch.randn(shape, generator=generator)
        optimizer = KernelMuon([kernel], learning_rate=0.1)
        optimizer.step()
        stretched = max(1, shape[0] / (kernel.numel() / shape[0])) ** 0.5  # tall matrices take longer steps
        values = torch.linalg.svdvals(kernel.detach().flatten(1)) / (0.1 * stretched)
        # Newton and Schulz's five steps bring singular values near 1, not onto it.
        assert values.min() > 0.5
        assert values.max() < 1.3
        assert (kernel * kernel.grad).sum() < 0  # downhill


@needs_muon
@pytest.mark.parametrize("original", [False, True])
def test_a_continued_run_by_muon_equals_a_straight_one(tmp_path, original):
    def trained(steps, out):
        torch.manual_seed(0)
        config = tiny(filters=6)
        settings = Training(steps=steps, batch_size=4, record_every=5, optimizer="muon", warmup_steps=3)
        model = build(config.original() if original else config)
        return fit(model, IMAGES, training=settings, out=out, device="cpu", progress=False)[0]

    straight = trained(10, tmp_path / "straight")
    trained(5, tmp_path / "parts")
    assert same(straight, trained(10, tmp_path / "parts"))


def test_without_muon_in_torch_the_remedy_is_named(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ValueError, match=r"has no Muon; install torch 2.9 or newer, or use optimizer='adam'"):
        run(1, optimizer="muon")


def test_the_live_weights_are_validated_beside_the_averaged_ones(tmp_path):
    torch.manual_seed(0)
    model = PixelCNNpp(tiny())
    settings = Training(steps=5, batch_size=4, record_every=5, ema_decay=0.9, init_images=0)
    averaged, lines = fit(model, IMAGES, training=settings, validation=TEST, device="cpu", progress=False)
    assert lines[-1]["validation_bits_per_dim"] == pytest.approx(evaluate(averaged, TEST))
    assert lines[-1]["live_validation_bits_per_dim"] == pytest.approx(evaluate(model, TEST))
    assert lines[-1]["live_validation_bits_per_dim"] != lines[-1]["validation_bits_per_dim"]


def test_a_checkpoint_of_another_version_is_named(tmp_path):
    run(5, tmp_path)
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del checkpoint["settings"]["training"]["cooldown"]
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="another version of this package wrote"):
        run(10, tmp_path)


def test_each_epoch_shows_every_image_once():
    order = torch.cat([pixelcnn_edu.training._indices(10, 4, step, 0) for step in range(5)])
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
    monkeypatch.setattr(model, "bits_per_dim", lambda images, labels=None: model.to_params.bias.sum() * math.nan)
    with pytest.raises(FloatingPointError, match=r"on the images .*, at step 0; no checkpoint was written yet"):
        fit(model, IMAGES, training=Training(steps=1), device="cpu", progress=False)


def test_a_folder_that_cannot_be_written_is_named_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write to the output folder .*file.*choose another"):
        run(5, tmp_path / "file" / "run")


def test_a_folder_that_cannot_be_used_is_refused_before_the_model_is_touched(tmp_path):
    (tmp_path / "file").write_text("")
    run(5, tmp_path / "taken")
    model = PixelCNNpp(tiny())
    before = copy.deepcopy(model.state_dict())
    for out, error in {"file/run": OSError, "taken": ValueError}.items():
        with pytest.raises(error):
            fit(model, IMAGES, training=Training(steps=5), out=tmp_path / out, device="cpu", progress=False)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_finished_run_can_be_read_and_its_weights_loaded(tmp_path):
    averaged, lines = run(5, tmp_path)
    record = read_run(tmp_path)
    assert record.config == averaged.config
    assert record.metrics["validation_bits_per_dim"][-1] == pytest.approx(lines[-1]["validation_bits_per_dim"], rel=1e-4)
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
    """Gives every one of some levels the same probability."""

    def __init__(self, levels=256):
        super().__init__()
        self.levels, self.unused = levels, nn.Parameter(torch.zeros(1))

    bits_per_dim = PixelCNNpp.bits_per_dim

    def log_prob(self, images, labels=None):
        return torch.full((len(images),), -images[0].numel() * math.log(self.levels), dtype=torch.float64)


def test_a_uniform_guess_costs_exactly_eight_bits():
    assert evaluate(Uniform(), TEST) == pytest.approx(8, abs=1e-12)


@pytest.mark.slow
def test_pure_noise_cannot_be_brought_below_eight_bits():
    noise = random_bytes(400, 3, 8, 8, seed=2)
    settings = Training(steps=60, ema_decay=0.5, learning_rate=5e-3)
    model, _ = fit(PixelCNNpp(tiny()), noise, training=settings, device="cpu", progress=False)
    assert evaluate(model, random_bytes(400, 3, 8, 8, seed=3)) > 8 - 0.001


@pytest.mark.parametrize(("levels", "bits"), [(2, 1), (8, 3), (256, 8)])
def test_a_uniform_guess_among_levels_costs_their_logarithm(levels, bits):
    """In a stub, and for two levels in the model itself: a logistic about the middle gives half to each."""
    images = random_bytes(5, 1, 4, 4, levels=levels)
    assert evaluate(Uniform(levels), images) == pytest.approx(bits, abs=1e-9)
    if levels == 2:
        model = PixelCNNpp(tiny(image_shape=(1, 4, 4), levels=2))
        with torch.no_grad():
            for p in model.to_params.parameters():
                p.zero_()
            model.to_params.parametrizations.weight.original1.fill_(1)  # a direction; its length is 0
        assert evaluate(model, images) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("steps", [7, 10])
def test_the_record_has_a_line_every_so_often_and_one_at_the_end(tmp_path, steps):
    _, lines = run(steps, tmp_path, record_every=4, validation_images=3)
    assert [line["step"] for line in lines] == [s for s in range(1, steps + 1) if s % 4 == 0 or s == steps]
    assert [line["images"] for line in lines] == [4 * line["step"] for line in lines]
    assert [line["validation_images"] for line in lines] == [3] * (len(lines) - 1) + [10]
    assert all(0 < a["seconds"] <= b["seconds"] for a, b in itertools.pairwise(lines))
    metrics = read_run(tmp_path).metrics
    for name, column in metrics.items():
        assert column.tolist() == pytest.approx([line[name] for line in lines], rel=1e-4)


def test_the_training_number_is_the_mean_since_the_last_line(monkeypatch):
    losses, update = [], pixelcnn_edu.state.TrainingState.update
    monkeypatch.setattr(
        pixelcnn_edu.state.TrainingState, "update", lambda state, loss: losses.append(loss) or update(state, loss)
    )
    _, lines = run(7, record_every=3)
    expected = [sum(losses[a:b]) / (b - a) for a, b in [(0, 3), (3, 6), (6, 7)]]
    assert [line["train_bits_per_dim"] for line in lines] == pytest.approx(expected)


def test_without_test_images_the_record_says_nothing_of_them(tmp_path):
    settings = Training(steps=2, batch_size=4, record_every=1)
    _, lines = fit(PixelCNNpp(tiny()), IMAGES, training=settings, out=tmp_path, device="cpu", progress=False)
    assert "validation_bits_per_dim" not in lines[0]
    assert all(math.isnan(value) for value in read_run(tmp_path).metrics["validation_bits_per_dim"])


def test_training_learns_and_changes_the_model_given():
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(filters=8))
    flat = (IMAGES // 64 + 100).to(torch.uint8)
    before = [p.clone() for p in model.parameters()]
    settings = Training(steps=60, batch_size=10, record_every=20, ema_decay=0.9, learning_rate=5e-3)
    averaged, lines = fit(model, flat, training=settings, device="cpu", progress=False)
    assert lines[-1]["train_bits_per_dim"] < lines[0]["train_bits_per_dim"] - 1
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert averaged is not model
    assert not averaged.training
    assert not same(model, averaged)


def test_the_same_seed_trains_the_same_model_and_another_seed_another():
    (first, _), (again, _), (other, _) = run(4), run(4), run(4, seed=1)
    assert same(first, again)
    assert not same(first, other)


def test_training_leaves_the_random_state_alone():
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(dropout=0.5))
    before = torch.get_rng_state()
    fit(model, IMAGES, training=Training(steps=3, batch_size=4), validation=TEST, device="cpu", progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_labels_stay_with_their_images(monkeypatch):
    """Each image is of one brightness, its label; whatever batch comes, they must agree."""
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(20, 3, 8, 8)
    bits, seen = PixelCNNpp.bits_per_dim, []

    def watched(model, images, labels=None):
        assert torch.equal(images[:, 0, 0, 0].long(), labels)
        seen.extend(labels.tolist())
        return bits(model, images, labels)

    monkeypatch.setattr(PixelCNNpp, "bits_per_dim", watched)
    labels = torch.arange(20)
    settings = Training(steps=7, batch_size=6, record_every=3, init_images=30)
    fit(PixelCNNpp(tiny(classes=20)), images, labels, settings, images, labels, device="cpu", progress=False)
    assert set(seen) == set(range(20))


def test_a_class_conditional_run_samples_its_classes(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        pixelcnn_edu.training, "sample", lambda model, count, labels, **_: asked.append(labels) or IMAGES[:count]
    )
    settings = Training(steps=1, batch_size=4)
    labels = torch.arange(20) % 3
    fit(PixelCNNpp(tiny(classes=3)), IMAGES, labels, settings, out=tmp_path, device="cpu", progress=False)
    assert asked[0].tolist() == [n % 3 for n in range(16)]


def test_every_step_has_its_own_images_and_its_own_dropout(monkeypatch):
    bits, seen, seeds = PixelCNNpp.bits_per_dim, [], []

    def watched(model, images, labels=None):
        seen.extend(images[:, 0, 0, 0].tolist())
        seeds.append(torch.initial_seed())
        return bits(model, images, labels)

    monkeypatch.setattr(PixelCNNpp, "bits_per_dim", watched)
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(20, 3, 8, 8)
    for seed in (0, 1):
        settings = Training(steps=5, batch_size=4, seed=seed)
        fit(PixelCNNpp(tiny(dropout=0.5)), images, training=settings, device="cpu", progress=False)
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20))
    assert seen[:20] != seen[20:]
    assert len(set(seeds)) == 10


def test_a_batch_larger_than_the_data_runs_through_several_epochs():
    indices = pixelcnn_edu.training._indices(3, 8, 2, 0)
    batch, labels = pixelcnn_edu.training._take(torch.arange(3), torch.arange(3) + 10, indices, torch.device("cpu"))
    assert batch.bincount().tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])
    assert torch.equal(labels, batch + 10)


def test_mixed_precision_trains_nearly_the_same_and_scores_in_float32():
    _, lines = run(5)
    _, mixed = run(5, mixed_precision=True)
    assert mixed[-1]["train_bits_per_dim"] == pytest.approx(lines[-1]["train_bits_per_dim"], rel=0.02)
    assert mixed[-1]["train_bits_per_dim"] != lines[-1]["train_bits_per_dim"]
    averaged, _ = run(1, mixed_precision=True)
    assert all(p.dtype == torch.float32 for p in averaged.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["nan", "inf"])
def test_a_loss_that_explodes_later_keeps_what_was_recorded(tmp_path, monkeypatch, trouble):
    run(5, tmp_path)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    bits = PixelCNNpp.bits_per_dim
    calls = iter(range(100))

    def explodes(model, images, labels=None):
        return bits(model, images, labels) * (float(trouble) if next(calls) == 2 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(PixelCNNpp, "bits_per_dim", explodes)
        with pytest.raises(
            FloatingPointError,
            match=rf"the loss is {trouble} on the images \[\d+, \d+, \d+, \d+\], at step 7; "
            rf"the last good checkpoint is that of step 5 in .*{tmp_path.name}. Start a new run, with a lower learning",
        ):
            run(10, tmp_path)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert after["step"] == 5
    assert all(torch.equal(kept["model"][name], after["model"][name]) for name in kept["model"])
    straight, _ = run(10)
    assert same(straight, run(10, tmp_path)[0])


def test_evaluation_leaves_the_model_as_it_was_even_if_it_fails():
    model = PixelCNNpp(tiny(dropout=0.5))
    before = copy.deepcopy(model.state_dict())
    evaluate(model, TEST)
    with pytest.raises(ValueError, match="built for images"):
        evaluate(model, random_bytes(2, 3, 16, 16))
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert evaluate(model, TEST) == evaluate(model, TEST)  # no dropout in it


def test_bits_per_image_are_the_models_own_in_order():
    model = PixelCNNpp(tiny(classes=2)).eval()
    labels = torch.arange(10) % 2
    bits = bits_per_image(model, TEST, labels, batch_size=4)
    assert bits.dtype == torch.float64
    assert not bits.requires_grad
    torch.testing.assert_close(bits.float(), model.bits_per_dim(TEST, labels).detach())
    assert evaluate(model, TEST, labels) == pytest.approx(bits.mean().item())


def test_a_loaded_checkpoints_settings_continue_the_run(tmp_path):
    """Settings that went through the record's JSON are still the same settings."""
    run(5, tmp_path)
    record = read_run(tmp_path)
    settings = Training(**record.training)
    assert settings == Training(**{**record.training, "betas": (0.95, 0.9995)})
    fit(PixelCNNpp(record.config), IMAGES, training=settings, validation=TEST, out=tmp_path, device="cpu", progress=False)


def test_what_does_not_fit_together_is_said_before_training_starts(tmp_path):
    model, settings = PixelCNNpp(tiny(classes=3)), Training(steps=2)
    labels = torch.arange(20) % 3
    for words, arguments in {
        "^images: labels must be 20 integers": {"labels": labels[:19]},
        "^validation images: labels must be 10 integers": {
            "labels": labels,
            "validation": TEST,
            "validation_labels": labels[:11],
        },
        "no images to validate on": {"labels": labels, "validation": TEST[:0], "validation_labels": labels[:0]},
    }.items():
        with pytest.raises(ValueError, match=words):
            fit(model, IMAGES, training=settings, out=tmp_path / "run", device="cpu", progress=False, **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("ema_decay", 1.5),
        ("learning_rate_decay", -0.1),
        ("init_images", -1),
        ("record_every", 0),
        ("validation_images", 0),
        ("seed", 2**40),
    ],
)
def test_settings_that_make_no_training_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Training(**{name: value})


def test_nothing_to_train_on_or_to_evaluate_is_said():
    with pytest.raises(ValueError, match="no images"):
        fit(PixelCNNpp(tiny()), IMAGES[:0])
    with pytest.raises(ValueError, match="no images"):
        evaluate(PixelCNNpp(tiny()), IMAGES[:0])


def test_the_two_switches_of_training_turn_off_what_they_name(monkeypatch):
    """No images for the initialisation: the weights start as they are. No memory in the average: it is the weights."""
    called = []
    monkeypatch.setattr(pixelcnn_edu.training, "data_dependent_init", lambda *_: called.append(True))
    torch.manual_seed(0)
    model = PixelCNNpp(tiny())
    settings = Training(steps=3, batch_size=4, init_images=0, ema_decay=0.0)
    averaged, _ = fit(model, IMAGES, training=settings, device="cpu", progress=False)
    assert called == []
    assert all(torch.equal(a, b) for a, b in zip(averaged.parameters(), model.parameters()))
    fit(model, IMAGES, training=Training(steps=1, batch_size=4), device="cpu", progress=False)
    assert called == [True]


def test_the_network_is_compiled_where_that_is_asked_for_and_only_there(monkeypatch):
    """The compiler itself is stood in for, since not every machine has one."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda module: compiled.append(module) or module)
    plain, _ = run(2)
    assert compiled == []
    fused, _ = run(2, compile=True)
    assert len(compiled) == 1
    assert same(plain, fused)


def test_the_progress_bar_counts_images_and_tells_the_score(capsys):
    settings = Training(steps=4, batch_size=4, record_every=2)
    fit(PixelCNNpp(tiny()), IMAGES, training=settings, validation=TEST, device="cpu", progress=True)
    shown = capsys.readouterr().err
    assert "16/16" in shown
    assert "image/s" in shown or "s/image" in shown
    assert "bits/dim, validation" in shown


@pytest.mark.parametrize("changes", [{}, {"classes": 2}, {"whole_pixels": False}])
def test_in_mixed_precision_pixels_and_parameters_keep_their_digits_and_the_rest_does_not(changes):
    model = PixelCNNpp(tiny(**changes))
    labels = torch.tensor([0, 1]) if "classes" in changes else None
    x, inside = to_model(TEST[:2]), []
    model.down[-1].horizontal.register_forward_hook(lambda _, inputs, output: inside.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        starts = model.start_vertical(model.padded(x)), model.start_horizontal(model.padded(x))
        assert model(x, labels).dtype == torch.float32
    assert inside == [torch.bfloat16]
    assert torch.equal(starts[0], model.start_vertical(model.padded(x)).bfloat16())
    assert torch.equal(starts[1], model.start_horizontal(model.padded(x)).bfloat16())


def test_the_original_keeps_them_too():
    original = build(tiny().original())
    seen = []
    original.first.register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert original(to_model(TEST[:2])).dtype == torch.float32
    assert seen == [torch.float32]


def test_a_gpu_that_only_imitates_bfloat16_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "T4")
    check, gpu = pixelcnn_edu.training._warn_of_slow_bfloat16, torch.device("cuda")
    with pytest.warns(UserWarning, match="T4 has no bfloat16 convolutions of its own.* turn it off"):
        check(gpu, Training(mixed_precision=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(gpu, Training())
        check(torch.device("cpu"), Training(mixed_precision=True))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
        check(gpu, Training(mixed_precision=True))


LABELS = torch.arange(20) % 2


@pytest.mark.parametrize(
    ("labels", "test", "test_labels", "words"),
    [
        (LABELS, TEST, None, "labels .* are needed"),
        (LABELS, TEST.float(), LABELS[:10], "integers"),
        (LABELS, TEST[:, :, :4], LABELS[:10], r"built for images \(N, 3, 8, 8\)"),
        (LABELS, TEST, LABELS[:9], "labels must be 10 integers"),
        (LABELS, TEST, torch.full((10,), 2), r"labels must be 0\.\.1, got 2\.\.2"),
        (torch.cat([LABELS[1:], torch.tensor([7])]), TEST, LABELS[:10], r"labels must be 0\.\.1, got 0\.\.7"),
        ("cat", TEST, LABELS[:10], "^labels must be a tensor or a NumPy array of integers, got a str"),
        (["cat"] * 20, TEST, LABELS[:10], "^labels must be a tensor or a NumPy array of integers, got an array of <U3"),
        (LABELS, TEST, "cat", "^validation_labels must be a tensor or a NumPy array of integers, got a str"),
    ],
)
def test_what_would_fail_at_the_first_test_is_said_before_the_first_step(tmp_path, labels, test, test_labels, words):
    settings = Training(steps=2, batch_size=4)
    with pytest.raises(ValueError, match=words):
        fit(PixelCNNpp(tiny(classes=2)), IMAGES, labels, settings, test, test_labels, out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_with_other_images(tmp_path):
    run(5, tmp_path)
    settings = Training(steps=10, batch_size=4, record_every=5, ema_decay=0.9, validation_images=10)
    for images in (255 - IMAGES, IMAGES[:16]):
        with pytest.raises(ValueError, match=r"another run .*data\."):
            fit(PixelCNNpp(tiny(dropout=0.5)), images, training=settings, validation=TEST, out=tmp_path, device="cpu")


def test_weights_that_are_no_numbers_are_not_recorded(tmp_path, monkeypatch):
    """The loss is still a number, the gradient is none, and a line is due before the next loss would show it."""
    update = pixelcnn_edu.state.TrainingState.update

    def spoiled(state, loss):
        if state.step == 9:
            next(state.model.parameters()).grad.fill_(math.nan)
        update(state, loss)

    monkeypatch.setattr(pixelcnn_edu.state.TrainingState, "update", spoiled)
    with pytest.raises(FloatingPointError, match=r"weights .* at step 10; the last good checkpoint is that of step 5"):
        run(20, tmp_path)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 5
    assert all(torch.isfinite(tensor).all() for tensor in saved["model"].values())


def test_a_test_takes_no_more_images_at_once_than_training_has_room_for(monkeypatch):
    sizes, forward = [], PixelCNNpp.forward
    monkeypatch.setattr(PixelCNNpp, "forward", lambda self, x, *rest: sizes.append(len(x)) or forward(self, x, *rest))
    run(1, batch_size=4, accumulate=2, init_images=0)
    assert max(sizes) == 4  # twice the part of a batch


@pytest.mark.parametrize("moment", ["saving", "sampling"])
def test_ctrl_c_may_be_pressed_twice_and_after_the_last_step(tmp_path, monkeypatch, moment):
    def struck(*_, **__):
        raise KeyboardInterrupt

    if moment == "sampling":
        monkeypatch.setattr(pixelcnn_edu.training, "sample", struck)
        averaged, _ = run(5, tmp_path)
        assert not averaged.training
        assert read_run(tmp_path).environment["finished"] is True
    else:
        save = RunFolder.save

        def struck_again(folder, state, finished):
            signal.raise_signal(signal.SIGINT)
            save(folder, state, finished)

        monkeypatch.setattr(pixelcnn_edu.state.TrainingState, "update", struck)
        monkeypatch.setattr(RunFolder, "save", struck_again)
        with pytest.raises(KeyboardInterrupt):
            run(5, tmp_path)
        assert read_run(tmp_path).environment["finished"] is False
    assert (tmp_path / "weights.safetensors").exists()


def test_adam_remembers_as_long_as_it_is_told():
    state = pixelcnn_edu.state.TrainingState(PixelCNNpp(tiny()), Training(betas=(0.7, 0.8)), torch.device("cpu"))
    assert [group["betas"] for group in state.optimizers["adam"].param_groups] == [(0.7, 0.8)]
