"""What Rooftune writes as StableHLO computes in jaxlib what `rooftune run` computes of the model, on random inputs."""
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import xla

F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def random_inputs(facts, rng):
    """For each input of a model: floats of order one, or indices and masks that every model here accepts."""
    out = []
    for v in facts["inputs"]:
        if v["dtype"].startswith("f"):
            out.append(rng.normal(size=v["shape"]).astype(np.float32))
        else:
            out.append(rng.integers(0, 2, size=v["shape"]).astype({"i64": np.int64, "i32": np.int32, "bool": bool}[v["dtype"]]))
    return out


def check(rooftune, folder, source, rng, *options, tolerance=1e-5, inputs=None):
    written = folder / "written.mlir"
    rooftune.json("import", source, "-o", written, *options)
    facts = rooftune.json("characterize", source, *options)
    inputs = inputs or random_inputs(facts, rng)
    got = xla.run(written, inputs)
    for path in (source, written):  # the text that was written is read, too
        arguments = []
        for i, (v, x) in enumerate(zip(facts["inputs"], inputs)):
            np.save(folder / f"in{i}.npy", x)
            arguments += ["--input", f"{v['name']}={folder / f'in{i}.npy'}"]
        options_of = options if path == source else ()
        document = rooftune.json("run", path, *arguments, *options_of, "--output-dir", folder / f"out{path.suffix}")
        assert [o["name"] for o in document["outputs"]] == [o["name"] for o in facts["outputs"]]
        for i, (a, o) in enumerate(zip(got, document["outputs"])):
            b = np.load(o["file"])
            assert a.shape == b.shape and a.dtype == b.dtype, o["name"]
            if b.dtype.kind == "f":
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max(initial=0)), err_msg=f"{o['name']}, {path.name}")
            else:
                np.testing.assert_array_equal(a, b, err_msg=f"{o['name']}, {path.name}")
    return written


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name,options", [("mobilenetv2", ()), ("resnet50", ()), ("unet", ()), ("minilm", ())])
def test_models(rooftune, model, tmp_path, rng, name, options):
    check(rooftune, tmp_path, model(name), rng, *options, tolerance=2e-4)


@pytest.mark.full
@pytest.mark.parametrize("name", ["bert_base", "gpt2_small"])
def test_large_models(rooftune, model, tmp_path, rng, name):
    check(rooftune, tmp_path, model(name), rng, tolerance=5e-4)


def value(name, shape, dtype=F32):
    return helper.make_tensor_value_info(name, dtype, shape)


def floats(name, array):
    return numpy_helper.from_array(np.asarray(array, np.float32), name)


def ints(name, values):
    return numpy_helper.from_array(np.asarray(values, np.int64), name)


class Model:
    """Nodes one after the other, each of whose outputs is an output of the model."""

    def __init__(self, **inputs):
        self.inputs = [value(n, s, d) for n, (s, d) in inputs.items()]
        self.nodes, self.initializers, self.outputs = [], [], []

    def const(self, array):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, op, *inputs, outputs=1, dtype=F32, **attributes):
        names = [f"{op}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=names[0], **attributes))
        self.outputs += [value(n, None, dtype) for n in names]
        return names[0]

    def save(self, path):
        graph = helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.initializers)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
        return path


def f32(*shape):
    return shape, F32


def test_elementwise_operators(rooftune, tmp_path, rng):
    m = Model(x=f32(3, 4), y=f32(2, 1, 4), i=((3, 4), I64), b=((3, 4), BOOL))
    for op in ["Abs", "Neg", "Exp", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Tanh", "Sigmoid", "Erf", "Relu", "LeakyRelu",
               "Elu", "Softplus", "HardSigmoid", "HardSwish", "Gelu", "Reciprocal", "Identity", "Dropout"]:
        m.op(op, "x")
    m.op("Gelu", "x", approximate="tanh")
    m.op("Not", "b", dtype=BOOL)
    positive = m.op("Abs", m.op("Add", "x", m.const(np.float32(5))))
    m.op("Log", positive)
    m.op("Sqrt", positive)
    m.op("Pow", positive, "y")
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"]:
        m.op(op, "x", "y")
    m.op("Sum", "x", "y", "x")
    for op in ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]:
        m.op(op, "x", "y", dtype=BOOL)
    m.op("And", "b", m.const(np.array([True, False, True, True])), dtype=BOOL)
    m.op("Where", "b", "x", "y")
    m.op("Clip", "x", m.const(np.float32(-0.5)), m.const(np.float32(0.5)))
    m.op("Clip", "x", "", m.const(np.float32(0.5)))
    m.op("PRelu", "x", m.const(np.array([0.5, 2, -1, 0.1], np.float32)))
    m.op("Cast", "x", to=TensorProto.INT32, dtype=TensorProto.INT32)
    m.op("Cast", "i", to=F32)
    m.op("Mod", m.op("Sub", "i", m.const(np.int64(1)), dtype=I64), m.const(np.int64(3)), dtype=I64)
    m.op("Mod", "x", m.const(np.float32(0.7)), fmod=1)
    check(rooftune, tmp_path, m.save(tmp_path / "m.onnx"), rng)


