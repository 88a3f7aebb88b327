"""Constants, ranges, shapes, random numbers, Identity, Dropout."""
import numpy as np

from harness import Case, operator
from samples import numbers, shape


def pick(rng, options):
    return options[rng.integers(len(options))]


@operator("Constant", cases=12)
def constant(rng):
    value = pick(rng, [{"value": numbers(rng, shape(rng), "float32")}, {"value": numbers(rng, shape(rng), "int64")}, {"value_int": 7}, {"value_ints": [3, -4]},
                       {"value_float": 0.5}, {"value_floats": [1.5, -2.5]}])
    return Case("Constant", [], value)


@operator("ConstantOfShape", cases=12)
def constant_of_shape(rng):
    s = np.array(shape(rng), np.int64)
    attributes = {} if rng.random() < 0.3 else {"value": np.array([3], pick(rng, ["float32", "int64", "int32", "uint8", "bool"]))}
    return Case("ConstantOfShape", [s], attributes, constants=(0,) if rng.random() < 0.5 else ())


@operator("Range", cases=24)
def ranges(rng):
    dtype = pick(rng, ["float32", "float64", "int32", "int64"])
    delta = rng.integers(1, 4) * (1 if rng.random() < 0.6 else -1)
    start, limit = rng.integers(-10, 10), rng.integers(-10, 10)
    scale = 0.5 if dtype.startswith("f") else 1
    return Case("Range", [np.array(v * scale, dtype) for v in (start, limit, delta)], constants=(0, 1, 2) if rng.random() < 0.5 else ())


@operator("EyeLike", cases=10)
def eye_like(rng):
    attributes = {"k": int(rng.integers(-4, 5))}
    if rng.random() < 0.5:
        attributes["dtype"] = int(rng.choice([1, 7, 11]))
    return Case("EyeLike", [numbers(rng, shape(rng, 2), pick(rng, ["float32", "int32", "int64"]))], attributes)


@operator("Shape", cases=20)
def shape_of(rng):
    attributes = {}
    if rng.random() < 0.5:
        attributes["start"] = int(rng.integers(-5, 6))
    if rng.random() < 0.5:
        attributes["end"] = int(rng.integers(-5, 6))
    return Case("Shape", [numbers(rng, shape(rng), "float32")], attributes, opset=15, symbolic=(0,) if rng.random() < 0.5 else ())


@operator("Size", cases=6)
def size_of(rng):
    return Case("Size", [numbers(rng, shape(rng), "float32")], symbolic=(0,) if rng.random() < 0.5 else ())


@operator("Identity")
def identity(rng):
    return Case("Identity", [numbers(rng, shape(rng), pick(rng, ["float32", "int64", "uint8"]))], lowered=True)


@operator("Dropout")
def dropout(rng):
    x = numbers(rng, shape(rng), "float32")
    inputs = [x] if rng.random() < 0.5 else [x, np.array(0.3, np.float32), np.array(False)]
    return Case("Dropout", inputs, constants=(1, 2), opset=13, lowered=True)


@operator("Dropout", cases=4)
def dropout_with_mask(rng):
    return Case("Dropout", [numbers(rng, shape(rng), "float32")], outputs=2, opset=13, lowered=False)
