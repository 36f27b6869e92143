"""What the package promises: its names, their explanations, and that importing it changes nothing."""

import builtins
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys

import pytest

import pixelcnn_edu

MODULES = [
    importlib.import_module(f"pixelcnn_edu.{info.name}")
    for info in pkgutil.iter_modules(pixelcnn_edu.__path__)
    if info.name != "__main__"  # importing it is running it
]


def public(module):
    return [(name, getattr(module, name)) for name in module.__all__]


@pytest.mark.parametrize(
    "name",
    ["Categorical", "Config", "DataUnavailable", "DequantizedLogisticMixture", "DiscretizedLogisticMixture", "PixelCNN",
     "PixelCNNpp", "Training", "bits_per_pixel", "build", "complete", "evaluate", "fit", "load_images", "load_model",
     "load_pretrained",
     "receptive_field", "sample", "style", "to_bytes", "to_model"],
)  # fmt: skip
def test_the_names_readers_rely_on_are_there(name):
    assert hasattr(pixelcnn_edu, name)
    assert name in pixelcnn_edu.__all__


@pytest.mark.parametrize("module", [pixelcnn_edu, *MODULES], ids=lambda module: module.__name__)
def test_all_names_what_there_is_and_once(module):
    names = module.__all__
    assert len(set(names)) == len(names)
    assert all(not name.startswith("_") for name in names)
    for name in names:
        assert hasattr(module, name)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_module_exports_its_public_functions_and_no_others(module):
    """Helper classes of a model may stay out; a function without an underscore is meant for readers."""
    own = {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert own <= set(module.__all__)
    for name, value in public(module):
        if inspect.isfunction(value) or inspect.isclass(value):
            assert value.__module__.startswith(module.__name__), f"{name} comes from {value.__module__}"


@pytest.mark.parametrize("module", [pixelcnn_edu, *MODULES], ids=lambda module: module.__name__)
def test_everything_public_is_explained(module):
    assert module.__doc__
    for name, value in public(module):
        if not (inspect.isfunction(value) or inspect.isclass(value)):
            continue  # a colour
        assert re.match(r"[A-Z].*[.:?]", value.__doc__ or "", re.DOTALL), f"{module.__name__}.{name} has no explanation"
        if inspect.isclass(value):
            assert not value.__doc__.startswith(f"{name}("), f"{name} has the docstring that dataclass makes up"
            for method, function in vars(value).items():
                function = getattr(function, "__func__", function)
                if inspect.isfunction(function) and not method.startswith("_") and method != "forward":
                    assert function.__doc__, f"{name}.{method} has no explanation"


def test_a_promised_error_is_raised_by_its_name():
    """A docstring that says "Raises X" names an error that exists."""
    known = {**vars(builtins), **{name: value for module in MODULES for name, value in vars(module).items()}}
    for module in MODULES:
        for _, value in public(module):
            for error in re.findall(r"\b([A-Z]\w+(?:Error|Unavailable))\b", inspect.getdoc(value) or ""):
                assert issubclass(known[error], Exception)


def test_the_modules_import_one_way():
    """Down the order of the book, so that a reader can read them in that order and meet nothing unknown."""
    order = ["style", "ablations", "settings", "files", "data", "causal", "logistic", "likelihoods", "config", "blocks"]
    order += ["models", "weights", "probes", "cached", "sampling", "parallel", "runs", "interrupts", "optimizers", "state"]
    order += ["training"]
    for place, name in enumerate(order):
        source = inspect.getsource(importlib.import_module(f"pixelcnn_edu.{name}"))
        used = re.findall(r"^\s*from pixelcnn_edu\.(\w+) import", source, re.MULTILINE)
        assert set(used) <= set(order[:place]), f"{name} imports {used}"


def test_the_names_of_the_package_stand_in_alphabetical_order():
    assert list(pixelcnn_edu.__all__) == sorted(pixelcnn_edu.__all__)


def test_the_version_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", pixelcnn_edu.__version__)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [None, "ACTIVE"])
def test_threads_wait_without_spinning_unless_the_user_says_otherwise(policy):
    """Where another program is busy, spinning threads keep the core from the one they wait for."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | {"OMP_DISPLAY_ENV": "TRUE"}
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    command = [sys.executable, "-c", "import pixelcnn_edu"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    assert re.findall(r"OMP_WAIT_POLICY\W+(\w+)", shown) == [policy or "PASSIVE"]  # as the library that computes has read it


IMPORT = """
import random, sys, warnings
import matplotlib, numpy, torch

def state():
    return (
        torch.get_rng_state().tolist(),
        numpy.random.get_state()[1].tolist(),
        random.getstate(),
        {k: v for k, v in matplotlib.rcParams.items() if k != "backend"},
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        numpy.geterr(),
    )

before = state()
warnings.simplefilter("error")
import pixelcnn_edu, pixelcnn_edu.widgets, pixelcnn_edu.cli, pixelcnn_edu.runs, pixelcnn_edu.exercises
assert state() == before
"""


@pytest.mark.slow
def test_importing_changes_no_random_state_no_figure_style_and_says_nothing():
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_the_package_runs_as_a_command():
    done = subprocess.run([sys.executable, "-m", "pixelcnn_edu", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "train" in done.stdout
