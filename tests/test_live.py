"""The network in the page computes what PyTorch computes, from the same weights, in JavaScript and in WebAssembly."""

import base64
import dataclasses
import functools
import hashlib
import math
from unittest import mock

import numpy as np
import pytest
import torch
from oracles import initialised, random_bytes, rounded, tiny
from safetensors import safe_open

from pixelcnn_edu import Config, build, likelihoods, load_images, load_pretrained, sample, to_model
from pixelcnn_edu.live import engine, page_weights, weights_script
from pixelcnn_edu.weights import PRETRAINED
from tools import live_wasm, live_weights
from tools.live_weights import SCRIPT

ENGINES = ["JavaScript", "WebAssembly"]
CLOSE = 5e-5  # parameters; PyTorch's own float32 is up to 1.5e-5 from its float64
NEAR = 0.02  # levels: what float32 may move a sampled value by, before it is rounded to a level


@pytest.fixture(scope="module")
def trained():
    """The shipped model, as the page has it."""
    return rounded(load_pretrained("cifar10-small"))


@pytest.fixture(scope="module")
def page(browser):
    """An empty page with the engine and the shipped weights, and networks of both kinds in `networks`."""
    page = browser.new_page()
    page.add_script_tag(content=engine())
    page.add_script_tag(path=SCRIPT)
    page.evaluate(
        """() => {
            globalThis.networks = {};
            globalThis.packed = (numbers) => {
                let text = "";
                for (const byte of new Uint8Array(Float64Array.from(numbers).buffer)) text += String.fromCharCode(byte);
                return btoa(text);
            };
        }"""
    )
    put(page, "cifar10-small")
    yield page
    page.close()


def put(page, name, height=32, width=32):
    """Build both networks from the weights of that name, which are in the page."""
    names = page.evaluate(
        """async ([name, height, width]) => {
            const weights = await weightsOf(name);
            networks.JavaScript = new PixelCNNpp(weights, height, width);
            networks.WebAssembly = await networkFor(weights, height, width);
            return Object.values(networks).map((network) => network.name);
        }""",
        [name, height, width],
    )
    assert names == ENGINES


def unpacked(text):
    """Numbers that the page packed, which is ten times as fast as JSON: float64 (count,)."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text)).copy())


def levels_of(image):
    """An image (C, H, W) as the engine has it, one level after the other: (H, W, C), flat."""
    return image.permute(1, 2, 0).flatten().tolist()


def asked(page, engine, function, image):
    """`parameters` or `bits` of an image (C, H, W): float64 (P, H, W), or (C, H, W)."""
    values = page.evaluate(
        "([engine, name, image]) => packed({ parameters, bits }[name](networks[engine], Uint8Array.from(image)))",
        [engine, function, levels_of(image)],
    )
    return unpacked(values).view(*image.shape[1:], -1).permute(2, 0, 1)


@torch.no_grad()
def expected(model, image):
    """Parameters (P, H, W) and bits (C, H, W) by PyTorch in float64."""
    params = model(to_model(image[None], model.config.levels).double())
    bits = -model.likelihood(params).log_prob(image[None], per_channel=True) / math.log(2)
    return params[0], bits[0]


IMAGES = {
    "shapes": load_images("shapes", "test")[0][0],
    "noise": random_bytes(3, 32, 32, seed=5),
    "black": torch.zeros(3, 32, 32, dtype=torch.uint8),
    "white": torch.full((3, 32, 32), 255, dtype=torch.uint8),
    "black and white": 255 * random_bytes(3, 32, 32, levels=2, seed=6),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("engine", ENGINES)
def test_parameters_and_bits_are_those_of_pytorch(page, trained, engine, name):
    """Levels 0 and 255, whose bins are open, are in all but two of the images."""
    params, bits = expected(trained, IMAGES[name])
    torch.testing.assert_close(asked(page, engine, "parameters", IMAGES[name]), params, rtol=0, atol=CLOSE)
    # A scale can be exp(-7): an error in a mean is multiplied by 1,097 in nats.
    torch.testing.assert_close(asked(page, engine, "bits", IMAGES[name]), bits, rtol=1e-4, atol=1e-3)


def test_javascript_is_as_exact_as_float64(page, trained):
    params, bits = expected(trained, IMAGES["shapes"])
    torch.testing.assert_close(asked(page, "JavaScript", "parameters", IMAGES["shapes"]), params, rtol=0, atol=1e-10)
    torch.testing.assert_close(asked(page, "JavaScript", "bits", IMAGES["shapes"]), bits, rtol=0, atol=1e-9)


OTHERS = {
    "wider, deeper, other components": Config(image_shape=(3, 8, 8), filters=36, blocks=2, mixtures=3),
    "sizes that are no multiple of 4": tiny(image_shape=(3, 10, 7), filters=8),
    "one channel of 16 levels": tiny(image_shape=(1, 8, 12), filters=4, levels=16),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_models_of_other_sizes_are_taken(page, engine, name):
    config = OTHERS[name]
    model = rounded(initialised(config))
    page.add_script_tag(content=weights_script(model, name))
    put(page, name, *config.image_shape[1:])
    image = random_bytes(*config.image_shape, levels=config.levels, seed=7)
    params, bits = expected(model, image)
    found = asked(page, engine, "parameters", image), asked(page, engine, "bits", image)
    put(page, "cifar10-small")
    torch.testing.assert_close(found[0], params, rtol=0, atol=CLOSE)
    torch.testing.assert_close(found[1], bits, rtol=1e-4, atol=1e-3)


def test_filters_that_fill_no_register_are_run_in_javascript(page):
    page.add_script_tag(content=weights_script(build(tiny(filters=6)), "six filters"))
    assert page.evaluate("async () => (await networkFor(await weightsOf('six filters'))).name") == "JavaScript"


# ---- Sampling


@functools.cache
def sampled(seed, temperature=1.0, size=32):
    """An image (3, size, size) that `sample` gives for the page's weights, and all uniform numbers that it took."""
    model, numbers, draw = rounded(load_pretrained("cifar10-small")), [], likelihoods._uniform
    model.config = dataclasses.replace(model.config, image_shape=(3, size, size))

    def recorded(like, generator):
        uniform = draw(like, generator)
        numbers.extend(uniform.flatten().tolist())
        return uniform

    with mock.patch.object(likelihoods, "_uniform", recorded):
        return sample(model, 1, seed=seed, temperature=temperature, progress=False)[0], numbers


