"""jax programs whose StableHLO text is imported: each is a function and the inputs to call it with. Together they hold
what an MLP, a CNN and a transformer are made of, and every operation that the importer lowers."""
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

PROGRAMS = {}


def program(*make_inputs, tolerance=1e-5):
    """Registers a function; each input is made by `make(rng)`."""

    def register(function):
        PROGRAMS[function.__name__] = (function, make_inputs, tolerance)
        return function

    return register


def normal(*shape, dtype=np.float32):
    return lambda rng: rng.normal(size=shape).astype(dtype)


def uniform(low, high, *shape):
    return lambda rng: rng.uniform(low, high, size=shape).astype(np.float32)


def integers(low, high, *shape, dtype=np.int32):
    return lambda rng: rng.integers(low, high, size=shape, endpoint=True).astype(dtype)


def booleans(*shape):
    return lambda rng: rng.integers(0, 2, size=shape).astype(bool)


WEIGHTS = np.random.default_rng(5)


def weight(*shape):
    return (WEIGHTS.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)


# --- models

W1, W2, W3 = weight(32, 64), weight(64, 64), weight(64, 10)


@program(normal(4, 32))
def mlp(x):
    h = jax.nn.relu(x @ W1 + jnp.linspace(-1, 1, 64))
    h = jax.nn.silu(h @ W2)
    return jax.nn.log_softmax(h @ W3)


K1, K2, K3, HEAD = weight(3, 3, 3, 16), weight(3, 3, 1, 16), weight(1, 1, 16, 8), weight(8, 5)


def batch_norm(x, rng_seed):
    r = np.random.default_rng(rng_seed)
    n = x.shape[-1]
    mean, var, scale, shift = (r.uniform(0.5, 2, n).astype(np.float32) for _ in range(4))
    return (x - mean) * lax.rsqrt(var + 1e-5) * scale + shift


@program(normal(2, 32, 32, 3), tolerance=3e-5)
def cnn(x):
    dims = ("NHWC", "HWIO", "NHWC")
    x = lax.conv_general_dilated(x, K1, (2, 2), "SAME", dimension_numbers=dims)
    x = jax.nn.relu(batch_norm(x, 1))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
    x = lax.conv_general_dilated(x, K2, (1, 1), ((1, 1), (1, 1)), dimension_numbers=dims, feature_group_count=16)
    x = jnp.clip(batch_norm(x, 2), 0, 6)
    x = lax.conv_general_dilated(x, K3, (1, 1), "VALID", dimension_numbers=dims)
    x = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4
    return x.mean((1, 2)) @ HEAD


def layer_norm(x, scale, shift):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5) * scale + shift


BLOCK = {name: weight(*shape) for name, shape in
         dict(q=(32, 4, 8), k=(32, 4, 8), v=(32, 4, 8), o=(4, 8, 32), up=(32, 128), down=(128, 32), scale=(32,), shift=(32,)).items()}
TABLE = weight(50, 32)


@program(normal(2, 12, 32), tolerance=3e-5)
def transformer_block(x):
    p = BLOCK
    h = layer_norm(x, p["scale"], p["shift"])
    q, k, v = (jnp.einsum("bsd,dhe->bshe", h, p[n]) for n in "qkv")
    scores = jnp.einsum("bqhe,bkhe->bhqk", q, k) / np.sqrt(8)
    scores = jnp.where(jnp.tril(jnp.ones((12, 12), bool)), scores, -1e9)
    attended = jnp.einsum("bhqk,bkhe->bqhe", jax.nn.softmax(scores), v)
    x = x + jnp.einsum("bqhe,hed->bqd", attended, p["o"])
    h = layer_norm(x, p["scale"], p["shift"])
    return x + jax.nn.gelu(h @ p["up"], approximate=False) @ p["down"]


