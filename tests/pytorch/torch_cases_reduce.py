import math

import torch
import torch.nn.functional as F
from torch_cases_pointwise import b, f, n
from torch_harness import Case

aten = torch.ops.aten


def cases():
    x = f(3, 4, 5)
    for name in ("sum", "mean", "amax", "amin", "logsumexp", "var", "std"):
        op = getattr(torch, name)
        yield Case(name, lambda a, op=op: (op(a, 1), op(a, (0, -1)), op(a, (1,), keepdim=True)), x)
    for name in ("sum", "mean", "max", "min", "prod", "var", "std"):
        yield Case(f"{name} of all", lambda a, op=getattr(torch, name): op(a), x)
    yield Case("amax and amin of all", lambda a: (torch.amax(a), torch.amin(a), aten.amax(a, [0, 1, 2], True)), x)
    yield Case("prod of an axis", lambda a: (torch.prod(a, 1), torch.prod(a, 0, True)), x)
    yield Case("sums of integers", lambda a, m: (a.sum(), a.sum(0), m.sum(), m.sum(1), a.prod(1)), n(3, 4, low=-3, high=3, dtype=torch.int32), b(3, 4))
    yield Case("sum dtype", lambda a: (a.sum(dtype=torch.float64), torch.mean(a, 0, dtype=torch.float32)), n(3, 4))
    yield Case("sum of a scalar", lambda a: (a.sum(), a.mean(), a.max()), f())
    for name in ("any", "all"):
        op = getattr(torch, name)
        yield Case(name, lambda a, op=op: (op(a), op(a, 1), op(a, 0, True), op(a, (0, 1))), b(3, 4))
        yield Case(f"{name} of numbers", lambda a, op=op: (op(a), op(a, 1)), n(3, 4, low=-1, high=1))
    for name in ("max", "min"):
        op = getattr(torch, name)
        yield Case(f"{name} of an axis", lambda a, op=op: (*op(a, 1), *op(a, -1, True)), x)
        yield Case(f"{name} of integers", lambda a, op=op: op(a), n(3, 4))
        yield Case(f"{name} of booleans", lambda a, op=op: (op(a), op(a, 0)[0]), b(3, 4))
        yield Case(f"{name} of a scalar", lambda a, op=op: tuple(op(a, 0)), f())
    for name in ("argmax", "argmin"):
        op = getattr(torch, name)
        yield Case(name, lambda a, op=op: (op(a), op(a, 1), op(a, 0, True), op(a, keepdim=True)), x)
        yield Case(f"{name} of a scalar", lambda a, op=op: op(a), f())
    yield Case("aminmax", lambda a: (*torch.aminmax(a), *torch.aminmax(a, dim=1)), x)
    for name in ("var", "std", "var_mean", "std_mean"):
        op = getattr(torch, name)
        yield Case(f"{name} correction", lambda a, op=op: (op(a, 1, correction=0), op(a, (0, 2), correction=2, keepdim=True), op(a, unbiased=False), op(a, 1, unbiased=True)), x)
        yield Case(f"{name} overloads", lambda a, op=getattr(aten, name): (op.default(a), op.dim(a, [1]), op.correction(a, [1], correction=1)), x)
    for order in (2, 1, 0, 3, math.inf, -math.inf):
        yield Case(f"vector_norm {order}", lambda a, o=order: (torch.linalg.vector_norm(a, o), torch.linalg.vector_norm(a, o, 1)), x)
    yield Case("norm", lambda a: (a.norm(), a.norm(dim=1), a.norm(3, 1, True), aten.norm.Scalar(a, 2), aten.norm.ScalarOpt_dim(a, 2, [1])), x)
    yield Case("normalize", lambda a: F.normalize(a, dim=-1), x)
    yield Case("count_nonzero", lambda a: torch.count_nonzero(a, (0, 1)), n(3, 4, low=-1, high=1))
    yield Case("special_logsumexp", lambda a: torch.special.logsumexp(a, 1), x)
    yield Case("cumsum", lambda a: (a.cumsum(0), a.cumsum(-1), (a > 0).cumsum(1), torch.cumsum(a, 1, dtype=torch.float64)), x)
    yield Case("cumsum of a scalar", lambda a: a.cumsum(0), f())
    yield Case("cumprod", lambda a: a.cumprod(1), x)
    for name in ("softmax", "log_softmax"):
        op = getattr(torch, name)
        yield Case(name, lambda a, op=op: (op(a, -1), op(a, 0), op(a, 1, dtype=torch.float64)), x)
        yield Case(f"{name} of a scalar", lambda a, op=op: op(a, 0), f())
    yield Case("_safe_softmax", lambda a, m: aten._safe_softmax(a.masked_fill(m, -math.inf), -1), f(9, 2), b(9, 2))
    yield Case("cosine_similarity", lambda a, c: (F.cosine_similarity(a, c, -1), F.cosine_similarity(a, c)), x, f(4, 5))
