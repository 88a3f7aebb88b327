"""Resize, sampling on grids, columns to images."""
import numpy as np

from harness import Case, by_the_standard, operator


def resize_case(rng, mode, coordinates, by_size, rank, factors, axes_only=True, **extra):
    shape = [int(rng.integers(1, 3)), int(rng.integers(1, 4)), *(int(d) for d in rng.integers(2, 9, rank))]
    x = rng.standard_normal(shape).astype(np.float32)
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates, **extra}
    scales = [float(rng.choice(factors)) for _ in range(rank)]
    sizes = [max(1, int(s * d)) for s, d in zip(scales, shape[2:])]
    axes = list(range(2, 2 + rank)) if axes_only and rng.random() < 0.5 else None
    if axes:
        attributes["axes"] = axes
    lead = 0 if axes else 2
    roi = None
    if coordinates == "tf_crop_and_resize":
        scales = [s if int(s * d) != d else 2.0 for s, d in zip(scales, shape[2:])]  # onnxruntime crops no axis of scale 1
        sizes = [max(1, int(s * d)) for s, d in zip(scales, shape[2:])]
        start = [0.0] * lead + list(rng.uniform(-0.1, 0.4, rank))
        roi = np.array(start + [1.0] * lead + list(rng.uniform(0.6, 1.1, rank)), np.float32)
        attributes["extrapolation_value"] = 7.5
    inputs = [x, roi]
    if by_size:
        inputs += [None, np.array(shape[:lead] + sizes, np.int64)]
    else:
        scales = [max(s, 1 / d + 1e-6) for s, d in zip(scales, shape[2:])]
        inputs += [np.array([1.0] * lead + scales, np.float32)]
    return Case("Resize", inputs, attributes, opset=19, constants=(2, 3), symbolic=(0,), tolerance=2e-5)


