"""What went wrong in other people's projects, in public reports, does not go wrong here."""

import json
import re
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from oracles import random_bytes, tiny
from PIL import ExifTags, Image, ImageOps
from safetensors.torch import save_file

import pixelcnn_edu as pe
import pixelcnn_edu.training
from pixelcnn_edu.blocks import folded, no_tf32
from pixelcnn_edu.cli import main
from pixelcnn_edu.data import DataUnavailable
from pixelcnn_edu.files import images_from_folder, small_imagenet
from pixelcnn_edu.probes import bits_per_image, blind_spot
from pixelcnn_edu.runs import read_run, write_sheet

IMAGES = random_bytes(8, 3, 8, 8)


@pytest.fixture(autouse=True)
def quick_samples(monkeypatch):
    monkeypatch.setattr(pixelcnn_edu.training, "sample", lambda model, count, *_, **__: IMAGES[:1].expand(count, -1, -1, -1))


def fit(out=None, model=None, images=IMAGES, labels=None, **changes):
    torch.manual_seed(0)
    settings = pe.Training(**{"steps": 2, "batch_size": 2, "record_every": 1, **changes})
    model = pe.PixelCNNpp(tiny()) if model is None else model
    return pe.fit(model, images, labels, settings, validation=images[:2], out=out, device="cpu", progress=False)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", np.logspace(-4, -2, 3)[1]),
        ("learning_rate", np.float32(0.5)),
        ("learning_rate", torch.tensor(0.5)),
        ("steps", np.int64(2)),
        ("steps", 2.0),
        ("betas", np.array([0.5, 0.75])),
        ("betas", [np.float32(0.5), 0.75]),
        ("compile", np.bool_(False)),
    ],
)
def test_settings_become_plain_numbers_and_the_run_can_be_resumed(tmp_path, name, value):
    fit(tmp_path, **{name: value})
    fit(tmp_path, **{name: value} | {"steps": 3})  # refused, were there anything but plain numbers in the checkpoint
    kept = read_run(tmp_path).training[name]
    assert type(kept) is (list if name == "betas" else {"steps": int, "compile": bool}.get(name, float))


def test_a_models_settings_become_plain_numbers_too():
    config = pe.Config.tiny(image_shape=np.array([3, 8, 8]), filters=np.int32(4), dropout=np.float32(0.5))
    assert [type(n) for n in (*config.image_shape, config.filters, config.dropout)] == [int] * 4 + [float]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": "3"}, "steps must be a number, got '3'"),
        ({"steps": 2.5}, "steps must be a whole number, got 2.5"),
        ({"steps": float("nan")}, "steps must be a whole number, got nan"),
        ({"steps": True}, "steps must be a number, got True"),
        ({"steps": np.array([1, 2])}, "steps must be a number"),
        ({"compile": "yes"}, "compile must be True or False, got 'yes'"),
        ({"betas": (0.9,)}, "betas must be 2 numbers"),
        ({"betas": 0.9}, "betas must be 2 numbers"),
        ({"betas": (0.9, 1.0)}, "betas must be at least 0 and below 1"),
        ({"learning_rate": float("inf")}, "learning_rate must be above 0 and finite"),
    ],
)
def test_what_is_no_number_is_named(settings, words):
    with pytest.raises(ValueError, match=words):
        pe.Training(**settings)


def test_a_checkpoint_that_is_refused_is_not_called_damaged(tmp_path):
    fit(tmp_path)
    for name in ("checkpoint.pt", "checkpoint-before.pt"):
        saved = torch.load(tmp_path / name, weights_only=True)
        torch.save({**saved, "seconds": np.float64(1)}, tmp_path / name)
    with pytest.raises(ValueError, match="holds more than tensors and plain numbers") as caught:
        fit(tmp_path, steps=3)
    assert "damaged" not in str(caught.value)


# --- wrappers --------------------------------------------------------------------------------------------------------


def test_a_compiled_model_is_trained_saved_and_resumed_as_itself(tmp_path):
    torch.manual_seed(0)
    trained, _ = fit(tmp_path, torch.compile(pe.PixelCNNpp(tiny()), backend="eager"))
    assert type(trained) is pe.PixelCNNpp
    assert pe.evaluate(pe.load_model(tmp_path), IMAGES) == pytest.approx(pe.evaluate(trained, IMAGES))
    fit(tmp_path, steps=3)  # with the plain model


