"""MatMul, Gemm, Einsum and their integer forms."""
import numpy as np

from harness import Case, operator


def normal(rng, *shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def broadcast_pair(rng, rank):
    """Two batch shapes that broadcast."""
    full = rng.integers(1, 4, rank)
    a = [d if rng.random() < 0.7 else 1 for d in full]
    b = [d if rng.random() < 0.7 else 1 for d in full]
    return tuple(a[rng.integers(0, rank + 1):] if rank else a), tuple(b[rng.integers(0, rank + 1):] if rank else b)


@operator("MatMul", 25)
def matmul(rng):
    m, n, k = rng.integers(1, 40, 3)
    batch_a, batch_b = broadcast_pair(rng, rng.integers(0, 3))
    dtype = rng.choice([np.float32, np.float32, np.float32, np.float64, np.int32, np.int64])
    a = (rng.standard_normal((*batch_a, m, k)) * 5).astype(dtype)
    b = (rng.standard_normal((*batch_b, k, n)) * 5).astype(dtype)
    kind = rng.integers(0, 5)
    if kind == 0:
        a = a.reshape(-1)[:k]
    elif kind == 1:
        b = b.reshape(-1)[:k]
    elif kind == 2:
        a, b = a.reshape(-1)[:k], b.reshape(-1)[:k]
    return Case("MatMul", [a, b], symbolic=(0, 1), lowered=None if dtype == np.float64 else True)


@operator("MatMul", 2)
def large_matmul(rng):
    return Case("MatMul", [normal(rng, 2, 65, 530), normal(rng, 530, 270)], symbolic=(0,), lowered=True)


@operator("Gemm", 20)
def gemm(rng):
    m, n, k = rng.integers(1, 30, 3)
    ta, tb = rng.integers(0, 2, 2)
    dtype = rng.choice([np.float32, np.float32, np.float64])
    c = [(m, n), (1, n), (m, 1), (n,), (), (1,)][rng.integers(0, 6)]
    inputs = [normal(rng, *((k, m) if ta else (m, k)), dtype=dtype), normal(rng, *((n, k) if tb else (k, n)), dtype=dtype)]
    if rng.random() < 0.8:
        inputs.append(normal(rng, *c, dtype=dtype))
    attributes = {"transA": int(ta), "transB": int(tb)}
    if rng.random() < 0.5:
        attributes |= {"alpha": float(np.float32(rng.uniform(0.1, 2))), "beta": float(np.float32(rng.uniform(-2, 2)))}
    return Case("Gemm", inputs, attributes, symbolic=(0,), lowered=None if dtype == np.float64 else True)


EQUATIONS = ["ij,jk->ik", "bij,bjk->bik", "ij->ji", "ij->", "ii->i", "ii", "bhid,bhjd->bhij", "i,j->ij", "ij,jk,kl->il", "...ij,...jk->...ik",
             "...ij->...", "ij,ij->i", "abc,cd", "ij,kj->", "b...i,b...i->b...", "aij,jk->aik", "ijk,ijl->kl", "...,...->...", "i->i"]


@operator("Einsum", 60)
def einsum(rng):
    equation = EQUATIONS[rng.integers(0, len(EQUATIONS))]
    extents = {c: int(rng.integers(1, 6)) for c in "abcdefghijkl"}
    dots = tuple(int(d) for d in rng.integers(1, 4, rng.integers(0, 3)))
    inputs = []
    for term in equation.split("->")[0].split(","):
        shape = []
        for part in term.replace("...", ".") :
            shape += dots if part == "." else [extents[part]]
        if rng.random() < 0.3 and "..." in term and dots:  # the ellipsis broadcasts
            at = term.index("...")
            shape[at:at + len(dots)] = [1] * len(dots)
        inputs.append(normal(rng, *shape))
    return Case("Einsum", [np.asarray(x, np.float32) for x in inputs], {"equation": equation}, symbolic=(0, 1, 2))


def bytes_of(rng, dtype, *shape):
    low, high = (-128, 128) if dtype == np.int8 else (0, 256)
    return np.asarray(rng.integers(low, high, shape)).astype(dtype)


def zero_point(rng, dtype, shape=()):
    low, high = (-20, 20) if dtype == np.int8 else (100, 150)
    return np.asarray(rng.integers(low, high, shape)).astype(dtype)


def scale(rng, *shape):
    return np.asarray(rng.uniform(0.002, 0.05, shape)).astype(np.float32)


@operator("MatMulInteger", 15)
def matmul_integer(rng):
    m, n, k = rng.integers(1, 20, 3)
    batch_a, batch_b = broadcast_pair(rng, rng.integers(0, 3))
    ta, tb = np.uint8, rng.choice([np.int8, np.uint8])
    inputs = [bytes_of(rng, ta, *batch_a, m, k), bytes_of(rng, tb, *batch_b, k, n)]
    if rng.random() < 0.8:
        inputs += [zero_point(rng, ta), zero_point(rng, tb, () if rng.random() < 0.5 or batch_b else (n,))]
    return Case("MatMulInteger", inputs, symbolic=(0,), lowered=True)


@operator("QLinearMatMul", 15)
def qlinear_matmul(rng):
    m, n, k = rng.integers(1, 20, 3)
    ta, tb = np.uint8, rng.choice([np.int8, np.uint8])
    columns = () if rng.random() < 0.5 else (n,)
    inputs = [bytes_of(rng, ta, m, k), scale(rng), zero_point(rng, ta), bytes_of(rng, tb, k, n), scale(rng, *columns), zero_point(rng, tb, columns), scale(rng) * 20, zero_point(rng, ta)]
    inputs[6] = np.asarray(inputs[6], np.float32)
    return Case("QLinearMatMul", inputs, symbolic=(0,), tolerance=1, lowered=True)
