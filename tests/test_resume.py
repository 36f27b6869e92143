"""Nothing that can happen to a training run loses what it had: signals, kill -9, full disks, damaged files, no memory."""

import multiprocessing
import os
import signal
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from oracles import random_bytes, tiny

import pixelcnn_edu.training
from pixelcnn_edu import PixelCNNpp, Training, fit
from pixelcnn_edu.runs import CHECKPOINTS, read_run
from pixelcnn_edu.state import TrainingState

IMAGES = random_bytes(20, 3, 8, 8)
STEPS = 12
FILES = ("checkpoint.pt", "weights.safetensors", "samples.png", "config.json")

# A process of its own for each training. On Linux they branch off from one that has imported all, which takes seconds.
CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
if sys.platform == "linux":
    CONTEXT.set_forkserver_preload(["pixelcnn_edu.training", "pytest"])


def train(folder, steps, setup):
    """Train, with `setup` executed first; what this process says goes into files beside the folder."""
    for number, kind in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}.{kind}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    exec(setup, {})
    pixelcnn_edu.training.sample = lambda model, count, *_, **__: IMAGES[:count]
    torch.manual_seed(0)
    settings = Training(steps=steps, batch_size=4, record_every=1, ema_decay=0.9)
    options = {"validation": IMAGES[:4], "out": folder, "device": "cpu", "progress": False}
    fit(PixelCNNpp(tiny(dropout=0.5)), IMAGES, training=settings, **options)


def start(folder, steps, setup=""):
    """The same training in a process of its own."""
    process = CONTEXT.Process(target=train, args=(folder, steps, setup))
    process.start()
    return process


def ended(process, folder):
    """Wait for the process, and give its exit code, its stdout and its stderr."""
    process.join()
    return process.exitcode, *(Path(f"{folder}.{kind}").read_text() for kind in ("out", "err"))


def finish(folder, steps, setup=""):
    return ended(start(folder, steps, setup), folder)


def the_same(a, b):
    """All that changes in training: weights, average, both of Adam's moments, step, losses; seconds are the clock's."""
    a, b = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (a, b))

    def equal(x, y):
        if isinstance(x, dict):
            return x.keys() == y.keys() and all(equal(x[key], y[key]) for key in x if key not in ("seconds", "started"))
        if isinstance(x, (list, tuple)):
            return len(x) == len(y) and all(map(equal, x, y))
        return torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y

    return equal(a, b)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    assert finish(folder, STEPS)[0] == 0
    return folder