@program(integers(0, 49, 2, 12), normal(2, 4, 16, 8), integers(0, 15), tolerance=3e-5)
def decoder_step(tokens, cache, position):
    """Token embedding, rotation by position, an update of a key cache, and attention over it."""
    x = jnp.take(TABLE, tokens, axis=0)[:, 0]
    q = (x @ BLOCK["q"].reshape(32, 32)).reshape(2, 4, 1, 8)
    angle = position.astype(jnp.float32) * jnp.exp(-jnp.arange(4.0))
    even, odd = q[..., ::2], q[..., 1::2]
    q = jnp.stack([even * jnp.cos(angle) - odd * jnp.sin(angle), even * jnp.sin(angle) + odd * jnp.cos(angle)], -1).reshape(2, 4, 1, 8)
    cache = lax.dynamic_update_slice(cache, q, (0, 0, position, 0))
    scores = jnp.einsum("bhqe,bhke->bhqk", q, cache)
    scores = jnp.where(jnp.arange(16) <= position, scores, -jnp.inf)
    return jnp.einsum("bhqk,bhke->bhqe", jax.nn.softmax(scores), cache), cache


@program(normal(3, 7), normal(3, 20), tolerance=3e-5)
def lstm_cell(h, x):
    """A recurrence over 5 steps by scan, which becomes a while loop."""
    steps = x.reshape(3, 5, 4).swapaxes(0, 1)

    def step(carry, inputs):
        gates = jnp.concatenate([carry[0], inputs], 1) @ LSTM
        i, f, g, o = jnp.split(gates, 4, 1)
        c = jax.nn.sigmoid(f) * carry[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), c

    (h, c), all_c = lax.scan(step, (h, jnp.zeros_like(h)), steps)
    return h, c, all_c


LSTM = weight(11, 28)

# --- element-wise


@program(normal(3, 5), uniform(0.1, 3, 3, 5), uniform(-0.99, 0.99, 3, 5))
def floats(x, positive, unit):
    return (jnp.abs(x), -x, jnp.ceil(x), jnp.floor(x), jnp.sign(x), jnp.exp(x), jnp.log(positive), jnp.sqrt(positive),
            lax.rsqrt(positive), jnp.cbrt(x), jnp.sin(x), jnp.cos(x), jnp.tan(unit), jnp.tanh(x), jnp.sinh(x), jnp.cosh(x),
            jnp.arcsin(unit), jnp.arccos(unit), jnp.arctan(x), jnp.arcsinh(x), jnp.arccosh(1 + positive), jnp.arctanh(unit),
            lax.logistic(x), lax.erf(x), jax.nn.softplus(x), x + positive, x - positive, x * positive, x / positive,
            jnp.maximum(x, unit), jnp.minimum(x, unit), lax.pow(positive, x), lax.rem(x, positive), jnp.arctan2(x, unit),
            lax.clamp(-0.5, x, 0.5), lax.clamp(-positive, x, positive), lax.integer_pow(x, 3), lax.square(x),
            jnp.mod(x, 0.7), jnp.floor_divide(x, 0.3), jax.scipy.special.erfc(x), lax.erf_inv(unit))


@program(lambda rng: np.concatenate([rng.normal(size=20) * 10.0**rng.integers(-7, 1, 20), [0, 60, -60]]).astype(np.float32),
         tolerance=1e-6)
def near_zero(x):
    return jnp.expm1(x), jnp.log1p(jnp.abs(x)), jnp.log1p(-jnp.abs(jnp.clip(x, -0.9, 0.9)))


@program(lambda rng: np.array([0.5, -0.5, 1.5, -1.5, 2.5, 0.49999997, 8388609.0, *rng.normal(size=9) * 5], np.float32))
def rounding(x):
    return lax.round(x), lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), x.astype(jnp.int32), lax.reduce_precision(x, 8, 7)


@program(lambda rng: np.array([np.nan, np.inf, -np.inf, 0, *rng.normal(size=3)], np.float32))
def special_values(x):
    return jnp.isnan(x), jnp.isfinite(x), jnp.isinf(x), jnp.where(x > 0, x, 0), lax.expand_dims(x, [0])


@program(integers(-100, 100, 3, 5), integers(1, 9, 3, 5), integers(0, 31, 3, 5))
def ints(x, y, bits):
    return (x + y, x - y, x * y, lax.div(x, y), lax.rem(x, y), x // y, x % y, -x, jnp.abs(x), jnp.sign(x), jnp.maximum(x, y),
            x & y, x | y, x ^ y, ~x, lax.shift_left(x, bits), lax.shift_right_logical(x, bits),
            lax.shift_right_arithmetic(x, bits), lax.shift_right_arithmetic(x, bits + 20), x.astype(jnp.float32), x != 0,
            x.astype(jnp.int8), lax.bitcast_convert_type(x, jnp.float32), jnp.divmod(x, 3), x.astype(jnp.uint8))


