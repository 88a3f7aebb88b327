"""Losses of classes, and determinants."""
import numpy as np

from harness import Case, by_the_standard, operator
from samples import numbers, shape


def loss(name, score):
    @operator(name, cases=24)
    def case(rng):
        classes = int(rng.integers(2, 6))
        places = shape(rng, int(rng.integers(0, 3)), 5)
        batch = int(rng.integers(1, 4))
        x = score(rng, (batch, classes, *places)).astype(rng.choice(["float32", "float64"]))
        target = rng.integers(0, classes, (batch, *places)).astype(rng.choice(["int32", "int64"]))
        target.flat[0] = 0  # one that is never ignored
        attributes = {"reduction": str(rng.choice(["none", "sum", "mean"]))}
        if rng.random() < 0.5:
            ignored = int(rng.choice([-1, 1]))
            attributes["ignore_index"] = ignored
            if target.size > 1:
                target.flat[1] = ignored
        weight = rng.uniform(0.2, 2, classes).astype(x.dtype) if rng.random() < 0.5 else None
        outputs = 2 if name == "SoftmaxCrossEntropyLoss" and rng.random() < 0.5 else 1
        return Case(name, [x, target] + ([] if weight is None else [weight]), attributes, outputs=outputs, opset=13, tolerance=3e-5,
                    symbolic=(0,) if rng.random() < 0.3 else (), lowered=False)


loss("NegativeLogLikelihoodLoss", lambda rng, s: -rng.uniform(0, 5, s))
loss("SoftmaxCrossEntropyLoss", lambda rng, s: numbers(rng, s, "float64"))


@operator("Det", cases=16)
def det(rng):
    n = int(rng.integers(1, 6))
    x = numbers(rng, (*shape(rng, int(rng.integers(0, 3)), 4), n, n), "float32")
    if n > 1 and rng.random() < 0.3:
        x[..., 0, 0] = 0  # a pivot must be found
    if n > 1 and rng.random() < 0.2:
        x[..., 1, :] = 0
    return by_the_standard(Case("Det", [x], opset=22, tolerance=1e-4, lowered=False))
