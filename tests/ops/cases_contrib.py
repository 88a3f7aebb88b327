"""Operators of com.microsoft: what they are written in, against onnxruntime's own kernels."""
import numpy as np

from harness import Case, operator, run_onnxruntime

MICROSOFT = "com.microsoft"


def draw(rng, *shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def sizes(rng, count, most=5):
    return (int(x) for x in rng.integers(1, most, count))


def contrib(op, inputs, attributes=None, **more):
    inputs = list(inputs)
    while inputs[-1] is None:
        inputs.pop()
    return Case(op, inputs, attributes or {}, domain=MICROSOFT, **{"opset": 1, "tolerance": 1e-4, **more})


def byte_tensor(rng, shape, signed=None):
    signed = rng.random() < 0.5 if signed is None else signed
    return rng.integers(-128, 128, shape).astype(np.int8) if signed else rng.integers(0, 256, shape).astype(np.uint8)


def factor(rng):
    return np.float32(rng.uniform(0.01, 0.1))


def without(rng, case, inputs):
    """Leaves out some inputs that are then 0; onnxruntime, which is the oracle, wants (or crashes without) them."""
    absent = [i for i in inputs if rng.random() < 0.3]
    for i in absent:
        case.inputs[i] = np.zeros_like(case.inputs[i])
    case.expected = run_onnxruntime(case)
    for i in absent:
        case.inputs[i] = None
    while case.inputs[-1] is None:
        case.inputs.pop()
    return case


# --- fused products and activations


@operator("FusedMatMul", 40)
def fused_matmul(rng):
    m, k, n, b = sizes(rng, 4, 6)
    ta, tb, ba, bb = (bool(rng.integers(0, 2)) for _ in range(4))
    rank = int(rng.integers(2, 5))
    outer = [b, int(rng.integers(1, 4))][:rank - 2]

    def operand(rows, columns, transposed, batch):
        shape = list(outer) + ([columns, rows] if transposed else [rows, columns])
        if batch and rank > 2:  # its first matrix axis stands before the batch
            shape = [shape[-2], *shape[:-2], shape[-1]]
        return draw(rng, *shape)

    attributes = {"transA": int(ta), "transB": int(tb), "alpha": float(np.float32(rng.choice([1.0, 0.5])))}
    if rank > 2:
        attributes |= {"transBatchA": int(ba), "transBatchB": int(bb)}
    return contrib("FusedMatMul", [operand(m, k, ta, ba), operand(k, n, tb, bb)], attributes, symbolic=(0, 1), lowered=True)


@operator("FusedGemm", 12)
def fused_gemm(rng):
    m, k, n = sizes(rng, 3, 6)
    activation, extra = [("Relu", {}), ("LeakyRelu", {"activation_alpha": 0.25}), ("Tanh", {}), ("Sigmoid", {}),
                         ("HardSigmoid", {"activation_alpha": 0.3, "activation_beta": 0.4})][rng.integers(0, 5)]
    ta, tb = (int(x) for x in rng.integers(0, 2, 2))
    inputs = [draw(rng, k, m) if ta else draw(rng, m, k), draw(rng, n, k) if tb else draw(rng, k, n), draw(rng, n) if rng.random() < 0.5 else None]
    return contrib("FusedGemm", inputs, {"transA": ta, "transB": tb, "alpha": 0.5, "beta": 2.0, "activation": activation, **extra}, lowered=True)


@operator("FusedConv", 16)
def fused_conv(rng):
    c, k = sizes(rng, 2)
    activation, parameters = [("Relu", None), ("LeakyRelu", [0.25]), ("Clip", [-0.5, 0.75]), ("Tanh", None), ("Sigmoid", None),
                              ("HardSigmoid", [0.3, 0.4])][rng.integers(0, 6)]
    attributes = {"activation": activation, "pads": [1, 1, 1, 1], "kernel_shape": [3, 3], "strides": [int(rng.integers(1, 3))] * 2}
    if parameters:
        attributes["activation_params"] = parameters
    z = draw(rng, 2, k, 6, 6) if attributes["strides"][0] == 1 and rng.random() < 0.5 else None
    return contrib("FusedConv", [draw(rng, 2, c, 6, 6), draw(rng, k, c, 3, 3), draw(rng, k) if rng.random() < 0.7 or z is not None else None, z], attributes, lowered=True)


@operator("BiasGelu", 4)
def bias_gelu(rng):
    n = int(rng.integers(1, 20))
    return contrib("BiasGelu", [draw(rng, 2, 3, n), draw(rng, n)], symbolic=(0,), lowered=True)


@operator("FastGelu", 6)
def fast_gelu(rng):
    n = int(rng.integers(1, 20))
    return contrib("FastGelu", [draw(rng, 2, 3, n), draw(rng, n) if rng.random() < 0.5 else None], symbolic=(0,), lowered=True)


@operator("com.microsoft.Gelu", 3)
def gelu(rng):
    return contrib("Gelu", [draw(rng, 2, int(rng.integers(1, 20)))], lowered=True)


@operator("QuickGelu", 4)
def quick_gelu(rng):
    return contrib("QuickGelu", [draw(rng, 2, int(rng.integers(1, 20)))], {"alpha": 1.5} if rng.random() < 0.5 else {}, lowered=True)


# --- older forms


@operator("ExpandDims", 6)
def expand_dims(rng):
    return contrib("ExpandDims", [draw(rng, 2, 3), np.int32(rng.integers(-3, 3))], constants=(1,))


@operator("com.microsoft.GatherND", 6)
def gather_nd(rng):
    return contrib("GatherND", [draw(rng, 3, 4, 2), rng.integers(0, 3, (5, int(rng.integers(1, 3)))).astype(np.int32 if rng.random() < 0.5 else np.int64)])


@operator("com.microsoft.Trilu", 8)
def trilu(rng):
    k = np.int64(rng.integers(-3, 4)) if rng.random() < 0.6 else None
    return contrib("Trilu", [draw(rng, 2, 4, 5), k], {"upper": int(rng.integers(0, 2))}, constants=(1,))


@operator("com.microsoft.Range", 6)
def ranges(rng):
    one = bool(rng.integers(0, 2))
    dtype = [np.int64, np.float32, np.int32][rng.integers(0, 3)]
    values = [dtype(1), dtype(9), dtype(2) if rng.random() < 0.5 else None]
    return contrib("Range", [v if v is None or not one else np.array([v]) for v in values], constants=(0, 1, 2))


@operator("com.microsoft.Pad", 6)
def pad(rng):
    mode = ["constant", "reflect", "edge"][rng.integers(0, 3)]
    value = np.array([2.5], np.float32) if mode == "constant" and rng.random() < 0.5 else None
    return contrib("Pad", [draw(rng, 4, 5), rng.integers(0, 3, 4).astype(np.int64), value], {"mode": mode}, constants=(1, 2))


@operator("com.microsoft.Unique", 4)
def unique(rng):
    return contrib("Unique", [rng.integers(0, 6, 12).astype(np.float32)], outputs=3)


@operator("NhwcMaxPool", 6)
def nhwc_max_pool(rng):
    return contrib("NhwcMaxPool", [byte_tensor(rng, (2, 7, 6, 3))], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]})


