"""Images from files that lie on this computer: small ImageNet, streamed from the disk, and a folder of your own."""

import json
import mmap
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image

from pixelcnn_edu.settings import user_path, whole_number

__all__ = ["class_folders", "images_from_folder", "small_imagenet", "stray_images"]

MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0  # Python names it from 3.13 on
KINDS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
SYSTEM_FOLDERS = ("__MACOSX", "@eaDir")  # what archives and servers leave beside one's own; the hidden ones start with a dot
UPRIGHT = {  # what undoes each value of EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def images_from_folder(folder, size=32, channels=3):
    """Your own images as bytes: uint8 (N, channels, size, size), and labels int64 (N,) or None.

    Reads every bmp, jpeg, png and webp below `folder`, in the order of their names, and follows links. Each is turned
    upright where EXIF says how it was held, cut to the largest square in its middle, and scaled to `size`. What is
    transparent becomes white, palettes and CMYK become RGB without their colour profiles, of an animation the first picture
    is taken, and more than 8 bits a channel are refused. Hidden files and folders, `__MACOSX` and `@eaDir` are left out, and
    so is what is no image by its name.

    Where all images lie in sub-folders, the places of these in `class_folders` are the labels.

    Args:
        folder: the folder.
        size: height and width of the images that come back.
        channels: 3 for RGB, 1 for grey.

    Raises:
        FileNotFoundError: where there is no folder, or no image in it.
        ValueError: for other channels or sizes, and with the name of a file that cannot be read, or a link to nowhere.
    """
    if channels not in (1, 3):
        raise ValueError(f"images from files have 3 channels, or 1 for grey; got {channels}")
    folder, size = user_path(folder), whole_number("size", size, 1, 2**16)
    if not folder.is_dir():
        what = "is a file, not a folder of images" if folder.exists() else "is not there"
        raise FileNotFoundError(f"the folder {folder} {what}")
    found = _image_files(folder)
    if not found:
        raise FileNotFoundError(f"there are no images ({', '.join(KINDS)}) in {folder}")
    images = torch.from_numpy(np.stack([_read(path, size, channels) for path in found]))  # (N, channels, size, size)
    if stray_images(folder):
        return images, None
    names = class_folders(folder)
    return images, torch.tensor([names.index(path.relative_to(folder).parts[0]) for path in found])


def class_folders(folder):
    """The names of a folder's sub-folders in alphabetical order, empty ones too, hidden ones and a system's not: a list."""
    return sorted(path.name for path in _entries(Path(folder)) if path.is_dir())


def stray_images(folder):
    """The images that lie in a folder itself and in none of its sub-folders, and so have no label: a list of paths."""
    return [path for path in _image_files(Path(folder)) if path.parent == Path(folder)]


def _image_files(folder, above=()):
    """All images below a folder, in the order of their names; a link to one of the folders above is not followed."""
    found, above = [], (*above, os.path.realpath(folder))
    for path in _entries(folder):
        if path.is_dir():
            found += [] if os.path.realpath(path) in above else _image_files(path, above)  # or it would go round for ever
        elif path.suffix.lower() in KINDS:
            found.append(path)
    return sorted(found)


def _entries(folder):
    """What lies in a folder, without what is hidden or a system's. Raises ValueError for a link that leads nowhere."""
    own = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in SYSTEM_FOLDERS]
    for path in own:
        if path.is_symlink() and not path.exists():
            raise ValueError(f"{path} is a link that leads nowhere; remove it, or put back what it led to")
    return own


def small_imagenet(folder, split, size):
    """ImageNet at 32x32 or 64x64 from its public files: images uint8 (N, 3, size, size), labels int64 (N,) or None.

    folder: holds either the batches `train_data_batch_1.npz`, ... and `val_data.npz`, with labels, or the folders of PNG
    `train_32x32` and `valid_32x32` (64x64 alike), without. At the first call they are written as plain bytes beside them,
    a batch at a time, and again when these files have changed since; the images that come back are read from there as they
    are needed, so they may exceed the memory.
    These are two different versions of ImageNet, whose bits/dim cannot be compared.

    Raises FileNotFoundError where neither is there, ValueError with the name of a damaged file.
    """
    folder = Path(folder)
    packed, labels, made_from = (folder / f"{split}_{size}x{size}.{kind}" for kind in ("images", "labels.npy", "json"))
    pattern, pictures = ("train_data_batch_*.npz", "train") if split == "train" else ("val_data.npz", "valid")
    batches = sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))  # 2 before 10
    pngs = folder / f"{pictures}_{size}x{size}"
    sources = batches or [pngs] * any(pngs.glob("*.png"))
    if not sources and not packed.exists():
        raise FileNotFoundError(
            f"small ImageNet is not in {folder}: put {pattern} or a folder {pngs.name} of PNG files there"
        )
    if sources and not (
        packed.exists() and made_from.exists() and made_from.read_text(errors="replace") == _state(sources, packed)
    ):
        made_from.unlink(missing_ok=True)
        found = []
        if batches:
            _pack((_pictures(path, size, found) for path in batches), packed)
            _write_labels(found, labels)
        else:
            labels.unlink(missing_ok=True)  # of batches that lay here before
            _pack((_read(path, size, exact=True)[None] for path in sorted(pngs.glob("*.png"))), packed)
        made_from.write_text(_state(sources, packed))
    return _packed(packed, labels, size)