def test_contractions(rooftune, tmp_path, rng):
    m = Model(a=f32(2, 1, 3, 4), b=f32(5, 4, 6), v=f32(4), m=f32(4, 5), x=f32(2, 4, 9, 8))
    w = lambda *shape: m.const(rng.normal(size=shape).astype(np.float32))
    m.op("MatMul", "a", "b"), m.op("MatMul", "a", "v"), m.op("MatMul", "v", "b"), m.op("MatMul", "v", "v"), m.op("MatMul", "a", "m")
    m.op("Gemm", "m", w(4, 3), w(3), transA=1, alpha=0.5, beta=2.0)
    m.op("Gemm", "m", w(3, 5), transB=1)
    m.op("Conv", "x", w(6, 4, 3, 2), w(6), strides=[2, 1], pads=[1, 0, 2, 1])
    m.op("Conv", "x", w(6, 2, 3, 3), group=2, dilations=[2, 1], auto_pad="SAME_UPPER")
    m.op("Conv", "x", w(4, 1, 3, 3), group=4, strides=[2, 2], auto_pad="SAME_LOWER")
    m.op("ConvTranspose", "x", w(4, 3, 3, 2), w(3), strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 2], dilations=[1, 2])
    m.op("ConvTranspose", "x", w(4, 3, 2, 2), strides=[2, 2], group=2)
    m.op("ConvTranspose", "x", w(4, 3, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    m.op("ConvTranspose", "x", w(4, 3, 3, 3), strides=[2, 2], output_shape=[18, 17])
    check(rooftune, tmp_path, m.save(tmp_path / "m.onnx"), rng, tolerance=3e-5)


def test_reductions_pools_and_norms(rooftune, tmp_path, rng):
    m = Model(x=f32(2, 4, 9, 7))
    w = lambda *shape: m.const(rng.uniform(0.5, 2, size=shape).astype(np.float32))
    for op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare"]:
        m.op(op, "x", m.const(np.array([-1, 1])), keepdims=0)
        m.op(op, "x", m.const(np.array([2])))
    m.op("ReduceSum", "x")
    m.op("ReduceMean", "x", noop_with_empty_axes=1)
    for axis in (-1, 1):
        m.op("Softmax", "x", axis=axis), m.op("LogSoftmax", "x", axis=axis)
    m.op("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
    m.op("MaxPool", "x", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1, dilations=[2, 1])
    m.op("MaxPool", "x", kernel_shape=[2, 2], auto_pad="SAME_UPPER")
    m.op("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    m.op("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 1], count_include_pad=1)
    m.op("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    m.op("GlobalAveragePool", "x"), m.op("GlobalMaxPool", "x")
    m.op("LayerNormalization", "x", w(9, 7), w(9, 7), axis=-2)
    m.op("LayerNormalization", "x", w(7))
    m.op("InstanceNormalization", "x", w(4), w(4)), m.op("GroupNormalization", "x", w(4), w(4), num_groups=2)
    m.op("BatchNormalization", m.op("Sigmoid", "x"), w(4), w(4), w(4), w(4))
    check(rooftune, tmp_path, m.save(tmp_path / "m.onnx"), rng, tolerance=3e-5)


def test_shapes(rooftune, tmp_path, rng):
    m = Model(x=f32(2, 3, 4), y=f32(2, 1, 4), i=((2, 3), I64))
    m.op("Reshape", "x", m.const(np.array([0, -1]))), m.op("Flatten", "x", axis=2), m.op("Unsqueeze", "x", m.const(np.array([1, -1])))
    m.op("Squeeze", "y", m.const(np.array([1]))), m.op("Transpose", "x", perm=[2, 0, 1]), m.op("Transpose", "x")
    m.op("Concat", "x", "y", axis=1), m.op("Expand", "y", m.const(np.array([2, 5, 4])))
    m.op("Slice", "x", m.const(np.array([1, -3])), m.const(np.array([3, 99])), m.const(np.array([1, 2])))
    m.op("Slice", "x", m.const(np.array([-1, 1])), m.const(np.array([-99, 3])), m.const(np.array([2, 1])), m.const(np.array([-2, 1])))
    m.op("Slice", "x", m.const(np.array([2])), m.const(np.array([0])), m.const(np.array([1])), m.const(np.array([-1])))
    m.op("Split", "x", m.const(np.array([1, 3])), axis=2, outputs=2), m.op("Split", "x", axis=1, num_outputs=3, outputs=3)
    m.op("Pad", "x", m.const(np.array([0, 1, -1, 1, 2, 0])), m.const(np.float32(1.5))), m.op("Pad", "x", m.const(np.array([1, 2])), "", m.const(np.array([-1])))
    m.op("Tile", "x", m.const(np.array([2, 1, 3]))), m.op("Gather", "x", "i", axis=1), m.op("Gather", "x", m.const(np.array([-1, 0])), axis=2)
    m.op("Gather", "x", m.const(np.int64(1)), axis=0)
    m.op("Resize", "x", "", m.const(np.array([1, 2, 3], np.float32)), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    m.op("Add", "x", m.op("ConstantOfShape", m.op("Shape", "x", dtype=I64), value=floats("", [2.5])))
    check(rooftune, tmp_path, m.save(tmp_path / "m.onnx"), rng)


def test_element_types(rooftune, tmp_path, rng):
    m = Model(x=f32(2, 3))
    for name in ["FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT32", "BOOL"]:
        dtype = getattr(TensorProto, name)
        array = rng.integers(0, 2 if name == "BOOL" else 100, size=(2, 3)).astype(helper.tensor_dtype_to_np_dtype(dtype))
        m.initializers.append(numpy_helper.from_array(array, name))
        m.op("Add", "x", m.op("Cast", name, to=F32))
        if name in ("FLOAT16", "DOUBLE", "INT32", "INT64"):  # that both can compute with
            m.op("Cast", m.op("Add", m.op("Cast", "x", to=dtype, dtype=dtype), name, dtype=dtype), to=F32)
    m.op("Add", m.const(np.zeros((0, 3), np.float32)), m.const(np.ones(3, np.float32)))
    check(rooftune, tmp_path, m.save(tmp_path / "m.onnx"), rng)


def test_symbolic_dimensions_are_given(rooftune, tmp_path, rng):
    m = Model(x=(("N", 3), F32))
    m.op("Relu", "x")
    source = m.save(tmp_path / "m.onnx")
    done = rooftune("import", source, "-o", tmp_path / "w.mlir")
    assert done.returncode == 3
    assert "'x' is f32[N,3]: StableHLO is written with static shapes only; give its dimensions with --dim" in done.stderr
    check(rooftune, tmp_path, source, rng, "--dim", "N=5")


def test_what_has_no_spelling_is_refused(rooftune, tmp_path):
    m = Model(x=f32(2, 3))
    m.op("NonZero", m.op("Relu", "x"), dtype=I64)
    m.nodes[-1].name = "where"
    folder = tmp_path / "out"
    folder.mkdir()
    done = rooftune("import", m.save(tmp_path / "m.onnx"), "-o", folder / "w.mlir")
    assert done.returncode == 3
    assert "node 'where' (NonZero): cannot be written as StableHLO; these operators can: Abs, Add," in done.stderr
    m = Model(x=f32(2, 3))
    m.op("Pad", "x", m.const(np.array([1, 1, 1, 1])), mode="reflect")
    done = rooftune("import", m.save(tmp_path / "m.onnx"), "-o", folder / "w.mlir")
    assert done.returncode == 3
    assert "(Pad): only mode 'constant' can be written as StableHLO" in done.stderr
    assert not list(folder.iterdir())
    done = rooftune("import", tmp_path / "m.onnx", "-o", folder / "w.xyz")
    assert "must end in one of .rt, .onnx, .mlir" in done.stderr