@operator("Inverse", 8)
def inverse(rng):
    n = int(rng.integers(1, 8))
    outer = [(), (3,), (2, 2)][rng.integers(0, 3)]
    x = rng.standard_normal((*outer, n, n)) + 4 * np.eye(n)
    return contrib("Inverse", [x.astype(np.float32 if rng.random() < 0.7 else np.float64)], symbolic=(0,))


# --- normalisation


@operator("SkipLayerNormalization", 24)
def skip_layer_norm(rng):
    batch, length, size = sizes(rng, 3, 9)
    skip = [(batch, length, size), (1, length, size), (length, size)][rng.integers(0, 3)]
    inputs = [draw(rng, batch, length, size), draw(rng, *skip), draw(rng, size), draw(rng, size) if rng.random() < 0.7 else None,
              draw(rng, size) if rng.random() < 0.5 else None]
    more = {"outputs": 4, "absent_outputs": (1, 2)} if rng.random() < 0.5 else {}
    return contrib("SkipLayerNormalization", inputs, {"epsilon": 1e-3} if rng.random() < 0.7 else {}, symbolic=(0,), tolerance=1e-3, **more)


@operator("SkipSimplifiedLayerNormalization", 16)
def skip_simplified(rng):
    batch, length, size = sizes(rng, 3, 9)
    inputs = [draw(rng, batch, length, size), draw(rng, batch, length, size), draw(rng, size), draw(rng, size) if rng.random() < 0.5 else None]
    more = {"outputs": 4, "absent_outputs": (1, 2)} if rng.random() < 0.5 else {}
    return contrib("SkipSimplifiedLayerNormalization", inputs, {"epsilon": 1e-3} if rng.random() < 0.7 else {}, symbolic=(0,), **more)


