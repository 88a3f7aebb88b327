"""Reductions, ArgMax, ArgMin, CumSum, the softmax family."""
import numpy as np

from harness import Case, operator
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


@operator("ReduceMax", cases=2)
def reduce_nothing(rng):
    return Case("ReduceMax", [np.zeros((2, 0, 3), np.float32), np.array([1], np.int64)], constants=(1,), opset=20, expected=[np.full((2, 1, 3), -np.inf, np.float32)])


def arg(name):
    @operator(name, cases=24)
    def case(rng):
        s = shape(rng, int(rng.integers(1, 5)))
        x = (numbers(rng, s, pick(rng, ["float32", "int32", "float64"])) * (rng.random(s) < 0.7)).astype(np.float32 if rng.random() < 0.5 else np.int32)
        attributes = {"axis": int(rng.integers(-len(s), len(s))), "keepdims": int(rng.integers(2)), "select_last_index": int(rng.integers(2))}
        return Case(name, [x], attributes, symbolic=(0,) if rng.random() < 0.5 else (), lowered=True)


arg("ArgMax")
arg("ArgMin")


@operator("CumSum", cases=24)
def cum_sum(rng):
    s = shape(rng, int(rng.integers(1, 5)))
    x = numbers(rng, s, pick(rng, ["float32", "float64", "int32", "int64"]))
    attributes = {"exclusive": int(rng.integers(2)), "reverse": int(rng.integers(2))}
    return Case("CumSum", [x, np.array(rng.integers(-len(s), len(s)), np.int64 if rng.random() < 0.5 else np.int32)], attributes, tolerance=3e-5)


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