@program(booleans(3, 5), booleans(3, 5), normal(3, 5))
def bools(a, b, x):
    return a & b, a | b, a ^ b, ~a, a == b, a < b, a.astype(jnp.float32), jnp.where(a, x, 1), jnp.where(a[0, 0], x, -x), a.any(1), a.all(), a.sum()


@program(normal(3, 5), normal(3, 5))
def comparisons(x, y):
    return x == y, x != y, x < y, x <= y, x > y, x >= y, jnp.isclose(x, y)


@program(normal(3, 4, dtype=np.float16), normal(4, 5))
def halves(x, w):
    h = jax.nn.gelu(x.astype(jnp.bfloat16) * np.float32(1.5))
    return x + np.float16(0.1), h.astype(jnp.float32), jnp.dot(x, w.astype(jnp.float16), preferred_element_type=jnp.float32)


# --- contractions


@program(normal(2, 3, 4, 5), normal(2, 5, 4, 6), normal(5), normal(4, 5))
def dots(a, b, v, m):
    return (jnp.einsum("bijk,bkjl->bjil", a, b), jnp.einsum("bijk,bkjl->il", a, b), jnp.einsum("bijk,k->bij", a, v),
            jnp.einsum("bijk,jk->bi", a, m), jnp.einsum("bijk,cklm->bijclm", a, b), v @ v, jnp.outer(v, v), m @ v, v @ m.T,
            jnp.einsum("bijk,bkjl->bilkj", a, b), a @ m.T, jnp.tensordot(a, b, 0).sum((0, 1)))


@program(normal(2, 4, 9, 8), normal(6, 2, 3, 2), normal(6, 4, 3, 2), tolerance=3e-5)
def convolutions(x, grouped, full):
    dims = ("NCHW", "OIHW", "NCHW")
    conv = lax.conv_general_dilated
    return (conv(x, grouped, (1, 2), ((1, 0), (2, 1)), dimension_numbers=dims, feature_group_count=2),
            conv(x, full, (1, 1), "VALID", rhs_dilation=(2, 3), dimension_numbers=dims),
            conv(x, full, (1, 1), ((2, 1), (0, 3)), lhs_dilation=(2, 3), dimension_numbers=dims),
            conv(x, full, (2, 1), ((2, 1), (0, 3)), lhs_dilation=(2, 3), rhs_dilation=(1, 2), dimension_numbers=dims),
            conv(x, full, (1, 1), ((5, 6), (4, 1)), lhs_dilation=(2, 1), dimension_numbers=dims),
            conv(x, grouped, (1, 1), ((1, 1), (1, 1)), lhs_dilation=(2, 2), dimension_numbers=dims, feature_group_count=2),
            conv(x, full, (1, 1), ((-1, 0), (1, -2)), dimension_numbers=dims),
            conv(x, full[:, :, :, :], (1, 1), "SAME", dimension_numbers=dims, batch_group_count=2),
            lax.conv_transpose(x, full.transpose(2, 3, 1, 0), (2, 2), "SAME", dimension_numbers=("NCHW", "HWIO", "NCHW")),
            lax.conv_transpose(x, full.transpose(2, 3, 1, 0), (3, 2), "VALID", dimension_numbers=("NCHW", "HWIO", "NCHW")),
            conv(x[:, :, 0], full[:, :, 0], (1,), ((0, 1),), dimension_numbers=("NCH", "OIH", "NCH")),
            conv(x.transpose(2, 0, 3, 1), full.transpose(2, 1, 3, 0), (1, 1), "SAME", dimension_numbers=("HNWC", "HIWO", "CWHN")),
            conv(x.reshape(1, 2, 4, 9, 8), full.reshape(6, 2, 2, 3, 2), (1, 1, 1), "VALID", dimension_numbers=("NCDHW", "OIDHW", "NCDHW")))


