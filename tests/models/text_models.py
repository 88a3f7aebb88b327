"""MiniLM (real weights), BERT-base and GPT-2 small (seeded weights) as ONNX graphs, spelled as PyTorch exports them."""
import math

import minilm
import numpy as np
from onnx_builder import Builder, random_normal

LOWEST = float(np.finfo(np.float32).min)
SEQUENCE = 128


class Transformer(Builder):
    def __init__(self, name, hidden, heads, parameters):
        """`parameters(name, shape)` gives the array of a parameter."""
        super().__init__(name)
        self.hidden, self.heads, self.parameters = hidden, heads, parameters
        self.rows = [1, SEQUENCE]                                     # shape of the token ids

    def token_types(self):
        return self.constant(np.zeros((1, SEQUENCE), np.int64))

    def places(self):
        return self.constant(np.arange(SEQUENCE, dtype=np.int64)[None])

    def param(self, name, *shape):
        return self.weight(name, self.parameters(name, shape))

    def layer_norm(self, x, name, epsilon):
        w, b = self.param(name + ".weight", self.hidden), self.param(name + ".bias", self.hidden)
        with self.scope(name):
            return self.op("LayerNormalization", x, w, b, axis=-1, epsilon=epsilon)

    def linear(self, x, name, inputs, outputs):
        """nn.Linear: its [out, in] weight is stored transposed, as exporters fold it."""
        w = self.weight(name + ".weight_t", np.ascontiguousarray(self.parameters(name + ".weight", (outputs, inputs)).T))
        b = self.param(name + ".bias", outputs)
        with self.scope(name):
            return self.op("Add", b, self.op("MatMul", x, w))

    def conv1d(self, x, name, inputs, outputs):
        """GPT-2's Conv1D: flattened, one Gemm with an [in, out] weight, and back."""
        w, b = self.param(name + ".weight", inputs, outputs), self.param(name + ".bias", outputs)
        with self.scope(name):
            flat = self.op("Reshape", x, self.i64(-1, inputs))
            y = self.op("Gemm", flat, w, b, alpha=1.0, beta=1.0)
            return self.op("Reshape", y, self.i64(1, SEQUENCE, outputs))

    def split_heads(self, x, transposed=False):
        head = self.hidden // self.heads
        x = self.op("Reshape", x, self.i64(1, -1, self.heads, head))
        return self.op("Transpose", x, perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3])

    def merge_heads(self, x):
        return self.op("Reshape", self.op("Transpose", x, perm=[0, 2, 1, 3]), self.i64(1, -1, self.hidden))

    def gelu_erf(self, x):
        e = self.op("Add", self.op("Erf", self.op("Div", x, self.f32(math.sqrt(2)))), self.f32(1))
        return self.op("Mul", self.op("Mul", x, e), self.f32(0.5))

    def gelu_tanh(self, x):
        cubic = self.op("Mul", self.op("Pow", x, self.f32(3)), self.f32(0.044715))
        inner = self.op("Mul", self.op("Add", x, cubic), self.f32(math.sqrt(2 / math.pi)))
        t = self.op("Add", self.op("Tanh", inner), self.f32(1))
        return self.op("Mul", self.op("Mul", x, self.f32(0.5)), t)