@operator("SimplifiedLayerNormalization", 10)
def simplified(rng):
    x = draw(rng, *sizes(rng, 3, 9))
    axis = int(rng.choice([-1, 2, 1]))
    outputs = int(rng.integers(1, 3))
    return Case("SimplifiedLayerNormalization", [x, draw(rng, *x.shape[axis:])], {"axis": axis, "epsilon": 1e-3}, outputs=outputs, opset=17, symbolic=(0,), tolerance=1e-4)


@operator("EmbedLayerNormalization", 24)
def embed(rng):
    batch, length, size, words = sizes(rng, 4, 8)
    segments, mask, positions = (bool(rng.integers(0, 2)) for _ in range(3))

    def ids(*shape):
        return rng.integers(0, words, shape).astype(np.int32)

    inputs = [ids(batch, length), ids(batch, length) if segments else None, draw(rng, words, size), draw(rng, max(words, length), size),
              draw(rng, words, size) if segments else None, draw(rng, size), draw(rng, size),
              rng.integers(0, 2, (batch, length)).astype(np.int32) if mask else None,
              ids(*[(batch, length), (1, length)][rng.integers(0, 2)]) if positions else None]
    return contrib("EmbedLayerNormalization", inputs, {"epsilon": 1e-3}, outputs=int(rng.integers(2, 4)), tolerance=1e-3, symbolic=(0, 1, 7, 8))


# --- attention


def mask_of(rng, kind, batch, length, total):
    if kind == "lengths":
        return rng.integers(1, total + 1, batch).astype(np.int32)
    if kind == "ends and starts":
        starts = rng.integers(0, total, batch)
        return np.concatenate([rng.integers(starts + 1, total + 1), starts]).astype(np.int32)
    if kind == "keys":
        return (rng.random((batch, total)) < 0.7).astype(np.int32)
    if kind == "one for all keys":
        return np.ones((batch, 1), np.int32)
    return (rng.random((batch, length, total)) < 0.7).astype(np.int32) if kind == "pairs" else None


def bias_of(rng, batch, heads, length, total):
    return draw(rng, batch if rng.random() < 0.5 else 1, heads if rng.random() < 0.5 else 1, length, total)


def score_attributes(rng):
    attributes = {}
    if rng.random() < 0.4:
        attributes["unidirectional"] = 1
    if rng.random() < 0.3:
        attributes["scale"] = float(np.float32(rng.uniform(0.1, 1)))
    if rng.random() < 0.3:
        attributes["mask_filter_value"] = -3.0
    return attributes


