"""Contractions, convolutions, pooling, normalization, attention, recurrent layers, resizing."""
import torch
import torch.nn.functional as F
from torch_cases_pointwise import b, f, n
from torch_harness import Case
from torch import nn

aten = torch.ops.aten


def randomized(module):
    """Statistics and affine parameters that are not 0 and 1."""
    for name, t in [*module.named_parameters(), *module.named_buffers()]:
        if t.is_floating_point():
            t.data.uniform_(0.5, 1.5)
    return module


def contractions():
    yield Case("linear", nn.Linear(5, 7), f(3, 5))
    yield Case("linear of rank 3", nn.Linear(5, 7), f(2, 3, 5))
    yield Case("linear of rank 1", nn.Linear(5, 7, bias=False), f(5))
    yield Case("addmm", lambda a, c, d: (torch.addmm(a, c, d), torch.addmm(a, c, d, beta=0.5, alpha=2)), f(4), f(3, 5), f(5, 4))
    yield Case("addmm of doubles", lambda a, c, d: torch.addmm(a, c, d, beta=0.5, alpha=2), *[f(*s, dtype=torch.float64) for s in ((4,), (3, 5), (5, 4))])
    yield Case("addmv", lambda a, c, d: torch.addmv(a, c, d, beta=0.5), f(3), f(3, 5), f(5))
    yield Case("baddbmm", lambda a, c, d: (torch.baddbmm(a, c, d, beta=0.5, alpha=2), torch.baddbmm(a, c, d, beta=0)), f(2, 3, 4), f(2, 3, 5), f(2, 5, 4))
    yield Case("products", lambda a, c, d, v: (torch.mm(a, c), torch.bmm(d, d.mT), torch.mv(a, v), torch.dot(v, v), torch.ger(v, v), torch.outer(v, v)),
               f(3, 5), f(5, 4), f(2, 3, 5), f(5))
    yield Case("matmul", lambda a, c, v: (a @ c, a @ v, v @ c, v @ v, torch.linalg.matmul(a, c)), f(2, 3, 5), f(5, 5), f(5))
    yield Case("einsum", lambda a, c: (torch.einsum("bik,bjk->bij", a, c), torch.einsum("bik->kb", a), torch.einsum("...ik,...jk->...ij", a, c)), f(2, 3, 5), f(2, 4, 5))
    yield Case("einsum of three", lambda a, c, d: (torch.einsum("bsh,ehd,bse->bsd", a, c, d), torch.einsum("bsh, ehd, bse -> de", a, c, d)), f(2, 3, 5), f(4, 5, 6), f(2, 3, 4))
    yield Case("bilinear", nn.Bilinear(3, 4, 5), f(6, 3), f(6, 4), core=False)
    yield Case("tensordot", lambda a, c: (torch.tensordot(a, c, 2), torch.tensordot(a, c, ([2, 1], [1, 0]))), f(2, 3, 4), f(3, 4, 5))


def convolutions():
    for dims, shape in ((1, (2, 4, 9)), (2, (2, 4, 9, 8)), (3, (1, 4, 5, 6, 7))):
        conv, transposed = getattr(nn, f"Conv{dims}d"), getattr(nn, f"ConvTranspose{dims}d")
        yield Case(f"conv{dims}d", conv(4, 6, 3, 2, 1), f(*shape))
        yield Case(f"conv{dims}d dilated, in groups", conv(4, 6, 2, 1, 1, 2, 2, bias=False), f(*shape))
        yield Case(f"conv{dims}d same", conv(4, 6, 4, padding="same"), f(*shape))
        yield Case(f"conv{dims}d valid", conv(4, 6, 3, padding="valid"), f(*shape))
        yield Case(f"conv{dims}d of one image", conv(4, 6, 3), f(*shape[1:]))
        yield Case(f"conv_transpose{dims}d", transposed(4, 6, 3, 2, 1, 1), f(*shape))
        yield Case(f"conv_transpose{dims}d in groups", transposed(4, 6, 3, 2, 0, 0, 2, False), f(*shape))
    yield Case("conv2d uneven", nn.Conv2d(4, 6, (3, 2), (1, 2), (0, 1)), f(2, 4, 9, 8))
    yield Case("conv2d padded otherwise", nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), f(2, 4, 9, 8))
    yield Case("_convolution", lambda a, w: aten._convolution(a, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, False, False, False, False), f(2, 4, 5, 5), f(3, 4, 3, 3), core=False)
    yield Case("pad", lambda a: (F.pad(a, (1, 2)), F.pad(a, (1, 2, 0, 3), value=2.5), F.pad(a, (-1, 2, 1, -1))), f(2, 3, 5, 6))
    for mode in ("reflect", "replicate", "circular"):
        yield Case(f"pad {mode}", lambda a, m=mode: F.pad(a, (1, 2, 2, 1), m), f(2, 3, 5, 6))
        yield Case(f"pad {mode} of a line", lambda a, m=mode: F.pad(a, (1, 2), m), f(2, 3, 5))
        yield Case(f"pad {mode} of a volume", lambda a, m=mode: F.pad(a, (1, 1, 2, 0, 1, 2), m), f(1, 2, 3, 4, 5))
    yield Case("constant_pad_nd of integers", lambda a: F.pad(a, (1, 0), value=7), n(2, 3))
    yield Case("unfold", lambda a: F.unfold(a, (2, 3), 1, 1, (1, 2)), f(2, 3, 5, 6))
    yield Case("unfold dilated", lambda a: F.unfold(a, 2, 2), f(2, 3, 5, 6))
    yield Case("fold", lambda a: F.fold(a, (5, 6), (2, 3), padding=1, stride=(1, 2)), f(2, 18, 18))


