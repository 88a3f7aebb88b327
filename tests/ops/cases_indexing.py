"""Reading at indices that are data."""
import numpy as np

from cases_movement import shape_of, tensor
from harness import Case, operator


def indices(rng, extent, shape, low=None):
    return rng.integers(-extent if low is None else low, extent, shape).astype(rng.choice([np.int64, np.int32]))


@operator("Gather", 30)
def gather(rng):
    shape = shape_of(rng, 1, 4)
    axis = int(rng.integers(0, len(shape)))
    chosen = indices(rng, shape[axis], shape_of(rng, 0, 3, 4))
    x = tensor(rng, *shape)
    expected = [np.take(x, chosen, axis)] if x.dtype == object else None  # onnxruntime 1.31 loses strings here
    return Case("Gather", [x, chosen], {"axis": axis - (len(shape) if rng.random() < 0.5 else 0)}, constants=(1,) if rng.random() < 0.3 else (), symbolic=(0, 1), expected=expected)


@operator("Gather", 6)
def gather_along_the_long_axis(rng):
    """Indices at run time along the axis that would be the vector's; negative ones, too."""
    shape = (100,) if rng.random() < 0.5 else (8, 100)
    x = rng.normal(0, 1, shape).astype(np.float32)
    return Case("Gather", [x, indices(rng, 100, (64,))], {"axis": len(shape) - 1}, lowered=True)


@operator("GatherElements", 15)
def gather_elements(rng):
    shape = list(shape_of(rng, 1, 4))
    axis = int(rng.integers(0, len(shape)))
    x = tensor(rng, *shape)
    count = list(shape)
    count[axis] = int(rng.integers(1, 6))
    return Case("GatherElements", [x, indices(rng, shape[axis], count)], {"axis": axis - (len(shape) if rng.random() < 0.5 else 0)}, symbolic=(0, 1))


@operator("GatherND", 20)
def gather_nd(rng):
    shape = shape_of(rng, 1, 4)
    batch = int(rng.integers(0, len(shape)))
    indexed = int(rng.integers(1, len(shape) - batch + 1))
    points = shape[:batch] + shape_of(rng, 0, 2, 4)
    chosen = np.stack([rng.integers(-shape[batch + i], shape[batch + i], points) for i in range(indexed)], -1).astype(np.int64)
    return Case("GatherND", [tensor(rng, *shape), chosen], {"batch_dims": batch}, symbolic=(0,))
