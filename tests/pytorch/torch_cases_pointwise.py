import math

import torch
import torch.nn.functional as F
from torch_harness import Case

aten = torch.ops.aten


def f(*shape, low=-2.0, high=2.0, dtype=torch.float32):
    return lambda: (torch.rand(shape) * (high - low) + low).to(dtype)


def n(*shape, low=-9, high=9, dtype=torch.int64):
    return lambda: torch.randint(low, high + 1, shape, dtype=dtype)


def b(*shape):
    return lambda: torch.rand(shape) > 0.5


def special(*shape):
    def make():
        x = torch.randn(shape)
        x.view(-1)[torch.randint(0, x.numel(), (3,))] = math.nan
        x.view(-1)[torch.randint(0, x.numel(), (3,))] = math.inf
        x.view(-1)[torch.randint(0, x.numel(), (3,))] = -math.inf
        return x
    return make


def unary():
    ranges = {"acos": (-0.99, 0.99), "asin": (-0.99, 0.99), "acosh": (1.01, 5), "atanh": (-0.9, 0.9), "log": (0.1, 5),
              "log2": (0.1, 5), "log10": (0.1, 5), "log1p": (-0.9, 5), "sqrt": (0.01, 5), "rsqrt": (0.1, 5),
              "reciprocal": (0.5, 3), "tan": (-1.2, 1.2), "logit": (0.1, 0.9)}
    for name in ("abs acos acosh asin asinh atan atanh cos cosh erf exp log neg reciprocal sigmoid sign sin sinh sqrt tan "
                 "tanh floor ceil trunc round frac rsqrt square log2 log10 log1p expm1 exp2 erfc relu relu6 selu hardswish "
                 "hardsigmoid mish softsign logsigmoid tanhshrink hardshrink softshrink logit arccos arcsin arctan arccosh "
                 "arcsinh arctanh negative absolute sgn fix positive").split():
        short = name.removeprefix("arc") if name.startswith("arc") else name
        low, high = ranges.get({"cos": "acos", "sin": "asin", "cosh": "acosh", "tanh": "atanh"}.get(short, short)
                               if name.startswith("arc") else name, (-3, 3))
        function = getattr(torch, name, None) or getattr(F, name)
        yield Case(name, function, f(3, 5, low=low, high=high))
    yield Case("round decimals", lambda x: torch.round(x, decimals=2), f(3, 5))
    for name in ("floor", "ceil", "trunc", "round", "abs", "neg", "sign"):
        yield Case(f"{name} of integers", getattr(torch, name), n(3, 5))
    yield Case("sqrt of integers", torch.sqrt, n(7, low=1))
    yield Case("special_expit", torch.special.expit, f(7))
    for name in ("erf", "erfc", "expm1", "exp2", "log1p"):
        yield Case(f"special_{name}", getattr(torch.special, name), f(7, low=-0.5, high=2))
    for name in ("isnan", "isinf", "isfinite", "nan_to_num"):
        yield Case(name, getattr(torch, name), special(4, 6))
        yield Case(f"{name} of integers", getattr(torch, name), n(4, 6))
    yield Case("nan_to_num given", lambda x: torch.nan_to_num(x, 1.0, 2.0, -3.0), special(4, 6))
    yield Case("silu", F.silu, f(3, 5))
    yield Case("gelu", F.gelu, f(3, 5))
    yield Case("gelu tanh", lambda x: F.gelu(x, approximate="tanh"), f(3, 5))
    yield Case("hardtanh", lambda x: F.hardtanh(x, -0.5, 0.7), f(3, 5))
    yield Case("elu", lambda x: F.elu(x, 0.7), f(3, 5))
    yield Case("selu by elu", lambda x: aten.elu(x, 1.67, 1.05), f(3, 5))
    yield Case("celu", lambda x: F.celu(x, 0.7), f(3, 5))
    yield Case("leaky_relu", lambda x: F.leaky_relu(x, 0.2), f(3, 5))
    yield Case("rrelu", lambda x: F.rrelu(x, 0.1, 0.3), f(3, 5))
    yield Case("softplus", F.softplus, f(3, 5, low=-30, high=30))
    yield Case("softplus beta", lambda x: F.softplus(x, 2.0, 3.0), f(3, 5, low=-3, high=3))
    yield Case("threshold", lambda x: F.threshold(x, 0.1, 20.0), f(3, 5))
    yield Case("prelu", torch.nn.PReLU(3), f(2, 3, 4, 5))
    yield Case("prelu of one", torch.nn.PReLU(), f(2, 3))
    yield Case("glu", lambda x: F.glu(x, 1), f(2, 6, 3))
    yield Case("logit eps", lambda x: torch.logit(x, 0.1), f(3, 5, low=0.0, high=1.0))


