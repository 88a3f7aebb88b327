"""onnx's own backend test suite, run through the compiled path."""
import os
from pathlib import Path

import backend
import conformance

FLOOR = 0.98  # of the cases that onnxruntime passes


def test_conformance():
    build = Path(os.environ.get("ROOFTUNE_BUILD", backend.ROOT / "build" / "release"))
    os.environ.setdefault("ROOFTUNE_LIBRARY", str(build / "lib" / "librooftune.so"))
    found = backend.results("rooftune")
    passed, count = conformance.ratio(found)
    rest = "\n".join(f"{case}: {found[case]}" for case in conformance.expected() if found[case])
    print(f"{passed} of {count}; not passed:\n{rest}")
    real = [name for name, (cls, _) in backend.suite("rooftune").items() if "Real" in cls.__name__]
    assert len(real) == 9 and not [name for name in real if found[name]]
    assert passed >= FLOOR * count, f"{passed} of {count} pass, must be {FLOOR:.0%}; see docs/onnx_conformance.md for what did before"