@operator("com.microsoft.Attention", 80)
def attention(rng):
    batch, heads, length, size, hidden = sizes(rng, 5)
    past = int(rng.integers(1, 4)) if rng.random() < 0.4 else 0
    value_size = size if past or rng.random() < 0.6 else int(rng.integers(1, 5))
    widths = [heads * size, heads * size, heads * value_size]
    mask = mask_of(rng, rng.choice(["none", "lengths", "ends and starts", "keys", "one for all keys", "pairs"]), batch, length, past + length)
    inputs = [draw(rng, batch, length, hidden), draw(rng, hidden, sum(widths)), draw(rng, sum(widths)), mask,
              draw(rng, 2, batch, heads, past, size) if past else None, bias_of(rng, batch, heads, length, past + length) if not past and rng.random() < 0.4 else None]
    attributes = {"num_heads": heads, **score_attributes(rng)}
    if value_size != size or rng.random() < 0.3:
        attributes["qkv_hidden_sizes"] = widths
    outputs = 2 if past or (value_size == size and rng.random() < 0.2) else 1
    symbolic = (0, 4) if mask is None else (4,) if mask.ndim == 1 else (0, 3, 4)
    return without(rng, contrib("Attention", inputs, attributes, outputs=outputs, symbolic=symbolic), (2,))


@operator("QAttention", 40)
def quantized_attention(rng):
    batch, heads, length, size, hidden = sizes(rng, 5)
    past = int(rng.integers(1, 4)) if rng.random() < 0.4 else 0
    width = 3 * heads * size
    weights = byte_tensor(rng, (hidden, width))
    columns = rng.random() < 0.4
    mask = mask_of(rng, rng.choice(["none", "lengths", "keys"]), batch, length, past + length)
    zeros = rng.random() < 0.7
    weight_zero = None
    if zeros:
        weight_zero = np.zeros(width, weights.dtype) if columns else byte_tensor(rng, (), weights.dtype == np.int8)
    inputs = [byte_tensor(rng, (batch, length, hidden), False), weights, draw(rng, width), factor(rng),
              rng.uniform(0.01, 0.1, width).astype(np.float32) if columns else factor(rng), mask,
              np.uint8(rng.integers(0, 256)) if zeros else None, weight_zero, draw(rng, 2, batch, heads, past, size) if past else None]
    attributes = {"num_heads": heads, "unidirectional": int(rng.integers(0, 2))}
    return contrib("QAttention", inputs, attributes, outputs=2 if past else 1, tolerance=1e-3)


@operator("MultiHeadAttention", 80)
def multi_head_attention(rng):
    batch, heads, length, kv_length, size, value_size = sizes(rng, 6)
    crossed = rng.random() < 0.25  # keys and values in heads already
    value_size = size if crossed else value_size
    past = int(rng.integers(1, 4)) if not crossed and rng.random() < 0.4 else 0
    if past:
        kv_length, value_size = length, size
    total = past + kv_length
    if crossed:
        key, value = draw(rng, batch, heads, kv_length, size), draw(rng, batch, heads, kv_length, value_size)
    else:
        key, value = draw(rng, batch, kv_length, heads * size), draw(rng, batch, kv_length, heads * value_size)
    mask = mask_of(rng, rng.choice(["none", "lengths", "keys", "pairs"]), batch, length, total)
    bias = draw(rng, heads * (2 * size + value_size)) if not crossed and rng.random() < 0.6 else None
    inputs = [draw(rng, batch, length, heads * size), key, value, bias, mask, bias_of(rng, batch, heads, length, total) if rng.random() < 0.4 else None]
    if past:
        inputs += [draw(rng, batch, heads, past, size), draw(rng, batch, heads, past, value_size)]
    outputs = 3 if past or (not crossed and rng.random() < 0.3) else 1
    attributes = {"num_heads": heads, **score_attributes(rng)}
    if kv_length != length:
        attributes.pop("unidirectional", None)  # onnxruntime lets the last query see all keys
    return contrib("MultiHeadAttention", inputs, attributes, outputs=outputs, symbolic=() if crossed else (1, 2, 6, 7))


