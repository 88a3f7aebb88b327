// Attention of com.microsoft (with its own projection, and quantised), MultiHeadAttention, GroupQueryAttention and
// RotaryEmbedding. Each becomes MatMul, Softmax, MatMul and the additive mask that its many ways to state one amount to.
#include <cmath>
#include <limits>

#include "ops/common.h"
#include "ops/contrib.h"
#include "ops/families.h"

namespace rooftune::ops {
namespace {

using Value = FunctionBuilder::Value;
using Values = FunctionBuilder::Values;
using ir::kNone;

constexpr double kLowest = std::numeric_limits<float>::lowest();  // forbids in f32, without making NaN of two of them
constexpr double kLowestHalf = -65504;

double lowest(DType dtype) { return dtype == DType::f16 ? kLowestHalf : kLowest; }

int64_t heads_of(const FunctionBuilder& ctx, std::string_view attribute = "num_heads") {
  const int64_t heads = ctx.node().attr_int(attribute, 0);
  constexpr int64_t kMost = 1 << 20;
  if (heads < 1 || heads > kMost) ctx.fail(fmt::format("{} must be given, between 1 and {}", attribute, kMost));
  return heads;
}

void refuse_input(const FunctionBuilder& ctx, size_t i, std::string_view name) {
  if (ctx.has_input(i)) ctx.fail(fmt::format("its input {} is not supported", name));
}

void require_rank(const FunctionBuilder& ctx, Value v, int rank, std::string_view name) {
  if (v != kNone && ctx.rank(v) != rank)
    ctx.fail(fmt::format("{} must have rank {}, it is {}", name, rank, to_string(ctx.shape(v))));
}

/// [batch, length, heads · size] as [batch, heads, length, size].
Value split_heads(FunctionBuilder& ctx, Value x, int64_t heads) {
  return ctx.transpose(ctx.reshape(x, {0, 0, heads, -1}), {0, 2, 1, 3});
}

Value scaled(FunctionBuilder& ctx, Value scores, Value q, std::string_view attribute = "scale") {
  double scale = ctx.node().attr_float(attribute, 0);
  if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(ctx.static_dim(q, -1, "the size of a head")));
  return ctx.add("Mul", {scores, ctx.scalar(ctx.dtype(q), scale)});
}

// --- masks: values to add to the scores [batch, heads, length, total]; kNone forbids nothing

Value where(FunctionBuilder& ctx, Value allowed, Value otherwise_of, DType dtype, double forbidden) {
  const Value base = otherwise_of == kNone ? ctx.scalar(dtype, 0) : otherwise_of;
  return ctx.add("Where", {allowed, base, ctx.scalar(dtype, forbidden)});
}

/// Which keys a mask allows, to broadcast to the scores: of rank 1 lengths of the batch's sequences (or their ends, then
/// their starts), of rank 2 [batch, total], of rank 3 [batch, length, total].
Value allowed_by(FunctionBuilder& ctx, Value mask, Value total, const Dim& batch, const Dim& keys) {
  if (mask == kNone) return kNone;
  const Shape shape = ctx.shape(mask);
  if (shape.size() == 2 && shape[1] == Dim(1) && keys != Dim(1)) return kNone;  // stands for a mask that allows all
  if (shape.size() == 2 || shape.size() == 3) {
    const Value allowed = ctx.add("Greater", {mask, ctx.scalar(ctx.dtype(mask), 0)});
    return ctx.unsqueeze(allowed, shape.size() == 2 ? std::vector<int64_t>{1, 2} : std::vector<int64_t>{1});
  }
  if (shape.size() != 1) ctx.fail(fmt::format("a mask of shape {} is not supported", to_string(shape)));
  const Value at = ctx.range(ctx.scalar(DType::i64, 0), total);
  const auto column = [&](Value v) { return ctx.unsqueeze(ctx.cast(v, DType::i64), {1, 2, 3}); };
  if (shape[0] == batch) return ctx.add("Less", {at, column(mask)});
  if (shape[0] == batch * Dim(2)) {
    const Values halves = ctx.add_many("Split", {mask}, 2, {{"axis", int64_t{0}}});
    return ctx.add("And",
                   {ctx.add("Less", {at, column(halves[0])}), ctx.add("GreaterOrEqual", {at, column(halves[1])})});
  }
  ctx.fail(fmt::format("a mask of shape {} is not supported; a vector must hold {} or twice as many numbers",
                       to_string(shape), batch.to_string()));
}

/// What the queries at `begin` and after may see: themselves and what lies before them. [length, total]
Value causal(FunctionBuilder& ctx, Value begin, Value length, Value total) {
  const Value rows = ctx.range(begin, ctx.add("Add", {begin, length}));
  return ctx.add("LessOrEqual", {ctx.range(ctx.scalar(DType::i64, 0), total), ctx.unsqueeze(rows, {1})});
}

// --- attention with as many heads of keys as of queries

/// What Attention and MultiHeadAttention come to; q, k, v are [batch, heads, length or total, size].
struct Heads {
  Value q, k, v;
  Value past = kNone;  // the length of the cache, of which k and v hold the content already; kNone: 0
  Value mask = kNone, bias = kNone;
};

Value attend(FunctionBuilder& ctx, const Heads& h) {
  const DType dtype = ctx.dtype(h.q);
  const Shape q = ctx.shape(h.q), k = ctx.shape(h.k);
  const Value length = ctx.extent(h.q, 2), total = ctx.extent(h.k, 2);
  Value scores = scaled(ctx, ctx.add("MatMul", {h.q, ctx.transpose(h.k, {0, 1, 3, 2})}), h.q);
  Value bias = kNone;
  const double filter = ctx.node().attr_float("mask_filter_value", -10000);
  if (const Value allowed = allowed_by(ctx, h.mask, total, q[0], k[2]); allowed != kNone)
    bias = where(ctx, allowed, kNone, dtype, filter);
  if (ctx.node().attr_int("unidirectional", 0) != 0 && q[2] != Dim(1)) {
    const Value begin = h.past == kNone ? ctx.scalar(DType::i64, 0) : h.past;
    bias = where(ctx, causal(ctx, begin, length, total), bias, dtype, lowest(dtype));
  }
  if (h.bias != kNone) {
    require_rank(ctx, h.bias, 4, "attention_bias");
    bias = bias == kNone ? h.bias : ctx.add("Add", {bias, h.bias});
  }
  if (bias != kNone) scores = ctx.add("Add", {scores, bias});
  const Value weights = ctx.add("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const Value joined = ctx.transpose(ctx.add("MatMul", {weights, h.v}), {0, 2, 1, 3});
  return ctx.output(0, "Reshape", {joined, ctx.ints({0, 0, -1})});
}

/// Attention of projected values [batch, length, q + k + v]; `past` holds both caches in one tensor.
void attend_projected(FunctionBuilder& ctx, Value projected, std::vector<int64_t> sizes, Value mask, Value past,
                      Value bias) {
  const int64_t heads = heads_of(ctx);
  if (sizes.empty()) sizes.assign(3, ctx.static_dim(projected, -1, "the size of the projection") / 3);
  if (sizes.size() != 3 || sizes[0] != sizes[1] || sizes[0] < 1 || sizes[2] < 1 || sizes[0] % heads != 0 ||
      sizes[2] % heads != 0)
    ctx.fail(fmt::format("qkv_hidden_sizes [{}] must be three multiples of the {} heads, the first two equal",
                         fmt::join(sizes, ","), heads));
  const Values parts = ctx.split(projected, 2, sizes);
  Heads h{split_heads(ctx, parts[0], heads), split_heads(ctx, parts[1], heads), split_heads(ctx, parts[2], heads)};
  h.mask = mask;
  h.bias = bias;
  if (past != kNone) {
    require_rank(ctx, past, 5, "past");
    const Values both = ctx.split(past, 0, {1, 1});
    const Value old_k = ctx.squeeze(both[0], {0}), old_v = ctx.squeeze(both[1], {0});
    h.past = ctx.extent(old_k, 2);
    h.k = ctx.add("Concat", {old_k, h.k}, {{"axis", int64_t{2}}});
    h.v = ctx.add("Concat", {old_v, h.v}, {{"axis", int64_t{2}}});
  }
  if (ctx.has_output(1))
    ctx.output(1, "Concat", {ctx.unsqueeze(h.k, {0}), ctx.unsqueeze(h.v, {0})}, {{"axis", int64_t{0}}});
  attend(ctx, h);
}

void refuse_rotary(const FunctionBuilder& ctx) {
  for (const char* key : {"do_rotary", "past_present_share_buffer"})
    if (ctx.node().attr_int(key, 0) != 0) ctx.fail(fmt::format("{}=1 is not supported", key));
}

void write_attention(FunctionBuilder& ctx) {
  refuse_rotary(ctx);
  refuse_input(ctx, 6, "past_sequence_length");
  require_rank(ctx, ctx.input(0), 3, "input");
  Value projected = ctx.add("MatMul", {ctx.input(0), ctx.input(1)});
  if (ctx.has_input(2)) projected = ctx.add("Add", {projected, ctx.input(2)});
  attend_projected(ctx, projected, ctx.node().attr_ints("qkv_hidden_sizes"), ctx.input(3), ctx.input(4), ctx.input(5));
}

void write_quantized_attention(FunctionBuilder& ctx) {
  refuse_rotary(ctx);
  require_rank(ctx, ctx.input(0), 3, "input");
  const Value product = integer_product(ctx, {.a = ctx.input(0),
                                              .b = ctx.input(1),
                                              .a_scale = ctx.input(3),
                                              .b_scale = ctx.input(4),
                                              .a_zero = ctx.input(6),
                                              .b_zero = ctx.input(7)});
  attend_projected(ctx, ctx.add("Add", {product, ctx.input(2)}), {}, ctx.input(5), ctx.input(8), kNone);
}

void write_multi_head_attention(FunctionBuilder& ctx) {
  refuse_input(ctx, 8, "past_sequence_length");
  refuse_input(ctx, 9, "cache_indirection");
  const int64_t heads = heads_of(ctx);
  if (!ctx.has_input(1) || !ctx.has_input(2)) ctx.fail("packed queries, keys and values are not supported");
  Values parts = {ctx.input(0), ctx.input(1), ctx.input(2)};
  require_rank(ctx, parts[0], 3, "query");
  const bool cached = ctx.rank(parts[1]) == 4;  // keys and values are [batch, heads, length, size] already
  for (size_t i : {1, 2}) require_rank(ctx, parts[i], cached ? 4 : 3, i == 1 ? "key" : "value");
  if (ctx.has_input(3)) {
    const int64_t size = ctx.static_dim(parts[0], -1, "the size of the query");
    const int64_t all = ctx.static_dim(ctx.input(3), 0, "the size of the bias");
    if (all <= 2 * size) ctx.fail(fmt::format("the bias has {} elements, but the query {}", all, size));
    const Values biases = ctx.split(ctx.input(3), 0, {size, size, all - 2 * size});
    for (size_t i = 0; i < (cached ? 1U : 3U); ++i) parts[i] = ctx.add("Add", {parts[i], biases[i]});
  }
  for (size_t i = 0; i < (cached ? 1U : 3U); ++i) parts[i] = split_heads(ctx, parts[i], heads);
  Heads h{parts[0], parts[1], parts[2]};
  h.mask = ctx.input(4);
  h.bias = ctx.input(5);
  if (ctx.has_input(6) != ctx.has_input(7)) ctx.fail("past_key and past_value must be given together");
  const bool past = ctx.has_input(6);
  for (size_t i : {6, 7}) require_rank(ctx, ctx.input(i), 4, "the cache");
  if (past) h.past = ctx.extent(ctx.input(6), 2);
  for (const size_t i : {size_t{1}, size_t{2}}) {
    Value& part = i == 1 ? h.k : h.v;
    if (past) part = ctx.output(i, "Concat", {ctx.input(i + 5), part}, {{"axis", int64_t{2}}});
    else if (ctx.has_output(i)) ctx.output(i, "Identity", {part});
  }
  attend(ctx, h);
}

// --- rotary embeddings

/// x [batch, length, heads · size] or [batch, heads, length, size], positions [batch, length].
FunctionBuilder::Attributes rotary_attributes(const FunctionBuilder& ctx, Value x, Value cos, int64_t heads,
                                              bool interleaved) {
  const int64_t rotated = 2 * ctx.static_dim(cos, -1, "the width of cos_cache");
  FunctionBuilder::Attributes attributes = {{"interleaved", int64_t{interleaved}}, {"rotary_embedding_dim", rotated}};
  if (ctx.rank(x) == 3) attributes["num_heads"] = heads;
  return attributes;
}

void write_rotary(FunctionBuilder& ctx) {
  const Value x = ctx.input(0), cos = ctx.input(2), sin = ctx.input(3);
  if (ctx.rank(x) != 3 && ctx.rank(x) != 4)
    ctx.fail(fmt::format("input is {}, its rank must be 3 or 4", to_string(ctx.shape(x))));
  const int64_t rotated = 2 * ctx.static_dim(cos, -1, "the width of cos_cache");
  int64_t heads = ctx.node().attr_int("num_heads", 0);
  if (ctx.rank(x) == 3 && ctx.node().attr_int("rotary_embedding_dim", 0) == 0) {
    const int64_t size = ctx.static_dim(x, -1, "the hidden size");
    if (rotated == 0 || size % rotated != 0)
      ctx.fail(
          fmt::format("the hidden size {} is no multiple of the head size {} that cos_cache tells", size, rotated));
    heads = size / rotated;
  }
  Value positions = ctx.input(1);
  if (ctx.rank(positions) < 2) {  // the position of the first token
    const Value begin = ctx.reshaped_scalar(ctx.cast(positions, DType::i64));
    const Value length = ctx.extent(x, ctx.rank(x) - 2);
    const Value row = ctx.unsqueeze(ctx.range(begin, ctx.add("Add", {begin, length})), {0});
    const Value batch = ctx.unsqueeze(ctx.extent(x, 0), {0});
    const Value shape = ctx.add("Concat", {batch, ctx.ints({1})}, {{"axis", int64_t{0}}});
    positions = ctx.add("Expand", {row, shape});
  }
  ctx.output(0, "RotaryEmbedding", {x, cos, sin, positions},
             rotary_attributes(ctx, x, cos, heads, ctx.node().attr_int("interleaved", 0) != 0));
}

// --- grouped heads

/// Where each sequence of the batch stands in its cache.
struct Cache {
  Value before = kNone;  // [batch, 1]: tokens that it holds before this call; kNone: none
  Value length;          // of a query, rank 0
  Value total;           // of present_key, rank 0
};

Cache read_cache(FunctionBuilder& ctx, Value q) {
  Cache c;
  c.length = ctx.extent(q, 1);
  c.total = c.length;
  if (!ctx.has_input(3) || ctx.shape(ctx.input(3)).at(2) == Dim(0)) return c;
  const Value all = ctx.reshaped_scalar(ctx.cast(ctx.input(6), DType::i64));
  const Value filled = ctx.add("Add", {ctx.cast(ctx.input(5), DType::i64), ctx.scalar(DType::i64, 1)});
  const Value before = ctx.add("Sub", {ctx.reshape(filled, {-1, 1}), c.length});
  c.before = ctx.add("Where", {ctx.add("Equal", {all, c.length}), ctx.scalar(DType::i64, 0), before});
  c.total = ctx.add("Max", {all, ctx.extent(ctx.input(3), 2)});
  return c;
}

/// The cache with the new keys (or values) [batch, heads, length, size] behind what each sequence has; the rest is 0.
Value extend_cache(FunctionBuilder& ctx, size_t output, Value past, Value fresh, const Cache& c) {
  if (c.before == kNone) return ctx.output(output, "Identity", {fresh});
  const Value at = ctx.unsqueeze(ctx.range(ctx.scalar(DType::i64, 0), c.total), {0});  // [1, total]
  const Value old = ctx.add("Less", {at, c.before});
  const Value filled = ctx.unsqueeze(ctx.add("Less", {at, ctx.add("Add", {c.before, c.length})}), {1, 3});
  const Value zero = ctx.scalar(ctx.dtype(fresh), 0);
  const Dim total = ctx.shape(at)[1], held = ctx.shape(past)[2], length = ctx.shape(fresh)[2];
  // One token, the usual case, is the same wherever it goes: nothing need be looked up.
  if (length == Dim(1) && (total == held || total == held + Dim(1))) {
    const Value all = total == held ? past : ctx.add("Concat", {past, fresh}, {{"axis", int64_t{2}}});
    return ctx.output(output, "Where", {ctx.unsqueeze(old, {1, 3}), all, ctx.add("Where", {filled, fresh, zero})});
  }
  const Value both = ctx.add("Concat", {past, fresh}, {{"axis", int64_t{2}}});
  const Value from_new = ctx.add("Add", {ctx.add("Sub", {at, c.before}), ctx.extent(past, 2)});
  const Value last = ctx.add("Sub", {ctx.add("Add", {ctx.extent(past, 2), c.length}), ctx.scalar(DType::i64, 1)});
  const Value index = ctx.add("Min", {ctx.add("Where", {old, at, from_new}), last});
  const Value rows =
      ctx.add("GatherND", {ctx.transpose(both, {0, 2, 1, 3}), ctx.unsqueeze(index, {2})}, {{"batch_dims", int64_t{1}}});
  return ctx.output(output, "Where", {filled, ctx.transpose(rows, {0, 2, 1, 3}), zero});
}

/// [batch, heads, …] or [1, 1, …] as [batch, kv_heads, group, …].
Value grouped_bias(FunctionBuilder& ctx, Value bias, int64_t kv_heads, int64_t group) {
  require_rank(ctx, bias, 4, "attention_bias");
  if (ctx.shape(bias)[1] == Dim(1)) return ctx.unsqueeze(bias, {1});
  const Value last = ctx.reshape(ctx.transpose(bias, {0, 2, 3, 1}), {0, 0, 0, kv_heads, group});
  return ctx.transpose(last, {0, 3, 4, 1, 2});
}

/// What each query may see, to broadcast to [batch, kv_heads, group, length, total].
Value grouped_mask(FunctionBuilder& ctx, const Cache& c) {
  const int64_t window = ctx.node().attr_int("local_window_size", -1);
  if (ctx.node().attr_int("causal", 1) == 0) {
    if (c.before == kNone) return kNone;
    const Value end = ctx.unsqueeze(ctx.add("Add", {c.before, c.length}), {1, 2, 3});
    return ctx.add("Less", {ctx.range(ctx.scalar(DType::i64, 0), c.total), end});
  }
  Value rows = ctx.range(ctx.scalar(DType::i64, 0), c.length);
  if (c.before != kNone) rows = ctx.unsqueeze(ctx.add("Add", {c.before, rows}), {1, 2});
  rows = ctx.unsqueeze(rows, {-1});
  const Value columns = ctx.range(ctx.scalar(DType::i64, 0), c.total);
  const Value seen = ctx.add("LessOrEqual", {columns, rows});
  if (window <= 0) return seen;
  const Value near =
      ctx.add("Greater", {columns, ctx.add("Sub", {rows, ctx.scalar(DType::i64, static_cast<double>(window))})});
  return ctx.add("And", {seen, near});
}

/// Softmax over the last axis with one more score in the denominator: that of the head's sink, or 0.
Value softmax_with_sink(FunctionBuilder& ctx, Value scores, int64_t kv_heads, int64_t group) {
  Value sink = ctx.scalar(ctx.dtype(scores), 0);
  if (ctx.has_input(11)) sink = ctx.reshape(ctx.input(11), {kv_heads, group, 1, 1});
  const Value last = ctx.ints({-1});
  const Value highest = ctx.add(
      "Max", {ctx.add("ReduceMax", {scores}, {{"axes", std::vector<int64_t>{-1}}, {"keepdims", int64_t{1}}}), sink});
  const Value power = ctx.add("Exp", {ctx.add("Sub", {scores, highest})});
  const Value sum = ctx.add("ReduceSum", {power, last}, {{"keepdims", int64_t{1}}});
  return ctx.add("Div", {power, ctx.add("Add", {sum, ctx.add("Exp", {ctx.add("Sub", {sink, highest})})})});
}

/// RMS normalisation of each head.
Value norm_heads(FunctionBuilder& ctx, Value x, Value weight, int64_t heads) {
  const auto epsilon = ctx.node().attr_float("qk_norm_epsilon", 1e-6F);
  const Value split = ctx.reshape(x, {0, 0, heads, -1});
  return ctx.reshape(ctx.add("RMSNormalization", {split, weight}, {{"axis", int64_t{-1}}, {"epsilon", epsilon}}),
                     {0, 0, -1});
}

Values queries_keys_values(FunctionBuilder& ctx, int64_t heads, int64_t kv_heads, const Cache& c) {
  Values parts = {ctx.input(0), ctx.input(1), ctx.input(2)};
  if (ctx.has_input(1) != ctx.has_input(2)) ctx.fail("key and value must be given together");
  if (!ctx.has_input(1)) {
    const int64_t size = ctx.static_dim(parts[0], 2, "the hidden size") / (heads + 2 * kv_heads);
    parts = ctx.split(parts[0], 2, {heads * size, kv_heads * size, kv_heads * size});
  }
  for (size_t i : {1, 2}) require_rank(ctx, parts[i], 3, i == 1 ? "key" : "value");
  if (ctx.has_input(14) != ctx.has_input(15)) ctx.fail("q_norm_weight and k_norm_weight must be given together");
  if (ctx.has_input(14)) {
    parts[0] = norm_heads(ctx, parts[0], ctx.input(14), heads);
    parts[1] = norm_heads(ctx, parts[1], ctx.input(15), kv_heads);
  }
  if (ctx.node().attr_int("do_rotary", 0) == 0) return parts;
  if (!ctx.has_input(7) || !ctx.has_input(8)) ctx.fail("do_rotary=1 needs cos_cache and sin_cache");
  const Value cos = ctx.input(7), sin = ctx.input(8);
  Value positions = ctx.unsqueeze(ctx.range(ctx.scalar(DType::i64, 0), c.length), {0});
  if (c.before != kNone) {
    positions = ctx.add("Add", {c.before, positions});
  } else {
    const Value shape =
        ctx.add("Concat", {ctx.unsqueeze(ctx.extent(parts[0], 0), {0}), ctx.ints({1})}, {{"axis", int64_t{0}}});
    positions = ctx.add("Expand", {positions, shape});
  }
  const bool interleaved = ctx.node().attr_int("rotary_interleaved", 0) != 0;
  for (size_t i : {0, 1})
    parts[i] = ctx.add("RotaryEmbedding", {parts[i], cos, sin, positions},
                       rotary_attributes(ctx, parts[i], cos, i == 0 ? heads : kv_heads, interleaved));
  return parts;
}

void write_group_query_attention(FunctionBuilder& ctx) {
  const int64_t heads = heads_of(ctx), kv_heads = heads_of(ctx, "kv_num_heads");
  if (heads % kv_heads != 0)
    ctx.fail(fmt::format("num_heads {} must be a multiple of kv_num_heads {}", heads, kv_heads));
  for (const char* key : {"sliding_window_cache", "qk_output"})
    if (ctx.node().attr_int(key, 0) != 0) ctx.fail(fmt::format("{} is not supported", key));
  for (const char* key : {"k_quant_type", "v_quant_type"})
    if (ctx.node().attr_string(key, "NONE") != "NONE") ctx.fail(fmt::format("{} is not supported", key));
  refuse_input(ctx, 9, "position_ids");
  require_rank(ctx, ctx.input(0), 3, "query");
  if (ctx.has_input(3) != ctx.has_input(4)) ctx.fail("past_key and past_value must be given together");
  for (size_t i : {3, 4}) require_rank(ctx, ctx.input(i), 4, "the cache");
  const int64_t group = heads / kv_heads;
  const Cache cache = read_cache(ctx, ctx.input(0));
  const Values parts = queries_keys_values(ctx, heads, kv_heads, cache);
  const Value q = ctx.transpose(ctx.reshape(parts[0], {0, 0, kv_heads, group, -1}), {0, 2, 3, 1, 4});
  const Value k = extend_cache(ctx, 1, ctx.input(3), split_heads(ctx, parts[1], kv_heads), cache);
  const Value v = extend_cache(ctx, 2, ctx.input(4), split_heads(ctx, parts[2], kv_heads), cache);
  const DType dtype = ctx.dtype(q);

  Value scores = ctx.add("MatMul", {q, ctx.transpose(ctx.unsqueeze(k, {2}), {0, 1, 2, 4, 3})});
  scores = scaled(ctx, scores, q);
  if (const double cap = ctx.node().attr_float("softcap", 0); cap > 0) {
    const Value limit = ctx.scalar(dtype, cap);
    scores = ctx.add("Mul", {ctx.add("Tanh", {ctx.add("Div", {scores, limit})}), limit});
  }
  if (ctx.has_input(10)) scores = ctx.add("Add", {scores, grouped_bias(ctx, ctx.input(10), kv_heads, group)});
  if (const Value seen = grouped_mask(ctx, cache); seen != kNone)
    scores = ctx.add("Add", {scores, where(ctx, seen, kNone, dtype, lowest(dtype))});
  const bool sink = ctx.has_input(11) || ctx.node().attr_int("smooth_softmax", 0) == 1;
  const Value weights =
      sink ? softmax_with_sink(ctx, scores, kv_heads, group) : ctx.add("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const Value joined = ctx.transpose(ctx.add("MatMul", {weights, ctx.unsqueeze(v, {2})}), {0, 3, 1, 2, 4});
  ctx.output(0, "Reshape", {joined, ctx.ints({0, 0, -1})});
}

}  // namespace

void register_contrib_attention(Catalogue& catalogue) {
  add_contrib(catalogue, "Attention", 2, 7, 2, write_attention);
  add_contrib(catalogue, "QAttention", 5, 9, 2, write_quantized_attention);
  add_contrib(catalogue, "MultiHeadAttention", 1, 10, 4, write_multi_head_attention);
  add_contrib(catalogue, "RotaryEmbedding", 4, 4, 1, write_rotary);
  add_contrib(catalogue, "GroupQueryAttention", 1, 16, 4, write_group_query_attention);
}

}  // namespace rooftune::ops
