"""The statistics of the ablations say what textbooks say, and the search for a recipe ends where it should."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pixelcnn_edu import Config, build
from pixelcnn_edu.ablations import MARGIN, SCORES, Effect, effect, holm, read_arms, status
from tools import ablations


def runs(means, images=50, seed=0):
    """Scores (seeds, images) with these means over images."""
    noise = np.random.default_rng(seed).normal(size=images)
    return np.array(means)[:, None] + (noise - noise.mean())


def test_an_effect_is_welchs_t_over_seeds():
    arm, full = runs([4.0, 4.2, 4.4], seed=1), runs([3.9, 4.0, 4.1, 3.8, 3.95])
    found = effect(arm, full)
    a, b = arm.mean(axis=1), full.mean(axis=1)
    va, vb = a.var(ddof=1) / 3, b.var(ddof=1) / 5
    df = (va + vb) ** 2 / (va**2 / 2 + vb**2 / 4)  # Welch and Satterthwaite
    half = stats.t.ppf(0.975, df) * math.sqrt(va + vb)
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))
    assert found.p == pytest.approx(2 * stats.t.sf(found.mean / math.sqrt(va + vb), df))


def test_the_error_over_images_knows_nothing_of_seeds():
    full = runs([4.0, 4.0])
    assert effect(full + 0.3, full).image_error == pytest.approx(0, abs=1e-12)  # every image costs the same more
    arm = full + np.linspace(0, 1, 50)
    assert effect(arm, full).image_error == pytest.approx(np.linspace(0, 1, 50).std(ddof=1) / math.sqrt(50))


def test_one_seed_or_other_images_are_no_effect():
    for arm in (runs([4.0]), runs([4.0, 4.1], images=49), runs([4.0, 4.1])[0]):
        with pytest.raises(ValueError, match="two or more seeds of each arm, on the same images"):
            effect(arm, runs([4.0, 4.1]))


def test_holm_multiplies_the_smallest_most_and_keeps_the_order():
    corrected = holm({"a": 0.04, "b": 0.01, "c": 0.03})
    assert corrected == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})  # Holm's own way to work it out
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert list(holm({"b": 0.2, "a": 0.1})) == ["b", "a"]


@pytest.mark.parametrize(
    ("mean", "low", "high", "p", "said"),
    [
        (0.10, 0.05, 0.15, 0.001, "holds"),
        (-0.10, -0.15, -0.05, 0.001, "contradicted"),
        (0.01, -0.02, 0.04, 0.3, "no worse"),
        (-0.01, -0.029, 0.01, 0.3, "no worse"),
        (-0.01, -0.031, 0.01, 0.3, "open"),
        (0.10, -0.05, 0.25, 0.1, "open"),
    ],
)
def test_what_may_be_said_follows_the_protocol(mean, low, high, p, said):
    assert status(Effect(mean, low, high, p, 0.001), p) == said
    assert MARGIN == 0.03


def test_arms_are_read_with_their_seeds_in_order(tmp_path):
    for arm, seed in (("full", 10), ("full", 2), ("softmax", 0)):
        folder = tmp_path / arm / f"seed-{seed}"
        folder.mkdir(parents=True)
        np.save(folder / SCORES, np.full(4, seed, np.float16))
    arms = read_arms(tmp_path)
    assert {arm: bits[:, 0].tolist() for arm, bits in arms.items()} == {"full": [2, 10], "softmax": [0]}
    np.save(tmp_path / "softmax" / "seed-0" / SCORES, np.zeros(3, np.float16))
    with pytest.raises(ValueError, match="different numbers of images"):
        read_arms(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no <arm>/seed-<n>/test_bits.npy"):
        read_arms(tmp_path / "empty")


# --- the search for a recipe -----------------------------------------------------------------------------------------


def searched(score):
    """All trials in the order in which the search makes them, for a made-up score of settings."""
    done = []
    while (settings := ablations.next_trial(done)) is not None:
        assert len(done) < 40
        done.append((settings, score(settings)))
    return done


def far_from(**best):
    """A score that is the smaller, the nearer the rates are to the best ones, in octaves."""
    return lambda settings: sum(abs(math.log2(settings[name] / value)) for name, value in best.items())


def test_the_search_tries_each_setting_alone_and_then_the_best_together():
    done = searched(far_from(muon_learning_rate=0.04, learning_rate=0.0015))
    names = [ablations.trial_name(settings) for settings, _ in done]
    assert len(set(names)) == len(names)
    assert "center" in names
    assert "muon_learning_rate=0.08" in names  # 0.04 lay at the end
    assert names[-1] == "muon_learning_rate=0.04,learning_rate=0.0015"
    assert min(done, key=lambda pair: pair[1]) == done[-1]


def test_the_search_goes_three_steps_beyond_and_no_further():
    done = searched(far_from(muon_learning_rate=100.0, learning_rate=1e-9))
    assert max(settings["muon_learning_rate"] for settings, _ in done) == pytest.approx(0.04 * 8)
    assert min(settings["learning_rate"] for settings, _ in done) == pytest.approx(0.0015 / 8)


def test_a_search_whose_center_is_best_ends_with_single_changes():
    done = searched(
        lambda settings: len(ablations.trial_name(settings)) if ablations.trial_name(settings) != "center" else 0
    )
    assert all(len([n for n in settings if settings[n] != ablations.CENTER[n]]) <= 1 for settings, _ in done)


def test_every_arm_is_a_model_and_takes_a_recipe_that_is_searched():
    for arm in (*ablations.ARMS.values(), *ablations.SCOREBOARD.values()):
        assert arm.recipe in ablations.SEARCHED
        arm.config()


def test_starts_without_data_are_what_they_are_called():
    torch.manual_seed(0)
    released, pytorch = (build(Config.tiny()) for _ in range(2))
    ablations.start_without_data(released, "g-1")
    ablations.start_without_data(pytorch, "pytorch")
    assert all((w == 1).all() for name, w in released.named_parameters() if name.endswith("original0"))
    ours = pytorch.up[0].vertical.conv_in
    plain = torch.nn.Conv2d(ours.in_channels, ours.out_channels, ours.kernel_size)
    assert ours.weight.abs().max().item() == pytest.approx(plain.weight.abs().max().item(), rel=0.02)
    assert ours.weight.std().item() == pytest.approx(plain.weight.std().item(), rel=0.1)
    assert ours.bias.abs().max() <= plain.weight[0].numel() ** -0.5
