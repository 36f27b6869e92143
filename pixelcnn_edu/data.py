"""Images as bytes: where they come from, and the one way into the network's numbers and back."""

import hashlib
import math
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pooch
import torch

from pixelcnn_edu.files import small_imagenet
from pixelcnn_edu.settings import whole_number

__all__ = [
    "DataUnavailable",
    "as_integers",
    "check_levels",
    "level_type",
    "load_images",
    "shapes",
    "shapes_entropy",
    "to_bytes",
    "to_model",
]

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR10_FILES = {  # name -> md5; each file holds 10,000 records of 1 label byte and 3,072 pixel bytes
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
DATA_SETS = ("cifar10", "shapes", "imagenet32", "imagenet64")
NUMBERS = (  # the types of tensors that images and labels may have
    torch.bool,
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)
SHAPES_SPLITS = {"train": (5000, 1), "test": (1000, 2)}  # images, seed


class DataUnavailable(OSError):
    """A data set is neither on this computer nor to be had from its home; the message says what to do."""


def as_integers(images, what="images", lists=False):
    """Images or labels as a tensor of a type that PyTorch computes with; tensors and NumPy arrays of any shape are taken.

    What is no tensor of an unsigned type wider than a byte comes back as it is; no values are copied or looked at. With
    `lists`, lists, tuples and ranges are taken too. Raises ValueError for anything but a dense tensor or array of numbers.
    """
    if lists and isinstance(images, (list, tuple, range)):
        try:
            images = np.array(images)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"{what} must be integers, got a {type(images).__name__} that is no array: {error}") from None
    if not torch.is_tensor(images):
        kind = f"an array of {images.dtype}" if isinstance(images, np.ndarray) else f"a {type(images).__name__}"
        if isinstance(images, np.ma.MaskedArray):
            raise ValueError(f"{what} must be a plain NumPy array, got a masked one; fill it first: .filled(...)")
        if not isinstance(images, np.ndarray) or images.dtype.kind not in "biuf" or images.dtype == np.longdouble:
            raise ValueError(f"{what} must be a tensor or a NumPy array of integers, got {kind}")
        images = np.ascontiguousarray(images, images.dtype.newbyteorder("="))
        # PyTorch warns of what it may not write.
        images = torch.from_numpy(images if images.flags.writeable else images.copy())
    if images.dtype not in NUMBERS or images.layout != torch.strided or images.is_nested or images.device.type == "meta":
        raise ValueError(
            f"{what} must be a dense tensor of integers, got {images.dtype}, {images.layout}, on {images.device}; "
            "to_dense() and dequantize() make it one"
        )
    return images.long() if images.dtype in (torch.uint16, torch.uint32, torch.uint64) else images


def to_model(images, levels=256, dtype=torch.float32):
    """Integers 0..levels-1 to floats in [-1, 1], any shape: 0 becomes -1, levels - 1 becomes 1.

    images: a tensor or a NumPy array. dtype: the model's; in half precision what comes out is rounded, not the arithmetic.

    Raises ValueError for anything but these: a float image may be in [0, 1], [-1, 1] or [0, 255], and only you know.
    """
    images = as_integers(images)
    check_levels(images, levels)
    exact = images.to(torch.promote_types(dtype, torch.float32))
    return (exact * (2 / (levels - 1)) - 1).to(dtype)


def check_levels(images, levels):
    """Raise ValueError unless the tensor `images` holds integers 0..levels-1 alone."""
    if images.is_floating_point() or images.dtype == torch.bool:
        top = f" with maximum {images.max().item():.4g}" if images.numel() and images.is_floating_point() else ""
        raise ValueError(
            f"images must be integers in 0..{levels - 1}, got {images.dtype}{top}; "
            f"for values in [0, 1] multiply by {levels - 1} and round, for values in [-1, 1] use to_bytes(images, {levels})"
        )
    # Bytes cannot leave 0..255; while torch.compile follows the network, looking at values would cut it in two.
    if images.numel() and not (images.dtype == torch.uint8 and levels >= 256) and not torch.compiler.is_compiling():
        low, high = images.min().item(), images.max().item()
        if low < 0 or high >= levels:
            raise ValueError(
                f"images must be integers in 0..{levels - 1}, got values from {low} to {high}; "
                f"scale them, or set levels to {high + 1} or more"
            )


