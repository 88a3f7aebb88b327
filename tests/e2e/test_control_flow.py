"""Control flow and data-dependent shapes run by references between compiled kernels."""
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper


def branching(path):
    """y = relu(c ? x w + w : 0), z = indices where y is not 0; both branches use values of the graph around them."""
    value = helper.make_tensor_value_info
    then_branch = helper.make_graph([helper.make_node("Add", ["a", "w"], ["t"])], "then", [], [value("t", TensorProto.FLOAT, [3, 4])])
    else_branch = helper.make_graph([helper.make_node("Sub", ["a", "a"], ["e"])], "else", [], [value("e", TensorProto.FLOAT, [3, 4])])
    nodes = [helper.make_node("Mul", ["x", "w"], ["a"]),
             helper.make_node("If", ["c"], ["b"], then_branch=then_branch, else_branch=else_branch),
             helper.make_node("Relu", ["b"], ["y"]), helper.make_node("NonZero", ["y"], ["z"])]
    weights = numpy_helper.from_array(np.random.default_rng().standard_normal(4).astype(np.float32), "w")
    graph = helper.make_graph(nodes, "branching", [value("x", TensorProto.FLOAT, [3, 4]), value("c", TensorProto.BOOL, [])],
                              [value("y", TensorProto.FLOAT, [3, 4]), value("z", TensorProto.INT64, [2, "n"])], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def test_branches_see_the_values_around_them(rooftune, tmp_path):
    branching(tmp_path / "m.onnx")
    x = np.random.default_rng().standard_normal((3, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    for condition in (True, False):
        np.save(tmp_path / "c.npy", np.array(condition))
        out = tmp_path / str(condition)
        rooftune.json("run", tmp_path / "m.onnx", "--input", f"x={tmp_path / 'x.npy'}", "--input", f"c={tmp_path / 'c.npy'}",
                      "--output-dir", out)
        y, z = session.run(None, {"x": x, "c": np.array(condition)})
        np.testing.assert_allclose(np.load(out / "y.npy"), y, rtol=1e-6)
        np.testing.assert_array_equal(np.load(out / "z.npy"), z)


def test_a_branch_for_other_shapes_is_no_error(rooftune, tmp_path):
    """torch exports x.squeeze(0) as a question about the shape; with 3 rows the Squeeze of the other branch cannot be."""
    value = helper.make_tensor_value_info
    then_branch = helper.make_graph([helper.make_node("Squeeze", ["x", "axes"], ["t"])], "then", [], [value("t", TensorProto.FLOAT, None)])
    else_branch = helper.make_graph([helper.make_node("Identity", ["x"], ["e"])], "else", [], [value("e", TensorProto.FLOAT, None)])
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "zero"], ["d"], axis=0),
             helper.make_node("Equal", ["d", "one"], ["c"]), helper.make_node("If", ["c"], ["b"], then_branch=then_branch, else_branch=else_branch),
             helper.make_node("Relu", ["b"], ["y"])]
    constants = [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in (("zero", 0), ("one", 1), ("axes", [0]))]
    for rows in (1, 3):
        graph = helper.make_graph(nodes, "squeeze", [value("x", TensorProto.FLOAT, [rows, 4])], [value("y", TensorProto.FLOAT, None)], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        path = tmp_path / f"m{rows}.onnx"
        onnx.save(model, path)
        x = np.random.default_rng().standard_normal((rows, 4)).astype(np.float32)
        np.save(tmp_path / "x.npy", x)
        rooftune.json("run", path, "--input", f"x={tmp_path / 'x.npy'}", "--output-dir", tmp_path / f"out{rows}")
        expected = np.maximum(x[0] if rows == 1 else x, 0)  # onnxruntime refuses the file with 3 rows
        np.testing.assert_array_equal(np.load(tmp_path / f"out{rows}" / "y.npy"), expected)
        assert rooftune.json("characterize", path)["parameters"] == 0


def recurrent(path, op, gates, steps=11, batch=3, inputs=7, hidden=10, **attributes):
    """An LSTM, GRU or RNN of both directions, and a map of all its outputs."""
    rng = np.random.default_rng()
    weight = lambda name, *shape: numpy_helper.from_array((rng.standard_normal(shape) * 0.4).astype(np.float32), name)
    outputs = ["y", "h", "c"] if op == "LSTM" else ["y", "h"]
    value = helper.make_tensor_value_info
    nodes = [helper.make_node(op, ["x", "w", "r", "b", "", "h0"], outputs, "cell", hidden_size=hidden, direction="bidirectional", **attributes),
             helper.make_node("Relu", ["y"], ["z"])]
    graph = helper.make_graph(nodes, op, [value("x", TensorProto.FLOAT, [steps, batch, inputs]), value("h0", TensorProto.FLOAT, [2, batch, hidden])],
                              [value("z", TensorProto.FLOAT, None)] + [value(o, TensorProto.FLOAT, None) for o in outputs[1:]],
                              [weight("w", 2, gates * hidden, inputs), weight("r", 2, gates * hidden, hidden), weight("b", 2, 2 * gates * hidden)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


@pytest.mark.parametrize("op, gates, attributes", [("LSTM", 4, {}), ("GRU", 3, {"linear_before_reset": 1}), ("GRU", 3, {}), ("RNN", 1, {})])
def test_recurrent_operators_are_kernels_and_stay_in_exports(rooftune, tmp_path, op, gates, attributes):
    path = tmp_path / "m.onnx"
    recurrent(path, op, gates, **attributes)
    rooftune.json("import", path, "-o", tmp_path / "m.rt")
    report = rooftune.json("optimize", path, "--budget", "1s", "-o", tmp_path / "out")
    assert report["verified"] is True
    session = onnxruntime.InferenceSession(str(path))
    rng = np.random.default_rng()
    tensors = {i.name: rng.standard_normal(i.shape, dtype=np.float32) for i in session.get_inputs()}
    for name, array in tensors.items():
        np.save(tmp_path / f"{name}.npy", array)
    for package in (tmp_path / "m.rt", tmp_path / "out" / "model.rt"):
        got = tmp_path / f"got_{package.stem}"
        rooftune.json("run", package, *(f"--input={n}={tmp_path / n}.npy" for n in tensors), "--output-dir", got)
        for output, expected in zip(session.get_outputs(), session.run(None, tensors)):
            np.testing.assert_allclose(np.load(got / f"{output.name}.npy"), expected, rtol=1e-4, atol=1e-5)
    steps = rooftune.json("profile", tmp_path / "m.rt")["operators"]
    assert not [s for s in steps if "reference" in s], steps
    assert [n.op_type for n in onnx.load(tmp_path / "out" / "model.onnx").graph.node].count(op) == 1
    rooftune.json("import", tmp_path / "m.rt", "-o", tmp_path / "again.onnx")  # a package's graph holds scans in their place
    again = onnxruntime.InferenceSession(str(tmp_path / "again.onnx")).run(None, tensors)
    for a, b in zip(again, session.run(None, tensors)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_scan_whose_body_needs_nothing_of_it(rooftune, tmp_path):
    body = helper.make_graph([helper.make_node("Neg", ["c"], ["o"])], "body", [helper.make_tensor_value_info("t", TensorProto.FLOAT, [3])],
                             [helper.make_tensor_value_info("o", TensorProto.FLOAT, [2])])
    graph = helper.make_graph([helper.make_node("Scan", ["x"], ["y"], num_scan_inputs=1, body=body)], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3]), helper.make_tensor_value_info("c", TensorProto.FLOAT, [2])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 2])])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    c = np.random.default_rng().standard_normal(2, dtype=np.float32)
    np.save(tmp_path / "c.npy", c)
    rooftune.json("run", path, f"--input=c={tmp_path / 'c.npy'}", "--output-dir", tmp_path / "out")
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "y.npy"), np.tile(-c, [4, 1]))
