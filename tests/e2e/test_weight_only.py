"""Weights of 4 and 8 bits with activations in f32: they stay as narrow as they are, in files, in memory and in the kernels."""
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import feed, relative_error

K, N, BLOCK = 256, 192, 32


def packed(numbers):
    """Numbers of 4 bits, two in a byte."""
    flat = (numbers.astype(np.int16) & 15).astype(np.uint8).reshape(-1)
    return (flat[0::2] | flat[1::2] << 4).tobytes()


def constant(name, kind, numbers):
    if kind in (TensorProto.INT4, TensorProto.UINT4):
        return helper.make_tensor(name, kind, numbers.shape, packed(numbers), raw=True)
    return helper.make_tensor(name, kind, numbers.shape, numbers.astype(np.int8 if kind == TensorProto.INT8 else np.uint8).tobytes(), raw=True)


RANGES = {TensorProto.INT4: (-8, 8), TensorProto.UINT4: (0, 16), TensorProto.INT8: (-128, 128), TensorProto.UINT8: (0, 256)}


def dequantised(path, kind, rows, blocked=True, zeros=False, transposed=False, seed=0):
    """x · DequantizeLinear(w) + b, and what it is."""
    rng = np.random.default_rng(seed)
    w = rng.integers(*RANGES[kind], (K, N))
    s = rng.uniform(0.01, 0.03, (K // BLOCK, N) if blocked else (N,)).astype(np.float32)
    z = rng.integers(*RANGES[kind], s.shape)
    b = rng.standard_normal(N).astype(np.float32)
    over = lambda a: np.repeat(a, BLOCK, 0) if blocked else a
    wide = (w - over(z) * zeros).astype(np.float32) * over(s)
    turn = (lambda a: np.ascontiguousarray(a.T)) if transposed else (lambda a: a)
    axis = (0 if blocked else 1) ^ transposed
    constants = [constant("w", kind, turn(w)), numpy_helper.from_array(turn(s), "s"), numpy_helper.from_array(b, "b")]
    if zeros:
        constants.append(constant("z", kind, turn(z)))
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"] + ["z"] * zeros, ["d"], axis=axis, **({"block_size": BLOCK} if blocked else {}))]
    nodes.append(helper.make_node("Gemm", ["x", "d", "b"], ["y"], transB=int(transposed)))
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, width])
    graph = helper.make_graph(nodes, "g", [value("x", K)], [value("y", N)], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    x = rng.standard_normal((rows, K)).astype(np.float32)
    return x, x.astype(np.float64) @ wide + b


def run(rooftune, model, x, folder, *more):
    rooftune.json("run", model, *feed(folder, {"x": x}), "--output-dir", folder / "out", *more)
    return np.load(folder / "out" / "y.npy")


def one_kernel(rooftune, model):
    operators = rooftune.json("profile", model, "--runs", 1)["operators"]
    return len(operators) == 1 and "reference" not in operators[0]


@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("zeros, transposed", [(False, False), (True, False), (True, True)])
def test_dequantised_in_blocks(rooftune, tmp_path, kind, rows, zeros, transposed):
    x, want = dequantised(tmp_path / "m.onnx", kind, rows, True, zeros, transposed, seed=rows)
    assert relative_error(run(rooftune, tmp_path / "m.onnx", x, tmp_path), want) < 2e-6
    assert one_kernel(rooftune, tmp_path / "m.onnx")


@pytest.mark.parametrize("kind", RANGES)
def test_dequantised_per_column(rooftune, tmp_path, kind):
    x, want = dequantised(tmp_path / "m.onnx", kind, 3, blocked=False)
    assert relative_error(run(rooftune, tmp_path / "m.onnx", x, tmp_path, "--threads", 2), want) < 2e-6
    assert one_kernel(rooftune, tmp_path / "m.onnx")


def nbits(path, rows, k=K, n=N, block=BLOCK, bits=4, zeros=False, half=False, seed=0, **attributes):
    rng = np.random.default_rng(seed)
    blocks, real = -(-k // block), np.float16 if half else np.float32
    constants = [numpy_helper.from_array(rng.integers(0, 256, (n, blocks, block * bits // 8), dtype=np.uint8), "w"),
                 numpy_helper.from_array(rng.uniform(0.01, 0.03, n * blocks).astype(real), "s")]
    if zeros:
        constants.append(numpy_helper.from_array(rng.integers(0, 256, n * (-(-blocks * bits // 8)), dtype=np.uint8), "z"))
    node = helper.make_node("MatMulNBits", ["x", "w", "s"] + ["z"] * zeros, ["y"], domain="com.microsoft", K=k, N=n, bits=bits, block_size=block, **attributes)
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT16 if half else TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "g", [value("x", rows + [k])], [value("y", rows + [n])], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)], ir_version=10), path)
    x = rng.standard_normal(rows + [k]).astype(real)
    return x, onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("rows, bits, block", [([1], 4, 32), ([2, 7], 4, 16), ([1, 33], 4, 128), ([6], 8, 32)])
def test_matmul_nbits_beside_onnxruntime(rooftune, tmp_path, rows, bits, block, zeros):
    x, want = nbits(tmp_path / "m.onnx", rows, bits=bits, block=block, zeros=zeros, seed=len(rows))
    assert relative_error(run(rooftune, tmp_path / "m.onnx", x, tmp_path), want) < 5e-6
    assert one_kernel(rooftune, tmp_path / "m.onnx")


def test_blocks_that_are_not_whole(rooftune, tmp_path):
    x, want = nbits(tmp_path / "m.onnx", [3], k=200, block=64, zeros=True)
    assert relative_error(run(rooftune, tmp_path / "m.onnx", x, tmp_path), want) < 2e-5


def test_activations_in_f16(rooftune, tmp_path):
    x, want = nbits(tmp_path / "m.onnx", [4], half=True)
    got = run(rooftune, tmp_path / "m.onnx", x, tmp_path)
    assert got.dtype == np.float16 and relative_error(got, want) < 2e-3
    operators = rooftune.json("profile", tmp_path / "m.onnx", "--runs", 1)["operators"]
    assert not [o for o in operators if "reference" in o] and max(o["bytes"] for o in operators) < 0.75 * K * N


def test_free_rows(rooftune, tmp_path):
    nbits(tmp_path / "m.onnx", [8], zeros=True)
    model = onnx.load(tmp_path / "m.onnx")
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    onnx.save(model, tmp_path / "free.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "free.onnx"), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(3)
    for rows in (1, 3, 20):
        x = rng.standard_normal((rows, K)).astype(np.float32)
        got = run(rooftune, tmp_path / "free.onnx", x, tmp_path, "--dim", "rows=1..20")
        assert relative_error(got, session.run(None, {"x": x})[0]) < 5e-6


def test_packages_and_memory_hold_four_bits(rooftune, tmp_path):
    """The weights are stored once, packed as the kernel reads them; the package runs, and is written as ONNX again."""
    x, want = nbits(tmp_path / "m.onnx", [1], k=1024, n=2048)
    out = tmp_path / "made"
    document = rooftune.json("optimize", tmp_path / "m.onnx", "--budget", "0", "-o", out)
    narrow = 1024 * 2048 / 2 + 1024 * 2048 / BLOCK * 4
    best = next(c for c in document["candidates"] if c["id"] == "optimised")
    assert best["size_mb"] < 1.05 * narrow / 1e6
    assert (out / "model.rt").stat().st_size < 1.2 * narrow
    (tmp_path / "m.onnx").unlink()
    assert relative_error(run(rooftune, out / "model.rt", x, tmp_path), want) < 2e-5
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    assert relative_error(session.run(None, {"x": x})[0], want) < 2e-5
    assert (out / "model.onnx").stat().st_size < 1.2 * narrow


def test_a_prompt_tuned_within_the_bound(rooftune, tmp_path):
    """Tuning may round activations to 16 bits where many rows share the weights, and never beyond the bound."""
    x, want = nbits(tmp_path / "m.onnx", [64], k=512, n=512)
    for bound in (1e-3, 1e-6):
        document = rooftune.json("optimize", tmp_path / "m.onnx", "--budget", "3s", "--max-rel-error", bound, "--database", tmp_path / f"{bound}.sqlite", "-o",
                                 tmp_path / f"out{bound}")
        assert document["verified"] and document["verification"]["max_rel_error"] <= bound
        assert document["kept_original"] or {o["algorithm"] for o in document["operators"]} <= ({"direct", "weights16"} if bound > 1e-5 else {"direct"})
        assert relative_error(run(rooftune, tmp_path / f"out{bound}" / "model.rt", x, tmp_path), want) < max(5e-6, bound)
