"""Bad input is refused in one sentence that names it and the remedy, before anything is lost; what is clear is taken."""

import json
import re
import shutil
import warnings

import numpy as np
import pytest
import torch
from oracles import initialised, random_bytes, tiny
from PIL import Image
from safetensors.torch import save_file

import pixelcnn_edu as pe
import pixelcnn_edu.training
from pixelcnn_edu import data, runs
from pixelcnn_edu.cli import Complete, Evaluate, Sample, Train, main
from pixelcnn_edu.data import DataUnavailable, load_images
from pixelcnn_edu.files import images_from_folder, small_imagenet
from pixelcnn_edu.parallel import process_device
from pixelcnn_edu.runs import read_run
from pixelcnn_edu.sampling import trace
from pixelcnn_edu.weights import load_model, load_pclucas14

IMAGES, LABELS = random_bytes(40, 3, 4, 4), torch.arange(40) % 2
SMALLEST = {"image_shape": (3, 4, 4), "filters": 2, "mixtures": 1}
GOLDEN = np.load(runs.Path(__file__).parent / "golden" / "pclucas14_tiny.npz")
THEIRS = {key.removeprefix("a/state/"): torch.from_numpy(GOLDEN[key]) for key in GOLDEN.files if key.startswith("a/state/")}


@pytest.fixture(autouse=True)
def quick_samples(monkeypatch):
    def drawn(model, count, *_, **__):
        return torch.zeros(count, *model.config.image_shape, dtype=torch.uint8)

    monkeypatch.setattr(pixelcnn_edu.training, "sample", drawn)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return pe.PixelCNNpp(tiny(**SMALLEST))


@pytest.fixture(scope="module")
def of_classes():
    torch.manual_seed(0)
    return pe.PixelCNNpp(tiny(**SMALLEST, classes=2))


def fit(out, images=IMAGES, labels=LABELS, validation=IMAGES[:2], validation_labels=LABELS[:2], **changes):
    torch.manual_seed(0)
    settings = pe.Training(**{"steps": 1, "batch_size": 2, "init_images": 2, **changes})
    model = pe.PixelCNNpp(tiny(**SMALLEST, classes=2))
    return pe.fit(model, images, labels, settings, validation, validation_labels, out=out, device="cpu", progress=False)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixelcnn_edu.training, "sample", lambda *_, **__: IMAGES[:1])
        fit(folder)
    return folder


@pytest.fixture
def run(once, tmp_path):
    """A copy of a recorded run, to be damaged."""
    return shutil.copytree(once, tmp_path / "run")


def everything_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# --- other data than a run was trained on ----------------------------------------------------------------------------


def changed(tensor, place):
    """The same tensor with another number at one place."""
    other = tensor.clone()
    other.view(-1)[place] = int(other.view(-1)[place] == 0)
    return other


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", changed(LABELS, -1)),
        ("images", changed(IMAGES, 48)),
        ("images", changed(IMAGES, -49)),
        ("validation", changed(IMAGES[:2], 0)),
        ("validation_labels", changed(LABELS[:2], 0)),
    ],
)
def test_a_run_goes_on_with_its_own_data_alone(run, name, value):
    before = everything_in(run)
    with pytest.raises(ValueError, match=rf"another run \(data.sha256_of_{name}: \w+ there, \w+ now\); choose another"):
        fit(run, **{name: value}, steps=2)
    assert everything_in(run) == before


def test_a_run_goes_on_with_the_same_data_in_another_form(run):
    fit(run, images=IMAGES.numpy(), labels=LABELS.tolist(), steps=2)


def test_a_run_whose_checkpoint_says_less_about_its_data_goes_on(run):
    for name in runs.CHECKPOINTS[:1]:
        saved = torch.load(run / name, weights_only=True)
        saved["settings"]["data"] = {name: saved["settings"]["data"][name] for name in ("images", "sha256_of_some")}
        torch.save(saved, run / name)
    fit(run, steps=2)


