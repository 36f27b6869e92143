"""Drawing images, one pixel at a time, each given those drawn before it."""

import torch
from torch.nn.utils import parametrize
from tqdm.auto import tqdm

from pixelcnn_edu.blocks import in_mode
from pixelcnn_edu.data import to_model

__all__ = ["sample"]


@torch.no_grad()
def sample(model, count, labels=None, seed=0, progress=True):
    """Draw `count` images from the model: uint8 (count, C, H, W), every value on the grid 0..levels-1.

    The network runs once a pixel, H x W passes in all, or, without whole pixels, once a channel. What a pass gives for
    pixels not yet drawn is thrown away, and what stands there does not matter. Runs without dropout and leaves the model as
    it was. The same seed gives the same images. Raises ValueError for a count below 1. Derived in chapter 11.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    (channels, height, width), levels = model.config.image_shape, model.config.levels
    parameter = next(model.parameters())
    device = parameter.device
    generator = torch.Generator(device).manual_seed(seed)
    dtype = torch.uint8 if levels <= 256 else torch.int64
    images = torch.zeros(count, channels, height, width, dtype=dtype, device=device)
    channels_at_a_time = channels if model.config.whole_pixels else 1
    steps = height * width * channels // channels_at_a_time
    with in_mode(model, training=False), parametrize.cached():  # the normalised weights are the same at every pass
        for step in tqdm(range(steps), unit="pixel", unit_scale=height * width / steps, disable=not progress):
            position, channel = divmod(step * channels_at_a_time, channels)
            row, column = divmod(position, width)
            drawn = slice(channel, channel + channels_at_a_time)
            x = to_model(images, levels).to(parameter.dtype)
            params = model(x, labels)[:, :, row : row + 1, column : column + 1]  # (N, P, 1, 1)
            images[:, drawn, row, column] = model.likelihood(params).sample(generator)[:, drawn, 0, 0]
    return images
