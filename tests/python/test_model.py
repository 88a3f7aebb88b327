"""rooftune.load(path).run(inputs): values, types, errors, threads."""
import gc
import threading

import numpy as np
import pytest
import rooftune
from rooftune import _tensors

ROWS, COLUMNS = 37, 24


def expected(packages, x):
    w = np.fromfile(packages / "matrix.w", np.float32).reshape(COLUMNS, COLUMNS).astype(np.float64)
    doubled = 2 * x.astype(np.float64) + 1
    product = doubled @ w
    return (product - product.sum(axis=0)) - (2 * doubled + 1)


def relative_error(got, wanted):
    return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)


@pytest.fixture
def matrix(packages):
    return rooftune.load(packages / "matrix.rt", threads=2)


@pytest.fixture
def x():
    return np.random.default_rng().standard_normal((ROWS, COLUMNS)).astype(np.float32)


def test_numpy_in_numpy_out(packages, matrix, x):
    got = matrix.run({"in0": x})
    assert list(got) == ["out7"] and got["out7"].dtype == np.float32
    assert relative_error(got["out7"], expected(packages, x)) < 1e-5
    assert np.array_equal(matrix.run([x])["out7"], got["out7"])


def test_outputs_outlive_the_model(packages, x):
    got = rooftune.load(packages / "matrix.rt").run({"in0": x})["out7"]
    copy = got.copy()
    gc.collect()
    assert np.array_equal(got, copy)
    assert relative_error(got, expected(packages, x)) < 1e-5


def test_specs(matrix, packages):
    assert matrix.inputs == [rooftune.Spec("in0", "f32", (ROWS, COLUMNS))]
    assert matrix.outputs == [("out7", "f32", (ROWS, COLUMNS))]
    dynamic = rooftune.load(packages / "dynamic.rt")
    assert [s.shape for s in dynamic.inputs] == [(-1, 3), None]


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "big endian", "unaligned", "read-only", "list"])
def test_any_array_of_the_right_type(packages, matrix, x, layout):
    given = {
        "fortran": lambda: np.asfortranarray(x),
        "strided": lambda: np.repeat(x, 2, axis=1)[:, ::2],
        "reversed": lambda: x[::-1].copy()[::-1],
        "big endian": lambda: x.astype(">f4"),
        "unaligned": lambda: np.frombuffer(b"abc" + x.tobytes(), np.float32, offset=3).reshape(x.shape),
        "read-only": lambda: np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
        "list": lambda: x.tolist(),
    }[layout]()
    assert relative_error(matrix.run({"in0": given})["out7"], expected(packages, x)) < 1e-5


def test_dlpack_tensors(packages, matrix, x):
    class Foreign:  # what PyTorch's tensors look like from outside
        def __init__(self, array):
            self.array, self.asked = array, 0

        def __dlpack__(self):
            self.asked += 1
            return self.array.__dlpack__()

    foreign = Foreign(x.copy())
    assert relative_error(matrix.run({"in0": foreign})["out7"], expected(packages, x)) < 1e-5
    assert foreign.asked == 1
    with pytest.raises(rooftune.InputError, match=r"input 'in0' is f64\[37,24\]"):
        matrix.run({"in0": Foreign(x.astype(np.float64))})


def test_outputs_in_place(matrix, x):
    out = np.empty((ROWS, COLUMNS), np.float32)
    got = matrix.run({"in0": x}, outputs={"out7": out})
    assert got["out7"] is out
    assert np.array_equal(out, matrix.run({"in0": x})["out7"])
    with pytest.raises(rooftune.InputError, match="output 'out7' is f32\\[3\\]"):
        matrix.run({"in0": x}, outputs={"out7": np.empty(3, np.float32)})
    with pytest.raises(rooftune.InputError, match="'out7' must be a writable"):
        matrix.run({"in0": x}, outputs={"out7": np.empty((COLUMNS, ROWS), np.float32).T})
    with pytest.raises(rooftune.InputError, match="no output 'y'"):
        matrix.run({"in0": x}, outputs={"y": out})


def test_dynamic_shapes(packages):
    model = rooftune.load(packages / "dynamic.rt")
    a, b = (s.name for s in model.inputs)
    for rows in (1, 5, 2):
        p, q = np.random.rand(2, rows, 3).astype(np.float32)
        assert np.array_equal(model.run({a: p, b: q})[model.outputs[0].name], p + q)
    assert model.run({a: p, b: np.float32(2)})[model.outputs[0].name].shape == p.shape
    with pytest.raises(rooftune.InputError, match=r"f32\[2,4\]: a f32\[\?,3\] is expected"):
        model.run({a: np.zeros((2, 4), np.float32), b: np.zeros((2, 4), np.float32)})


