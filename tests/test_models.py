"""The network is the released code's, sees all of the past that it should, and nothing else."""

import dataclasses
import json
import math

import pytest
import torch
from oracles import earlier_pixels, influence, initialised, random_bytes, streams, tiny

from pixelcnn_edu import Config, DiscretizedLogisticMixture, PixelCNNpp, build, receptive_field, to_model

SMALLEST = {"filters": 2, "blocks": 1, "mixtures": 1, "dropout": 0.0}


@pytest.mark.parametrize(
    ("changes", "count"), [({}, 53_659_080), ({"filters": 192}, 77_244_104), ({"classes": 10}, 53_659_080 + 204_800)]
)
def test_the_full_size_has_the_released_codes_parameters(changes, count):
    with torch.device("meta"):
        model = PixelCNNpp(Config.paper(**changes))
    assert sum(p.numel() for p in model.parameters()) == count


def count_by_hand(config):
    """Weights (one bias and one length an output channel beside the kernel) and label biases, layer by layer."""
    channels, f, n = config.image_shape[0], config.filters, config.blocks

    def conv(inputs, outputs, rows, columns):
        return outputs * (inputs * rows * columns + 2)

    def layer(short_cuts):  # the two gated blocks of a layer; short_cuts counts those from the way up
        vertical = conv(2 * f, f, 2, 3) + conv(2 * f, 2 * f, 2, 3) + (conv(2 * f, f, 1, 1) if short_cuts else 0)
        horizontal = conv(2 * f, f, 2, 2) + conv(2 * f, 2 * f, 2, 2) + conv(2 * f * (1 + short_cuts), f, 1, 1)
        return vertical + horizontal + 2 * (2 * f * config.classes)

    first = conv(channels + 1, f, 2, 3) + conv(channels + 1, f, 1, 3) + conv(channels + 1, f, 2, 1)
    resize = conv(f, f, 2, 3) + conv(f, f, 2, 2)
    up, down = 3 * n, n + 2 * (n + 1)
    parameters = config.mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)
    return first + up * layer(0) + down * layer(int(config.shortcuts)) + 4 * resize + conv(f, parameters, 1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"filters": 5, "blocks": 2},
        {"classes": 7},
        {"shortcuts": False},
        {"downsampling": False},
        {"image_shape": (1, 28, 28), "mixtures": 3},
        {"image_shape": (4, 8, 8)},
    ],
    ids=str,
)
def test_the_parameters_are_those_counted_by_hand(changes):
    config = Config.tiny(**changes)
    assert sum(p.numel() for p in PixelCNNpp(config).parameters()) == count_by_hand(config)
    assert count_by_hand(Config.paper()) == 53_659_080


def jacobian(config):
    """Size of the gradient of each output pixel by each input pixel: float64 (H * W, H, W)."""
    model = initialised(config)
    return influence(
        lambda x: model(x, torch.zeros(len(x), dtype=torch.long) if config.classes else None), config.image_shape
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"image_shape": (3, 8, 8)},
        {"image_shape": (3, 16, 16)},
        {"image_shape": (3, 32, 32)},
        {"image_shape": (1, 8, 12)},
        {"image_shape": (3, 8, 8), "filters": 16, "mixtures": 5},
        {"image_shape": (3, 16, 16), "filters": 16, "mixtures": 5},
        {"image_shape": (1, 8, 8)},
        {"image_shape": (3, 8, 12)},
        {"image_shape": (3, 8, 8), "classes": 3},
        {"image_shape": (3, 8, 8), "downsampling": False},
        {"image_shape": (3, 8, 8), "shortcuts": False},
        {"image_shape": (3, 7, 5), "downsampling": False, "shortcuts": False},
    ],
    ids=str,
)
def test_no_pixel_sees_itself_or_later(changes):
    config = Config(**{**SMALLEST, **changes})
    gradient = jacobian(config)
    earlier = earlier_pixels(*config.image_shape[1:])
    assert (gradient[~earlier] == 0).all()
    if config.shortcuts:  # else the first pixels of each low-resolution block see nothing
        assert (gradient[1:].sum(dim=(1, 2)) > 0).all()


def test_with_five_blocks_every_pixel_of_16x16_sees_all_before_it():
    gradient = jacobian(Config(**{**SMALLEST, "image_shape": (3, 16, 16), "filters": 4, "blocks": 5}))
    assert torch.equal(gradient != 0, earlier_pixels(16, 16))


