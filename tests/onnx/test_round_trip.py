"""Importer and writer together: the model written is valid ONNX and computes the same bits in onnxruntime."""
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

F32 = TensorProto.FLOAT


def tensor(name, array, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def value(name, shape, dtype=F32):
    return helper.make_tensor_value_info(name, dtype, shape)


def make_model(nodes, inputs, outputs, initializers=(), opset=18, domains=(), functions=(), ir_version=8):
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=ir_version)


def run(path, inputs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [o.name for o in session.get_outputs()], session.run(None, inputs)


def check(onnx_tool, tmp_path, source, inputs, *arguments):
    written = tmp_path / "written" / "m.onnx"
    written.parent.mkdir()
    done = onnx_tool("rewrite", source, written, *arguments)
    assert done.returncode == 0, done.stderr
    onnx.checker.check_model(str(written), full_check=True)
    names, expected = run(source, inputs)
    got_names, got = run(written, inputs)
    assert names == got_names
    for name, a, b in zip(names, expected, got):
        assert a.dtype == b.dtype and a.shape == b.shape, name
        assert a.tobytes() == b.tobytes(), name
    return written


def check_model(onnx_tool, tmp_path, model, inputs, *arguments):
    onnx.checker.check_model(model, full_check=True)
    source = tmp_path / "source.onnx"
    onnx.save(model, source)
    return check(onnx_tool, tmp_path, source, inputs, *arguments)


@pytest.fixture
def random():
    return np.random.default_rng(7)


def test_bodies_with_captures(onnx_tool, tmp_path, random):
    def branch(name, op):
        inner = helper.make_graph([helper.make_node(op, ["h"], [name + "_r"])], name, [], [value(name + "_r", ["N", 4])])
        return inner

    nested = helper.make_graph(
        [helper.make_node("Mul", ["h", "k"], ["m"]),
         helper.make_node("If", ["flag"], ["n"], then_branch=branch("deep_then", "Sigmoid"), else_branch=branch("deep_else", "Relu")),
         helper.make_node("Sub", ["m", "n"], ["s"])],
        "outer", [], [value("s", ["N", 4])], [tensor("k", [1.5, -2, 0.25, 3])])
    model = make_model(
        [helper.make_node("Add", ["x", "w"], ["h"]),
         helper.make_node("If", ["flag"], ["y"], then_branch=nested, else_branch=branch("plain", "Tanh"))],
        [value("x", ["N", 4]), value("flag", [], TensorProto.BOOL)], [value("y", ["N", 4])], [tensor("w", random.normal(size=4))])
    for i, flag in enumerate([True, False]):
        folder = tmp_path / str(i)
        folder.mkdir()
        x = random.normal(size=(3, 4)).astype(np.float32)
        check_model(onnx_tool, folder, model, {"x": x, "flag": np.array(flag)})


def test_loop_and_scan(onnx_tool, tmp_path, random):
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "x"], ["next"]), helper.make_node("Mul", ["next", "next"], ["square"]),
         helper.make_node("Identity", ["go_in"], ["go"])],
        "body", [value("i", [], TensorProto.INT64), value("go_in", [], TensorProto.BOOL), value("state", [4])],
        [value("go", [], TensorProto.BOOL), value("next", [4]), value("square", [4])])
    scan = helper.make_graph(
        [helper.make_node("Add", ["acc", "item"], ["sum"]), helper.make_node("Mul", ["sum", "x"], ["scaled"])],
        "scan", [value("acc", [4]), value("item", [4])], [value("sum", [4]), value("scaled", [4])])
    model = make_model(
        [helper.make_node("Loop", ["count", "", "x"], ["last", "squares"], body=body),
         helper.make_node("Scan", ["last", "squares"], ["total", "all"], body=scan, num_scan_inputs=1)],
        [value("x", [4])], [value("total", [4]), value("all", [3, 4])], [numpy_helper.from_array(np.array(3, np.int64), "count")])
    check_model(onnx_tool, tmp_path, model, {"x": random.normal(size=4).astype(np.float32)})


def test_functions_are_inlined(onnx_tool, tmp_path, random):
    scaled = helper.make_node("Mul", ["a", "b"], ["h"])
    leaky = helper.make_node("LeakyRelu", ["h"], ["out"])
    leaky.attribute.append(helper.make_attribute("alpha", 0.0))
    leaky.attribute[0].Clear()
    leaky.attribute[0].name, leaky.attribute[0].ref_attr_name, leaky.attribute[0].type = "alpha", "slope", onnx.AttributeProto.FLOAT
    function = helper.make_function("my", "Scaled", ["a", "b"], ["out"], [scaled, leaky], [helper.make_opsetid("", 18)], ["slope"])
    model = make_model(
        [helper.make_node("Scaled", ["x", "w"], ["t"], domain="my", slope=0.3),
         helper.make_node("Scaled", ["t", "x"], ["y"], domain="my", slope=-2.0)],
        [value("x", [5])], [value("y", [5])], [tensor("w", random.normal(size=5))], domains=["my"], functions=[function])
    check_model(onnx_tool, tmp_path, model, {"x": random.normal(size=5).astype(np.float32)})