def pooling():
    for dims, shape in ((1, (2, 3, 11)), (2, (2, 3, 11, 10)), (3, (1, 3, 7, 8, 9))):
        most, mean = getattr(F, f"max_pool{dims}d"), getattr(F, f"avg_pool{dims}d")
        yield Case(f"max_pool{dims}d", lambda a, p=most: (p(a, 2), p(a, 3, 2, 1), p(a, 3, 1, 1, 2), p(a, 3, 2, 1, ceil_mode=True)), f(*shape))
        yield Case(f"max_pool{dims}d indices", lambda a, p=most: p(a, 3, 2, 1, return_indices=True), f(*shape))
        yield Case(f"avg_pool{dims}d", lambda a, p=mean: (p(a, 2), p(a, 3, 2, 1), p(a, 3, 2, 1, count_include_pad=False), p(a, 2, 2, ceil_mode=True)), f(*shape))
        yield Case(f"avg_pool{dims}d ceil and pads", lambda a, p=mean: (p(a, 3, 2, 1, ceil_mode=True), p(a, 3, 2, 1, ceil_mode=True, count_include_pad=False)), f(*shape))
        for name in ("avg", "max"):
            adaptive = getattr(F, f"adaptive_{name}_pool{dims}d")
            yield Case(f"adaptive_{name}_pool{dims}d", lambda a, p=adaptive, d=dims: (p(a, 1), p(a, 5), p(a, (4,) * d)), f(*shape))
            yield Case(f"adaptive_{name}_pool{dims}d evenly", lambda a, p=adaptive: p(a, 2), f(2, 3, *(6,) * dims))
    yield Case("avg_pool2d divisor", lambda a: F.avg_pool2d(a, 3, 2, 1, divisor_override=5), f(2, 3, 11, 10))
    yield Case("pools of one image", lambda a: (F.max_pool2d(a, 2), F.avg_pool2d(a, 2), F.adaptive_avg_pool2d(a, (3, 1))), f(3, 8, 9))


def normalization():
    for dims, shape in ((1, (4, 6)), (1, (4, 6, 5)), (2, (4, 6, 5, 5)), (3, (2, 6, 3, 4, 5))):
        yield Case(f"batch_norm{dims}d of rank {len(shape)}", randomized(getattr(nn, f"BatchNorm{dims}d")(6)), f(*shape))
    yield Case("batch_norm without parameters", randomized(nn.BatchNorm2d(6, affine=False)), f(4, 6, 5, 5))
    yield Case("batch_norm without statistics", randomized(nn.BatchNorm2d(6, track_running_stats=False)), f(4, 6, 5, 5))
    yield Case("_native_batch_norm_legit", lambda a: (aten._native_batch_norm_legit.no_stats(a, None, None, True, 0.1, 1e-5)[0]), f(4, 6, 5, 5), core=False)
    yield Case("native_batch_norm", lambda a, m, v: aten.native_batch_norm(a, None, None, m, v, False, 0.1, 1e-5)[0], f(4, 6, 5), f(6), f(6, low=0.5), core=False)
    yield Case("_native_batch_norm_legit eval", lambda a, m, v: aten._native_batch_norm_legit.default(a, None, None, m, v, False, 0.1, 1e-5)[0], f(4, 6, 5), f(6), f(6, low=0.5), core=False)
    yield Case("instance_norm", randomized(nn.InstanceNorm2d(6, affine=True)), f(4, 6, 5, 5))
    yield Case("instance_norm with statistics", randomized(nn.InstanceNorm1d(6, affine=True, track_running_stats=True)), f(4, 6, 5))
    yield Case("layer_norm", randomized(nn.LayerNorm((4, 5), eps=1e-3)), f(2, 3, 4, 5))
    yield Case("layer_norm without parameters", lambda a: F.layer_norm(a, (5,)), f(3, 5))
    yield Case("layer_norm without bias", randomized(nn.LayerNorm(5, bias=False)), f(3, 5))
    yield Case("native_layer_norm", lambda a: aten.native_layer_norm(a, [5], None, None, 1e-5), f(3, 4, 5))
    yield Case("rms_norm", randomized(nn.RMSNorm(5)), f(2, 3, 5))
    yield Case("rms_norm eps", lambda a: F.rms_norm(a, (4, 5), eps=1e-2), f(3, 4, 5))
    yield Case("group_norm", randomized(nn.GroupNorm(3, 6)), f(2, 6, 5, 4))
    yield Case("group_norm without parameters", nn.GroupNorm(2, 6, affine=False), f(2, 6, 5))
    yield Case("local_response_norm", lambda a: F.local_response_norm(a, 3), f(2, 6, 5, 5))