def test_a_compiled_model_is_drawn_from_as_itself():
    torch.manual_seed(0)
    model = pe.PixelCNNpp(tiny())
    wrapped = torch.compile(model, backend="eager")
    assert torch.equal(pe.sample(wrapped, 2, progress=False), pe.sample(model, 2, progress=False))
    assert torch.equal(pe.receptive_field(wrapped, 4, 4), pe.receptive_field(model, 4, 4))


def test_prefixes_of_wrappers_are_taken_off_weights(tmp_path):
    fit(tmp_path)
    model = pe.load_model(tmp_path)
    metadata = {"config": json.dumps(model.config.to_dict())}
    for prefix in ("_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module."):
        save_file({f"{prefix}{name}": w for name, w in model.state_dict().items()}, tmp_path / "other.safetensors", metadata)
        assert torch.equal(pe.load_model(tmp_path / "other.safetensors").head.bias, model.head.bias)


# --- threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["cached", "naive"])
def test_threads_may_draw_from_one_model_while_another_is_trained(method):
    torch.manual_seed(0)
    model = pe.PixelCNNpp(tiny())
    alone = [pe.sample(model, 1, seed=seed, method=method, progress=False) for seed in range(3)]
    straight, _ = fit(steps=6)
    together, failed, trained = {}, [], []

    def draw(seed):
        try:
            together[seed] = pe.sample(model, 1, seed=seed, method=method, progress=False)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    trained.append(fit(steps=6)[0])
    for thread in threads:
        thread.join()
    assert not failed
    assert all(torch.equal(together[seed], alone[seed]) for seed in range(3))
    assert all(torch.equal(a, b) for a, b in zip(trained[0].parameters(), straight.parameters(), strict=True))


@pytest.mark.parametrize("likelihood", ["mixture", "dequantized"])
def test_threads_may_score_with_one_model_that_is_being_trained(likelihood):
    model = pe.PixelCNNpp(tiny(likelihood=likelihood, dropout=0.5)).train()
    alone = pe.evaluate(model, IMAGES)
    with ThreadPoolExecutor(3) as pool:
        scores = list(pool.map(lambda _: pe.evaluate(model, IMAGES, batch_size=1), range(6)))
    assert scores == pytest.approx([alone] * 6, rel=1e-6) if likelihood == "mixture" else len(set(scores)) == 1
    assert model.training


def test_the_last_thread_to_leave_restores_what_the_first_one_found():
    assert torch.backends.cudnn.allow_tf32
    first, second = no_tf32(), no_tf32()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not torch.backends.cudnn.allow_tf32
    second.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("changes", [{}, {"whole_pixels": False}, {"downsampling": False}, {"likelihood": "softmax"}])
def test_a_folded_copy_computes_the_same_and_leaves_the_model_alone(changes):
    torch.manual_seed(0)
    model = pe.PixelCNNpp(tiny(**changes)).eval()
    before = [p.clone() for p in model.parameters()]
    copy = folded(model)
    assert not any("original" in name for name, _ in copy.named_parameters())
    assert torch.equal(copy.bits_per_dim(IMAGES), model.bits_per_dim(IMAGES))
    with torch.no_grad():
        for p in copy.parameters():
            p.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    model.bits_per_dim(IMAGES).mean().backward()  # still weight-normed, and still trains
    assert all(p.grad is not None for p in model.parameters())


# --- NumPy and other types of integers -------------------------------------------------------------------------------


def test_numpy_arrays_are_taken_everywhere():
    model, array = pe.PixelCNNpp(tiny(classes=2)), IMAGES.numpy()
    labels = np.array([0, 1] * 4)
    settings = pe.Training(steps=1, batch_size=2)
    pe.fit(model, array, labels, settings, array[:2], labels[:2], device="cpu", progress=False)
    assert pe.evaluate(model, array, labels) == pe.evaluate(model, IMAGES, torch.tensor(labels))
    assert torch.equal(pe.bits_per_pixel(model, array, labels), pe.bits_per_pixel(model, IMAGES, labels))
    assert torch.equal(model.log_prob(array, labels), model.log_prob(IMAGES, labels))
    assert torch.equal(pe.to_model(array), pe.to_model(IMAGES))
    assert (pe.to_bytes(pe.to_model(array).numpy()).numpy() == array).all()
    known = np.zeros((8, 8), bool)
    known[:7] = True
    assert torch.equal(
        pe.complete(model, array, known, labels, progress=False),
        pe.complete(model, IMAGES, torch.from_numpy(known), torch.tensor(labels), progress=False),
    )


