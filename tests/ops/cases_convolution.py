"""Conv, ConvTranspose and the integer forms of Conv."""
import numpy as np

from harness import Case, operator


def conv_case(rng, rank):
    groups = int(rng.choice([1, 1, 2, 3]))
    channels, filters = (int(x) for x in rng.integers(1, 5, 2))
    if rng.random() < 0.3:  # depthwise
        groups, channels, filters = int(rng.integers(2, 6)), 1, int(rng.integers(1, 3))
    kernel = [int(x) for x in rng.integers(1, 4, rank)]
    dilations = [int(x) for x in rng.integers(1, 3, rank)]
    strides = [int(x) for x in rng.integers(1, 4, rank)]
    size = [int(rng.integers((k - 1) * d + 1, 14)) for k, d in zip(kernel, dilations)]
    attributes = {"group": groups, "strides": strides, "dilations": dilations}
    if rng.random() < 0.5:
        attributes["kernel_shape"] = kernel
    padding = rng.integers(0, 3)
    if padding == 0:
        attributes["pads"] = [int(x) for x in rng.integers(0, 3, 2 * rank)]
    elif padding == 1 and max(dilations) == 1:  # onnxruntime's SAME with dilations differs from the standard
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    x = rng.standard_normal((rng.integers(1, 3), groups * channels, *size)).astype(np.float32)
    w = rng.standard_normal((groups * filters, channels, *kernel)).astype(np.float32)
    bias = rng.standard_normal(groups * filters).astype(np.float32)
    return x, w, bias, attributes


@operator("Conv", 40)
def conv(rng):
    x, w, bias, attributes = conv_case(rng, int(rng.choice([1, 2, 2, 2, 3])))
    inputs = [x, w] + ([bias] if rng.random() < 0.6 else [])
    return Case("Conv", inputs, attributes, symbolic=(0,), lowered=True)


@operator("Conv", 2)
def large_conv(rng):
    x = rng.standard_normal((1, 32, 45, 50)).astype(np.float32)
    w = rng.standard_normal((70, 32, 3, 3)).astype(np.float32)
    return Case("Conv", [x, w], {"pads": [1, 1, 1, 1]}, symbolic=(0,))


@operator("ConvTranspose", 40)
def conv_transpose(rng):
    rank = int(rng.choice([1, 2, 2, 3]))
    groups = int(rng.choice([1, 1, 2]))
    channels, filters = (int(c) for c in rng.integers(1, 4, 2))
    strides = [int(s) for s in rng.integers(1, 4, rank)]
    kernel = strides if rng.random() < 0.3 else [int(k) for k in rng.integers(1, 5, rank)]
    attributes = {"group": groups, "strides": strides}
    size = [int(s) for s in rng.integers(3, 7, rank)]
    tiling = kernel is strides
    if not tiling:
        attributes["dilations"] = [int(d) for d in rng.integers(1, 3, rank)]
        choice = rng.integers(0, 4)
        if choice == 0:
            attributes["pads"] = [int(p) for p in rng.integers(0, 2, 2 * rank)]
        elif choice == 1:
            attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER"]))
        elif choice == 2:
            full = [(i - 1) * s + (k - 1) * d + 1 for i, s, k, d in zip(size, strides, kernel, attributes["dilations"])]
            attributes["output_shape"] = [min(f, s * i + int(rng.integers(0, 2))) for f, s, i in zip(full, strides, size)]
        if choice in (0, 3):
            attributes["output_padding"] = [int(rng.integers(0, s)) for s in strides]
    x = rng.standard_normal((rng.integers(1, 3), groups * channels, *size)).astype(np.float32)
    w = rng.standard_normal((groups * channels, filters, *kernel)).astype(np.float32)
    bias = [rng.standard_normal(groups * filters).astype(np.float32)] if rng.random() < 0.6 else []
    return Case("ConvTranspose", [x, w, *bias], attributes, symbolic=(0,) if "auto_pad" not in attributes and "output_shape" not in attributes else (), lowered=True)


@operator("ConvInteger", 15)
def conv_integer(rng):
    x, w, bias, attributes = conv_case(rng, 2)
    x = rng.integers(0, 256, x.shape).astype(np.uint8)
    w = rng.integers(0, 256, w.shape).astype(np.uint8)
    zeros = [np.array(rng.integers(100, 150), np.uint8), np.array(rng.integers(100, 150), np.uint8)]
    return Case("ConvInteger", [x, w, *zeros[:rng.integers(0, 3)]], attributes, symbolic=(0,))


@operator("QLinearConv", 20)
def qlinear_conv(rng):
    x, w, bias, attributes = conv_case(rng, 2)
    kind = rng.choice([np.uint8, np.int8])
    x = rng.integers(0, 256, x.shape).astype(np.uint8)
    w = rng.integers(-100, 100, w.shape).astype(np.int8)
    shape = (w.shape[0],) if rng.random() < 0.5 else ()
    f = lambda *s: np.asarray(rng.uniform(0.005, 0.05, s)).astype(np.float32)
    inputs = [x, f(), np.array(rng.integers(100, 150), np.uint8), w, f(*shape), np.zeros(shape, np.int8), np.asarray(f() * 10, np.float32), np.array(rng.integers(100, 150), np.uint8)]
    if rng.random() < 0.6:
        inputs.append(rng.integers(-2000, 2000, w.shape[0]).astype(np.int32))
    return Case("QLinearConv", inputs, attributes, symbolic=(0,), tolerance=1)


@operator("DeformConv", 16)
def deform_conv(rng):
    group, per_group, filters, batch = (int(v) for v in rng.integers(1, 4, 4))
    channels = group * per_group
    offset_group = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    kernel, strides, dilations = ([int(v) for v in rng.integers(1, 4, 2)] for _ in range(3))
    pads = [int(v) for v in rng.integers(0, 3, 4)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    size = [int(s + rng.integers(1, 5)) for s in spans]
    out = [(n + pads[i] + pads[i + 2] - spans[i]) // strides[i] + 1 for i, n in enumerate(size)]
    points = offset_group * kernel[0] * kernel[1]
    inputs = [rng.standard_normal((batch, channels, *size)), rng.standard_normal((group * filters, per_group, *kernel)), rng.normal(0, 1.5, (batch, 2 * points, *out)),
              rng.standard_normal(group * filters) if rng.random() < 0.6 else None, rng.random((batch, points, *out)) if rng.random() < 0.6 else None]
    while inputs[-1] is None:
        inputs.pop()
    attributes = {"group": group, "offset_group": offset_group, "strides": strides, "dilations": dilations, "pads": pads, "kernel_shape": kernel}
    return Case("DeformConv", [None if x is None else x.astype(np.float32) for x in inputs], attributes, opset=19, tolerance=1e-4, lowered=False)