def completed(page, engine, image, first, uniforms, temperature):
    """What the engine draws from these numbers, the pixels before `first` kept: integers (C, H, W)."""
    values = page.evaluate(
        """([engine, levels, first, numbers, temperature]) => {
            const image = Uint8Array.from(levels), next = numbers.values();
            const uniform = () => next.next().value;
            for (const row of complete(networks[engine], image, first, uniform, temperature));
            if (uniform() !== undefined) throw new Error("some numbers were not used");
            return Array.from(image);
        }""",
        [engine, levels_of(image), first, uniforms, temperature],
    )
    return torch.tensor(values, dtype=torch.uint8).view(*image.shape[1:], -1).permute(2, 0, 1)


@pytest.mark.parametrize(("seed", "temperature", "size"), [(0, 1.0, 32), (1, 0.8, 16), (2, 1.3, 16)])
def test_javascript_draws_the_images_of_sample(page, seed, temperature, size):
    image, numbers = sampled(seed, temperature, size)
    put(page, "cifar10-small", size, size)
    drawn = completed(page, "JavaScript", torch.zeros_like(image), 0, numbers, temperature)
    put(page, "cifar10-small")
    assert torch.equal(drawn, image)


def test_webassembly_draws_the_pixels_of_sample_but_for_near_ties(page, trained):
    """Each pixel is given what `sample` drew before it, so that one tie does not change all that follows.

    A value is a level plus what is rounded away. Where that is within NEAR of a half, float32 may round it the other way.
    """
    image, numbers = sampled(0)
    numbers = np.reshape(numbers, (32 * 32, -1)).tolist()  # for each pixel
    drawn = page.evaluate(
        """([levels, numbers]) => {
            const image = Uint8Array.from(levels), network = networks.WebAssembly, drawn = [];
            const likelihood = new DiscretizedLogisticMixture(network.config);
            for (const row of walk(network, (r, c, params) => {
                const next = numbers[r * network.width + c].values();
                drawn.push(likelihood.sample(params, () => next.next().value));
                return pixelOf(image, network, r, c);
            }));
            return drawn;
        }""",
        [levels_of(image), numbers],
    )
    drawn = torch.tensor(drawn).T.reshape(3, 32, 32)
    for channel, row, column in (drawn != image).nonzero().tolist():
        assert near_tie(trained, image, row, column, channel, numbers[row * 32 + column])