def test_checksums_are_those_of_all_bytes():
    images = random_bytes(9000, 1, 2, 2)
    assert runs._checksum(images) == runs.hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16]
    assert runs._checksum(images[:, :, ::2]) == runs._checksum(images[:, :, ::2].contiguous())


# --- images ----------------------------------------------------------------------------------------------------------

DENSE = IMAGES[:2]


def quantized(images):
    with warnings.catch_warnings(action="ignore"):  # it is to go from PyTorch
        return torch.quantize_per_tensor(images.float(), 1.0, 0, torch.quint8)


ODD_IMAGES = {
    "bool": (DENSE > 100, r"images must be integers in 0\.\.255, got torch\.bool"),
    "masked": (np.ma.masked_array(DENSE.numpy(), DENSE.numpy() > 100), r"got a masked one; fill it first"),
    "longdouble": (
        DENSE.numpy().astype(np.longdouble),
        r"got an array of float128|got an array of float64|got torch.float64",
    ),
    "complex": (DENSE.to(torch.complex64), "must be a dense tensor of integers, got torch.complex64"),
    "complex array": (DENSE.numpy().astype(complex), "got an array of complex128"),
    "sparse": (DENSE.to_sparse(), "must be a dense tensor of integers, got torch.uint8, torch.sparse_coo"),
    "quantized": (quantized(DENSE), "got torch.quint8"),
    "meta": (DENSE.to("meta"), "torch.strided, on meta"),
    "float8": (DENSE.to(torch.float8_e5m2), "got torch.float8_e5m2"),
    "list": (DENSE.tolist(), "got a list"),
    "dates": (DENSE.numpy().astype("datetime64[s]"), "got an array of datetime64"),
    "negative": (DENSE.to(torch.int8), r"must be integers in 0\.\.255, got values from -1\d\d to 1\d\d"),
    "off the grid, at the end": (torch.cat([DENSE.int(), DENSE.int() + 200]), r"got values from \d to 4\d\d; scale them"),
    "halves": (DENSE.double() + 0.5, r"images must be integers in 0\.\.255, got torch\.float64"),
}


@pytest.mark.parametrize(("images", "words"), ODD_IMAGES.values(), ids=ODD_IMAGES)
def test_images_that_are_none_are_refused_at_every_door(model, images, words, tmp_path):
    known = torch.ones(4, 4, dtype=torch.bool)
    doors = {
        "evaluate": lambda: pe.evaluate(model, images, batch_size=1),
        "complete": lambda: pe.complete(model, images, known, progress=False),
        "fit": lambda: pe.fit(
            model, images, training=pe.Training(steps=1), out=tmp_path / "r", device="cpu", progress=False
        ),
        "validation": lambda: pe.fit(model, DENSE, None, pe.Training(steps=1), images, out=tmp_path / "r", device="cpu"),
        "to_model": lambda: pe.to_model(images),
        "log_prob": lambda: model.log_prob(images),
    }
    for door in doors.values():
        with pytest.raises(ValueError, match=words):
            door()
    assert not (tmp_path / "r").exists()


def test_the_bytes_of_an_array_may_come_in_any_order(model):
    for kind in (">i4", "<i4", ">u2", ">i8"):
        assert torch.equal(pe.to_model(IMAGES.numpy().astype(kind)), pe.to_model(IMAGES))
    assert pe.evaluate(model, IMAGES.numpy().astype(">i2")) == pe.evaluate(model, IMAGES)
    assert torch.equal(pe.to_bytes(pe.to_model(IMAGES).numpy().astype(">f4")), IMAGES)


