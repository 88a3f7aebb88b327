"""Models as onnxruntime's own tools write them: optimised for transformers, optimised by a session, quantised."""
import contextlib
import io
import logging
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HIDDEN, HEADS, INNER, WORDS, LENGTH = 64, 4, 96, 50, 10


class Writer:
    """Nodes and seeded weights of one graph."""

    def __init__(self):
        self.nodes, self.weights, self.rng = [], {}, np.random.default_rng(7)

    def op(self, op, *inputs, **attributes):
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        return name

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.weights)}"
        self.weights[name] = np.asarray(value, dtype)
        return name

    def weight(self, *shape):
        return self.constant(self.rng.standard_normal(shape) / np.sqrt(shape[0]))

    def linear(self, x, inputs, outputs):
        return self.op("Add", self.op("MatMul", x, self.weight(inputs, outputs)), self.weight(outputs))

    def norm(self, x):
        return self.op("LayerNormalization", x, self.constant(self.rng.uniform(0.5, 1.5, HIDDEN)), self.weight(HIDDEN), axis=-1, epsilon=1e-5)

    def heads(self, x):
        return self.op("Transpose", self.op("Reshape", x, self.constant([0, 0, HEADS, HIDDEN // HEADS], np.int64)), perm=[0, 2, 1, 3])

    def save(self, path, inputs, output, opset=17):
        value = lambda name, dtype, shape: helper.make_tensor_value_info(name, dtype, shape)
        tensors = [numpy_helper.from_array(w, n) for n, w in self.weights.items()]
        graph = helper.make_graph(self.nodes, path.stem, [value(*i) for i in inputs], [value(*output)], tensors)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9, producer_name="pytorch"), path)
        return path


def bert(path):
    """Two layers, spelled as transformers' models came out of torch.onnx: what the fusions look for."""
    w = Writer()
    word = w.op("Gather", w.weight(WORDS, HIDDEN), "input_ids")
    segment = w.op("Gather", w.weight(2, HIDDEN), "token_type_ids")
    position = w.op("Gather", w.weight(LENGTH, HIDDEN), w.constant([np.arange(LENGTH)], np.int64))
    x = w.norm(w.op("Add", w.op("Add", word, segment), position))
    mask = w.op("Unsqueeze", w.op("Unsqueeze", "attention_mask", w.constant([1], np.int64)), w.constant([2], np.int64))
    mask = w.op("Mul", w.op("Sub", w.constant(1), w.op("Cast", mask, to=TensorProto.FLOAT)), w.constant(-10000))
    for _ in range(2):
        q, k, v = (w.heads(w.linear(x, HIDDEN, HIDDEN)) for _ in range(3))
        scores = w.op("Div", w.op("MatMul", q, w.op("Transpose", k, perm=[0, 1, 3, 2])), w.constant(np.sqrt(HIDDEN // HEADS)))
        mixed = w.op("MatMul", w.op("Softmax", w.op("Add", scores, mask), axis=-1), v)
        joined = w.op("Reshape", w.op("Transpose", mixed, perm=[0, 2, 1, 3]), w.constant([0, 0, HIDDEN], np.int64))
        x = w.norm(w.op("Add", w.linear(joined, HIDDEN, HIDDEN), x))
        h = w.linear(x, HIDDEN, INNER)
        h = w.op("Mul", w.op("Mul", h, w.op("Add", w.op("Erf", w.op("Div", h, w.constant(np.sqrt(2)))), w.constant(1))), w.constant(0.5))
        x = w.norm(w.op("Add", w.linear(h, INNER, HIDDEN), x))
    inputs = [(n, TensorProto.INT64, [2, LENGTH]) for n in ("input_ids", "token_type_ids", "attention_mask")]
    w.nodes[-1].output[0] = "y"
    return w.save(path, inputs, ("y", TensorProto.FLOAT, [2, LENGTH, HIDDEN]))


def cnn(path):
    """Every layer for which the quantiser has an operator of its own."""
    w = Writer()

    def conv(x, inputs, outputs, size=3):
        scale = 1 / np.sqrt(inputs * size * size)
        return w.op("Conv", x, w.constant(w.rng.standard_normal((outputs, inputs, size, size)) * scale), w.weight(outputs), pads=[size // 2] * 4)

    a = w.op("LeakyRelu", conv("x", 3, 8), alpha=0.1)
    b = w.op("Sigmoid", conv(a, 8, 8))
    c = w.op("Concat", w.op("Mul", a, b), w.op("Add", a, conv(a, 8, 8, 1)), axis=1)
    d = w.op("AveragePool", w.op("MaxPool", c, kernel_shape=[2, 2], strides=[2, 2]), kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    e = w.op("Flatten", w.op("GlobalAveragePool", d))
    w.op("Softmax", w.op("Gemm", e, w.weight(16, 10), w.weight(10)), axis=1)
    w.nodes[-1].output[0] = "y"
    return w.save(path, [("x", TensorProto.FLOAT, [1, 3, 16, 16])], ("y", TensorProto.FLOAT, [1, 10]), opset=13)


def inputs_of(path, seed):
    rng = np.random.default_rng(seed)
    if "cnn" in path.stem:
        return {"x": rng.standard_normal((1, 3, 16, 16)).astype(np.float32)}
    return {"input_ids": rng.integers(0, WORDS, (2, LENGTH)), "token_type_ids": rng.integers(0, 2, (2, LENGTH)),
            "attention_mask": (np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (2, 1))).astype(np.int64)}


@contextlib.contextmanager
def quiet():
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def optimised(path, attention="Attention"):
    """By the optimiser for transformers."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    options = FusionOptions("bert")
    options.use_multi_head_attention = attention == "MultiHeadAttention"
    with quiet():
        model = optimizer.optimize_model(str(path), "bert", num_heads=HEADS, hidden_size=HIDDEN, opt_level=0, optimization_options=options)
        out = path.with_name(f"{path.stem}_{attention}.onnx")
        model.save_model_to_file(str(out))
    return out


def by_a_session(path):
    """What a session that optimises writes down, without the forms that fit one machine only."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_name(f"{path.stem}_session.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options)
    return path.with_name(f"{path.stem}_session.onnx")


def dynamically_quantised(path):
    from onnxruntime.quantization import quantize_dynamic

    out = path.with_name(f"{path.stem}_dynamic.onnx")
    with quiet():
        quantize_dynamic(str(path), str(out), extra_options={"DefaultTensorType": TensorProto.FLOAT})
    return out


def statically_quantised(path, form):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = [inputs_of(path, seed) for seed in range(4)]

        def get_next(self):
            return self.left.pop() if self.left else None

    out = path.with_name(f"{path.stem}_{form}.onnx")
    with quiet():
        quantize_static(str(path), str(out), Reader(), quant_format=QuantFormat[form], extra_options={"DefaultTensorType": TensorProto.FLOAT})
    return out


def operators(path):
    return {(n.domain + "." if n.domain not in ("", "ai.onnx") else "") + n.op_type for n in onnx.load(path).graph.node}


def decoder(path, length, past):
    """Two layers of a decoder as exporters of language models write them: 4-bit weights, grouped heads with a cache."""
    w, size, kv_heads = Writer(), 16, 2
    hidden = HEADS * size

    def op(name, *inputs, outputs=1, **attributes):
        made = [f"{name}_{len(w.nodes)}_{i}" for i in range(outputs)]
        w.nodes.append(helper.make_node(name, list(inputs), made, made[0], domain="com.microsoft", **attributes))
        return made if outputs > 1 else made[0]

    def linear(x, inputs, outputs):
        packed = w.constant(w.rng.integers(0, 256, (outputs, inputs // 32, 16)), np.uint8)
        scales = w.constant(w.rng.uniform(0.01, 0.05, (outputs, inputs // 32)))
        return op("MatMulNBits", x, packed, scales, K=inputs, N=outputs, bits=4, block_size=32)

    def add_and_norm(x, y):
        made = op("SkipSimplifiedLayerNormalization", y, x, w.constant(w.rng.uniform(0.5, 1.5, hidden)), outputs=4, epsilon=1e-5)
        return made[3], made[0]

    angles = np.outer(np.arange(64), 10000.0 ** (-np.arange(size // 2) / (size // 2)))
    cos, sin, total = w.constant(np.cos(angles)), w.constant(np.sin(angles)), w.constant(past + length, np.int32)
    x = w.op("Gather", w.weight(WORDS, hidden), "input_ids")
    y = w.op("SimplifiedLayerNormalization", x, w.constant(w.rng.uniform(0.5, 1.5, hidden)), axis=-1, epsilon=1e-5)
    inputs = [("input_ids", TensorProto.INT64, [1, length]), ("seqlens_k", TensorProto.INT32, [1])]
    for layer in range(2):
        cache = [f"past_k{layer}", f"past_v{layer}"]
        inputs += [(name, TensorProto.FLOAT, [1, kv_heads, past, size]) for name in cache]
        qkv = linear(y, hidden, hidden + 2 * kv_heads * size)
        attended = op("GroupQueryAttention", qkv, "", "", *cache, "seqlens_k", total, cos, sin, outputs=3, num_heads=HEADS, kv_num_heads=kv_heads, do_rotary=1)[0]
        x, y = add_and_norm(x, linear(attended, hidden, hidden))
        x, y = add_and_norm(x, linear(op("QuickGelu", linear(y, hidden, 2 * hidden), alpha=1.0), 2 * hidden, hidden))
    linear(y, hidden, WORDS)
    w.nodes[-1].output[0] = "y"
    for node in w.nodes:  # nobody asks for these
        if node.op_type == "SkipSimplifiedLayerNormalization":
            node.output[1] = node.output[2] = ""
    path = w.save(path, inputs, ("y", TensorProto.FLOAT, [1, length, WORDS]))
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, path)
    return path


def decoder_inputs(path, length, past):
    rng, arrays = np.random.default_rng(past), {}
    for i in onnxruntime.InferenceSession(str(path)).get_inputs():
        if i.name == "input_ids":
            arrays[i.name] = rng.integers(0, WORDS, i.shape)
        elif i.name == "seqlens_k":
            arrays[i.name] = np.array([past + length - 1], np.int32)
        else:
            arrays[i.name] = rng.standard_normal(i.shape).astype(np.float32)
    return arrays