def attention():
    q, k, v = f(2, 4, 5, 8), f(2, 4, 7, 8), f(2, 4, 7, 6)
    sdpa = F.scaled_dot_product_attention
    yield Case("attention", sdpa, q, k, v)
    yield Case("attention of rank 3", sdpa, f(2, 5, 8), f(2, 7, 8), f(2, 7, 6))
    yield Case("attention scaled", lambda q, k, v: sdpa(q, k, v, scale=0.3), q, k, v)
    yield Case("attention causal", lambda q, k, v: sdpa(q, k, v, is_causal=True), q, k, v)
    yield Case("attention masked", lambda q, k, v, m: sdpa(q, k, v, m), q, k, v, b(2, 1, 5, 7))
    yield Case("attention with a bias", lambda q, k, v, m: sdpa(q, k, v, m), q, k, v, f(5, 7))
    yield Case("attention where all is masked", lambda q, k, v: sdpa(q, k, v, torch.zeros(5, 7, dtype=torch.bool)), q, k, v)
    yield Case("attention in groups", lambda q, k, v: sdpa(q, k, v, enable_gqa=True), f(2, 6, 5, 8), f(2, 2, 7, 8), f(2, 2, 7, 8))
    yield Case("flash attention", lambda q, k, v: aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[0], q, k, f(2, 4, 7, 8), core=False)
    yield Case("attention math", lambda q, k, v: aten._scaled_dot_product_attention_math(q, k, v)[0], q, k, v, core=False)
    yield Case("MultiheadAttention", nn.MultiheadAttention(12, 3, batch_first=True), f(2, 5, 12), f(2, 5, 12), f(2, 5, 12))
    yield Case("TransformerEncoderLayer", nn.TransformerEncoderLayer(12, 3, 20, batch_first=True), f(2, 5, 12))


