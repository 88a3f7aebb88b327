import torch
import torch.nn.functional as F
from torch_cases_pointwise import b, f, n
from torch_harness import Case

aten = torch.ops.aten


def shapes():
    x = f(2, 3, 4)
    yield Case("view", lambda a: a.view(6, -1), x)
    yield Case("view to a scalar", lambda a: a.view(()), f(1, 1))
    yield Case("reshape", lambda a: a.permute(2, 0, 1).reshape(4, 6), x)
    yield Case("view dtype", lambda a: a.view(torch.int32), x)
    yield Case("view_as", lambda a, c: (a.view_as(c), a.reshape_as(c)), x, f(4, 6))
    yield Case("_unsafe_view", lambda a: aten._unsafe_view(a, [6, 4]), x)
    yield Case("_reshape_alias", lambda a: aten._reshape_alias(a, [6, 4], [4, 1]), x, core=False)
    yield Case("flatten", lambda a: (torch.flatten(a), torch.flatten(a, 1), torch.flatten(a, 0, -2), a.ravel()), x)
    yield Case("flatten a scalar", torch.flatten, f())
    yield Case("unflatten", lambda a: a.unflatten(-1, (2, -1)), x)
    yield Case("unsqueeze", lambda a: (a.unsqueeze(0), a.unsqueeze(-1), a.unsqueeze(2)), x)
    yield Case("squeeze", lambda a: (a.squeeze(), a.squeeze(1), a.squeeze(0), aten.squeeze.dims(a, [0, 1, -1])), f(2, 1, 3, 1))
    yield Case("expand", lambda a: (a.expand(5, 3, 4), a.expand(-1, 3, 4), a.expand(2, 5, 3, 4)), f(1, 3, 1))
    yield Case("expand_as", lambda a, c: (a.expand_as(c), torch.broadcast_to(a, (2, 3, 4))), f(3, 1), x)
    yield Case("permute", lambda a: (a.permute(2, 0, 1), a.permute(-1, 0, 1), a.transpose(0, -1), a.swapaxes(0, 1),
                                     a.swapdims(0, 2), a.mT, aten.adjoint(a)), x)
    yield Case("t", lambda a, c: (a.t(), c.t(), a.T), f(3, 4), f(5))
    yield Case("numpy_T", lambda a: aten.numpy_T(a), x)
    yield Case("movedim", lambda a: (a.movedim(0, 2), a.movedim((0, 1), (2, 0)), a.moveaxis(-1, 0), a.moveaxis((0, 1), (1, 2))), x)


def parts():
    x = f(4, 5, 6)
    yield Case("select", lambda a: (a[1], a[:, -1], a.select(2, 3)), x)
    yield Case("slice", lambda a: (a[1:3], a[:, 1:], a[..., :-2], a[-3:-1], a[:, ::2], a[..., 1:-1:3], a[5:], a[:100]), x)
    yield Case("narrow", lambda a: a.narrow(1, 2, 3), x)
    yield Case("split", lambda a: torch.split(a, 2, 1), x)
    yield Case("split sizes", lambda a: torch.split(a, [1, 3, 2], -1), x)
    yield Case("split_with_sizes", lambda a: (aten.split_with_sizes(a, [1, 3], 0), aten.split_with_sizes_copy(a, [1, 3], 0)), x)
    yield Case("split into one", lambda a: torch.split(a, 9, 1), x)
    yield Case("chunk", lambda a: torch.chunk(a, 3, 1), x)
    yield Case("chunk unevenly", lambda a: torch.chunk(a, 4, 1), x)
    yield Case("unbind", lambda a: torch.unbind(a, 1), x)
    yield Case("unbind one", lambda a: torch.unbind(a, 0), f(1, 3))
    yield Case("select_scatter", lambda a, s: torch.select_scatter(a, s, 1, 2), x, f(4, 6))
    yield Case("select_scatter the last", lambda a, s: torch.select_scatter(a, s, 1, -1), x, f(4, 6))
    yield Case("slice_scatter", lambda a, s: torch.slice_scatter(a, s, 1, 1, 4), x, f(4, 3, 6))
    yield Case("slice_scatter strided", lambda a, s: torch.slice_scatter(a, s, 2, 0, 6, 2), x, f(4, 5, 3))
    yield Case("slice_scatter open", lambda a, s: torch.slice_scatter(a, s, 1, -2), x, f(4, 2, 6))
    yield Case("unfold an axis", lambda a: a.unfold(1, 3, 2), x)
    yield Case("diagonal", lambda a: (a.diagonal(), a.diagonal(1, 0, 2), a.diagonal(-2, 2, 1)), x)
    yield Case("as_strided", lambda a: aten.as_strided(a, [3, 2], [7, 2], 4), x)