def test_levels_below_the_images_are_blamed_on_levels(tmp_path):
    with pytest.raises(ValueError, match=r"must be integers in 0\.\.15, got values from 0 to 255; .*set levels to 256"):
        pe.build(tiny(**SMALLEST, levels=16)).bits_per_dim(IMAGES)
    with pytest.raises(ValueError, match=r"must be integers in 0\.\.15, got values from 0 to 255; .*set levels to 256"):
        pe.fit(pe.build(tiny(**SMALLEST, levels=16)), IMAGES, out=tmp_path / "r", device="cpu", progress=False)
    assert not (tmp_path / "r").exists()


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[0, 1], (0, 1), range(2), np.array([0, 1], ">i2"), [torch.tensor(0), np.int8(1)]])
def test_labels_are_the_same_in_every_function(of_classes, labels):
    expected = pe.sample(of_classes, 2, torch.tensor([0, 1]), progress=False)
    assert torch.equal(pe.sample(of_classes, 2, labels, progress=False), expected)
    assert pe.evaluate(of_classes, DENSE, labels) == pe.evaluate(of_classes, DENSE, LABELS[:2])
    pe.fit(pe.build(of_classes.config), DENSE, labels, pe.Training(steps=1), DENSE, labels, device="cpu", progress=False)


@pytest.mark.parametrize(
    "labels",
    ["01", ["a", "b"], {0, 1}, [[0], [1, 1]], [0, None], [0.0, 1.0], LABELS[:2].to_sparse(), LABELS[:2].to("meta"),
     [2**70, 0], np.ma.masked_array([0, 1]), {0: 1}, [0, 1, 1], [0, 2], []],
)  # fmt: skip
def test_labels_that_are_none_are_refused_in_every_function(of_classes, labels):
    for take in (
        lambda: pe.sample(of_classes, 2, labels, progress=False),
        lambda: next(trace(of_classes, 2, labels)),
        lambda: pe.evaluate(of_classes, DENSE, labels),
        lambda: of_classes.bits_per_dim(DENSE, labels),
        lambda: pe.fit(of_classes, DENSE, labels, pe.Training(steps=1), device="cpu", progress=False),
    ):
        with pytest.raises(ValueError, match="labels must be"):
            take()


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 1.5, None, "2", float("nan"), True, torch.tensor([1, 2]), 2**70])
def test_counts_are_whole_numbers(model, value):
    known = torch.ones(4, 4, dtype=torch.bool)
    for name, take in {
        "batch_size": lambda: pe.evaluate(model, DENSE, batch_size=value),
        " batch_size": lambda: pe.bits_per_pixel(model, DENSE, batch_size=value),
        "  batch_size": lambda: pe.complete(model, DENSE, known, batch_size=value, progress=False),
        "count": lambda: pe.sample(model, value, progress=False),
        " count": lambda: next(trace(model, value)),
        "  count": lambda: data.shapes(value),
        "steps": lambda: pe.Training(steps=value),
        "filters": lambda: pe.Config(filters=value),
    }.items():
        with pytest.raises(ValueError, match=f"^{name.strip()} must be"):
            take()


@pytest.mark.parametrize("seed", [1.5, "1", None, 2**63, -(2**63) - 1, float("inf")])
def test_seeds_are_whole_numbers(model, seed):
    for draw in (lambda: pe.sample(model, 1, seed=seed), lambda: next(trace(model, 1, seed=seed))):
        with pytest.raises(ValueError, match="seed must be"):
            draw()


def test_whole_numbers_of_any_library_are_taken(model):
    expected = pe.sample(model, 2, seed=3, progress=False)
    for two, three in ((2.0, 3.0), (np.int8(2), np.float32(3)), (torch.tensor(2), torch.tensor(3))):
        assert torch.equal(pe.sample(model, two, seed=three, progress=False), expected)
        assert pe.evaluate(model, DENSE, batch_size=two) == pe.evaluate(model, DENSE, batch_size=2)


@pytest.mark.parametrize("temperature", [1e-320, 1e-30, 1e30, "1", None, 10**400, True])
def test_a_temperature_that_float32_cannot_divide_by_is_refused(model, temperature):
    with pytest.raises(ValueError, match="temperature must"):
        pe.sample(model, 1, temperature=temperature, progress=False)


