"""The Python client from this checkout, over the libraries of the build under test."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release"))
os.environ.setdefault("ROOFTUNE_LIBRARY", str(BUILD / "lib" / "librooftune.so"))
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests" / "e2e")]  # small_models
os.environ.setdefault("ROOFTUNE_PYTHON", sys.executable)  # in which rivals run


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """A folder with matrix.rt, dynamic.rt and types.rt (tests/tools/make_package.cpp)."""
    folder = tmp_path_factory.mktemp("packages")
    subprocess.run([BUILD / "bin" / "make_package", folder], check=True)
    return folder
