"""Images from files are those in the files, and what is damaged is named."""

import os

import numpy as np
import pytest
import torch
from oracles import random_bytes
from PIL import Image

from pixelcnn_edu import load_images
from pixelcnn_edu.data import DataUnavailable
from pixelcnn_edu.files import images_from_folder


def save(path, image):
    """An image (3, H, W) as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


def batches(folder, sizes, size=32):
    """Small ImageNet's batches: `data` (n, 3 * size * size) and `labels` from 1."""
    images = random_bytes(sum(sizes), 3, size, size)
    labels = torch.arange(sum(sizes)) % 7 + 1
    start = 0
    folder.mkdir(parents=True, exist_ok=True)
    for number, count in enumerate(sizes, 1):
        part = slice(start, start + count)
        flat = images[part].flatten(1).numpy()
        np.savez(folder / f"train_data_batch_{number}.npz", data=flat, labels=labels[part].numpy())
        start += count
    return images, labels - 1


def test_batches_come_in_order_and_are_mapped_and_not_read(tmp_path):
    expected, labels = batches(tmp_path / "imagenet32", [1] * 11)  # batch 10 comes after batch 9, not after batch 1
    images, found = load_images("imagenet32", "train", tmp_path)
    assert torch.equal(images, expected)
    assert torch.equal(found, labels)
    for batch in (tmp_path / "imagenet32").glob("*.npz"):  # they are not needed again
        batch.unlink()
    again, _ = load_images("imagenet32", "train", tmp_path)
    assert torch.equal(again[torch.tensor([3, 0])], expected[torch.tensor([3, 0])])
    packed = tmp_path / "imagenet32" / "train_32x32.images"
    before = packed.read_bytes()
    again[0] = 0  # a private copy: the file stays
    assert packed.read_bytes() == before


def test_images_larger_than_the_memory_cost_only_what_is_looked_at(tmp_path):
    """A sparse file of 40 GB stands for them."""
    folder = tmp_path / "imagenet64"
    folder.mkdir()
    with (folder / "train_64x64.images").open("wb") as file:
        file.truncate(3_300_000 * 3 * 64 * 64)
    images, labels = load_images("imagenet64", "train", tmp_path)
    assert images.shape == (3_300_000, 3, 64, 64)
    assert labels is None
    assert images[torch.tensor([5, 3_299_999])].sum() == 0


@pytest.mark.parametrize(("split", "name"), [("train", "train"), ("test", "valid")])
def test_folders_of_png_come_in_the_order_of_their_names_without_labels(tmp_path, split, name):
    expected = random_bytes(3, 3, 64, 64)
    for place, image in enumerate(expected):
        save(tmp_path / "imagenet64" / f"{name}_64x64" / f"{place}.png", image)
    images, labels = load_images("imagenet64", split, tmp_path)
    assert torch.equal(images, expected)
    assert labels is None


def test_imagenet_that_is_not_there_or_damaged_is_named(tmp_path):
    with pytest.raises(DataUnavailable, match=r"put val_data\.npz or a folder valid_32x32 of PNG files there"):
        load_images("imagenet32", "test", tmp_path)
    folder = tmp_path / "imagenet32"
    batches(folder, [2, 2])
    batch = folder / "train_data_batch_2.npz"
    batch.write_bytes(batch.read_bytes()[:500])
    with pytest.raises(DataUnavailable, match=r"train_data_batch_2\.npz is no batch"):
        load_images("imagenet32", "train", tmp_path)
    assert not list(folder.glob("*.images"))
    assert not list(folder.glob(".*"))
    save(tmp_path / "imagenet64" / "valid_64x64" / "1.png", random_bytes(3, 60, 64))
    with pytest.raises(DataUnavailable, match=r"1\.png has 64 x 60 pixels, expected 64 x 64"):
        load_images("imagenet64", "test", tmp_path)
    np.savez(folder / "val_data.npz", data=np.array([{}], dtype=object), labels=[1])
    with pytest.raises(DataUnavailable, match="val_data"):  # a pickle in disguise is not opened
        load_images("imagenet32", "test", tmp_path)