def copies():
    x = f(3, 4)
    yield Case("copies", lambda a: (a.clone() + 1, a.contiguous() * 2, a.detach() * 3, aten.alias(a) * 4, a.T.contiguous()), x)
    yield Case("more copies", lambda a: (aten.lift_fresh_copy(a) + 1, aten.lift_fresh(a) + 5, aten.alias_copy(a) + 1, aten.detach_copy(a) + 2,
                                         aten.resolve_conj(a) + 3, aten.resolve_neg(a) + 4), x, core=False)
    yield Case("lift", lambda a: aten.lift(a) + a + torch.tensor([1.0, 2.0, 3.0, 4.0]), x)
    yield Case("to", lambda a: (a.to(torch.int32), a.double(), a.half(), a.to(torch.bool), a.float(), a.long()), x)
    yield Case("to other", lambda a, c: (a.to(c), a.type_as(c), a.to("cpu", torch.float64)), x, n(3))
    yield Case("_to_copy", lambda a: aten._to_copy(a, dtype=torch.int64), x)
    yield Case("to dtype_layout", lambda a: aten.to.dtype_layout(a, dtype=torch.float64, layout=torch.strided), x)
    yield Case("dropout", lambda a: (F.dropout(a, 0.5, False) + 1, F.alpha_dropout(a, 0.5, False) + 2,
                                     F.feature_alpha_dropout(a, 0.5, False) + 3, F.dropout2d(a, 0.5, False) + 1), f(2, 3, 4, 5))
    yield Case("native_dropout", lambda a: aten.native_dropout(a, 0.5, False), x, core=False)


def joining():
    x, y = f(2, 3, 4), f(2, 5, 4)
    yield Case("cat", lambda a, c: (torch.cat([a, c], 1), torch.cat([a, a], -1), torch.concat([c, a], 1), torch.concatenate([a, c], 1)), x, y)
    yield Case("cat of types", lambda a, c: torch.cat([a, c]), f(3), n(2))
    yield Case("cat with nothing", lambda a: torch.cat([torch.zeros(0), a], 1), x)
    yield Case("stack", lambda a, c: (torch.stack([a, c]), torch.stack([a, c], -1), torch.stack([a, c], 1)), x, x)
    yield Case("hstack", lambda a, c, d: (torch.hstack([a, c]), torch.hstack([d, d, torch.ones(())])), x, y, f(3))
    yield Case("vstack", lambda a, c: (torch.vstack([a, a]), torch.vstack([c, c]), torch.row_stack([c, c])), x, f(4))
    yield Case("repeat", lambda a: (a.repeat(2, 1, 3), a.repeat(2, 1, 1, 2), a.tile((2,)), a.tile((2, 1, 1, 2))), x)
    yield Case("repeat_interleave", lambda a: (a.repeat_interleave(2), a.repeat_interleave(3, 1)), x)
    yield Case("flip", lambda a: (a.flip(0), a.flip(-1, 0), a.fliplr(), a.flipud()), x)
    yield Case("roll", lambda a: (a.roll(1, 0), a.roll((2, -1), (1, 2)), a.roll(5), a.roll(7, 1)), x)
    yield Case("pixel_shuffle", lambda a: F.pixel_shuffle(a, 2), f(2, 8, 3, 4))
    yield Case("pixel_unshuffle", lambda a: F.pixel_unshuffle(a, 2), f(2, 3, 4, 6))
    yield Case("channel_shuffle", lambda a: F.channel_shuffle(a, 3), f(2, 6, 4, 5))
    yield Case("meshgrid", lambda a, c, d: (torch.meshgrid(a, c, indexing="ij"), torch.meshgrid(a, c, d, indexing="xy"), torch.meshgrid(a, c)), f(3), f(4), f(2))
    yield Case("broadcast_tensors", lambda a, c: torch.broadcast_tensors(a, c), f(3, 1), f(4))


