"""The fuzzer starts from files that hold every operator."""
import subprocess
import sys
from pathlib import Path

import onnx


def test_seeds_hold_every_operator(tmp_path):
    here = Path(__file__).parent
    subprocess.run([sys.executable, str(here / "make_seeds.py"), str(tmp_path)], check=True)
    found = {node.op_type for path in tmp_path.glob("op_*.onnx") for node in onnx.load(path).graph.node}
    missing = {"GatherND", "OneHot", "QLinearMatMul", "QLinearConv", "Attention", "RoiAlign", "LSTM", "NonZero", "Unique"} - found
    assert not missing
    assert len(found) > 150
    assert all(path.stat().st_size <= 100_000 for path in tmp_path.iterdir())