def to_bytes(x, levels=256):
    """Floats in [-1, 1] to the nearest of the integers 0..levels-1, any shape; undoes `to_model` exactly.

    Raises ValueError for values outside [-1, 1], for NaN, and for integers.
    """
    x = as_integers(x)
    if not x.is_floating_point():
        raise ValueError(f"x must be floats in [-1, 1], got {x.dtype}; these look like bytes already")
    if x.numel() and not (x.abs() <= 1).all():  # also false for NaN
        raise ValueError(f"x must lie in [-1, 1], got values from {x.min().item():.4g} to {x.max().item():.4g}")
    return ((x + 1) * ((levels - 1) / 2)).round().to(level_type(levels))


def level_type(levels):
    """The type that images of so many levels have: uint8 up to 256, int64 above."""
    return torch.uint8 if levels <= 256 else torch.int64


def load_images(name, split="train", root=None):
    """A data set as bytes: images uint8 (N, C, H, W) and labels int64 (N,), None where it has none.

    name: "cifar10", 32x32 photographs of ten classes (50,000 and 10,000), "shapes", made on the spot (5,000 and 1,000), or
    "imagenet32" and "imagenet64", from files that you put in `imagenet32/` or `imagenet64/` (see `files.small_imagenet`).
    split: "train" or "test". root: the folder that holds these, and will hold `cifar-10-batches-bin/`; else the environment
    variable PIXELCNN_EDU_DATA, else the user's cache. CIFAR-10 is downloaded once (170 MB) and every file's checksum is
    compared at every call. With PIXELCNN_EDU_OFFLINE=1 nothing is downloaded.

    Raises ValueError for an unknown name or split, and DataUnavailable where the files are damaged or cannot be had.
    Chapter 1 shows both data sets.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    if name == "shapes":
        count, seed = SHAPES_SPLITS[split]
        return shapes(count, seed=seed)
    if name == "cifar10":
        return _load_cifar10(split, root)
    if name in ("imagenet32", "imagenet64"):
        try:
            return small_imagenet(_data_root(root) / name, split, int(name.removeprefix("imagenet")))
        except (OSError, ValueError) as error:
            raise DataUnavailable(str(error)) from error
    raise ValueError(f"name must be one of {', '.join(DATA_SETS)}, got {name!r}")


def _load_cifar10(split, root):
    folder = _data_root(root) / "cifar-10-batches-bin"
    names = [name for name in CIFAR10_FILES if name.startswith("test") == (split == "test")]
    if not all((folder / name).exists() for name in names):
        _download_cifar10(folder)
    records = np.concatenate([_read_checked(folder / name) for name in names])  # (N, 3073)
    images = torch.from_numpy(records[:, 1:].copy()).reshape(-1, 3, 32, 32)
    return images, torch.from_numpy(records[:, 0].astype(np.int64))


def _data_root(root):
    try:
        folder = Path(root or os.environ.get("PIXELCNN_EDU_DATA") or pooch.os_cache("pixelcnn_edu")).expanduser()
    except RuntimeError as error:  # of a user without a home
        raise DataUnavailable("there is no home folder to keep data in; set PIXELCNN_EDU_DATA to a folder") from error
    if folder.is_file():
        raise DataUnavailable(f"{folder} is a file; set PIXELCNN_EDU_DATA, or root, to the folder that data sets lie in")
    return folder


def _read_checked(path):
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataUnavailable(f"{path} cannot be read: {error.strerror}. Remove it, and it is downloaded anew") from error
    if hashlib.md5(content).hexdigest() != CIFAR10_FILES[path.name]:
        raise DataUnavailable(
            f"{path} is not the official file ({len(content):,} bytes, wrong checksum). Delete it, and it is downloaded anew"
        )
    return np.frombuffer(content, np.uint8).reshape(-1, 3073)


def _download_cifar10(folder):
    """Fetch the official archive and put its files in `folder`; a failure leaves nothing behind."""
    by_hand = f"To do it by hand, download {CIFAR10_URL} and unpack it in {folder.parent}"
    if os.environ.get("PIXELCNN_EDU_OFFLINE") == "1":
        raise DataUnavailable(f"CIFAR-10 is not in {folder}, and PIXELCNN_EDU_OFFLINE=1 forbids downloading it. {by_hand}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            archive = pooch.retrieve(CIFAR10_URL, f"md5:{CIFAR10_MD5}", "cifar10.tar.gz", scratch, progressbar=True)
            with tarfile.open(archive) as tar:
                # Python before 3.11.4 has no filters; the checksum has already said whose archive it is.
                tar.extractall(scratch, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
            for name in CIFAR10_FILES:
                _read_checked(Path(scratch) / folder.name / name)
            folder.mkdir(exist_ok=True)
            for name in [*CIFAR10_FILES, "batches.meta.txt"]:
                shutil.move(Path(scratch) / folder.name / name, folder / name)
    except (OSError, ValueError, tarfile.TarError) as error:
        raise DataUnavailable(f"CIFAR-10 could not be fetched into {folder}: {error}. {by_hand}") from error


# --- shapes: images whose entropy is known ---------------------------------------------------------------------------

SHAPES_SCALE = 2.0  # scale of the logistic noise in grey levels: a standard deviation of 3.6
SHAPES_COLORS = np.array(  # eight colours far enough apart to be told apart under the noise
    [
        [224, 80, 72],
        [240, 160, 64],
        [216, 200, 72],
        [88, 176, 96],
        [80, 176, 208],
        [72, 104, 200],
        [160, 88, 184],
        [144, 144, 144],
    ]
)
SHAPES_KINDS = 3  # disc, square, triangle: the labels 0, 1, 2


def shapes(count, size=32, seed=0):
    """Coloured figures on smooth backgrounds under logistic noise: images uint8 (N, 3, size, size), labels int64 (N,).

    Each image is drawn by choosing a figure (label 0 disc, 1 square, 2 triangle), its colour, place and radius, and one
    colour for each corner of the background, all equally likely; then every sub-pixel gets independent logistic noise,
    rounded and clipped to 0..255. The same seed gives the same images. `shapes_entropy` tells how few bits they can cost.
    """
    count, size, seed = whole_number("count", count, 1), whole_number("size", size, 8), whole_number("seed", seed, 0)
    rng = np.random.default_rng(seed)
    means, kinds = _shapes_means(count, size, rng)
    uniform = rng.random(means.shape).clip(1e-12, 1 - 1e-12)
    noise = SHAPES_SCALE * (np.log(uniform) - np.log1p(-uniform))
    images = np.rint(means + noise).clip(0, 255).astype(np.uint8)
    return torch.from_numpy(images), torch.from_numpy(kinds.astype(np.int64))


def shapes_entropy(size=32, count=200, seed=0):
    """The true entropy of `shapes` in bits/dim: no model can do better on average.

    The sum of two parts: the entropy of the noise in each sub-pixel, computed exactly for each mean and averaged over
    `count` drawn images, and the bits of the drawing's choices, spread over the sub-pixels. The choices can be read off
    an image of 16x16 or more with near certainty, which makes the sum the entropy itself; it is never below it.
    """
    means, _ = _shapes_means(count, size, np.random.default_rng(seed))
    edges = np.arange(255) + 0.5
    values, counts = np.unique(np.round(means, 1), return_counts=True)
    cdf = 1 / (1 + np.exp(-(edges - values[:, None]) / SHAPES_SCALE))
    bins = np.diff(cdf, axis=1, prepend=0.0, append=1.0).clip(1e-300)  # (values, 256)
    noise_bits = np.average(-(bins * np.log2(bins)).sum(axis=1), weights=counts)
    return float(noise_bits + _shapes_choice_bits(size) / (3 * size * size))


def _shapes_grid(size):
    """The places and radii a figure can have."""
    places = np.arange(size // 4, size - size // 4 + 1)
    radii = np.arange(size // 8, size // 4 + 1)
    return places, radii


def _shapes_choice_bits(size):
    places, radii = _shapes_grid(size)
    choices = SHAPES_KINDS * len(SHAPES_COLORS) ** 5 * len(places) ** 2 * len(radii)
    return math.log2(choices)


def _shapes_means(count, size, rng):
    """The images without noise, float (N, 3, size, size), and the kinds of figure (N,)."""
    places, radii = _shapes_grid(size)
    kinds = rng.integers(SHAPES_KINDS, size=count)
    row, column = rng.choice(places, (2, count, 1, 1))
    radius = rng.choice(radii, (count, 1, 1))
    figure = SHAPES_COLORS[rng.integers(len(SHAPES_COLORS), size=count)]  # (N, 3)
    corners = SHAPES_COLORS[rng.integers(len(SHAPES_COLORS), size=(count, 2, 2))]  # (N, 2, 2, 3)

    t = np.linspace(0, 1, size)
    across = np.stack([1 - t, t])  # (2, size): the weights of the two ends
    background = np.einsum("ai,bj,nabc->ncij", across, across, corners)  # (N, 3, size, size)

    i, j = np.mgrid[:size, :size]
    down, right = i - row, np.abs(j - column)  # (N, size, size)
    inside = np.stack(
        [
            down**2 + right**2 <= radius**2,
            np.maximum(np.abs(down), right) <= 0.9 * radius,
            (np.abs(down) <= radius) & (2 * right <= down + radius),
        ]
    )[kinds, np.arange(count)]  # (N, size, size)
    return np.where(inside[:, None], figure[:, :, None, None], background), kinds
