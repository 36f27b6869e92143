"""PixelCNN++ in PyTorch: the model that the book builds, whole."""

import os

# PyTorch reads this when it loads. By default a thread that waits spins, and where another program is busy, it spins on the
# core that the thread it waits for would need: on two cores beside one busy program, training took seven times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# isort: split
from pixelcnn_edu import style
from pixelcnn_edu.config import Config
from pixelcnn_edu.data import DataUnavailable, load_images, to_bytes, to_model
from pixelcnn_edu.likelihoods import Categorical, DequantizedLogisticMixture, DiscretizedLogisticMixture
from pixelcnn_edu.models import PixelCNN, PixelCNNpp, build
from pixelcnn_edu.probes import bits_per_pixel, receptive_field
from pixelcnn_edu.sampling import complete, sample
from pixelcnn_edu.training import Training, evaluate, fit
from pixelcnn_edu.weights import load_model, load_pretrained

__version__ = "0.1.0"
__all__ = [
    "Categorical",
    "Config",
    "DataUnavailable",
    "DequantizedLogisticMixture",
    "DiscretizedLogisticMixture",
    "PixelCNN",
    "PixelCNNpp",
    "Training",
    "bits_per_pixel",
    "build",
    "complete",
    "evaluate",
    "fit",
    "load_images",
    "load_model",
    "load_pretrained",
    "receptive_field",
    "sample",
    "style",
    "to_bytes",
    "to_model",
]
