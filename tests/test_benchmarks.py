"""The benchmarks run, at a small size, and say what they promise; no time is asserted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parent.parent / "benchmarks"


def output_of(name, *arguments):
    done = subprocess.run([sys.executable, FOLDER / name, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loss_is_compared_in_time_and_memory():
    printed = output_of("loss.py", "--batch=1", "--size=8", "--mixtures=2", "--rounds=1")
    assert re.search(r"^released formula +\d+\.\d+ ms +\d+\.\d MiB", printed, re.MULTILINE)
    assert re.search(r"^ratio +\d+\.\d+ times +\d+\.\d+ times", printed, re.MULTILINE)


def test_every_variant_is_timed():
    printed = output_of("variants.py", "--filters=4", "--batch=1", "--size=8", "--rounds=1")
    rows = re.findall(r"^(.{20}) +([\d,]+) +([\d,]+) +(\d+) +(\d+\.\d+)$", printed, re.MULTILINE)
    assert len(rows) == 10
    outputs = {name.strip(): int(count.replace(",", "")) for name, _, count, _, _ in rows}
    assert (outputs["full model"], outputs["softmax"], outputs["original PixelCNN"]) == (100, 1536, 768)


def test_precision_is_measured_on_a_recorded_run():
    printed = output_of("precision.py", "cifar10-small", "--data=shapes", "--images=1")
    cost = {name: float(value) for name, value in re.findall(r"torch\.(\w+) .* ([+-]\d\.\d+) on average", printed)}
    assert set(cost) == {"float64", "float32", "bfloat16", "float16"}
    assert cost["float64"] == 0
    assert abs(cost["float32"]) < 1e-4


def test_sampling_is_timed_by_both_methods():
    printed = output_of("sampling.py", "--size=tiny", "--batch=1", "--pixels=1", "--rounds=1")
    assert re.search(r"^tiny +1 +[\d,]+ +[\d,]+\.\d +\d+$", printed, re.MULTILINE)


@pytest.mark.parametrize("path", sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*.html")]), ids=lambda path: path.name)
def test_every_benchmark_is_explained_to_contributors(path):
    if path.name != "measure.py":
        assert f"`{path.name}`" in (FOLDER.parent / "CONTRIBUTING.md").read_text()


def test_a_training_step_is_timed_gain_by_gain():
    printed = output_of("train_step.py", "--preset=tiny", "--batch=1", "--rounds=1")
    rows = dict(re.findall(r"^([\w+ -]{22}) +\d+\.\d+ +(\d+\.\d+) +\d+$", printed, re.MULTILINE))
    names = ["plain transcription", "our network", "+ exact loss", "+ fused Adam", "+ channels-last", "+ bfloat16"]
    assert [name.strip() for name in rows][: len(names)] == names


def test_the_network_in_the_page_is_timed_by_both_engines(browser):
    tab, asked = browser.new_page(), []
    tab.goto((FOLDER / "live.html").as_uri())
    tab.on("request", lambda request: asked.append(request.url))
    tab.evaluate("ROUNDS = 1")
    tab.get_by_role("button", name="Run").click()
    tab.get_by_text("Done, by").wait_for(timeout=120_000)
    rows = [re.findall(r"\S+", row.inner_text()) for row in tab.locator("tbody tr").all()]
    assert [row[0] for row in rows] == ["JavaScript", "WebAssembly"]
    assert all(float(time) > 0 for row in rows for time in row[1:])
    assert [url.rsplit("/")[-1] for url in asked] == ["cifar10-small.js"]
    tab.close()
