"""bench/big_model.py, and what it is there to show: a model's weights need not fit into memory to be imported."""
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

BIG_MODEL = Path(__file__).resolve().parents[2] / "bench" / "big_model.py"


def test_weights_pass_through(rooftune, tmp_path):
    done = subprocess.run([sys.executable, str(BIG_MODEL), "--gigabytes", "0.6", "--runs", "1", "--out", str(tmp_path / "r.json")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["command"]: row for row in json.loads((tmp_path / "r.json").read_text())["rows"]}
    assert set(rows) == {"characterize", "import to .onnx", "import to .rt"}
    for row in rows.values():
        assert row["model_bytes"] > 600e6
        assert row["peak_bytes"][0] < 0.7 * row["model_bytes"], row   # LLVM alone takes 0.1 GB


def test_what_passed_through_is_what_was_there(rooftune, tmp_path):
    spec = importlib.util.spec_from_file_location("big_model", BIG_MODEL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = module.make(tmp_path, 0.25)
    x = np.random.default_rng().standard_normal((1, 16, module.HIDDEN), np.float32)
    np.save(tmp_path / "x.npy", x)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = [o.name for o in session.get_outputs()]
    (expected,) = session.run([name], {"x": x})
    for written in ("m.rt", "m.onnx"):
        rooftune.json("import", path, "-o", tmp_path / written)
        rooftune.json("run", tmp_path / written, "--input", f"x={tmp_path / 'x.npy'}", "--output-dir", tmp_path / "out")
        got = np.load(tmp_path / "out" / f"{name}.npy")
        assert np.linalg.norm(got - expected) < 1e-5 * np.linalg.norm(expected)
