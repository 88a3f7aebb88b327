"""Detection heads."""
import numpy as np

from harness import Case, operator


@operator("NonMaxSuppression", 25)
def non_max_suppression(rng):
    b, c, n = int(rng.integers(1, 3)), int(rng.integers(1, 4)), int(rng.integers(1, 30))
    boxes = rng.uniform(0, 1, (b, n, 4)).astype(np.float32)
    scores = rng.permutation(b * c * n).reshape(b, c, n).astype(np.float32) / (b * c * n)
    inputs = [boxes, scores, np.array([rng.integers(0, 8)], np.int64)]
    if rng.random() < 0.8:
        inputs += [np.array([rng.uniform(0.1, 0.6)], np.float32), np.array([rng.uniform(0, 0.5)], np.float32)][:rng.integers(1, 3)]
    return Case("NonMaxSuppression", inputs, {"center_point_box": int(rng.integers(0, 2))}, symbolic=(0, 1))


def rois(rng, count, size):
    first = rng.uniform(-2, size - 3, (count, 2))
    return np.concatenate([first, first + rng.uniform(0.5, size, (count, 2))], 1).astype(np.float32)


@operator("RoiAlign", 30)
def roi_align(rng):
    n, c, h, w = (int(x) for x in (*rng.integers(1, 4, 2), *rng.integers(5, 12, 2)))
    count = int(rng.integers(1, 6))
    x = rng.standard_normal((n, c, h, w)).astype(np.float32)
    attributes = {"output_height": int(rng.integers(1, 5)), "output_width": int(rng.integers(1, 5)), "sampling_ratio": int(rng.integers(0, 4)),
                  "spatial_scale": float(rng.choice([1.0, 0.5])), "mode": str(rng.choice(["avg", "avg", "max"]))}
    opset = int(rng.choice([10, 16]))
    if opset == 16:
        attributes["coordinate_transformation_mode"] = str(rng.choice(["half_pixel", "output_half_pixel"]))
    return Case("RoiAlign", [x, rois(rng, count, 12), rng.integers(0, n, count).astype(np.int64)], attributes, opset=opset, symbolic=(0, 1), tolerance=1e-4)


@operator("MaxRoiPool", 15)
def max_roi_pool(rng):
    n, c, h, w = (int(x) for x in (*rng.integers(1, 4, 2), *rng.integers(5, 12, 2)))
    count = int(rng.integers(1, 6))
    x = rng.standard_normal((n, c, h, w)).astype(np.float32)
    boxes = np.concatenate([rng.integers(0, n, (count, 1)), rng.integers(0, 5, (count, 2)), rng.integers(5, 12, (count, 2))], 1).astype(np.float32)
    return Case("MaxRoiPool", [x, boxes], {"pooled_shape": [int(p) for p in rng.integers(1, 5, 2)], "spatial_scale": float(rng.choice([1.0, 0.5]))}, symbolic=(0, 1))