class FreeTransformer(Transformer):
    """Of any batch and sequence length: shapes are asked for as exporters do."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.rows = ["batch", "seq"]

    def dim(self, x, axis):
        return self.op("Slice", self.op("Shape", x), self.i64(axis), self.i64(axis + 1), self.i64(0))

    def token_types(self):
        return self.input("token_type_ids", np.int64, self.rows)

    def places(self):
        """As transformers has them: the first of a table."""
        table = self.constant(np.arange(512, dtype=np.int64)[None])
        return self.op("Slice", table, self.i64(0), self.dim("input_ids", 1), self.i64(1))

    def split_heads(self, x, transposed=False):
        shape = self.op("Concat", self.dim(x, 0), self.dim(x, 1), self.i64(self.heads, self.hidden // self.heads), axis=0)
        return self.op("Transpose", self.op("Reshape", x, shape), perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3])

    def merge_heads(self, x):
        x = self.op("Transpose", x, perm=[0, 2, 1, 3])
        return self.op("Reshape", x, self.op("Concat", self.dim(x, 0), self.dim(x, 1), self.i64(self.hidden), axis=0))


def bert(b, layers, intermediate, vocabulary, epsilon):
    """Adds BertModel without its pooler; returns (last hidden state [1, S, H], attention mask)."""
    ids = b.input("input_ids", np.int64, b.rows)
    mask = b.input("attention_mask", np.int64, b.rows)
    e = "embeddings."
    with b.scope("embeddings"):
        words = b.op("Gather", b.param(e + "word_embeddings.weight", vocabulary, b.hidden), ids, axis=0)
        kinds = b.op("Gather", b.param(e + "token_type_embeddings.weight", 2, b.hidden),
                     b.token_types(), axis=0)
        places = b.op("Gather", b.param(e + "position_embeddings.weight", 512, b.hidden), b.places(), axis=0)
        x = b.op("Add", b.op("Add", words, kinds), places)
    x = b.layer_norm(x, e + "LayerNorm", epsilon)
    wide = b.op("Cast", b.op("Unsqueeze", mask, b.i64(1, 2)), to=1)
    bias = b.op("Mul", b.op("Sub", b.f32(1), wide), b.f32(LOWEST))
    for i in range(layers):
        p = f"encoder.layer.{i}."
        a = p + "attention.self."
        q, k, v = (b.linear(x, a + n, b.hidden, b.hidden) for n in ("query", "key", "value"))
        with b.scope(p + "attention.self"):
            q, k, v = b.split_heads(q), b.split_heads(k, transposed=True), b.split_heads(v)
            scores = b.op("Div", b.op("MatMul", q, k), b.f32(math.sqrt(b.hidden // b.heads)))
            weights = b.op("Softmax", b.op("Add", scores, bias), axis=-1)
            y = b.merge_heads(b.op("MatMul", weights, v))
        y = b.linear(y, p + "attention.output.dense", b.hidden, b.hidden)
        x = b.layer_norm(b.op("Add", y, x), p + "attention.output.LayerNorm", epsilon)
        y = b.linear(x, p + "intermediate.dense", b.hidden, intermediate)
        with b.scope(p + "intermediate.intermediate_act_fn"):
            y = b.gelu_erf(y)
        y = b.linear(y, p + "output.dense", intermediate, b.hidden)
        x = b.layer_norm(b.op("Add", y, x), p + "output.LayerNorm", epsilon)
    return x, mask


def minilm_l6():
    tensors, c = minilm.weights(), minilm.config()
    b = Transformer("minilm", c["hidden_size"], c["num_attention_heads"], lambda name, shape: tensors[name])
    x, mask = bert(b, c["num_hidden_layers"], c["intermediate_size"], c["vocab_size"], c["layer_norm_eps"])
    with b.scope("pooling"):
        column = b.op("Unsqueeze", mask, b.i64(-1))
        w = b.op("Cast", b.op("Expand", column, b.i64(1, SEQUENCE, b.hidden)), to=1)
        total = b.op("ReduceSum", b.op("Mul", x, w), b.i64(1), keepdims=0)
        count = b.op("Clip", b.op("ReduceSum", w, b.i64(1), keepdims=0), b.f32(1e-9))
        mean = b.op("Div", total, count)
    with b.scope("normalize"):
        norm = b.op("Clip", b.op("ReduceL2", mean, b.i64(1), keepdims=1), b.f32(1e-12))
        y = b.op("Div", mean, b.op("Expand", norm, b.op("Shape", mean)))
    return b.finish(y, [1, b.hidden]), minilm.tokenizer().encode(SAMPLE_TEXT, SEQUENCE)


def seeded(name, shape):
    """transformers' initialisation: N(0, 0.02), zero biases, unit scales; biases small instead of zero to be felt."""
    if name.endswith("bias"):
        return random_normal(name, shape, 0.02)
    if any(part in name for part in ("LayerNorm.weight", ".ln_1.weight", ".ln_2.weight", "ln_f.weight")):
        return 1 + random_normal(name, shape, 0.02)
    return random_normal(name, shape, 0.02)