def binary():
    x, y = f(3, 4), f(4, low=0.5, high=2)
    for name in ("add", "sub", "mul", "div", "maximum", "minimum", "fmod", "remainder", "atan2", "hypot", "subtract",
                 "multiply", "divide", "true_divide", "fmax", "arctan2"):
        yield Case(name, getattr(torch, name), x, y)
    yield Case("max of two", torch.max, x, y)
    yield Case("min of two", torch.min, x, y)
    yield Case("atan2 of zeros", torch.atan2, n(40, low=-1, high=1, dtype=torch.float32), n(40, low=-1, high=1, dtype=torch.float32))
    for name in ("add", "sub", "mul", "maximum", "floor_divide", "remainder", "fmod"):
        yield Case(f"{name} of integers", getattr(torch, name), n(3, 4), n(4, low=1))
    yield Case("remainder of negative divisors", torch.remainder, n(40), n(40, low=-5, high=-1))
    yield Case("floor_divide of negatives", torch.floor_divide, n(40), n(40, low=-5, high=-1))
    yield Case("floor_divide", torch.floor_divide, x, y)
    yield Case("div of integers", torch.div, n(3, 4), n(4, low=1))
    for mode in ("floor", "trunc"):
        yield Case(f"div {mode}", lambda a, c, mode=mode: torch.div(a, c, rounding_mode=mode), f(3, 4, low=-9, high=9), y)
        yield Case(f"div {mode} of integers", lambda a, c, mode=mode: torch.div(a, c, rounding_mode=mode), n(3, 4), n(4, low=1))
        yield Case(f"div {mode} by a number", lambda a, mode=mode: aten.div.Scalar_mode(a, 3, rounding_mode=mode), n(3, 4))
    yield Case("add alpha", lambda a, c: torch.add(a, c, alpha=2.5), x, y)
    yield Case("sub alpha", lambda a, c: torch.sub(a, c, alpha=0.5), x, y)
    yield Case("rsub", lambda a, c: torch.rsub(a, c, alpha=2), x, y)
    yield Case("rsub number", lambda a: 1 - a, x)
    yield Case("rsub Scalar", lambda a: aten.rsub.Scalar(a, 2, 3), x)
    for name in ("add", "sub", "mul", "div", "remainder", "fmod"):
        yield Case(f"{name} Scalar", lambda a, name=name: getattr(aten, name).Scalar(a, 3), x)
    yield Case("numbers among integers", lambda a: a * 2 + 1, n(5))
    yield Case("real numbers among integers", lambda a: a * 2.5 - 1, n(5))
    yield Case("promotion", lambda a, c, d: (a + c, c + d, a * d), n(4, dtype=torch.int32), f(4), n(4, low=0, dtype=torch.uint8))
    yield Case("promotion of small integers", lambda a, c: a + c, n(4, dtype=torch.int8), n(4, low=0, dtype=torch.uint8))
    yield Case("halves and numbers", lambda a: a * 2 + 0.5, f(4, dtype=torch.float16), tolerance=1e-3)
    yield Case("bfloat16", lambda a, c: a * c + 1, f(4, dtype=torch.bfloat16), f(4, dtype=torch.bfloat16), tolerance=1e-2)
    yield Case("float64", lambda a, c: torch.exp(a) * c, f(4, dtype=torch.float64), f(4, dtype=torch.float64))
    yield Case("booleans", lambda a, c: (a + c, a * c, torch.maximum(a, c), torch.minimum(a, c)), b(9), b(9))
    yield Case("pow", torch.pow, f(3, 4, low=0.1), f(4))
    for exponent in (0, 1, 2, 3, 0.5, -0.5, -1, 2.5):
        yield Case(f"pow {exponent}", lambda a, e=exponent: a ** e, f(3, 4, low=0.1))
    yield Case("pow of a number", lambda a: 2 ** a, f(3, 4))
    yield Case("pow of integers", lambda a: a ** 3, n(6, low=-3, high=3))
    yield Case("remainder of a number", lambda a: 7 % a, n(6, low=1))


