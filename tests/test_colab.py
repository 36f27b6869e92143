"""Every notebook runs as Colab runs it: with its versions, and the package from the first cell's own line."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pixelcnn_edu import widgets
from tools.set_repository import current

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="Colab has Python 3.13, and its numpy no later wheels")
COLAB = ["ipywidgets==7.7.1", "ipython==7.34.0", "numpy==2.1.*", "ipykernel==6.*", "pip"]
VIEW = "application/vnd.jupyter.widget-view+json"
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """The files of this checkout, committed to a repository of their own on a branch `main`."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, and the first cell fetches one")
    folder = tmp_path_factory.mktemp("repository")
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    run("git", "init", "--quiet", "--initial-branch", "main", cwd=folder)
    run("git", "add", ".", cwd=folder)
    run("git", "-c", "user.name=-", "-c", "user.email=-", "commit", "--quiet", "--message", "-", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """An interpreter with Colab's versions; what it has no version of its own of, torch above all, is this environment's."""
    folder = tmp_path_factory.mktemp("colab")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *COLAB],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if done.returncode:
        missing = f"Colab's versions cannot be installed: {done.stderr[-500:]}"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    (packages / "the-rest.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (packages / "google" / "colab").mkdir(parents=True)
    (packages / "google" / "colab" / "__init__.py").touch()
    (packages / "sitecustomize.py").write_text("import google.colab\n")  # as in Colab, it is there from the start
    return python


def versions(python):
    code = "import importlib.metadata as m; print(*[m.version(n) for n in ('torch', 'numpy', 'ipywidgets', 'ipython')])"
    return run(python, "-c", code).split()


def shows_interactive_figure(cell):
    return any(cell.source.splitlines()[-1].startswith(f"{name}(") for name in widgets.__all__)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_with_the_versions_of_colab(path, python, repository, tmp_path, monkeypatch):
    # git fetches this checkout wherever the chapter names the repository of the settings
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{repository.as_uri()}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"https://github.com/{current(ROOT)}")
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("PIXELCNN_EDU_OFFLINE", "1")  # no download; where PIXELCNN_EDU_DATA names a folder it is used
    before = versions(python)
    assert before[1].startswith("2.1.")
    assert before[2:] == ["7.7.1", "7.34.0"]

    notebook = nbformat.read(path, as_version=4)
    run(python, "-m", "ipykernel", "install", "--prefix", tmp_path, "--name", "colab")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    folder = {"metadata": {"path": str(tmp_path)}}  # Colab brings a notebook without what lies beside it
    client = NotebookClient(notebook, timeout=600, kernel_name="colab", resources=folder)
    client.execute()

    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        assert not [output.text for output in cell.outputs if output.get("name") == "stderr"]
        is_live = any(VIEW in output.get("data", {}) for output in cell.outputs)
        assert is_live == shows_interactive_figure(cell), f"live face of a figure: {is_live}\n{cell.source}"
    installed = run(python, "-c", "import pixelcnn_edu; print(pixelcnn_edu.__file__)", cwd=tmp_path).strip()
    assert Path(installed).is_relative_to(python.parent.parent)  # by the first cell
    assert versions(python) == before  # nothing that Colab has was replaced
