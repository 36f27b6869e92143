"""Drawing images, one pixel at a time, each given those drawn before it."""

import contextlib
import math
import warnings
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from pixelcnn_edu.blocks import folded, in_mode, no_tf32
from pixelcnn_edu.cached import one_pixel_at_a_time
from pixelcnn_edu.data import as_integers, check_levels, level_type, to_model
from pixelcnn_edu.likelihoods import check_temperature
from pixelcnn_edu.models import PixelCNNpp, pixel_model
from pixelcnn_edu.settings import whole_number

__all__ = ["Step", "complete", "sample", "trace"]


def sample(model, count, labels=None, seed=0, method="cached", temperature=1.0, progress=True, batch_size=64):
    """Draw `count` images from the model: integers (count, C, H, W), uint8 up to 256 levels, all on the grid 0..levels-1.

    labels (count,) are the classes of a model that has some. `method` says how the network is run: "cached" computes each
    activation once, at the price of about one pass over the image (see `cached`); "naive" runs the whole network for every
    pixel, or, without whole pixels, for every channel, and keeps of each pass one pixel. Both give the same distributions up
    to rounding, and the same images from the same seed, but for the rare value that rounding pushes over the edge of its
    bin. The original PixelCNN is drawn naively in any case. A `temperature` below 1 sharpens every distribution, above 1 it
    flattens it (see `tempered` of the likelihoods); only 1 draws from the model. Images are drawn `batch_size` at a time,
    which bounds the memory; the same seed and batch size give the same images.

    Runs without dropout on a copy of the model, so that threads may draw from one model at the same time. Raises ValueError
    for a count or batch size below 1, a seed that does not fit into 64 bits, an unknown method, a temperature not above 0,
    and labels that do not fit. Explained in chapter 11.
    """
    blank, nothing = _blank(pixel_model(model), count)
    return complete(model, blank, nothing, labels, seed, method, temperature, progress, batch_size)


def complete(model, images, known, labels=None, seed=0, method="cached", temperature=1.0, progress=True, batch_size=64):
    """Keep the known pixels of images (N, C, H, W) and draw the others in raster order: integers of that shape, as `sample`.

    known: bool (H, W), or (N, H, W), true where a pixel is to be kept; it comes back bit for bit. A pixel is drawn given all
    those before it, known or drawn, and none after it: only what lies below everything known is drawn given all that is
    known. Ask for the lower part of an image, then, and not for its upper part or for a hole, whose rim will not fit; where
    a known pixel follows an unknown one, a warning says so. The other arguments are those of `sample`.

    Runs without dropout on a copy of the model. Raises ValueError where images or known have another shape or type,
    and as `sample` does. Explained in chapter 11.
    """
    model, images, known = folded(pixel_model(model)), as_integers(images), as_integers(known, "known", lists=True)
    seed, batch_size = _check(model, images, known, seed, method, temperature, batch_size)
    shape = model.config.image_shape[1:]
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    images = images.clone().to(device, level_type(model.config.levels))  # a type that holds whatever is drawn
    known = known.to(device).expand(len(images), *shape)
    labels = model.check(torch.zeros(1, device=device).expand(len(images), *model.config.image_shape), labels)
    pixels = math.ceil(len(images) / batch_size) * math.prod(shape)
    with tqdm(total=pixels, unit="pixel", disable=not progress) as bar:
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            own_labels = None if labels is None else labels[part]
            # images[part] is a view: what is drawn into it stands in images.
            for _ in _draw(model, images[part], known[part], own_labels, generator, method, temperature):
                bar.update()
    return images


@dataclass(frozen=True)
class Step:
    """A pixel of a `trace`.

    Attributes:
        row: of the pixel.
        column: of the pixel.
        images: all that is drawn so far, this pixel too, 0 elsewhere: integers (N, C, H, W).
        distribution: what the network predicted for this pixel, an image of 1x1, tempered where a temperature was given.
        positions: how many pixels the network has been run for since the start. A pass over a whole image counts them all.
    """

    row: int
    column: int
    images: torch.Tensor
    distribution: object
    positions: int