def logic():
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        yield Case(name, getattr(torch, name), n(5, 4, low=0, high=3), n(4, low=0, high=3))
        yield Case(f"{name} number", lambda a, name=name: getattr(torch, name)(a, 1), n(5, 4, low=0, high=3))
        yield Case(f"{name} of two types", lambda a, c, name=name: getattr(torch, name)(a, c), n(5), f(5))
    for name in ("not_equal", "less", "less_equal", "greater", "greater_equal"):
        yield Case(name, getattr(torch, name), f(5, 4), f(4))
        yield Case(f"{name} number", lambda a, name=name: getattr(torch, name)(a, 0.5), f(5, 4))
    yield Case("eq of booleans", torch.eq, b(9), b(9))
    yield Case("lt of booleans", torch.lt, b(9), b(9))
    for name in ("logical_and", "logical_or", "logical_xor"):
        yield Case(name, getattr(torch, name), b(9), b(9))
        yield Case(f"{name} of numbers", getattr(torch, name), n(9, low=-1, high=1), f(9))
    yield Case("logical_not", torch.logical_not, b(9))
    yield Case("logical_not of numbers", torch.logical_not, n(9, low=-1, high=1))
    for name in ("and", "or", "xor"):
        op = getattr(torch, f"bitwise_{name}")
        yield Case(f"bitwise_{name}", op, n(9), n(9))
        yield Case(f"bitwise_{name} of booleans", op, b(9), b(9))
        yield Case(f"bitwise_{name} number", lambda a, op=op: op(a, 5), n(9))
        dunder = getattr(aten, f"__{name}__")
        yield Case(f"__{name}__", lambda a, c, op=dunder: op.Tensor(a, c), n(9), n(9))
        yield Case(f"__{name}__ number", lambda a, op=dunder: op.Scalar(a, 5), n(9))
    yield Case("bitwise_not", torch.bitwise_not, n(9))
    yield Case("bitwise_not of booleans", torch.bitwise_not, b(9))
    yield Case("shifts", lambda a, c: (torch.bitwise_left_shift(a, c), torch.bitwise_right_shift(a, c), a << 2, a >> 1),
               n(9), n(9, low=0, high=5))
    yield Case("shift operators", lambda a, c: (aten.__lshift__.Scalar(a, 2), aten.__rshift__.Scalar(a, 2),
                                               aten.__lshift__.Tensor(a, c), aten.__rshift__.Tensor(a, c)),
               n(9), n(9, low=0, high=5))
    yield Case("shift numbers", lambda a: (aten.bitwise_left_shift.Tensor_Scalar(a, 2),
                                           aten.bitwise_right_shift.Tensor_Scalar(a, 2)), n(9))


def choosing():
    x = f(3, 4)
    yield Case("clamp", lambda a: torch.clamp(a, -0.5, 0.7), x)
    yield Case("clamp min", lambda a: torch.clamp(a, min=0.2), x)
    yield Case("clamp max", lambda a: torch.clamp(a, max=0.2), x)
    yield Case("clip", lambda a: torch.clip(a, -0.5, 0.7), x)
    yield Case("clamp integers", lambda a: torch.clamp(a, -2, 3), n(9))
    yield Case("clamp tensors", torch.clamp, x, f(4, high=0), f(4, low=0))
    yield Case("clip tensors", torch.clip, x, f(4, high=0), f(4, low=0))
    yield Case("clamp_min and max", lambda a: (torch.clamp_min(a, 0.1), torch.clamp_max(a, 0.1)), x)
    yield Case("clamp_min and max tensors", lambda a, c: (torch.clamp_min(a, c), torch.clamp_max(a, c)), x, f(4))
    yield Case("where", torch.where, b(3, 4), x, f(4))
    yield Case("where numbers", lambda m, a: (torch.where(m, a, 1.0), torch.where(m, 2.0, a), torch.where(m, 1.0, 2.0)), b(3, 4), x)
    yield Case("where of two types", torch.where, b(4), f(4), n(4))
    yield Case("masked_fill", lambda a, m: a.masked_fill(m, -1e9), x, b(3, 4))
    yield Case("masked_fill of -inf", lambda a, m: a.masked_fill(m, float("-inf")), x, b(4))
    yield Case("masked_fill tensor", lambda a, m, v: a.masked_fill(m, v), x, b(3, 4), f())
    yield Case("lerp", lambda a, c: torch.lerp(a, c, 0.3), x, f(4))
    yield Case("lerp tensor", torch.lerp, x, f(4), f(3, 4))
    yield Case("addcmul", lambda a, c, d: torch.addcmul(a, c, d, value=0.5), x, f(4), f(3, 1))
    yield Case("addcdiv", lambda a, c, d: torch.addcdiv(a, c, d, value=0.5), x, f(4), f(3, 1, low=0.5))


def cases():
    yield from unary()
    for family in (binary, logic, choosing):
        for case in family():
            case.core = False  # they are core themselves
            yield case
