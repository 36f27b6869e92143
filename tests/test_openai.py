"""The released TensorFlow code is the oracle: with its variables our model computes what it computed.

The golden files hold what openai/pixel-cnn at bbc1568 computed in float64, under TensorFlow 2.21: a has 16x16 pixels and one
block, b 8x8 pixels and two blocks, c ten labels. In a and c one or two pixels of a hundred meet the released likelihood's
approximation of improbable levels, in b none, so b is the strictest.
"""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelcnn_edu import Config, Training, build, evaluate, fit, load_images, load_model, sample, to_model
from pixelcnn_edu.blocks import data_dependent_init, unit_lengths
from pixelcnn_edu.cli import main
from pixelcnn_edu.likelihoods import DiscretizedLogisticMixture
from pixelcnn_edu.optimizers import learning_rate_factor, make_optimizers
from pixelcnn_edu.state import TrainingState
from pixelcnn_edu.weights import _in_our_layout, load_openai

FILES = {
    path.stem.removeprefix("openai_"): np.load(path) for path in (Path(__file__).parent / "golden").glob("openai_*.npz")
}
CONFIGS = {
    "a": Config(image_shape=(3, 16, 16), blocks=1, filters=6, mixtures=3, dropout=0.0),
    "b": Config(image_shape=(3, 8, 8), blocks=2, filters=4, mixtures=2, dropout=0.0),
    "c": Config(image_shape=(3, 8, 8), blocks=1, filters=6, mixtures=3, classes=10, dropout=0.0),
}
each = pytest.mark.parametrize("name", CONFIGS)
trained = pytest.mark.parametrize("name", ["b", "c"])


def variables(name, prefix="state"):
    """The arrays below a prefix by their names, in float64, the graph's precision; some are stored in float32."""
    prefix += "/"
    return {
        key.removeprefix(prefix): FILES[name][key].astype(np.float64) for key in FILES[name].files if key.startswith(prefix)
    }


def batch(name, prefix=""):
    """The images as we hold them, and the labels or None."""
    file = FILES[name]
    images = torch.from_numpy(file[f"{prefix}x"]).permute(0, 3, 1, 2).contiguous()  # (N, H, W, C) -> (N, C, H, W)
    return images, torch.from_numpy(file[f"{prefix}labels"]) if f"{prefix}labels" in file.files else None


def model_of(name):
    return load_openai(variables(name), CONFIGS[name])


def assert_same(ours, theirs, stored, exact=True):
    """Equal relative to the largest number: to 1e-9 where float64 is stored and nothing is approximated, else to 1e-6."""
    tolerance = 1e-9 if exact and stored.dtype == np.float64 else 1e-6
    assert ours.dtype == torch.float64
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def assert_all_same(ours, model, name, prefix, exact):
    """Compare tensors by our names with the arrays below a prefix of a golden file."""
    theirs, file = _in_our_layout(model, variables(name, prefix)), FILES[name]
    assert set(theirs) == set(ours)
    stored = {"V": "V", "original1": "V", "original0": "g", "bias": "b", "weight": "hw"}
    for key, expected in theirs.items():
        kind = stored[key.rsplit(".", 1)[-1]]
        like = next(file[k] for k in file.files if k.startswith(prefix) and k.endswith(f"/{kind}"))
        assert_same(ours[key].detach(), expected, like, exact)


def in_their_order(params, mixtures):
    """Logits, then for each channel means, log scales and coefficients before tanh: (N, P, H, W) -> (N, H, W, P)."""
    d = DiscretizedLogisticMixture.from_params(params)
    scales, raw = (
        params[:, start * mixtures : (start + 3) * mixtures].unflatten(1, (mixtures, 3)) for start in (4, 7)
    )  # each (N, K, 3, H, W), the scales before the clamp
    blocks = [part for c in range(3) for part in (d.means[:, :, c], scales[:, :, c], raw[:, :, c])]
    return torch.cat([d.logits, *blocks], dim=1).permute(0, 2, 3, 1)


# --- the network and the likelihood ----------------------------------------------------------------------------------