@pytest.mark.slow
def test_twelve_steps_are_six_and_six_more(tmp_path, straight):
    assert finish(tmp_path, STEPS // 2)[0] == 0
    assert finish(tmp_path, STEPS)[0] == 0
    assert the_same(tmp_path, straight)
    assert (tmp_path / "weights.safetensors").read_bytes() == (straight / "weights.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_from_outside_ends_training_and_the_same_call_goes_on(tmp_path, straight, number):
    process = start(tmp_path, STEPS)
    wait_for(tmp_path / "metrics.csv", process)
    os.kill(process.pid, number)
    code, out, err = ended(process, tmp_path)
    assert code == 0, err
    if "stopped at step" in out:  # else it was faster than the signal
        assert read_run(tmp_path).environment["finished"] is False
    assert finish(tmp_path, STEPS)[0] == 0
    assert the_same(tmp_path, straight)


def wait_for(path, process):
    while not path.exists():
        assert process.is_alive(), f"{path} was not written"
        time.sleep(0.005)


def drill(folder, straight, steps, delays):
    """Kill -9 after each delay, counted from the first record, and let the last call finish."""
    for delay in delays:
        process = start(folder, steps)
        wait_for(folder / "environment.json", process)
        time.sleep(delay)
        process.kill()
        process.join()
    code, _, err = finish(folder, steps)
    assert code == 0, err
    assert the_same(folder, straight)


@pytest.mark.slow
def test_kill_nine_at_any_moment_loses_at_most_the_step_it_struck(tmp_path, straight):
    drill(tmp_path, straight, STEPS, [0.0, 0.02, 0.01])


DIES_WHILE_WRITING = """
import os, signal, torch
import pixelcnn_edu.runs as runs
save, count = torch.save, []
def dies(content, path):
    count.append(1)
    if len(count) == 7:
        with open(path, "wb") as file:
            file.write(b"half a checkpoint")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    save(content, path)
runs.torch.save = dies
"""


@pytest.mark.slow
def test_kill_nine_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, straight):
    assert finish(tmp_path, STEPS, DIES_WHILE_WRITING)[0] == -signal.SIGKILL
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 6
    assert finish(tmp_path, STEPS)[0] == 0
    assert the_same(tmp_path, straight)
    assert not list(tmp_path.glob(".*"))


FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import pixelcnn_edu.runs as runs
save, count = runs.RunFolder.save, []
def full(self, *arguments):
    count.append(1)
    if len(count) == 7:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    save(self, *arguments)
runs.RunFolder.save = full
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_loses_nothing_that_was_written(tmp_path, straight):
    """A real limit on the size of files, from the seventh record on."""
    code, _, err = finish(tmp_path, STEPS, FULL_DISK)
    assert code != 0
    assert "step 7 could not be written" in err
    assert "make room, and the same call goes on" in err
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 6
    assert finish(tmp_path, STEPS)[0] == 0
    assert the_same(tmp_path, straight)


def test_a_disk_without_room_is_named_before_training(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("pixelcnn_edu.runs.shutil.disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"cannot write to the output folder .* need 4 MiB, and 0 MiB are free"):
        fit(PixelCNNpp(tiny(filters=12)), IMAGES, training=Training(steps=1), out=tmp_path, device="cpu", progress=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named_before_training(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="cannot write to the output folder"):
        fit(PixelCNNpp(tiny()), IMAGES, training=Training(steps=1), out=tmp_path / "run", device="cpu", progress=False)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flipped(path):
    """One bit of one weight, which only a checksum can tell."""
    with zipfile.ZipFile(path) as file:
        info = max(file.infolist(), key=lambda info: info.file_size)
    content = bytearray(path.read_bytes())
    content[info.header_offset + 200 + info.file_size // 2] ^= 1
    path.write_bytes(bytes(content))


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncated, flipped, emptied, Path.unlink])
def test_a_damaged_checkpoint_is_named_and_the_one_before_takes_over(tmp_path, damage):
    def run(steps, folder):
        torch.manual_seed(0)
        settings = Training(steps=steps, batch_size=4, record_every=1, ema_decay=0.9)
        return fit(PixelCNNpp(tiny()), IMAGES, training=settings, out=folder, device="cpu", progress=False)

    straight, _ = run(8, tmp_path / "straight")
    run(5, tmp_path / "parts")
    damage(tmp_path / "parts" / "checkpoint.pt")
    if damage is Path.unlink:
        continued, lines = run(8, tmp_path / "parts")
    else:
        with pytest.warns(UserWarning, match=r"checkpoint\.pt is damaged and is skipped"):
            continued, lines = run(8, tmp_path / "parts")
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), continued.parameters()))
    assert [line["step"] for line in lines] == list(range(1, 9))


def test_where_every_checkpoint_is_damaged_all_are_named(tmp_path):
    settings = Training(steps=2, batch_size=4, record_every=1)
    fit(PixelCNNpp(tiny()), IMAGES, training=settings, out=tmp_path, device="cpu", progress=False)
    for name in CHECKPOINTS:
        emptied(tmp_path / name)
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(ValueError, match=r"no checkpoint is whole: .*checkpoint\.pt, .*checkpoint-before\.pt"),
    ):
        fit(PixelCNNpp(tiny()), IMAGES, training=settings, out=tmp_path, device="cpu", progress=False)


