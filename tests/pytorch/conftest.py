"""Tests of the PyTorch door: they need torch, and run where it is installed (scripts/test-torch)."""
import importlib.util
import os
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
elif importlib.util.find_spec("transformers") is None:
    collect_ignore = ["test_architectures.py"]  # scripts/requirements-full.txt

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release"))
os.environ.setdefault("ROOFTUNE_LIBRARY", str(BUILD / "lib" / "librooftune.so"))
sys.path[:0] = [str(ROOT / "python"), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def rooftune_program():
    return BUILD / "bin" / "rooftune"
