"""Fixtures for everything under tests/: models made on first use, the CLI."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAKER = ROOT / "tests" / "models" / "make_models.py"
MODELS = Path(os.environ.get("ROOFTUNE_TEST_MODELS", ROOT / "build" / "models"))


USER = dict(os.environ)  # makers of models keep their downloads where they always do


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """A cache folder of our own, so that what the user tuned takes no part in tests and tests leave nothing behind. Only
    the measured peaks, which take seconds, are copied in."""
    folder = tmp_path_factory.mktemp("cache")
    theirs = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rooftune"
    (folder / "rooftune").mkdir()
    for peaks in theirs.glob("peaks-*.json"):
        shutil.copy(peaks, folder / "rooftune")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "rooftune"


@pytest.fixture(scope="session")
def model():
    """model("minilm") -> path of the .onnx; its .inputs.npz and .ref.npy lie beside it."""

    def path(name):
        subprocess.run([sys.executable, str(MAKER), str(MODELS), name, "--missing"], check=True, env=USER)
        return MODELS / f"{name}.onnx"

    return path


@pytest.fixture(scope="session")
def torch_model():
    """The same for models exported by PyTorch."""

    def path(name):
        folder = MODELS / "torch"
        subprocess.run([sys.executable, str(MAKER), str(folder), name, "--missing", "--torch"], check=True, env=USER)
        return folder / f"{name}.onnx"

    return path


def pytest_collection_modifyitems(config, items):
    """Tests beside TensorFlow are not selected where there is none."""
    if os.environ.get("ROOFTUNE_TF_PYTHON"):
        return
    apart = [item for item in items if item.get_closest_marker("tensorflow")]
    if apart:
        config.hook.pytest_deselected(items=apart)
        items[:] = [item for item in items if not item.get_closest_marker("tensorflow")]


class Cli:
    """Runs the command-line tool; `rooftune("run", path, …)` gives the finished process, `.json(…)` its document."""

    def __init__(self, program):
        self.program = program

    def __call__(self, *arguments, timeout=300, **kwargs):
        command = [str(self.program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **kwargs)

    def json(self, *arguments, **kwargs):
        done = self(*arguments, "--json", **kwargs)
        assert done.returncode == 0, f"rooftune {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}"
        return json.loads(done.stdout)   # one document on stdout, and nothing else


@pytest.fixture(scope="session")
def rooftune():
    build = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release"))
    program = build / "bin" / "rooftune"
    assert program.exists(), f"{program} is not there; scripts/build makes it"
    return Cli(program)
