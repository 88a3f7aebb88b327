"""A graph network whose messages are scattered: compiled, the same to the last bit on any number of threads, and right where
the numbers of nodes and edges are free."""
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from small_models import feed, weights

WIDTH = 48


def network(path, nodes="nodes", edges="edges"):
    """y = x + the sum of the messages relu(x[source] w) along edges, the greatest of which is m; shapes as exporters ask for them."""
    ints = lambda name, *values: onnx.numpy_helper.from_array(np.array(values, np.int64), name)
    make = helper.make_node
    operators = [make("Gather", ["x", "source"], ["rows"]), make("MatMul", ["rows", "w"], ["product"]), make("Relu", ["product"], ["message"]),
                 make("Unsqueeze", ["target", "one"], ["column"]), make("Shape", ["message"], ["shape"]), make("Expand", ["column", "shape"], ["index"]),
                 make("ScatterElements", ["x", "index", "message"], ["y"], axis=0, reduction="add"),
                 make("ScatterND", ["x", "column", "message"], ["m"], reduction="max")]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(operators, "network", [value("x", TensorProto.FLOAT, [nodes, WIDTH]), value("source", TensorProto.INT64, [edges]), value("target", TensorProto.INT64, [edges])],
                              [value("y", TensorProto.FLOAT, [nodes, WIDTH]), value("m", TensorProto.FLOAT, [nodes, WIDTH])], [weights("w", WIDTH, WIDTH), ints("one", 1)])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString())
    return path


def inputs(nodes, edges, seed=None):
    rng = np.random.default_rng(seed)
    return {"x": rng.standard_normal((nodes, WIDTH)).astype(np.float32), "source": rng.integers(0, nodes, edges),
            "target": rng.integers(-nodes, nodes, edges)}


def run(rooftune, model, tensors, folder, *options):
    folder.mkdir()
    rooftune.json("run", model, *feed(folder, tensors), "--output-dir", folder / "out", *options)
    return [np.load(folder / "out" / f"{name}.npy") for name in "ym"]


def expected(path, tensors):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(["y", "m"], tensors)


def test_threads_change_no_bit(rooftune, tmp_path):
    path = network(tmp_path / "m.onnx", 40, 700)
    tensors = inputs(40, 700)
    single = run(rooftune, path, tensors, tmp_path / "1", "--threads", 1)
    for got, want in zip(single, expected(path, tensors)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    several = run(rooftune, path, tensors, tmp_path / "2", "--threads", 2)
    assert all(np.array_equal(a, b) for a, b in zip(single, several))
    operators = rooftune.json("profile", path, "--threads", 1)["operators"]
    assert not [o for o in operators if o.get("reference")]


@pytest.mark.parametrize("nodes, edges", [(1, 1), (9, 70), (30, 100), (17, 3)])
def test_free_numbers_of_nodes_and_edges(rooftune, tmp_path, nodes, edges):
    path, package = network(tmp_path / "m.onnx"), tmp_path / "m.rt"
    rooftune.json("import", path, "-o", package, "--dim", "nodes=1..30", "--dim", "edges=1..100", "--threads", 2)
    tensors = inputs(nodes, edges)
    for got, want in zip(run(rooftune, package, tensors, tmp_path / "run"), expected(path, tensors)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
