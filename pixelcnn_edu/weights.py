"""Weights in files: this book's own, and those of the public implementation pclucas14/pixel-cnn-pp."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from pixelcnn_edu.models import PixelCNNpp, TwoStreams, build
from pixelcnn_edu.models.config import Config
from pixelcnn_edu.settings import user_path

__all__ = ["load_model", "load_pclucas14", "load_pretrained"]

PRETRAINED = Path(__file__).parent / "pretrained"


def load_pretrained(name):
    """A trained model that comes with the package, in evaluation mode; nothing is downloaded.

    name: "cifar10-small", the recorded run of chapter 10. What it is and how good, its card says, `card.md` in
    `book/runs/<name>`. Raises ValueError for another name, and where the file's checksum is not the one that the package was
    published with.
    """
    sums, path = _published(), PRETRAINED / f"{name}.safetensors"
    if path.name not in sums:
        raise ValueError(f"there are no weights {name!r}; there are {', '.join(Path(file).stem for file in sums)}")
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != sums[path.name]:
        raise ValueError(f"{path} is missing or damaged; install pixelcnn-edu anew")
    return load_model(path)


def _published():
    """Checksums of the weights that come with the package: a dict from file name to SHA-256."""
    return dict(reversed(line.split()) for line in (PRETRAINED / "SHA256SUMS").read_text().splitlines())


def load_model(path):
    """The model of a recorded run, with its averaged weights, in evaluation mode.

    path: the run's folder, a file of weights that `fit` wrote, whose configuration is inside, or a name that
    `load_pretrained` knows. Raises FileNotFoundError where there is none, and ValueError for a file that is damaged or holds
    something else.
    """
    path = user_path(path)
    if not path.exists() and f"{path}.safetensors" in _published():
        return load_pretrained(str(path))
    path = path / "weights.safetensors" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights in {path}; a run writes them when it ends")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            weights = {_without_wrappers(name): file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is no file of weights that can be read: {error}") from error
    if "config" not in metadata:
        raise ValueError(f"{path} does not say which model its weights belong to; it was not written by fit")
    _refuse_what_is_no_number(weights, path)
    try:
        config = Config(**json.loads(metadata["config"]))
        with torch.device("meta"):  # shapes alone: what the file does not hold costs no memory
            build(config).load_state_dict(weights, assign=True)
        model = build(config)
        model.load_state_dict(weights)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} does not say in JSON which model its weights belong to: {error}") from error
    except (TypeError, ValueError, RuntimeError) as error:  # a field or a tensor that this version does not know
        raise ValueError(f"the weights in {path} are of another version of this package: {error}") from error
    return model.eval()


def load_pclucas14(source, config=None):
    """Build the `PixelCNNpp` that weights of pclucas14/pixel-cnn-pp describe: the same parameters, in this book's order.

    source: the name of a checkpoint file, such as that project's own of 160 filters and 5 blocks, or a state dict.
    config: what you expect; without it the configuration is read off the shapes, for images of 32x32. The model comes in the
    weights' precision and in evaluation mode.

    Two things differ there and are put right here: short-cuts of two features are concatenated before the activation, and
    transposed convolutions are normalised over the wrong axis. Files are read without running code that they may hold.
    Raises ValueError for a file that is no such checkpoint and for weights of another configuration, with the difference.
    """
    where = "the state dict" if isinstance(source, dict) else source
    state = _read(source)
    _refuse_what_is_no_number(state, where)
    try:
        return _from_state(state, config)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:  # odd shapes make PyTorch raise any of these
        raise ValueError(f"{where} does not hold the weights of such a model: {error}") from error


def _from_state(state, config):
    found = _configuration(state)
    config = config or Config(image_shape=(found["channels"], 32, 32), **{k: found[k] for k in found if k != "channels"})
    _refuse_another(config, found)
    model = PixelCNNpp(config).to(state["u_init.conv.bias"].dtype)
    with torch.no_grad():
        for ours, theirs in _twins(model).items():
            _copy(model.get_submodule(ours), state, theirs)
        _reorder(model)
    if state:
        raise ValueError(f"these weights hold more than that project's model: {', '.join(list(state)[:3])} ...")
    return model.eval()


def _read(source):
    content = source
    if isinstance(source, (str, os.PathLike)):
        path = user_path(source)
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:  # which names the file
            raise
        except pickle.UnpicklingError:  # whose own words recommend to read it unsafely
            raise ValueError(
                f"{source} is no checkpoint that can be read safely: it holds more than tensors and plain numbers, and is "
                "not read, since it could run code"
            ) from None
        except Exception as error:  # a damaged file makes PyTorch raise whatever its parts trip over
            raise ValueError(f"{source} is no checkpoint that can be read; download it anew ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        where = "" if content is source else f" in {source}"
        raise ValueError(f"expected a state dict of pclucas14/pixel-cnn-pp{where}, got {type(content).__name__}")
    return {_without_wrappers(name): tensor for name, tensor in content.items()}


def _without_wrappers(name):
    """A parameter's name without the prefixes of `torch.compile` and DataParallel."""
    return name.removeprefix("_orig_mod.").removeprefix("module.").removeprefix("_orig_mod.")


