"""Slow and obvious versions of what the package computes, and the small models that several test files use."""

import contextlib
import copy

import torch

from pixelcnn_edu.blocks import data_dependent_init, folded
from pixelcnn_edu.data import to_model
from pixelcnn_edu.models import build
from pixelcnn_edu.models.config import Config
from pixelcnn_edu.state import TrainingState


def random_bytes(*shape, levels=256, seed=0):
    """Integers 0..levels-1, all equally likely, uint8."""
    return torch.randint(levels, shape, generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def initialised(config, images=16, seed=0):
    """A model in float64 and evaluation mode, initialised on random images, so that no signal has died out in it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(config).double()
        x = to_model(random_bytes(images, *config.image_shape, levels=config.levels), config.levels).double()
        data_dependent_init(model, x, torch.arange(images) % config.classes if config.classes else None)
    return model.eval()


def tiny(**overrides):
    """The smallest model that has all parts, at 8x8."""
    return Config.tiny(**{"image_shape": (3, 8, 8), "filters": 3, "mixtures": 2, **overrides})


def rounded(model):
    """A copy in float64 with plain weights that were rounded to float16, as those in a page are."""
    model = folded(copy.deepcopy(model).double())
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(weights.half())
    return model.eval()


def influence(function, shape, pixels=None, chunk=64):
    """The size of the gradient of the output at each pixel in each pixel of the input: float64 (pixels, H, W).

    `function` maps (N, C, H, W) to (N, P, H, W). A batch holds one image many times and each copy is asked about another
    pixel, so that one backward pass answers for many; a random direction in the P outputs stands for all of them.
    """
    channels, height, width = shape
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, channels, height, width, dtype=torch.float64, generator=generator) * 2 - 1
    pixels = torch.arange(height * width) if pixels is None else torch.as_tensor(pixels)
    sizes = []
    for part in pixels.split(chunk):
        x = image.repeat(len(part), 1, 1, 1).requires_grad_()
        picked = function(x)[torch.arange(len(part)), :, part // width, part % width]  # (n, P)
        direction = torch.randn(picked.shape, dtype=torch.float64, generator=generator)
        (gradient,) = torch.autograd.grad((picked * direction).sum(), x)
        sizes.append(gradient.abs().sum(dim=1))
    return torch.cat(sizes)


def earlier_pixels(height, width):
    """Which pixels come before which in raster order: bool (H * W, H, W), entry [p, i, j] for (i, j) before p."""
    order = torch.arange(height * width)
    return (order[None, :] < order[:, None]).reshape(-1, height, width)


@contextlib.contextmanager
def ctrl_c_at(step, monkeypatch):
    """Inside, training is interrupted before it takes the step after `step`."""
    update = TrainingState.update

    def interrupted(state, loss):
        if state.step == step:
            raise KeyboardInterrupt
        update(state, loss)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "update", interrupted)
        yield


def streams(model, x):
    """The two streams' last features in a pass over x (N, C, H, W): two of (N, F, H', W')."""
    features = []
    handle = model.down[-1].register_forward_hook(lambda layer, inputs, output: features.extend(output))
    model(x)
    handle.remove()
    return features
