"""Samples are drawn pixel by pixel, on the grid, and can be had again."""

import math

import pytest
import torch
from oracles import initialised, random_bytes, tiny

from benchmarks.measure import peak_memory
from pixelcnn_edu import PixelCNN, PixelCNNpp, Training, complete, evaluate, fit, sample, to_model
from pixelcnn_edu.sampling import trace


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PixelCNNpp(tiny(dropout=0.5))


def test_the_same_seed_gives_the_same_images(model):
    first, again, other = (sample(model, 2, seed=seed, progress=False) for seed in (1, 1, 2))
    assert first.dtype == torch.uint8
    assert first.shape == (2, 3, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("method", ["cached", "naive"])
def test_what_stands_at_pixels_not_yet_drawn_does_not_matter(model, method):
    drawn = sample(model, 1, seed=4, method=method, progress=False)
    slow = torch.randint(256, (1, 3, 8, 8), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(4)
    model.eval()
    for row in range(8):
        for column in range(8):
            d = model.distribution(to_model(slow))
            parts = [p[..., row, column][..., None, None] for p in (d.logits, d.means, d.log_scales)]
            ties = torch.atanh(d.coefficients[..., row, column][..., None, None])
            slow[:, :, row, column] = type(d)(*parts, ties).sample(generator)[:, :, 0, 0]
    assert torch.equal(drawn, slow)


def test_sampling_leaves_the_model_as_it_was(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sample(model, 1, progress=False)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_sampling_leaves_the_model_as_it_was_even_if_it_fails(monkeypatch):
    model = PixelCNNpp(tiny(classes=2))
    with pytest.raises(ValueError, match="labels must be 3 integers"):
        sample(model, 3, torch.tensor([0, 1]), progress=False)
    assert model.training
    monkeypatch.setattr(PixelCNNpp, "output", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        sample(model, 2, torch.tensor([0, 1]), progress=False)
    assert model.training


def test_sampling_leaves_the_random_state_alone(model):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    sample(model, 1, seed=9, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_without_dropout_is_the_same_in_training_and_in_evaluation(model):
    in_training = sample(model.train(), 1, progress=False)
    assert torch.equal(in_training, sample(model.eval(), 1, progress=False))
    assert not model.training


def test_images_come_as_often_as_the_model_scores_them():
    """All 64 images of 2x3 pixels in black and white, against the model's own probabilities: chi-squared."""
    model = initialised(tiny(image_shape=(1, 2, 3), levels=2, downsampling=False, mixtures=1)).float()
    images = ((torch.arange(64)[:, None] // 2 ** torch.arange(6)) % 2).view(64, 1, 2, 3).to(torch.uint8)
    with torch.no_grad():
        expected = 4000 * model.log_prob(images).double().exp()
    drawn = sample(model, 4000, seed=3, progress=False).flatten(1).long()
    counts = (drawn * 2 ** torch.arange(6)).sum(dim=1).bincount(minlength=64).double()
    common = expected > 5
    chi_squared = ((counts - expected).square() / expected)[common].sum().item()
    freedom = int(common.sum()) - 1
    assert freedom > 15
    assert chi_squared < freedom + 5 * math.sqrt(2 * freedom)


def test_each_label_draws_from_its_own_distribution():
    """Same seed, same noise, another label: other images; and the place in the batch is the place of the label."""
    model = initialised(tiny(classes=3)).float()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.weight.mul_(20)
    zeros, twos = (sample(model, 2, torch.full((2,), label), seed=1, progress=False) for label in (0, 2))
    mixed = sample(model, 2, torch.tensor([0, 2]), seed=1, progress=False)
    assert not torch.equal(zeros, twos)
    assert torch.equal(mixed[0], zeros[0])
    assert torch.equal(mixed[1], twos[1])


def test_more_than_256_levels_do_not_wrap_around():
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(image_shape=(1, 4, 4), levels=1000, downsampling=False))
    images = sample(model, 20, progress=False)
    assert images.dtype == torch.int64
    assert images.max() > 255
    assert images.max() < 1000
    model.log_prob(images)  # and the model can score them


def test_a_model_in_float64_can_be_sampled():
    model = initialised(tiny(image_shape=(1, 4, 4), downsampling=False))
    assert sample(model, 2, progress=False).shape == (2, 1, 4, 4)


def test_images_that_are_not_square_are_drawn_whole():
    model = PixelCNNpp(tiny(image_shape=(1, 4, 12)))
    with torch.no_grad():
        model.to_params.bias[4:6] += 5  # wide scales, so that a pixel that was never drawn stands out
    images = sample(model, 8, progress=False)
    assert images.shape == (8, 1, 4, 12)
    assert images.double().std(dim=0).min() > 0


def test_labels_and_levels_are_kept():
    torch.manual_seed(0)
    model = PixelCNNpp(tiny(classes=2, levels=4))
    assert sample(model, 2, torch.tensor([0, 1]), progress=False).max() <= 3
    with pytest.raises(ValueError, match="labels"):
        sample(model, 2, progress=False)


def test_no_image_is_refused(model):
    for count in (0, -3):
        with pytest.raises(ValueError, match=f"count must be at least 1, got {count}"):
            sample(model, count)


# --- two methods, one result -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image_shape": (3, 16, 16)},
        {"image_shape": (3, 6, 10)},
        {"image_shape": (1, 5, 9), "downsampling": False},
        {"shortcuts": False},
        {"classes": 3},
        {"whole_pixels": False},
        {"whole_pixels": False, "likelihood": "softmax", "levels": 4},
        {"likelihood": "softmax", "levels": 16},
        {"likelihood": "dequantized"},
    ],
    ids=str,
)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_same_seed_gives_the_same_images_by_both_methods(changes, temperature):
    model = initialised(tiny(**changes))  # float64, so that no value lies within a rounding error of its bin's edge
    labels = torch.tensor([0, 2, 1]) if model.config.classes else None
    cached, naive = (
        sample(model, 3, labels, seed=5, method=method, temperature=temperature, progress=False)
        for method in ("cached", "naive")
    )
    assert torch.equal(cached, naive)
    assert len(cached.unique()) > 2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_images_by_both_methods_at_full_size():
    model = initialised(tiny(image_shape=(3, 32, 32), mixtures=1))
    assert torch.equal(sample(model, 1, seed=5, progress=False), sample(model, 1, seed=5, method="naive", progress=False))


def test_both_methods_complete_alike():
    model, images = initialised(tiny()), random_bytes(4, 3, 8, 8)
    known = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(1)).sort(dim=2, descending=True).values > 0.5
    with pytest.warns(UserWarning, match="come after unknown ones"):
        cached, naive = (complete(model, images, known, seed=2, method=m, progress=False) for m in ("cached", "naive"))
    assert torch.equal(cached, naive)


def test_the_original_pixelcnn_is_drawn_too():
    torch.manual_seed(0)
    model = PixelCNN(tiny(image_shape=(3, 4, 4), filters=6))
    assert torch.equal(sample(model, 2, progress=False), sample(model, 2, method="naive", progress=False))


# --- completion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["cached", "naive"])
@pytest.mark.parametrize("whole_pixels", [True, False])
def test_known_pixels_come_back_bit_for_bit_and_the_others_are_drawn(method, whole_pixels):
    model, images = initialised(tiny(whole_pixels=whole_pixels)), random_bytes(3, 3, 8, 8)
    known = torch.zeros(3, 8, 8, dtype=torch.bool)
    known[0, :4], known[1, :2, :], known[2] = True, True, True
    before = images.clone()
    done = complete(model, images, known, seed=1, method=method, progress=False)
    kept = known.unsqueeze(1).expand_as(images)
    assert torch.equal(done[kept], images[kept])
    assert torch.equal(images, before)
    assert (done != images)[:2].any(dim=1).float().sum() > 70  # of 80 unknown pixels


def test_what_is_known_above_changes_what_is_drawn_below_and_what_is_known_below_does_not():
    model, images, other = initialised(tiny()), random_bytes(1, 3, 8, 8), random_bytes(1, 3, 8, 8, seed=1)
    above = torch.zeros(8, 8, dtype=torch.bool)
    above[:4] = True
    ours, theirs = (complete(model, x, above, seed=3, progress=False) for x in (images, other))
    assert (ours != theirs)[:, :, 4:].any()
    with pytest.warns(UserWarning, match="Ask for what lies below all that is known"):
        ours, theirs = (complete(model, x, ~above, seed=3, progress=False) for x in (images, other))
    assert torch.equal(ours[:, :, :4], theirs[:, :, :4])


def test_a_completion_that_can_see_all_that_is_known_brings_no_warning(recwarn):
    known = torch.zeros(8, 8, dtype=torch.bool)
    known[:3], known[3, :5] = True, True
    complete(initialised(tiny()), random_bytes(2, 3, 8, 8), known, progress=False)
    complete(initialised(tiny()), random_bytes(2, 3, 8, 8), torch.ones(8, 8, dtype=torch.bool), progress=False)
    assert not recwarn.list


def test_any_number_of_images_in_batches():
    """The first batch is what it would be alone; labels and known pixels stay with their images."""
    model = initialised(tiny(classes=3))
    labels = torch.tensor([0, 1, 2, 0, 1])
    alone, many = sample(model, 2, labels[:2], progress=False), sample(model, 5, labels, progress=False, batch_size=2)
    assert torch.equal(many[:2], alone)
    assert len(many.flatten(1).unique(dim=0)) == 5
    images, known = random_bytes(5, 3, 8, 8), torch.zeros(5, 8, 8, dtype=torch.bool)
    known[torch.arange(5), torch.arange(5)] = True
    with pytest.warns(UserWarning, match="come after unknown ones"):
        done = complete(model, images, known, labels, progress=False, batch_size=2)
    for n in range(5):
        assert torch.equal(done[n, :, n], images[n, :, n])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_batches(model):
    model.eval()
    one, four = (peak_memory(lambda n=n: sample(model, n, progress=False, batch_size=4)) for n in (4, 16))
    assert four - one <= 4 * 16 * 3 * 8 * 8  # the images themselves, in a copy or three


# --- temperature -----------------------------------------------------------------------------------------------------


def test_a_low_temperature_leaves_little_to_chance_and_a_high_one_much():
    model = initialised(tiny())
    spread = [
        sample(model, 32, temperature=t, progress=False)[:, :, 0, 0].double().std(dim=0).mean().item() for t in (0.1, 1, 3)
    ]
    assert 4 * spread[0] < spread[1] < spread[2]


# --- traces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole_pixels", [True, False])
@pytest.mark.parametrize("method", ["cached", "naive"])
def test_a_trace_ends_with_the_sample_and_counts_what_the_network_was_run_for(method, whole_pixels):
    model = initialised(tiny(whole_pixels=whole_pixels))
    steps = list(trace(model, 2, seed=4, method=method))
    assert [(step.row, step.column) for step in steps] == [(row, column) for row in range(8) for column in range(8)]
    assert torch.equal(steps[-1].images, sample(model, 2, seed=4, progress=False))
    calls = 1 if whole_pixels else 3
    assert steps[-1].positions == 64 * calls * (64 if method == "naive" else 1)
    assert (steps[9].images[:, :, 2:] == 0).all()  # not drawn yet, and not changed by later steps


def test_a_trace_shows_the_distribution_that_the_pixel_was_drawn_from(model):
    model.eval()
    for step in trace(model, 1, seed=4):
        with torch.no_grad():
            expected = model.distribution(to_model(step.images)).log_prob(step.images)[0, step.row, step.column]
        pixel = step.images[:, :, step.row, step.column, None, None]
        torch.testing.assert_close(step.distribution.log_prob(pixel)[0, 0, 0], expected, rtol=1e-3, atol=1e-3)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "fast"}, 'method must be "cached" or "naive", got \'fast\''),
        ({"temperature": 0.0}, "temperature must be above 0 and finite, got 0.0"),
        ({"temperature": float("nan")}, "temperature must be above 0 and finite, got nan"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"labels": torch.tensor([0])}, "labels were given to a model without classes"),
    ],
)
def test_settings_that_make_no_sample_are_refused(model, arguments, words):
    with pytest.raises(ValueError, match=words):
        sample(model, 1, progress=False, **arguments)


