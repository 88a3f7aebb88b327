"""Shapes, orders, cuts and paddings."""
import numpy as np

from harness import Case, operator

TYPES = [np.float32, np.float32, np.int64, np.uint8, np.bool_, np.float16, np.int32, np.float64]


def tensor(rng, *shape, strings=True):
    dtype = TYPES[rng.integers(0, len(TYPES))]
    if strings and rng.random() < 0.1:
        return np.asarray(rng.integers(0, 100, shape)).astype(str).astype(object)
    return np.asarray(rng.standard_normal(shape) * 50).astype(dtype)


def shape_of(rng, low=1, high=4, most=6):
    return tuple(int(x) for x in rng.integers(1, most, rng.integers(low, high + 1)))


def ints(*values):
    return np.array(values, np.int64)


@operator("Reshape", 25)
def reshape(rng):
    shape = shape_of(rng, 1, 4)
    flat = list(shape)
    while len(flat) > 1 and rng.random() < 0.5:  # merge neighbours
        i = int(rng.integers(0, len(flat) - 1))
        flat[i:i + 2] = [flat[i] * flat[i + 1]]
    target = []
    for d in flat:  # and split others
        factors = [f for f in range(1, d + 1) if d % f == 0]
        f = int(rng.choice(factors))
        target += [f, d // f] if rng.random() < 0.5 else [d]
    if rng.random() < 0.4:
        target[rng.integers(0, len(target))] = -1
    if rng.random() < 0.3 and target[0] == shape[0]:
        target[0] = 0
    constants = (1,) if rng.random() < 0.7 else ()
    return Case("Reshape", [tensor(rng, *shape), ints(*target)], constants=constants, symbolic=(0,))


@operator("Flatten")
def flatten(rng):
    shape = shape_of(rng, 1, 4)
    return Case("Flatten", [tensor(rng, *shape, strings=False)], {"axis": int(rng.integers(-len(shape), len(shape) + 1))}, symbolic=(0,))


@operator("Squeeze", 15)
def squeeze(rng):
    shape = list(shape_of(rng, 1, 4))
    ones = rng.choice(len(shape), rng.integers(1, len(shape) + 1), replace=False)
    for i in ones:
        shape[i] = 1
    axes = [int(a) - (len(shape) if rng.random() < 0.5 else 0) for a in ones]
    inputs = [tensor(rng, *shape, strings=False)] + ([ints(*axes)] if rng.random() < 0.7 else [])
    return Case("Squeeze", inputs, constants=(1,), symbolic=(0,) if len(inputs) == 2 else ())


@operator("Unsqueeze", 15)
def unsqueeze(rng):
    shape = shape_of(rng, 0, 3)
    count = int(rng.integers(1, 3))
    rank = len(shape) + count
    axes = [int(a) - (rank if rng.random() < 0.5 else 0) for a in rng.choice(rank, count, replace=False)]
    return Case("Unsqueeze", [tensor(rng, *shape, strings=False), ints(*axes)], constants=(1,), symbolic=(0,))


@operator("Transpose", 25)
def transpose(rng):
    shape = shape_of(rng, 1, 5)
    attributes = {} if rng.random() < 0.2 else {"perm": [int(p) for p in rng.permutation(len(shape))]}
    return Case("Transpose", [tensor(rng, *shape)], attributes, symbolic=(0,))


@operator("Expand", 15)
def expand(rng):
    full = shape_of(rng, 1, 4)
    shape = [d if rng.random() < 0.5 else 1 for d in full]
    shape = shape[rng.integers(0, len(shape)):]
    target = [1 if i >= len(full) - len(shape) and shape[i - len(full) + len(shape)] == d and rng.random() < 0.3 else d for i, d in enumerate(full)]
    return Case("Expand", [tensor(rng, *shape, strings=False), ints(*target)], constants=(1,) if rng.random() < 0.8 else (), symbolic=(0,))


@operator("Tile", 15)
def tile(rng):
    shape = shape_of(rng, 1, 4, 5)
    return Case("Tile", [tensor(rng, *shape, strings=False), ints(*rng.integers(0 if rng.random() < 0.1 else 1, 4, len(shape)))], constants=(1,) if rng.random() < 0.8 else (), symbolic=(0,))


@operator("DepthToSpace")
def depth_to_space(rng):
    b = int(rng.integers(1, 4))
    n, c, h, w = rng.integers(1, 4, 4)
    return Case("DepthToSpace", [rng.standard_normal((n, c * b * b, h, w)).astype(np.float32)], {"blocksize": b, "mode": str(rng.choice(["DCR", "CRD"]))}, symbolic=(0,), lowered=True)


@operator("SpaceToDepth")
def space_to_depth(rng):
    b = int(rng.integers(1, 4))
    n, c, h, w = rng.integers(1, 4, 4)
    return Case("SpaceToDepth", [rng.standard_normal((n, c, h * b, w * b)).astype(np.float32)], {"blocksize": b}, symbolic=(0,), lowered=True)


@operator("Slice", 60)
def slice_(rng):
    shape = shape_of(rng, 1, 4, 9)
    axes = [int(a) for a in rng.choice(len(shape), rng.integers(1, len(shape) + 1), replace=False)]
    steps = [int(rng.choice([1, 1, 1, 2, 3, -1, -2])) for _ in axes]
    starts, ends = [], []
    for a, step in zip(axes, steps):
        d = shape[a]
        pair = sorted(int(p) for p in rng.integers(-d - 2, d + 3, 2))
        far = rng.random() < 0.3
        starts.append(pair[0] if step > 0 else pair[1])
        ends.append((np.iinfo(np.int64).max if step > 0 else np.iinfo(np.int64).min) if far else (pair[1] if step > 0 else pair[0]))
    axes = [a - (len(shape) if rng.random() < 0.5 else 0) for a in axes]
    inputs = [tensor(rng, *shape), ints(*starts), ints(*ends), ints(*axes), ints(*steps)]
    if all(s == 1 for s in steps) and rng.random() < 0.5:
        inputs = inputs[:4]
    return Case("Slice", inputs, constants=(1, 2, 3, 4) if rng.random() < 0.9 else (3,), symbolic=(0,))


@operator("Split", 20)
def split(rng):
    shape = list(shape_of(rng, 1, 4))
    axis = int(rng.integers(0, len(shape)))
    parts = int(rng.integers(1, 4))
    attributes = {"axis": axis - (len(shape) if rng.random() < 0.5 else 0)}
    if rng.random() < 0.5:
        sizes = [int(x) for x in rng.integers(0 if rng.random() < 0.1 else 1, 4, parts)]
        shape[axis] = sum(sizes)
        return Case("Split", [tensor(rng, *shape, strings=False), ints(*sizes)], attributes, outputs=parts, constants=(1,), symbolic=(0,))
    shape[axis] = int(rng.integers(1, 4)) * parts
    if rng.random() < 0.5 and parts > 1:
        shape[axis] -= 1 if shape[axis] > parts else 0
        return Case("Split", [tensor(rng, *shape, strings=False)], attributes | {"num_outputs": parts}, outputs=parts, symbolic=(0,))
    return Case("Split", [tensor(rng, *shape, strings=False)], attributes, outputs=parts, opset=13, symbolic=(0,))


@operator("Concat", 20)
def concat(rng):
    shape = list(shape_of(rng, 1, 4))
    axis = int(rng.integers(0, len(shape)))
    first = tensor(rng, *shape)
    parts = [first]
    for _ in range(rng.integers(0, 4)):
        shape[axis] = int(rng.integers(0 if rng.random() < 0.1 else 1, 5))
        parts.append((rng.standard_normal(shape) * 50).astype(first.dtype) if first.dtype != object else rng.integers(0, 9, shape).astype(str).astype(object))
    return Case("Concat", parts, {"axis": axis - (len(shape) if rng.random() < 0.5 else 0)}, symbolic=(0,))


@operator("Pad", 50)
def pad(rng):
    mode = str(rng.choice(["constant", "constant", "reflect", "edge", "wrap"]))
    shape = tuple(int(x) for x in rng.integers(3, 6, rng.integers(1, 5)))
    low = -1 if mode == "constant" else 0
    x = tensor(rng, *shape, strings=False)
    if x.dtype == np.bool_ or x.dtype == np.float16:
        x = x.astype(np.float32)
    count = len(shape)
    inputs = [x]
    axes = None
    if rng.random() < 0.3:
        chosen = rng.choice(len(shape), rng.integers(1, len(shape) + 1), replace=False)
        count, axes = len(chosen), ints(*chosen)
    inputs.append(ints(*rng.integers(low, 3, 2 * count)))
    value = np.array(rng.integers(0, 9)).astype(x.dtype) if mode == "constant" and rng.random() < 0.7 else None
    if value is not None or axes is not None:
        inputs.append(value)
    if axes is not None:
        inputs.append(axes)
    return Case("Pad", inputs, {"mode": mode}, opset=19, constants=(1, 2, 3) if rng.random() < 0.8 else (), symbolic=(0,))


@operator("CenterCropPad")
def center_crop_pad(rng):
    shape = shape_of(rng, 1, 4, 7)
    attributes, target = {}, len(shape)
    if rng.random() < 0.5:
        axes = rng.choice(len(shape), rng.integers(1, len(shape) + 1), replace=False)
        attributes, target = {"axes": [int(a) for a in axes]}, len(axes)
    x = rng.standard_normal(shape).astype(np.float32)
    return Case("CenterCropPad", [x, ints(*rng.integers(1, 8, target))], attributes, constants=(1,) if rng.random() < 0.5 else (), symbolic=(0,))


@operator("ReverseSequence")
def reverse_sequence(rng):
    shape = shape_of(rng, 2, 4)
    time = int(rng.integers(0, 2))
    lengths = rng.integers(1, shape[time] + 1, shape[1 - time]).astype(np.int64)
    return Case("ReverseSequence", [tensor(rng, *shape), lengths], {"time_axis": time, "batch_axis": 1 - time}, symbolic=(0,))