def test_with_five_blocks_a_pixel_of_32x32_misses_only_the_far_left_of_its_row():
    """What is more than 22 columns away in an odd row is lost: the strided layers pass on the even rows' sums alone."""
    model = initialised(Config(**{**SMALLEST, "filters": 4, "blocks": 5}), images=4)
    pixels = torch.tensor([31 * 32 + 31, 31 * 32, 30 * 32 + 31])
    seen = influence(model, (3, 32, 32), pixels) != 0
    expected = earlier_pixels(32, 32)[pixels]
    expected[0, 31, :9] = False  # of the last pixel, the first nine in its row
    expected[1, 30, 23:] = False  # of the last row's first pixel, the last nine of the row above
    assert torch.equal(seen, expected)


@pytest.mark.parametrize("changes", [{}, {"downsampling": False}, {"image_shape": (1, 8, 12)}], ids=str)
def test_changing_a_pixel_and_all_later_ones_changes_no_output_up_to_it(changes):
    """The same statement without gradients: to the last bit."""
    model = initialised(tiny(**changes))
    channels, height, width = model.config.image_shape
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(1, channels, height, width, dtype=torch.float64, generator=generator) * 2 - 1
    other = torch.rand(height * width, channels, height, width, dtype=torch.float64, generator=generator) * 2 - 1
    earlier = earlier_pixels(height, width)  # (H * W, H, W)
    changed = torch.where(earlier[:, None], x, other)  # image p keeps what comes before p, and only that
    before, after = model(x.expand_as(other)), model(changed)
    kept = torch.cat([earlier[1:], torch.ones(1, height, width, dtype=torch.bool)])  # outputs up to and with p
    assert (before == after).all(dim=1)[kept].all()
    assert (before != after).any(dim=1)[~kept].double().mean() > 0.95  # and nearly all later ones: the test can tell


@pytest.mark.parametrize("changes", [{}, {"blocks": 2}, {"downsampling": False}, {"image_shape": (1, 12, 8)}], ids=str)
def test_the_vertical_stream_sees_only_rows_above_but_both_sides_of_them(changes):
    model = initialised(tiny(**changes))
    shape = model.config.image_shape
    field = influence(lambda x: streams(model, x)[0], shape)
    for pixel, seen in enumerate(field):
        row, column = divmod(pixel, shape[2])
        assert seen[row:].eq(0).all()
        if row > 0:
            assert seen[row - 1, column] > 0
            assert seen[row - 1, max(column - 1, 0)] > 0
            assert seen[row - 1, min(column + 1, shape[2] - 1)] > 0


def test_the_receptive_field_is_the_jacobian():
    model = initialised(tiny())
    field = influence(model, (3, 8, 8))
    for row, column in [(0, 0), (0, 1), (4, 4), (7, 0), (7, 7)]:
        assert torch.equal(receptive_field(model, row, column) > 0, field[row * 8 + column] > 0)