def _state(sources, packed):
    """What tells whether `packed` was made from these files, or this folder, as they are now."""
    files = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in sources]
    return json.dumps({"made from": files, "bytes": packed.stat().st_size}) + "\n"


def _packed(path, labels, size):
    """Images and labels from what was packed; raise ValueError with the name of what is damaged."""
    count, rest = divmod(path.stat().st_size, 3 * size * size)
    try:
        classes = torch.from_numpy(np.load(labels)) if labels.exists() else None
        if rest or not count or (classes is not None and classes.shape != (count,)):
            raise ValueError(
                f"{count} images and {rest} bytes do not go with labels {classes if classes is None else len(classes)}"
            )
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{path} or {labels.name} is damaged ({error}); delete both, and they are made anew") from error
    return _mapped(path).view(-1, 3, size, size), classes


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
    np.save(scratch, np.concatenate(parts) - 1)  # they count from 1 there
    os.replace(scratch, target)


def _labels(path, count):
    """The labels (count,) of a batch, int64 from 1 to 1000."""
    labels = _from_npz(path, "labels")
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path} must hold an integer label for each of its {count} images, got {labels.dtype} {labels.shape}"
        )
    if count and not 1 <= labels.min() <= labels.max() <= 1000:
        raise ValueError(f"{path} must hold labels from 1 to 1000, got {labels.min()} to {labels.max()}")
    return labels.astype(np.int64)


def _from_npz(path, name):
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[name]
    except Exception as error:  # a damaged archive makes NumPy raise whatever its parts trip over
        raise ValueError(f"{path} is no batch of small ImageNet that can be read: {error}") from error


def _pictures(path, size, found):
    """The images (n, 3, size, size) of a batch, whose labels (n,) are added to `found`.

    Files of 32x32 and of 64x64 pixels have the same names.
    """
    data = _from_npz(path, "data")  # (n, 3 * size * size)
    if data.ndim != 2 or data.shape[1] != 3 * size * size or not len(data):
        raise ValueError(
            f"{path} holds no images of {size}x{size} pixels: its shape is {data.shape}, not (n, {3 * size**2})"
        )
    if data.dtype != np.uint8:
        raise ValueError(f"{path} holds {data.dtype} numbers, not bytes; multiply by 255 and round where they lie in [0, 1]")
    found.append(_labels(path, len(data)))
    return data.reshape(-1, 3, size, size)


def _read(path, size, channels=3, exact=False):
    """One picture as an array (channels, size, size), cut to a square and scaled, or refused where it must have the size."""
    try:
        # Pillow warns of half as many pixels as it refuses; asked for by name, they are read.
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning), Image.open(path) as image:
            raw_mode = str(image.tile[0][3]) if image.tile else ""
            is_deep = image.mode.startswith(("I", "F")) or ";16" in raw_mode
            if not is_deep:  # of a deep image Pillow would cut off what is above 255
                turn = _orientation(image)
                image = _on_white(image.transpose(UPRIGHT[turn]) if turn in UPRIGHT else image)
                image = image.convert("L" if channels == 1 else "RGB")
    except Exception as error:  # a damaged file makes Pillow raise whatever its reader trips over
        raise ValueError(f"{path} is no image that can be read: {error}") from error
    if is_deep:
        raise ValueError(f"{path} has more than 8 bits a channel ({image.mode} {raw_mode}); save it with 8")
    if exact and image.size != (size, size):
        raise ValueError(f"{path} has {image.width} x {image.height} pixels, expected {size} x {size}")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)  # (size, size, C) -> (C, size, size)


def _orientation(image):
    """EXIF's orientation, 1 to 8; 1, upright, where nothing that can be read says otherwise."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged header says nothing about the pixels
        return 1
    return value if isinstance(value, int) else 1


def _on_white(image):
    """The image with white behind what is transparent; the colours that hide there are anyone's guess."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
