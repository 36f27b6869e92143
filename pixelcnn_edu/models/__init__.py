"""The two networks of the book, their common interface, and the configuration that describes them."""

from pixelcnn_edu.models.base import LIKELIHOODS, PixelModel, pixel_model
from pixelcnn_edu.models.config import Config
from pixelcnn_edu.models.pixelcnn import PixelCNN
from pixelcnn_edu.models.pixelcnnpp import PixelCNNpp, TwoStreams, downsample, upsample

__all__ = [
    "LIKELIHOODS",
    "Config",
    "PixelCNN",
    "PixelCNNpp",
    "PixelModel",
    "TwoStreams",
    "build",
    "downsample",
    "pixel_model",
    "upsample",
]


def build(config):
    """The network that a configuration describes: a `PixelCNNpp`, or a `PixelCNN` for `Config.original()`."""
    return {"pixelcnn++": PixelCNNpp, "pixelcnn": PixelCNN}[config.architecture](config)
