"""Weights in files: this book's own, the released code's (openai/pixel-cnn), and those of pclucas14/pixel-cnn-pp."""

import collections
import hashlib
import json
import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from pixelcnn_edu.models import PixelCNNpp, TwoStreams, build
from pixelcnn_edu.models.config import Config
from pixelcnn_edu.settings import user_path

__all__ = ["load_model", "load_openai", "load_pclucas14", "load_pretrained"]

PRETRAINED = Path(__file__).parent / "pretrained"
LENGTH, DIRECTION = (f"parametrizations.weight.original{i}" for i in range(2))  # weight norm's g, V
CHECKPOINT_ENDINGS = (".index", ".meta")  # of files that TensorFlow writes beside the numbers
AVERAGE = "/ExponentialMovingAverage"  # follows a variable's name: its running average
UNNAMED = r"Variable(_\d+)?"  # TensorFlow's name for what got none: the released Adam's moments


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

    path: the run's folder, a file of weights that `fit` wrote, whose configuration is inside, a name that `load_pretrained`
    knows, or a file that `load_openai` reads. Raises FileNotFoundError where there is none, ValueError for a file that is
    damaged or holds something else, and ImportError where TensorFlow is needed and missing.
    """
    path = user_path(path)
    if path.suffix == ".npz" or _is_checkpoint(path):
        return load_openai(path)
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


def load_openai(source, config=None, averaged=True):
    """Build the `PixelCNNpp` that variables of the released code, openai/pixel-cnn, describe.

    Args:
        source: the prefix of a TensorFlow checkpoint, such as "save/params_cifar.ckpt", which takes
            `pixelcnn-edu[tensorflow]` to read; an `.npz` file of its variables; or a dict from
            their names, such as "model/conv2d_0/V", to arrays.
        config: what you expect; without it the configuration is read off the shapes, for images of
            32x32.
        averaged: whether to take the running averages of the weights where there are some, as the
            released code does for its test scores and samples, or the weights of the last step.

    Returns:
        The model in evaluation mode, in the variables' own precision. The released code's
        checkpoints give float32, float64 arrays a float64 model. Directions V and lengths g are
        the released code's, so that gradients can be compared too.

    Raises:
        ValueError: for a file that cannot be read, for weights of another configuration, and for a
            variable that is missing, left over or of another shape, with its name.
        FileNotFoundError: where there is no such file.
        ImportError: for a checkpoint where TensorFlow is missing, with the command to install it.

    Source: model.py, nn.py and train.py of openai/pixel-cnn.
    """
    variables = _released_variables(source, averaged)
    found = _released_configuration(variables)
    config = config or _config(found)
    _refuse_another(config, found)
    model = PixelCNNpp(config).to(torch.from_numpy(variables["model/conv2d_0/b"]).dtype)
    model.load_state_dict(_in_our_layout(model, variables))
    return model.eval()


def _released_variables(source, averaged):
    """The model's variables, or their averages, as arrays of one precision, float32 or better."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
        source = _read_npz(path) if path.suffix == ".npz" else _read_checkpoint(path)
    if not isinstance(source, dict):
        raise ValueError(f"expected a dict from names of variables to arrays, got {type(source).__name__}")
    every = {name.removesuffix(":0"): np.asarray(value) for name, value in source.items()}
    every = {name: value for name, value in every.items() if not re.fullmatch(UNNAMED, name)}
    averages = {name.removesuffix(AVERAGE): value for name, value in every.items() if name.endswith(AVERAGE)}
    weights = {name: value for name, value in every.items() if not name.endswith(AVERAGE)}
    if averages and averaged:
        if lost := sorted(weights.keys() - averages.keys()):
            raise ValueError(f"there is no average of {lost[0]}; averaged=False takes the weights themselves")
        weights = averages
    for name, value in weights.items():
        if value.dtype.kind != "f":
            raise ValueError(f"{name} must hold floats, got {value.dtype}")
    precision = np.result_type(np.float32, *[value.dtype for value in weights.values()])
    return {name: value.astype(precision) for name, value in weights.items()}


def _read_npz(path):
    try:
        with np.load(path) as file:
            return dict(file)
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError):
        # NumPy's own words recommend to read it unsafely.
        raise ValueError(f"{path} is no npz file, or holds more than arrays of numbers") from None


def _is_checkpoint(path):
    return any(Path(f"{path}{ending}").exists() for ending in CHECKPOINT_ENDINGS)


def _read_checkpoint(path):
    if not _is_checkpoint(path):
        raise FileNotFoundError(
            f"there is no checkpoint {path}; name what stands before {' and '.join(CHECKPOINT_ENDINGS)} "
            "in the names of its files"
        )
    try:
        import tensorflow  # not needed otherwise, and slow to import
    except ImportError as error:
        raise ImportError("tensorflow is not installed: pip install 'pixelcnn-edu[tensorflow]'") from error
    try:
        reader = tensorflow.train.load_checkpoint(str(path))
        names = reader.get_variable_to_shape_map()
        return {name: reader.get_tensor(name) for name in names if not re.fullmatch(UNNAMED, name)}
    except (tensorflow.errors.OpError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} is no checkpoint that TensorFlow can read: {error}") from error