@program(normal(2, 4, 6, 5), normal(4, 3, 3, 3), tolerance=3e-5)
def gradient_of_convolution(x, w):
    """Gradients use window dilation, lhs dilation, negative padding and batch_group_count."""
    def loss(x, w):
        return (lax.conv_general_dilated(x, w, (2, 2), ((1, 1), (0, 2)), dimension_numbers=("NHWC", "OIHW", "NHWC")) ** 2).sum()

    return jax.grad(loss, (0, 1))(x.transpose(0, 2, 3, 1)[..., :3], w)


# --- reductions, windows, sorting


@program(normal(3, 4, 5), integers(-9, 9, 3, 4, 5))
def reductions(x, i):
    return (x.sum(), x.sum(1), x.mean((0, 2)), x.max(2), x.min((0, 1)), x.prod(1), x.var(1), x.std(), i.sum(1), i.max(), i.min(2),
            (i > 0).any(1), (i > 0).all((0, 1)), x.argmax(1), x.argmin(2), x.argmax(), jnp.linalg.norm(x, axis=1),
            jax.nn.logsumexp(x, 1), lax.reduce(x, np.float32(0.5), lax.add, (1,)), lax.reduce(x, np.float32(0.5), lax.max, (0, 2)),
            lax.reduce(x, np.float32(0), lax.add, ()))


@program(normal(2, 9, 8, 3), tolerance=3e-5)
def windows(x):
    rw = lax.reduce_window
    return (rw(x, -jnp.inf, lax.max, (1, 3, 2, 1), (1, 2, 2, 1), "VALID"), rw(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 1, 1, 1), "SAME"),
            rw(x, jnp.inf, lax.min, (1, 2, 2, 1), (1, 2, 1, 1), "VALID"), rw(x, np.float32(0), lax.add, (1, 3, 3, 1), (1, 2, 2, 1), "SAME"),
            rw(x, np.float32(0.25), lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
            rw(x, np.float32(1), lax.add, (1, 2, 2, 1), (1, 1, 1, 1), "VALID"),
            rw(x, np.float32(0), lax.add, (1, 2, 2, 1), (1, 1, 1, 1), ((0, 0), (1, 0), (3, 1), (0, 0))),
            rw(x, np.float32(0), lax.add, (2, 1, 1, 3), (1, 1, 1, 1), "VALID"), rw(x, np.float32(0), lax.add, (1, 1, 4, 1), (1, 1, 3, 1), "VALID"),
            rw(x, np.float32(0), lax.add, (1, 2, 2, 1), (1, 1, 1, 1), "VALID", base_dilation=(1, 2, 1, 1), window_dilation=(1, 2, 3, 1)),
            rw(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "VALID", window_dilation=(1, 3, 2, 1)),
            jnp.cumsum(x, 1), jnp.cumsum(x, 0), lax.cumsum(x, 2, reverse=True), lax.cummax(x, 1))


@program(normal(5, 6), integers(0, 3, 5, 6), integers(0, 99, 30))
def sorts(x, keys, i):
    return (jnp.sort(x, 0), jnp.sort(x), jnp.argsort(x), jnp.sort(x, descending=True), lax.sort([keys, x], num_keys=1),
            lax.sort([keys, x], num_keys=2), lax.sort([x, keys], dimension=0), lax.top_k(x, 3), jnp.sort(i), jnp.median(x, 1))


# --- moving elements


@program(normal(2, 3, 4), normal(4, 3))
def movement(x, y):
    return (x.reshape(6, 4), x.transpose(2, 0, 1), jnp.broadcast_to(y[None, :, :1], (2, 4, 3)), lax.broadcast_in_dim(y, (3, 5, 4), (2, 0)),
            jnp.concatenate([x, x * 2], 1), x[:, ::2, 1:3], x[:, ::-1], lax.rev(x, (0, 2)), jnp.pad(x, ((0, 0), (1, 2), (0, 0))),
            lax.pad(x, np.float32(3), ((0, 1, 2), (-1, 0, 0), (2, -1, 1))), lax.pad(y, np.float32(0), ((-1, 2, 1), (0, 0, 0))),
            jnp.roll(x, 1, 1), jnp.tile(y, (2, 2)), jnp.stack([y, y], 1), jnp.split(x, 2, 2), jnp.arange(5), jnp.eye(3),
            jnp.tri(4), lax.iota(jnp.int32, 100), jnp.linspace(0, 1, 7), lax.broadcasted_iota(jnp.int32, (2, 3, 4), 1), y.T[0],
            jnp.zeros((3, 0)), jnp.triu(y), jnp.repeat(y, 2, 0), x, x)


