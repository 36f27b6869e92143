"""Questions put to a network: what does this pixel depend on, and what ought it to?"""

import copy
import math

import torch

from pixelcnn_edu.blocks import in_mode, no_tf32, seeded, unwrapped
from pixelcnn_edu.data import as_integers, check_levels
from pixelcnn_edu.models import PixelCNNpp, PixelModel, pixel_model
from pixelcnn_edu.settings import whole_number

__all__ = ["bits_per_image", "bits_per_pixel", "blind_spot", "receptive_field", "shape_of"]

DIRECTIONS = 8  # random directions in the output, each one backward pass


def receptive_field(model, row, column, stream=None, image_shape=None):
    """How strongly the output at one pixel depends on each pixel of the input: float64 (H, W), exactly 0 where not at all.

    The size of the gradient, from real backward passes in float64 at a random image: the root mean square over random
    directions in the output, added up over the input's channels. `model` is any module from (1, C, H, W) to (1, P, H, W);
    `image_shape` (C, H, W) is needed where it has no `config`. For a PixelCNNpp, `stream` "vertical" or "horizontal" asks
    for that stream's last features instead of the output. Leaves the model as it was.

    Raises ValueError for a pixel outside the image, for an unknown stream, and where the image's shape is not known.
    Derived in chapter 2.
    """
    model = unwrapped(model)
    channels, height, width = image_shape or shape_of(model)
    row, column = whole_number("row", row), whole_number("column", column)
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"pixel ({row}, {column}) lies outside the {height} x {width} image")
    if stream is not None and not (stream in ("vertical", "horizontal") and isinstance(model, PixelCNNpp)):
        raise ValueError(f'stream must be None or, for a PixelCNNpp, "vertical" or "horizontal"; got {stream!r}')
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, channels, height, width, dtype=torch.float64, generator=generator) * 2 - 1
    x.requires_grad_()
    module = copy.deepcopy(model).cpu().double().eval()  # a copy, so that the model stays as it is
    with torch.enable_grad():
        output = _output(module, x, stream)[0, :, row, column]  # (P,)
        directions = torch.randn(DIRECTIONS, len(output), dtype=torch.float64, generator=generator)
        gradients = [torch.autograd.grad(output, x, d, retain_graph=True)[0][0] for d in directions]  # each (C, H, W)
    return torch.stack(gradients).square().mean(dim=0).sum(dim=0).sqrt()  # (H, W)


def shape_of(model):
    """The shape (C, H, W) of a model's images. Raises ValueError where it does not say."""
    if not hasattr(model, "config"):
        raise ValueError(f"a {type(model).__name__} has no config; say image_shape=(C, H, W)")
    return model.config.image_shape


def blind_spot(field, row, column):
    """Earlier pixels that a field (H, W) does not reach: bool (H, W), true on those before (row, column) that are 0.

    Raises ValueError where the field reaches the pixel itself or a later one, for then it is no field of a causal network.
    Derived in chapter 2.
    """
    field = torch.as_tensor(field)
    earlier = torch.arange(field.numel()).reshape(field.shape) < row * field.shape[1] + column
    if (field[~earlier] != 0).any():
        raise ValueError(f"the network sees pixel ({row}, {column}) or a later one: it is not causal")
    return earlier & (field == 0)


def _output(model, x, stream):
    """What is asked about: the model's output or one stream's last features, (1, P, H, W)."""
    labels = torch.zeros(1, dtype=torch.long) if getattr(getattr(model, "config", None), "classes", 0) else None
    features = {}
    if stream is not None:
        last = getattr(model.down[-1], stream)
        last.register_forward_hook(lambda module, inputs, output: features.update({stream: output}))
    output = model(x) if labels is None else model(x, labels)
    return features.get(stream, output)


def bits_per_pixel(model, images, labels=None, batch_size=100):
    """Bits that each channel of each pixel costs given all before it, images integers (N, C, H, W): float64 of that shape.

    Summed over an image they are its bits, averaged its bits/dim. Measured as `bits_per_image` does.
    """
    return _in_batches(
        model, lambda m, *batch: m.log_prob(*batch, per_channel=True) / -math.log(2), images, labels, batch_size
    )


def bits_per_image(model, images, labels=None, batch_size=100):
    """Bits/dim of each image, integers (N, C, H, W): float64 (N,) on the CPU.

    Runs on the model's device, without dropout, and leaves the model as it was; a dequantized likelihood draws its noise
    from a fixed seed. Raises ValueError where there is no image. Used in chapters 10 and 12.
    """
    return _in_batches(model, lambda m, *batch: m.bits_per_dim(*batch), images, labels, batch_size)


@torch.no_grad()
def _in_batches(model, score, images, labels, batch_size):
    model, images, batch_size = unwrapped(model), as_integers(images), whole_number("batch_size", batch_size, 1)
    if not isinstance(model, torch.nn.Module) or not (hasattr(model, "log_prob") or hasattr(model, "bits_per_dim")):
        pixel_model(model)  # raises, and says what is needed
    if not images.numel() or not images.ndim:
        raise ValueError(f"there are no images to evaluate in a tensor of shape {tuple(images.shape)}")
    device = next(model.parameters()).device
    if isinstance(model, PixelModel):  # all at once: one batch shows neither how many labels there are nor every value
        check_levels(images, model.config.levels)
        labels = model.check_labels(labels, len(images))
    scores = []
    with seeded(0, device), in_mode(model, training=False), no_tf32():
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            part_labels = None if labels is None else labels[part].to(device)
            part_scores = score(model, images[part].to(device), part_labels)
            scores.append(part_scores.cpu().double())  # in this order: a Mac's GPU has no float64
    return torch.cat(scores)
