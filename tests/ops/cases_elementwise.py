"""Arithmetic, mathematics, activations, comparisons, logic, Where, Trilu, Cast."""
import numpy as np

from onnx import helper

from harness import Case, operator
from samples import broadcast_shapes, numbers, shape

FLOATS = ["float32", "float64", "float16"]


def pick(rng, options):
    return options[rng.integers(len(options))]


# --- binary and variadic arithmetic

def binary(name, types, make=numbers, numpy_types=(), numpy=None, attributes=None, opset=18):
    @operator(name, cases=14)
    def case(rng):
        dtype = pick(rng, types + list(numpy_types))
        shapes = broadcast_shapes(rng, 2)
        inputs = [make(rng, s, dtype) for s in shapes]
        made = Case(name, inputs, attributes=attributes(rng) if attributes else {}, symbolic=(0, 1) if rng.random() < 0.5 else (), opset=opset)
        if rng.random() < 0.3:
            made.constants = (1,)
        if dtype in numpy_types:
            with np.errstate(all="ignore"):
                made.expected = [numpy(*inputs).astype(inputs[0].dtype)]
        return made


SMALL_INTEGERS = ["int8", "uint8", "int16", "uint16"]


def nonzero(rng, s, dtype):
    x = numbers(rng, s, dtype)
    return np.where(x == 0, np.ones((), dtype), x)


binary("Add", FLOATS + ["int32", "int64"], numpy_types=SMALL_INTEGERS, numpy=np.add)
binary("Sub", FLOATS + ["int32", "int64"], numpy_types=SMALL_INTEGERS, numpy=np.subtract)
binary("Mul", FLOATS + ["int32", "int64"], numpy_types=SMALL_INTEGERS, numpy=np.multiply)
binary("Div", FLOATS + ["int32", "int64"], make=nonzero)
binary("BitwiseAnd", ["int32", "uint8", "int64", "uint16"])
binary("BitwiseOr", ["int32", "uint8", "int64", "uint16"])
binary("BitwiseXor", ["int32", "uint8", "int64", "uint16"])


@operator("Div", cases=8)
def division_of_integers(rng):
    dtype = pick(rng, ["int8", "uint8", "int16"])
    a, b = (nonzero(rng, s, dtype) for s in broadcast_shapes(rng, 2))
    quotient = np.trunc(a.astype(np.float64) / b.astype(np.float64)).astype(np.int64).astype(dtype)
    return Case("Div", [a, b], expected=[quotient])


@operator("Pow", cases=30)
def power(rng):
    base_type = pick(rng, ["float32", "float64", "int32", "int64"])
    exponent_type = pick(rng, ["float32", "float64", "int32", "int64"])
    a, b = broadcast_shapes(rng, 2)
    base = rng.uniform(0.2, 3, a).astype(base_type) if base_type.startswith("f") else rng.integers(0, 6, a).astype(base_type)
    exponent = rng.uniform(-2, 3, b).astype(exponent_type) if exponent_type.startswith("f") else rng.integers(0, 5, b).astype(exponent_type)
    if base_type.startswith("i"):
        exponent = np.floor(np.abs(exponent)).astype(exponent_type)
    return Case("Pow", [base, exponent], tolerance=2e-5)


@operator("Pow")
def constant_power(rng):
    exponent = np.array(pick(rng, [0.5, 1, 2, 3, -1, 1.7]), dtype=np.float32)
    return Case("Pow", [rng.uniform(0.1, 4, shape(rng)).astype(np.float32), exponent], constants=(1,), tolerance=2e-5, lowered=True)


@operator("Mod", cases=20)
def modulo(rng):
    dtype = pick(rng, ["int32", "int64", "int8", "uint8", "float32", "float64"])
    a, b = (nonzero(rng, s, dtype) for s in broadcast_shapes(rng, 2))
    return Case("Mod", [a, b], attributes={"fmod": 1 if dtype.startswith("f") else int(rng.integers(2))})


def division(name):
    @operator(name, cases=12)
    def divided_by_what_traps(rng):
        """By 0, by -1 (of the smallest number, too) and in vectors of which only a part is used."""
        dtype = np.dtype(pick(rng, ["int32", "int64", "int8", "uint8"]))
        s = tuple(int(d) for d in rng.integers(1, 40, int(rng.integers(1, 3))))
        a, b = numbers(rng, s, dtype), rng.integers(-3 if dtype.kind == "i" else 0, 4, s).astype(dtype)
        a[rng.random(s) < 0.2] = np.iinfo(dtype).min
        with np.errstate(all="ignore"):
            quotient = np.where(b == 0, 0, np.trunc(a.astype(np.longdouble) / np.where(b == 0, 1, b)))
            exact = [int(q) for q in quotient.reshape(-1)] if name == "Div" else [0 if v == 0 else int(u) % int(v) for u, v in zip(a.reshape(-1), b.reshape(-1))]
        bits = 8 * dtype.itemsize
        expected = np.array([e % 2**bits for e in exact], f"u{dtype.itemsize}").view(dtype).reshape(s)
        return Case(name, [a, b], expected=[expected], lowered=name == "Mod" and dtype.itemsize >= 4)