def test_dynamic_outputs_in_place(packages):
    model = rooftune.load(packages / "dynamic.rt")
    (name,) = (s.name for s in model.outputs)
    p, q = np.random.rand(2, 4, 3).astype(np.float32)
    out = np.zeros((4, 3), np.float32)
    assert model.run([p, q], outputs={name: out})[name] is out and np.array_equal(out, p + q)
    with pytest.raises(rooftune.InputError, match=rf"output '{name}' is f32\[3\]: this run gives f32\[4,3\]"):
        model.run([p, q], outputs={name: np.zeros(3, np.float32)})


def test_every_type_comes_back(packages):
    model = rooftune.load(packages / "types.rt")
    r = np.random.default_rng()
    values = {
        "bf16": (r.integers(-8, 8, (2, 3)) / 4).astype(np.float32),
        "f16": r.standard_normal((2, 3)).astype(np.float16),
        "f64": r.standard_normal((2, 3)),
        "i64": r.integers(-2**62, 2**62, (2, 3)),
        "u8": r.integers(0, 256, (2, 3)).astype(np.uint8),
        "bool": r.integers(0, 2, (2, 3)).astype(bool),
        "c64": (r.standard_normal((2, 3)) + 1j).astype(np.complex64),
        "string": np.array([["a", "grüße", ""], ["d", "e", "long " * 20]], dtype=object),
    }
    got = model.run(values)
    for name, value in values.items():
        out = got[name + "_out"]
        assert out.shape == (2, 3), name
        assert np.array_equal(out.astype(value.dtype), value), name
        assert name == "bf16" or out.dtype == value.dtype


def test_bfloat16_rounds_to_nearest_even():
    values = np.array([1.0, 1.00390625, 1.01171875, -3.3895314e38, np.inf, np.nan, 1e-40], np.float32)
    raw = np.asarray(_tensors._bfloat16(values)).view(np.uint16)
    assert [hex(v) for v in raw] == ["0x3f80", "0x3f80", "0x3f82", "0xff7f", "0x7f80", "0x7fc0", "0x1"]


def test_wrong_inputs_are_named(matrix, x):
    for inputs, message in [({}, "input 'in0' is missing"), ({"in0": x, "y": x}, "no input 'y'; the model takes in0"),
                            ([x, x], r"takes 1 inputs \(in0\)"), ({"in0": x.T}, r"input 'in0' is f32\[24,37\]"),
                            ({"in0": x.astype(np.float64)}, r"input 'in0' is f64"),
                            ({"in0": np.array([object()])}, "arrays of object")]:
        with pytest.raises(rooftune.InputError, match=message):
            matrix.run(inputs)


def test_load_errors(tmp_path, packages):
    with pytest.raises(rooftune.InputError, match="no.rt"):
        rooftune.load(tmp_path / "no.rt")
    (tmp_path / "cut.rt").write_bytes((packages / "matrix.rt").read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut"):  # InputError is a ValueError too
        rooftune.load(tmp_path / "cut.rt")
    with pytest.raises(rooftune.InputError, match="-1 threads"):
        rooftune.load(packages / "matrix.rt", threads=-1)


def test_concurrent_runs(packages, matrix):
    inputs = [np.random.rand(ROWS, COLUMNS).astype(np.float32) for _ in range(4)]
    wanted = [matrix.run([x])["out7"] for x in inputs]
    wrong = []

    def work(i):
        for j in range(50):
            k = (i + j) % len(inputs)
            if not np.array_equal(matrix.run([inputs[k]])["out7"], wanted[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


def test_nothing_is_kept(matrix, x):
    for _ in range(3):
        matrix.run({"in0": x})
        with pytest.raises(rooftune.InputError):
            matrix.run({"in0": x.T})
    gc.collect()
    assert not _tensors._kept


def test_profile(matrix, x):
    profile = matrix.profile({"in0": x})
    assert [s["name"] for s in profile["steps"]][0] == "scale_0" and len(profile["steps"]) == 5
    assert profile["total_ms"] == pytest.approx(sum(s["milliseconds"] for s in profile["steps"]))