def test_your_own_images_are_cut_to_their_middle_and_scaled(tmp_path):
    image = random_bytes(3, 32, 48)
    save(tmp_path / "b.png", image)
    save(tmp_path / "a.png", torch.full((3, 100, 80), 200, dtype=torch.uint8))
    images, labels = images_from_folder(tmp_path)
    assert images.shape == (2, 3, 32, 32)
    assert (images[0] == 200).all()
    assert torch.equal(images[1], image[:, :, 8:40])
    assert labels is None
    portrait = random_bytes(3, 48, 32)
    save(tmp_path / "upright" / "c.PNG", portrait)
    images, labels = images_from_folder(tmp_path)
    assert torch.equal(images[2], portrait[:, 8:40])
    assert labels is None  # not all lie in sub-folders
    (tmp_path / "upright" / "c.PNG").unlink()
    assert images_from_folder(tmp_path, size=8)[0].shape == (2, 3, 8, 8)


def test_sub_folders_are_labels_and_grey_becomes_colour(tmp_path):
    for name in ("dog", "cat", "cat/small"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / name / "1.png")
    (tmp_path / "notes.txt").write_text("no image")
    images, labels = images_from_folder(str(tmp_path), size=9)
    assert labels.tolist() == [0, 0, 1]
    assert (images == 7).all()
    assert images.shape == (3, 3, 9, 9)


def test_a_folder_without_images_or_with_a_broken_one_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are no images"):
        images_from_folder(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.jpg is no image that can be read"):
        images_from_folder(tmp_path)


def test_batches_of_another_size_are_refused(tmp_path):
    """Those of 64x64 pixels have the names of those of 32x32, and four times their bytes."""
    folder = tmp_path / "imagenet32"
    folder.mkdir()
    np.savez(folder / "val_data.npz", data=random_bytes(2, 3 * 64 * 64).numpy(), labels=[1, 2])
    with pytest.raises(DataUnavailable, match=r"val_data\.npz holds no images of 32x32 pixels: its shape is \(2, 12288\)"):
        load_images("imagenet32", "test", tmp_path)
    assert not list(folder.glob("*.images"))


def test_a_picture_is_turned_as_the_camera_was_held(tmp_path):
    image = random_bytes(3, 8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "held.png", exif=exif)
    images, _ = images_from_folder(tmp_path, size=8)
    assert torch.equal(images[0], image.rot90(-1, dims=(1, 2)))


def test_a_picture_of_more_than_eight_bits_is_refused(tmp_path):
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png has more than 8 bits a channel"):
        images_from_folder(tmp_path)


def test_batches_that_come_later_are_taken_in(tmp_path):
    folder = tmp_path / "imagenet32"
    batches(folder, [2])
    assert len(load_images("imagenet32", "train", tmp_path)[0]) == 2
    packed = folder / "train_32x32.images"
    os.utime(packed, (0, packed.stat().st_mtime - 10))
    expected, labels = batches(folder, [2, 3])
    images, their_labels = load_images("imagenet32", "train", tmp_path)
    assert torch.equal(images, expected)
    assert torch.equal(their_labels, labels)


def test_batches_that_could_not_be_packed_leave_no_labels_for_pictures(tmp_path):
    folder = tmp_path / "imagenet32"
    batches(folder, [2], size=64)
    with pytest.raises(DataUnavailable, match="no images of 32x32"):
        load_images("imagenet32", "train", tmp_path)
    (folder / "train_data_batch_1.npz").unlink()
    save(folder / "train_32x32" / "1.png", random_bytes(3, 32, 32))
    images, labels = load_images("imagenet32", "train", tmp_path)
    assert len(images) == 1
    assert labels is None


def test_a_batch_with_a_damaged_stream_is_named(tmp_path):
    folder = tmp_path / "imagenet32"
    folder.mkdir()
    batch = folder / "val_data.npz"
    np.savez_compressed(batch, data=np.zeros((200, 3 * 32 * 32), np.uint8), labels=np.ones(200, np.int64))
    content = bytearray(batch.read_bytes())
    content[60:90] = b"\xff" * 30  # within the compressed images
    batch.write_bytes(content)
    with pytest.raises(DataUnavailable, match=r"val_data\.npz is no batch"):
        load_images("imagenet32", "test", tmp_path)


def test_an_empty_class_keeps_its_place_and_a_hidden_folder_has_none(tmp_path):
    for name in ("ant", "bee", ".thumbs"):
        (tmp_path / name).mkdir()
    for name in ("bee", ".thumbs"):
        save(tmp_path / name / "1.png", random_bytes(3, 8, 8))
    images, labels = images_from_folder(tmp_path, 8)
    assert len(images) == 1
    assert labels.tolist() == [1]
