"""Writing at indices, and choosing elements by their values."""
import numpy as np

from cases_movement import ints, shape_of, tensor
from harness import Case, by_the_standard, operator

NUMBERS = [np.float32, np.float32, np.int64, np.int32, np.float64, np.uint8]


def number(rng, *shape):
    return np.asarray(rng.standard_normal(shape) * 20).astype(NUMBERS[rng.integers(0, len(NUMBERS))])


def reduction(rng):
    return str(rng.choice(["none", "add", "mul", "max", "min"]))


@operator("ScatterElements", 30)
def scatter_elements(rng):
    x = number(rng, *shape_of(rng, 1, 4))
    axis = int(rng.integers(0, x.ndim))
    how = reduction(rng)
    count = [int(rng.integers(1, d + 1)) for d in x.shape]
    if how == "none":  # the order of equal indices is not defined
        chosen = np.argsort(rng.random(x.shape), axis)[tuple(slice(0, c) for c in count)]
    else:
        chosen = rng.integers(-x.shape[axis], x.shape[axis], count)
    updates = np.asarray(rng.standard_normal(count) * 20).astype(x.dtype)
    return Case("ScatterElements", [x, chosen.astype(np.int64), updates], {"axis": axis - (x.ndim if rng.random() < 0.5 else 0), "reduction": how}, symbolic=(0,))


@operator("ScatterND", 30)
def scatter_nd(rng):
    x = number(rng, *shape_of(rng, 1, 4))
    indexed = int(rng.integers(1, x.ndim + 1))
    how = reduction(rng)
    total = int(np.prod(x.shape[:indexed]))
    points = int(rng.integers(1, total + 1))
    flat = rng.choice(total, points, replace=how != "none")
    chosen = np.stack(np.unravel_index(flat, x.shape[:indexed]), -1).astype(np.int64)
    chosen -= np.array(x.shape[:indexed]) * (rng.random(chosen.shape) < 0.3)
    updates = np.asarray(rng.standard_normal((points, *x.shape[indexed:])) * 20).astype(x.dtype)
    return Case("ScatterND", [x, chosen, updates], {"reduction": how}, symbolic=(0,))


@operator("ScatterElements", 8)
def messages_along_edges(rng):
    """An index per edge, the same for all features, as torch.scatter_add exports it; compiled in vectors."""
    nodes, edges, width, how = int(rng.integers(1, 9)), int(rng.integers(1, 40)), int(rng.integers(1, 70)), reduction(rng)
    x = rng.standard_normal((nodes, width)).astype(np.float32)
    target = rng.permutation(nodes)[:edges] if how == "none" else rng.integers(-nodes, nodes, edges)
    index = np.repeat(target[:, None], width, 1).astype(rng.choice([np.int32, np.int64]))
    updates = rng.standard_normal(index.shape).astype(np.float32)
    return Case("ScatterElements", [x, index, updates], {"axis": 0, "reduction": how}, constants=(1,) if rng.random() < 0.5 else (), lowered=True)


@operator("ScatterND", 8)
def rows_that_meet(rng):
    """Batches of rows added up in a given order: equal places many times."""
    x = (rng.standard_normal((5, 3, 40)) * 10).astype(rng.choice([np.float32, np.int32, np.int64, np.int8, np.uint8]))
    indexed = int(rng.integers(1, 4))
    chosen = np.stack([rng.integers(-n, n, (6, 4)) for n in x.shape[:indexed]], -1).astype(np.int64)
    updates = (rng.standard_normal((6, 4, *x.shape[indexed:])) * 10).astype(x.dtype)
    constants = tuple(i for i in range(3) if rng.random() < 0.3)
    return Case("ScatterND", [x, chosen, updates], {"reduction": str(rng.choice(["add", "max", "min"]))}, constants=constants, lowered=len(constants) < 3 or None)


@operator("OneHot", 15)
def one_hot(rng):
    depth = int(rng.integers(1, 7))
    chosen = np.asarray(rng.integers(-depth - 2, depth + 2, shape_of(rng, 1, 3)), np.int64)
    values = np.array([rng.integers(0, 5), rng.integers(5, 9)]).astype(rng.choice([np.int64, np.float32]))
    axis = int(rng.integers(-chosen.ndim - 1, chosen.ndim + 1))
    return Case("OneHot", [chosen, np.array(depth, np.int64), values], {"axis": axis}, constants=(1,) if rng.random() < 0.7 else (), symbolic=(0,))