@each
def test_the_same_variables_give_the_same_outputs(name):
    images, labels = batch(name)
    with torch.no_grad():
        y = model_of(name)(to_model(images, dtype=torch.float64), labels)
    stored = FILES[name]["y"]
    assert_same(in_their_order(y, CONFIGS[name].mixtures), torch.from_numpy(stored).double(), stored)


@each
def test_the_same_images_have_the_same_log_likelihood(name):
    with torch.no_grad():
        log_prob = model_of(name).log_prob(*batch(name))
    assert_same(log_prob, torch.from_numpy(FILES[name]["log_prob"]), FILES[name]["log_prob"], exact=name == "b")


@each
def test_the_gradients_are_the_same(name):
    model = model_of(name)
    (-model.log_prob(*batch(name)).sum()).backward()
    ours = {key: parameter.grad for key, parameter in model.named_parameters()}
    assert_all_same(ours, model, name, "grad", exact=name == "b")


def test_a_label_moves_the_outputs():
    model, (images, labels) = model_of("c"), batch("c")
    x = to_model(images, dtype=torch.float64)
    assert not torch.allclose(model(x, labels), model(x, (labels + 1) % 10))


# --- training --------------------------------------------------------------------------------------------------------


@trained
def test_initialisation_as_released(name):
    file = f"{name}_init"
    model = load_openai(variables(file, "init/before"), CONFIGS[name])
    images, labels = batch(file, "init/")
    data_dependent_init(model, to_model(images, dtype=torch.float64), labels, as_released=True)
    after = _in_our_layout(model, {**variables(file, "init/before"), **variables(file, "init/after")})
    for key, parameter in model.named_parameters():
        assert_same(parameter.detach(), after[key], np.float64(0), exact=True)


@trained
def test_our_initialisation_differs_from_the_first_transposed_convolution_on(name):
    file = f"{name}_init"
    model = load_openai(variables(file, "init/before"), CONFIGS[name])
    images, labels = batch(file, "init/")
    data_dependent_init(model, to_model(images, dtype=torch.float64), labels)
    after = _in_our_layout(model, {**variables(file, "init/before"), **variables(file, "init/after")})
    first = next(place for place, layer in enumerate(model.down) if hasattr(layer.vertical, "init_scale"))
    lengths = {key: p.detach() / after[key] for key, p in model.named_parameters() if key.endswith("original0")}
    before = [ratio for key, ratio in lengths.items() if key.split(".")[:1] == ["up"] or key.startswith("first")]
    assert all((ratio - 1).abs().max() < 1e-9 for ratio in before)
    for stream in ("vertical", "horizontal"):
        ratio = lengths[f"down.{first}.{stream}.parametrizations.weight.original0"]
        assert (ratio < 0.98).all()  # zeros made their output look smaller, so their lengths are larger


@trained
def test_a_step_of_adam_and_of_the_average_as_released(name):
    images, labels = batch(name)
    training = Training(batch_size=len(images), learning_rate_decay=1.0, as_released=True)
    state = TrainingState(model_of(name).train(), training, torch.device("cpu"))
    state.update(state.gradient(images, labels))
    exact = name == "b"
    assert_all_same(dict(state.model.named_parameters()), state.model, f"{name}_step", "adam/after", exact)
    assert_all_same(dict(state.average.module.named_parameters()), state.model, f"{name}_step", "ema/after", exact)


def test_epsilon_inside_the_root_matters_for_small_gradients_alone():
    """Two parameters, by hand: at the first step the averages are the gradient and its square."""
    model = torch.nn.Linear(1, 2, bias=False).double()
    model.config = Config.tiny(image_shape=(1, 1, 1))
    gradient, nats = torch.tensor([[1.0], [1e-6]], dtype=torch.float64), 4 * np.log(2)  # of 4 images with 1 sub-pixel
    before = model.weight.detach().clone()
    adam = make_optimizers(model, Training(batch_size=4, as_released=True))["adam"]
    model.weight.grad = gradient
    adam.step()
    expected = 1e-3 * nats * gradient / torch.sqrt((nats * gradient) ** 2 + 1e-8)
    torch.testing.assert_close(before - model.weight, expected, rtol=1e-9, atol=0)
    assert (before - model.weight)[0] > 0.99e-3
    assert (before - model.weight)[1] < 0.1e-3


