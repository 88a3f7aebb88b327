"""Quantised models run in integers and give what onnxruntime gives, but for single steps of rounding."""
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import cnn, expected, feed, random_inputs, relative_error, save, weights

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "models"))
pytest.importorskip("onnxruntime.quantization")
import quantise_models  # noqa: E402


def transformer(path, rows=24, width=32, heads=2):
    """One layer: attention, layer norm, GELU, all residual."""
    depth = width // heads
    node = helper.make_node
    nodes, constants = [], []

    def linear(x, y, inputs, outputs):
        constants.extend([weights(f"{y}.w", inputs, outputs, scale=inputs ** -0.5), weights(f"{y}.b", outputs)])
        nodes.extend([node("MatMul", [x, f"{y}.w"], [f"{y}.m"], f"{y}.matmul"), node("Add", [f"{y}.m", f"{y}.b"], [y], f"{y}.add")])

    for name in "qkv":
        linear("x", name, width, width)
        nodes.append(node("Reshape", [name, "split"], [name + "s"], name + ".split"))
        nodes.append(node("Transpose", [name + "s"], [name + "t"], name + ".turn", perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]))
    nodes += [node("MatMul", ["qt", "kt"], ["scores"], "qk"), node("Mul", ["scores", "scale"], ["scaled"], "scale_scores"),
              node("Softmax", ["scaled"], ["p"], "softmax", axis=-1), node("MatMul", ["p", "vt"], ["c"], "pv"),
              node("Transpose", ["c"], ["ct"], "turn_back", perm=[0, 2, 1, 3]), node("Reshape", ["ct", "joined"], ["cj"], "join")]
    linear("cj", "o", width, width)
    nodes += [node("Add", ["o", "x"], ["r1"], "residual1"), node("LayerNormalization", ["r1", "g", "beta"], ["n1"], "norm", axis=-1)]
    linear("n1", "h", width, 3 * width)
    nodes += [node("Div", ["h", "root2"], ["h1"], "d"), node("Erf", ["h1"], ["h2"], "e"), node("Add", ["h2", "one"], ["h3"], "a"),
              node("Mul", ["h", "h3"], ["h4"], "m"), node("Mul", ["h4", "half"], ["h5"], "gelu")]
    linear("h5", "f", 3 * width, width)
    nodes.append(node("Add", ["f", "n1"], ["y"], "residual2"))
    scalar = lambda name, value: numpy_helper.from_array(np.float32(value), name)
    constants += [scalar("scale", depth ** -0.5), scalar("root2", 2 ** 0.5), scalar("one", 1), scalar("half", 0.5),
                  numpy_helper.from_array(np.array([1, rows, heads, depth]), "split"),
                  numpy_helper.from_array(np.array([1, rows, width]), "joined"), weights("g", width), weights("beta", width)]
    return save(path, nodes, [("x", [1, rows, width])], [("y", [1, rows, width])], constants)


def run(rooftune, model, inputs, folder):
    folder.mkdir(exist_ok=True)
    rooftune.json("run", model, *feed(folder, inputs), "--output-dir", folder / "out")
    return {p.stem: np.load(p) for p in (folder / "out").glob("*.npy")}


def check(rooftune, path, folder, tolerance):
    inputs = random_inputs(path, 11)
    got, want = run(rooftune, path, inputs, folder / "run"), expected(path, inputs)
    assert got.keys() == want.keys()
    for name in want:
        assert relative_error(got[name], want[name]) < tolerance, name


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("make", [cnn, transformer])
def test_static(rooftune, tmp_path, make, signed):
    original = make(tmp_path / "model.onnx")
    path = quantise_models.static(original, tmp_path / "quantised.onnx", random_inputs(original, 3), signed)
    assert any(n.op_type == "DequantizeLinear" for n in onnx.load(path).graph.node)
    check(rooftune, path, tmp_path, 0.03)


def test_dynamic(rooftune, tmp_path):
    path = quantise_models.dynamic(transformer(tmp_path / "model.onnx"), tmp_path / "quantised.onnx")
    assert any(n.op_type == "MatMulInteger" for n in onnx.load(path).graph.node)
    check(rooftune, path, tmp_path, 0.03)


def integers(path, op, x, w, zeros, **attributes):
    """One integer operator: x is an input, the rest is constant."""
    types = {np.dtype("uint8"): TensorProto.UINT8, np.dtype("int8"): TensorProto.INT8}
    constants = [numpy_helper.from_array(w, "w")] + [numpy_helper.from_array(z, f"z{i}") for i, z in enumerate(zeros)]
    node = helper.make_node(op, ["x", "w"] + [f"z{i}" for i in range(len(zeros))], ["y"], **attributes)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", types[x.dtype], x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.INT32, None)], constants)
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString())
    return path


@pytest.mark.parametrize("k", [3, 64, 1027])
def test_extreme_products_are_exact(rooftune, tmp_path, k):
    x, w = np.full((5, k), 255, np.uint8), np.full((k, 33), -128, np.int8)
    w[:, ::3] = 127
    x[1::2, ::2] = 0
    path = integers(tmp_path / "m.onnx", "MatMulInteger", x, w, [np.uint8(3)])
    got = run(rooftune, path, {"x": x}, tmp_path / "run")["y"]
    assert np.array_equal(got, (x.astype(np.int64) - 3) @ w.astype(np.int64))


def test_convolution_of_extremes_is_exact(rooftune, tmp_path):
    rng = np.random.default_rng(5)
    x = rng.choice(np.array([0, 1, 127, 128, 255], np.uint8), (1, 20, 9, 9))
    w = rng.choice(np.array([-128, -127, -1, 127], np.int8), (24, 20, 3, 3))
    path = integers(tmp_path / "c.onnx", "ConvInteger", x, w, [np.uint8(77)], pads=[1, 1, 1, 1])
    got = run(rooftune, path, {"x": x}, tmp_path / "run")["y"]
    padded = np.pad(x.astype(np.int64) - 77, [(0, 0), (0, 0), (1, 1), (1, 1)])
    want = sum(np.einsum("chw,oc->ohw", padded[0, :, i:i + 9, j:j + 9], w[:, :, i, j].astype(np.int64)) for i in range(3) for j in range(3))
    assert np.array_equal(got[0], want)
