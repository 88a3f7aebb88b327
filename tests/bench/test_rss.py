"""bench/rss.py: both programs load, run and report memory that cannot be too small."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

RSS = Path(__file__).resolve().parents[2] / "bench" / "rss.py"


def test_resident_memory_beside_onnxruntime(rooftune, model, tmp_path):
    pytest.importorskip("onnxruntime")
    path = model("mobilenetv2")
    rooftune.json("optimize", path, "--budget", "0", "-o", tmp_path / "mobilenetv2")
    done = subprocess.run([sys.executable, str(RSS), str(path), "--tuned", str(tmp_path), "--runs", "20", "--out", str(tmp_path / "r.json")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads((tmp_path / "r.json").read_text())
    for engine in ("rooftune", "onnxruntime"):
        assert row[engine]["runs"] == 20 and row[engine]["peak_mb"] >= row[engine]["rss_mb"] > 14   # the weights alone
    assert "| mobilenetv2 | rooftune |" in done.stdout


def test_a_missing_package_is_named(model, tmp_path):
    done = subprocess.run([sys.executable, str(RSS), str(model("mobilenetv2")), "--tuned", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode != 0 and "mobilenetv2.rt" in done.stderr
