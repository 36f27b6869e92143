"""A picture to paint on, and what the trained network says to it, at once: the first figure over the live model."""

import base64
import functools
import io
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image

from pixelcnn_edu.live.weights import figure_scripts
from pixelcnn_edu.probes import bits_per_pixel
from pixelcnn_edu.weights import load_pretrained

__all__ = ["PICTURES", "LivePicture", "html", "sprite", "stored_pictures"]

HERE = Path(__file__).parent
NAME = "cifar10-small"
SIZE = 32
START = 7  # the picture that is shown first, for its edge between grass and sky
# Images of the CIFAR-10 test set: their place there, and what they show.
PICTURES = {
    1: "ship",
    7: "frog",
    13: "white horse",
    16: "dog",
    21: "black airplane",
    23: "fire engine",
    44: "yellow airplane",
    48: "brown horse",
    67: "bird",
    81: "red car",
    92: "red ship",
    130: "deer",
}


class LivePicture:
    """What does the trained network say to a picture, while you paint it?

    Paint, choose or upload a picture of 32x32 pixels: the page shows the bits that each pixel costs, which predictions a
    change moves, and how the network goes on below the rows that you keep. No kernel is needed: a click loads the network
    into the page. In a notebook its weights are in the output; in the built book they lie beside the page.
    """

    def __repr__(self):
        return "LivePicture: open the built page, or run this cell, to paint"

    def _repr_html_(self):
        return html()


def stored_pictures():
    """The 12 pictures, uint8 (12, 3, 32, 32)."""
    row = np.array(Image.open(HERE / "pictures.png").convert("RGB"))  # (32, 12 * 32, 3)
    return torch.from_numpy(row).unflatten(1, (-1, SIZE)).permute(1, 3, 0, 2).contiguous()


@functools.cache
def html():
    """The figure as one piece of HTML; the same bytes at every call."""
    model = load_pretrained(NAME)
    count = sum(weights.numel() for weights in model.parameters())
    # Recorded, for as long as no network is loaded: (3, H, W); in float64, so that no processor's rounding shows.
    costs = bits_per_pixel(load_pretrained(NAME).double(), stored_pictures()[START : START + 1])[0]
    ramp = [matplotlib.colors.to_rgb(color) for color in matplotlib.colormaps["cividis"](np.linspace(0, 1, 16))]
    data = {
        "name": NAME,
        "address": f"live/{NAME}.js",
        "start": START,
        "pictures": list(PICTURES.values()),
        "sprite": f"data:image/png;base64,{base64.b64encode((HERE / 'pictures.png').read_bytes()).decode()}",
        "bits": [round(bits, 2) for bits in costs.permute(1, 2, 0).flatten().tolist()],
        "ramp": [[round(255 * part) for part in color] for color in ramp],
    }
    body = (HERE / "picture.html").read_text(encoding="utf-8").replace("{{parameters}}", f"{count:,}")
    style, code = ((HERE / f"picture.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return (
        f'<style>{style}</style><div class="live-card" data-lm-suppress-shortcuts="true">{body}'  # JupyterLab's shortcuts
        f"{figure_scripts(model, NAME, data, code)}</div>"
    )


def sprite(pictures):
    """Pictures, uint8 (N, 3, H, W), side by side as a PNG: bytes."""
    file = io.BytesIO()
    Image.fromarray(pictures.permute(2, 0, 3, 1).flatten(1, 2).numpy()).save(file, "png", optimize=True)
    return file.getvalue()
