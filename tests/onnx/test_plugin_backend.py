"""A code generator from a plug-in computes what our own does: a sample of onnx's test suite through both."""
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ROOFTUNE_BUILD", ROOT / "build" / "release"))
PARTS = 29   # every 29th case


def passed(options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "ROOFTUNE_IMPORT_OPTIONS": json.dumps(options),
                   "ROOFTUNE_LIBRARY": str(BUILD / "lib" / "librooftune.so")}
    done = subprocess.run([sys.executable, Path(__file__).with_name("backend.py"), "rooftune", "0", str(PARTS)], capture_output=True,
                          text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    return {r["case"] for r in map(json.loads, done.stdout.splitlines()) if "case" in r and not r["reason"]}


def test_the_same_cases_pass():
    own = passed({})
    assert len(own) > 40
    assert passed({"plugins": [str(BUILD / "lib" / "plugins" / "libexample_backend.so")], "backend": "portable_c"}) == own