@pytest.mark.parametrize("likelihood", ["mixture", "softmax"])
def test_at_the_lowest_temperature_nothing_is_left_to_chance(likelihood):
    distribution = initialised(tiny(likelihood=likelihood)).distribution(torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    one, other = (distribution.tempered(1e-20).sample(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(one[:, :, 1:], other[:, :, 1:])  # at the first pixel an untrained softmax ties all levels
    assert one.unique().numel() > 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pe.Training(learning_rate=10**400), "learning_rate must fit into a float"),
        (lambda: pe.Training(batch_size=10**13), r"batch_size must be at most 1048576, got 10000000000000"),
        (lambda: pe.Training(init_images=10**13), "init_images must be at most"),
        (lambda: pe.Training(steps=10**30), "steps must be at most"),
        (lambda: pe.Training(record_every=10**30), "record_every must be at most"),
        (lambda: pe.Config(blocks=10**13), "blocks must be at most 1000, got 10000000000000"),
        (lambda: pe.Config(filters=10**13), "filters must be at most"),
        (lambda: pe.Config(mixtures=10**13), "mixtures must be at most"),
        (lambda: pe.Config(levels=10**13), "levels must be at most"),
        (lambda: pe.Config(classes=10**13), "classes must be at most"),
        (lambda: pe.Config(image_shape=(3, 10**13, 32)), "image_shape must be .* at most 65536"),
        (lambda: pe.fit(pe.build(tiny()), DENSE, training={"steps": 1}), "training must be a Training, got {'steps': 1}"),
        (lambda: pe.fit(pe.build(tiny()), DENSE, training={}), "training must be a Training, got {}"),
        (lambda: pe.receptive_field(pe.build(tiny()), 1.5, 2), "row must be a whole number, got 1.5"),
        (lambda: pe.receptive_field(pe.build(tiny()), 1, "2"), "column must be a number, got '2'"),
        (lambda: pe.evaluate(pe.build(tiny()), torch.tensor(3)), r"no images to evaluate in a tensor of shape \(\)"),
        (lambda: pe.fit(pe.build(tiny()), torch.tensor(3)), "built for images"),
        (lambda: pe.fit(pe.build(tiny()), DENSE, validation_labels=[1]), "validation_labels were given without validation"),
        (lambda: pe.fit(pe.build(tiny()), DENSE, samples=-1), "samples must be at least 0"),
        (lambda: pe.fit(pe.build(tiny()), DENSE, device="meta"), "there is no device meta here"),
        (lambda: pe.fit(pe.build(tiny()), DENSE, device=["cpu"]), "device must be auto, cpu"),
    ],
)  # fmt: skip
def test_settings_beyond_all_measure_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_more_images_than_the_memory_holds_are_named(model):
    with pytest.raises(MemoryError, match="10000000000000 images do not fit into the memory; lower count"):
        pe.sample(model, 10**13)


@pytest.mark.parametrize("what", ["cifar10-small", runs.Path("run"), None, torch.nn.Linear(2, 2), pe.PixelCNNpp, {}])
def test_what_is_no_model_is_named(what):
    for take in (
        lambda: pe.sample(what, 1),
        lambda: next(trace(what)),
        lambda: pe.complete(what, DENSE, torch.ones(4, 4, dtype=torch.bool)),
        lambda: pe.fit(what, DENSE),
        lambda: pe.evaluate(what, DENSE),
    ):
        with pytest.raises(
            ValueError, match=f"model must be one that build or load_model gives, got a {type(what).__name__}"
        ):
            take()


@pytest.mark.parametrize("known", ["all", None, {1}, np.ma.masked_array(np.ones((4, 4), bool)), [[True], [True, False]], 1])
def test_what_says_nothing_about_pixels_is_named(model, known):
    with pytest.raises(ValueError, match="known must be"):
        pe.complete(model, DENSE, known)
    assert torch.equal(pe.complete(model, DENSE, [[True] * 4] * 4, progress=False), DENSE)


# --- recorded runs ---------------------------------------------------------------------------------------------------


def checkpoint(run, change):
    saved = torch.load(run / "checkpoint.pt", weights_only=True)
    torch.save(change(saved), run / "checkpoint.pt")