def _released_configuration(variables):
    """What the shapes of the variables say."""
    try:
        inputs, filters = variables["model/conv2d_0/V"].shape[-2:]
        outputs = len(variables[f"model/dense_{_count('dense', variables) - 1}/b"])
    except KeyError as error:
        raise ValueError(f"these are no variables of openai/pixel-cnn: {error} is missing") from error
    if outputs % 10:
        raise ValueError(
            f"the last layer has {outputs} outputs, not 10 per component of a mixture: a model trained by "
            "--energy_distance has no likelihood"
        )
    blocks = max(1, round((_count("conv2d", variables) - 15) / 24))  # each has 24 convolutions, and 15 are in none
    classes = len(variables.get("model/conditional_weights_0/hw", ()))
    return {"channels": inputs - 1, "filters": filters, "blocks": blocks, "mixtures": outputs // 10, "classes": classes}


def _count(kind, variables):
    """How many layers of a kind there are, by the highest number, lest a missing one be overlooked."""
    numbers = [re.fullmatch(rf"model/{kind}_(\d+)/\w+", name) for name in variables]
    return max((int(number[1]) + 1 for number in numbers if number), default=0)


def _in_our_layout(model, variables):
    """A state dict of ours from arrays in the released code's names and axes: weights, gradients, ...

    Raises ValueError with the name of one that is missing, left over, or of another shape.
    """
    left, targets, state = dict(variables), model.state_dict(), {}
    for ours, theirs in _released_names(model).items():
        if theirs not in left:
            raise ValueError(f"these variables are incomplete: {theirs} is missing")
        value = torch.from_numpy(left.pop(theirs))
        if theirs.endswith("/V") and value.ndim > 1:
            # (..., in, out) -> (out, in, ...); in a transposed convolution both pairs the other way
            value = value.movedim((-1, -2), (0, 1))
        shape = targets[ours].shape
        if value.squeeze().shape != targets[ours].squeeze().shape:
            there = variables[theirs].shape
            raise ValueError(f"{theirs}, {there} there, does not fit {ours}, {tuple(shape)} here")
        state[ours] = value.reshape(shape)
    if left:
        raise ValueError(f"these variables hold more than the released model: {', '.join(list(left)[:3])} ...")
    for place, layer in enumerate(model.down):
        if isinstance(layer, TwoStreams):
            name = f"down.{place}.horizontal.shortcut.{DIRECTION}"
            state[name] = state[name][:, _input_order(model.config)]
    for name in [name for name in state if name.startswith("head.")]:
        state[name] = state[name][_output_order(model.config)]
    return state


def _released_names(model):
    """The released code's name for each of our parameters: a dict.

    It counts each kind of layer apart, in the order in which the network is built, here as there.
    """
    names, numbers = {}, collections.Counter()
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Embedding):
            kind, parts = "conditional_weights", {"weight": "hw"}
        elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            kind = "deconv2d" if isinstance(layer, nn.ConvTranspose2d) else "conv2d"
            kind = "dense" if layer.kernel_size == (1, 1) else kind
            parts = {LENGTH: "g", DIRECTION: "V", "bias": "b"}
        else:
            continue
        names |= {f"{name}.{ours}": f"model/{kind}_{numbers[kind]}/{theirs}" for ours, theirs in parts.items()}
        numbers[kind] += 1
    return names


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
    config = config or _config(found)
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
    mixtures = outputs // (10 if inputs > 2 else 3)
    return {"channels": inputs - 1, "filters": filters, "blocks": blocks, "mixtures": mixtures, "classes": 0}


def _config(found):
    """The configuration of what the shapes say, for images of 32x32."""
    return Config(image_shape=(found["channels"], 32, 32), **{k: found[k] for k in found if k != "channels"})


def _refuse_another(config, found):
    fixed = {"levels": 256, "likelihood": "mixture", "whole_pixels": True, "downsampling": True}
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
    for layer in model.down:
        if isinstance(layer, TwoStreams):
            layer.horizontal.shortcut.weight = layer.horizontal.shortcut.weight[:, _input_order(model.config)]
    order = _output_order(model.config)
    model.head.weight, bias = model.head.weight[order], model.head.bias[order].clone()
    model.head.bias.copy_(bias)


def _input_order(config):
    """Where [u, -u, s, -s], our inputs of a short-cut of features u and s, lie in their [u, s, -u, -s].

    Integers (4F,).
    """
    return torch.arange(4 * config.filters).view(2, 2, config.filters).transpose(0, 1).flatten()


def _output_order(config):
    """Where our outputs lie in theirs: logits, then for each channel means, log scales, coefficients.

    Integers (P,).
    """
    channels, mixtures = config.image_shape[0], config.mixtures
    kinds = 3 if channels > 1 else 2
    each = mixtures + torch.arange(channels * kinds * mixtures).view(channels, kinds, mixtures)
    means, log_scales = (each[:, kind].T.flatten() for kind in (0, 1))  # (K * C,): component first, then channel
    coefficients = each[:, 2].T.flatten() if channels > 1 else means[:0]
    return torch.cat([torch.arange(mixtures), means, log_scales, coefficients])