def creation():
    x = f(2, 3)
    yield Case("zeros", lambda a: (torch.zeros(2, 3) + a, torch.zeros_like(a) + 1, a.new_zeros(4, dtype=torch.int64), torch.ones(3), torch.ones_like(a), a.new_ones(2, 2)), x)
    yield Case("full", lambda a: (torch.full((2,), 3.5), torch.full((2, 2), 7), torch.full_like(a, 2), a.new_full((3,), -1.0), torch.full((2,), True)), x)
    yield Case("fill", lambda a, v: (aten.fill.Scalar(a, 3), aten.fill.Tensor(a, v)), x, f())
    yield Case("filled with what is computed", lambda a: torch.full_like(a, 1) * a.sum(), x)
    yield Case("zero", lambda a: aten.zero(a), x)
    yield Case("empty and overwritten", lambda a: (torch.empty_like(a).copy_(a), torch.empty(2, 3).fill_(2) + a, a.new_empty(2).zero_()), x)
    yield Case("empty_strided", lambda a: (torch.empty_strided((2, 3), (3, 1)).fill_(2) + a, a.new_empty_strided((2,), (1,)).fill_(1),
                                           torch.empty_permuted((2, 3), (0, 1)).fill_(1)), x, core=False)
    yield Case("arange", lambda a: (torch.arange(5), torch.arange(2, 9), torch.arange(9, 1, -2), torch.arange(0.5, 3, 0.5), torch.arange(4.0) + a.sum()), x)
    yield Case("linspace", lambda a: torch.linspace(-1, 2, 7) + a.sum(), x)
    yield Case("eye", lambda a: (torch.eye(3) + 0, torch.eye(2, 4) + 0, a @ torch.eye(3)), x)
    yield Case("tril", lambda a: (a.tril(), a.triu(), a.tril(-1), a.triu(2)), f(2, 4, 5))
    yield Case("tril of booleans", lambda a: (a.tril(), a.triu(1)), b(4, 4))
    yield Case("scalar_tensor", lambda a: a + aten.scalar_tensor(2.5), x)
    yield Case("tensor constants", lambda a: a + torch.tensor([[1.0], [2.0]]) + torch.tensor(3), x)
    yield Case("copy", lambda a, c: aten.copy(a, c), x, n(3))


def in_place():
    """What is written to a tensor is seen by all that view it."""
    def rectified(a):
        y = a * 2
        y.relu_()
        y += 1
        return y, F.relu(a * 1, inplace=True)

    def rows(a):
        y = a.clone()
        y[0] = 5
        y[1:, 2] += 1
        y[:, ::2] *= 3
        return y

    def through_views(a):
        y = a * 1
        t, first = y.transpose(0, 1), y[0]
        z = t.reshape(-1)
        t[1].mul_(2)
        y.view(-1)[3] = 7
        return y, t, first, z

    def chained(a):
        y = a.clone()
        v = y.view(2, 2, 6).permute(1, 0, 2)[1].unsqueeze(0)
        v.fill_(4)
        v.squeeze(0)[0, 1:].neg_()
        return y, v

    def pieces(a):
        y = a + 0
        p, q = y.chunk(2, 1)
        p.add_(q)
        s = torch.split(y, [1, 3])[1]
        s.zero_()
        for row in y.unbind(0)[:2]:
            row.sub_(1)
        return y, p, q

    def copied(a, c):
        y = torch.zeros(3, 4)
        y[:, 1:3].copy_(c)
        y[1].copy_(a)
        c = c.clone()
        c.masked_fill_(c > 0, 0.0)
        return y, c

    def indexed(a):
        y = a.clone()
        y[torch.tensor([0, 2])] = 1.0
        y[y > 1] = 0
        y.index_fill_(1, torch.tensor([3]), 9)
        y.clamp_(min=-1)
        return y

    def contiguous(a):
        y = a.clone()
        z = y.contiguous()
        z.add_(1)       # the same memory
        w = y.T.contiguous()
        w.add_(1)       # memory of its own
        d = y.to(torch.float64)
        d.add_(1)
        return y, z, w, d

    x = f(4, 6)
    for name, function in list(locals().items()):
        if callable(function) and name not in ("x", "copied"):
            yield Case(f"in place: {name}", function, x)
    yield Case("in place: copied", copied, f(4), f(3, 2))


def cases():
    for family in (shapes, parts, copies, joining, creation, in_place):
        yield from family()