def test_element_types(onnx_tool, tmp_path, random):
    """A constant of each type that onnxruntime can cast to f32."""
    nodes, initializers, outputs = [], [], []
    x = random.uniform(0, 3, size=7)
    for dtype in [TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.UINT8, TensorProto.INT8,
                  TensorProto.UINT16, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT32,
                  TensorProto.UINT64, TensorProto.BOOL, TensorProto.UINT4, TensorProto.INT4, TensorProto.FLOAT8E4M3FN,
                  TensorProto.FLOAT8E5M2]:
        name = TensorProto.DataType.Name(dtype)
        array = x.astype(helper.tensor_dtype_to_np_dtype(dtype))
        initializers.append(numpy_helper.from_array(array, name))
        nodes.append(helper.make_node("Cast", [name], ["as_" + name], to=F32))
        outputs.append(value("as_" + name, [7]))
    typed = helper.make_tensor("typed", TensorProto.FLOAT16, [2], [1.5, -3.25])  # in int32_data
    initializers.append(typed)
    nodes.append(helper.make_node("Cast", ["typed"], ["as_typed"], to=F32))
    outputs.append(value("as_typed", [2]))
    model = make_model(nodes, [], outputs, initializers, opset=21, ir_version=10)
    check_model(onnx_tool, tmp_path, model, {})


def test_strings_and_sequences(onnx_tool, tmp_path):
    words = helper.make_tensor("words", TensorProto.STRING, [3], [b"a", b"b", b"\xc3\xa9"])
    model = make_model(
        [helper.make_node("Equal", ["words", "word"], ["same"]),
         helper.make_node("SequenceConstruct", ["x", "x"], ["both"]),
         helper.make_node("ConcatFromSequence", ["both"], ["y"], axis=0)],
        [value("word", [1], TensorProto.STRING), value("x", [2])],
        [value("same", [3], TensorProto.BOOL), value("y", [4])], [words], opset=19, ir_version=9)
    check_model(onnx_tool, tmp_path, model, {"word": np.array(["b"], object), "x": np.array([1, 2], np.float32)})


def test_old_opset_is_upgraded(onnx_tool, tmp_path, random):
    model = make_model(
        [helper.make_node("Unsqueeze", ["x"], ["u"], axes=[0]),
         helper.make_node("Softmax", ["u"], ["s"]),
         helper.make_node("Squeeze", ["s"], ["q"], axes=[0]),
         helper.make_node("Clip", ["q"], ["c"], min=0.01, max=0.2),
         helper.make_node("Pad", ["c"], ["p"], pads=[0, 1, 0, 0], value=0.5, mode="constant"),
         helper.make_node("ReduceSum", ["p"], ["r"], axes=[1], keepdims=1),
         helper.make_node("Slice", ["p"], ["l"], starts=[1], ends=[3], axes=[1]),
         helper.make_node("TopK", ["l"], ["top", "at"], k=1),
         helper.make_node("Split", ["p"], ["first", "second"], split=[1, 4], axis=1),
         helper.make_node("Dropout", ["second"], ["d"], ratio=0.3)],
        [value("x", [3, 4])],
        [value(n, s) for n, s in [("r", [3, 1]), ("top", [3, 1]), ("first", [3, 1]), ("d", [3, 4])]], opset=9, ir_version=7)
    written = check_model(onnx_tool, tmp_path, model, {"x": random.normal(size=(3, 4)).astype(np.float32)})
    assert onnx.load(written).opset_import[0].version == 13


def test_old_upsampling(onnx_tool, tmp_path, random):
    model = make_model([helper.make_node("Upsample", ["x", "scales"], ["a"], mode="linear"),
                        helper.make_node("Upsample", ["x", "scales"], ["b"], mode="nearest")],
                       [value("x", [1, 2, 3, 4])], [value("a", [1, 2, 6, 8]), value("b", [1, 2, 6, 8])],
                       [tensor("scales", [1, 1, 2, 2])], opset=9, ir_version=7)
    source = tmp_path / "source.onnx"
    onnx.save(model, source)
    check(onnx_tool, tmp_path, source, {"x": random.normal(size=(1, 2, 3, 4)).astype(np.float32)})


def test_external_data(onnx_tool, tmp_path, random):
    weights = random.normal(size=(64, 512)).astype(np.float32)
    model = make_model([helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])],
                       [value("x", ["N", 64])], [value("y", ["N", 512])], [tensor("w", weights), tensor("b", random.normal(size=512))])
    source = tmp_path / "source.onnx"
    onnx.save(model, source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    x = random.normal(size=(2, 64)).astype(np.float32)
    written = check(onnx_tool, tmp_path, source, {"x": x}, 1000)
    assert (written.parent / "m.onnx.data").stat().st_size > weights.nbytes
    inline = tmp_path / "inline"
    inline.mkdir()
    check(onnx_tool, inline, source, {"x": x})


def test_a_real_model(onnx_tool, tmp_path, model):
    source = model("minilm")
    with np.load(source.with_suffix(".inputs.npz")) as inputs:
        check(onnx_tool, tmp_path, source, dict(inputs))