@program(normal(6, 5), integers(-6, 5, 3), integers(0, 4, 3), integers(0, 5, 4, 2))
def gathers(x, i, j, ij):
    return (x[i], x[:, j], x[i, j], x[i][:, j], jnp.take(x, i, axis=0), jnp.take(x, j, axis=1, mode="clip"), jnp.take_along_axis(x, jnp.broadcast_to(i[:2, None], (2, 5)), 0),
            jnp.take_along_axis(x, jnp.argsort(x), 1), x[ij], x[i[0]], x[1, j[0]], jax.nn.one_hot(j, 5), x.reshape(3, 2, 5)[:, i[:2] % 2],
            jax.vmap(lambda a, k: lax.dynamic_slice(a, (k,), (3,)))(x[:3], j), jax.vmap(lambda k: lax.dynamic_slice(x, (k, k), (2, 3)))(j),
            x[i[:, None], j[None]], jax.vmap(lambda a, k: a[k])(x[:4], ij), lax.dynamic_index_in_dim(x, i[0], 0), x.at[i].get(mode="fill", fill_value=7.0))


@program(normal(6, 5), integers(0, 8, 3), integers(0, 4, 3), normal(3, 5))
def scatters(x, i, j, u):
    unique = jnp.argsort(x[:, 0])[:3]
    return (x.at[i].add(u), x.at[unique].set(u), x.at[unique, j].set(u[:, 0]), x.at[:, j].max(u[:, :3].T.repeat(2, 0)), x.at[2].set(0.5),
            x.at[1:3, 2].set(9.0), x.at[i].multiply(u), x.at[i, j].min(u[:, 0]), jax.ops.segment_sum(u, i, 4), x.at[unique[0]].add(1.0),
            jax.vmap(lambda a, k, v: a.at[k].add(v))(x[:3], j, u[:, 0]), lax.dynamic_update_slice(x, u[:2, :2], (i[0], j[0])),
            jnp.zeros((4, 3)).at[jnp.array([0, 2]), jnp.array([1, 1])].set(5.0), jnp.bincount(i, length=9))


@program(normal(6, 5), integers(-3, 9), integers(-3, 9))
def dynamic_slices(x, i, j):
    return (lax.dynamic_slice(x, (i, j), (2, 3)), lax.dynamic_slice(x, (i, 0), (1, 5)), lax.dynamic_slice(x, (0, j), (6, 5)),
            lax.dynamic_update_slice(x, x[:1], (i, j)), lax.dynamic_update_slice(x, x[:4, :2], (i, j)), lax.dynamic_slice_in_dim(x, j, 2, 1))


# --- control flow


@program(normal(5), integers(-1, 4))
def control_flow(x, i):
    counted = lax.fori_loop(0, 5, lambda k, c: c * 0.5 + k, x)
    until = lax.while_loop(lambda c: c[1].sum() < 100, lambda c: (c[0] + 1, c[1] * 1.5 + 1), (0, jnp.abs(x)))
    either = lax.cond(x[0] > 0, lambda a: a + counted, lambda a: a * 2, x)
    one_of = lax.switch(i, [lambda a: a + 1, lambda a: a * 2, lambda a: -a + counted], x)
    carry, rows = lax.scan(lambda c, a: (c + a, jnp.array([c, a * i])), np.float32(0), x)
    nested = lax.fori_loop(0, 3, lambda k, c: lax.cond(k < i, lambda a: a + counted, lambda a: lax.fori_loop(0, k, lambda _, b: b * 1.1, a), c), x)
    never = lax.while_loop(lambda c: c[0] < 0, lambda c: (c[0] - 1, -c[1]), (jnp.int32(3), x))
    return counted, until, either, one_of, carry, rows, nested, never
