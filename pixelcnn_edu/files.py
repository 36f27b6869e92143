"""Images from files that lie on this computer: small ImageNet, streamed from the disk, and a folder of your own."""

import mmap
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image

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
        FileNotFoundError: where there is no image.
        ValueError: for other channels, and with the name of a file that cannot be read.
    """
    if channels not in (1, 3):
        raise ValueError(f"images from files have 3 channels, or 1 for grey; got {channels}")
    folder = Path(folder).expanduser()
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
    return sorted(path.name for path in Path(folder).iterdir() if path.is_dir() and _is_own(path.name))


def stray_images(folder):
    """The images that lie in a folder itself and in none of its sub-folders, and so have no label: a list of paths."""
    return [path for path in _image_files(Path(folder)) if path.parent == Path(folder)]


def _image_files(folder):
    """All images below a folder, in the order of their names; a folder that links lead to twice is read once."""
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a link back up would lead round for ever
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(filter(_is_own, folders))
        found += [Path(place, name) for name in files if _is_own(name) and Path(name).suffix.lower() in KINDS]
    return sorted(found)


def _is_own(name):
    return not name.startswith(".") and name not in SYSTEM_FOLDERS


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
    except Exception as error:  # a damaged archive makes NumPy raise whatever its parts trip over
        raise ValueError(f"{path} is no batch of small ImageNet that can be read: {error}") from error


def _pictures(path, size):
    """The images (n, 3, size, size) of a batch. Files of 32x32 and of 64x64 pixels have the same names."""
    data = _from_npz(path, "data")  # (n, 3 * size * size)
    if data.ndim != 2 or data.shape[1] != 3 * size * size:
        raise ValueError(
            f"{path} holds no images of {size}x{size} pixels: its shape is {data.shape}, not (n, {3 * size**2})"
        )
    if data.dtype != np.uint8:
        raise ValueError(f"{path} holds {data.dtype} numbers, not bytes; multiply by 255 and round where they lie in [0, 1]")
    return data.reshape(-1, 3, size, size)


def _read(path, size, channels=3, exact=False):
    """One picture as an array (channels, size, size), cut to a square and scaled, or refused where it must have the size."""
    try:
        with Image.open(path) as image:
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