@pytest.mark.parametrize(
    ("shape", "levels", "changes"),
    [
        ((1, 3, 3), 2, {"downsampling": False}),
        ((1, 3, 3), 2, {"downsampling": False, "shortcuts": False}),
        ((1, 4, 3), 2, {"downsampling": False, "classes": 2}),
        ((3, 1, 2), 4, {"downsampling": False}),
        ((1, 4, 4), 2, {}),
    ],
    ids=str,
)
def test_the_probabilities_of_all_images_sum_to_one(shape, levels, changes):
    """Every image there is, scored; one look ahead anywhere would make the sum come out wrong."""
    torch.manual_seed(0)
    model = (
        PixelCNNpp(Config(**{**SMALLEST, "image_shape": shape, "levels": levels, "mixtures": 2, **changes})).double().eval()
    )
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p))  # so that pixels do depend on each other
    size = math.prod(shape)
    images = (torch.arange(levels**size)[:, None] // levels ** torch.arange(size)) % levels
    images = images.view(-1, *shape).to(torch.uint8)
    with torch.no_grad():
        log_prob = torch.cat(
            [
                model.log_prob(part, part[:, 0, 0, 0].long() * 0 + 1 if "classes" in changes else None)
                for part in images.split(4096)
            ]
        )
    assert log_prob.std() > 0.1
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_a_channel_of_ones_tells_mid_grey_from_the_padding():
    """Mid-grey is 0, as the padding is; with no biases yet only the ones can make a difference."""
    model = PixelCNNpp(tiny())
    for features in streams(model, torch.zeros(1, 3, 8, 8)):
        assert features[0, :, 4, 4].ne(0).any()
        assert not torch.equal(features[0, :, 4, 4], features[0, :, 0, 4])
        assert not torch.equal(features[0, :, 4, 4], features[0, :, 4, 0])


def test_every_label_reaches_every_gated_block():
    model = initialised(tiny(classes=3))
    images = random_bytes(2, 3, 8, 8)
    model.bits_per_dim(images, torch.tensor([0, 2])).sum().backward()
    biases = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    assert len(biases) == 2 * (3 + 1 + 2 + 2)
    for bias in biases:
        assert bias.weight.grad[0].ne(0).any()
        assert bias.weight.grad[1].eq(0).all()  # of the label that no image has
        assert bias.weight.grad[2].ne(0).any()


def test_an_image_is_scored_alone_as_among_others():
    model = initialised(tiny(classes=3))
    images, labels = random_bytes(5, 3, 8, 8), torch.tensor([0, 1, 2, 1, 0])
    together = model.log_prob(images, labels)
    alone = torch.cat([model.log_prob(images[n : n + 1], labels[n : n + 1]) for n in range(5)])
    torch.testing.assert_close(together, alone)


def test_log_prob_is_the_sum_of_what_the_distribution_says_of_each_pixel():
    model = initialised(tiny(levels=8))
    images = random_bytes(3, 3, 8, 8, levels=8)
    d = model.distribution(to_model(images, 8).double())
    assert isinstance(d, DiscretizedLogisticMixture)
    assert d.levels == 8
    torch.testing.assert_close(model.log_prob(images), d.log_prob(images).sum(dim=(1, 2)))
    torch.testing.assert_close(model.log_prob(images), d.log_prob(images, per_channel=True).sum(dim=(1, 2, 3)))


def test_dropout_acts_in_training_and_only_there():
    model = PixelCNNpp(tiny(dropout=0.5))
    images = random_bytes(2, 3, 8, 8)
    assert not torch.equal(model.log_prob(images), model.log_prob(images))
    model.eval()
    assert torch.equal(model.log_prob(images), model.log_prob(images))


@pytest.mark.parametrize("changes", [{}, {"classes": 3}, {"downsampling": False}, {"shortcuts": False}], ids=str)
def test_every_parameter_gets_a_gradient(changes):
    torch.manual_seed(0)
    model = PixelCNNpp(Config.tiny(image_shape=(3, 8, 8), **changes))
    images, labels = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8), torch.arange(6) % 3
    model.bits_per_dim(images, labels if "classes" in changes else None).mean().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []
    torch.optim.Adam(model.parameters()).step()
    model.zero_grad()
    model.bits_per_dim(images, labels if "classes" in changes else None).mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_bits_per_dim_are_nats_over_ln_2_and_sub_pixels():
    for channels, height, width in [(3, 8, 8), (1, 8, 12)]:
        model = PixelCNNpp(Config.tiny(image_shape=(channels, height, width)))
        images = torch.randint(256, (2, channels, height, width), dtype=torch.uint8)
        nats = model.log_prob(images)
        assert nats.shape == (2,)
        torch.testing.assert_close(model.bits_per_dim(images), -nats / (math.log(2) * channels * height * width))
        by_hand = model.distribution(images.float() / 127.5 - 1).log_prob(images).flatten(1).sum(dim=1)
        torch.testing.assert_close(nats, by_hand)


def test_the_label_changes_the_output_and_wrong_labels_are_named():
    model = PixelCNNpp(Config.tiny(image_shape=(3, 8, 8), classes=3))
    x = torch.zeros(1, 3, 8, 8)
    assert not torch.equal(model(x, torch.tensor([0])), model(x, torch.tensor([1])))
    wrong = [
        (None, "needed"),
        (torch.tensor([3]), r"0\.\.2, got 3"),
        (torch.tensor([-1]), r"0\.\.2, got -1"),
        (torch.tensor([0, 1]), "1 integers"),
        (torch.tensor(0), "1 integers"),
        (torch.tensor([0.0]), "1 integers.*float32"),
    ]
    for labels, words in wrong:
        with pytest.raises(ValueError, match=words):
            model(x, labels)
    with pytest.raises(ValueError, match="without classes"):
        PixelCNNpp(Config.tiny(image_shape=(3, 8, 8)))(x, torch.tensor([0]))


def test_images_of_another_kind_are_named():
    model = PixelCNNpp(Config.tiny(image_shape=(3, 8, 8)))
    with pytest.raises(ValueError, match="built for images"):
        model(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match=r"floats in \[-1, 1\]"):
        model(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="multiply by 255"):
        model.log_prob(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_shape": (3, 32)}, "image_shape"),
        ({"image_shape": (0, 32, 32)}, "image_shape"),
        ({"dropout": 1.0}, "dropout.* got 1.0"),
        ({"dropout": -0.1}, "dropout.* got -0.1"),
        ({"dropout": math.nan}, "dropout.* got nan"),
        ({"levels": 1}, "levels must be at least 2, got 1"),
        ({"filters": 0}, "filters must be at least 1, got 0"),
        ({"blocks": 0}, "blocks must be at least 1, got 0"),
        ({"mixtures": 0}, "mixtures must be at least 1, got 0"),
        ({"classes": -1}, "classes must be at least 0, got -1"),
        ({"likelihood": "gaussian"}, "likelihood must be one of 'mixture', 'softmax', 'dequantized'; got 'gaussian'"),
        ({"architecture": "pixelrnn"}, "architecture must be one of .* got 'pixelrnn'"),
        ({"architecture": "pixelcnn", "dropout": 0.5}, r"no likelihood, whole_pixels, .*dropout.* Config\(...\).original"),
        ({"whole_pixels": False, "filters": 2}, "filters must be at least 3, got 2"),
        ({"image_shape": (3, -4, 32)}, "image_shape"),
    ],
)
def test_a_configuration_that_makes_no_model_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Config(**changes)


