"""Attention and rotary embeddings. The standard's own reference is the oracle: onnxruntime has not all of it."""
import numpy as np

from harness import Case, by_the_standard, operator


def draw(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def mask_of(rng, batch, heads, length, total):
    shape = [(batch, heads, length, total), (1, 1, length, total), (length, total), (batch, 1, length, total), (heads, length, total)][rng.integers(0, 5)]
    if rng.random() < 0.5:
        return rng.random(shape) < 0.7  # some rows are forbidden altogether
    return draw(rng, *shape) * (1 if rng.random() < 0.5 else 3)


@operator("Attention", 60)
def attention(rng):
    batch, kv_heads, shared, length, kv_length, size, value_size, past = (int(x) for x in rng.integers(1, 5, 8))
    heads = kv_heads * shared
    flat = rng.random() < 0.5
    if flat:
        inputs = [draw(rng, batch, length, heads * size), draw(rng, batch, kv_length, kv_heads * size), draw(rng, batch, kv_length, kv_heads * value_size)]
        attributes = {"q_num_heads": heads, "kv_num_heads": kv_heads}
    else:
        inputs = [draw(rng, batch, heads, length, size), draw(rng, batch, kv_heads, kv_length, size), draw(rng, batch, kv_heads, kv_length, value_size)]
        attributes = {}
    past = past if rng.random() < 0.4 else 0
    inputs.append(mask_of(rng, batch, heads, length, past + kv_length) if rng.random() < 0.6 else None)
    if past:
        inputs += [draw(rng, batch, kv_heads, past, size), draw(rng, batch, kv_heads, past, value_size)]
    while inputs[-1] is None:
        inputs.pop()
    attributes["is_causal"] = int(rng.random() < 0.4)
    if rng.random() < 0.3:
        attributes["scale"] = float(np.float32(rng.uniform(0.1, 1)))
    if rng.random() < 0.3:
        attributes["softcap"] = float(np.float32(rng.uniform(0.5, 3)))
    outputs = 3 if past or rng.random() < 0.3 else 1
    lowered = True
    if rng.random() < 0.2:
        outputs, lowered = 4, False
        attributes["qk_matmul_output_mode"] = int(rng.integers(0, 4))
    case = by_the_standard(Case("Attention", inputs, attributes, outputs=outputs, opset=23, symbolic=(0, 1, 2, 4, 5), tolerance=1e-4, lowered=lowered))
    if "softcap" in attributes and attributes.get("qk_matmul_output_mode") == 0:
        # The product itself, as the text says and onnxruntime has it; the standard's reference gives the capped one.
        bare = {k: v for k, v in attributes.items() if k != "softcap"}
        case.expected[3] = by_the_standard(Case("Attention", inputs, bare, outputs=outputs, opset=23)).expected[3]
    return case


@operator("Attention", 20)
def partly_filled_cache(rng):
    batch, kv_heads, shared, length, spare, size = (int(x) for x in rng.integers(1, 4, 6))
    total = length + spare
    inputs = [draw(rng, batch, kv_heads * shared, length, size), draw(rng, batch, kv_heads, total, size), draw(rng, batch, kv_heads, total, size),
              mask_of(rng, batch, kv_heads * shared, length, total) if rng.random() < 0.5 else None, None, None, rng.integers(0, total + 1, batch)]
    return by_the_standard(Case("Attention", inputs, {"is_causal": int(rng.integers(0, 2))}, opset=24, tolerance=1e-4, lowered=False))


@operator("RotaryEmbedding", 30)
def rotary(rng):
    batch, heads, length, half = (int(x) for x in rng.integers(1, 5, 4))
    rest = 2 * int(rng.integers(0, 3))
    size = 2 * half + rest
    flat = rng.random() < 0.5
    x = draw(rng, batch, length, heads * size) if flat else draw(rng, batch, heads, length, size)
    attributes = {"interleaved": int(rng.integers(0, 2))}
    if flat:
        attributes["num_heads"] = heads
    if rest:
        attributes["rotary_embedding_dim"] = 2 * half
    if rng.random() < 0.5:
        inputs = [x, draw(rng, 9, half), draw(rng, 9, half), rng.integers(0, 9, (batch, length)).astype(np.int64)]
    else:
        inputs = [x, draw(rng, batch, length, half), draw(rng, batch, length, half)]
    return by_the_standard(Case("RotaryEmbedding", inputs, attributes, opset=23, symbolic=(0,), lowered=True))
