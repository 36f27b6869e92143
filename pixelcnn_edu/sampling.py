"""Drawing images, one pixel at a time, each given those drawn before it."""

import torch
from torch.nn.utils import parametrize
from tqdm.auto import tqdm

from pixelcnn_edu.blocks import in_mode
from pixelcnn_edu.data import to_model

__all__ = ["complete", "sample"]


def sample(model, count, labels=None, seed=0, progress=True):
    """Draw `count` images from the model: uint8 (count, C, H, W), every value on the grid 0..levels-1.

    The network runs once a pixel, H x W passes in all, or, without whole pixels, once a channel. What a pass gives for
    pixels not yet drawn is thrown away, and what stands there does not matter. Runs without dropout and leaves the model as
    it was. The same seed gives the same images. Raises ValueError for a count below 1. Derived in chapter 11.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    shape, levels = model.config.image_shape, model.config.levels
    blank = torch.zeros(count, *shape, dtype=torch.uint8 if levels <= 256 else torch.int64)
    return complete(model, blank, torch.zeros(shape[1:], dtype=torch.bool), labels, seed, progress)


@torch.no_grad()
def complete(model, images, known, labels=None, seed=0, progress=True):
    """Keep the known pixels of images (N, C, H, W) and draw the others in raster order: integers of the same shape.

    known: bool (H, W), or (N, H, W), true where a pixel is to be kept. A pixel is drawn given all those before it, known or
    drawn, and none after it: only what lies below everything known is drawn given all that is known. Ask for the lower part
    of an image, then, and not for its upper part or for a hole, whose rim will not fit.

    Runs without dropout and leaves the model as it was. The same seed gives the same images. Raises ValueError where images
    or known have another shape or type. Used in chapter 11.
    """
    (channels, height, width), levels = model.config.image_shape, model.config.levels
    if known.dtype != torch.bool or tuple(known.shape) not in ((height, width), (len(images), height, width)):
        raise ValueError(
            f"known must be bool, {(height, width)} or {(len(images), height, width)}; "
            f"got {known.dtype} {tuple(known.shape)}"
        )
    parameter = next(model.parameters())
    device = parameter.device
    generator = torch.Generator(device).manual_seed(seed)
    images = images.clone().to(device)
    known = known.to(device).expand(len(images), height, width)
    channels_at_a_time = channels if model.config.whole_pixels else 1
    steps = height * width * channels // channels_at_a_time
    with in_mode(model, training=False), parametrize.cached():  # the normalised weights are the same at every pass
        for step in tqdm(range(steps), unit="pixel", unit_scale=height * width / steps, disable=not progress):
            position, channel = divmod(step * channels_at_a_time, channels)
            row, column = divmod(position, width)
            kept = known[:, row, column].unsqueeze(1)  # (N, 1)
            if kept.all():
                continue
            drawn = slice(channel, channel + channels_at_a_time)
            x = to_model(images, levels).to(parameter.dtype)
            params = model(x, labels)[:, :, row : row + 1, column : column + 1]  # (N, P, 1, 1)
            pixel = model.likelihood(params).sample(generator)[:, drawn, 0, 0]  # (N, C), or (N, 1)
            images[:, drawn, row, column] = torch.where(kept, images[:, drawn, row, column], pixel)
    return images