@pytest.mark.parametrize("changes", [{}, {"likelihood": "softmax"}, {"likelihood": "dequantized"}, {"whole_pixels": False}])
def test_distributions_take_arrays_too(changes):
    model = pe.PixelCNNpp(tiny(**changes))
    distribution = model.distribution(pe.to_model(IMAGES))
    torch.manual_seed(0)
    expected = distribution.log_prob(IMAGES)
    for images in (IMAGES.numpy(), IMAGES.numpy().astype(np.uint16), IMAGES.to(torch.uint32)):
        torch.manual_seed(0)
        assert torch.equal(distribution.log_prob(images), expected)
    assert torch.equal(distribution.mean(IMAGES.numpy()), distribution.mean(IMAGES))


def test_labels_of_any_kind_of_integer_are_taken():
    model = pe.PixelCNNpp(tiny(classes=2))
    for labels in ([0, 1] * 4, np.array([0, 1] * 4, np.uint16), torch.tensor([0, 1] * 4, dtype=torch.uint8)):
        settings = pe.Training(steps=1, batch_size=2)
        pe.fit(model, IMAGES, labels, settings, IMAGES, labels, device="cpu", progress=False)
        pe.evaluate(model, IMAGES, labels)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.full((8,), 0.9), "labels must be 8 integers"),
        ([True] * 8, "labels must be 8 integers"),
        ([0] * 12, r"labels must be 8 integers, one an image; got torch.int64 \(12,\)"),
        ([0] * 7 + [2], r"labels must be 0\.\.1, got 0\.\.2"),
    ],
)
def test_labels_are_checked_before_they_are_cut_into_batches(labels, words):
    with pytest.raises(ValueError, match=words):
        pe.evaluate(pe.PixelCNNpp(tiny(classes=2)), IMAGES, labels, batch_size=4)


def test_a_field_may_be_an_array():
    field = pe.receptive_field(pe.PixelCNNpp(tiny()), 4, 4)
    assert torch.equal(blind_spot(field.numpy(), 4, 4), blind_spot(field, 4, 4))


def test_a_damaged_file_of_a_record_is_named(tmp_path):
    fit(tmp_path)
    for name in ("config.json", "environment.json"):
        whole = (tmp_path / name).read_text()
        (tmp_path / name).write_text(whole[:30])
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            read_run(tmp_path)
        (tmp_path / name).write_text(whole)


def test_arrays_that_may_not_be_written_to_are_taken_without_a_warning():
    array = np.frombuffer(IMAGES.numpy().tobytes(), np.uint8).reshape(IMAGES.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(pe.to_model(array), pe.to_model(IMAGES))
        assert torch.equal(pe.to_model(array[:, :, ::-1]), pe.to_model(IMAGES.flip(2)))


@pytest.mark.parametrize("images", [IMAGES.tolist(), "images.png", np.array(["a"]), None, np.array([{}], dtype=object)])
def test_what_holds_no_images_is_named(images):
    for take in (pe.to_model, lambda some: pe.evaluate(pe.PixelCNNpp(tiny()), some)):
        with pytest.raises((ValueError, TypeError), match=r"must be a tensor or a NumPy array|no len"):
            take(images)


def test_sixteen_bits_are_integers_too():
    config = tiny(levels=65536)
    images = torch.randint(65536, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    model = pe.build(config)
    for kind in (torch.uint16, torch.int32):
        assert pe.evaluate(model, images.to(kind)) == pe.evaluate(model, images)
    assert pe.evaluate(model, images.numpy().astype(np.uint16)) == pe.evaluate(model, images)
    fit(model=pe.build(config), images=images.to(torch.uint16))
    known = torch.ones(8, 8, dtype=torch.bool)
    assert torch.equal(pe.complete(model, images.to(torch.uint16), known, progress=False).long(), images)


def test_a_seed_too_large_for_the_generator_is_named(tmp_path):
    with pytest.raises(ValueError, match="seed must be at most"):
        pe.sample(pe.PixelCNNpp(tiny()), 1, seed=99999999999999999999)
    model = pe.PixelCNNpp(tiny())
    assert torch.equal(*(pe.sample(model, 1, seed=seed, progress=False) for seed in (3, np.int64(3))))


# --- pictures --------------------------------------------------------------------------------------------------------


def test_what_is_transparent_becomes_white(tmp_path):
    logo = np.zeros((8, 8, 4), np.uint8)
    logo[2:4, 2:4, 3] = 255  # black where it is seen, and black where it is not
    Image.fromarray(logo).save(tmp_path / "a.png")
    grey = np.zeros((8, 8, 2), np.uint8)
    grey[2:4, 2:4, 1] = 255
    Image.fromarray(grey, "LA").save(tmp_path / "b.png")
    palette = Image.fromarray(np.where(logo[..., 3] > 0, 0, 1).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / "c.png", transparency=1)
    images, _ = images_from_folder(tmp_path, 8)
    expected = np.where(logo[..., 3] > 0, 0, 255)
    assert (images.numpy() == expected).all()
    assert (images_from_folder(tmp_path, 8, channels=1)[0].numpy() == expected).all()


@pytest.mark.parametrize("value", [1, 2, 3, 4, 5, 6, 7, 8])
def test_pictures_are_turned_as_pillow_turns_them(tmp_path, value):
    image = Image.fromarray(random_bytes(8, 8, 3).numpy())
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = value
    image.save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))).transpose(2, 0, 1)
    assert (images_from_folder(tmp_path, 8)[0][0].numpy() == expected).all()


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x0a\0\0\0\x01\0\0\0\x1a\0\0\0\0\xff\xff\xff\xff" + bytes(4),  # (-1, 0)
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abc\0\0\0\0\0",  # a text
        b"Exif\0\0XX\0*\0\0\0\x08\0\0",  # no header that means anything
        b"Exif\0\0MM\0*\0\0",  # cut off
    ],
)
@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_an_odd_exif_does_not_hide_the_picture(tmp_path, exif, kind):
    pixels = np.full((8, 8, 3), 128, np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}", exif=exif)
    images, _ = images_from_folder(tmp_path, 8)
    assert (images.float() - 128).abs().max() <= 2