def test_a_checkpoint_that_would_run_code_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"step": Trap()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="is not read, since it could run code"):
        fit(PixelCNNpp(tiny()), IMAGES, training=Training(steps=1), out=tmp_path, device="cpu", progress=False)
    assert not (tmp_path / "sprung").exists()


# --- memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
@pytest.mark.parametrize(
    ("most", "words"),
    [
        (4, "a batch of 16 images does not fit into the memory of cpu, 4 do: set accumulate=4 .* or batch_size=4"),
        (0, "a batch of 16 images does not fit .* neither does a single one: take a smaller model"),
    ],
)
def test_out_of_memory_names_the_largest_batch_that_fits(monkeypatch, error, most, words):
    bits = PixelCNNpp.bits_per_dim

    def limited(model, images, labels=None):
        if len(images) > most:
            raise error
        return bits(model, images, labels)

    monkeypatch.setattr(PixelCNNpp, "bits_per_dim", limited)
    with pytest.raises(MemoryError, match=words):
        fit(PixelCNNpp(tiny()), IMAGES, training=Training(steps=1, batch_size=16), device="cpu", progress=False)
    if most:
        for size, accumulate, advice in (
            (14, 1, "accumulate=7 .* batch_size=3$"),
            (12, 2, "accumulate=4 .* batch_size=3 and ac"),
        ):
            state = TrainingState(PixelCNNpp(tiny()), Training(batch_size=size, accumulate=accumulate), torch.device("cpu"))
            with pytest.raises(MemoryError, match=advice):
                state.gradient(IMAGES[:1].expand(size, -1, -1, -1), None)
        settings = Training(steps=1, batch_size=16, accumulate=4)
        fit(PixelCNNpp(tiny()), IMAGES, training=settings, device="cpu", progress=False)


def test_another_error_of_the_network_is_not_taken_for_one_of_memory(monkeypatch):
    def broken(model, images, labels=None):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(PixelCNNpp, "bits_per_dim", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit(PixelCNNpp(tiny()), IMAGES, training=Training(steps=1), device="cpu", progress=False)


# --- parts of a batch ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(parts):
    gradients = []
    for accumulate in (1, parts):
        torch.manual_seed(0)
        model = PixelCNNpp(tiny()).double()
        state = pixelcnn_edu.state.TrainingState(model, Training(batch_size=8, accumulate=accumulate), torch.device("cpu"))
        loss = state.gradient(IMAGES[:8], None)
        gradients.append([loss, *(p.grad for p in model.parameters())])
    for whole, in_parts in zip(*gradients):
        torch.testing.assert_close(in_parts, whole, rtol=1e-9, atol=1e-12)


def test_a_batch_that_does_not_split_is_refused():
    with pytest.raises(ValueError, match=r"batch_size 6 does not split evenly into 1 process\(es\) of 4 part"):
        fit(PixelCNNpp(tiny()), IMAGES, training=Training(batch_size=6, accumulate=4), device="cpu", progress=False)


def test_a_run_may_go_on_in_other_parts(tmp_path):
    ends = {}
    for folder, parts in (("straight", [(4, 1)]), ("parts", [(2, 1), (4, 2)])):
        torch.manual_seed(0)
        model = PixelCNNpp(tiny())
        for steps, accumulate in parts:
            settings = Training(steps=steps, batch_size=4, record_every=1, accumulate=accumulate, ema_decay=0.5)
            options = {"out": tmp_path / folder, "device": "cpu", "progress": False}
            ends[folder] = fit(model, IMAGES, training=settings, **options)
            torch.nn.init.zeros_(next(model.parameters()))  # what the model holds does not matter, the checkpoint does
    (straight, lines), (continued, parts) = ends.values()
    assert [line["train_bits_per_dim"] for line in parts] == pytest.approx([line["train_bits_per_dim"] for line in lines])
    for a, b in zip(straight.parameters(), continued.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
