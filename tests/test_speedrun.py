"""An entry of the speedrun is checked: what is not by the rules, or no probability, is refused before it is scored."""

import json
import shutil

import pytest
import torch
from oracles import initialised, random_bytes, tiny
from safetensors.torch import save_file

from pixelcnn_edu import PixelCNNpp, Training, fit
from pixelcnn_edu.runs import read_run
from tools import speedrun

IMAGES = random_bytes(30, 3, 8, 8)
PLACES = [(0, 0, 0), (1, 2, 3), (2, 7, 7)]


def test_the_page_holds_the_table_that_the_tool_makes():
    text = speedrun.PAGE.read_text()
    assert text == speedrun.page(text), "run python tools/speedrun.py page"
    assert "| cifar10-small | 32 filters, 1 block(s) |" in text


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"classes": 3},
        {"likelihood": "softmax", "levels": 8},
        {"whole_pixels": False, "filters": 6},
    ],
    ids=str,
)
def test_our_models_are_exact(changes):
    model = initialised(tiny(**changes))
    image = random_bytes(3, 8, 8, levels=model.config.levels)
    speedrun.check_exactness(model, image, PLACES, label=1 if model.config.classes else None)


class SeesItself(PixelCNNpp):
    """Its parameters move with the pixel that they are for."""

    def forward(self, x, labels=None):
        return super().forward(x, labels) + 0.1 * x[:, :1]


class SeesLater(PixelCNNpp):
    """Its parameters move with the last pixel of all."""

    def forward(self, x, labels=None):
        return super().forward(x, labels) + 0.1 * x[:, :1, -1:, -1:]


@pytest.mark.parametrize(
    ("kind", "says"),
    [(SeesItself, "sum to"), (SeesLater, "changes an earlier sub-pixel")],
)
def test_a_model_that_sees_what_it_predicts_is_refused(kind, says):
    torch.manual_seed(0)
    model = kind(tiny()).double()
    with pytest.raises(speedrun.NotExact, match=says):
        speedrun.check_exactness(model, random_bytes(3, 8, 8), [(0, 2, 3), (0, 7, 7)])


def test_a_lower_bound_is_refused():
    with pytest.raises(speedrun.NotExact):
        speedrun.check_exactness(initialised(tiny(likelihood="dequantized")), random_bytes(3, 8, 8), PLACES)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run by the rules, at 8x8, for which the rules ask for these images."""
    monkeypatch.setattr("pixelcnn_edu.training.sample", lambda model, count, *_, **__: IMAGES[:count])
    monkeypatch.setattr(speedrun, "VALIDATION", 6)
    torch.manual_seed(0)
    settings = Training(steps=2, batch_size=4, init_images=4, record_every=2)
    folder = tmp_path / "mine"
    options = {"validation": IMAGES[-6:], "out": folder, "device": "cpu", "progress": False}
    fit(PixelCNNpp(tiny()), IMAGES[:-6], training=settings, **options)
    monkeypatch.setattr(speedrun, "TRAIN", read_run(folder).data)
    parts = {
        "train": (IMAGES, torch.zeros(30)),
        "test": (random_bytes(5, 3, 8, 8, seed=1), torch.zeros(5)),
    }
    monkeypatch.setattr(speedrun, "load_images", lambda name, split: parts[split])
    return folder


def test_an_entry_is_scored_once_and_its_row_says_what_the_record_says(run):
    row = speedrun.check(run)
    entry = json.loads((run / "entry.json").read_text())
    model = speedrun.load_model(run)
    expected = model.bits_per_dim(random_bytes(5, 3, 8, 8, seed=1)).double()
    assert entry["test_bits_per_dim"] == pytest.approx(expected.mean().item(), abs=1e-6)
    assert entry["standard_error"] == pytest.approx((expected.var() / 5).sqrt().item(), rel=1e-4)
    assert entry["departures"] == []
    assert row.startswith("| mine | 3 filters, 1 block(s) | ")
    assert row.endswith(f"| 8 | {entry['validation_bits_per_dim']:.4f} | {entry['test_bits_per_dim']:.4f} | no |\n")
    with pytest.raises(ValueError, match="is scored once"):
        speedrun.check(run)


@pytest.mark.parametrize(
    ("file", "name", "value", "says"),
    [
        ("environment.json", "finished", False, "the run is not finished"),
        (
            "config.json",
            "data",
            {"images": 30, "sha256_of_some": "x"},
            "trained on 30 images, not on the first 24",
        ),
        (
            "config.json",
            "training",
            {"test_images": 500},
            "its interim scores are those of test images",
        ),
    ],
)
def test_a_departure_is_named_and_the_test_set_stays_unseen(run, file, name, value, says):
    content = json.loads((run / file).read_text())
    (run / file).write_text(json.dumps(content | {name: value}))
    with pytest.raises(ValueError, match=says):
        speedrun.check(run)
    assert not (run / "entry.json").exists()


def test_either_budget_will_do_and_one_must(run, monkeypatch):
    def record(seconds=10, threads=1, machine="A CPU, 2 cores"):
        path = run / "environment.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"threads": threads, "machine": machine}))
        *lines, last = (run / "metrics.csv").read_text().splitlines()
        step, _, *rest = last.split(",")
        (run / "metrics.csv").write_text("\n".join([*lines, ",".join([step, str(seconds), *rest]), ""]))
        return speedrun.departures(run)

    assert record(seconds=7300) == []  # little arithmetic
    monkeypatch.setattr(speedrun, "PFLOP", 0.0)
    assert "122 minutes on 1 thread(s)" in record(seconds=7300)[0]
    assert record() == []  # little time
    assert "on 4 thread(s)" in record(threads=4)[0]
    assert record(threads=4, machine="A GPU") == []
    assert "122 minutes on one GPU" in record(seconds=7300, machine="A GPU")[0]


def test_weights_that_do_not_reach_the_recorded_score_are_refused(run):
    torch.manual_seed(1)
    other = PixelCNNpp(tiny())
    scratch = run.parent / "other"
    shutil.copytree(run, scratch)
    metadata = {"config": json.dumps(other.config.to_dict())}
    save_file(other.state_dict(), scratch / "weights.safetensors", metadata)
    with pytest.raises(ValueError, match="its weights give"):
        speedrun.check(scratch)
    assert not (scratch / "entry.json").exists()


def test_the_places_depend_on_the_weights_alone(run):
    places = speedrun.some_places(run, (3, 8, 8))
    assert places == speedrun.some_places(run, (3, 8, 8))
    assert len(places) == 9
    assert {channel for channel, _, _ in places} == {0, 1, 2}
    (run / "weights.safetensors").write_bytes(b"other weights")
    assert places != speedrun.some_places(run, (3, 8, 8))


def test_the_tool_says_in_a_line_what_is_wrong(run, monkeypatch):
    (run / "entry.json").write_text("{}")
    monkeypatch.setattr("sys.argv", ["speedrun.py", "check", str(run)])
    with pytest.raises(SystemExit, match="is scored once"):
        speedrun.main()
