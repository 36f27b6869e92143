"""Another implementation's weights, in our model, compute what they computed there; our own come whole or not at all."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import tiny
from safetensors.torch import save_file

from pixelcnn_edu import (
    Config,
    DiscretizedLogisticMixture,
    PixelCNNpp,
    Training,
    build,
    fit,
    load_images,
    load_model,
    load_pretrained,
    weights,
)
from pixelcnn_edu.runs import read_run
from pixelcnn_edu.weights import PRETRAINED, load_pclucas14
from tools import ship

ROOT = Path(__file__).resolve().parent.parent

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


# --- weights that come with the package ------------------------------------------------------------------------------


def test_pretrained_weights_are_the_recorded_run():
    model = load_pretrained("cifar10-small")
    run = read_run(ROOT / "book" / "runs" / "cifar10-small")
    assert model.config == run.config
    assert not model.training
    images, _ = load_images("shapes", "test")
    assert model.bits_per_dim(images[:8]).mean() < 6  # trained, and not on these


def test_the_card_is_what_the_record_says():
    folder, file = ROOT / "book" / "runs" / "cifar10-small", PRETRAINED / "cifar10-small.safetensors"
    assert (folder / "card.md").read_text() == ship.card("cifar10-small", folder, file)
    assert f"{read_run(folder).metrics['validation_bits_per_dim'][-1]:.4f} on all 10,000" in (folder / "card.md").read_text()
    assert (
        f"{sum(p.numel() for p in load_pretrained('cifar10-small').parameters()):,} numbers"
        in (folder / "card.md").read_text()
    )


def test_every_file_of_weights_is_published_and_small():
    for file in PRETRAINED.glob("*.safetensors"):
        assert f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" in (PRETRAINED / "SHA256SUMS").read_text()
        assert file.stat().st_size < ship.LARGEST


def test_another_name_is_told_what_there_is():
    with pytest.raises(ValueError, match=r"no weights 'cifar10-large'; there are cifar10-small"):
        load_pretrained("cifar10-large")


def test_damaged_pretrained_weights_are_refused(tmp_path, monkeypatch):
    for file in PRETRAINED.iterdir():
        shutil.copy(file, tmp_path)
    content = bytearray((tmp_path / "cifar10-small.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "cifar10-small.safetensors").write_bytes(content)
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path)
    with pytest.raises(ValueError, match="missing or damaged; install pixelcnn-edu anew"):
        load_pretrained("cifar10-small")


@pytest.mark.slow
def test_a_run_is_shipped_whole_or_not_at_all(tmp_path):
    run, root = tmp_path / "run", tmp_path / "root"
    images, _ = load_images("shapes", "test")
    torch.manual_seed(0)
    fit(
        build(tiny(image_shape=(3, 32, 32))),
        images[:8],
        training=Training(steps=2, batch_size=2),
        validation=images[:4],
        out=run,
    )
    ship.ship(run, "mine", root)
    shipped = root / "book" / "runs" / "mine"
    assert sorted(file.name for file in shipped.iterdir()) == sorted([*ship.RECORD, "card.md"])
    assert "A PixelCNN++ trained on other images" in (shipped / "card.md").read_text()
    assert "mine.safetensors" in (root / "pixelcnn_edu" / "pretrained" / "SHA256SUMS").read_text()
    environment = run / "environment.json"
    environment.write_text(environment.read_text().replace('"finished": true', '"finished": false'))
    with pytest.raises(ValueError, match="is not finished"):
        ship.ship(run, "mine", root)


def test_weights_of_another_version_are_named(tmp_path):
    model = PixelCNNpp(tiny())
    for config, words in (({**model.config.to_dict(), "wings": 2}, "wings"), (tiny(filters=4).to_dict(), "size mismatch")):
        save_file(model.state_dict(), tmp_path / "weights.safetensors", {"config": json.dumps(config)})
        with pytest.raises(ValueError, match=f"are of another version of this package: (.|\n)*{words}"):
            load_model(tmp_path)
