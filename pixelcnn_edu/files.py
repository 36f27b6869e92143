"""Images from files that lie on this computer: small ImageNet, streamed from the disk, and a folder of your own."""

import mmap
import os
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["class_folders", "images_from_folder", "small_imagenet"]

MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0  # Python names it from 3.13 on
KINDS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


def images_from_folder(folder, size=32):
    """Your own images as bytes: uint8 (N, 3, size, size), and labels int64 (N,) or None.

    Reads every bmp, jpeg, png and webp below `folder`, in the order of their names; cuts the largest square out of the
    middle and scales it to `size`. Where all images lie in sub-folders, the places of these in `class_folders` are the
    labels; hidden folders are left out. Raises FileNotFoundError where there is no image, and ValueError with the name of a
    file that cannot be read.
    """
    folder = Path(folder).expanduser()
    found = {path: path.relative_to(folder).parts for path in sorted(folder.rglob("*")) if path.suffix.lower() in KINDS}
    found = {path: parts for path, parts in found.items() if not any(part.startswith(".") for part in parts)}
    if not found:
        raise FileNotFoundError(f"there are no images ({', '.join(KINDS)}) in {folder}")
    images = torch.from_numpy(np.stack([_read(path, size) for path in found]))  # (N, 3, size, size)
    if any(len(parts) == 1 for parts in found.values()):
        return images, None
    names = class_folders(folder)
    return images, torch.tensor([names.index(parts[0]) for parts in found.values()])


def class_folders(folder):
    """The names of a folder's sub-folders in alphabetical order, empty ones too, hidden ones not: a list."""
    return sorted(path.name for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith("."))


def small_imagenet(folder, split, size):
    """ImageNet at 32x32 or 64x64 from its public files: images uint8 (N, 3, size, size), labels int64 (N,) or None.

    folder: holds either the batches `train_data_batch_1.npz`, ... and `val_data.npz`, with labels, or the folders of PNG
    `train_32x32` and `valid_32x32` (64x64 alike), without. At the first call they are written as plain bytes beside them,
    a batch at a time, and again when batches have come since; the images that come back are read from there as they are
    needed, so they may exceed the memory.
    These are two different versions of ImageNet, whose bits/dim cannot be compared.

    Raises FileNotFoundError where neither is there, ValueError with the name of a damaged file.
    """
    folder = Path(folder)
    packed, labels = folder / f"{split}_{size}x{size}.images", folder / f"{split}_{size}x{size}.labels.npy"
    pattern, pictures = ("train_data_batch_*.npz", "train") if split == "train" else ("val_data.npz", "valid")
    batches = sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))  # 2 before 10
    if packed.exists() and any(path.stat().st_ctime > packed.stat().st_mtime for path in batches):
        packed.unlink()  # batches have come since
    if not packed.exists():
        pngs = sorted((folder / f"{pictures}_{size}x{size}").glob("*.png"))
        if batches:
            _write_labels([_from_npz(path, "labels") for path in batches], labels)
            _pack((_pictures(path, size) for path in batches), packed)
        elif pngs:
            labels.unlink(missing_ok=True)  # of batches that could not be packed
            _pack((_read(path, size, exact=True)[None] for path in pngs), packed)
        else:
            raise FileNotFoundError(
                f"small ImageNet is not in {folder}: put {pattern} or a folder {pictures}_{size}x{size} of PNG files there"
            )
    images = _mapped(packed).view(-1, 3, size, size)
    return images, torch.from_numpy(np.load(labels)) if labels.exists() else None


def _pack(parts, target):
    """Write arrays (n, 3, H, W) one after the other as plain bytes; the file is there when it is whole."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")  # another process may be at it too
    try:
        with scratch.open("wb") as file:
            for part in parts:
                file.write(np.ascontiguousarray(part, dtype=np.uint8).tobytes())
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


def _mapped(path):
    """A file's bytes (n,) as they are looked at, not before; writing to them changes a private copy."""
    with path.open("rb") as file:
        if hasattr(mmap, "MAP_PRIVATE"):  # without a reserve, or the system refuses what exceeds its memory
            flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", MAP_NORESERVE)
            return torch.frombuffer(mmap.mmap(file.fileno(), 0, flags, mmap.PROT_READ | mmap.PROT_WRITE), dtype=torch.uint8)
        return torch.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=torch.uint8)


def _write_labels(parts, target):
    scratch = target.with_name(f".{os.getpid()}.{target.name}")
    np.save(scratch, np.concatenate(parts).astype(np.int64) - 1)  # they count from 1 there
    os.replace(scratch, target)


def _from_npz(path, name):
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[name]
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"{path} is no batch of small ImageNet that can be read: {error}") from error


def _pictures(path, size):
    """The images (n, 3, size, size) of a batch. Files of 32x32 and of 64x64 pixels have the same names."""
    data = _from_npz(path, "data")  # (n, 3 * size * size)
    if data.ndim != 2 or data.shape[1] != 3 * size * size:
        raise ValueError(
            f"{path} holds no images of {size}x{size} pixels: its shape is {data.shape}, not (n, {3 * size**2})"
        )
    return data.reshape(-1, 3, size, size)


def _read(path, size, exact=False):
    """One picture as an array (3, size, size), cut to a square and scaled, or refused where it must have the size."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # Pillow would cut off what is above 255
                raise ValueError(f"{path} has more than 8 bits a channel (mode {image.mode}); save it with 8")
            image = ImageOps.exif_transpose(image).convert("RGB")  # upright, where a camera says how it was held
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from error
    if exact and image.size != (size, size):
        raise ValueError(f"{path} has {image.width} x {image.height} pixels, expected {size} x {size}")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).transpose(2, 0, 1)  # (size, size, 3) -> (3, size, size)
