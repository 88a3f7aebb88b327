"""The small program that imports and rewrites ONNX files (tests/tools/onnx_tool.cpp)."""
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def onnx_tool():
    build = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release"))
    program = build / "bin" / "onnx_tool"
    assert program.exists(), f"{program} is not there; scripts/build makes it"

    def run(*arguments, timeout=120):
        return subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                              errors="replace")

    return run