def _refuse_what_is_no_number(weights, where):
    """Raise ValueError with the name of what is no tensor of finite floats."""
    for name, tensor in weights.items():
        if not (torch.is_tensor(tensor) and tensor.is_floating_point() and torch.isfinite(tensor.float()).all()):
            kind = f"NaN, infinity or {tensor.dtype}" if torch.is_tensor(tensor) else f"a {type(tensor).__name__}"
            raise ValueError(f"{name} in {where} must hold finite floats, got {kind}; train or download the weights anew")


def _configuration(state):
    """What the shapes of the weights say."""
    try:
        filters, inputs = state["u_init.conv.weight_v"].shape[:2]
        outputs = len(state["nin_out.lin_a.bias"])
    except KeyError as error:
        raise ValueError(f"these are no weights of pclucas14/pixel-cnn-pp: {error} is missing") from error
    blocks = sum(name.startswith("up_layers.0.u_stream.") and name.endswith("conv_out.conv.bias") for name in state)
    return {"channels": inputs - 1, "filters": filters, "blocks": blocks, "mixtures": outputs // (10 if inputs > 2 else 3)}


def _refuse_another(config, found):
    fixed = {"levels": 256, "classes": 0, "likelihood": "mixture", "whole_pixels": True, "downsampling": True}
    fixed |= {"shortcuts": True, "architecture": "pixelcnn++"}
    asked = {"channels": config.image_shape[0], **config.to_dict()}
    differences = [
        f"{name} is {there} there, {asked[name]} here" for name, there in (found | fixed).items() if asked[name] != there
    ]
    if differences:
        raise ValueError(f"the weights are of another configuration: {'; '.join(differences)}")


def _twins(model):
    """Which of our layers is which of theirs: {"up.0.vertical.conv_in": "up_layers.0.u_stream.0.conv_input.conv", ...}."""
    twins = {
        "stem.vertical": "u_init.conv",
        "stem.above": "ul_init.0.conv",
        "stem.left": "ul_init.1.conv",
        "head": "nin_out.lin_a",
    }
    parts = {"conv_in": "conv_input.conv", "shortcut": "nin_skip.lin_a", "conv_out": "conv_out.conv"}
    for way, layers, resize in (("up", model.up, "downsize_{}.{}.conv"), ("down", model.down, "upsize_{}.{}.deconv")):
        scale = block = 0
        for place, layer in enumerate(layers):
            for stream, name in (("vertical", "u_stream"), ("horizontal", "ul_stream")):
                if not isinstance(layer, TwoStreams):
                    twins[f"{way}.{place}.{stream}"] = resize.format(name, scale)
                    continue
                for ours, theirs in parts.items():
                    if getattr(getattr(layer, stream), ours) is not None:
                        twins[f"{way}.{place}.{stream}.{ours}"] = f"{way}_layers.{scale}.{name}.{block}.{theirs}"
            scale, block = (scale, block + 1) if isinstance(layer, TwoStreams) else (scale + 1, 0)
    return twins


def _copy(conv, state, name):
    """Move one layer's weights out of `state`; of the weight only its effective value counts."""
    try:
        length, direction, bias = (state.pop(f"{name}.{part}") for part in ("weight_g", "weight_v", "bias"))
    except KeyError as error:
        raise ValueError(f"these weights are incomplete: {error} is missing") from error
    weight = torch._weight_norm(direction, length, 0)
    if weight.numel() != conv.weight.numel() or bias.shape != conv.bias.shape:
        raise ValueError(f"{name} has shape {tuple(weight.shape)}, which does not fit {tuple(conv.weight.shape)}")
    conv.weight = weight.reshape(conv.weight.shape)  # weight norm takes it apart again, over the right axis
    conv.bias.copy_(bias)


def _reorder(model):
    """Put inputs and outputs that are concatenated in another order there into ours."""
    filters, channels, mixtures = model.config.filters, model.config.image_shape[0], model.config.mixtures
    # A short-cut of two features u, s is activated as [u, s, -u, -s] there, as [u, -u, s, -s] here.
    order = torch.arange(4 * filters).view(2, 2, filters).transpose(0, 1).flatten()  # (4F,)
    for layer in model.down:
        if isinstance(layer, TwoStreams):
            layer.horizontal.shortcut.weight = layer.horizontal.shortcut.weight[:, order]
    # After the logits, there, comes for each channel all of its means, then its log scales, then a coefficient.
    kinds = 3 if channels > 1 else 2
    each = mixtures + torch.arange(channels * kinds * mixtures).view(channels, kinds, mixtures)
    means, log_scales = (each[:, kind].T.flatten() for kind in (0, 1))  # (K * C,): component first, then channel
    coefficients = each[:, 2].T.flatten() if channels > 1 else means[:0]
    order = torch.cat([torch.arange(mixtures), means, log_scales, coefficients])
    model.head.weight, bias = model.head.weight[order], model.head.bias[order].clone()
    model.head.bias.copy_(bias)
