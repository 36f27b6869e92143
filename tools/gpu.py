"""Every measurement that wants a GPU, in one command of under 12 minutes; it leaves records.

    tools/gpu.sh OUT                            # on a GPU
    tools/gpu.sh OUT --tiny                     # the same at tiny size, on any machine
    tools/gpu.sh OUT --peer ../pixel-cnn-pp     # also times a checkout of pclucas14/pixel-cnn-pp
    tools/gpu.sh OUT --minutes 9.5 --parts correctness speed training
    tools/gpu.sh --pack FOLDER                  # CIFAR-10 as six lossless pictures of 17 MB each

It leaves `record.json`, the same as a readable `table.txt`, both written anew after every result,
and the training run in `train/`. Each part runs in a process of its own with a time limit; what
fails or takes too long is recorded, and the next part begins. The training run takes the time that
the others leave.

Needs: Python 3.11, torch 2.9 (for Muon), numpy, scipy, matplotlib, Pillow with WebP, safetensors,
tqdm, and pooch with its platformdirs, packaging and requests. Where a machine has torch but neither
network nor pooch, take pooch and platformdirs along as wheels (`pip download --no-deps pooch
platformdirs`, there `pip install --no-index --no-deps --target SITE *.whl`, and SITE in PYTHONPATH).
The package need not be installed. `pixelcnn-edu` on the command line would also want tyro, with
docstring-parser and typeguard, and the interactive figures ipywidgets; nothing here does.

Data: PIXELCNN_EDU_DATA names a folder with `cifar-10-batches-bin/`, or with the pictures that
`--pack` made: about 101 MB in all. A machine that takes at most 64 MiB at a time, the repository
included, gets them in two portions of three. Where some training pictures are missing, the run is
trained on the others, and where there is no data, on made-up shapes; the record says which.
"""

import argparse
import contextlib
import copy
import gc
import itertools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from pixelcnn_edu import Config, Training, build, fit, load_images, sample, to_model
from pixelcnn_edu.blocks import data_dependent_init, folded, no_tf32
from pixelcnn_edu.cached import one_pixel_at_a_time
from pixelcnn_edu.data import CIFAR10_FILES, shapes
from pixelcnn_edu.interrupts import sigterm_is_ctrl_c
from pixelcnn_edu.parallel import joined, process_device
from pixelcnn_edu.probes import bits_per_image
from pixelcnn_edu.runs import CHECKPOINTS
from pixelcnn_edu.sampling import trace
from pixelcnn_edu.state import TrainingState
from tools import ablations, speedrun

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from loss import released_formula  # noqa: E402
from measure import machine, peak_memory  # noqa: E402
from train_step import check_same_function, load_peer  # noqa: E402

SEARCH = ROOT / "book" / "runs" / "ablations"  # where the recipe was found
COLUMNS = 100  # of the sheet that --pack makes: 10,000 images, 100 x 100
GRACE = 20  # seconds that a part has to end after it was asked to


@dataclass(frozen=True)
class Sizes:
    """All that differs between a GPU and a try on a CPU.

    Attributes:
        config: the network; its dropout is off, since the few epochs that fit do not overfit.
        batch: images of a training step.
        rounds: training steps timed, after three that are not.
        matrix: side of the bfloat16 product that measures the peak.
        exact_images: how many images the device is compared with the CPU on.
        exact_pixels: how many pixels cached and naive sampling must agree on.
        draws: batches in which samples are drawn.
        images: training images at most, and validation and test images at most.
        steps: training steps at most; on a GPU the time decides.
        minutes: the whole, if nothing else is asked for.
        limits: seconds that each part may take.
    """

    config: Config
    batch: int
    rounds: int
    matrix: int
    exact_images: int
    exact_pixels: int
    draws: tuple[int, ...]
    images: tuple[int, int]
    steps: int
    minutes: float
    limits: dict[str, float]