@operator("NonZero")
def non_zero(rng):
    x = np.asarray(rng.integers(-1, 2, shape_of(rng, 1, 3))).astype(rng.choice([np.float32, np.int64, np.bool_, np.int32]))
    return Case("NonZero", [x], symbolic=(0,))


@operator("Compress", 15)
def compress(rng):
    x = tensor(rng, *shape_of(rng, 1, 4))
    if rng.random() < 0.4:
        return Case("Compress", [x, rng.random(rng.integers(1, x.size + 1)) < 0.5], symbolic=(0,))
    axis = int(rng.integers(0, x.ndim))
    return Case("Compress", [x, rng.random(rng.integers(1, x.shape[axis] + 1)) < 0.5], {"axis": axis - (x.ndim if rng.random() < 0.5 else 0)}, symbolic=(0,))


@operator("Unique", 20)
def unique(rng):
    shape = shape_of(rng, 1, 3)
    x = np.asarray(rng.integers(0, 4, shape)).astype(rng.choice([np.float32, np.int64, np.float64]))
    attributes = {"sorted": int(rng.integers(0, 2))}
    if rng.random() < 0.5:
        x = np.asarray(rng.integers(0, 2, shape)).astype(np.float32)
        attributes["axis"] = int(rng.integers(0, x.ndim)) - (x.ndim if rng.random() < 0.5 else 0)
    return Case("Unique", [x], attributes, outputs=4, symbolic=(0,))


@operator("Unique", 3)
def unique_beyond_signed(rng):
    x = np.uint64(2**63) + rng.integers(0, 4, 20).astype(np.uint64)
    values, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    return Case("Unique", [x], outputs=4, expected=[values, first, inverse, counts])


@operator("Unique", 3)
def unique_with_nans(rng):
    x = rng.integers(0, 3, 20).astype(np.float32)
    x[rng.permutation(20)[:6]] = np.nan
    values, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    assert np.isnan(values[-1]) and counts[-1] == 6
    return Case("Unique", [x], outputs=4, expected=[values, first, inverse, counts])


@operator("TopK", 6)
def top_k_with_nans(rng):
    """NaNs come last, whichever end is asked for."""
    x = rng.integers(0, 50, (3, 30)).astype(rng.choice([np.float32, np.float64]))
    x[rng.random(x.shape) < 0.4] = np.nan
    k, largest = int(rng.integers(20, 31)), int(rng.integers(2))
    order = np.argsort(np.where(np.isnan(x), np.inf, -x if largest else x), axis=1, kind="stable")[:, :k]
    return Case("TopK", [x, ints(k)], {"largest": largest}, outputs=2, expected=[np.take_along_axis(x, order, 1), order], constants=(1,))


@operator("TopK", 20)
def top_k(rng):
    shape = shape_of(rng, 1, 3)
    x = np.asarray(rng.standard_normal(shape) * (3 if rng.random() < 0.3 else 1000)).astype(rng.choice([np.float32, np.float64, np.int64, np.int32]))
    axis = int(rng.integers(0, x.ndim))
    k = int(rng.integers(1, shape[axis] + 1))
    attributes = {"axis": axis - (x.ndim if rng.random() < 0.5 else 0), "largest": int(rng.integers(0, 2))}
    return Case("TopK", [x, ints(k)], attributes, outputs=2, constants=(1,) if rng.random() < 0.7 else (), symbolic=(0,))


@operator("TensorScatter", 16)
def tensor_scatter(rng):
    past = number(rng, *shape_of(rng, 3, 4))
    axis, mode = int(rng.integers(1, past.ndim)), str(rng.choice(["linear", "circular"]))
    count = int(rng.integers(1, past.shape[axis] + 1))
    update = number(rng, *(count if d == axis else n for d, n in enumerate(past.shape))).astype(past.dtype)
    last = past.shape[axis] - (count if mode == "linear" else 0)
    indices = [] if rng.random() < 0.2 else [rng.integers(0, last + 1, past.shape[0])]
    return by_the_standard(Case("TensorScatter", [past, update, *indices], {"axis": axis - (past.ndim if rng.random() < 0.5 else 0), "mode": mode}, opset=24, lowered=False))
