"""Operators of ai.onnx.ml."""
import numpy as np

from harness import Case, operator, run_onnxruntime

ML = "ai.onnx.ml"


@operator("ArrayFeatureExtractor", 8)
def array_feature_extractor(rng):
    shape = tuple(int(d) for d in rng.integers(1, 5, int(rng.integers(1, 4))))
    x = rng.standard_normal(shape).astype(np.float32)
    count = int(rng.integers(1, 5))
    index = rng.integers(0, shape[-1], (1, count) if rng.random() < 0.5 else count)
    return Case("ArrayFeatureExtractor", [x, index], domain=ML, symbolic=(0,))


@operator("Binarizer", 6)
def binarizer(rng):
    x = rng.standard_normal((3, 4)).astype(np.float32)
    return Case("Binarizer", [x], {"threshold": 0.25} if rng.random() < 0.5 else {}, domain=ML, lowered=True)


def some(rng, kind, count):
    """Distinct values."""
    if kind == "strings":
        return [f"word {i}" for i in rng.permutation(20)[:count]]
    values = [int(i) for i in rng.permutation(20)[:count]]
    return values if kind == "int64s" else [v / 4 for v in values]


@operator("LabelEncoder", 24)
def label_encoder(rng):
    kinds = ["strings", "int64s", "floats"]
    keys, values = kinds[rng.integers(0, 3)], kinds[rng.integers(0, 3)]
    known = some(rng, keys, 6)
    attributes = {f"keys_{keys}": known, f"values_{values}": some(rng, values, 6)}
    if rng.random() < 0.5:
        attributes["default_" + values.removesuffix("s")] = {"strings": "none", "int64s": 77, "floats": 0.125}[values]
    x = [known[i] if i < 6 else {"strings": "unknown", "int64s": 99, "floats": 9.75}[keys] for i in rng.integers(0, 8, 10)]
    dtype = {"strings": object, "int64s": np.int64, "floats": np.float32}[keys]
    return Case("LabelEncoder", [np.array(x, dtype).reshape(2, 5)], attributes, domain=ML, domain_version=4)


def tree(rng, depth, features, nodes, leaves, targets):
    """Adds a random tree in preorder; (is it a leaf, its index)."""
    if depth == 0 or (nodes and rng.random() < 0.2):
        leaves.append((float(np.float32(rng.standard_normal())), int(rng.integers(0, targets))))
        return 1, len(leaves) - 1
    at = len(nodes)
    nodes.append(None)
    mode, split = int(rng.integers(0, 6)), float(np.float32(rng.integers(-4, 5) / 4))
    feature, missing = int(rng.integers(0, features)), int(rng.integers(0, 2))
    yes, no = (tree(rng, depth - 1, features, nodes, leaves, targets) for _ in range(2))
    nodes[at] = (feature, mode, split, missing, *yes, *no)
    return 0, at


@operator("TreeEnsemble", 30)
def tree_ensemble(rng):
    features, targets = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    nodes, leaves, roots = [], [], []
    for _ in range(int(rng.integers(1, 5))):
        at = len(nodes)
        nodes.append(None)  # the root is no leaf
        yes, no = (tree(rng, 3, features, nodes, leaves, targets) for _ in range(2))
        nodes[at] = (int(rng.integers(0, features)), int(rng.integers(0, 6)), 0.25, int(rng.integers(0, 2)), *yes, *no)
        roots.append(at)
    column = lambda i: [n[i] for n in nodes]
    dtype = np.float32 if rng.random() < 0.7 else np.float64
    attributes = {"nodes_featureids": column(0), "nodes_modes": np.array(column(1), np.uint8), "nodes_splits": np.array(column(2), dtype),
                  "nodes_missing_value_tracks_true": column(3), "nodes_trueleafs": column(4), "nodes_truenodeids": column(5),
                  "nodes_falseleafs": column(6), "nodes_falsenodeids": column(7), "tree_roots": roots, "n_targets": targets,
                  "leaf_weights": np.array([w for w, _ in leaves], dtype), "leaf_targetids": [t for _, t in leaves],
                  "aggregate_function": int(rng.integers(0, 4))}
    x = (rng.integers(-6, 7, (int(rng.integers(1, 6)), features)) / 4).astype(dtype)
    x[rng.random(x.shape) < 0.1] = np.nan
    case = Case("TreeEnsemble", [x], attributes, domain=ML, domain_version=5, tolerance=1e-5)
    transform = int(rng.integers(0, 3))
    if transform:  # onnxruntime takes 1 for the logistic function, 2 for softmax, and none of them for one target; the standard says otherwise
        (scores,) = run_onnxruntime(case)
        power = np.exp(scores - scores.max(1, keepdims=True))
        case.expected = [power / power.sum(1, keepdims=True) if transform == 1 else 1 / (1 + np.exp(-scores))]
        attributes["post_transform"] = transform
    return case
