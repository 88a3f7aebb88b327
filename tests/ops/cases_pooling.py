"""Pools over windows and over everything."""
import numpy as np

from harness import Case, operator


def window(rng, rank, dilated=True, ceil=True):
    kernel = [int(x) for x in rng.integers(1, 4, rank)]
    dilations = [int(x) for x in rng.integers(1, 3, rank)] if dilated and rng.random() < 0.4 else [1] * rank
    size = [int(rng.integers((k - 1) * d + 1, 12)) for k, d in zip(kernel, dilations)]
    attributes = {"kernel_shape": kernel, "strides": [int(x) for x in rng.integers(1, 4, rank)]}
    if dilated:
        attributes["dilations"] = dilations
    choice = rng.integers(0, 3)
    if choice == 0:
        attributes["pads"] = [int(rng.integers(0, (k + 1) // 2 + (k == 3))) if k > 1 else 0 for k in kernel * 2]
    elif choice == 1 and max(dilations) == 1:
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        attributes["strides"] = [min(s, k) for s, k in zip(attributes["strides"], kernel)]  # else onnxruntime pads by less than 0
    if ceil and "auto_pad" not in attributes:
        attributes["ceil_mode"] = int(rng.integers(0, 2))
    return size, attributes


def signal(rng, size, dtype=np.float32):
    return (rng.standard_normal((rng.integers(1, 3), rng.integers(1, 5), *size)) * 20).astype(dtype)


@operator("MaxPool", 30)
def max_pool(rng):
    size, attributes = window(rng, int(rng.choice([1, 2, 2, 3])))
    return Case("MaxPool", [signal(rng, size, rng.choice([np.float32, np.float32, np.int8]))], attributes, symbolic=(0,), lowered=True)


@operator("MaxPool")
def max_pool_indices(rng):
    size, attributes = window(rng, int(rng.choice([1, 2, 3])), dilated=False)
    return Case("MaxPool", [signal(rng, size)], attributes | {"storage_order": int(rng.integers(0, 2))}, outputs=2, symbolic=(0,))


@operator("AveragePool", 40)
def average_pool(rng):
    size, attributes = window(rng, int(rng.choice([1, 2, 2, 3])))
    attributes["count_include_pad"] = int(rng.integers(0, 2))
    return Case("AveragePool", [signal(rng, size)], attributes, opset=19, symbolic=(0,), lowered=True)


@operator("LpPool", 20)
def lp_pool(rng):
    size, attributes = window(rng, int(rng.choice([1, 2, 2, 3])), ceil=False)
    return Case("LpPool", [signal(rng, size)], attributes | {"p": int(rng.integers(1, 4))}, symbolic=(0,), lowered=True)


@operator("GlobalAveragePool")
def global_average_pool(rng):
    return Case("GlobalAveragePool", [signal(rng, rng.integers(1, 9, rng.integers(1, 4)))], symbolic=(0,), lowered=True)


@operator("GlobalMaxPool")
def global_max_pool(rng):
    return Case("GlobalMaxPool", [signal(rng, rng.integers(1, 9, rng.integers(1, 4)))], symbolic=(0,), lowered=True)


@operator("GlobalLpPool")
def global_lp_pool(rng):
    return Case("GlobalLpPool", [signal(rng, rng.integers(1, 9, rng.integers(1, 4)))], {"p": int(rng.integers(1, 4))}, symbolic=(0,), lowered=True)


@operator("MaxUnpool")
def max_unpool(rng):
    rank = int(rng.integers(1, 4))
    kernel = [int(x) for x in rng.integers(1, 4, rank)]
    size = [int(x) for x in rng.integers(1, 5, rank)]
    out = [(s - 1) * k + k for s, k in zip(size, kernel)]
    n, c = rng.integers(1, 4, 2)
    total = int(n * c * np.prod(out))
    count = int(n * c * np.prod(size))
    indices = rng.choice(total, count, replace=False).reshape(n, c, *size).astype(np.int64)
    x = rng.standard_normal((n, c, *size)).astype(np.float32)
    inputs = [x, indices]
    if rng.random() < 0.5:
        inputs.append(np.array([n, c, *(o + 1 for o in out)], np.int64))
    return Case("MaxUnpool", inputs, {"kernel_shape": kernel, "strides": kernel}, symbolic=(0, 1))