@torch.no_grad()
def near_tie(model, image, row, column, channel, numbers):
    """Whether an error as small as NEAR, in levels or in a logit, could have given another value of this channel."""
    params = model(to_model(image[None]).double())[:, :, row : row + 1, column : column + 1]
    mixture, uniform = model.likelihood(params), torch.tensor(numbers, dtype=torch.float64)
    noisy = mixture.logits.flatten() - torch.log(-torch.log(uniform[: -len(image)]))
    best, second = noisy.topk(2).values
    k, x = noisy.argmax(), to_model(image[:, row, column]).double()
    mean, ties = mixture.means[0, k, channel, 0, 0], mixture.coefficients[0, k, :, 0, 0]
    for earlier in range(channel):
        mean = mean + ties[channel * (channel - 1) // 2 + earlier] * x[earlier]
    noise = torch.logit(uniform[len(uniform) - len(image) + channel])
    level = (mean + mixture.log_scales[0, k, channel, 0, 0].exp() * noise + 1) * 127.5
    return bool(best - second < NEAR or abs(level % 1 - 0.5) < NEAR)


@pytest.mark.parametrize("engine", ENGINES)
def test_kept_pixels_stay_and_the_rest_is_drawn_from_the_seed(page, engine):
    numbers = page.evaluate("() => { const next = uniforms(3); return Array.from({ length: 9000 }, next) }")
    assert 0 < min(numbers) < max(numbers) < 1
    assert np.mean(numbers) == pytest.approx(0.5, abs=0.02)
    first, image = 20 * 32 + 5, IMAGES["shapes"]
    needed = (32 * 32 - first) * 13
    drawn = completed(page, engine, image, first, numbers[:needed], 1)
    assert torch.equal(drawn.flatten(1)[:, :first], image.flatten(1)[:, :first])
    assert not torch.equal(drawn, image)
    assert torch.equal(completed(page, engine, image, first, numbers[:needed], 1), drawn)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_changed_pixel_moves_no_earlier_prediction(page, engine):
    row, column = 8, 20
    changed = IMAGES["shapes"].clone()
    changed[:, row, column] = 255 - changed[:, row, column]
    before, after = (asked(page, engine, "parameters", image) for image in (IMAGES["shapes"], changed))
    moved = (before != after).any(dim=0).flatten()  # (H * W,)
    place = row * 32 + column
    assert not moved[: place + 1].any()
    assert moved[place + 1]
    assert moved[place + 1 :].sum() > 300


# ---- Weights


def test_the_weights_of_the_page_are_the_published_ones_rounded_to_float16(page):
    """Weight norm is folded in here by its formula, from the file itself: W = g V / ||V||."""
    with safe_open(PRETRAINED / "cifar10-small.safetensors", "pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    # Published under the first edition's names.
    stored = {name.replace("first_", "stem.").replace("to_params.", "head."): w for name, w in stored.items()}
    weights = page.evaluate(
        """() => {
            const { tensors } = pixelcnnEduWeights["cifar10-small"];
            const weights = decodeWeights(pixelcnnEduWeights["cifar10-small"]);
            return Object.keys(tensors).filter((name) => name.endsWith(".weight")).map((name) => {
                const { weight, shape, bias } = weights.convolution(name.slice(0, -7));
                return [name.slice(0, -7), shape, packed(weight), packed(bias)];
            });
        }"""
    )
    assert len(weights) == len([name for name in stored if name.endswith(".bias")])
    for name, shape, values, bias in weights:
        length, direction = (stored[f"{name}.parametrizations.weight.original{i}"].double() for i in (0, 1))
        axis = [0, 1, 2, 3].index(int(np.argmax(length.shape)))  # of the output channels
        others = [other for other in range(4) if other != axis]
        weight = length * direction / torch.linalg.vector_norm(direction, dim=others, keepdim=True)
        weight = weight.permute(2, 3, *(0, 1) if axis == 1 else (1, 0)).float()  # (rows, columns, in, out)
        found = unpacked(values).float().view(shape)
        assert torch.equal(found, weight.half().float())
        assert torch.equal(unpacked(bias).float(), stored[f"{name}.bias"].half().float())


def test_the_weights_of_the_page_are_what_the_tool_writes():
    assert SCRIPT.read_text() == weights_script(load_pretrained("cifar10-small"), "cifar10-small")


def test_the_tool_takes_any_file_of_weights(tmp_path):
    live_weights.main(PRETRAINED / "cifar10-small.safetensors", tmp_path / "mine.js")
    assert (tmp_path / "mine.js").read_text() == SCRIPT.read_text().replace('["cifar10-small"]', '["mine"]')


@pytest.mark.parametrize(
    "change",
    [{"classes": 3}, {"likelihood": "softmax"}, {"whole_pixels": False}, {"downsampling": False}, {"shortcuts": False}],
)
def test_a_model_of_another_kind_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        page_weights(build(tiny(**change)))


def test_weights_that_float16_cannot_hold_are_refused():
    model = build(tiny())
    with torch.no_grad():
        model.head.bias[0] = 1e5
    with pytest.raises(ValueError, match=r"head\.bias"):
        page_weights(model)


def test_all_of_it_is_small():
    assert len(engine()) + SCRIPT.stat().st_size < 1_800_000


# ---- WebAssembly


def test_the_module_is_the_one_that_its_script_names():
    module, _, (module_sum, source_sum) = live_wasm.stored()
    assert hashlib.sha256(module).hexdigest() == module_sum
    assert hashlib.sha256((live_wasm.LIVE / "engine.c").read_bytes()).hexdigest() == source_sum
    assert live_wasm.SCRIPT.read_text() == live_wasm.script(module, live_wasm.stored()[1])


def test_the_source_compiles_to_the_module(page, trained):
    """The same compiler gives the same bytes; another one, the same network."""
    if (version := live_wasm.compiler()) is None:
        pytest.skip("there is no clang with wasm-ld (apt-get install clang lld); the stored module is used as it is")
    module, stored_by, _ = live_wasm.stored()
    built = live_wasm.compiled()
    if version == stored_by:
        assert built == module
        return
    page.evaluate(
        "async (bytes) => { networks.WebAssembly ="
        " await WasmPixelCNNpp.create(Uint8Array.from(bytes), await weightsOf('cifar10-small')) }",
        list(built),
    )
    found = asked(page, "WebAssembly", "parameters", IMAGES["shapes"])
    put(page, "cifar10-small")
    torch.testing.assert_close(found, expected(trained, IMAGES["shapes"])[0], rtol=0, atol=CLOSE)