@operator("com.microsoft.RotaryEmbedding", 30)
def rotary(rng):
    batch, heads, length, half = sizes(rng, 4)
    rest = 2 * int(rng.integers(0, 3)) if rng.random() < 0.4 else 0
    size = 2 * half + rest
    flat = bool(rest) or rng.random() < 0.6
    x = draw(rng, batch, length, heads * size) if flat else draw(rng, batch, heads, length, size)
    attributes = {"interleaved": int(rng.integers(0, 2))}
    if rest:
        attributes |= {"rotary_embedding_dim": 2 * half, "num_heads": heads}
    positions = np.array([rng.integers(0, 5)]) if rng.random() < 0.5 else rng.integers(0, 9, (batch, length))
    return contrib("RotaryEmbedding", [x, positions.astype(np.int64), draw(rng, 9, half), draw(rng, 9, half)], attributes, symbolic=(0, 1) if rest or not flat else (1,))


@operator("GroupQueryAttention", 120)
def group_query_attention(rng):
    batch, kv_heads, group, length, half = sizes(rng, 5)
    heads, size, rotary = kv_heads * group, 16 * half, rng.random() < 0.5
    past = int(rng.integers(1, 5)) if rng.random() < 0.5 else 0
    if past and batch > 1:
        length = 1  # onnxruntime takes no more
    packed = rng.random() < 0.4
    if packed:
        qkv = [draw(rng, batch, length, (heads + 2 * kv_heads) * size), None, None]
    else:
        qkv = [draw(rng, batch, length, heads * size), draw(rng, batch, length, kv_heads * size), draw(rng, batch, length, kv_heads * size)]
    total = past + length
    filled = np.full(batch, total)
    if past and length == 1:
        filled = rng.integers(2, total + 1, batch)
        filled[0] = total
    cache = [draw(rng, batch, kv_heads, past, size) if past else None for _ in range(2)]
    inputs = [*qkv, *cache, (filled - 1).astype(np.int32), np.int32(total)]
    attributes = {"num_heads": heads, "kv_num_heads": kv_heads}
    if rotary:
        inputs += [draw(rng, 12, size // 2), draw(rng, 12, size // 2)]
        attributes |= {"do_rotary": 1, "rotary_interleaved": int(rng.integers(0, 2))}
    else:
        inputs += [None, None]
    inputs += [None, bias_of(rng, batch, heads, length, total) if rng.random() < 0.3 else None, None]
    if rng.random() < 0.3:
        attributes["scale"] = 0.4
    if rng.random() < 0.3:
        attributes["softcap"] = 1.5
    if rng.random() < 0.3:
        attributes["local_window_size"] = int(rng.integers(1, 4))
    if rng.random() < 0.2:
        attributes["smooth_softmax"] = 1
    elif rng.random() < 0.2:
        inputs[11] = draw(rng, heads)
    return contrib("GroupQueryAttention", inputs, attributes, outputs=3, constants=(6,), symbolic=(3, 4))


# --- quantised


@operator("QLinearAdd", 12)
def qlinear_add(rng):
    return qlinear_binary(rng, "QLinearAdd")


@operator("QLinearMul", 12)
def qlinear_mul(rng):
    return qlinear_binary(rng, "QLinearMul")


def qlinear_binary(rng, op):
    signed = bool(rng.integers(0, 2))
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 9)))
    other = [shape, (1, shape[1]), ()][rng.integers(0, 3)]
    inputs = [byte_tensor(rng, shape, signed), factor(rng), byte_tensor(rng, (), signed), byte_tensor(rng, other, signed), factor(rng), byte_tensor(rng, (), signed),
              factor(rng), byte_tensor(rng, (), signed)]
    return without(rng, contrib(op, inputs, tolerance=1, lowered=True), (2, 5, 7))


def qlinear_unary(rng, op, shape, attributes=None, **more):
    signed = bool(rng.integers(0, 2))
    inputs = [byte_tensor(rng, shape, signed), factor(rng), byte_tensor(rng, (), signed), factor(rng), byte_tensor(rng, (), signed)]
    return contrib(op, inputs, attributes, tolerance=1, **more)