division("Mod")
division("Div")


@operator("BitShift", cases=16)
def shift(rng):
    dtype = pick(rng, ["uint8", "uint32", "uint64"])
    a, b = broadcast_shapes(rng, 2)
    by = rng.integers(0, np.dtype(dtype).itemsize * 8, b).astype(dtype)
    return Case("BitShift", [numbers(rng, a, dtype), by], attributes={"direction": pick(rng, ["LEFT", "RIGHT"])})


@operator("BitwiseNot")
def bitwise_not(rng):
    return Case("BitwiseNot", [numbers(rng, shape(rng), pick(rng, ["int32", "uint8", "int8", "uint64"]))])


def variadic(name, types):
    @operator(name, cases=16)
    def case(rng):
        dtype = pick(rng, types)
        return Case(name, [numbers(rng, s, dtype) for s in broadcast_shapes(rng, int(rng.integers(1, 5)))])


variadic("Min", FLOATS + ["int32", "int64", "uint32", "uint64"])
variadic("Max", FLOATS + ["int32", "int64", "uint32", "uint64"])
variadic("Sum", ["float32", "float64"])
variadic("Mean", ["float32"])


# --- unary functions, by the interval they are defined on

def unary(name, low=-4.0, high=4.0, types=("float32", "float64", "float16"), attributes=None, opset=18, tolerance=1e-5, numpy=None, lowered=None):
    @operator(name)
    def case(rng):
        dtype = pick(rng, list(types))
        x = rng.uniform(low, high, shape(rng))
        x = x.astype(dtype) if dtype.startswith("f") else np.trunc(x).astype(dtype)
        made = Case(name, [x], attributes=attributes(rng) if attributes else {}, opset=opset, tolerance=tolerance,
                    symbolic=(0,) if rng.random() < 0.5 else (), lowered=lowered if dtype == "float32" else None)
        if numpy is not None:
            made.expected = [np.asarray(numpy(x.astype(np.float64), **made.attributes)).astype(dtype)]
        return made


SIGNED = ("float32", "float64", "int8", "int32", "int64")
unary("Abs", -100, 100, SIGNED + ("uint8",), lowered=True)
unary("Neg", -100, 100, SIGNED, lowered=True)
unary("Sign", -3, 3, SIGNED, lowered=True)
unary("Sqrt", 0, 9, lowered=True)
unary("Exp", -10, 10, lowered=True)
unary("Log", 0.01, 20, lowered=True)
unary("Erf", types=("float32",), lowered=True)
unary("Reciprocal", 0.1, 5, lowered=True)
unary("Shrink", types=("float32", "float64", "int32", "int64"), opset=9, lowered=True,
      attributes=lambda rng: {"lambd": float(rng.uniform(0, 2)), "bias": float(rng.choice([0, 1, 1.5]))},
      numpy=lambda x, lambd, bias: np.where(x < -np.float32(lambd), x + np.float32(bias), np.where(x > np.float32(lambd), x - np.float32(bias), 0)))
