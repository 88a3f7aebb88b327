"""Models with free dimensions: compiled once, and at every size compared with onnxruntime."""
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from small_models import weights

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def save(path, nodes, inputs, outputs, constants=()):
    value = lambda v: helper.make_tensor_value_info(v[0], v[2] if len(v) > 2 else FLOAT, v[1])
    graph = helper.make_graph(nodes, path.stem, [value(v) for v in inputs], [value(v) for v in outputs], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def integers(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], output, **attributes)


def dim_of(tensor, axis, name):
    """The nodes by which exporters ask for a dimension, as a vector of one."""
    return [node("Shape", tensor, name + "_s"), node("Gather", f"{name}_s axis{axis}", name)]


AXES = [integers("axis0", 0), integers("axis1", 1)]


def mlp(path):
    nodes = [node("Gemm", "x w1 b1", "h", transB=1), node("Relu", "h", "a"), node("MatMul", "a w2", "l"), node("Softmax", "l", "y", axis=-1)]
    return save(path, nodes, [("x", ["batch", 24])], [("y", ["batch", 10])], [weights("w1", 40, 24), weights("b1", 40), weights("w2", 40, 10)])


def attention(path, width=32, heads=4):
    """An embedding with positions by Range, a mask that is expanded, heads split and merged by shapes computed as exporters do."""
    head = width // heads
    split = lambda name: [node("MatMul", f"e w{name}", f"{name}p"), node("Reshape", f"{name}p split_shape", f"{name}r"),
                          node("Transpose", f"{name}r", name, perm=[0, 2, 1, 3])]
    nodes = [*dim_of("ids", 0, "b"), *dim_of("ids", 1, "s"), node("Squeeze", "s axis0", "s0"), node("Range", "zero s0 one", "places"),
             node("Gather", "words ids", "w"), node("Gather", "positions places", "p"), node("Add", "w p", "e"),
             node("Concat", "b s heads", "split_shape", axis=0), *split("q"), *split("k"), *split("v"),
             node("Transpose", "k", "kt", perm=[0, 1, 3, 2]), node("MatMul", "q kt", "raw"), node("Mul", "raw scale", "scores"),
             node("Unsqueeze", "mask axes12", "m4"), node("Concat", "b one1 s s", "full", axis=0), node("Expand", "m4 full", "mf"),
             node("Cast", "mf", "mb", to=BOOL), node("Where", "mb scores lowest", "masked"),
             node("Softmax", "masked", "probabilities", axis=-1), node("MatMul", "probabilities v", "o"),
             node("Transpose", "o", "ot", perm=[0, 2, 1, 3]), node("Concat", "b s width", "merged", axis=0), node("Reshape", "ot merged", "m"),
             node("Add", "m e", "sum"), node("LayerNormalization", "sum g", "y", axis=-1)]
    constants = [*AXES, weights("words", 50, width, scale=1), weights("positions", 64, width, scale=1), integers("heads", heads, head),
                 *(weights("w" + n, width, width) for n in "qkv"), weights("g", width, scale=1), integers("one1", 1), integers("axes12", 1, 2),
                 integers("width", width), numpy_helper.from_array(np.int64(0), "zero"), numpy_helper.from_array(np.int64(1), "one"),
                 numpy_helper.from_array(np.float32(head**-0.5), "scale"), numpy_helper.from_array(np.float32(-1e9), "lowest")]
    return save(path, nodes, [("ids", ["batch", "seq"], INT64), ("mask", ["batch", "seq"], INT64)], [("y", ["batch", "seq", width])], constants)


def convolution(path):
    nodes = [helper.make_node("Conv", ["x", "c.w"], ["c"], "c", pads=[1] * 4, strides=[2, 2]), node("Relu", "c", "r"),
             helper.make_node("Conv", ["r", "d.w"], ["d"], "d", pads=[1] * 4, group=16), node("MaxPool", "d", "m", kernel_shape=[2, 2]),
             node("GlobalAveragePool", "m", "g"), node("Flatten", "g", "y")]
    return save(path, nodes, [("x", ["batch", 3, "height", "width"])], [("y", ["batch", 16]), ("m", ["batch", 16, "h", "w"])],
                [weights("c.w", 16, 3, 3, 3), weights("d.w", 16, 1, 3, 3)])