def without(name):
    return lambda saved: {key: value for key, value in saved.items() if key != name}


def folder_in_place(path):
    path.unlink()
    path.mkdir()


ODD_CHECKPOINTS = {
    "older format": lambda run: torch.save({"step": 1}, run / "checkpoint.pt", _use_new_zipfile_serialization=False),
    "folder": lambda run: folder_in_place(run / "checkpoint.pt"),
    "list": lambda run: checkpoint(run, lambda saved: [saved]),
    "no settings": lambda run: checkpoint(run, without("settings")),
    "odd step": lambda run: checkpoint(run, lambda saved: {**saved, "step": "one"}),
    "no step": lambda run: checkpoint(run, without("step")),
    "no model": lambda run: checkpoint(run, without("model")),
    "no optimizer": lambda run: checkpoint(run, without("adam")),
    "odd settings": lambda run: checkpoint(run, lambda saved: {**saved, "settings": [1]}),
    "odd model": lambda run: checkpoint(run, lambda saved: {**saved, "model": {"head.bias": 3}}),
    "other shapes": lambda run: checkpoint(
        run, lambda saved: {**saved, "model": {name: torch.zeros(7) for name in saved["model"]}}
    ),
}


@pytest.mark.parametrize("damage", ODD_CHECKPOINTS.values(), ids=ODD_CHECKPOINTS)
def test_a_checkpoint_that_does_not_fit_is_refused_and_kept_and_not_called_damaged(run, damage):
    damage(run)
    before = {name: content for name, content in everything_in(run).items() if name != "config.json"}
    with pytest.raises(ValueError, match=f"{run}.*choose another folder") as caught:
        fit(run, steps=2)
    assert "damaged" not in str(caught.value)
    assert before.items() <= everything_in(run).items()


def rewrite(name, content):
    return lambda run: (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def cut(characters):
    return lambda run: (run / "metrics.csv").write_text((run / "metrics.csv").read_text()[:-characters])


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (rewrite("config.json", "[]"), "config.json"),
        (rewrite("config.json", "{}"), "config.json"),
        (rewrite("config.json", '{"model": {"wings": 2}, "training": {}}'), "config.json"),
        (rewrite("config.json", '{"model": {"filters": -2}, "training": {}}'), "config.json"),
        (rewrite("config.json", '{"model": 3, "training": {}}'), "config.json"),
        (rewrite("config.json", "[" * 100_000), "config.json"),
        (rewrite("environment.json", "3"), "environment.json"),
        (rewrite("environment.json", b"\xff\xfe\x00"), "environment.json"),
        (rewrite("metrics.csv", ""), "metrics.csv"),
        (rewrite("metrics.csv", "a,b\n1,2\n"), "metrics.csv"),
        (rewrite("metrics.csv", "step,seconds\n1,two\n"), "metrics.csv"),
        (rewrite("metrics.csv", "step,seconds\n1,2,3\n"), "metrics.csv"),
        (rewrite("metrics.csv", b"step,seconds\n1,\xff\n"), "metrics.csv"),
        (cut(1), "metrics.csv"),
        (cut(4), "metrics.csv"),
        (cut(20), "metrics.csv"),
    ],
)
def test_a_record_that_is_none_is_named(run, damage, file):
    damage(run)
    with pytest.raises(ValueError, match=f"{run / file} is (damaged|no record)"):
        read_run(run)


# --- weights ---------------------------------------------------------------------------------------------------------


