"""Another implementation's weights, in our model, compute what they computed there."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pixelcnn_edu import Config, DiscretizedLogisticMixture
from pixelcnn_edu.weights import load_pclucas14

GOLDEN = np.load(Path(__file__).parent / "golden" / "pclucas14_tiny.npz")
CONFIGS = {
    "a": Config(image_shape=(3, 16, 16), blocks=1, filters=6, mixtures=3),
    "b": Config(image_shape=(3, 8, 8), blocks=2, filters=4, mixtures=2),
}


def state(name):
    prefix = f"{name}/state/"
    return {key.removeprefix(prefix): torch.from_numpy(GOLDEN[key]) for key in GOLDEN.files if key.startswith(prefix)}


def their_order(params, mixtures):
    """Parameters as that project lays them out: logits, then for each channel means, log scales and coefficients."""
    d = DiscretizedLogisticMixture.from_params(params)
    raw = params[:, 7 * mixtures :].reshape(len(params), mixtures, 3, *params.shape[2:])  # coefficients before tanh
    scales = params[:, 4 * mixtures : 7 * mixtures].reshape_as(raw)  # log scales before the clamp
    blocks = [part for c in range(3) for part in (d.means[:, :, c], scales[:, :, c], raw[:, :, c])]
    return torch.cat([d.logits, *blocks], dim=1)


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_same_weights_give_the_same_parameters(name):
    model = load_pclucas14(state(name), CONFIGS[name])
    x, y = torch.from_numpy(GOLDEN[f"{name}/x"]), torch.from_numpy(GOLDEN[f"{name}/y"])
    assert not model.training
    assert y.dtype == torch.float64
    torch.testing.assert_close(their_order(model(x), CONFIGS[name].mixtures), y, rtol=1e-6, atol=1e-12)


def test_the_configuration_is_read_off_the_shapes():
    found = load_pclucas14(state("b")).config
    assert found == Config(image_shape=(3, 32, 32), blocks=2, filters=4, mixtures=2)


def test_a_checkpoint_is_loaded_by_the_name_of_its_file_from_data_parallel_training_too(tmp_path):
    torch.save({f"module.{key}": value for key, value in state("a").items()}, tmp_path / "weights.pth")
    loaded, direct = load_pclucas14(tmp_path / "weights.pth", CONFIGS["a"]), load_pclucas14(state("a"), CONFIGS["a"])
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), direct.parameters()))
    assert load_pclucas14(str(tmp_path / "weights.pth")).config.filters == 6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filters": 160, "blocks": 5}, "filters is 6 there, 160 here; blocks is 1 there, 5 here"),
        ({"mixtures": 10}, "mixtures is 3 there, 10 here"),
        ({"image_shape": (1, 16, 16)}, "channels is 3 there, 1 here"),
        ({"likelihood": "softmax"}, "likelihood is mixture there, softmax here"),
        ({"classes": 10}, "classes is 0 there, 10 here"),
    ],
)
def test_weights_of_another_configuration_are_refused_with_the_difference(changes, words):
    with pytest.raises(ValueError, match=words):
        load_pclucas14(state("a"), Config(**{**CONFIGS["a"].to_dict(), **changes}))


def test_what_is_no_such_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_pclucas14(tmp_path / "nothing.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"text\.pth is no checkpoint"):
        load_pclucas14(tmp_path / "text.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(ValueError, match="got Tensor"):
        load_pclucas14(tmp_path / "tensor.pth")
    with pytest.raises(ValueError, match=r"no weights of pclucas14.*u_init\.conv\.weight_v"):
        load_pclucas14({"layer.weight": torch.zeros(1)})
    weights = state("a")
    del weights["downsize_u_stream.1.conv.bias"]
    with pytest.raises(ValueError, match=r"incomplete: 'downsize_u_stream\.1\.conv\.bias'"):
        load_pclucas14(weights)
    with pytest.raises(ValueError, match=r"hold more.*extra"):
        load_pclucas14({**state("a"), "extra": torch.zeros(1)})
    misfit = {
        **state("a"),
        "ul_init.0.conv.weight_v": torch.zeros(6, 4, 2, 3),
        "ul_init.0.conv.weight_g": torch.ones(6, 1, 1, 1),
    }
    with pytest.raises(ValueError, match=r"ul_init\.0\.conv has shape \(6, 4, 2, 3\)"):
        load_pclucas14(misfit)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"u_init.conv.weight_v": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="read safely"):
        load_pclucas14(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()
