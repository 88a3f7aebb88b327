"""16-bit floats: models that come in f16 or bf16 run fast and right, and f32 models are lowered on request."""
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import cnn, expected, feed, mlp, random_inputs, relative_error, save, weights

# ‖out − ref‖ / ‖ref‖ against f32: some tens of roundings of 2⁻¹¹ and 2⁻⁸.
BOUNDS = {"fp16": 2e-3, "bf16": 1e-2}
TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def converted(path, to, precision):
    """The model with its weights and activations in 16 bits, inputs and outputs in f32."""
    m, kind = onnx.load(path), TYPES[precision]
    for t in m.graph.initializer:
        if t.data_type == TensorProto.FLOAT:
            t.CopyFrom(helper.make_tensor(t.name, kind, t.dims, numpy_helper.to_array(t).reshape(-1).tolist()))
    for io, cast in ((m.graph.input, True), (m.graph.output, False)):
        for value in io:
            if value.type.tensor_type.elem_type != TensorProto.FLOAT:
                continue
            half = value.name + "_half"
            for node in m.graph.node:
                for names in (node.input, node.output):
                    for i, name in enumerate(names):
                        if name == value.name:
                            names[i] = half
            if cast:
                m.graph.node.insert(0, helper.make_node("Cast", [value.name], [half], to=kind))
            else:
                m.graph.node.append(helper.make_node("Cast", [half], [value.name], to=TensorProto.FLOAT))
    m.opset_import[0].version = 22  # the first in which Conv takes bf16
    m.ir_version = 10
    onnx.save(m, to)
    return to


def outputs_of(rooftune, model, inputs, folder, *extra):
    rooftune.json("run", model, *feed(folder, inputs), "--output-dir", folder / "out", *extra)
    return {p.stem: np.load(p) for p in (folder / "out").glob("*.npy")}


@pytest.mark.parametrize("make", [cnn, mlp])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_model_in_16_bits(rooftune, tmp_path, make, precision):
    wide = make(tmp_path / "wide.onnx")
    model = converted(wide, tmp_path / "half.onnx", precision)
    inputs = random_inputs(wide, 5)
    want = expected(wide, inputs)
    got = outputs_of(rooftune, model, inputs, tmp_path)
    for name, array in want.items():
        assert relative_error(got[name], array) < BOUNDS[precision]
    document = rooftune.json("profile", model, "--threads", 1)
    assert not [o for o in document["operators"] if "reference" in o]  # compiled, all of it


def test_f16_beside_onnxruntime(rooftune, tmp_path):
    model = converted(mlp(tmp_path / "wide.onnx"), tmp_path / "half.onnx", "fp16")
    inputs = random_inputs(model, 6)
    got = outputs_of(rooftune, model, inputs, tmp_path)
    for name, array in expected(model, inputs).items():
        assert relative_error(got[name], array) < BOUNDS["fp16"]


def test_inputs_and_outputs_in_f16(rooftune, tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"])
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT16, [3, 50])
    model = helper.make_model(helper.make_graph([node], "g", [value("x")], [value("y")]), opset_imports=[helper.make_opsetid("", 18)])
    onnx.save(model, tmp_path / "m.onnx")
    x = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float16)
    got = outputs_of(rooftune, tmp_path / "m.onnx", {"x": x}, tmp_path)["y"]
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, np.maximum(x, 0))


# MobileNetV2 has random weights, which magnify every rounding a hundredfold, f32's too.
@pytest.mark.parametrize("name, precision, bound", [("minilm", "fp16", 4e-3), ("minilm", "bf16", 3e-2),
                                                    ("mobilenetv2", "fp16", 3e-2), ("mobilenetv2", "bf16", 2e-1)])
def test_bench(rooftune, model, name, precision, bound):
    row = rooftune.json("bench", model(name), "--precision", precision, "--duration", "0.5s", "--threads", 1)["results"][0]
    assert row["precision"] == precision
    assert 1e-4 < row["max_rel_error"] < bound
    assert row["p50_ms"] > 0 and row["roofline_fraction"] <= 1