class CellSteps(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state = None
        for step in x.unbind(0):
            state = self.cell(step, state)
        return state


def recurrent():
    for name in ("LSTM", "GRU", "RNN"):
        layer = getattr(nn, name)
        yield Case(name, layer(5, 6), f(4, 3, 5))
        yield Case(f"{name} both ways", layer(5, 6, 2, batch_first=True, bidirectional=True), f(3, 4, 5))
        yield Case(f"{name} without biases", layer(5, 6, bias=False), f(4, 3, 5))
        yield Case(f"{name} of one sequence", layer(5, 6), f(4, 5))
        yield Case(f"{name}Cell", CellSteps(getattr(nn, f"{name}Cell")(5, 6)), f(3, 2, 5))
    yield Case("RNN of relu", nn.RNN(5, 6, nonlinearity="relu"), f(4, 3, 5))
    yield Case("RNNCell of relu", CellSteps(nn.RNNCell(5, 6, nonlinearity="relu")), f(3, 2, 5))

    class Given(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.gru = nn.LSTM(5, 6, 2), nn.GRU(5, 6, bidirectional=True)

        def forward(self, x, h, c, g):
            return self.lstm(x, (h, c)), self.gru(x, g)

    yield Case("initial states", Given(), f(4, 3, 5), f(2, 3, 6), f(2, 3, 6), f(2, 3, 6))


def resizing():
    x = f(2, 3, 5, 6)
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        yield Case(f"{mode} by a factor", lambda a, m=mode: F.interpolate(a, scale_factor=2.0, mode=m), x)
        yield Case(f"{mode} by fractions", lambda a, m=mode: F.interpolate(a, scale_factor=(1.7, 0.6), mode=m), x)
        yield Case(f"{mode} to a size", lambda a, m=mode: F.interpolate(a, size=(7, 4), mode=m), x)
    for mode in ("bilinear", "bicubic"):
        yield Case(f"{mode} by corners", lambda a, m=mode: F.interpolate(a, size=(9, 4), mode=m, align_corners=True), x)
        yield Case(f"{mode} smoothed", lambda a, m=mode: F.interpolate(a, size=(3, 4), mode=m, antialias=True), f(2, 3, 9, 8))
    for mode in ("nearest", "nearest-exact", "linear"):
        yield Case(f"{mode} of a line", lambda a, m=mode: (F.interpolate(a, size=7, mode=m), F.interpolate(a, scale_factor=1.5, mode=m)), f(2, 3, 5))
    for mode in ("nearest", "nearest-exact", "trilinear"):
        yield Case(f"{mode} of a volume", lambda a, m=mode: F.interpolate(a, size=(4, 5, 7), mode=m), f(1, 2, 3, 4, 5))
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            yield Case(f"grid_sample {mode} {padding}", lambda a, g, m=mode, p=padding: F.grid_sample(a, g, m, p, align_corners=False), x, f(2, 4, 3, 2, low=-1.2, high=1.2), core=False)
    yield Case("grid_sample by corners", lambda a, g: F.grid_sample(a, g, align_corners=True), x, f(2, 4, 3, 2))
    yield Case("grid_sample of a volume", lambda a, g: F.grid_sample(a, g, align_corners=False), f(1, 2, 3, 4, 5), f(1, 2, 3, 4, 3))
    yield Case("affine_grid", lambda t: F.affine_grid(t, (2, 3, 4, 5), align_corners=False), f(2, 2, 3))


def by_other_names():
    """Overloads that PyTorch's own modules do not reach."""
    x = f(2, 3, 5, 6)
    line, volume = f(2, 3, 5), f(1, 2, 3, 4, 5)
    for dims, a, size in ((1, line, [7]), (2, x, [7, 4]), (3, volume, [4, 5, 7])):
        for name in (f"upsample_nearest{dims}d", f"_upsample_nearest_exact{dims}d"):
            op = getattr(aten, name).default
            yield Case(f"{name}.default", lambda a, op=op, size=size: op(a, size), a, core=False)
        yield Case(f"reflection_pad{dims}d", lambda a, op=getattr(aten, f"reflection_pad{dims}d"), d=dims: op(a, [1, 2, 0, 1, 2, 0][:2 * d]), a, core=False)
        yield Case(f"replication_pad{dims}d", lambda a, op=getattr(aten, f"replication_pad{dims}d"), d=dims: op(a, [1, 2, 0, 1, 2, 0][:2 * d]), a, core=False)
    for name, a, size in (("linear1d", line, [7]), ("bilinear2d", x, [7, 4]), ("bicubic2d", x, [7, 4]), ("trilinear3d", volume, [4, 5, 7])):
        op = getattr(aten, f"upsample_{name}").default
        yield Case(f"upsample_{name}.default", lambda a, op=op, size=size: (op(a, size, False), op(a, size, True)), a, core=False)
    yield Case("upsample_nearest2d.default by factors", lambda a: aten.upsample_nearest2d.default(a, [8, 9], 1.7, 1.5), x, core=False)
    yield Case("_adaptive_avg_pool", lambda a, c, d: (aten._adaptive_avg_pool2d(a, [2, 3]), aten._adaptive_avg_pool3d(c, [2, 2, 2])), x, volume, line, core=False)
    yield Case("_fused_rms_norm", lambda a, w: aten._fused_rms_norm(a, [6], w, 1e-3)[0], x, f(6), core=False)
    yield Case("_prelu_kernel", lambda a, w: aten._prelu_kernel(a, w), x, f(1, 3, 1, 1), core=False)
    yield Case("rrelu_with_noise", lambda a: aten.rrelu_with_noise(a, a, 0.1, 0.3, False), x, core=False)
    yield Case("native_channel_shuffle", lambda a: aten.native_channel_shuffle(a, 3), f(2, 6, 4, 5), core=False)
    yield Case("scalar overloads", lambda a: (aten.multiply.Scalar(a, 2), aten.divide.Scalar(a, 2), aten.subtract.Scalar(a, 2), aten.floor_divide.Scalar(a, 2)), x, core=False)
    yield Case("split.sizes", lambda a: aten.split.sizes(a, [2, 3], 2), x, core=False)
    yield Case("to.other", lambda a, c: aten.to.other(a, c), x, n(2), core=False)


def cases():
    for family in (contractions, convolutions, pooling, normalization, attention, recurrent, resizing, by_other_names):
        yield from family()
