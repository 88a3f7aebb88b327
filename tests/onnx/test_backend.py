"""onnx's own backend test suite, run through the compiled path."""
import os
from pathlib import Path

import backend
import conformance

FLOOR = 0.97  # of the cases that onnxruntime passes


def test_conformance():
    build = Path(os.environ.get("ROOFTUNE_BUILD", backend.ROOT / "build" / "release"))
    os.environ.setdefault("ROOFTUNE_LIBRARY", str(build / "lib" / "librooftune.so"))
    found = backend.results("rooftune")
    passed, count = conformance.ratio(found)
    rest = "\n".join(f"{case}: {found[case]}" for case in conformance.expected() if found[case])
    print(f"{passed} of {count}; not passed:\n{rest}")
    assert passed >= FLOOR * count, f"{passed} of {count} pass, must be {FLOOR:.0%}; see docs/onnx_conformance.md for what did before"
