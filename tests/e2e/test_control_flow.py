"""Control flow and data-dependent shapes run by references between compiled kernels."""
import numpy as np
import onnx
import onnxruntime
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