@operator("QLinearLeakyRelu", 6)
def qlinear_leaky(rng):
    return without(rng, qlinear_unary(rng, "QLinearLeakyRelu", (2, 9), {"alpha": 0.2}, constants=(1, 2, 3, 4)), (2, 4))


@operator("QLinearSigmoid", 6)
def qlinear_sigmoid(rng):
    return without(rng, qlinear_unary(rng, "QLinearSigmoid", (2, 9), constants=(1, 2, 3, 4)), (2, 4))


@operator("QLinearSoftmax", 10)
def qlinear_softmax(rng):
    case = qlinear_unary(rng, "QLinearSoftmax", (2, 3, 5), {"opset": int(rng.choice([11, 13])), "axis": int(rng.integers(-1, 3))}, constants=(1, 2, 3, 4))
    case.inputs[3] = np.asarray(np.float32(1 / 256))
    return case


@operator("QLinearConcat", 8)
def qlinear_concat(rng):
    signed = bool(rng.integers(0, 2))
    inputs = [factor(rng), byte_tensor(rng, (), signed)]
    for _ in range(int(rng.integers(1, 4))):
        inputs += [byte_tensor(rng, (2, int(rng.integers(1, 5))), signed), factor(rng), byte_tensor(rng, (), signed)]
    return contrib("QLinearConcat", inputs, {"axis": 1}, tolerance=1, constants=tuple(i for i in range(len(inputs)) if i % 3 != 2))


@operator("QLinearWhere", 6)
def qlinear_where(rng):
    signed = bool(rng.integers(0, 2))
    inputs = [rng.random((2, 5)) < 0.5, byte_tensor(rng, (2, 5), signed), factor(rng), byte_tensor(rng, (), signed), byte_tensor(rng, (1, 5), signed),
              factor(rng), byte_tensor(rng, (), signed), factor(rng), byte_tensor(rng, (), signed)]
    return contrib("QLinearWhere", inputs, tolerance=1, constants=(2, 3, 5, 6, 7, 8))


@operator("QLinearAveragePool", 12)
def qlinear_average_pool(rng):
    last = int(rng.integers(0, 2))
    attributes = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1], "count_include_pad": int(rng.integers(0, 2)), "channels_last": last}
    return qlinear_unary(rng, "QLinearAveragePool", (2, 7, 6, 3) if last else (2, 3, 7, 6), attributes)


@operator("QLinearGlobalAveragePool", 6)
def qlinear_global_average_pool(rng):
    return qlinear_unary(rng, "QLinearGlobalAveragePool", (2, 3, 4, 5), {"channels_last": int(rng.integers(0, 2))})