def test_the_learning_rate_decays_before_the_first_step():
    training = {"learning_rate_decay": 0.5, "steps": 10}
    assert [learning_rate_factor(Training(**training, as_released=True), step) for step in range(3)] == [0.5, 0.25, 0.125]
    assert [learning_rate_factor(Training(**training), step) for step in range(3)] == [1, 0.5, 0.25]


def test_the_average_starts_from_the_weights_as_drawn_with_lengths_1(tmp_path):
    torch.manual_seed(0)
    model = build(CONFIGS["b"]).double()
    drawn = {key: p.detach().clone() for key, p in model.named_parameters()}
    settings = {"batch_size": 2, "init_images": 4, "record_every": 1, "as_released": True}
    images = batch("b")[0]
    averaged, _ = fit(model, images, training=Training(steps=1, **settings), out=tmp_path, device="cpu", samples=0)
    live = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"]
    for key, average in averaged.named_parameters():
        start = torch.ones_like(average) if key.endswith("original0") else drawn[key]
        torch.testing.assert_close(average, 0.9995 * start + 0.0005 * live[key], rtol=1e-9, atol=1e-15)
    # and a run that was stopped goes on bit for bit
    two, _ = fit(model, images, training=Training(steps=2, **settings), out=tmp_path, device="cpu", samples=0)
    torch.manual_seed(0)
    straight, _ = fit(build(CONFIGS["b"]).double(), images, training=Training(steps=2, **settings), device="cpu")
    assert all(torch.equal(p, q) for p, q in zip(two.parameters(), straight.parameters()))


def test_unit_lengths_leave_directions_and_biases():
    model = build(CONFIGS["b"])
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    unit_lengths(model)
    for key, p in model.named_parameters():
        assert torch.equal(p, torch.ones_like(p) if key.endswith("original0") else before[key])


def test_as_released_is_not_muon():
    with pytest.raises(ValueError, match="as_released trains by Adam"):
        Training(as_released=True, optimizer="muon")


# --- float64 throughout ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 256, 1000])
def test_pixels_come_in_the_models_precision(levels):
    images = torch.arange(levels)
    exact = torch.linspace(-1, 1, levels, dtype=torch.float64)
    torch.testing.assert_close(to_model(images, levels, torch.float64), exact, rtol=0, atol=1e-15)
    assert torch.equal(to_model(images, levels, torch.bfloat16), to_model(images, levels).bfloat16())


def test_training_and_samples_of_a_float64_model_are_float64(monkeypatch):
    images, _ = batch("b")
    model = model_of("b")
    loss = TrainingState(model, Training(batch_size=4), torch.device("cpu")).gradient(images, None)
    nats = -FILES["b"]["log_prob"].mean()
    assert abs(loss / (nats / np.log(2) / 192) - 1) < 1e-12
    seen, pad = [], type(model.stem).pad
    monkeypatch.setattr(type(model.stem), "pad", lambda self, x: seen.append(x) or pad(self, x))
    drawn = sample(model, 1, seed=1, method="naive", progress=False)
    torch.testing.assert_close(seen[-1][0, :, :-1], 2 * drawn[0, :, :-1].double() / 255 - 1, rtol=0, atol=1e-15)
    assert torch.equal(sample(model, 1, seed=1, progress=False), drawn)
    fit(model, images, training=Training(steps=1, batch_size=2, init_images=4), progress=False, device="cpu")
    assert all(x.dtype == torch.float64 for x in seen)


# --- where variables come from ---------------------------------------------------------------------------------------


@each
def test_the_configuration_is_read_off_the_shapes(name):
    found = load_openai(variables(name)).config
    expected = {**CONFIGS[name].to_dict(), "image_shape": (3, 32, 32), "dropout": 0.5}
    assert found.to_dict() == expected


def test_the_model_has_the_precision_of_the_variables():
    single = {key: value.astype(np.float32) for key, value in variables("b").items()}
    half = {key: value.astype(np.float16) for key, value in variables("b").items()}
    kinds = [next(load_openai(source).parameters()).dtype for source in (variables("b"), single, half)]
    assert kinds == [torch.float64, torch.float32, torch.float32]
    assert not load_openai(single).training