@pytest.mark.parametrize(
    ("images", "known", "words"),
    [
        (random_bytes(2, 3, 8, 9), torch.zeros(8, 8, dtype=torch.bool), r"images must be \(N, 3, 8, 8\)"),
        (random_bytes(2, 3, 8, 8).float(), torch.zeros(8, 8, dtype=torch.bool), "images must be integers"),
        (random_bytes(2, 3, 8, 8).long() + 1, torch.zeros(8, 8, dtype=torch.bool), "images must be integers 0..255, got"),
        (random_bytes(2, 3, 8, 8), torch.zeros(8, 8), "known must be bool"),
        (random_bytes(2, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.bool), r"known must be bool, \(8, 8\) or \(2, 8, 8\)"),
    ],
)
def test_images_that_cannot_be_completed_are_refused(model, images, known, words):
    with pytest.raises(ValueError, match=words):
        complete(model, images, known, progress=False)


def test_labels_are_checked_before_anything_is_drawn():
    model = initialised(tiny(classes=3))
    for labels in (torch.tensor([0, 1]), torch.tensor([0, 1, 5])):
        with pytest.raises(ValueError, match="labels must be"):
            sample(model, 3, labels, progress=False, batch_size=1)


@pytest.mark.parametrize("method", ["cached", "naive"])
def test_between_the_steps_of_a_trace_other_models_train_and_are_tested_as_ever(model, method):
    other, images = PixelCNNpp(tiny()), random_bytes(4, 3, 8, 8)
    steps = trace(model, method=method)
    next(steps)
    before = evaluate(other, images)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1.5)
    assert evaluate(other, images) != before
    weights = [p.clone() for p in other.parameters()]
    fit(other, images, training=Training(steps=1, batch_size=4, init_images=0), device="cpu", progress=False)
    assert not any(torch.equal(a, b) for a, b in zip(weights, other.parameters(), strict=True))
    assert torch.backends.cudnn.allow_tf32
    next(steps)


