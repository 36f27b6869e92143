"""Images come in as bytes, are what they are said to be, and are never half there."""

import hashlib
import http.server
import io
import math
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import requests
import torch

from pixelcnn_edu import data, runs
from pixelcnn_edu.data import DataUnavailable, load_images, shapes, shapes_entropy, to_bytes, to_model
from tools import ship

# --- between bytes and the network's numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 3, 8, 255, 256, 257, 1000])
def test_bytes_survive_the_way_into_the_model_and_back(levels):
    values = torch.arange(levels)
    x = to_model(values, levels)
    assert x.dtype == torch.float32
    assert (x[0], x[-1]) == (-1, 1)
    torch.testing.assert_close(x.diff(), torch.full((levels - 1,), 2 / (levels - 1)), rtol=1e-3, atol=1e-6)
    back = to_bytes(x, levels)
    assert back.dtype == (torch.uint8 if levels <= 256 else torch.int64)
    assert torch.equal(back.long(), values)


def test_any_shape_and_any_integers_go_in():
    for dtype in (torch.uint8, torch.int16, torch.int32, torch.int64):
        assert to_model(torch.full((2, 3, 4), 255).to(dtype)).eq(1).all()
    assert to_model(torch.zeros(0, 3, 8, 8, dtype=torch.uint8)).shape == (0, 3, 8, 8)
    assert to_bytes(torch.zeros(0, 3, 8, 8)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("levels", [5, 256])
def test_to_bytes_takes_the_nearest_level(levels):
    x = torch.rand(2000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    grid = to_model(torch.arange(levels), levels)
    nearest = (x[:, None] - grid).abs().argmin(dim=1)  # the slow, obvious version
    assert torch.equal(to_bytes(x, levels).long(), nearest)


def test_float_images_are_refused_because_their_range_is_a_guess():
    with pytest.raises(ValueError, match=r"integers in 0\.\.255, got torch\.float32 with maximum 0\.5; .*multiply by 255"):
        to_model(torch.tensor([0.1, 0.5]))
    with pytest.raises(ValueError, match=r"torch\.bool"):
        to_model(torch.tensor([True]))
    with pytest.raises(ValueError, match=r"torch\.float32"):
        to_model(torch.zeros(0))
    with pytest.raises(ValueError, match=r"in 0\.\.7, .*multiply by 7 and .* to_bytes\(images, 8\)"):
        to_model(torch.rand(3), levels=8)


@pytest.mark.parametrize(
    ("x", "named"),
    [
        (torch.tensor([0.0, 1.01]), "to 1.01"),
        (torch.tensor([-1.5, 0.0]), "from -1.5"),
        (torch.tensor([0.0, float("nan")]), "nan"),
        (torch.tensor([float("inf")]), "inf"),
        (torch.tensor([3]), r"torch\.int64.*bytes already"),
    ],
)
def test_to_bytes_refuses_what_it_cannot_mean(x, named):
    with pytest.raises(ValueError, match=named):
        to_bytes(x)


@pytest.mark.parametrize(
    ("name", "split"), [("mnist", "train"), ("shapes", "validation"), ("cifar10", "Test"), ("", "test")]
)
def test_an_unknown_name_or_split_is_named(name, split):
    with pytest.raises(ValueError, match=r"got '(mnist|validation|Test|)'"):
        load_images(name, split)


# --- CIFAR-10, with a made-up folder of small files ------------------------------------------------------------------

RECORDS = 3  # a file


@pytest.fixture
def cifar(monkeypatch):
    """The contents of small made-up files under the official names, whose checksums are the ones expected."""
    rng = np.random.default_rng(0)
    files = {name: rng.integers(0, 256, (RECORDS, 3073), dtype=np.uint8) for name in data.CIFAR10_FILES}
    for records in files.values():
        records[:, 0] %= 10
    monkeypatch.setattr(data, "CIFAR10_FILES", {name: hashlib.md5(r.tobytes()).hexdigest() for name, r in files.items()})
    monkeypatch.delenv("PIXELCNN_EDU_DATA", raising=False)
    monkeypatch.delenv("PIXELCNN_EDU_OFFLINE", raising=False)
    return files


def write(files, root):
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, records in files.items():
        (folder / name).write_bytes(records.tobytes())
    return folder


def test_a_record_is_a_label_and_three_planes_row_by_row(cifar, tmp_path):
    write(cifar, tmp_path)
    images, labels = load_images("cifar10", "test", tmp_path)
    records = cifar["test_batch.bin"]
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert images.shape == (RECORDS, 3, 32, 32)
    assert labels.tolist() == records[:, 0].tolist()
    for n, c, i, j in [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0), (1, 1, 5, 31), (2, 2, 31, 31), (1, 2, 17, 3)]:
        assert images[n, c, i, j] == records[n, 1 + 1024 * c + 32 * i + j]


def test_the_training_set_is_the_five_batches_in_order(cifar, tmp_path):
    write(cifar, tmp_path)
    images, labels = load_images("cifar10", "train", str(tmp_path))
    records = np.concatenate([cifar[f"data_batch_{n}.bin"] for n in range(1, 6)])
    assert images.flatten(1).tolist() == records[:, 1:].tolist()
    assert labels.tolist() == records[:, 0].tolist()


def test_images_can_be_written_to(cifar, tmp_path):
    write(cifar, tmp_path)
    images, _ = load_images("cifar10", "test", tmp_path)
    images[0] = 0  # a read-only buffer underneath would make this undefined
    again, _ = load_images("cifar10", "test", tmp_path)
    assert again[0].any()


def test_the_root_is_the_argument_then_the_environment_then_the_cache(cifar, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELCNN_EDU_OFFLINE", "1")
    monkeypatch.setattr(data.pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    for root, given in [("cache/pixelcnn_edu", None), ("variable", None), ("argument", tmp_path / "argument")]:
        if root == "variable":
            monkeypatch.setenv("PIXELCNN_EDU_DATA", str(tmp_path / "variable"))
        with pytest.raises(DataUnavailable, match=root):
            load_images("cifar10", "test", given)
        write(cifar, tmp_path / root)
        assert len(load_images("cifar10", "test", given)[0]) == RECORDS


@pytest.mark.parametrize("damage", [b"", b"\x00", "cut", "flipped"])
def test_a_damaged_file_is_named(cifar, tmp_path, damage):
    folder = write(cifar, tmp_path)
    content = bytearray((folder / "data_batch_3.bin").read_bytes())
    if damage == "cut":
        content = content[:3073]  # a whole record, so that only the checksum can tell
    elif damage == "flipped":
        content[5000] ^= 1
    else:
        content = damage
    (folder / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(DataUnavailable, match=r"data_batch_3\.bin is not the official file.*Delete it"):
        load_images("cifar10", "train", tmp_path)
    load_images("cifar10", "test", tmp_path)  # the other split is sound


def test_offline_says_what_to_do_and_touches_nothing(cifar, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELCNN_EDU_OFFLINE", "1")
    monkeypatch.setattr(data.pooch, "retrieve", lambda *_, **__: pytest.fail("it went to the network"))
    with pytest.raises(DataUnavailable) as caught:
        load_images("cifar10", "test", tmp_path / "root")
    for word in ("PIXELCNN_EDU_OFFLINE", data.CIFAR10_URL, str(tmp_path / "root" / "cifar-10-batches-bin")):
        assert word in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert not (tmp_path / "root").exists()


# --- CIFAR-10, downloaded from a server on this machine ---------------------------------------------------------------


def archive_of(files, without=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        contents = {name: records.tobytes() for name, records in files.items()} | {"batches.meta.txt": b"airplane\n"}
        for name, content in contents.items():
            if name not in without:
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def serve(monkeypatch):
    """`serve(content, status, announced)` puts a server up at the data set's address; the checksum fits the content."""
    servers = []

    def start(content, status=200, announced=None, md5=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content) if announced is None else announced))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(data, "CIFAR10_URL", f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz")
        monkeypatch.setattr(data, "CIFAR10_MD5", md5 or hashlib.md5(content).hexdigest())
        return server

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def files_under(root):
    return sorted(str(p.relative_to(root)) for p in Path(root).rglob("*") if p.is_file()) if root.exists() else []


def test_a_download_brings_all_files_once_and_nothing_else(cifar, serve, tmp_path, monkeypatch):
    root = tmp_path / "new" / "root"
    serve(archive_of(cifar))
    images, _ = load_images("cifar10", "test", root)
    assert images.flatten(1).tolist() == cifar["test_batch.bin"][:, 1:].tolist()
    expected = sorted(f"cifar-10-batches-bin/{name}" for name in [*cifar, "batches.meta.txt"])
    assert files_under(root) == expected
    monkeypatch.setattr(data.pooch, "retrieve", lambda *_, **__: pytest.fail("it was downloaded twice"))
    assert len(load_images("cifar10", "train", root)[0]) == 5 * RECORDS


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later versions have filters, and warn of an archive without one")
def test_a_download_needs_no_filter_of_archives(cifar, serve, tmp_path, monkeypatch):
    """Python has them from 3.11.4 on; Debian 12 comes with 3.11.2."""
    serve(archive_of(cifar))
    unpack = tarfile.TarFile.extractall

    def without(tar, path, **options):
        assert not options
        unpack(tar, path)

    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", without)
    assert len(load_images("cifar10", "test", tmp_path)[0]) == RECORDS


def test_a_download_completes_a_folder_with_a_file_missing(cifar, serve, tmp_path):
    folder = write(cifar, tmp_path)
    (folder / "data_batch_2.bin").unlink()
    serve(archive_of(cifar))
    assert len(load_images("cifar10", "train", tmp_path)[0]) == 5 * RECORDS


@pytest.mark.parametrize(
    "trouble", ["checksum", "404", "truncated", "no server", "a file missing", "a file damaged", "no archive"]
)
def test_a_failed_download_says_so_and_leaves_nothing_half_written(cifar, serve, tmp_path, trouble):
    content = archive_of(cifar)
    if trouble == "checksum":
        serve(content, md5="0" * 32)
    elif trouble == "404":
        serve(b"not here", status=404)
    elif trouble == "truncated":
        serve(content[: len(content) // 2], announced=len(content), md5=hashlib.md5(content).hexdigest())
    elif trouble == "no server":
        server = serve(content)
        server.shutdown()
        server.server_close()
    elif trouble == "a file missing":
        serve(archive_of(cifar, without=["data_batch_4.bin"]))
    elif trouble == "a file damaged":
        serve(archive_of({**cifar, "data_batch_4.bin": cifar["data_batch_4.bin"][:1]}))
    elif trouble == "no archive":
        serve(b"<html>please log in</html>")
    with pytest.raises(DataUnavailable, match=r"(?s)could not be fetched into .*by hand, download http.* and unpack it in"):
        load_images("cifar10", "test", tmp_path / "root")
    assert files_under(tmp_path) == []
    assert not (tmp_path / "root" / "cifar-10-batches-bin").exists()


def test_an_interrupted_download_leaves_nothing_and_the_next_one_succeeds(cifar, serve, tmp_path, monkeypatch):
    """Ctrl-C after half of the archive has arrived."""
    content = archive_of(cifar)
    serve(content)
    iterate, root = requests.Response.iter_content, tmp_path / "root"

    def struck(response, *arguments, **keywords):
        yield content[: len(content) // 2]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", struck)
        with pytest.raises(KeyboardInterrupt):
            load_images("cifar10", "test", root)
    assert requests.Response.iter_content is iterate
    assert files_under(tmp_path) == []
    assert len(load_images("cifar10", "test", root)[0]) == RECORDS


@pytest.mark.slow
def test_two_processes_that_download_at_once_do_not_collide(cifar, serve, tmp_path):
    """Three real processes and one folder."""
    content = archive_of(cifar)
    serve(content)
    script = (
        "import sys, pixelcnn_edu.data as data\n"
        "data.CIFAR10_URL, data.CIFAR10_MD5, data.CIFAR10_FILES = sys.argv[1], sys.argv[2], eval(sys.argv[3])\n"
        "images, _ = data.load_images('cifar10', 'train', sys.argv[4])\n"
        "print(images.long().sum().item())\n"
    )
    command = [sys.executable, "-c", script, data.CIFAR10_URL, data.CIFAR10_MD5, repr(data.CIFAR10_FILES), str(tmp_path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    results = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], results
    expected = sum(int(cifar[name][:, 1:].sum()) for name in cifar if "test" not in name)
    assert [int(out) for out, _ in results] == [expected] * 3
    assert files_under(tmp_path) == sorted(f"cifar-10-batches-bin/{name}" for name in [*cifar, "batches.meta.txt"])


@pytest.mark.parametrize("trouble", ["a file", "below a file"])
def test_a_root_that_cannot_be_written_is_told(cifar, serve, tmp_path, trouble):
    serve(archive_of(cifar))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataUnavailable, match="could not be fetched"):
        load_images("cifar10", "test", tmp_path / "file" / ("" if trouble == "a file" else "root"))


def real_cifar():
    root = os.environ.get("PIXELCNN_EDU_DATA")
    return root and (Path(root) / "cifar-10-batches-bin" / "test_batch.bin").exists()


@pytest.mark.skipif(not real_cifar(), reason="CIFAR-10 is not under PIXELCNN_EDU_DATA")
@pytest.mark.parametrize(("split", "count"), [("test", 10_000), ("train", 50_000)])
def test_the_real_cifar10_is_the_official_one(split, count):
    images, labels = load_images("cifar10", split)
    assert images.shape == (count, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert labels.bincount().tolist() == [count // 10] * 10
    assert (images.min(), images.max()) == (0, 255)
    if split == "train":
        assert runs._which(images) == ship.CIFAR10  # by which a card knows what was trained on


# --- shapes ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_shapes():
    (images, labels), (again, labels_again) = shapes(20, seed=3), shapes(20, seed=3)
    assert torch.equal(images, again)
    assert torch.equal(labels, labels_again)
    assert not torch.equal(images, shapes(20, seed=4)[0])


def test_drawing_shapes_leaves_the_random_state_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    shapes(4)
    shapes_entropy(count=4)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


@pytest.mark.parametrize("size", [8, 13, 16, 32])
def test_shapes_are_bytes_with_labels(size):
    images, labels = shapes(300, size=size)
    assert images.shape == (300, 3, size, size)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert labels.unique().tolist() == [0, 1, 2]
    assert labels.bincount().min() > 60  # a hundred each, more or less


def test_load_images_gives_two_fixed_sets_of_shapes_that_share_no_image(monkeypatch):
    monkeypatch.setattr(data, "SHAPES_SPLITS", {split: (n // 50, seed) for split, (n, seed) in data.SHAPES_SPLITS.items()})
    (train, _), (test, _) = load_images("shapes", "train"), load_images("shapes", "test")
    assert (len(train), len(test)) == (100, 20)
    assert torch.equal(train, load_images("shapes")[0])
    assert train.shape[1:] == (3, 32, 32)
    assert not (train[None] == test[:, None]).flatten(2).all(dim=2).any()


def test_the_label_is_the_figure(monkeypatch):
    """Without noise, find the figure by what differs from the background, and tell its kind by the widths of its rows."""
    monkeypatch.setattr(data, "SHAPES_SCALE", 1e-9)
    images, labels = shapes(400, seed=0)
    seen = [0, 0, 0]
    for image, label in zip(images.double().numpy(), labels.tolist()):
        t = np.linspace(0, 1, 32)
        left = np.outer(1 - t, [1, 1, 1]) * image[:, 0, 0] + np.outer(t, [1, 1, 1]) * image[:, -1, 0]  # (32, 3)
        right = np.outer(1 - t, [1, 1, 1]) * image[:, 0, -1] + np.outer(t, [1, 1, 1]) * image[:, -1, -1]
        background = left[:, None] * (1 - t)[None, :, None] + right[:, None] * t[None, :, None]  # (32, 32, 3)
        figure = (np.abs(image.transpose(1, 2, 0) - background) > 2).any(axis=2)
        widths = [int(w) for w in figure.sum(axis=1) if w]
        at_edge = figure[0].any() or figure[-1].any() or figure[:, 0].any() or figure[:, -1].any()
        if at_edge or len(widths) < 7 or max(widths) > 17:
            continue  # cut off by the edge, or hidden by a background of its own colour
        if widths == [len(widths)] * len(widths):
            kind = 1
        elif widths == widths[::-1] and max(widths) == widths[len(widths) // 2] == len(widths):
            kind = 0
        elif widths == sorted(widths) and widths[0] < widths[-1] == len(widths):
            kind = 2
        else:
            continue  # partly hidden
        assert kind == label
        seen[kind] += 1
    assert min(seen) > 30


def test_the_noise_is_logistic_with_the_stated_scale():
    images, _ = shapes(60, seed=5)
    means, _ = data._shapes_means(60, 32, np.random.default_rng(5))
    noise = images.numpy() - means
    assert 60 < means.min() < means.max() < 250  # far enough from the ends that nothing is clipped
    assert abs(noise.mean()) < 0.03
    deviation = math.sqrt(data.SHAPES_SCALE**2 * math.pi**2 / 3 + 1 / 12)  # logistic, then rounded
    assert abs(noise.std() / deviation - 1) < 0.02


def test_shapes_cost_what_shapes_entropy_says():
    """The exact log-likelihood of drawn images given their means, plus the bits of the choices, is the stated entropy."""
    count, size = 60, 32
    images, _ = shapes(count, seed=7)
    means, _ = data._shapes_means(count, size, np.random.default_rng(7))
    x = images.double().numpy()

    def cdf(v):
        return 1 / (1 + np.exp(-(v - means) / data.SHAPES_SCALE))

    probability = np.where(x == 255, 1, cdf(x + 0.5)) - np.where(x == 0, 0, cdf(x - 0.5))
    noise_bits = -np.log2(probability).mean()
    # 3 kinds, 5 colours out of 8, rows and columns 8..24, radii 4..8
    choice_bits = math.log2(3 * 8**5 * 17 * 17 * 5) / (3 * size * size)
    stated = shapes_entropy(size, count, seed=7)
    assert abs(stated - choice_bits - noise_bits) < 0.01
    assert abs(stated - shapes_entropy(size, count, seed=8)) < 0.002
    assert stated < 8


def test_shapes_entropy_is_that_of_each_rounded_logistic_and_of_the_choices():
    """At 8x8, where the choices weigh most: rows and columns 2..6, radii 1 and 2."""
    means, _ = data._shapes_means(30, 8, np.random.default_rng(1))
    edges = np.concatenate([[-np.inf], np.arange(255) + 0.5, [np.inf]])
    probability = np.diff(1 / (1 + np.exp(-(edges - means[..., None]) / data.SHAPES_SCALE)))
    noise_bits = -(probability * np.log2(probability.clip(1e-300))).sum(axis=-1).mean()
    choice_bits = math.log2(3 * 8**5 * 5 * 5 * 2) / (3 * 8 * 8)
    assert shapes_entropy(8, 30, seed=1) == pytest.approx(noise_bits + choice_bits, abs=1e-4)


@pytest.mark.parametrize(("count", "size"), [(0, 32), (-1, 32), (4, 7), (4, 0)])
def test_no_images_or_too_small_ones_are_refused(count, size):
    with pytest.raises(ValueError, match=f"got {count} and {size}"):
        shapes(count, size)