def test_profile(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    wide = rooftune.json("profile", model, "--runs", 1, "--threads", 1)
    assert wide["precision"] == "fp32"
    for precision in BOUNDS:
        row = rooftune.json("profile", model, "--precision", precision, "--runs", 1, "--threads", 1)
        assert row["precision"] == precision and sum(o["bytes"] for o in row["operators"]) < 0.8 * sum(o["bytes"] for o in wide["operators"])
    done = rooftune("profile", model, "--precision", "int3")
    assert done.returncode == 3 and "profile: precision 'int3' is not available; there are fp32, bf16 and fp16" in done.stderr


def test_the_fastest_within_the_bound_wins(rooftune, tmp_path):
    model = cnn(tmp_path / "cnn.onnx")
    document = rooftune.json("optimize", model, "--budget", "2s", "--precisions", "fp32,bf16,fp16", "--threads", 1, "--seed", 3, "-o",
                             tmp_path / "out")
    rows = {c["id"]: c for c in document["candidates"]}
    assert list(rows) == ["baseline", "optimised", "optimised bf16", "optimised fp16"]
    usable = [c for c in rows.values() if not c["note"]]
    chosen = [c for c in rows.values() if c["chosen"]]
    assert len(chosen) == 1 and chosen[0]["measured_ms"] == min(c["measured_ms"] for c in usable)
    assert rows["optimised"]["max_rel_error"] < 1e-5 < rows["optimised fp16"]["max_rel_error"] < rows["optimised bf16"]["max_rel_error"]
    assert rows["optimised bf16"]["size_mb"] < 0.6 * rows["optimised"]["size_mb"]
    assert document["verified"] and chosen[0]["id"] in document["pareto"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["candidates"] == document["candidates"]


def test_one_precision_alone(rooftune, tmp_path):
    model = mlp(tmp_path / "mlp.onnx")
    document = rooftune.json("optimize", model, "--budget", "0", "--precisions", "bf16", "--threads", 1, "--seed", 3, "-o", tmp_path / "out")
    inputs = random_inputs(model, 9)
    want = expected(model, inputs)["y"]
    error = relative_error(outputs_of(rooftune, tmp_path / "out" / "model.rt", inputs, tmp_path)["y"], want)
    assert error < BOUNDS["bf16"]
    if not document["kept_original"]:
        assert error > 1e-5
        kinds = {t.data_type for t in onnx.load(tmp_path / "out" / "model.onnx").graph.initializer}
        assert TensorProto.BFLOAT16 in kinds and TensorProto.FLOAT not in kinds


def test_a_bound_that_16_bits_do_not_keep(rooftune, tmp_path):
    document = rooftune.json("optimize", mlp(tmp_path / "mlp.onnx"), "--budget", "1s", "--precisions", "fp32,bf16", "--max-rel-error",
                             "1e-4", "--threads", 1, "-o", tmp_path / "out")
    bf16 = document["candidates"][2]
    assert not bf16["chosen"] and "1e-04 is allowed" in bf16["note"] and bf16["measured_ms"] is None
    assert bf16["id"] not in document["pareto"] and document["verification"]["max_rel_error"] < 1e-4


def test_what_f16_cannot_hold_is_not_returned(rooftune, tmp_path):
    """Activations of a hundred thousand on their way between kernels: f16 ends at 65504."""
    constants = [weights("w", 64, 64, scale=20000), numpy_helper.from_array(np.ones(64, np.float32), "s")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("LayerNormalization", ["a", "s"], ["y"])]
    save(tmp_path / "m.onnx", nodes, [("x", [8, 64])], [("y", [8, 64])], constants)
    document = rooftune.json("optimize", tmp_path / "m.onnx", "--budget", "0", "--precisions", "fp32,fp16", "--threads", 1, "-o",
                             tmp_path / "out")
    fp16 = document["candidates"][2]
    assert "infinite" in fp16["note"] and not fp16["chosen"]
    assert document["verified"]


def test_a_package_has_its_precision(rooftune, tmp_path):
    rooftune.json("import", mlp(tmp_path / "mlp.onnx"), "-o", tmp_path / "m.rt")
    done = rooftune("bench", tmp_path / "m.rt", "--precision", "bf16")
    assert done.returncode == 3 and "precision is fixed" in done.stderr
    done = rooftune("bench", tmp_path / "mlp.onnx", "--precision", "int3")
    assert done.returncode == 3 and "fp16" in done.stderr
