"""Small ONNX graphs with every kind of layer that the big ones have, quick enough for every command."""
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def weights(name, *shape, scale=None):
    rng = np.random.default_rng([len(name), *shape])
    values = rng.standard_normal(shape) * (scale or 1 / np.sqrt(max(1, np.prod(shape[1:]))))
    return numpy_helper.from_array(values.astype(np.float32), name)


def save(path, nodes, inputs, outputs, constants):
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, path.stem, [value(n, s) for n, s in inputs], [value(n, s) for n, s in outputs], constants)
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString())
    return path


def mlp(path, rows=16, inputs=64, hidden=96, outputs=32):
    nodes = [helper.make_node("Gemm", ["x", "w1", "b1"], ["h1"], "fc1", transB=1), helper.make_node("Relu", ["h1"], ["h2"], "act"),
             helper.make_node("MatMul", ["h2", "w2"], ["h3"], "fc2"), helper.make_node("Add", ["h3", "b2"], ["h4"], "bias"),
             helper.make_node("Softmax", ["h4"], ["y"], "softmax", axis=-1)]
    constants = [weights("w1", hidden, inputs), weights("b1", hidden), weights("w2", hidden, outputs), weights("b2", outputs)]
    return save(path, nodes, [("x", [rows, inputs])], [("y", [rows, outputs])], constants)


def cnn(path, size=24):
    """Two inputs, two outputs, a residual, depthwise convolution, pooling."""
    conv = lambda i, o, name, pads=1, **a: helper.make_node("Conv", [i, name + ".w"], [o], name, pads=[pads] * 4, **a)
    nodes = [conv("image", "a", "stem", kernel_shape=[3, 3]),
             helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"], "bn"),
             helper.make_node("Clip", ["n", "zero", "six"], ["r"], "relu6"),
             conv("r", "d", "depthwise", kernel_shape=[3, 3], group=16), conv("d", "p", "pointwise", 0, kernel_shape=[1, 1]),
             helper.make_node("Add", ["p", "r"], ["res"], "residual"), helper.make_node("Add", ["res", "shift"], ["features"], "shifted"),
             helper.make_node("GlobalAveragePool", ["features"], ["g"], "pool"), helper.make_node("Flatten", ["g"], ["f"], "flat"),
             helper.make_node("Gemm", ["f", "fc"], ["scores"], "fc", transB=1)]
    ones = numpy_helper.from_array(np.linspace(0.5, 1.5, 16, dtype=np.float32), "v")
    constants = [weights("stem.w", 16, 3, 3, 3), weights("depthwise.w", 16, 1, 3, 3), weights("pointwise.w", 16, 16, 1, 1),
                 weights("fc", 10, 16), weights("s", 16, scale=1), weights("b", 16, scale=1), weights("m", 16, scale=1), ones,
                 numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.float32(6), "six")]
    return save(path, nodes, [("image", [1, 3, size, size]), ("shift", [1, 16, 1, 1])],
                [("scores", [1, 10]), ("features", [1, 16, size, size])], constants)


def random_inputs(path, seed):
    """Fresh inputs for any model whose inputs are float32 or token ids / masks."""
    rng, session = np.random.default_rng(seed), onnxruntime.InferenceSession(str(path))
    out = {}
    for i in session.get_inputs():
        shape = [d if isinstance(d, int) else 1 for d in i.shape]
        if i.type == "tensor(float)":
            out[i.name] = rng.standard_normal(shape, dtype=np.float32)
        elif "mask" in i.name:
            out[i.name] = (np.arange(shape[-1]) < rng.integers(1, shape[-1] + 1)).astype(np.int64).reshape(shape)
        else:
            out[i.name] = rng.integers(0, 30000, shape)
    return out


def expected(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def relative_error(got, want):
    return float(np.linalg.norm(got.astype(np.float64) - want) / max(np.linalg.norm(want.astype(np.float64)), 1e-30))


def feed(folder, inputs):
    """Writes inputs as .npy; the arguments that hand them over."""
    arguments = []
    for name, array in inputs.items():
        np.save(folder / f"{name}.npy", array)
        arguments += ["--input", f"{name}={folder / name}.npy"]
    return arguments