@operator("Resize", 60)
def nearest(rng):
    coordinates = str(rng.choice(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric", "tf_crop_and_resize"]))
    rounding = str(rng.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
    while True:
        case = resize_case(rng, "nearest", coordinates, rng.random() < 0.5, int(rng.choice([1, 2, 2, 3])), [0.5, 2, 3, 1.5, 0.7, 1, 2.6], nearest_mode=rounding)
        if not on_the_edge(case):
            return case


def on_the_edge(case):
    """Whether a coordinate lies so close to where rounding changes that its last bit decides."""
    shape = case.inputs[0].shape
    given = case.inputs[3] if len(case.inputs) > 3 else case.inputs[2]
    if given.dtype != np.float32:
        factors = given / np.array(shape[-len(given):])
    else:
        factors = given.astype(np.float64)
    for d, s in zip(shape[-len(given):], factors):
        out = int(d * s + 1e-6)
        o = np.arange(out)
        x = {"asymmetric": o / s, "align_corners": o * (d - 1) / max(out - 1, 1), "half_pixel_symmetric": d / 2 * (1 - out / (d * s)) + (o + 0.5) / s - 0.5}.get(case.attributes["coordinate_transformation_mode"], (o + 0.5) / s - 0.5)
        if s != 1 and np.log2(s) % 1 != 0 and (np.abs(x * 2 - np.round(x * 2)) < 1e-4).any():
            return True
    return False


@operator("Resize", 15)
def nearest_upsampling(rng):
    case = resize_case(rng, "nearest", str(rng.choice(["half_pixel", "asymmetric"])), False, 2, [1, 2, 3, 4])
    case.attributes["nearest_mode"] = "floor" if case.attributes["coordinate_transformation_mode"] == "asymmetric" else "round_prefer_floor"
    case.lowered = True
    return case


@operator("Resize", 60)
def linear(rng):
    coordinates = str(rng.choice(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric", "tf_crop_and_resize"]))
    return resize_case(rng, "linear", coordinates, rng.random() < 0.5, int(rng.choice([1, 2, 2, 3])), [0.5, 2, 3, 1.5, 0.7, 1, 2.6])


@operator("Resize", 30)
def cubic(rng):
    coordinates = str(rng.choice(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]))
    return resize_case(rng, "cubic", coordinates, rng.random() < 0.5, 2, [0.5, 2, 3, 1.5, 0.7], exclude_outside=int(rng.integers(0, 2)), cubic_coeff_a=float(rng.choice([-0.75, -0.5])))


@operator("Resize", 30)
def antialias(rng):
    mode = str(rng.choice(["linear", "cubic"]))
    return resize_case(rng, mode, "half_pixel", True, 2, [0.3, 0.5, 0.7, 2], antialias=1, exclude_outside=int(rng.integers(0, 2)))


@operator("Resize", 20)
def aspect_ratio(rng):
    case = resize_case(rng, "nearest", "asymmetric", True, 2, [0.5, 2, 3, 1.5], axes_only=True, nearest_mode="floor")
    case.attributes |= {"keep_aspect_ratio_policy": str(rng.choice(["not_larger", "not_smaller"]))}
    if "axes" not in case.attributes:
        case.attributes["axes"] = [2, 3]
        case.inputs[3] = case.inputs[3][2:]
    return case


@operator("Resize")
def upsample(rng):
    """As models before opset 10 have it."""
    x = rng.standard_normal((1, 2, *rng.integers(2, 6, 2))).astype(np.float32)
    scales = np.array([1, 1, *rng.integers(1, 4, 2)], np.float32)
    mode = str(rng.choice(["nearest", "linear"]))
    attributes = {"mode": mode, "coordinate_transformation_mode": "asymmetric", **({"nearest_mode": "floor"} if mode == "nearest" else {})}
    return Case("Resize", [x, None, scales], attributes, opset=13, constants=(2,), symbolic=(0,), lowered=True)


@operator("GridSample", 60)
def grid_sample(rng):
    opset = int(rng.choice([16, 20]))
    rank = 2 if opset == 16 else int(rng.choice([2, 2, 3]))
    names = {16: ["bilinear", "nearest", "bicubic"], 20: ["linear", "nearest", "cubic"]}[opset]
    mode = str(rng.choice(names[:2] if rank == 3 else names))
    n, c = (int(x) for x in rng.integers(1, 3, 2))
    x = rng.standard_normal((n, c, *rng.integers(2, 7, rank))).astype(np.float32)
    grid = rng.uniform(-1.4, 1.4, (n, *rng.integers(1, 6, rank), rank)).astype(np.float32)
    attributes = {"mode": mode, "padding_mode": str(rng.choice(["zeros", "border", "reflection"])), "align_corners": int(rng.integers(0, 2))}
    return Case("GridSample", [x, grid], attributes, opset=opset, symbolic=(0, 1), tolerance=1e-4)


@operator("AffineGrid", 20)
def affine_grid(rng):
    rank = int(rng.choice([2, 3]))
    size = [int(rng.integers(1, 3)), int(rng.integers(1, 3)), *(int(d) for d in rng.integers(2, 6, rank))]
    theta = rng.standard_normal((size[0], rank, rank + 1)).astype(np.float32)
    return Case("AffineGrid", [theta, np.array(size, np.int64)], {"align_corners": int(rng.integers(0, 2))}, opset=20, constants=(1,) if rng.random() < 0.7 else (), symbolic=(0,))


@operator("Col2Im", 20)
def col2im(rng):
    rank = int(rng.choice([1, 2, 2, 3]))
    block = [int(b) for b in rng.integers(1, 4, rank)]
    attributes = {"strides": [int(s) for s in rng.integers(1, 3, rank)], "dilations": [int(d) for d in rng.integers(1, 3, rank)], "pads": [int(p) for p in rng.integers(0, 2, 2 * rank)]}
    image = [int(rng.integers((b - 1) * d + 1, 9)) for b, d in zip(block, attributes["dilations"])]
    steps = [(i + a + b - (k - 1) * d - 1) // s + 1 for i, a, b, k, d, s in zip(image, attributes["pads"][:rank], attributes["pads"][rank:], block, attributes["dilations"], attributes["strides"])]
    x = rng.standard_normal((rng.integers(1, 3), rng.integers(1, 4) * int(np.prod(block)), int(np.prod(steps)))).astype(np.float32)
    case = Case("Col2Im", [x, np.array(image, np.int64), np.array(block, np.int64)], attributes, constants=(1, 2) if rng.random() < 0.7 else (), symbolic=(0,))
    return case if rank == 2 else by_the_standard(case)  # onnxruntime mixes up the axes of uneven paddings in 3 dims
