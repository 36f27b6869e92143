"""Two processes train as one does on the same batch, and the first alone writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from oracles import random_bytes, tiny

import pixelcnn_edu.training
from pixelcnn_edu import PixelCNNpp, Training, fit
from pixelcnn_edu.parallel import process_device, rank, world_size
from pixelcnn_edu.runs import read_run

SCRIPT = """
import os, sys
import torch
sys.path.insert(0, {tests!r})
from oracles import random_bytes, tiny
import pixelcnn_edu.training
from pixelcnn_edu import PixelCNNpp, Training, fit
from pixelcnn_edu.parallel import joined, mean_over_processes, rank, world_size
torch.set_num_threads(1)
images = random_bytes(40, 3, 8, 8)
pixelcnn_edu.training.sample = lambda model, count, *_, **__: images[:count]
with joined(torch.device("cpu")):
    assert world_size() == 2 and rank() == int(os.environ["RANK"])
    assert mean_over_processes(torch.tensor(float(rank()))).item() == 0.5
    torch.manual_seed(rank())  # the first process's weights count
    settings = Training(steps=int(sys.argv[2]), batch_size=8, record_every=1, ema_decay=0.9, accumulate=int(sys.argv[3]))
    options = {{"validation": images[:4], "out": sys.argv[1], "device": "cpu", "progress": False}}
    model, lines = fit(PixelCNNpp(tiny()), images, training=settings, **options)
    same = [mean_over_processes(p.detach().clone().sum()) - p.detach().sum() for p in model.parameters()]
    assert max(abs(d).item() for d in same) < 1e-5  # every process has the same average
"""


def together(folder, steps, accumulate=1):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = folder.parent / "two.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), str(folder), str(steps), str(accumulate)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    lines = torch.load(folder / "checkpoint.pt", weights_only=True)["lines"]  # metrics.csv is rounded
    return {name: [line[name] for line in lines] for name in lines[0]}


@pytest.fixture
def alone(monkeypatch):
    images = random_bytes(40, 3, 8, 8)
    monkeypatch.setattr(pixelcnn_edu.training, "sample", lambda model, count, *_, **__: images[:count])
    torch.manual_seed(0)
    settings = Training(steps=10, batch_size=8, record_every=1, ema_decay=0.9)
    _, lines = fit(PixelCNNpp(tiny()), images, training=settings, validation=images[:4], device="cpu", progress=False)
    return {name: [line[name] for line in lines] for name in lines[0]}


@pytest.mark.slow
def test_two_processes_follow_the_curve_of_one(tmp_path, alone):
    metrics = together(tmp_path / "run", 10)
    for name in ("train_bits_per_dim", "validation_bits_per_dim"):
        assert metrics[name] == pytest.approx(alone[name], abs=1e-4)
    assert metrics["images"] == alone["images"]  # of all processes


@pytest.mark.slow
def test_two_processes_go_on_where_they_stopped_and_may_work_in_parts(tmp_path, alone):
    together(tmp_path / "run", 4)
    metrics = together(tmp_path / "run", 10, accumulate=2)
    assert metrics["train_bits_per_dim"] == pytest.approx(alone["train_bits_per_dim"], abs=1e-4)


def test_alone_a_process_is_the_first_of_one():
    assert (rank(), world_size()) == (0, 1)
    assert process_device("cpu") == torch.device("cpu")
    assert process_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.slow
def test_torchrun_works_on_the_command_line(tmp_path):
    options = "train --preset tiny --filters 2 --data shapes --batch-size 4 --steps 1 --device cpu --validation 4"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, torch, pixelcnn_edu.training as t\n"
        "from pixelcnn_edu import cli, data\n"
        "data.SHAPES_SPLITS = {'train': (12, 1), 'test': (4, 2)}\n"
        "t.sample = lambda model, count, *_, **__: torch.zeros(count, 3, 32, 32, dtype=torch.uint8)\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    done = subprocess.run(
        [*command, *options.split(), "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bits/dim on 4 validation images") == 1  # the first process alone speaks
    assert read_run(tmp_path / "run").environment["finished"] is True
