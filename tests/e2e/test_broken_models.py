"""Bad files end with exit code 3 and a message that names the part at fault; legal ones run. Nothing else happens."""
import numpy as np
import pytest
from broken_models import CASES
from onnx import TensorProto, helper
from small_models import feed


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_file(case, rooftune, tmp_path):
    path = case.write(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    done = rooftune("import", path, "-o", tmp_path / "out.rt", timeout=60)
    assert done.returncode in (0, 3), f"exit {done.returncode}\n{done.stderr}"
    assert "Traceback" not in done.stderr and "internal" not in done.stderr.lower()
    if done.returncode == 3:
        assert done.stderr.strip() and done.stdout == ""
        assert sorted(p.name for p in tmp_path.iterdir()) == before, "a failed command left something behind"
    if case.verdict == "reject":
        assert done.returncode == 3, "accepted"
        missing = [m for m in case.mention if m not in done.stderr]
        assert not missing, f"the message does not name {missing}: {done.stderr}"
        assert len(done.stderr) < 2000
    if case.verdict == "accept":
        assert done.returncode == 0, done.stderr
        inputs = {n: np.random.default_rng(0).standard_normal(s).astype(np.float32) for n, s in case.inputs.items()}
        run = rooftune("run", path, *feed(tmp_path, inputs), "--output-dir", tmp_path / "out", timeout=60)
        assert run.returncode == 0, run.stderr
        assert np.load(tmp_path / "out" / "y.npy").shape[0] == 2


def test_corpus_is_large_enough():
    assert len(CASES) >= 60 and len({c.name for c in CASES}) == len(CASES)


@pytest.mark.parametrize("command", ["characterize", "analyze", "run", "profile", "verify", "optimize"])
def test_missing_file(command, rooftune, tmp_path):
    extra = {"verify": [tmp_path / "other.onnx"], "optimize": ["-o", tmp_path / "out"], "run": ["--output-dir", tmp_path / "out"]}
    done = rooftune(command, tmp_path / "nothing.onnx", *extra.get(command, []))
    assert done.returncode == 3 and "nothing.onnx" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_model(rooftune, tmp_path):
    (tmp_path / "m.onnx").mkdir()
    done = rooftune("characterize", tmp_path / "m.onnx")
    assert done.returncode == 3 and "m.onnx" in done.stderr


def test_sequences_are_no_inputs_of_a_compiled_model(rooftune, tmp_path):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]), helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, [2])]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])])
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString())
    done = rooftune("import", tmp_path / "m.onnx", "-o", tmp_path / "m.rt")
    assert done.returncode == 3 and "input 's'" in done.stderr and "sequences and optionals cannot be inputs" in done.stderr
