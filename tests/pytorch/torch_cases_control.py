"""Control flow, and numbers that are read off tensors."""
import torch
from torch_cases_pointwise import b, f, n
from torch_harness import Case

aten = torch.ops.aten


class Branches(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x):
        y = torch.cond(x.sum() > 0, lambda x: (self.linear(x), x.sum()), lambda x: (x * 2, x.mean()), (x,))
        return torch.cond(y[1] > 0.1, lambda a, c: torch.cond(a.max() > 1, lambda a: a + 1, lambda a: a - 1, (a,)) + c,
                          lambda a, c: a * c, (y[0], x))


def loop(x, limit):
    def go_on(i, y):
        return i < limit

    def step(i, y):
        return i + 1, y * 1.5 + x

    return torch._higher_order_ops.while_loop(go_on, step, (torch.zeros((), dtype=torch.int64), x * 1))


def without_gradient(x):
    with torch.no_grad():
        y = x.cumsum(0)
        z = y + 1
    return y * z


def in_half(x, w):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
        return x.float() @ w.float()


def numbers(x, i):
    k = i.item()
    torch._check(k >= 0)
    torch._check(k < 5)
    return x.narrow(0, k, 2), torch.zeros(k + 2) + 1, x[:k].sum(), torch.full((3,), k)


def real_number(x, v):
    return x * v.item() + v.item()


def counted(m):
    places = torch.nonzero(m)
    return places.shape[0], places.numel(), places.float().sum()


def cases():
    yield Case("branches", Branches(), f(3, 4))
    yield Case("loop", loop, f(3, 4), n(low=0, high=4))
    yield Case("no_grad", without_gradient, f(3, 4))
    yield Case("autocast", in_half, f(3, 4), f(4, 2))
    yield Case("numbers of tensors", numbers, f(9, 4), n(low=0, high=4), core=False)
    yield Case("real numbers of tensors", real_number, f(3), f(), core=False)
    yield Case("counts", counted, b(5, 4), core=False)
    yield Case("_local_scalar_dense", lambda x, i: x * aten._local_scalar_dense(i), f(3), f(), core=False)
    yield Case("asserted", lambda x: (torch._assert_async(x.sum() < 1e9), x + 1)[1], f(3), core=False)
    yield Case("asserted with words", lambda x: (torch._assert_async(x.sum() < 1e9, "large"), x + 1)[1], f(3), core=False)