@operator("com.microsoft.QLinearConv", 12)
def qlinear_conv(rng):
    last = int(rng.integers(0, 2))
    signed = bool(rng.integers(0, 2))
    x = byte_tensor(rng, (2, 6, 5, 3) if last else (2, 3, 6, 5), signed)
    inputs = [x, factor(rng), byte_tensor(rng, (), signed), byte_tensor(rng, (4, 3, 3, 3), True), factor(rng), np.int8(0), np.float32(1.0),
              byte_tensor(rng, (), signed), rng.integers(-500, 500, 4).astype(np.int32) if rng.random() < 0.5 else None]
    return contrib("QLinearConv", inputs, {"channels_last": last, "pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}, tolerance=1, constants=tuple(range(1, 9)))


@operator("com.microsoft.QuantizeLinear", 8)
def quantize_linear(rng):
    axis = int(rng.integers(0, 2))
    x = draw(rng, 4, 5, scale=5)
    shape = () if rng.random() < 0.5 else (x.shape[axis],)
    dtype = [np.int8, np.uint8, np.int16, np.uint16][rng.integers(0, 4)]
    return contrib("QuantizeLinear", [x, rng.uniform(0.01, 0.1, shape).astype(np.float32), np.full(shape, 7, dtype)], {"axis": axis} if shape else {})


@operator("com.microsoft.DequantizeLinear", 8)
def dequantize_linear(rng):
    axis = int(rng.integers(0, 2))
    dtype = [np.int8, np.uint8, np.int16, np.uint16][rng.integers(0, 4)]
    x = rng.integers(0, 100, (4, 5)).astype(dtype)
    shape = () if rng.random() < 0.5 else (x.shape[axis],)
    zero = np.full(shape, 7, dtype) if rng.random() < 0.7 else None
    return contrib("DequantizeLinear", [x, rng.uniform(0.01, 0.1, shape).astype(np.float32), zero], {"axis": axis} if shape else {})


def scaled_weights(rng, k, n):
    """Weights of a product with their scale and zero point, for the whole matrix or by columns."""
    signed, columns = (bool(x) for x in rng.integers(0, 2, 2))
    shape = (n,) if columns else ()
    zero = byte_tensor(rng, shape, signed) if rng.random() < 0.6 else None
    return byte_tensor(rng, (k, n), signed), rng.uniform(0.01, 0.1, shape).astype(np.float32), zero


@operator("DynamicQuantizeMatMul", 16)
def dynamic_quantize_matmul(rng):
    m, k, n = sizes(rng, 3, 9)
    w, scale, zero = scaled_weights(rng, k, n)
    x = draw(rng, 2, m, k) if rng.random() < 0.5 else draw(rng, m, k)
    return contrib("DynamicQuantizeMatMul", [x, w, scale, zero, draw(rng, n) if rng.random() < 0.5 else None], constants=(1, 2, 3), tolerance=1e-3)


@operator("MatMulIntegerToFloat", 16)
def matmul_integer_to_float(rng):
    m, k, n = sizes(rng, 3, 9)
    w, scale, zero = scaled_weights(rng, k, n)
    signed = False
    x = byte_tensor(rng, (2, m, k), signed)
    inputs = [x, w, factor(rng), scale, byte_tensor(rng, (), signed) if rng.random() < 0.6 else None, zero, draw(rng, n) if rng.random() < 0.5 else None]
    return contrib("MatMulIntegerToFloat", inputs, constants=(1, 2, 3, 4, 5), tolerance=1e-3)


@operator("QGemm", 20)
def qgemm(rng):
    m, k, n = sizes(rng, 3, 9)
    ta, tb = (int(x) for x in rng.integers(0, 2, 2))
    signed = bool(rng.integers(0, 2))
    w, scale, zero = scaled_weights(rng, k, n)
    zero = np.zeros(scale.shape, w.dtype) if zero is None else zero
    inputs = [byte_tensor(rng, (k, m) if ta else (m, k), False), factor(rng), byte_tensor(rng, (), False), np.ascontiguousarray(w.T) if tb else w, scale, zero,
              rng.integers(-500, 500, (n,)).astype(np.int32) if rng.random() < 0.5 else None]
    if rng.random() < 0.6:
        inputs += [np.float32(1.0), byte_tensor(rng, (), False)]
    return contrib("QGemm", inputs, {"transA": ta, "transB": tb, "alpha": float(rng.choice([1.0, 0.5]))}, tolerance=1 if len(inputs) > 7 else 1e-3, constants=(1, 2, 3, 4, 5, 6, 7, 8))


@operator("MatMulNBits", 24)
def matmul_nbits(rng):
    bits, block = int(rng.choice([4, 8])), int(rng.choice([16, 32]))
    k, n, m = int(rng.integers(1, 80)), int(rng.integers(1, 9)), int(rng.integers(1, 4))
    blocks = -(-k // block)
    zero = [None, byte_tensor(rng, (n, -(-blocks * bits // 8)), False), None if bits == 8 else draw(rng, n, blocks)][rng.integers(0, 3)]
    inputs = [draw(rng, 2, m, k), byte_tensor(rng, (n, blocks, block * bits // 8), False), rng.uniform(0.01, 0.1, (n, blocks)).astype(np.float32), zero, None,
              draw(rng, n) if rng.random() < 0.5 else None]
    return contrib("MatMulNBits", inputs, {"K": k, "N": n, "bits": bits, "block_size": block}, constants=(1, 2, 3), symbolic=(0,), tolerance=1e-3)


@operator("GatherBlockQuantized", 12)
def gather_block_quantized(rng):
    bits = int(rng.choice([4, 8]))
    rows, blocks, block = int(rng.integers(2, 6)), int(rng.integers(1, 4)), 16
    zero = byte_tensor(rng, (rows, -(-blocks * bits // 8)), False) if rng.random() < 0.5 else None
    inputs = [byte_tensor(rng, (rows, blocks * block * bits // 8), False), rng.integers(0, rows, (2, 3)).astype(np.int64),
              rng.uniform(0.01, 0.1, (rows, blocks)).astype(np.float32), zero]
    return contrib("GatherBlockQuantized", inputs, {"bits": bits, "block_size": block, "gather_axis": 0, "quantize_axis": 1}, constants=(0, 2, 3))


@operator("DynamicQuantizeLSTM", 10)
def dynamic_quantize_lstm(rng):
    """onnxruntime quantises what goes in as well: with weights in full precision its LSTM is the oracle, and it is near."""
    length, batch, inputs, hidden = sizes(rng, 4, 6)
    direction, directions = [("forward", 1), ("reverse", 1), ("bidirectional", 2)][rng.integers(0, 3)]
    columns, signed = (bool(x) for x in rng.integers(0, 2, 2))

    def weights(rows):
        q = byte_tensor(rng, (directions, rows, 4 * hidden), signed)
        scale = rng.uniform(0.002, 0.01, (directions, 4 * hidden) if columns else (directions,)).astype(np.float32)
        zero = np.zeros(scale.shape, q.dtype) if columns else byte_tensor(rng, scale.shape, signed)
        spread = (lambda a: a[:, None, :]) if columns else (lambda a: a[:, None, None])
        full = (q.astype(np.float32) - spread(zero.astype(np.float32))) * spread(scale)
        return q, scale, zero, np.ascontiguousarray(full.transpose(0, 2, 1))

    w, w_scale, w_zero, w_full = weights(inputs)
    r, r_scale, r_zero, r_full = weights(hidden)
    x, bias = draw(rng, length, batch, inputs), draw(rng, directions, 8 * hidden) if rng.random() < 0.7 else None
    attributes = {"hidden_size": hidden, "direction": direction}
    case = contrib("DynamicQuantizeLSTM", [x, w, r, bias, None, None, None, None, w_scale, w_zero, r_scale, r_zero], attributes, outputs=3,
                   constants=(1, 2, 8, 9, 10, 11))
    near = run_onnxruntime(case)
    case.expected = run_onnxruntime(Case("LSTM", [x, w_full, r_full, bias], attributes, outputs=3, opset=14))
    for a, b in zip(near, case.expected):
        assert np.abs(a - b).max() < 0.1
    return case


@operator("MatMulNBits", 8)
def matmul_nbits_in_words(rng):
    """Whole blocks, which kernels multiply as they are stored."""
    bits, block = int(rng.choice([4, 8])), int(rng.choice([16, 32, 64]))
    k, n, m = block * int(rng.integers(1, 4)), int(rng.integers(1, 40)), int(rng.integers(1, 20))
    zero = byte_tensor(rng, (n, -(-(k // block) * bits // 8)), False) if rng.random() < 0.5 else None
    inputs = [draw(rng, m, k), byte_tensor(rng, (n, k // block, block * bits // 8), False), rng.uniform(0.01, 0.1, (n, k // block)).astype(np.float32), zero]
    return contrib("MatMulNBits", inputs, {"K": k, "N": n, "bits": bits, "block_size": block}, constants=(1, 2, 3), tolerance=2e-4)