unary("Floor", lowered=True)
unary("Ceil", lowered=True)
unary("Round", lowered=True)
unary("Sin", types=("float32", "float64"), lowered=True)
unary("Cos", types=("float32",), lowered=True, numpy=np.cos)
unary("Tan", -1.4, 1.4, ("float32",), lowered=True)
unary("Asin", -1, 1, ("float32",))
unary("Acos", -1, 1, ("float32",))
unary("Atan", types=("float32",))
unary("Sinh", types=("float32",))
unary("Cosh", types=("float32",), lowered=True)
unary("Asinh", types=("float32",))
unary("Acosh", 1, 9, ("float32",))
unary("Atanh", -0.99, 0.99, ("float32",), tolerance=1e-4)
unary("Tanh", lowered=True)
unary("Sigmoid", -6, 12, lowered=True)
unary("Relu", lowered=True, types=("float32", "float64", "float16", "int32", "int8"))
unary("Softplus", -6, 20, lowered=True, types=("float32", "float64"))
unary("Softsign", lowered=True, types=("float32",))
unary("HardSwish", -5, 5, lowered=True, types=("float32", "float64"))
unary("Mish", -5, 10, lowered=True, types=("float32",), tolerance=1e-4)
unary("LeakyRelu", attributes=lambda rng: {} if rng.random() < 0.3 else {"alpha": float(rng.uniform(-0.5, 1.5))}, lowered=True)
unary("Elu", attributes=lambda rng: {"alpha": float(rng.uniform(0.2, 2))}, lowered=True, types=("float32",))
unary("Celu", attributes=lambda rng: {} if rng.random() < 0.3 else {"alpha": float(rng.uniform(0.2, 2) * (1 if rng.random() < 0.8 else -1))}, lowered=True, types=("float32",))
unary("Selu", attributes=lambda rng: {} if rng.random() < 0.5 else {"alpha": 1.3, "gamma": 0.8}, lowered=True, types=("float32",))
unary("ThresholdedRelu", attributes=lambda rng: {"alpha": float(rng.uniform(0.2, 2))}, lowered=True, types=("float32",))
unary("HardSigmoid", attributes=lambda rng: {} if rng.random() < 0.5 else {"alpha": 0.3, "beta": 0.4}, lowered=True, types=("float32",))
unary("Gelu", attributes=lambda rng: {"approximate": ["none", "tanh"][int(rng.integers(2))]}, lowered=True, types=("float32", "float16"), opset=20)
unary("Swish", attributes=lambda rng: {"alpha": float(rng.uniform(0.5, 2))}, lowered=True, types=("float32",), opset=23,
      numpy=lambda x, alpha: x / (1 + np.exp(-alpha * x)))


@operator("Relu", cases=2)
def empty_relu(rng):
    return Case("Relu", [np.zeros((2, 0, 3), np.float32)], lowered=False)


@operator("PRelu")
def prelu(rng):
    s = shape(rng, rank=int(rng.integers(2, 5)))
    slope = tuple(d if rng.random() < 0.6 else 1 for d in s)[int(rng.integers(len(s))):]
    return Case("PRelu", [numbers(rng, s, "float32"), numbers(rng, slope, "float32")], lowered=True)


@operator("Clip", cases=20)
def clip(rng):
    dtype = pick(rng, ["float32", "float64", "int32", "int64", "int8", "uint8"])
    x = numbers(rng, shape(rng), dtype)
    low = None if rng.random() < 0.3 else np.array(2, dtype)
    high = None if rng.random() < 0.3 else np.array(9, dtype)
    return Case("Clip", [x, low, high], constants=(1, 2) if rng.random() < 0.5 else ())


# --- comparisons and logic

def comparison(name, types):
    @operator(name, cases=14)
    def case(rng):
        dtype = pick(rng, types)
        a, b = broadcast_shapes(rng, 2)
        values = [np.round(numbers(rng, s, dtype)) if dtype.startswith("f") else numbers(rng, s, dtype) % 5 for s in (a, b)]
        return Case(name, [v.astype(dtype) for v in values])


comparison("Equal", ["float32", "float64", "int32", "int64"])
comparison("Less", ["float32", "float64", "int32", "int64"])
comparison("Greater", ["float32", "float64", "int32", "int64"])
comparison("LessOrEqual", ["float32", "float64", "int32", "int64"])
comparison("GreaterOrEqual", ["float32", "float64", "int32", "int64"])


def booleans(rng, s):
    return rng.random(s) < 0.5


@operator("Equal", cases=4)
def equal_booleans(rng):
    return Case("Equal", [booleans(rng, s) for s in broadcast_shapes(rng, 2)])


@operator("Equal", cases=3)
def equal_strings(rng):
    a, b = broadcast_shapes(rng, 2)
    words = np.array(["a", "b", "cd"], dtype=object)
    return Case("Equal", [words[rng.integers(3, size=a)], words[rng.integers(3, size=b)]], opset=19)


def logic(name):
    @operator(name)
    def case(rng):
        return Case(name, [booleans(rng, s) for s in broadcast_shapes(rng, 2)], lowered=True)


for op in ("And", "Or", "Xor"):
    logic(op)


@operator("Not")
def logical_not(rng):
    return Case("Not", [booleans(rng, shape(rng))], lowered=True)


def with_specials(rng, dtype):
    x = numbers(rng, shape(rng), dtype)
    kinds = rng.integers(0, 6, x.shape)
    return np.where(kinds == 0, np.nan, np.where(kinds == 1, np.inf, np.where(kinds == 2, -np.inf, x))).astype(dtype)


def with_some_nan(rng, shape):
    return np.where(rng.random(shape) < 0.3, np.nan, rng.normal(0, 3, shape)).astype(np.float32)


@operator("Relu", 3)
def relu_of_nan(rng):
    x = with_some_nan(rng, (3, 40))
    return Case("Relu", [x], expected=[np.maximum(x, 0)], lowered=True)