SIZES = {
    "paper": Sizes(
        config=Config.paper(dropout=0.0),
        batch=128,
        rounds=15,
        matrix=8192,
        exact_images=2,
        exact_pixels=160,  # five rows: every kind of step, at every resolution
        draws=(16, 256),
        images=(45_000, 10_000),
        steps=10**6,
        minutes=11.5,
        limits={
            "correctness": 75,
            "speed": 270,
            "sampling": 110,
            "distributed": 60,
            "training": 600,
        },
    ),
    "tiny": Sizes(
        config=Config(filters=4, blocks=1, mixtures=2, dropout=0.0),
        batch=4,
        rounds=3,
        matrix=256,
        exact_images=2,
        exact_pixels=160,
        draws=(2,),
        images=(64, 16),
        steps=6,
        minutes=60,  # far more than it takes, for a machine that is busy with other things
        limits=dict.fromkeys(("correctness", "speed", "sampling", "distributed", "training"), 900),
    ),
}


# The record.


class Record:
    """`record.json` and `table.txt` in a folder, both whole at any time; processes may take turns."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "record.json"

    def read(self):
        """All of it: a dict with "environment" and "parts"."""
        return json.loads(self.path.read_text()) if self.path.exists() else {"environment": {}, "parts": {}}

    def rows(self, part):
        """The rows of a part, none where it has not run."""
        return self.read()["parts"].get(part, {}).get("rows", [])

    def environment(self, **values):
        """Write down where and with what it runs."""
        content = self.read()
        content["environment"].update(values)
        self._write(content)

    def restart(self, part):
        """Forget what an earlier call wrote down for a part."""
        content = self.read()
        content["parts"].pop(part, None)
        self._write(content)

    def note(self, part, **values):
        """Write down what holds for a whole part."""
        content = self.read()
        self._part(content, part)["notes"].update(values)
        self._write(content)

    def add(self, part, **row):
        """Write down a result."""
        content = self.read()
        self._part(content, part)["rows"].append(row)
        self._write(content)

    def check(self, part, what, error, at_most):
        """Write down an error, the largest that passes, and whether it does."""
        self.add(part, check=what, error=error, at_most=at_most, ok=bool(error <= at_most))

    @staticmethod
    def _part(content, part):
        return content["parts"].setdefault(part, {"notes": {}, "rows": []})

    def _write(self, content):
        for name, text in (
            ("record.json", json.dumps(content, indent=2)),
            ("table.txt", table(content)),
        ):
            scratch = self.folder / f".{name}.part"
            scratch.write_text(text + "\n")
            scratch.replace(self.folder / name)


def table(content):
    """A record as text: the notes of each part, and its rows in columns."""
    lines = [f"{name}: {value}" for name, value in content["environment"].items()]
    for part, found in content["parts"].items():
        lines += [
            "",
            f"--- {part}",
            *(f"{name}: {shown(value)}" for name, value in found["notes"].items()),
        ]
        names = list(dict.fromkeys(name for row in found["rows"] for name in row))
        grid = [[name.replace("_", " ") for name in names]] if names else []
        grid += [[shown(row.get(name, "")) for name in names] for row in found["rows"]]
        widths = [max(map(len, column)) for column in zip(*grid)]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in grid]
    return "\n".join(lines)


def shown(value):
    """A value as it stands in the table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# Data.


@dataclass(frozen=True)
class Data:
    """Where images came from, in words, and the images, uint8 (N, C, H, W)."""

    name: str
    train: torch.Tensor
    validation: torch.Tensor
    test: torch.Tensor