def weights(run, metadata=None, **changes):
    model = load_model(run)
    metadata = {"config": json.dumps(model.config.to_dict())} if metadata is None else metadata
    save_file({**model.state_dict(), **changes}, run / "weights.safetensors", metadata)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: weights(run, {"config": "{"}), "does not say in JSON which model"),
        (lambda run: weights(run, {"config": "[1]"}), "another version of this package"),
        (lambda run: weights(run, {"config": "[" * 100_000}), "another version of this package"),
        (lambda run: weights(run, {"config": '{"filters": "many"}'}), "another version .*filters must be a number"),
        (lambda run: weights(run, {"config": '{"filters": 65536}'}), "another version .*size mismatch"),
        (lambda run: weights(run, {"config": '{"filters": 10000000000000}'}), "another version .*filters must be at most"),
        (lambda run: weights(run, **{"head.bias": torch.full((10,), torch.nan)}), "head.bias in .* finite floats"),
        (lambda run: weights(run, **{"head.bias": torch.zeros(10, dtype=torch.int8)}), "NaN, infinity or torch.int8"),
        (rewrite("weights.safetensors", b""), "no file of weights that can be read"),
        (rewrite("weights.safetensors", b"\xff" * 100), "no file of weights that can be read"),
    ],
)  # fmt: skip
def test_weights_that_are_none_are_refused_with_their_file(run, damage, words):
    damage(run)
    with pytest.raises(ValueError, match=f"(?s){words}") as caught:
        load_model(run)
    assert str(run / "weights.safetensors") in str(caught.value)


def test_a_folder_without_weights_says_when_they_come(run):
    folder_in_place(run / "weights.safetensors")
    for place in (run, run / "weights.safetensors", run.parent / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"there are no weights in .*; a run writes them when it ends"):
            load_model(place)


def altered(**changes):
    return {**THEIRS, **{name.replace("__", "."): value for name, value in changes.items()}}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({1: torch.zeros(1)}, "expected a state dict"),
        ([THEIRS], "expected a state dict .* got list"),
        ({}, "is missing"),
        (altered(nin_out__lin_a__bias="no tensor"), "nin_out.lin_a.bias .* must hold finite floats, got a str"),
        (altered(nin_out__lin_a__bias=torch.full((30,), torch.nan)), "nin_out.lin_a.bias .* finite floats"),
        (altered(nin_out__lin_a__bias=torch.zeros(30, dtype=torch.int8)), "got NaN, infinity or torch.int8"),
        (altered(nin_out__lin_a__bias=torch.tensor(1.0)), "does not hold the weights"),
        (altered(u_init__conv__weight_v=torch.zeros(6)), "does not hold the weights"),
        (altered(u_init__conv__weight_v=torch.zeros(6, 0)), "does not hold the weights"),
        (altered(u_init__conv__weight_g=torch.zeros(2, 2)), "does not hold the weights"),
    ],
)
def test_a_state_dict_that_is_none_is_refused_with_its_file(state, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        load_pclucas14(state)
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=f"(?s){words}") as caught:
        load_pclucas14(tmp_path / "theirs.pth")
    assert "theirs.pth" in str(caught.value)


# --- data sets -------------------------------------------------------------------------------------------------------


def val_data(folder, count=4, labels=(1, 2, 3, 4)):
    np.savez(folder / "val_data.npz", data=random_bytes(count, 3072, seed=count).numpy(), labels=np.array(labels))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1, 2, 3], r"must hold an integer label for each of its 4 images, got int64 \(3,\)"),
        ([[1], [2], [3], [4]], r"got int64 \(4, 1\)"),
        ([1.0, 2.0, 3.0, 4.0], "got float64"),
        (["a"] * 4, "got <U1"),
        ([True] * 4, "got bool"),
        ([0, 1, 2, 3], "must hold labels from 1 to 1000, got 0 to 3"),
        ([1, 2, 3, 1001], "got 1 to 1001"),
    ],
)
def test_labels_of_imagenet_that_are_none_are_refused(tmp_path, labels, words):
    val_data(tmp_path, labels=labels)
    with pytest.raises(ValueError, match=f"val_data.npz.*{words}"):
        small_imagenet(tmp_path, "test", 32)
    assert [path.name for path in tmp_path.iterdir()] == ["val_data.npz"]


def save(path, size=8, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (value,) * 3).save(path)