@pytest.mark.parametrize(
    "config",
    [
        Config.small(classes=10),
        Config.paper(),
        Config.tiny(image_shape=(1, 7, 5), levels=8, downsampling=False, shortcuts=False, dropout=0.25),
    ],
    ids=["small", "paper", "changed"],
)
def test_a_configuration_survives_json(config):
    again = Config(**json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)  # the list that JSON brings is a tuple again


def test_the_presets_are_what_they_say_and_any_field_can_be_changed():
    paper = Config.paper()
    assert paper == Config()
    assert (paper.image_shape, paper.filters, paper.blocks, paper.mixtures, paper.dropout) == ((3, 32, 32), 160, 5, 10, 0.5)
    sizes = [preset().filters * preset().blocks for preset in (Config.tiny, Config.small, Config.paper)]
    assert sizes == sorted(sizes)
    assert Config.tiny(filters=7, dropout=0.2) == dataclasses.replace(Config.tiny(), filters=7, dropout=0.2)
    with pytest.raises(TypeError, match="filter"):
        Config.tiny(filter=7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        paper.filters = 192


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 1, 1), (2, 3, 1)])
@pytest.mark.parametrize("downsampling", [True, False])
def test_any_size_will_do(shape, downsampling):
    model = initialised(tiny(image_shape=shape, downsampling=downsampling))
    assert model.bits_per_dim(random_bytes(2, *shape)).isfinite().all()
    assert model(torch.zeros(1, *shape).double()).shape[2:] == shape[1:]


@pytest.mark.parametrize("changes", [{}, {"whole_pixels": False}, {"architecture": "pixelcnn"}], ids=str)
def test_weights_saved_under_the_first_editions_names_are_taken(changes):
    config = tiny().original() if "architecture" in changes else tiny(**changes)
    model, other = build(config), build(config)
    old = {}
    for name, weight in model.state_dict().items():
        name = name.replace("stem.", "first." if "architecture" in changes else "first_").replace("head.", "to_params.")
        old[name] = weight
    assert old.keys() != model.state_dict().keys()
    other.load_state_dict(old)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    average = torch.optim.swa_utils.AveragedModel(other)
    average.load_state_dict({"n_averaged": torch.tensor(1), **{f"module.{name}": 2 * w for name, w in old.items()}})
    assert all(torch.equal(2 * a, b) for a, b in zip(model.parameters(), average.parameters(), strict=True))


def test_a_size_that_is_no_multiple_of_four_is_the_larger_image_with_nothing_beyond_its_edge():
    """The same weights on the image set into the next multiple of four, the rest without pixels: neither values nor ones."""
    model, larger = initialised(tiny(image_shape=(3, 6, 9))), PixelCNNpp(tiny(image_shape=(3, 8, 12))).double().eval()
    larger.load_state_dict(model.state_dict())
    x = to_model(random_bytes(2, 3, 6, 9)).double()
    first_layers = (larger.stem.vertical, larger.stem.above, larger.stem.left)
    cut = [m.register_forward_pre_hook(lambda _, inputs: inputs[0] * inside) for m in first_layers]
    inside = torch.zeros(8, 12, dtype=torch.float64)
    inside[:6, :9] = 1
    assert len(cut) == 3
    torch.testing.assert_close(larger(torch.nn.functional.pad(x, (0, 3, 0, 2)))[..., :6, :9], model(x), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (torch.tensor([0.0, 1.0]), r"2 integers, one an image; got torch\.float32"),
        (torch.tensor([[0], [1]]), r"got torch\.int64 \(2, 1\)"),
        (torch.tensor(1), r"got torch\.int64 \(\)"),
        (torch.tensor([-1, 0]), r"0\.\.2, got -1\.\.0"),
        ([0, 3], r"0\.\.2, got 0\.\.3"),
    ],
)
def test_labels_that_fit_no_image_are_named(labels, named):
    with pytest.raises(ValueError, match=named):
        PixelCNNpp(tiny(classes=3))(torch.zeros(2, 3, 8, 8), labels)


def test_labels_may_come_as_a_list():
    model = initialised(tiny(classes=3))
    images = random_bytes(2, 3, 8, 8)
    assert torch.equal(model.log_prob(images, [0, 2]), model.log_prob(images, torch.tensor([0, 2])))
