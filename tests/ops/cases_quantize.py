"""QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear."""
import numpy as np

from harness import Case, operator
from samples import numbers, shape

TYPES = ["uint8", "int8", "uint16", "int16"]


def pick(rng, options):
    return options[rng.integers(len(options))]


def layout(rng, s):
    """Shape of the scales and the attributes that say so."""
    kind = rng.integers(3)
    if kind == 0:
        return pick(rng, [(), (1,)]), {}
    axis = int(rng.integers(len(s)))
    if kind == 1:
        return (s[axis],), {"axis": axis - len(s) if rng.random() < 0.5 else axis}
    block = int(rng.integers(1, s[axis] + 1))
    return tuple(-(-d // block) if a == axis else d for a, d in enumerate(s)), {"axis": axis, "block_size": block}


def levels(rng, s, dtype):
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if np.dtype(dtype).itemsize == 1 else (-1000 if dtype == "int16" else 0, 1000)
    return rng.integers(low, high + 1, s).astype(dtype)


@operator("QuantizeLinear", cases=40)
def quantize(rng):
    s = shape(rng, int(rng.integers(2, 5)))
    scale_shape, attributes = layout(rng, s)
    dtype = pick(rng, TYPES)
    x = rng.normal(0, 40, s).astype(np.float32)
    scale = np.exp2(rng.integers(-3, 2, scale_shape)).astype(np.float32)
    zero = levels(rng, scale_shape, dtype)
    inputs = [x, scale] if dtype == "uint8" and rng.random() < 0.3 else [x, scale, zero]
    return Case("QuantizeLinear", inputs, attributes, opset=21, constants=(1, 2) if rng.random() < 0.5 else ())


@operator("QuantizeLinear", cases=6)
def quantize_to_stated_type(rng):
    return Case("QuantizeLinear", [rng.normal(0, 40, (3, 4)).astype(np.float32), np.array(0.5, np.float32)], {"output_dtype": 3}, opset=21, lowered=True)


@operator("DequantizeLinear", cases=40)
def dequantize(rng):
    s = shape(rng, int(rng.integers(2, 5)))
    scale_shape, attributes = layout(rng, s)
    dtype = pick(rng, TYPES + ["int32"])
    scale = rng.uniform(0.01, 2, scale_shape).astype(np.float32)
    x = rng.integers(-10000, 10000, s).astype(np.int32) if dtype == "int32" else levels(rng, s, dtype)
    inputs = [x, scale] if dtype == "int32" or rng.random() < 0.3 else [x, scale, levels(rng, scale_shape, dtype)]
    return Case("DequantizeLinear", inputs, attributes, opset=21, constants=(1, 2) if rng.random() < 0.5 else ())


@operator("DynamicQuantizeLinear", cases=12)
def dynamic_quantize(rng):
    x = rng.normal(rng.uniform(-2, 2), 3, shape(rng, int(rng.integers(1, 4)))).astype(np.float32)
    return Case("DynamicQuantizeLinear", [x], outputs=3, opset=13, lowered=True, tolerance=1)