def strided(path):
    """Whether a window hangs over the edge depends on whether sizes are odd, on every level."""
    nodes = [helper.make_node("Conv", ["x", "a.w"], ["a"], "a", pads=[1] * 4, strides=[2, 2]),
             helper.make_node("Conv", ["a", "b.w"], ["b"], "b", pads=[1] * 4, strides=[2, 2]), node("Relu", "b", "r"),
             node("MaxPool", "r", "m", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
             node("AveragePool", "m", "p", kernel_shape=[3, 3], pads=[1] * 4), node("GlobalAveragePool", "p", "y")]
    return save(path, nodes, [("x", [1, 3, "height", "width"])], [("y", [1, 24, 1, 1]), ("p", [1, 24, "h", "w"])],
                [weights("a.w", 16, 3, 3, 3), weights("b.w", 24, 16, 3, 3)])


def skipping(path):
    nodes = [node("MaxPool", "x", "half", kernel_shape=[2, 2], strides=[2, 2]), node("MaxPool", "half", "quarter", kernel_shape=[2, 2], strides=[2, 2]),
             helper.make_node("Conv", ["quarter", "w"], ["c"], "c", pads=[1] * 4),
             helper.make_node("Resize", ["c", "", "scales"], ["up"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
             node("Concat", "x up", "both", axis=1), helper.make_node("Conv", ["both", "v"], ["y"], "d", pads=[1] * 4)]
    return save(path, nodes, [("x", [1, 3, "side", "side"])], [("y", [1, 8, "side", "side"])],
                [weights("w", 5, 3, 3, 3), weights("v", 8, 8, 3, 3), numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales")])


def cache(path):
    """What is new is put behind what is there; the newest is taken from the end."""
    nodes = [node("MatMul", "x w", "h"), node("Concat", "past h", "present", axis=1), node("ReduceMean", "present axis1", "mean", keepdims=0),
             node("Gather", "present last", "newest", axis=1), node("Add", "mean newest", "y")]
    return save(path, nodes, [("x", ["batch", "new", 8]), ("past", ["batch", "old", 12])],
                [("y", ["batch", 12]), ("present", ["batch", "all", 12])],
                [weights("w", 8, 12), AXES[1], numpy_helper.from_array(np.int64(-1), "last")])


def squeezed(path):
    """Of one row another computation: x.squeeze(0) as torch exports it."""
    value = helper.make_tensor_value_info
    one = helper.make_graph([helper.make_node("Neg", ["x"], ["t"])], "then", [], [value("t", FLOAT, None)])
    more = helper.make_graph([helper.make_node("Identity", ["x"], ["e"])], "else", [], [value("e", FLOAT, None)])
    nodes = [*dim_of("x", 0, "d"), node("Equal", "d one", "c1"), node("Squeeze", "c1", "c"),
             helper.make_node("If", ["c"], ["b"], "if", then_branch=one, else_branch=more), node("Relu", "b", "y")]
    return save(path, nodes, [("x", ["rows", 4])], [("y", ["rows", 4])], [*AXES, integers("one", 1)])


def recurrent(path, op="LSTM", hidden=12):
    """Two layers, the first both ways; states from shapes as torch exports them; the lengths of the batch's entries as an input."""
    gates = {"LSTM": 4, "GRU": 3}[op]
    states = ["h", "h"] if op == "LSTM" else ["h"]
    second = helper.make_node(op, ["flat", "w2", "r2", "b2", "", *["zero_" + s for s in states]], ["y2", "last"], "second", hidden_size=hidden, direction="reverse")
    nodes = [*dim_of("x", 1, "b"), node("Concat", "one1 b hidden", "state", axis=0), node("Expand", "zeros state", "zero_h"),
             helper.make_node(op, ["x", "w1", "r1", "b1", "lengths"], ["y1"], "first", hidden_size=hidden, direction="bidirectional"),
             node("Transpose", "y1", "t1", perm=[0, 2, 1, 3]), node("Reshape", "t1 keep", "flat"), second, node("Squeeze", "y2 axis1", "y")]
    constants = [*AXES, integers("one1", 1), integers("hidden", hidden), integers("keep", 0, 0, 2 * hidden), weights("zeros", 1, 1, hidden),
                 weights("w1", 2, gates * hidden, 9), weights("r1", 2, gates * hidden, hidden), weights("b1", 2, 2 * gates * hidden),
                 weights("w2", 1, gates * hidden, 2 * hidden), weights("r2", 1, gates * hidden, hidden), weights("b2", 1, 2 * gates * hidden)]
    return save(path, nodes, [("x", ["steps", "batch", 9]), ("lengths", ["batch"], TensorProto.INT32)],
                [("y", ["steps", "batch", hidden]), ("last", [1, "batch", hidden])], constants)


def gru(path):
    return recurrent(path, "GRU")


def scan(path):
    """A sum of squares along the last axis from behind, and what it was on the way."""
    value = helper.make_tensor_value_info
    body = helper.make_graph([helper.make_node("Mul", ["slice", "slice"], ["squared"]), helper.make_node("Mul", ["squared", "factor"], ["scaled"]),
                              helper.make_node("Add", ["sum", "scaled"], ["next"]), helper.make_node("Identity", ["next"], ["part"])], "body",
                             [value("sum", FLOAT, None), value("slice", FLOAT, None)], [value("next", FLOAT, None), value("part", FLOAT, None)])
    nodes = [node("MatMul", "x w", "start"), node("Exp", "f", "factor"),
             helper.make_node("Scan", ["start", "xs"], ["y", "parts"], "scan", body=body, num_scan_inputs=1, scan_input_axes=[-1],
                              scan_output_axes=[1], scan_input_directions=[1], scan_output_directions=[1])]
    return save(path, nodes, [("x", ["rows", 6]), ("xs", ["rows", 5, "length"]), ("f", [5])],
                [("y", ["rows", 5]), ("parts", ["rows", "length", 5])], [weights("w", 6, 5)])


CASES = {  # model: bounds, sizes to try beside random ones
    mlp: ({"batch": (1, 33)}, [{"batch": 1}, {"batch": 33}]),
    attention: ({"batch": (1, 5), "seq": (1, 48)}, [{"batch": 1, "seq": 1}, {"batch": 5, "seq": 48}, {"batch": 2, "seq": 17}]),
    convolution: ({"batch": (1, 3), "height": (8, 40), "width": (8, 40)}, [{"batch": 1, "height": 8, "width": 9}]),
    recurrent: ({"steps": (1, 20), "batch": (1, 6)}, [{"steps": 1, "batch": 1}, {"steps": 20, "batch": 6}, {"steps": 20, "batch": 1}]),
    gru: ({"steps": (1, 20), "batch": (1, 6)}, [{"steps": 1, "batch": 6}]),
    scan: ({"rows": (1, 7), "length": (1, 30)}, [{"rows": 1, "length": 1}, {"rows": 7, "length": 30}]),
    strided: ({"height": (8, 70), "width": (8, 70)}, [{"height": 70, "width": 70}, {"height": 33, "width": 64}, {"height": 64, "width": 47}]),
    cache: ({"batch": (1, 4), "new": (1, 6), "old": (1, 30)}, [{"batch": 1, "new": 1, "old": 1}, {"batch": 4, "new": 6, "old": 30}]),
}


def feeds(path, size, rng):
    out = {}
    for i in onnxruntime.InferenceSession(str(path)).get_inputs():
        shape = [size[d] if isinstance(d, str) else d for d in i.shape]
        if i.name == "lengths":
            out[i.name] = rng.integers(1, size["steps"] + 1, shape).astype(np.int32)
        elif i.name == "mask":
            out[i.name] = (np.arange(shape[-1]) < rng.integers(1, shape[-1] + 1, [shape[0], 1])).astype(np.int64)
        else:
            out[i.name] = rng.integers(0, 50, shape) if "int64" in i.type else rng.standard_normal(shape, dtype=np.float32)
    return out


def random_size(bounds, rng):
    return {name: int(rng.integers(lo, hi + 1)) for name, (lo, hi) in bounds.items()}


def dim_options(bounds):
    return [option for name, (lo, hi) in bounds.items() for option in ("--dim", f"{name}={lo}..{hi}")]


def run(rooftune, model, tensors, folder, *options):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in tensors.items():
        np.save(folder / f"{name}.npy", array)
    out = folder / "out"
    rooftune.json("run", model, *options, *(f"--input={name}={folder / name}.npy" for name in tensors), "--output-dir", out)
    return {p.stem: np.load(p) for p in out.glob("*.npy")}


@pytest.mark.parametrize("make", CASES, ids=lambda f: f.__name__)
def test_one_package_for_all_sizes(rooftune, tmp_path, make):
    path = make(tmp_path / "m.onnx")
    bounds, sizes = CASES[make]
    rng = np.random.default_rng()
    rooftune.json("import", path, *dim_options(bounds), "-o", tmp_path / "m.rt")
    session = onnxruntime.InferenceSession(str(path))
    names = [o.name for o in session.get_outputs()]
    for i, size in enumerate(sizes + [random_size(bounds, rng) for _ in range(6)]):
        tensors = feeds(path, size, rng)
        got = run(rooftune, tmp_path / "m.rt", tensors, tmp_path / str(i))
        for name, expected in zip(names, session.run(None, tensors)):
            np.testing.assert_allclose(got[name], expected, rtol=2e-5, atol=2e-5, err_msg=f"{name} at {size}")


def test_optimize(rooftune, tmp_path):
    path = attention(tmp_path / "m.onnx")
    bounds, sizes = CASES[attention]
    rng = np.random.default_rng()
    report = rooftune.json("optimize", path, *dim_options(bounds), "--budget", "3s", "-o", tmp_path / "out")
    assert report["verified"] is True and report["speedup"] > 0
    session = onnxruntime.InferenceSession(str(path))
    portable = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))  # takes all sizes, too
    for i, size in enumerate(sizes + [random_size(bounds, rng) for _ in range(3)]):
        tensors = feeds(path, size, rng)
        expected = session.run(None, tensors)[0]
        np.testing.assert_allclose(run(rooftune, tmp_path / "out" / "model.rt", tensors, tmp_path / str(i))["y"], expected, rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(portable.run(None, tensors)[0], expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("make", [convolution, cache, strided], ids=lambda f: f.__name__)
def test_everything_is_compiled(rooftune, tmp_path, make):
    """Edges of images, means over free axes and the place where a cache goes on are numbers of the run."""
    bounds, _ = CASES[make]
    rooftune.json("import", make(tmp_path / "m.onnx"), *dim_options(bounds), "-o", tmp_path / "m.rt")
    profile = rooftune.json("profile", tmp_path / "m.rt", "--runs", "1")
    assert [o["name"] for o in profile["operators"] if o.get("reference")] == []


def flipped(path):
    """x[::-1] along a free axis begins at an element that depends on the size."""
    constants = [integers("from", -1), integers("to", -2**63 + 1), integers("axis", 0), integers("step", -1), integers("zero", 0), integers("n", 1)]
    nodes = [node("Slice", "x from to axis step", "f"), node("Relu", "f", "r"), node("Slice", "r zero n axis", "y")]
    return save(path, nodes, [("x", ["rows", 4])], [("f", ["rows", 4]), ("y", [1, 4])], constants)


def test_a_flip_along_a_free_axis(rooftune, tmp_path):
    path = flipped(tmp_path / "m.onnx")
    rooftune.json("import", path, "--dim", "rows=1..9", "-o", tmp_path / "m.rt")
    rng = np.random.default_rng()
    for rows in (9, 1, 4):
        x = rng.standard_normal([rows, 4], dtype=np.float32)
        got = run(rooftune, tmp_path / "m.rt", {"x": x}, tmp_path / str(rows))
        np.testing.assert_array_equal(got["f"], x[::-1])
        np.testing.assert_array_equal(got["y"], np.maximum(x[-1:], 0))


def test_sizes_that_the_model_does_not_take(rooftune, tmp_path):
    """An image smaller than a window: no package may take it, and what is empty is copied nowhere."""
    nodes = [node("AveragePool", "x", "p", kernel_shape=[4, 3]), helper.make_node("Resize", ["p", "", "scales"], ["y"], mode="nearest", nearest_mode="ceil")]
    path = save(tmp_path / "m.onnx", nodes, [("x", [1, 2, "height", "width"])], [("y", [1, 2, "h", "w"])],
                [numpy_helper.from_array(np.array([1, 1, 0.5, 2], np.float32), "scales")])
    done = rooftune("import", path, "--dim", "height=3..19", "--dim", "width=6..22", "-o", tmp_path / "m.rt")
    assert done.returncode == 3 and "height=3" in done.stderr and not (tmp_path / "m.rt").exists(), done.stderr
    rooftune.json("import", path, "--dim", "height=5..19", "--dim", "width=6..22", "-o", tmp_path / "m.rt")


def test_sizes_that_go_in_steps(rooftune, tmp_path):
    """A network that halves an image twice and puts the halves together again takes every fourth size."""
    path = skipping(tmp_path / "m.onnx")
    rooftune.json("import", path, "--dim", "side=8..64", "-o", tmp_path / "m.rt")
    rng = np.random.default_rng()
    session = onnxruntime.InferenceSession(str(path))
    for side in (64, 8, 60, 36):
        tensors = feeds(path, {"side": side}, rng)
        got = run(rooftune, tmp_path / "m.rt", tensors, tmp_path / str(side))
        np.testing.assert_allclose(got["y"], session.run(None, tensors)[0], rtol=2e-5, atol=2e-5)
    np.save(tmp_path / "x.npy", rng.standard_normal([1, 3, 30, 30], dtype=np.float32))
    done = rooftune("run", tmp_path / "m.rt", f"--input=x={tmp_path / 'x.npy'}")
    assert done.returncode == 3 and "('side') must be 64 or less by a multiple of 4" in done.stderr, done.stderr


def test_some_free_and_some_fixed(rooftune, tmp_path):
    path = attention(tmp_path / "m.onnx")
    rng = np.random.default_rng()
    tensors = feeds(path, {"batch": 2, "seq": 11}, rng)
    got = run(rooftune, path, tensors, tmp_path / "r", "--dim", "batch=2", "--dim", "seq=1..20")
    np.testing.assert_allclose(got["y"], onnxruntime.InferenceSession(str(path)).run(None, tensors)[0], rtol=2e-5, atol=2e-5)


def test_nothing_is_compiled_once_it_is_imported(rooftune, tmp_path):
    """A package with free dimensions holds code for all of them: it runs where there is no code generator."""
    path = mlp(tmp_path / "m.onnx")
    rooftune.json("import", path, "--dim", "batch=1..33", "-o", tmp_path / "m.rt")
    rng = np.random.default_rng()
    for batch in (1, 7, 33):
        tensors = feeds(path, {"batch": batch}, rng)
        document = rooftune.json("run", tmp_path / "m.rt", *[f"--input=x={np.save(tmp_path / 'x.npy', tensors['x']) or tmp_path / 'x.npy'}"])
        assert document["outputs"][0]["shape"] == [batch, 10]


@pytest.mark.parametrize("dim, said", [("batch=9..3", "above"), ("batch=1..", "range"), ("batch=..8", "range"), ("batch=0..8", "at least 1"),
                                       ("batch=1..8..9", "range"), ("batch=1,,8", "list"), ("batch=4,8,", "list"), ("batch=4,0", "at least 1"),
                                       ("nobody=1..8", "nobody")])
def test_bad_bounds(rooftune, tmp_path, dim, said):
    done = rooftune("run", mlp(tmp_path / "m.onnx"), "--dim", dim)
    assert done.returncode == 3 and "--dim" in done.stderr and said in done.stderr, done.stderr


def test_a_list_of_sizes_is_all_up_to_the_largest(rooftune, tmp_path):
    """Who knows runtimes with buckets says seq=16,32: sizes between them need no padding here."""
    path = attention(tmp_path / "m.onnx")
    rooftune.json("import", path, "--dim", "batch=2", "--dim", "seq=32,8,16", "-o", tmp_path / "m.rt")
    rng = np.random.default_rng()
    session = onnxruntime.InferenceSession(str(path))
    for seq in (1, 8, 13, 32):
        tensors = feeds(path, {"batch": 2, "seq": seq}, rng)
        got = run(rooftune, tmp_path / "m.rt", tensors, tmp_path / str(seq))
        np.testing.assert_allclose(got["y"], session.run(None, tensors)[0], rtol=2e-5, atol=2e-5)
    for name, array in feeds(path, {"batch": 2, "seq": 33}, rng).items():
        np.save(tmp_path / f"{name}.npy", array)
    done = rooftune("run", tmp_path / "m.rt", *(f"--input={n}={tmp_path / n}.npy" for n in ("ids", "mask")))
    assert done.returncode == 3 and "'seq') must be 1 to 32" in done.stderr, done.stderr


def test_sizes_out_of_bounds(rooftune, tmp_path):
    path = attention(tmp_path / "m.onnx")
    rooftune.json("import", path, "--dim", "batch=2..4", "--dim", "seq=1..16", "-o", tmp_path / "m.rt")
    rng = np.random.default_rng()
    for size, said in (({"batch": 1, "seq": 4}, "'batch') must be 2 to 4"), ({"batch": 2, "seq": 17}, "'seq') must be 1 to 16")):
        tensors = feeds(path, size, rng)
        for name, array in tensors.items():
            np.save(tmp_path / f"{name}.npy", array)
        done = rooftune("run", tmp_path / "m.rt", *(f"--input={n}={tmp_path / n}.npy" for n in tensors))
        assert done.returncode == 3 and said in done.stderr, done.stderr
    np.save(tmp_path / "ids.npy", np.ones([2, 5], np.int64))
    np.save(tmp_path / "mask.npy", np.ones([2, 6], np.int64))
    done = rooftune("run", tmp_path / "m.rt", *(f"--input={n}={tmp_path / n}.npy" for n in ("ids", "mask")))
    assert done.returncode == 3 and "'seq'" in done.stderr and "another input" in done.stderr, done.stderr


def slow_constant(path):
    """The sum of at most 64 elements: at all large sizes of exactly 64."""
    nodes = [node("Slice", "x from to axis1", "s"), node("ReduceSum", "s axis1", "y", keepdims=0)]
    return save(path, nodes, [("x", [3, "seq"])], [("y", [3])], [AXES[1], integers("from", 0), integers("to", 64)])


def test_what_looks_constant_at_large_sizes(rooftune, tmp_path):
    """Refused, or right at every size after any other."""
    path = slow_constant(tmp_path / "m.onnx")
    done = rooftune("import", path, "--dim", "seq=1..384", "-o", tmp_path / "m.rt")
    assert done.returncode == 3 and "seq" in done.stderr, done.stderr
    rooftune.json("import", path, "--dim", "seq=64..384", "-o", tmp_path / "m.rt")
    x = np.random.default_rng().standard_normal((3, 100)).astype(np.float32)
    got = run(rooftune, tmp_path / "m.rt", {"x": x}, tmp_path / "r")["y"]
    np.testing.assert_allclose(got, x[:, :64].sum(1), rtol=1e-4, atol=1e-4)


def constant_outputs(path):
    """What is known of an input's shape alone."""
    nodes = [node("Shape", "x", "shape"), *dim_of("x", 0, "n"), node("Squeeze", "n axis0", "n0"), node("Range", "zero n0 one", "places"), node("Relu", "x", "y")]
    constants = [*AXES, numpy_helper.from_array(np.int64(0), "zero"), numpy_helper.from_array(np.int64(1), "one")]
    return save(path, nodes, [("x", ["rows", 5])], [("y", ["rows", 5]), ("shape", [2], INT64), ("places", ["rows"], INT64)], constants)


def test_outputs_that_depend_on_shapes_alone(rooftune, tmp_path):
    path = constant_outputs(tmp_path / "m.onnx")
    rooftune.json("import", path, "--dim", "rows=1..20", "-o", tmp_path / "m.rt")
    for rows in (1, 20, 7):
        x = np.random.default_rng().standard_normal((rows, 5)).astype(np.float32)
        got = run(rooftune, tmp_path / "m.rt", {"x": x}, tmp_path / str(rows))
        np.testing.assert_array_equal(got["y"], np.maximum(x, 0))
        assert got["shape"].tolist() == [rows, 5] and got["places"].tolist() == list(range(rows))


def test_one_size_after_another_in_one_process(rooftune, tmp_path):
    """What a large run leaves in memory must not show in a small one."""
    import rooftune as package
    path = attention(tmp_path / "m.onnx")
    rooftune.json("import", path, "--dim", "batch=1..5", "--dim", "seq=1..48", "-o", tmp_path / "m.rt")
    model, session = package.Model(tmp_path / "m.rt", threads=2), onnxruntime.InferenceSession(str(path))
    rng = np.random.default_rng()
    for _ in range(40):
        tensors = feeds(path, random_size({"batch": (1, 5), "seq": (1, 48)}, rng), rng)
        np.testing.assert_allclose(model.run(tensors)["y"], session.run(None, tensors)[0], rtol=2e-5, atol=2e-5)
    with pytest.raises(package.InputError, match="'seq'.*1 to 48"):
        model.run({"ids": np.zeros([1, 49], np.int64), "mask": np.ones([1, 49], np.int64)})


def test_a_package_of_many_sizes_is_no_model(rooftune, tmp_path):
    path = mlp(tmp_path / "m.onnx")
    rooftune.json("import", path, "--dim", "batch=1..33", "-o", tmp_path / "m.rt")
    for command in (["import", tmp_path / "m.rt", "-o", tmp_path / "again.onnx"], ["bench", tmp_path / "m.rt"]):
        done = rooftune(*command)
        assert done.returncode == 3 and "was made from" in done.stderr, done.stderr
    profile = rooftune.json("profile", tmp_path / "m.rt", "--runs", "2")
    assert profile["roofline_ms"] > 0  # random inputs have the largest size
    np.save(tmp_path / "x.npy", np.ones([2, 24], np.float32))
    profile = rooftune.json("profile", tmp_path / "m.rt", "--runs", "2", "--input", f"x={tmp_path / 'x.npy'}")
    assert "roofline_ms" not in profile and profile["total_ms"] > 0


def test_a_size_at_which_the_model_is_another(rooftune, tmp_path):
    path = squeezed(tmp_path / "m.onnx")
    done = rooftune("import", path, "--dim", "rows=1..8", "-o", tmp_path / "m.rt")
    assert done.returncode == 3 and "rows=1" in done.stderr and not (tmp_path / "m.rt").exists(), done.stderr
    rooftune.json("import", path, "--dim", "rows=2..8", "-o", tmp_path / "m.rt")
    x = np.random.default_rng().standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_array_equal(run(rooftune, tmp_path / "m.rt", {"x": x}, tmp_path / "r")["y"], np.maximum(x, 0))


def test_what_run_prints(rooftune, tmp_path):
    """There is no roof at a size that only the inputs tell."""
    done = rooftune("run", mlp(tmp_path / "m.onnx"), "--dim", "batch=1..4", "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "latency" in done.stdout and "roofline" not in done.stdout


def mean_of_rows(path, as_sum):
    """The mean, or what is the mean of eight rows only."""
    nodes = [node("ReduceSum", "x axis0", "s"), node("Mul", "s eighth", "y")] if as_sum else [node("ReduceMean", "x axis0", "y")]
    return save(path, nodes, [("x", ["batch", 24])], [("y", [1, 24])],
                [AXES[0], numpy_helper.from_array(np.float32(1 / 8), "eighth")][:2 if as_sum else 1])


def test_verify_tries_many_sizes(rooftune, tmp_path):
    mean, other = mean_of_rows(tmp_path / "mean.onnx", False), mean_of_rows(tmp_path / "sum.onnx", True)
    assert rooftune.json("verify", mean, other, "--dim", "batch=8")["agree"] is True
    done = rooftune("verify", mean, other, "--dim", "batch=2..8", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1 and said["agree"] is False and "first at batch=" in said["why"] and "batch=8)" not in said["why"]
    rooftune.json("import", mean, "--dim", "batch=2..8", "-o", tmp_path / "mean.rt")
    for options in ([mean, tmp_path / "mean.rt"], [tmp_path / "mean.rt", mean]):
        said = rooftune.json("verify", *options, "--dim", "batch=2..8", "--samples", "4", "--seed", "5")
        assert said["agree"] is True and "refused_sizes" not in said
        assert said["sizes"][:3] == ["batch=8", "batch=2", "batch=4"] and len(said["sizes"]) == 7
    # What only one of them takes is not compared, and said.
    rooftune.json("import", mean, "--dim", "batch=4..8", "-o", tmp_path / "narrow.rt")
    said = rooftune.json("verify", mean, tmp_path / "narrow.rt", "--dim", "batch=2..8")
    assert said["agree"] is True and "batch=2" in said["refused_sizes"] and "batch=8" in said["sizes"]
    # A file says the size of its samples.
    np.save(tmp_path / "x.npy", np.random.default_rng().standard_normal((5, 24), np.float32))
    said = rooftune.json("verify", mean, tmp_path / "mean.rt", "--dim", "batch=2..8", "--input", f"x={tmp_path / 'x.npy'}")
    assert set(said["sizes"]) == {"batch=5"}
