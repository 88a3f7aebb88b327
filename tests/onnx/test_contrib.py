"""Operators of com.microsoft, written again as ONNX: valid models of ai.onnx alone, which compute the same."""
import re
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "ops"))
import cases_contrib  # noqa: E402
import harness  # noqa: E402

OPERATORS = [op for op, makes in sorted(harness.GENERATORS.items()) if any(make.__module__ == cases_contrib.__name__ for make, _ in makes)]


@pytest.mark.parametrize("op", OPERATORS)
def test_export(onnx_tool, tmp_path, op):
    rng = np.random.default_rng(zlib.crc32(op.encode()))
    for make, _ in harness.GENERATORS[op]:
        for _ in range(3):
            case = make(rng)
            model, feeds = harness.onnx_model(case)
            source, written = tmp_path / "source.onnx", tmp_path / "written.onnx"
            onnx.save(model, source)
            done = onnx_tool("rewrite", source, written)
            assert done.returncode == 0, done.stderr
            again = onnx.load(written)
            if op == "Inverse":  # has no equal
                continue
            assert {n.domain for n in again.graph.node} <= {""}
            onnx.checker.check_model(again, full_check=True)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            got = onnxruntime.InferenceSession(str(written), options).run(None, feeds)
            expected = case.expected if case.expected is not None else harness.run_onnxruntime(case)
            for i, (ours, theirs) in enumerate(zip(got, expected)):
                harness.compare(case, ours, theirs, f"{op} output {i}, written again")


def test_the_page_lists_them_all():
    page = (Path(__file__).parents[2] / "docs" / "contrib_operators.md").read_text()
    listed = {name for row in re.findall(r"^\| ([^|]+) \|", page, re.M)[1:] for name in re.findall(r"\b[A-Z]\w+", re.sub(r"\(.*?\)", "", row))}
    assert listed - {"TransposeMatMul"} == {op.removeprefix("com.microsoft.") for op in OPERATORS}
