"""The engine as text for a figure, and weights as the engine reads them."""

import base64
import copy
import json
import math
from pathlib import Path

import torch
from torch import nn

from pixelcnn_edu.blocks import folded, unwrapped
from pixelcnn_edu.models import PixelCNNpp

__all__ = ["engine", "figure_scripts", "page_weights", "weights_script"]

HERE = Path(__file__).parent
NEEDED = {"likelihood": "mixture", "whole_pixels": True, "downsampling": True, "shortcuts": True, "classes": 0}


def engine():
    """The engine as text, to stand at the beginning of a figure's script: its functions, and `WASM`, compiled."""
    return "".join((HERE / file).read_text(encoding="utf-8") for file in ("engine_wasm.js", "engine.js"))


def figure_scripts(model, name, data, code):
    """The scripts of a figure over the engine, as HTML to stand at the end of the figure's element.

    data: what JSON can hold, for the figure's script `code`, which runs after the engine in a scope of its own. The weights
    of `model` come along under `name`, for a notebook; `make execute` stores the figure without them, since a built page
    has `live/<name>.js` beside it.
    """
    return (
        f'<script type="text/plain" data-live-weights="{name}">{json.dumps(page_weights(model))}</script>'
        f'<script type="application/json">{json.dumps(data)}</script>'
        f"<script>(() => {{\n{engine()}{code}}})();</script>"
    )


def page_weights(model):
    """A model's weights as the engine reads them, rounded to float16: a dict fit for JSON.

    Convolutions stand in the model's order, each its weight, weight norm folded in, as (rows, columns, inputs, outputs),
    then its bias. "tensors" has the shape of each, and its offset in numbers. Raises ValueError for a model other than a
    PixelCNNpp with all of the paper's changes, a mixture and no classes, and for weights beyond float16.
    """
    others = {name: getattr(model.config, name) for name, value in NEEDED.items() if getattr(model.config, name) != value}
    if not isinstance(model, PixelCNNpp) or others:
        raise ValueError(f"the page runs a PixelCNNpp with {NEEDED}, got a {type(model).__name__} with {others}")
    tensors, parts, offset = {}, [], 0
    # Weight norm is folded in float64: in float32 two processors sum in different order, and a tie rounds otherwise.
    for name, layer in folded(copy.deepcopy(unwrapped(model)).double()).named_modules():
        if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            continue
        # (out, in, rows, columns), or (in, out, rows, columns) in a transposed convolution
        axes = (2, 3, 0, 1) if isinstance(layer, nn.ConvTranspose2d) else (2, 3, 1, 0)
        for kind, values in (("weight", layer.weight.permute(axes)), ("bias", layer.bias)):
            half = values.detach().cpu().half()
            if not torch.isfinite(half).all():
                raise ValueError(f"{name}.{kind} holds a number that float16 does not; the largest is 65504")
            tensors[f"{name}.{kind}"] = {"shape": list(values.shape), "offset": offset}
            parts.append(half.contiguous().numpy().astype("<f2").tobytes())
            offset += math.prod(values.shape)
    packed = base64.b64encode(b"".join(parts)).decode()
    return {"config": model.config.to_dict(), "tensors": tensors, "float16": packed}


def weights_script(model, name):
    """The script that puts a model's weights into a page under a name, as text: the same bytes for the same weights."""
    return f'(globalThis.pixelcnnEduWeights ??= {{}})["{name}"] = {json.dumps(page_weights(model))};\n'
