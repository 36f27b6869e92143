"""The tools do what they promise: the same notebook twice gives the same bytes, and what is wrong is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from oracles import random_bytes

from pixelcnn_edu import Config, Training
from pixelcnn_edu.runs import read_run
from tools import check_build, initialisation, set_repository

ROOT = Path(__file__).resolve().parent.parent
DUAL = """
WIDGET = "application/vnd.jupyter.widget-view+json"


class Dual:
    def __repr__(self):
        return "Dual()"

    def _repr_mimebundle_(self, **options):
        return {"text/plain": "Dual()", "text/html": "<p>both</p>", WIDGET: {"model_id": "1"}}

Dual()
"""


def execute(path):
    command = [sys.executable, ROOT / "tools" / "execute.py", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def write(path, *sources, tags=()):
    cells = [new_markdown_cell("# A title")] + [new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    nbformat.write(new_notebook(cells=cells, metadata={"widgets": {}, "jupytext": {}, "accelerator": "GPU"}), path)
    return path


def test_running_a_notebook_twice_gives_the_same_bytes(tmp_path):
    path = write(tmp_path / "a.ipynb", "for i in range(3):\n    print(i, flush=True)", "", "1 + 1", DUAL)
    assert execute(path).returncode == 0
    first = path.read_bytes()
    assert execute(path).returncode == 0
    assert path.read_bytes() == first

    notebook = nbformat.read(path, as_version=4)
    assert [cell.id for cell in notebook.cells] == ["cell-00", "cell-01", "cell-02", "cell-03"]  # the empty cell is gone
    printed, sum_, dual = notebook.cells[1:]
    assert [cell.execution_count for cell in (printed, sum_, dual)] == [1, 2, 3]
    assert [output.text for output in printed.outputs] == ["0\n1\n2\n"]
    assert sum_.outputs[0].data == {"text/plain": "2"}
    assert set(dual.outputs[0].data) == {"text/plain", "text/html"}
    assert set(notebook.metadata) == {"accelerator", "kernelspec", "language_info"}


def test_a_notebook_is_stored_without_the_weights_of_the_live_model(tmp_path):
    path = write(tmp_path / "a.ipynb", "from pixelcnn_edu.live import LivePicture\nLivePicture()")
    assert execute(path).returncode == 0
    html = nbformat.read(path, as_version=4).cells[1].outputs[0].data["text/html"]
    assert '<script type="text/plain" data-live-weights="cifar10-small"></script>' in html
    assert "</div>" in html[-10:]
    assert path.stat().st_size < 200_000


@pytest.mark.parametrize("source", ["import sys\nprint(1, file=sys.stderr)", "1 / 0", "import warnings\nwarnings.warn('x')"])
def test_a_notebook_that_complains_is_not_written(tmp_path, source):
    path = write(tmp_path / "a.ipynb", source)
    before = path.read_bytes()
    done = execute(path)
    assert done.returncode == 1
    assert "not written" in done.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_that_a_chapter_shows_on_purpose_is_kept(tmp_path):
    path = write(tmp_path / "a.ipynb", "1 / 0", tags=["raises-exception"])
    assert execute(path).returncode == 0
    assert nbformat.read(path, as_version=4).cells[1].outputs[0].ename == "ZeroDivisionError"


@pytest.fixture
def copy(tmp_path):
    """The files that name the repository."""
    for pattern in set_repository.TEXTS:
        for file in ROOT.glob(pattern):
            target = tmp_path / file.relative_to(ROOT)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)
    return tmp_path


def test_the_address_changes_everywhere_and_back(copy):
    old = set_repository.current(copy)
    before = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    changed = set_repository.set_repository("https://github.com/some.one/my-pixelcnn.git", copy)
    assert {"_config.yml", "README.md", "CITATION.cff"} <= {file.name for file in changed}
    assert set_repository.current(copy) == "some.one/my-pixelcnn"
    assert not [file for file in before if f"/{old}".encode() in file.read_bytes()]
    assert {file for file, content in before.items() if file.read_bytes() != content} == set(changed)

    set_repository.set_repository(f"https://github.com/{old}", copy)
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize("url", ["", "a/b", "https://gitlab.com/a/b", "https://github.com/a", "https://github.com/a/b/c"])
def test_an_address_that_colab_cannot_open_is_refused(copy, url):
    with pytest.raises(ValueError, match="must look like"):
        set_repository.set_repository(url, copy)


def test_a_build_without_a_page_is_refused(tmp_path, capsys):
    html = tmp_path / "_build" / "html"
    html.mkdir(parents=True)
    (tmp_path / "book").mkdir()
    toc = "root: intro\nparts:\n- chapters:\n  - file: one\n    sections:\n    - file: two\n"
    (tmp_path / "book" / "_toc.yml").write_text(toc)
    for name in ("index", "intro", "one"):
        (html / f"{name}.html").touch()
    with pytest.raises(SystemExit, match=r"left out .*two\.html"):
        check_build.main(tmp_path)
    (html / "two.html").touch()
    check_build.main(tmp_path)
    assert "All 3 pages are there" in capsys.readouterr().out


def test_the_initialisations_are_compared_from_the_same_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(initialisation, "ROOT", tmp_path)
    monkeypatch.setattr(initialisation, "SEEDS", 2)
    monkeypatch.setattr(initialisation, "load_images", lambda *_: (random_bytes(45010, 3, 8, 8), None))
    monkeypatch.setattr(initialisation.Config, "small", lambda: Config.tiny(image_shape=(3, 8, 8), filters=3))
    plain = initialisation.training
    quick = {"compile": False, "mixed_precision": False, "batch_size": 2, "record_every": 1}
    monkeypatch.setattr(initialisation, "training", lambda *a: Training(**vars(plain(*a)) | quick))
    initialisation.main(tmp_path / "runs", 2)
    folder = tmp_path / "book" / "runs" / "initialisation"
    first = [read_run(folder / f"{name}-seed-0").metrics for name in ("default", "released")]
    assert [run["step"].tolist() for run in first] == [[1, 2]] * 2
    assert first[0]["train_bits_per_dim"][0] != first[1]["train_bits_per_dim"][0]
    assert abs(first[0]["train_bits_per_dim"][0] - first[1]["train_bits_per_dim"][0]) < 0.5  # the same weights drawn
    assert "standard deviation" in capsys.readouterr().out
