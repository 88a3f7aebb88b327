"""Operations whose dimension numbers say a lot, with random ones: many of each in one module, compared with jax."""
import jax
import numpy as np
import pytest
from jax import lax

from test_import import check, flat, rng, run, text_of  # noqa: F401 (rng is a fixture)


def normal(rng, shape):
    return rng.normal(size=shape).astype(np.float32)


def dot(rng):
    """lax.dot_general with random batching and contracting dimensions in random places."""
    batch, contract = (list(rng.integers(1, 4, size=rng.integers(0, 3))) for _ in range(2))
    left, right = (list(rng.integers(1, 4, size=rng.integers(0, 3))) for _ in range(2))

    def operand(free):
        kinds = [("b", i) for i in range(len(batch))] + [("c", i) for i in range(len(contract))] + [("f", i) for i in range(len(free))]
        order = [kinds[i] for i in rng.permutation(len(kinds))]
        shape = [{"b": batch, "c": contract, "f": free}[kind][i] for kind, i in order]
        return normal(rng, shape), [order.index(("c", i)) for i in range(len(contract))], [order.index(("b", i)) for i in range(len(batch))]

    a, a_contract, a_batch = operand(left)
    b, b_contract, b_batch = operand(right)
    return [a, b], lambda a, b: lax.dot_general(a, b, ((a_contract, b_contract), (a_batch, b_batch)))


def convolution(rng):
    spatial = int(rng.integers(1, 4))
    groups = int(rng.choice([1, 1, 2, 3]))
    kind = rng.choice(["plain", "feature", "batch"])
    batch = int(rng.integers(1, 3)) * (groups if kind == "batch" else 1)
    features = int(rng.integers(1, 4)) * (groups if kind == "feature" else 1)
    out = int(rng.integers(1, 3)) * (groups if kind in ("feature", "batch") else 1)
    kernel = list(rng.integers(1, 4, size=spatial))
    strides, base, window = (list(map(int, rng.integers(1, 4, size=spatial))) for _ in range(3))
    extent = [int(rng.integers(1, 6)) + (k - 1) * w for k, w in zip(kernel, window)]
    # XLA on the CPU is wrong where a low edge is cut and a high one padded
    pads = [tuple(map(int, rng.integers(0, 5, size=2))) if rng.random() < 0.8 else (int(-rng.integers(0, 1 + (e - 1) // 4)), 0) for e in extent]
    names = "".join(chr(ord("0") + i) for i in range(spatial))

    def layout(other, spatial_names):
        out = list(spatial_names)
        for name in other:
            out.insert(int(rng.integers(len(out) + 1)), name)
        return "".join(out)

    # jax counts spatial dimensions in the order in which they stand in the kernel
    dims = (layout("NC", rng.permutation(list(names))), layout("OI", names), layout("NC", rng.permutation(list(names))))
    sizes = {"N": batch, "C": features, "O": out, "I": features // (groups if kind == "feature" else 1)}
    x = normal(rng, [sizes.get(c) or extent[int(c)] for c in dims[0]])
    w = normal(rng, [sizes.get(c) or kernel[int(c)] for c in dims[1]])
    if any((e - 1) * d + 1 + lo + hi < (k - 1) * wd + 1 for e, d, (lo, hi), k, wd in zip(extent, base, pads, kernel, window)):
        return convolution(rng)
    return [x, w], lambda x, w: lax.conv_general_dilated(
        x, w, strides, pads, base, window, dims, feature_group_count=groups if kind == "feature" else 1,
        batch_group_count=groups if kind == "batch" else 1)


def gather_numbers(rng):
    """An operand's shape, and for a gather or scatter: index vectors, slice sizes and where all dimensions stand."""
    shape = list(map(int, rng.integers(1, 6, size=rng.integers(1, 5))))
    rank = len(shape)
    roles = [str(rng.choice(["indexed", "indexed_collapsed", "plain", "batch", "plain_one"])) for _ in range(rank)]
    indexed = [d for d in range(rank) if roles[d].startswith("indexed")]
    rng.shuffle(indexed)
    batching = [d for d in range(rank) if roles[d] == "batch"]
    collapsed = [d for d in range(rank) if roles[d] == "indexed_collapsed" or (roles[d] == "plain_one" and rng.random() < 0.5)]
    sizes = [1 if d in collapsed or d in batching or roles[d] == "plain_one" else int(rng.integers(1, shape[d] + 1)) if d in indexed or rng.random() < 0.3 else shape[d]
             for d in range(rank)]
    # dimensions of the indices: those that batch, and some more, in random order
    free = list(map(int, rng.integers(1, 4, size=rng.integers(0, 3))))
    kinds = [("b", d) for d in batching] + [("f", i) for i in range(len(free))]
    order = [kinds[i] for i in rng.permutation(len(kinds))]
    lead = [shape[d] if kind == "b" else free[d] for kind, d in order]
    indices = rng.integers(-1, max(shape) + 1, size=lead + [len(indexed)]).astype(np.int32)
    slice_dims = [d for d in range(rank) if d not in collapsed and d not in batching]
    total = len(lead) + len(slice_dims)
    window = tuple(sorted(rng.choice(total, size=len(slice_dims), replace=False).tolist()))
    return shape, indexed, batching, collapsed, sizes, [order.index(("b", d)) for d in batching], lead, indices, window, slice_dims


def gather(rng):
    shape, indexed, batching, collapsed, sizes, at, _, indices, window, _ = gather_numbers(rng)
    numbers = lax.GatherDimensionNumbers(window, tuple(collapsed), tuple(indexed), tuple(batching), tuple(at))
    return [normal(rng, shape), indices], lambda x, i: lax.gather(x, i, numbers, tuple(sizes), mode="clip")


def scatter(rng):
    shape, indexed, batching, collapsed, sizes, at, lead, indices, window, slice_dims = gather_numbers(rng)
    numbers = lax.ScatterDimensionNumbers(window, tuple(collapsed), tuple(indexed), tuple(batching), tuple(at))
    extents, batch = [sizes[d] for d in slice_dims], list(lead)
    updates = [extents.pop(0) if d in window else batch.pop(0) for d in range(len(lead) + len(slice_dims))]
    function = [lax.scatter_add, lax.scatter_max, lax.scatter_min][rng.integers(3)]
    if not indexed and not batching and np.prod(lead) != 1:
        return scatter(rng)  # several updates in one place: XLA applies one of them
    return [normal(rng, shape), indices, normal(rng, updates)], lambda x, i, u: function(x, i, u, numbers, mode="drop")


@pytest.mark.parametrize("make", [dot, convolution, gather, scatter])
def test_random_dimension_numbers(rooftune, tmp_path, rng, make):  # noqa: F811
    cases = [make(rng) for _ in range(25)]
    inputs = [x for arrays, _ in cases for x in arrays]

    def program(*arrays):
        arrays, out = list(arrays), []
        for given, function in cases:
            out.append(function(*arrays[: len(given)]))
            del arrays[: len(given)]
        return out

    expected = flat(jax.jit(program)(*inputs))
    check(run(rooftune, tmp_path, text_of(program, inputs), inputs), expected, 3e-5)