def bert_base():
    b = Transformer("bert_base", 768, 12, seeded)
    x, _ = bert(b, 12, 3072, 30522, 1e-12)
    ids = np.random.default_rng(0).integers(0, 30522, (1, SEQUENCE))
    return b.finish(x, [1, SEQUENCE, 768]), {"input_ids": ids, "attention_mask": np.ones((1, SEQUENCE), np.int64)}


def bert_free():
    """BERT-base with batch and sequence length free."""
    b = FreeTransformer("bert_free", 768, 12, seeded)
    x, _ = bert(b, 12, 3072, 30522, 1e-12)
    ids = np.random.default_rng(0).integers(0, 30522, (2, 24))
    return b.finish(x, [*b.rows, 768]), {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def gpt2_small():
    b = Transformer("gpt2_small", 768, 12, seeded)
    ids = b.input("input_ids", np.int64, [1, SEQUENCE])
    wte = b.param("transformer.wte.weight", 50257, 768)
    with b.scope("transformer"):
        words = b.op("Gather", wte, ids, axis=0)
        places = b.op("Gather", b.param("transformer.wpe.weight", 1024, 768),
                      b.constant(np.arange(SEQUENCE, dtype=np.int64)[None]), axis=0)
        x = b.op("Add", words, places)
    causal = b.constant(np.tril(np.ones((1, 1, SEQUENCE, SEQUENCE), bool)))
    for i in range(12):
        p = f"transformer.h.{i}."
        y = b.conv1d(b.layer_norm(x, p + "ln_1", 1e-5), p + "attn.c_attn", 768, 3 * 768)
        with b.scope(p + "attn"):
            q, k, v = b.op("Split", y, b.i64(768, 768, 768), outputs=3, axis=2)
            q, k, v = b.split_heads(q), b.split_heads(k, transposed=True), b.split_heads(v)
            scores = b.op("Div", b.op("MatMul", q, k), b.f32(8))
            weights = b.op("Softmax", b.op("Where", causal, scores, b.f32(LOWEST)), axis=-1)
            y = b.merge_heads(b.op("MatMul", weights, v))
        x = b.op("Add", b.conv1d(y, p + "attn.c_proj", 768, 768), x)
        y = b.conv1d(b.layer_norm(x, p + "ln_2", 1e-5), p + "mlp.c_fc", 768, 3072)
        with b.scope(p + "mlp.act"):
            y = b.gelu_tanh(y)
        x = b.op("Add", x, b.conv1d(y, p + "mlp.c_proj", 3072, 768))
    x = b.layer_norm(x, "transformer.ln_f", 1e-5)
    with b.scope("lm_head"):                                         # tied to the embedding
        y = b.op("MatMul", x, b.op("Transpose", wte, perm=[1, 0]))
    return b.finish(y, [1, SEQUENCE, 50257]), {"input_ids": np.random.default_rng(0).integers(0, 50257, (1, SEQUENCE))}


# About 100 tokens, so that the tail of the mask is zero.
SAMPLE_TEXT = """The roofline model bounds the performance of a program by two limits of the machine it runs on: how many
operations it can do in a second, and how many bytes it can move. A program that does few operations for each byte waits
for memory; one that does many waits for arithmetic. Plotted on logarithmic axes the two limits look like the roof of a
house. Knowing under which part of the roof a loop stands tells an engineer what is worth trying next, and when to stop."""