def trace(model, count=1, labels=None, seed=0, method="cached", temperature=1.0):
    """Draw as `sample` does, and yield a `Step` after every pixel; the last one's images are those of `sample`.

    Where the network puts out one channel after the other (without whole pixels), the distribution is that of the last one.
    The model may be used between steps. Raises ValueError as `sample` does. Used in chapter 11.
    """
    model = folded(pixel_model(model))
    images, nothing = _blank(model, count)
    seed, count = _check(model, images, nothing, seed, method, temperature, len(images))
    device = next(model.parameters()).device
    images, known = images.to(device), nothing.to(device).expand(count, *nothing.shape)
    generator = torch.Generator(device).manual_seed(seed)
    drawn = _draw(model, images, known, labels, generator, method, temperature)
    for _ in range(images.shape[2] * images.shape[3]):
        row, column, distribution, positions = next(drawn)
        yield Step(row, column, images.clone(), distribution, positions)


def _blank(model, count):
    """Images to be drawn whole, and what is known of them: integers (count, C, H, W), bool (H, W)."""
    count, shape = whole_number("count", count, 1), model.config.image_shape
    try:
        blank = torch.zeros(count, *shape, dtype=level_type(model.config.levels))
    except RuntimeError as error:
        raise MemoryError(f"{count} images do not fit into the memory; lower count, and draw again") from error
    return blank, torch.zeros(shape[1:], dtype=torch.bool)


@torch.no_grad()
def _draw(model, images, known, labels, generator, method, temperature):
    """Fill in what is not known in images, in place; yield row, column, distribution and positions after every pixel."""
    channels, height, width = model.config.image_shape
    cached = method == "cached" and isinstance(model, PixelCNNpp)
    positions, at_a_time = 0, channels if model.config.whole_pixels else 1
    all_kept = known.all(dim=0).tolist()  # H lists of W, asked for once: each time a GPU would have to catch up
    with (one_pixel_at_a_time if cached else _whole_passes)(model, images, labels) as parameters_at:
        for row, column in ((row, column) for row in range(height) for column in range(width)):
            kept = known[:, row, column].unsqueeze(1)  # (N, 1)
            distribution = None
            for channel in range(0, channels, at_a_time):
                if all_kept[row][column] and not (cached and channel == 0):  # what is cached must hear of every pixel, once
                    continue
                params = parameters_at(row, column)  # (N, P, 1, 1)
                positions += 1 if cached else height * width
                if all_kept[row][column]:
                    continue
                distribution = model.likelihood(params).tempered(temperature)
                drawn = slice(channel, channel + at_a_time)
                pixel = distribution.sample(generator)[:, drawn, 0, 0]  # (N, C), or (N, 1)
                images[:, drawn, row, column] = torch.where(kept, images[:, drawn, row, column], pixel)
            yield row, column, distribution, positions


@contextlib.contextmanager
def _whole_passes(model, images, labels):
    """The slow way to what `one_pixel_at_a_time` gives."""

    @no_tf32()
    def parameters_at(row, column):
        x = to_model(images, model.config.levels, next(model.parameters()).dtype)
        return model(x, labels)[:, :, row : row + 1, column : column + 1]

    with in_mode(model, training=False):
        yield parameters_at


def _check(model, images, known, seed, method, temperature, batch_size):
    """Raise ValueError unless all this makes sense together; warn where it makes less than it seems to.

    Returns seed and batch size as plain numbers.
    """
    shape = model.config.image_shape
    if images.ndim != 4 or tuple(images.shape[1:]) != shape or len(images) == 0:
        raise ValueError(f"images must be (N, {', '.join(map(str, shape))}), N at least 1; got {tuple(images.shape)}")
    check_levels(images, model.config.levels)
    if known.dtype != torch.bool or tuple(known.shape) not in (shape[1:], (len(images), *shape[1:])):
        expected = f"{shape[1:]} or {(len(images), *shape[1:])}"
        raise ValueError(f"known must be bool, {expected}; got {known.dtype} {tuple(known.shape)}")
    if method not in ("cached", "naive"):
        raise ValueError(f'method must be "cached" or "naive", got {method!r}')
    check_temperature(temperature)
    seed, batch_size = whole_number("seed", seed), whole_number("batch_size", batch_size, 1)
    order = known.flatten(-2).to(torch.int8)  # (H * W,), or (N, H * W)
    if (order.diff(dim=-1) > 0).any():
        warnings.warn(
            "some known pixels come after unknown ones in raster order; the pixels before them are drawn without seeing "
            "them and will not fit. Ask for what lies below all that is known",
            stacklevel=3,
        )
    return seed, batch_size