def checkpoint_of(name):
    """What a checkpoint of the released code holds: weights, their averages, and Adam's moments without names."""
    averages = {f"{key}/ExponentialMovingAverage": value for key, value in variables(name).items()}
    weights = {key: value + 1 for key, value in variables(name).items()}
    return {**weights, **averages, "Variable": np.array(3.0), "Variable_1": np.zeros(4)}


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_averages_are_taken_where_there_are_some_and_the_weights_where_they_are_asked_for():
    averaged, live = load_openai(checkpoint_of("c")), load_openai(checkpoint_of("c"), averaged=False)
    assert equal(averaged, load_openai(variables("c")))
    assert not equal(live, averaged)
    assert torch.equal(live.stem.vertical.bias, averaged.stem.vertical.bias + 1)
    tensors = {f"{key}:0": torch.from_numpy(value) for key, value in variables("c").items()}
    assert equal(averaged, load_openai(tensors))


def test_variables_are_read_from_an_npz(tmp_path, capsys):
    path = tmp_path / "released.npz"
    np.savez(path, **checkpoint_of("b"))
    assert equal(load_openai(path, CONFIGS["b"]), model_of("b"))
    assert equal(load_model(str(path)), model_of("b"))


class Reader:
    """What `tensorflow.train.load_checkpoint` gives, of variables in memory."""

    def __init__(self, held):
        self.held, self.asked = held, []

    def get_variable_to_shape_map(self):
        return {name: list(value.shape) for name, value in self.held.items()}

    def get_tensor(self, name):
        self.asked.append(name)
        return self.held[name]


@pytest.fixture
def tensorflow(monkeypatch):
    """A TensorFlow that knows the checkpoint of b and no other."""
    reader = Reader(checkpoint_of("b"))

    class OpError(Exception):
        pass

    def load_checkpoint(prefix):
        if not prefix.endswith("params_cifar.ckpt"):
            raise OpError("Data loss: not an sstable")
        return reader

    stub = types.ModuleType("tensorflow")
    stub.train = types.SimpleNamespace(load_checkpoint=load_checkpoint)
    stub.errors = types.SimpleNamespace(OpError=OpError)
    monkeypatch.setitem(sys.modules, "tensorflow", stub)
    return reader


@pytest.mark.parametrize("ending", [".index", ".meta"])
def test_a_checkpoint_is_read_by_its_prefix_without_adams_moments(tmp_path, tensorflow, ending):
    (tmp_path / f"params_cifar.ckpt{ending}").touch()
    assert equal(load_openai(tmp_path / "params_cifar.ckpt"), model_of("b"))
    assert equal(load_model(str(tmp_path / "params_cifar.ckpt")), model_of("b"))
    assert not any(name.startswith("Variable") for name in tensorflow.asked)


def test_a_checkpoint_that_is_damaged_or_missing_is_named(tmp_path, tensorflow):
    (tmp_path / "other.ckpt.index").touch()
    with pytest.raises(ValueError, match=r"other\.ckpt is no checkpoint that TensorFlow can read: Data loss"):
        load_openai(tmp_path / "other.ckpt")
    with pytest.raises(
        FileNotFoundError, match=r"there is no checkpoint .*other\.ckpt\.index; .* before \.index and \.meta"
    ):
        load_openai(tmp_path / "other.ckpt.index")


def test_without_tensorflow_the_remedy_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    (tmp_path / "params_cifar.ckpt.index").touch()
    with pytest.raises(ImportError, match=r"pip install 'pixelcnn-edu\[tensorflow\]'"):
        load_openai(tmp_path / "params_cifar.ckpt")
    assert main(["evaluate", str(tmp_path / "params_cifar.ckpt"), "--data", "shapes"]) == 1
    assert "pixelcnn-edu[tensorflow]" in capsys.readouterr().err


