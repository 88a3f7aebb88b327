import torch
import torch.nn.functional as F
from torch_cases_pointwise import b, f, n
from torch_harness import Case

aten = torch.ops.aten


def distinct(*shape, high):
    """Index along axis 0, each at most once per column."""
    return lambda: torch.stack([torch.randperm(high)[:shape[0]] for _ in range(shape[1])], 1)


def cases():
    x = f(4, 5, 6)
    yield Case("embedding", torch.nn.Embedding(11, 5, padding_idx=0), n(3, 4, low=0, high=10))
    yield Case("index_select", lambda a, i: (a.index_select(1, i), a.index_select(-1, i), a.index_select(0, i[0])), x, n(3, low=0, high=3))
    yield Case("gather", lambda a, i: (a.gather(1, i), a.gather(0, i)), f(4, 5), n(3, 2, low=0, high=3))
    yield Case("gather a scalar", lambda a, i: a.gather(0, i), f(), n(low=0, high=0))
    yield Case("take_along_dim", lambda a, i: torch.take_along_dim(a, i, 1), f(4, 5), n(4, 2, low=0, high=3))
    yield Case("take_along_dim that broadcasts", lambda a, i: (torch.take_along_dim(a, i, 1), torch.take_along_dim(a, i)), f(4, 5), n(1, 2, low=0, high=4))
    yield Case("take", lambda a, i: torch.take(a, i), f(4, 5), n(3, 2, low=0, high=19))
    yield Case("scatter", lambda a, i, s: a.scatter(0, i, s), f(5, 3), distinct(2, 3, high=5), f(2, 3))
    yield Case("scatter of more", lambda a, i, s: a.scatter(0, i, s), f(5, 3), distinct(2, 3, high=5), f(4, 4))
    yield Case("scatter value", lambda a, i: a.scatter(1, i, 2.5), f(4, 5), n(4, 2, low=0, high=4))
    yield Case("scatter_add", lambda a, i, s: a.scatter_add(0, i, s), f(3, 4), n(6, 4, low=0, high=2), f(6, 4))
    for reduce in ("sum", "prod", "amax", "amin", "mean"):
        yield Case(f"scatter_reduce {reduce}", lambda a, i, s, r=reduce: a.scatter_reduce(0, i, s, r), f(3, 4), n(6, 4, low=0, high=2), f(6, 4))
    yield Case("scatter reduce", lambda a, i, s: (aten.scatter.reduce(a, 0, i, s, reduce="add"), aten.scatter.value_reduce(a, 0, i, 2.0, reduce="multiply")),
               f(3, 4), n(6, 4, low=0, high=2), f(6, 4))
    yield Case("index_add", lambda a, i, s: (a.index_add(1, i, s), a.index_add(1, i, s, alpha=0.5)), f(3, 4), n(2, low=0, high=3), f(3, 2))
    yield Case("index_copy", lambda a, s: a.index_copy(0, torch.tensor([2, 0]), s), f(3, 4), f(2, 4))
    yield Case("index_fill", lambda a, v: (a.index_fill(1, torch.tensor([2, 0]), 9), a.index_fill(0, torch.tensor([1]), v)), f(3, 4), f())

    i, j = n(3, low=0, high=3), n(3, low=-5, high=4)
    yield Case("index", lambda a, i: a[i], x, i)
    yield Case("index of two axes", lambda a, i, j: a[i, j], x, i, j)
    yield Case("index of inner axes", lambda a, i, j: a[:, i, j], x, i, j)
    yield Case("index of separated axes", lambda a, i, j: a[i, :, j], x, i, j)
    yield Case("index that broadcasts", lambda a, i, j: (a[i[:, None], j], a[:, i[:, None], j]), x, i, j)
    yield Case("index of rank 2", lambda a, i: a[:, i], x, n(2, 3, low=0, high=4))
    yield Case("index by a mask", lambda a, m: a[m], f(4, 5), b(4, 5))
    yield Case("index by a mask of rows", lambda a, m: a[m], x, b(4))
    yield Case("index by a mask inside", lambda a, m: a[:, m], x, b(5))
    yield Case("_unsafe_index", lambda a, i, j: aten._unsafe_index(a, [None, i, j]), x, i, j)
    k = n(3, low=0, high=3)
    yield Case("index_put", lambda a, v: a.index_put((torch.tensor([0, 2]), torch.tensor([1, 3])), v), x, f(6))
    yield Case("index_put inside", lambda a, v: aten.index_put(a, [None, torch.tensor([1, 3, 4])], v), x, f(4, 3, 6))
    yield Case("index_put of two inside", lambda a, v: aten.index_put(a, [None, torch.tensor([1, 3, 4]), torch.tensor([0, 5, 2])], v), x, f(4, 3))
    yield Case("index_put apart", lambda a, v: aten.index_put(a, [torch.tensor([1, 3]), None, torch.tensor([0, 2])], v), x, f(2, 5))
    yield Case("index_put that adds", lambda a, i, v: a.index_put((i,), v, accumulate=True), x, k, f(3, 5, 6))
    yield Case("index_put by a mask", lambda a, m: a.index_put((m,), torch.tensor(2.0)), f(4, 5), b(4, 5))
    yield Case("index_put by a mask of rows", lambda a, m: a.index_put((m,), torch.tensor(2.0)), x, b(4))
    yield Case("_unsafe_index_put", lambda a, v: aten._unsafe_index_put(a, [torch.tensor([0, 2])], v), x, f(2, 5, 6))
    yield Case("nonzero", lambda m: torch.nonzero(m), b(4, 5))
    yield Case("masked_select", lambda a, m: torch.masked_select(a, m), f(4, 5), b(4, 5))
    yield Case("masked_scatter", lambda a, m, s: a.masked_scatter(m, s), f(4, 5), b(4, 5), f(20))
    yield Case("masked_scatter that broadcasts", lambda a, m, s: a.masked_scatter(m, s), f(4, 5), b(4, 1), f(20))

    yield Case("topk", lambda a: (*torch.topk(a, 3), *torch.topk(a, 2, 0, largest=False)), f(4, 9))
    yield Case("sort", lambda a: (*torch.sort(a), *torch.sort(a, 0, descending=True), *torch.sort(a, stable=True, dim=-1), torch.msort(a)), f(4, 9))
    yield Case("sort booleans", lambda a: torch.sort(a, stable=True)[0], b(9))
    yield Case("argsort", lambda a: (torch.argsort(a), torch.argsort(a, 0, True), torch.argsort(a, dim=-1, stable=True)), f(4, 9))
    yield Case("one_hot", lambda i: F.one_hot(i, 5), n(3, 2, low=0, high=4))