def load_data(sizes):
    """CIFAR-10 from its files or from packed ones, as far as they are there, else made-up shapes."""
    folder = Path(os.environ.get("PIXELCNN_EDU_DATA") or "/nowhere").expanduser()
    packed = sorted(folder.glob("data_batch_*.webp"))
    if (folder / "cifar-10-batches-bin").exists():
        name = "CIFAR-10"
        train, test = (load_images("cifar10", split)[0] for split in ("train", "test"))
    elif packed and (folder / "test_batch.webp").exists():
        name = f"CIFAR-10, {len(packed)} of its 5 training files"
        train, test = (
            torch.cat([unpack(path) for path in packed]),
            unpack(folder / "test_batch.webp"),
        )
    else:
        name = "made-up shapes, for there is no CIFAR-10"
        train, test = shapes(2000, seed=1)[0], shapes(200, seed=2)[0]
    held_out = min(5000, len(train) // 10)
    train, validation = train[:-held_out], train[-held_out:]
    most, most_scored = sizes.images
    # Channels last, the layout that a GPU's matrix units like; batches taken from it have it too.
    train = train[:most].contiguous(memory_format=torch.channels_last)
    return Data(name, train, validation[:most_scored], test[:most_scored])


def pack(folder):
    """Write each of CIFAR-10's files as one lossless WebP of 100 x 100 images, without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    images = torch.cat([load_images("cifar10", split)[0] for split in ("train", "test")])
    for name, some in zip(CIFAR10_FILES, images.split(10_000), strict=True):
        path = folder / Path(name).with_suffix(".webp").name
        Image.fromarray(sheet(some)).save(path, lossless=True, method=4)
        assert torch.equal(unpack(path), some), f"{path} does not come back as it was"
        print(f"{path}: {path.stat().st_size:,} bytes", flush=True)


def sheet(images):
    """Images uint8 (N, 3, h, w) side by side, 100 a row: an array (N / 100 * h, 100 * w, 3)."""
    count, channels, height, width = images.shape
    rows = images.reshape(-1, COLUMNS, channels, height, width).permute(0, 3, 1, 4, 2)  # (rows, h, 100, w, 3)
    return rows.reshape(count // COLUMNS * height, COLUMNS * width, channels).numpy()


def unpack(path):
    """What `sheet` made: images uint8 (N, 3, 32, 32)."""
    rows = torch.from_numpy(np.array(Image.open(path))).unflatten(1, (COLUMNS, 32)).unflatten(0, (-1, 32))
    return rows.permute(0, 2, 4, 1, 3).flatten(0, 1).contiguous()  # (rows, 32, 100, 32, 3) -> (N, 3, 32, 32)


# What all parts share.


def started(config, device="cpu"):
    """A model in evaluation mode with weights as training starts from, in float32, on a device."""
    torch.manual_seed(0)
    model = build(config).to(device)
    data_dependent_init(model, to_model(shapes(16)[0]).to(device))
    return model.eval()


def seconds_of(call):
    """Seconds that `call()` takes, to the end of what it started on a GPU."""
    synchronize()
    start = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - start


def synchronize():
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def relative(value, reference):
    """Size of the difference over the size of the reference."""
    reference = reference.double()
    return ((value.double() - reference).norm() / reference.norm()).item()


# Is the device right?


def correctness(sizes, record, device):
    """The network on the device against the CPU in float64, and cached against naive sampling."""
    images = load_data(sizes).train[: sizes.exact_images].contiguous()
    model = started(sizes.config)
    reference = answers(model.double(), images)
    bounds = {torch.float64: (1e-10, 1e-10, 1e-9), torch.float32: (1e-4, 1e-5, 1e-3)}
    for dtype, at_most in bounds.items():
        found = answers(copy.deepcopy(model).to(device, dtype), images)
        for (name, expected), most in zip(reference.items(), at_most):
            record.check("correctness", f"{name}, {dtype}", relative(found[name], expected), most)
    model = model.to(device, torch.float32)
    with torch.autocast(device.type, torch.bfloat16):
        found = answers(model, images, gradient=False)
    for name, most in {"parameters": 0.1, "bits": 0.03}.items():
        record.check(
            "correctness",
            f"{name}, network in bfloat16",
            relative(found[name], reference[name]),
            most,
        )
    naive, cached = (drawn(model.double(), sizes.exact_pixels, method) for method in ("naive", "cached"))
    unlike = (naive != cached).any(dim=1).sum().item()  # (N, C, H, W) -> (N, H, W)
    record.check(
        "correctness",
        f"pixels of {2 * sizes.exact_pixels} drawn otherwise from the cache",
        unlike,
        0,
    )


def answers(model, images, gradient=True):
    """Parameters, bits/dim and the gradient of their mean, on the CPU: a dict of tensors."""
    with no_tf32(), torch.set_grad_enabled(gradient):
        weights = next(model.parameters())
        x = to_model(images).to(weights)
        found = {"parameters": model(x), "bits": model.bits_per_dim(images.to(weights.device))}
        if gradient:
            gradients = torch.autograd.grad(found["bits"].mean(), list(model.parameters()))
            found["gradient"] = torch.cat([part.flatten() for part in gradients])
    return {name: value.detach().cpu().double() for name, value in found.items()}


def drawn(model, pixels, method):
    """Two images of which the first `pixels` are drawn; in float64 no value lies at a bin's edge."""
    *_, last = itertools.islice(trace(model, 2, method=method), pixels)
    return last.images


# How fast does it train?


def speed(sizes, record, device, peer=None):
    """Images per second in training, gain by gain, the share of the bfloat16 peak, peak memory."""
    config, images = sizes.config, load_data(sizes).train[: sizes.batch].to(device)
    flop, peak = speedrun.training_flop(config), bfloat16_peak(sizes.matrix, device)
    record.note(
        "speed",
        batch=len(images),
        gigaflop_per_image=flop / 1e9,
        bfloat16_peak_teraflops=peak / 1e12,
        float32="on a GPU the convolutions use TF32, as is PyTorch's default",
        peak_mebibytes="beyond weights, their average and the optimizers' state",
    )
    variants = {
        "float32": ({}, torch.contiguous_format),
        "+ channels-last": ({}, torch.channels_last),
        "+ bfloat16": ({"mixed_precision": True}, torch.channels_last),
        "+ Muon": (recipe(), torch.channels_last),
        "+ torch.compile": (recipe() | {"compile": True}, torch.channels_last),
    }
    steps = {"pclucas14": lambda: peer_step(peer, config, images)} if peer else {}
    for name, (settings, layout) in variants.items():
        batch = images.contiguous(memory_format=layout)
        steps[name] = lambda settings=settings, batch=batch: our_step(settings, config, batch)
    for name, make in steps.items():
        gradient = update = None  # what the last one held
        gc.collect()
        torch.cuda.empty_cache()
        try:
            gradient, update = make()
            row = time_step(gradient, update, sizes.rounds)
        except Exception as error:  # of one variant; the others are still worth having
            record.add("speed", step=name, failed=one_line(error))
            continue
        seconds = row["gradient_seconds"] + row["update_seconds"]
        rate = len(images) / seconds
        record.add("speed", step=name, images_per_second=rate, share_of_peak=rate * flop / peak, **row)


def recipe():
    """Settings of the recipe that the search found for the full model, not compiled."""
    return ablations.COMMON | ablations.recipe(SEARCH, "full") | {"compile": False}


def bfloat16_peak(side, device, rounds=10):
    """Floating-point operations a second of a product of two random square matrices in bfloat16."""
    a, b = torch.randn(2, side, side, device=device).bfloat16()
    for _ in range(3):
        a @ b
    return 2 * side**3 * rounds / seconds_of(lambda: [a @ b for _ in range(rounds)])


def our_step(settings, config, images):
    """A step of `fit`, with its average of the weights, in two functions: gradient and update."""
    torch.manual_seed(0)
    torch.compiler.reset()
    training = Training(**settings | {"batch_size": len(images)})
    state = TrainingState(build(config).to(images.device).train(), training, images.device)
    return lambda: state.gradient(images, None), lambda: state.update(0.0)


def peer_step(folder, config, images):
    """A step of pclucas14/pixel-cnn-pp: its network, the released formula, Adam, no average."""
    network = load_peer(Path(folder).resolve(), config)
    check_same_function(network, config)
    network = network.to(images.device)
    optimizer = torch.optim.Adam(network.parameters(), foreach=False)

    def gradient():
        optimizer.zero_grad()
        (-released_formula(network(images.float() / 127.5 - 1), images).sum()).backward()

    return gradient, optimizer.step


def time_step(gradient, update, rounds):
    """Median seconds of both halves of a step, seconds of the first step, and peak memory."""

    def step():
        gradient()
        update()

    first = seconds_of(step)
    for _ in range(2):
        step()
    halves = [(seconds_of(gradient), seconds_of(update)) for _ in range(rounds)]
    middle = [statistics.median(half) for half in zip(*halves)]
    return {
        "gradient_seconds": middle[0],
        "update_seconds": middle[1],
        "first_step_seconds": first,
        "peak_mebibytes": peak_memory(step) / 2**20,
    }


# How fast does it draw?


def sampling(sizes, record, device):
    """Seconds per image by naive passes, from the cache, and, on a GPU, by replayed CUDA graphs."""
    model = folded(started(sizes.config, device))
    pixels = sizes.config.image_shape[1] * sizes.config.image_shape[2]
    sample(model, 1, progress=False)  # what is done once is done
    for count in sizes.draws:
        steps = trace(model, count, method="naive")
        next(steps)
        naive = seconds_of(lambda steps=steps: [next(steps) for _ in range(2)]) / 2 * pixels
        row = {"batch": count}
        record.add("sampling", **row, method="naive", seconds_per_image=naive / count, times_naive=1.0)
        images = []
        eager = seconds_of(lambda n=count, to=images: to.append(sample(model, n, progress=False, batch_size=n)))
        times = naive / eager
        record.add("sampling", **row, method="cached", seconds_per_image=eager / count, times_naive=times)
        if device.type == "cuda":
            graphs = GraphedSampler(model, count)
            graphed = seconds_of(graphs.draw)
            unlike = (graphs.images != images[0]).sum().item()
            times = naive / graphed
            method = f"cached, CUDA graphs; {unlike} values drawn otherwise"
            record.add(
                "sampling",
                **row,
                method=method,
                seconds_per_image=graphed / count,
                times_naive=times,
            )
            del graphs
    record.note("sampling", naive="of two pixels, multiplied up", cuda_graphs=device.type == "cuda")


class GraphedSampler:
    """Cached sampling, recorded once as one CUDA graph per row, and replayed for every batch.

    The same kernels run on the same numbers as without graphs; they are launched all at once.
    """

    def __init__(self, model, count, device="cuda"):
        self.images = torch.zeros(count, *model.config.image_shape, dtype=torch.uint8, device=device)
        self.generator = torch.Generator(device)
        rows = drawn_rows(model, self.images, self.generator)
        next(rows)
        # The first row's graph reads the cache as it is now, empty. Kept alive, its memory stays its own.
        self.kept = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]
        self.graphs, pool = [], torch.cuda.graph_pool_handle()
        for _ in range(model.config.image_shape[1]):
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self.generator)
            with torch.cuda.graph(graph, pool=pool):
                next(rows)
            self.graphs.append(graph)
        rows.close()

    def draw(self, seed=0):
        """The images (N, C, H, W) that `sample` draws from the seed; the next call overwrites them."""
        self.generator.manual_seed(seed)
        for graph in self.graphs:
            graph.replay()
        return self.images