@operator("Clip", 4)
def clip_of_nan(rng):
    x, low, high = with_some_nan(rng, (3, 40)), np.float32(-1), np.float32(2)
    return Case("Clip", [x, low, high], constants=(1, 2) if rng.random() < 0.5 else (), expected=[np.clip(x, low, high)], lowered=True)


@operator("Max", 4)
def max_of_nan(rng):
    x = [with_some_nan(rng, (3, 40)) for _ in range(int(rng.integers(2, 4)))]
    return Case("Max", x, expected=[np.maximum.reduce(x)], lowered=True)


@operator("Min", 4)
def min_of_nan(rng):
    x = [with_some_nan(rng, (3, 40)) for _ in range(int(rng.integers(2, 4)))]
    return Case("Min", x, expected=[np.minimum.reduce(x)], lowered=True)


@operator("IsNaN")
def is_nan(rng):
    return Case("IsNaN", [with_specials(rng, pick(rng, FLOATS))])


@operator("IsInf")
def is_inf(rng):
    attributes = {"detect_negative": int(rng.integers(2)), "detect_positive": int(rng.integers(2))}
    return Case("IsInf", [with_specials(rng, pick(rng, ["float32", "float64"]))], attributes=attributes)


@operator("Where", cases=24)
def where(rng):
    dtype = pick(rng, ["float32", "int64", "int32", "uint8", "float64"])
    c, a, b = broadcast_shapes(rng, 3)
    return Case("Where", [booleans(rng, c), numbers(rng, a, dtype), numbers(rng, b, dtype)], symbolic=(0, 1, 2) if rng.random() < 0.5 else ())


@operator("Where", cases=3)
def where_strings(rng):
    words = np.array(["yes", "no", "maybe"], dtype=object)
    s = (3, 2)
    return Case("Where", [booleans(rng, s), words[rng.integers(3, size=s)], words[rng.integers(3, size=(1, 2))]])


@operator("Trilu", cases=24)
def trilu(rng):
    s = shape(rng, rank=int(rng.integers(2, 5)))
    k = None if rng.random() < 0.3 else np.array(rng.integers(-7, 8), np.int64)
    return Case("Trilu", [numbers(rng, s, pick(rng, ["float32", "int64", "float64"])), k], attributes={"upper": int(rng.integers(2))},
                constants=(1,) if rng.random() < 0.7 else ())


# --- Cast

NATIVE = ["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
ONNX_TYPE = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11, "uint32": 12, "uint64": 13}


@operator("Cast", cases=80)
def cast(rng):
    source, target = pick(rng, NATIVE), pick(rng, NATIVE)
    low = 0 if source.startswith("u") or target.startswith("u") else -100
    x = rng.uniform(low, 120, shape(rng))
    x = x < 50 if source == "bool" else x.astype(source)
    return Case("Cast", [x], attributes={"to": ONNX_TYPE[target]}, tolerance=0)


@operator("Cast", cases=6)
def cast_from_strings(rng):
    target = pick(rng, ["float32", "int32", "int64", "float64"])
    texts = [str(v) if target.startswith("i") else repr(float(v) / 8) for v in rng.integers(-1000, 1000, 6)]
    return Case("Cast", [np.array(texts, dtype=object).reshape(2, 3)], attributes={"to": ONNX_TYPE[target]}, opset=13)


@operator("Cast", cases=6)
def cast_to_strings(rng):
    source = pick(rng, ["int32", "int64", "float32"])
    x = rng.integers(-1000, 1000, 5).astype(source)
    return Case("Cast", [x / np.float32(8) if source == "float32" else x], attributes={"to": 8}, opset=13)


@operator("Cast", cases=1)
def cast_large_to_strings(rng):
    x = np.array([0, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    return Case("Cast", [x], attributes={"to": 8}, opset=13, expected=[np.array([str(int(v)) for v in x], dtype=object)])


@operator("CastLike", cases=10)
def cast_like(rng):
    source, target = pick(rng, ["float32", "int32", "int64"]), pick(rng, ["float32", "int32", "int64", "uint8"])
    x = rng.uniform(0, 100, shape(rng)).astype(source)
    return Case("CastLike", [x, np.zeros(2, target)], expected=[x.astype(target)])


@operator("BitCast", cases=12)
def bit_cast(rng):
    source, to = pick(rng, [("float32", "int32"), ("int64", "float64"), ("float64", "uint64"), ("int8", "uint8"), ("uint16", "float16"), ("uint32", "int32")])
    x = numbers(rng, shape(rng), source)
    return Case("BitCast", [x], {"to": int(helper.np_dtype_to_tensor_dtype(np.dtype(to)))}, opset=26, expected=[np.ascontiguousarray(x).view(to).reshape(x.shape)], lowered=False)