def test_tensorflow_itself_reads_its_checkpoint(tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    held, prefix = checkpoint_of("c"), str(tmp_path / "params_cifar.ckpt")
    tensorflow.raw_ops.SaveV2(
        prefix=prefix, tensor_names=list(held), shape_and_slices=[""] * len(held), tensors=list(held.values())
    )
    assert equal(load_openai(prefix), load_openai(variables("c")))


# --- what is wrong is named ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filters": 160, "blocks": 5}, "filters is 4 there, 160 here; blocks is 2 there, 5 here"),
        ({"mixtures": 10}, "mixtures is 2 there, 10 here"),
        ({"classes": 10}, "classes is 0 there, 10 here"),
        ({"image_shape": (1, 8, 8)}, "channels is 3 there, 1 here"),
        ({"shortcuts": False}, "shortcuts is True there, False here"),
    ],
)
def test_variables_of_another_configuration_are_refused_with_the_difference(changes, words):
    with pytest.raises(ValueError, match=words):
        load_openai(variables("b"), Config(**{**CONFIGS["b"].to_dict(), **changes}))


@pytest.mark.parametrize(
    "lost", ["model/conv2d_0/V", "model/conv2d_62/b", "model/deconv2d_1/g", "model/dense_7/V", "model/dense_22/b"]
)
def test_a_missing_variable_is_named(lost):
    held = variables("b")
    del held[lost]
    with pytest.raises(ValueError, match=f"{lost}'? is missing"):
        load_openai(held)


def test_other_misfits_are_named():
    with pytest.raises(ValueError, match=r"hold more than the released model: model/conv2d_63/V"):
        load_openai({**variables("b"), "model/conv2d_63/V": np.zeros((2, 2, 4, 4))})
    with pytest.raises(ValueError, match=r"hold more than the released model: global_step"):
        load_openai({**variables("b"), "global_step": np.zeros(1)})
    with pytest.raises(ValueError, match=r"model/conv2d_3/V, \(2, 3, 4, 4\) there, does not fit up\.0\.vertical"):
        load_openai({**variables("b"), "model/conv2d_3/V": np.zeros((2, 3, 4, 4))})
    with pytest.raises(ValueError, match=r"model/conv2d_1/g must hold floats, got int64"):
        load_openai({**variables("b"), "model/conv2d_1/g": np.ones(4, np.int64)})
    with pytest.raises(ValueError, match=r"3 outputs, not 10 per component.*energy_distance"):
        load_openai({**variables("b"), "model/dense_26/b": np.zeros(3)})
    averages = checkpoint_of("b")
    del averages["model/conv2d_5/g/ExponentialMovingAverage"]
    with pytest.raises(ValueError, match=r"no average of model/conv2d_5/g; averaged=False"):
        load_openai(averages)
    with pytest.raises(ValueError, match=r"no variables of openai/pixel-cnn: 'model/conv2d_0/V' is missing"):
        load_openai({"w": np.zeros(2)})
    with pytest.raises(ValueError, match=r"expected a dict .* got list"):
        load_openai([1, 2])


def test_a_file_that_is_no_npz_or_would_run_code_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    with pytest.raises(FileNotFoundError):
        load_openai(path)
    path.write_text("text")
    with pytest.raises(ValueError, match=r"weights\.npz is no npz file, or holds more"):
        load_openai(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"weights\.npz is no npz file"):
        load_openai(path)
    np.savez(path, trap=np.array([print], dtype=object))
    with pytest.raises(ValueError, match=r"weights\.npz is no npz file, or holds more"):
        load_openai(path)


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_commands_take_the_released_variables(tmp_path, capsys):
    np.savez(tmp_path / "released.npz", **{key: value.astype(np.float32) for key, value in checkpoint_of("b").items()})
    model, source = load_openai(tmp_path / "released.npz"), str(tmp_path / "released.npz")
    assert main(["evaluate", source, "--data", "shapes", "--images", "2", "--device", "cpu"]) == 0
    bits = evaluate(model, load_images("shapes", "test")[0][:2])
    assert capsys.readouterr().out.startswith(f"{bits:.4f} +- ")
    out = tmp_path / "samples.png"
    assert main(["sample", source, "--out", str(out), "--count", "1", "--device", "cpu"]) == 0
    assert out.stat().st_size > 1000


@pytest.mark.parametrize("command", ["evaluate", "sample"])
def test_the_help_says_so(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "the prefix of a TensorFlow checkpoint, or an npz of its variables" in text