def test_every_error_about_a_picture_names_it(tmp_path, monkeypatch):
    cases = {"bomb.png": Image.new("1", (64, 64)), "deep.png": Image.fromarray(np.zeros((8, 8), np.uint16))}
    for name, image in cases.items():
        image.save(tmp_path / name)
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.webp").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes((tmp_path / "bomb.png").read_bytes()[:60])
    (tmp_path / "rgb16.png").write_bytes(_png_of_16_bits())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)
    for path in [*tmp_path.iterdir()]:
        alone = tmp_path / f"alone-{path.stem}"
        alone.mkdir()
        path.rename(alone / path.name)
        with pytest.raises(ValueError, match=f"{path.name} (is no image that can be read|has more than 8 bits a channel)"):
            images_from_folder(alone)


def _png_of_16_bits():
    """A PNG of 1x1 pixels with 16 bits in each of three channels, which Pillow reads, and cannot write."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(7))) + chunk(b"IEND", b"")


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random_bytes(8, 8, 3).numpy()).save(path)


def test_linked_folders_are_followed_and_a_loop_is_not(tmp_path):
    save(tmp_path / "elsewhere" / "one.png")
    save(tmp_path / "mine" / "dog" / "two.png")
    (tmp_path / "mine" / "cat").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "mine" / "dog" / "up").symlink_to(tmp_path / "mine", target_is_directory=True)
    images, labels = images_from_folder(tmp_path / "mine", 8)
    assert len(images) == 2
    assert labels.tolist() == [0, 1]


def test_what_systems_leave_in_folders_is_left_out(tmp_path):
    for name in ("cat/one.png", "__MACOSX/cat/._one.png", "__MACOSX/one.png", "dog/@eaDir/two.png/thumb.jpg", "dog/two.png"):
        save(tmp_path / name)
    save(tmp_path / "dog" / "._two.png")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "cat/Thumbs.db", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    images, labels = images_from_folder(tmp_path, 8)
    assert labels.tolist() == [0, 1]
    assert len(images) == 2


@pytest.mark.parametrize(("name", "start"), [("a.jpg", b"\xff\xd8"), ("a.PNG", b"\x89PNG"), ("a.webp", b"RIFF")])
def test_a_picture_is_of_the_kind_that_its_name_says(tmp_path, name, start):
    write_sheet(tmp_path / name, IMAGES)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_picture_without_a_kind_is_refused_before_it_is_drawn(tmp_path, capsys):
    assert main(["sample", "cifar10-small", "--out", str(tmp_path / "picture.txt"), "--device", "cpu"]) == 1
    assert "picture.txt must end in .png" in capsys.readouterr().err


def test_imagenet_as_floats_is_refused_by_name(tmp_path):
    np.savez(tmp_path / "val_data.npz", data=np.random.default_rng(0).random((2, 3072)), labels=np.array([1, 2]))
    with pytest.raises(ValueError, match=r"val_data.npz holds float64 numbers, not bytes"):
        small_imagenet(tmp_path, "test", 32)


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def mine(tmp_path):
    for name in ("train/cat/one.png", "train/cat/three.png", "train/dog/two.png", "test/cat/one.png", "test/dog/two.png"):
        save(tmp_path / "mine" / name)
    return tmp_path / "mine"


def command(mine, out, *more):
    options = ["--filters", "3", "--steps", "1", "--batch-size", "2", "--device", "cpu"]
    return main(["train", "--preset", "tiny", *options, "--data", str(mine), "--out", str(out), *more])


def test_grey_is_grey(mine, tmp_path, monkeypatch):
    monkeypatch.setattr(
        pixelcnn_edu.training, "sample", lambda model, count, *_, **__: IMAGES[:1, :1].expand(count, -1, -1, -1)
    )
    assert command(mine, tmp_path / "run", "--image-shape", "1", "8", "8") == 0
    assert read_run(tmp_path / "run").config.image_shape == (1, 8, 8)
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(mine), "--device", "cpu"]) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("--image-shape 3 8 16", "cut to squares, and the model takes 8 x 16"),
        ("--image-shape 2 8 8", "3 channels, or 1 for grey; got 2"),
        ("--data shapes --image-shape 1 32 32", r"--image-shape 1 32 32 does not fit shapes: it has \(3, 32, 32\)"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(mine, tmp_path, capsys, more, words):
    assert command(mine, tmp_path / "run", *more.split()) == 1
    assert re.search(words, capsys.readouterr().err)


def test_a_picture_beside_the_classes_is_named(mine, tmp_path, capsys):
    save(mine / "train" / "stray.png")
    assert command(mine, tmp_path / "run", "--image-shape", "3", "8", "8", "--classes", "2") == 1
    assert "stray.png has no class" in capsys.readouterr().err
    assert command(mine, tmp_path / "run", "--image-shape", "3", "8", "8") == 0  # without classes it is one more picture


def test_the_users_home_is_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fit("~/run")
    assert (tmp_path / "run" / "weights.safetensors").exists()
    assert not (tmp_path / "~").exists()
    assert pe.load_model("~/run").config == read_run("~/run").config
    for verb in ("wrote", "replaced"):
        assert main(["sample", "~/run", "--count", "1", "--out", "~/one.png", "--device", "cpu"]) == 0
        assert f"{verb} {tmp_path / 'one.png'}" in capsys.readouterr().out


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    import pooch

    def nowhere(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("PIXELCNN_EDU_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", nowhere)
    with pytest.raises(DataUnavailable, match="no home folder to keep data in; set PIXELCNN_EDU_DATA"):
        pe.load_images("cifar10")


def test_without_a_compiler_the_remedy_is_one_line(tmp_path):
    script = (
        "import sys, torch._inductor.config as c; c.cpp.cxx = ('no-such-compiler',)\n"
        "c.force_disable_caches = True\n"
        "from pixelcnn_edu.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    options = (
        f"train --preset tiny --filters 2 --data shapes --steps 1 --batch-size 2 --compile --device cpu --out {tmp_path}/r"
    )
    done = subprocess.run([sys.executable, "-c", script, *options.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "Error" in line]
    assert len(said) == 1
    assert "install a C++ compiler, or leave compile off" in said[0]
    assert "Traceback" not in done.stderr


# --- what passed, and stays so ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 128, 255])
def test_constant_images_train_and_never_cost_less_than_nothing(value):
    images = torch.full((4, 3, 8, 8), value, dtype=torch.uint8)
    trained, lines = fit(images=images, steps=60, learning_rate=0.01, record_every=20)
    assert all(np.isfinite(line["train_bits_per_dim"]) for line in lines)
    assert bits_per_image(trained, images).min() >= 0


def test_inference_mode_leaves_a_model_that_trains():
    model = pe.PixelCNNpp(tiny())
    with torch.inference_mode():
        pe.evaluate(model, IMAGES)
        pe.sample(model, 1, progress=False)
    model.bits_per_dim(IMAGES).mean().backward()
    assert model.head.bias.grad is not None


@pytest.mark.parametrize("change", [lambda m: m.to(memory_format=torch.channels_last), lambda m: m.bfloat16()])
def test_models_in_other_layouts_and_precisions_are_evaluated_and_drawn_from(change):
    model = change(pe.PixelCNNpp(tiny()))
    assert np.isfinite(pe.evaluate(model, IMAGES))
    assert pe.sample(model, 1, progress=False).shape == (1, 3, 8, 8)
