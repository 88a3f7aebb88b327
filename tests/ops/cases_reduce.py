"""Reductions, ArgMax, ArgMin, CumSum, CumProd, the softmax family."""
import numpy as np

from harness import Case, by_the_standard, operator
from samples import numbers, shape


def pick(rng, options):
    return options[rng.integers(len(options))]


def some_axes(rng, rank):
    axes = [a for a in range(rank) if rng.random() < 0.5]
    return [int(a) - rank if rng.random() < 0.4 else int(a) for a in rng.permutation(axes)]


REDUCTIONS = {
    "ReduceSum": ["float32", "float64", "int32", "int64"], "ReduceMean": ["float32", "float64", "int32"], "ReduceMax": ["float32", "float64", "int32", "int64", "int8", "uint8"],
    "ReduceMin": ["float32", "float64", "int32", "int64", "int8", "uint8"], "ReduceProd": ["float32", "int32", "int64"], "ReduceL1": ["float32", "int32"],
    "ReduceL2": ["float32", "float64"], "ReduceLogSum": ["float32", "float64"], "ReduceLogSumExp": ["float32", "float64"], "ReduceSumSquare": ["float32", "float64", "int32"],
}


def reduction(name, types):
    @operator(name, cases=24)
    def case(rng):
        x = numbers(rng, shape(rng), pick(rng, types))
        if name == "ReduceLogSum":
            x = np.abs(x) + x.dtype.type(0.1)
        if name == "ReduceProd":
            x = (x % 4).astype(x.dtype)
        axes = some_axes(rng, x.ndim)
        attributes = {} if rng.random() < 0.3 else {"keepdims": int(rng.integers(2))}
        by_input = rng.random() < 0.6
        if by_input:
            if not axes and rng.random() < 0.5:
                attributes["noop_with_empty_axes"] = int(name in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd"))
            inputs = [x] if not axes and rng.random() < 0.5 else [x, np.array(axes, np.int64)]
            return Case(name, inputs, attributes, opset=18, constants=(1,), tolerance=3e-5, symbolic=(0,) if rng.random() < 0.5 else ())
        if axes:
            attributes["axes"] = axes
        old = name == "ReduceSum"
        return Case(name, [x], attributes, opset=11 if old else 13, tolerance=3e-5)


for op, allowed in REDUCTIONS.items():
    reduction(op, allowed)


@operator("ReduceSum", cases=4)
def axes_at_run_time(rng):
    return Case("ReduceSum", [numbers(rng, shape(rng, 3), "float32"), np.array([-1, 0], np.int64)], lowered=False)


@operator("ReduceMax", cases=4)
def reduce_booleans(rng):
    return Case("ReduceMax", [rng.random((3, 4)) < 0.3, np.array([1], np.int64)], constants=(1,), opset=20)


@operator("ReduceSum", cases=2)
def reduce_many(rng):
    x = rng.normal(0, 1, (3, 20000)).astype(np.float32)
    exact = x.astype(np.float64).sum(1, keepdims=True).astype(np.float32)
    return Case("ReduceSum", [x, np.array([1], np.int64)], constants=(1,), expected=[exact], tolerance=1e-6, lowered=True)


def reduce_nothing(name, dtype, expected):
    @operator(name, cases=1)
    def case(rng):
        return Case(name, [np.zeros((2, 0, 3), dtype), np.array([1], np.int64)], constants=(1,), opset=20, expected=[np.full((2, 1, 3), expected, dtype)])


for kind in ("float32", "float16", "int8", "uint8", "int32", "int64", "uint64", "bool"):
    real, limits = kind.startswith("f"), None if kind == "bool" or kind.startswith("f") else np.iinfo(kind)
    reduce_nothing("ReduceMax", kind, -np.inf if real else limits.min if limits else False)
    reduce_nothing("ReduceMin", kind, np.inf if real else limits.max if limits else True)


def with_nans(rng):
    """Rows that begin, end and are interspersed with NaNs, and one of nothing else; long enough for several vectors."""
    x = rng.normal(0, 3, (5, int(rng.integers(130, 300)))).astype(np.float32)
    x[0, :100] = np.nan
    x[1, 100:] = np.nan
    x[2, rng.random(x.shape[1]) < 0.5] = np.nan
    x[3] = np.nan
    return x


def extreme_of_nans(name, along, nothing):
    @operator(name, cases=4)
    def case(rng):
        x = with_nans(rng)
        axis = int(rng.integers(2))
        # What onnxruntime answers depends on where in a vector the NaN stands.
        expected = along(np.where(np.isnan(x), nothing, x), axis=1, keepdims=True).astype(np.float32)
        if axis == 0:
            x, expected = x.T.copy(), expected.T.copy()
        return Case(name, [x, np.array([axis], np.int64)], constants=(1,), opset=18, expected=[expected], lowered=True)


extreme_of_nans("ReduceMax", np.max, -np.inf)
extreme_of_nans("ReduceMin", np.min, np.inf)


@operator("ReduceLogSumExp", cases=6)
def log_sum_exp_of_infinities(rng):
    x = rng.normal(0, 3, (4, int(rng.integers(2, 80)))).astype(np.float32)
    x[0] = -np.inf
    x[1, 0] = np.inf
    x[2, ::2] = -np.inf
    with np.errstate(divide="ignore"):
        expected = np.log(np.exp(x.astype(np.float64)).sum(1)).astype(np.float32)
    return Case("ReduceLogSumExp", [x, np.array([1], np.int64)], {"keepdims": 0}, constants=(1,), expected=[expected], lowered=True)


def arg(name):
    @operator(name, cases=24)
    def case(rng):
        s = shape(rng, int(rng.integers(1, 5)))
        x = (numbers(rng, s, pick(rng, ["float32", "int32", "float64"])) * (rng.random(s) < 0.7)).astype(np.float32 if rng.random() < 0.5 else np.int32)
        attributes = {"axis": int(rng.integers(-len(s), len(s))), "keepdims": int(rng.integers(2)), "select_last_index": int(rng.integers(2))}
        return Case(name, [x], attributes, symbolic=(0,) if rng.random() < 0.5 else (), lowered=True)


arg("ArgMax")
arg("ArgMin")


def arg_of_nans(name, largest):
    @operator(name, cases=6)
    def case(rng):
        x = np.round(with_nans(rng))  # so that the extreme stands several times
        last = int(rng.integers(2))
        expected = []
        for row in x:
            best = (np.nanmax if largest else np.nanmin)(row) if not np.isnan(row).all() else np.nan
            where = np.flatnonzero(row == best)
            expected.append(0 if len(where) == 0 else where[-1 if last else 0])
        return Case(name, [x], {"axis": 1, "keepdims": 0, "select_last_index": last}, expected=[np.array(expected, np.int64)], lowered=True)


arg_of_nans("ArgMax", True)
arg_of_nans("ArgMin", False)


@operator("CumSum", cases=24)
def cum_sum(rng):
    s = shape(rng, int(rng.integers(1, 5)))
    x = numbers(rng, s, pick(rng, ["float32", "float64", "int32", "int64"]))
    attributes = {"exclusive": int(rng.integers(2)), "reverse": int(rng.integers(2))}
    return Case("CumSum", [x, np.array(rng.integers(-len(s), len(s)), np.int64 if rng.random() < 0.5 else np.int32)], attributes, tolerance=3e-5)


@operator("CumProd", cases=16)
def cum_prod(rng):
    s = shape(rng, int(rng.integers(1, 5)))
    dtype = pick(rng, ["float32", "float64", "int32", "int64"])
    x = rng.uniform(0.3, 2, s).astype(dtype) if dtype[0] == "f" else rng.integers(-3, 4, s).astype(dtype)
    attributes = {"exclusive": int(rng.integers(2)), "reverse": int(rng.integers(2))}
    return by_the_standard(Case("CumProd", [x, np.array(rng.integers(-len(s), len(s)), np.int64)], attributes, opset=26, tolerance=3e-5))


def softmax(name):
    @operator(name, cases=24)
    def case(rng):
        s = shape(rng, int(rng.integers(1, 5)))
        attributes = {} if rng.random() < 0.3 else {"axis": int(rng.integers(-len(s), len(s)))}
        x = numbers(rng, s, pick(rng, ["float32", "float64"] if name == "Hardmax" else ["float32", "float64", "float16"]))
        if name == "Hardmax":
            x = x.astype(np.float32)
        return Case(name, [x], attributes, opset=13, symbolic=(0,) if rng.random() < 0.5 else ())


for op in ("Softmax", "LogSoftmax", "Hardmax"):
    softmax(op)


@operator("Softmax", cases=2)
def softmax_of_large(rng):
    return Case("Softmax", [rng.normal(0, 1000, (3, 40)).astype(np.float32)], opset=13, lowered=True)