def test_what_was_packed_from_other_files_is_packed_anew(tmp_path):
    val_data(tmp_path)
    assert len(small_imagenet(tmp_path, "test", 32)[0]) == 4
    val_data(tmp_path, 2, [5, 6])
    old = (tmp_path / "val_data.npz").stat().st_mtime - 1e6
    runs.os.utime(tmp_path / "val_data.npz", (old, old))  # as unpacked from an archive
    assert small_imagenet(tmp_path, "test", 32)[1].tolist() == [4, 5]
    (tmp_path / "val_data.npz").unlink()
    assert len(small_imagenet(tmp_path, "test", 32)[0]) == 2  # the batches are not needed again
    for name in ("1.png", "2.png", "3.png"):
        save(tmp_path / "valid_32x32" / name, 32)
    images, labels = small_imagenet(tmp_path, "test", 32)
    assert (len(images), labels) == (3, None)
    (tmp_path / "valid_32x32" / "3.png").unlink()
    assert len(small_imagenet(tmp_path, "test", 32)[0]) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [("images", b""), ("images", b"x" * 5000), ("images", b"x" * 3072), ("labels.npy", b""), ("labels.npy", b"\x93NUMPY")],
)
def test_packed_imagenet_that_is_damaged_is_made_anew_or_named(tmp_path, name, content):
    val_data(tmp_path)
    small_imagenet(tmp_path, "test", 32)
    (tmp_path / f"test_32x32.{name}").write_bytes(content)
    if name == "images":
        assert len(small_imagenet(tmp_path, "test", 32)[0]) == 4
        (tmp_path / f"test_32x32.{name}").write_bytes(content)
        (tmp_path / "val_data.npz").unlink()
    with pytest.raises(ValueError, match=r"test_32x32.*(is damaged|does not belong).*made anew"):
        small_imagenet(tmp_path, "test", 32)