@pytest.mark.parametrize("draw", [
    lambda model: sample(model, 1, progress=False),
    lambda model: sample(model, 1, method="naive", progress=False),
    lambda model: evaluate(model, random_bytes(2, 3, 8, 8)),
])  # fmt: skip
def test_a_gpu_would_not_shorten_its_float32_here(model, draw):
    """cuDNN's TF32 keeps ten bits of a number's fraction, and the two ways to sample would not draw the same images."""
    seen = []
    handle = model.down[0].vertical.conv_in.register_forward_pre_hook(
        lambda *_: seen.append(torch.backends.cudnn.allow_tf32)
    )
    draw(model)
    handle.remove()
    assert len(seen) > 1 or not seen[0]
    assert not any(seen[1:])  # before it draws, the cached way takes a look at one pixel of nothing
    assert torch.backends.cudnn.allow_tf32


def test_a_completion_has_a_type_that_holds_whatever_is_drawn():
    model = PixelCNNpp(tiny(levels=1000))
    known = torch.zeros(8, 8, dtype=torch.bool)
    wide, narrow = (
        complete(model, torch.zeros(1, 3, 8, 8, dtype=kind), known, progress=False) for kind in (torch.int64, torch.uint8)
    )
    assert wide.dtype == narrow.dtype == torch.int64
    assert torch.equal(wide, narrow)
    assert wide.max() > 255
