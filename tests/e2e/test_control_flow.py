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