def test_a_place_of_data_that_is_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELCNN_EDU_OFFLINE", "1")
    for name in data.CIFAR10_FILES:
        (tmp_path / "cifar-10-batches-bin" / name).mkdir(parents=True)
    with pytest.raises(DataUnavailable, match=r"data_batch_1.bin cannot be read: .*directory.*Remove it"):
        load_images("cifar10", "train", tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PIXELCNN_EDU_DATA", str(tmp_path / "file"))
    for name in ("cifar10", "imagenet32"):
        with pytest.raises(DataUnavailable, match="file is a file; set PIXELCNN_EDU_DATA, or root, to the folder"):
            load_images(name, "test")


# --- folders of images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1, 8.5, "8", None, 10**13])
def test_a_size_that_is_none_is_named(tmp_path, size):
    save(tmp_path / "one.png")
    with pytest.raises(ValueError, match="size must be"):
        images_from_folder(tmp_path, size)
    assert images_from_folder(tmp_path, 8.0)[0].shape == (1, 3, 8, 8)


def test_a_folder_that_is_none_is_named(tmp_path):
    save(tmp_path / "one.png")
    with pytest.raises(FileNotFoundError, match=r"one\.png is a file, not a folder of images"):
        images_from_folder(tmp_path / "one.png")
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        images_from_folder(tmp_path / "nowhere")


def test_a_class_that_is_a_link_to_another_keeps_its_images(tmp_path):
    save(tmp_path / "cat" / "one.png")
    save(tmp_path / "dog" / "two.png", value=9)
    (tmp_path / "kitty").symlink_to(tmp_path / "cat", target_is_directory=True)
    images, labels = images_from_folder(tmp_path, 8)
    assert labels.tolist() == [0, 1, 2]
    assert torch.equal(images[2], images[0])


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    save(tmp_path / "cat" / "one.png")
    (tmp_path / "kitty").symlink_to(tmp_path / "gone", target_is_directory=True)
    with pytest.raises(ValueError, match="kitty is a link that leads nowhere"):
        images_from_folder(tmp_path, 8)


def test_a_large_picture_is_read_without_a_warning(tmp_path, monkeypatch):
    save(tmp_path / "large.png", 12)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images_from_folder(tmp_path, 8)[0].shape == (1, 3, 8, 8)


# --- the command line ------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_here_is_named():
    for name in ("meta", "vulkan", "xla", "ipu", *(() if torch.backends.mps.is_available() else ("mps",))):
        with pytest.raises(ValueError, match=f"there is no device {name} here that PyTorch can compute on"):
            process_device(name)
    assert process_device(torch.device("cpu")) == torch.device("cpu")


PRETRAINED, SHAPES = runs.Path("cifar10-small"), {"data": "shapes", "device": "cpu"}
NOBODY = runs.Path("~nouser/x.png")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Sample(PRETRAINED, device="meta"), "no device meta here"),
        (Sample(PRETRAINED, device="vulkan"), "no device vulkan here"),
        (Sample(NOBODY), "~nouser/x.*no path that can be used"),
        (Sample(PRETRAINED, out=NOBODY), "no path that can be used"),
        (Evaluate(PRETRAINED, data="~nouser/x"), "no path that can be used"),
        (Train(NOBODY), "no path that can be used"),
        (Sample(PRETRAINED, count=10**13, device="cpu"), "--count 10000000000000 would make a picture .* pixels high"),
        (Sample(PRETRAINED, out="OUT/a.webp", count=1000, device="cpu"), "16500 pixels high, and a.webp can have 16383"),
        (Sample(PRETRAINED, count=10**30, device="cpu"), "--count must be at most"),
        (Sample(PRETRAINED, seed=10**30, device="cpu"), "seed must be at most"),
        (Sample(PRETRAINED, temperature=1e-320, device="cpu"), "temperature must lie between"),
        (Evaluate(PRETRAINED, images=10**30, **SHAPES), "--images must be at most"),
        (Complete(PRETRAINED, count=10**30, **SHAPES), "--count must be at most"),
        (Complete(PRETRAINED, rows=10**13, **SHAPES), "--rows must be 0 to 32"),
        (Evaluate(PRETRAINED, data="/nope"), "--data must be one of cifar10, .*, or a folder of images; /nope is no folder"),
        (Evaluate(PRETRAINED, data="OUT/file"), "--data must be one of .*file is a file"),
        (Evaluate(PRETRAINED, data="OUT"), "the folder OUT/test is not there"),
        (Train("OUT/run", validation=10**13, **SHAPES), "--validation must leave images"),
        (Train("OUT/run", training=pe.Training(accumulate=10**13), **SHAPES), "does not split evenly"),
    ],
)
def test_a_command_refuses_what_makes_no_sense(command, words, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SHAPES_SPLITS", {"train": (8, 1), "test": (4, 2)})
    (tmp_path / "file").write_text("")
    for name in {"out", "data"} & vars(command).keys():
        value = getattr(command, name)
        setattr(command, name, type(value)(str(value).replace("OUT", str(tmp_path))))
    command.out = runs.Path(getattr(command, "out", tmp_path / "picture.png"))
    with pytest.raises((ValueError, OSError), match=words.replace("OUT", str(tmp_path))):
        command()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sample ~nouser/x --count 1", "ValueError: .*~nouser/x.* is no path that can be used"),
        ("train --data shapes --blocks 10000000000000 --out OUT/run", "blocks must be at most 1000"),
        ("train --data shapes --learning-rate 1e400 --out OUT/run", "learning_rate must be above 0 and finite"),
    ],
)
def test_the_command_line_explains_without_a_traceback(line, words, tmp_path, capsys):
    try:
        status = main(line.replace("OUT", str(tmp_path)).split())
    except SystemExit as stop:  # of the parser, which puts what it says into a box
        status = stop.code
    assert status in (1, 2)
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().err).split())
    assert re.search(words, said)
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_memory_that_does_not_suffice_is_explained(monkeypatch, capsys):
    monkeypatch.setattr("pixelcnn_edu.cli.sample", lambda *_, **__: torch.zeros(10**9, 10**9))
    assert main(["sample", "cifar10-small", "--count", "1", "--device", "cpu"]) == 1
    assert "MemoryError: this takes more memory than there is; ask for less at a time" in capsys.readouterr().err