def drawn_rows(model, images, generator):
    """Draw into images (N, C, H, W); the first `next` prepares, each further one draws a row."""
    _, height, width = model.config.image_shape
    with torch.no_grad(), one_pixel_at_a_time(model, images) as parameters_at:
        for row in range(height):
            yield
            for column in range(width):
                distribution = model.likelihood(parameters_at(row, column))
                images[:, :, row, column] = distribution.sample(generator)[:, :, 0, 0]
        yield


# Do several processes work together?


def distributed_step(sizes, record, device):
    """A step of `fit` by one process under `torchrun` (NCCL, or gloo on a CPU) against one without."""
    with tempfile.TemporaryDirectory() as scratch:
        alone, together = Path(scratch, "alone.pt"), Path(scratch, "together.pt")
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]
        for launcher, file in (([], alone), (torchrun, together)):
            command = [sys.executable, *launcher, "-m", "tools.gpu", "--one-step", str(file)]
            tiny = ["--tiny"] if sizes is SIZES["tiny"] else []
            done = subprocess.run([*command, *tiny], cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        alone, together = (torch.load(file, weights_only=True) for file in (alone, together))
    record.note("distributed", backend=together["backend"], alone=alone["backend"])
    for name in ("loss", "weights", "gradient"):
        error = relative(together[name], alone[name])
        record.check("distributed", f"{name} after one step, {together['backend']}", error, 1e-5)


def one_step(sizes, file):
    """Take a step with `fit`, and a gradient, through DDP under `torchrun`; write what came out."""
    device = process_device()
    torch.backends.cudnn.deterministic = True
    images = load_data(sizes).train[:16].contiguous()
    settings = Training(steps=1, batch_size=4, init_images=4, record_every=1, ema_decay=0.0)
    torch.manual_seed(0)
    model = build(sizes.config)
    with joined(device):
        averaged, lines = fit(copy.deepcopy(model), images, training=settings, device=device, progress=False)
        state = TrainingState(model.to(device), settings, device)
        if distributed.is_initialized():
            state.loss = DistributedDataParallel(state.loss)
        state.gradient(images.to(device), None)
        backend = distributed.get_backend() if distributed.is_initialized() else "none"
    found = {
        "backend": backend,
        "loss": torch.tensor(lines[0]["train_bits_per_dim"]),
        "weights": torch.cat([p.detach().flatten().cpu() for p in averaged.parameters()]),
        "gradient": torch.cat([p.grad.flatten().cpu() for p in model.parameters()]),
    }
    torch.save(found, file)


# One run in the time that is left.


def training(sizes, record, device, seconds):
    """Train by the recipe, its decay fitted to the seconds left; score the test images once."""
    end = time.perf_counter() + seconds
    data = load_data(sizes)
    settings = recipe() | {"batch_size": sizes.batch}
    scoring = scoring_seconds(sizes, data, device)
    step, start, compiled = fastest(step_speeds(record), end - time.perf_counter() - scoring)
    if step is None:  # the part that times steps failed or was left out
        step = time_step(*our_step(settings, sizes.config, data.train[: sizes.batch].to(device)), 3)
        step, start, compiled = step["gradient_seconds"] + step["update_seconds"], 0.0, False
    left = end - time.perf_counter() - scoring - start
    steps = min(sizes.steps, steps_within(left, step))
    record.note(
        "training",
        data=f"{data.name}: {len(data.train):,} training, {len(data.validation):,} validation images",
        seconds_planned=left,
        seconds_for_scores=scoring,
        steps=steps,
        batch=sizes.batch,
        compiled=compiled,
    )
    settings |= {"steps": steps, "compile": compiled, "record_every": max(1, steps // 3)}
    torch.manual_seed(0)
    folder = record.folder / "train"
    _, lines = fit(
        build(sizes.config),
        data.train,
        training=Training(**settings | {"validation_images": min(500, len(data.validation))}),
        validation=data.validation,
        out=folder,
        device=device,
        progress=False,
        samples=4,
    )
    for line in lines:
        record.add("training", **line)
    for name in CHECKPOINTS:
        (folder / name).unlink(missing_ok=True)  # the run is not gone on with
    score(record, folder, data, device)


def score(record, folder, data, device):
    """Check the run by the speedrun's rules, and score it on the test images, once."""
    try:
        entry = speedrun.verify(folder, data.validation, device=device)
    except ValueError as error:
        record.note("training", refused=one_line(error))
        record.note("training", **speedrun.score(folder, data.test, device=device))
        return
    entry |= speedrun.score(folder, data.test, device=device)
    record.note("training", **entry)
    speedrun.write_entry(folder, entry)


def step_speeds(record):
    """Seconds of a step by the recipe, of its first step, and whether it is compiled: triples."""
    named = {"+ Muon": False, "+ torch.compile": True}
    return [
        (
            row["gradient_seconds"] + row["update_seconds"],
            row["first_step_seconds"],
            named[row["step"]],
        )
        for row in record.rows("speed")
        if row["step"] in named and "failed" not in row
    ]


def fastest(speeds, seconds):
    """The triple of `step_speeds` with most steps in the time; three times None without any."""
    if not speeds:
        return None, None, None
    return max(speeds, key=lambda speed: (seconds - speed[1]) / speed[0])


def steps_within(seconds, step, share=0.92):
    """How many steps fit into a share of the seconds; the rest is for checkpoints and chance."""
    return max(1, int(share * seconds / step))


def scoring_seconds(sizes, data, device):
    """Seconds for all that comes after training, measured on two batches and four samples."""
    model, some = started(sizes.config, device), data.validation[:100]
    bits_per_image(model, some[:2])
    per_image = seconds_of(lambda: bits_per_image(model, some)) / len(some)
    # Validation at the end and when verified, test, interim lines; 9 x 256 in float64, thrice as slow.
    images = 2 * len(data.validation) + len(data.test) + 1000 + 3 * 9 * 256
    samples = seconds_of(lambda: sample(model, 4, progress=False))
    return images * per_image + samples + 20  # and for starting and for checkpoints


# Running it.


PARTS = {
    "correctness": correctness,
    "speed": speed,
    "sampling": sampling,
    "distributed": distributed_step,
    "training": training,
}


def run_part(name, options, sizes, seconds):
    """Run one part in this process; return whether it came to its end."""
    record, device = Record(options.out), process_device()
    further = {"speed": {"peer": options.peer}, "training": {"seconds": seconds}}
    try:
        PARTS[name](sizes, record, device, **further.get(name, {}))
    except Exception as error:
        traceback.print_exc()
        record.note(name, failed=one_line(error))
        return False
    return True


def one_line(error):
    """An error in a line of a table."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def limited(command, seconds):
    """Run a command, and end it when its seconds are over; return how it ended, in words."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    start = time.monotonic()
    try:
        code = process.wait(seconds)
        ended = "finished" if code == 0 else f"failed with exit status {code}"
        return f"{ended} after {time.monotonic() - start:.0f} s"
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s"
    finally:
        end(process)


def end(process):
    """Ask a process and all that it started to end, and make them after a while.

    Asking comes first, since `torchrun` alone can end its workers, and `fit` then writes what it has.
    """
    last = time.monotonic() + GRACE
    with contextlib.suppress(ProcessLookupError):  # raised when none is left
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < last:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@sigterm_is_ctrl_c()
def run_all(options, sizes):
    """Run the parts in turn, each within its limit and the whole; return whether all is well."""
    end = time.monotonic() + 60 * (options.minutes or sizes.minutes)
    record = Record(options.out)
    record.environment(
        machine=machine(),
        python=platform.python_version(),
        device=process_device().type,
        size="tiny" if options.tiny else "paper",
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    for name in options.parts:
        record.restart(name)
        seconds = min(sizes.limits[name], end - time.monotonic() - GRACE)
        if seconds <= 0:
            record.note(name, ended="not begun: no time was left")
            continue
        command = [sys.executable, "-u", "-m", "tools.gpu", str(options.out), "--part", name]
        command += ["--seconds", f"{seconds:.0f}", *(["--tiny"] if options.tiny else [])]
        command += ["--peer", str(options.peer)] if options.peer else []
        print(f"--- {name}, {seconds:.0f} s at most", flush=True)
        record.note(name, ended=limited(command, seconds))
    print(record.folder.joinpath("table.txt").read_text())
    parts = record.read()["parts"]
    finished = all(parts[name]["notes"]["ended"].startswith("finished") for name in options.parts)
    return finished and all(row.get("ok", True) for part in parts.values() for row in part["rows"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?", help="folder for the records")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to try it on any machine")
    parser.add_argument("--minutes", type=float, help="for all of it")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--peer", type=Path, help="a checkout of pclucas14/pixel-cnn-pp")
    parser.add_argument("--pack", type=Path, help="write CIFAR-10 into this folder as pictures, and end")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # what it calls itself with
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--one-step", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = SIZES["tiny" if options.tiny else "paper"]
    if options.pack:
        pack(options.pack)
    elif options.one_step:
        one_step(sizes, options.one_step)
    elif options.out is None:
        parser.error("name the folder for the records")
    elif options.part:
        sys.exit(not run_part(options.part, options, sizes, options.seconds))
    else:
        options.out = options.out.resolve()
        options.peer = options.peer and options.peer.resolve()
        sys.exit(not run_all(options, sizes))


if __name__ == "__main__":
    main()
