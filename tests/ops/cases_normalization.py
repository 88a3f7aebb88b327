"""Normalisations."""
import numpy as np

from harness import Case, operator
from samples import numbers, shape


def pick(rng, options):
    return options[rng.integers(len(options))]


@operator("LayerNormalization", cases=20)
def layer_norm(rng):
    dtype = pick(rng, ["float32", "float64", "float16"])
    x = numbers(rng, shape(rng, int(rng.integers(1, 5)), 12), dtype)
    axis = int(rng.integers(-x.ndim, x.ndim))
    scale, bias = (numbers(rng, x.shape[axis:], dtype) for _ in range(2))
    attributes = {"axis": axis} if rng.random() < 0.7 or axis != -1 else {}
    if rng.random() < 0.5:
        attributes["epsilon"] = float(rng.uniform(1e-6, 1e-2))
    return Case("LayerNormalization", [x, scale, bias if rng.random() < 0.7 else None], attributes, opset=17, tolerance=1e-4,
                symbolic=(0,) if rng.random() < 0.5 else (), lowered=dtype != "float64")


@operator("LayerNormalization", cases=5)
def layer_norm_statistics(rng):
    x = numbers(rng, shape(rng, 3), "float32")
    return Case("LayerNormalization", [x, numbers(rng, x.shape[1:], "float32")], {"axis": 1}, outputs=3, opset=17, tolerance=1e-4, lowered=False)


@operator("RMSNormalization", cases=14)
def rms_norm(rng):
    x = numbers(rng, shape(rng, int(rng.integers(1, 5)), 12), "float32")
    axis = int(rng.integers(-x.ndim, x.ndim))
    scale = numbers(rng, x.shape[axis:], "float32")
    wide = x.astype(np.float64)
    axes = tuple(range(axis % x.ndim, x.ndim))
    y = wide / np.sqrt((wide ** 2).mean(axes, keepdims=True) + 1e-3) * scale
    return Case("RMSNormalization", [x, scale], {"axis": axis, "epsilon": 1e-3}, opset=23, expected=[y.astype(np.float32)], tolerance=1e-4, lowered=True)


@operator("InstanceNormalization", cases=14)
def instance_norm(rng):
    x = numbers(rng, shape(rng, int(rng.integers(3, 6)), 7), "float32")
    return Case("InstanceNormalization", [x] + [numbers(rng, (x.shape[1],), "float32") for _ in range(2)], {"epsilon": 1e-3}, tolerance=1e-4, lowered=True)


@operator("GroupNormalization", cases=14)
def group_norm(rng):
    groups, per_group = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    spatial = shape(rng, int(rng.integers(1, 3)))
    x = numbers(rng, (int(rng.integers(1, 4)), groups * per_group) + spatial, "float32")
    old = rng.random() < 0.5
    scale, bias = (numbers(rng, (groups if old else groups * per_group,), "float32") for _ in range(2))
    grouped = x.astype(np.float64).reshape(x.shape[0], groups, -1)
    y = ((grouped - grouped.mean(-1, keepdims=True)) / np.sqrt(grouped.var(-1, keepdims=True) + 1e-3)).reshape(x.shape)
    along = lambda v: (np.repeat(v, per_group) if old else v).reshape((1, -1) + (1,) * len(spatial))
    return Case("GroupNormalization", [x, scale, bias], {"num_groups": groups, "epsilon": 1e-3}, opset=18 if old else 21,
                expected=[(y * along(scale) + along(bias)).astype(np.float32)], tolerance=1e-4, lowered=True)


@operator("BatchNormalization", cases=14)
def batch_norm(rng):
    dtype = pick(rng, ["float32", "float64"])
    x = numbers(rng, shape(rng, int(rng.integers(2, 6))), dtype)
    channels = (x.shape[1],)
    statistics = [numbers(rng, channels, dtype) for _ in range(3)] + [rng.uniform(0.1, 2, channels).astype(dtype)]
    return Case("BatchNormalization", [x] + statistics, {"epsilon": 1e-3} if rng.random() < 0.5 else {}, opset=15, tolerance=1e-4, lowered=dtype != "float64")


@operator("LpNormalization", cases=16)
def lp_norm(rng):
    x = numbers(rng, shape(rng, int(rng.integers(1, 5))), "float32")
    if x.ndim > 1 and rng.random() < 0.3:
        x[..., 0] = 0
    return Case("LpNormalization", [x], {"axis": int(rng.integers(-x.ndim, x.ndim)), "p": int(rng.integers(1, 3))}, lowered=True)


@operator("MeanVarianceNormalization", cases=14)
def mean_variance(rng):
    x = numbers(rng, shape(rng, 4), "float32")
    x = x + rng.normal(0, 1, x.shape).astype(np.float32)
    axes = [0, 2, 3] if rng.random() < 0.5 else [2, 3] if rng.random() < 0.5 else [0, 1, 2, 3]
    wide = x.astype(np.float64)
    y = (wide - wide.mean(tuple(axes), keepdims=True)) / (wide.std(tuple(axes), keepdims=True) + 1e-9)
    return Case("MeanVarianceNormalization", [x], {} if axes == [0, 2, 3] else {"axes": axes}, expected=[y.astype(np.float32)], tolerance=1e-4, lowered=True)


@operator("LRN", cases=14)
def lrn(rng):
    x = numbers(rng, shape(rng, 4), "float32")
    attributes = {"size": int(rng.choice([1, 3, 5, 7])), "alpha": 0.3, "beta": 0.6, "bias": 1.5}
    if rng.random() < 0.3:
        attributes = {"size": 3}
    return Case("LRN", [x], attributes, tolerance=1e-4, lowered=True)


@operator("BatchNormalization", cases=8)
def batch_norm_training(rng):
    x = numbers(rng, shape(rng, int(rng.integers(2, 5))), pick(rng, ["float32", "float64"]))
    channels = (x.shape[1],)
    scale, bias, mean = (numbers(rng, channels, x.dtype) for _ in range(3))
    variance = rng.uniform(0.1, 2, channels).astype(x.dtype)
    momentum, axes = float(rng.uniform(0.1, 0.99)), tuple(d for d in range(x.ndim) if d != 1)
    wide = x.astype(np.float64)
    own_mean, own_variance = wide.mean(axes), wide.var(axes)
    along = lambda v: v.reshape((-1,) + (1,) * (x.ndim - 2))
    y = (wide - along(own_mean)) / np.sqrt(along(own_variance) + 1e-3) * along(scale) + along(bias)
    running = [before * momentum + now * (1 - momentum) for before, now in ((mean, own_mean), (variance, own_variance))]
    return Case("BatchNormalization", [x, scale, bias, mean, variance], {"epsilon": 1e-3, "momentum": momentum, "training_mode": 1}, outputs=3, opset=15,
                expected=[v.astype(x.dtype) for v in [y] + running], tolerance=1e-4, lowered=False)
