"""bench/cpu.py: what it computes from bursts, and one short real run."""
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))
import cpu  # noqa: E402


def burst(round_number, times, foreign=0.0):
    return dict(round=round_number, times_ms=times, p50_ms=float(np.median(times)), foreign_load=foreign)


def worker(bursts):
    quiet = [b for b in bursts if b["foreign_load"] < cpu.QUIET]
    return SimpleNamespace(bursts=bursts, quiet=lambda: quiet)


def test_disturbed_bursts_do_not_count():
    s = cpu.summary(worker([burst(i, [2.0, 3.0, 4.0]) for i in range(3)] + [burst(3, [9.0, 9.0], foreign=0.5)]))
    assert (s["p50_ms"], s["min_ms"], s["p95_ms"], s["runs"], s["disturbed"]) == (3.0, 2.0, 4.0, 9, False)


def test_without_quiet_bursts_the_least_disturbed_serve_and_it_is_said():
    s = cpu.summary(worker([burst(i, [float(i + 1)], foreign=0.2 + 0.1 * i) for i in range(5)]))
    assert s["disturbed"] and s["quiet_bursts"] == 0 and s["p50_ms"] == 2.0


def test_ratio_pairs_rounds():
    drift = [1.0, 2.0, 4.0]                                  # the machine slows down; the ratio must not notice
    rows = [dict(engine="rooftune", bursts=[burst(i, [3 * d]) for i, d in enumerate(drift)]),
            dict(engine="onnxruntime", bursts=[burst(i, [4 * d]) for i, d in enumerate(drift)] + [burst(9, [0.1])]),
            dict(engine="openvino", error="missing")]
    cpu.ratios(rows)
    assert rows[0]["vs_onnxruntime"] == pytest.approx(0.75)
    assert "vs_openvino" not in rows[0] and "vs_rooftune" not in rows[1]


def test_fresh_inputs_differ_but_stay_legal():
    inputs = dict(x=np.zeros((2, 3), np.float32), mask=np.array([[1, 1, 0, 1]]), ids=np.arange(50)[None])
    a, b = cpu.fresh(inputs, 1), cpu.fresh(inputs, 2)
    assert a["x"].std() > 0 and not np.array_equal(a["x"], b["x"])
    assert a["mask"].tolist() == [[1, 1, 1, 0]]
    assert sorted(a["ids"][0]) == list(range(50)) and not np.array_equal(a["ids"], b["ids"])
    assert np.array_equal(a["ids"], cpu.fresh(inputs, 1)["ids"])


def test_relative_error():
    assert cpu.relative_error({"y": np.array([3.0, 4.5])}, {"y": np.array([3.0, 4.0])}) == pytest.approx(0.1)


def test_a_short_run_writes_json_and_table(model, tmp_path):
    pytest.importorskip("onnxruntime")
    out = tmp_path / "b.json"
    done = subprocess.run([sys.executable, str(BENCH / "cpu.py"), str(model("mobilenetv2")), "--engines", "onnxruntime,nonesuch",
                           "--threads", "1", "--rounds", "1", "--max-rounds", "1", "--burst", "0.05", "--wait", "0",
                           "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr                  # because of the engine that does not exist
    (measurement,) = json.loads(out.read_text())["measurements"]
    rows = {r["engine"]: r for r in measurement["rows"]}
    assert rows["onnxruntime"]["p50_ms"] > 0 and rows["onnxruntime"]["peak_mb"] > 20
    assert "nonesuch" in rows["nonesuch"]["error"]
    assert "| mobilenetv2 | 1 | onnxruntime |" in out.with_suffix(".md").read_text()
