"""What jax computes and what Rooftune computes of its StableHLO text agree on random inputs."""
import jax
import numpy as np
import pytest
from jax import export

import programs


def text_of(function, inputs, **kwargs):
    specs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs]
    return export.export(jax.jit(function), **kwargs)(*specs).mlir_module()


def flat(tree):
    return [np.asarray(x) for x in jax.tree_util.tree_leaves(tree)]


def run(rooftune, folder, text, inputs, *options):
    """The outputs, in order, and the document of `rooftune run`."""
    path = folder / "m.mlir"
    path.write_text(text)
    facts = rooftune.json("characterize", path)
    arguments = []
    for i, (value, x) in enumerate(zip(facts["inputs"], inputs)):
        np.save(folder / f"in{i}.npy", x)
        arguments += ["--input", f"{value['name']}={folder / f'in{i}.npy'}"]
    document = rooftune.json("run", path, *arguments, "--output-dir", folder / "out", *options)
    return [np.load(o["file"]) for o in document["outputs"]]


def check(got, expected, tolerance):
    assert len(got) == len(expected)
    for i, (a, b) in enumerate(zip(got, expected)):
        assert a.shape == b.shape, f"output {i}"
        if b.dtype.kind in "fV" or b.dtype.name == "bfloat16":
            a, b = np.asarray(a, np.float64), b.astype(np.float64)
            scale = np.abs(b[np.isfinite(b)]).max(initial=1)
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=f"output {i}")
        else:
            np.testing.assert_array_equal(a, b, err_msg=f"output {i}")


def generic_text_of(function, inputs):
    """The same module with every operation in MLIR's generic form, and without locations."""
    module = jax.jit(function).lower(*inputs).compiler_ir("stablehlo")
    return module.operation.get_asm(print_generic_op_form=True)


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


@pytest.mark.parametrize("form", [text_of, generic_text_of])
@pytest.mark.parametrize("name", sorted(programs.PROGRAMS))
def test_program(rooftune, tmp_path, rng, name, form):
    function, makers, tolerance = programs.PROGRAMS[name]
    inputs = [np.asarray(make(rng)) for make in makers]
    expected = flat(jax.jit(function)(*inputs))
    check(run(rooftune, tmp_path, form(function, inputs), inputs), expected, tolerance)


def test_names_are_those_of_the_user(rooftune, tmp_path):
    def loss(params, x):
        return {"loss": (x @ params["w"]).sum(), "logits": x @ params["w"]}

    shapes = {"w": jax.ShapeDtypeStruct((4, 3), np.float32)}, jax.ShapeDtypeStruct((2, 4), np.float32)
    (tmp_path / "m.mlir").write_text(export.export(jax.jit(loss))(*shapes).mlir_module())
    facts = rooftune.json("characterize", tmp_path / "m.mlir")
    assert [v["name"] for v in facts["inputs"]] == ["params['w']", "x"]
    assert [v["name"] for v in facts["outputs"]] == ["result['logits']", "result['loss']"]
    assert "jit(loss)/dot_general" in [o["name"] for o in facts["operators"]]


def test_broadcasts_leave_no_copies(rooftune, tmp_path):
    """Scalars and rows that jax repeats to full size meet element-wise operators as they are."""
    text = text_of(lambda x: jax.nn.softmax(jax.nn.relu(x * 2 + W) / 3), [np.zeros((64, 32), np.float32)])
    (tmp_path / "m.mlir").write_text(text)
    histogram = rooftune.json("characterize", tmp_path / "m.mlir")["histogram"]
    assert "Expand" not in histogram


W = np.ones(32, np.float32)


def test_shardings_are_passed_over(rooftune, tmp_path, rng):
    mesh = jax.make_mesh((1,), ("x",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    function = jax.jit(lambda x: jax.numpy.tanh(x) * 2, in_shardings=sharding)
    x = rng.normal(size=(4, 2)).astype(np.float32)
    text = export.export(function)(x).mlir_module()
    assert "sdy.mesh" in text
    check(run(rooftune, tmp_path, text, [x]), flat(function(x)), 1e-5)


def test_polymorphic_shapes(rooftune, tmp_path, rng):
    def function(x, w, y):
        h = jax.nn.softmax(jax.nn.relu(x @ w))
        return h.mean(1), h.reshape(x.shape[0] * x.shape[1], -1), jax.numpy.arange(x.shape[1]) + 1, h.sum((0, 1)), h * y[:, None]

    b, s = export.symbolic_shape("b, s")
    specs = [jax.ShapeDtypeStruct(shape, np.float32) for shape in [(b, s, 4), (4, 6), (b, 6)]]
    text = export.export(jax.jit(function))(*specs).mlir_module()
    (tmp_path / "m.mlir").write_text(text)
    facts = rooftune.json("characterize", tmp_path / "m.mlir", "--dim", "b=3", "--dim", "s=7")
    assert [v["shape"] for v in facts["inputs"]] == [[3, 7, 4], [4, 6], [3, 6]]
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in [(3, 7, 4), (4, 6), (3, 6)]]
    text_path = tmp_path / "m.mlir"
    arguments = []
    for name, x in zip(["x", "w", "y"], inputs):
        np.save(tmp_path / f"{name}.npy", x)
        arguments += ["--input", f"{name}={tmp_path / name}.npy"]
    arguments += ["--dim", "b=3", "--dim", "s=7", "--output-dir", tmp_path / "out"]
    document = rooftune.json("run", text_path, *arguments)
    check([np.load(o["file"]) for o in document["outputs"]], flat(jax.jit(function)(*inputs)), 1e-5)
