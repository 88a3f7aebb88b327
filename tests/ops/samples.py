"""Random shapes and values for the cases."""
import numpy as np


def shape(rng, rank=None, most=7):
    rank = int(rng.integers(0, 5)) if rank is None else rank
    return tuple(int(d) for d in rng.integers(1, most, rank))




def broadcast_shapes(rng, count):
    """`count` shapes that broadcast to each other."""
    full = shape(rng)
    shapes = []
    for _ in range(count):
        kept = tuple(1 if rng.random() < 0.3 else d for d in full)
        shapes.append(kept[int(rng.integers(0, len(full) + 1)):] if rng.random() < 0.3 else kept)
    return shapes


def numbers(rng, shape, dtype):
    """Floats around 0, or integers of a few dozen."""
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 3, shape).astype(dtype)
    low = 0 if np.dtype(dtype).kind == "u" else -40
    return rng.integers(low, 60, shape).astype(dtype)
