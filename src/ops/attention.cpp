// Attention (scaled dot products with masks, key/value cache and grouped heads).
#include "ops/cells.h"
#include "ops/dense.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

using kernel::Op;
using kernel::Reduction;

enum Input { kQuery, kKey, kValue, kMask, kPastKey, kPastValue, kFilled };

struct AttentionSizes {
  bool flat = false;  // operands are [batch, length, heads · size], not [batch, heads, length, size]
  Dim batch, q_heads, kv_heads, q_length, kv_length, past, head, value_head;
  Dim total() const { return past + kv_length; }
};

AttentionSizes attention_sizes(const Node& node, const Shape& q, const Shape& k, const Shape& v,
                               const std::optional<Shape>& past) {
  const auto misfit = [&] {
    fail(node, fmt::format("Q {}, K {} and V {} do not fit", to_string(q), to_string(k), to_string(v)));
  };
  AttentionSizes s;
  if (q.size() != k.size() || q.size() != v.size() || (q.size() != 3 && q.size() != 4)) misfit();
  s.flat = q.size() == 3;
  s.batch = q[0];
  s.past = past ? past->at(2) : Dim(0);
  if (s.flat) {
    const int64_t q_heads = node.attr_int("q_num_heads", 0), kv_heads = node.attr_int("kv_num_heads", 0);
    if (q_heads < 1 || kv_heads < 1) fail(node, "q_num_heads and kv_num_heads must be given for operands of rank 3");
    for (const auto& [d, heads] : {std::pair(q[2], q_heads), std::pair(k[2], kv_heads), std::pair(v[2], kv_heads)}) {
      if (d.is_static() && d.value() % heads != 0)
        fail(node, fmt::format("{} heads do not divide {}", heads, d.value()));
    }
    s.q_heads = q_heads;
    s.kv_heads = kv_heads;
    s.q_length = q[1];
    s.kv_length = k[1];
    s.head = floordiv(q[2], q_heads);
    s.value_head = floordiv(v[2], kv_heads);
    if (!may_equal(s.head, floordiv(k[2], kv_heads)) || !may_equal(k[1], v[1])) misfit();
  } else {
    s.q_heads = q[1];
    s.kv_heads = k[1];
    s.q_length = q[2];
    s.kv_length = k[2];
    s.head = q[3];
    s.value_head = v[3];
    if (!may_equal(k[3], q[3]) || !may_equal(k[2], v[2]) || !may_equal(k[1], v[1])) misfit();
  }
  if (s.q_heads.is_static() && s.kv_heads.is_static() &&
      (s.kv_heads.value() == 0 || s.q_heads.value() % s.kv_heads.value() != 0)) {
    fail(node, fmt::format("the {} heads of Q must be a multiple of the {} heads of K and V", s.q_heads.value(),
                           s.kv_heads.value()));
  }
  return s;
}

/// A mask broadcasts to the scores; it may be shorter than the keys, of which the rest is then masked.
void check_mask(const InferContext& ctx, const AttentionSizes& s) {
  const Shape &mask = ctx.shape(kMask), scores = {s.batch, s.q_heads, s.q_length, s.total()};
  bool fits = mask.size() <= scores.size();
  for (size_t i = 0; fits && i < mask.size(); ++i) {
    const Dim &own = mask[mask.size() - 1 - i], &full = scores[scores.size() - 1 - i];
    fits = may_equal(own, 1) || may_equal(own, full) || (i == 0 && own.min() <= full.max());
  }
  if (!fits)
    ctx.fail(
        fmt::format("attn_mask is {}, which does not broadcast to the scores {}", to_string(mask), to_string(scores)));
}

void infer_attention(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, 1, kFloats), value_type = require(ctx, 2, kFloats);
  if (ctx.has_input(kMask)) require(ctx, kMask, kFloats | kBool);
  if (ctx.has_input(kPastKey) != ctx.has_input(kPastValue)) ctx.fail("past_key and past_value must be given together");
  for (auto [past, of] : {std::pair(kPastKey, kKey), std::pair(kPastValue, kValue)}) {
    if (ctx.has_input(past) && ctx.dtype(past) != ctx.dtype(of))
      ctx.fail(fmt::format("inputs {} and {} must have the same element type, but are {} and {}", static_cast<int>(of),
                           static_cast<int>(past), ir::name(ctx.dtype(of)), ir::name(ctx.dtype(past))));
  }
  if (ctx.has_input(kFilled)) {
    require(ctx, kFilled, bit(DType::i64));
    if (ctx.has_input(kPastKey)) ctx.fail("nonpad_kv_seqlen must not be given with past_key and past_value");
  }
  bool known = true;
  for (int i = 0; i < ctx.input_count(); ++i) known = known && (!ctx.has_input(i) || ctx.has_shape(i));
  if (!known) {
    for (int i = 0; i < ctx.output_count(); ++i) ctx.set_output(i, Type::tensor(i == 2 ? value_type : dtype));
    return;
  }
  if (ctx.has_input(kPastKey)) require_rank(ctx, kPastKey, 4, 4);
  const AttentionSizes s = attention_sizes(ctx.node(), ctx.shape(0), ctx.shape(1), ctx.shape(2),
                                           ctx.has_input(kPastKey) ? std::optional(ctx.shape(kPastKey)) : std::nullopt);
  require_shape(ctx, kFilled, "nonpad_kv_seqlen", {s.batch});
  require_shape(ctx, kPastKey, "past_key", {s.batch, s.kv_heads, s.past, s.head});
  require_shape(ctx, kPastValue, "past_value", {s.batch, s.kv_heads, s.past, s.value_head});
  if (ctx.has_input(kMask)) check_mask(ctx, s);
  ctx.set_output(0, dtype,
                 s.flat ? Shape{s.batch, s.q_length, s.q_heads * s.value_head}
                        : Shape{s.batch, s.q_heads, s.q_length, s.value_head});
  ctx.set_output(1, dtype, {s.batch, s.kv_heads, s.total(), s.head});
  ctx.set_output(2, value_type, {s.batch, s.kv_heads, s.total(), s.value_head});
  ctx.set_output(3, dtype, {s.batch, s.q_heads, s.q_length, s.total()});
}

AttentionSizes static_sizes(const Node& node, const std::vector<int64_t>& q, const std::vector<int64_t>& k,
                            const std::vector<int64_t>& v, const std::vector<int64_t>* past) {
  return attention_sizes(node, ir::to_shape(q), ir::to_shape(k), ir::to_shape(v),
                         past != nullptr ? std::optional(ir::to_shape(*past)) : std::nullopt);
}

Cost cost_attention(const CostContext& ctx) {
  auto shape = [&](int i) { return ir::static_values(ctx.input(i).shape()); };
  const std::vector<int64_t> past = ctx.has_input(kPastKey) ? shape(kPastKey) : std::vector<int64_t>{};
  const AttentionSizes s = static_sizes(ctx.node, shape(0), shape(1), shape(2), past.empty() ? nullptr : &past);
  const double points = static_cast<double>(s.batch.value() * s.q_heads.value() * s.q_length.value()) *
                        static_cast<double>(s.total().value());
  return {points * (2 * static_cast<double>(s.head.value() + s.value_head.value()) + 5), bytes_touched(ctx)};
}

float attention_scale(const Node& node, const AttentionSizes& s) {
  const float scale = node.attr_float("scale", 0);
  return scale != 0 ? scale : 1 / std::sqrt(static_cast<float>(s.head.value()));
}

// --- reference

/// Past and new keys (or values) as one [batch, heads, total, size].
template <typename T>
Tensor joined(const EvalContext& ctx, int input, int past, const AttentionSizes& s, int64_t size) {
  const int64_t batch = s.batch.value(), heads = s.kv_heads.value(), before = s.past.value(),
                length = s.kv_length.value();
  Tensor out(ctx.input(input).dtype(), {batch, heads, before + length, size});
  T* to = out.data<T>();
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      if (before > 0) to = std::copy_n(ctx.input(past).data<T>() + (b * heads + h) * before * size, before * size, to);
      for (int64_t j = 0; j < length; ++j) {
        const int64_t row = s.flat ? (b * length + j) * heads + h : (b * heads + h) * length + j;
        to = std::copy_n(ctx.input(input).data<T>() + row * size, size, to);
      }
    }
  }
  return out;
}

/// Adds the mask and the causal limit to the scores [length, total] of one head: forbidden ones become -infinity.
template <typename T>
void add_bias(const EvalContext& ctx, const AttentionSizes& s, int64_t b, int64_t h, std::vector<T>& scores) {
  const int64_t length = s.q_length.value(), total = s.total().value();
  constexpr T never = -std::numeric_limits<T>::infinity();
  const bool causal = ctx.node().attr_int("is_causal", 0) != 0;
  std::vector<int64_t> shape(4, 1), strides(4, 0);
  if (ctx.has_input(kMask)) {
    const Tensor& mask = ctx.input(kMask);
    const std::vector<int64_t> own = row_major_strides(mask.shape());
    for (size_t i = 0; i < own.size() && i < 4; ++i) {
      shape[4 - own.size() + i] = mask.shape()[i];
      strides[4 - own.size() + i] = mask.shape()[i] == 1 ? 0 : own[i];
    }
    const std::vector<int64_t> full = {s.batch.value(), s.q_heads.value(), length};
    for (size_t i = 0; i < 3; ++i) {
      if (mask.rank() > 4 || (shape[i] != 1 && shape[i] != full[i]) || shape[3] > total)
        ctx.fail(fmt::format("attn_mask [{}] does not fit", fmt::join(mask.shape(), ",")));
    }
  }
  // Of a cache that is longer than its content, the rest is forbidden; the queries are the last ones of the content.
  const int64_t filled = ctx.has_input(kFilled) ? ctx.input(kFilled).as_int(b) : total;
  const int64_t before = ctx.has_input(kFilled) ? filled - length : s.past.value();
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t j = 0; j < total; ++j) {
      T& score = scores[static_cast<size_t>(i * total + j)];
      if (j >= filled || (causal && j > i + before)) score = never;
      if (!ctx.has_input(kMask)) continue;
      const Tensor& mask = ctx.input(kMask);
      const int64_t at = b * strides[0] + h * strides[1] + i * strides[2] + j * strides[3];
      if (j >= shape[3] && shape[3] != 1) score = never;  // a mask may be shorter than the keys
      else if (mask.dtype() == DType::boolean) score = mask.raw()[at] != 0 ? score : never;
      else score += mask.data<T>()[at];
    }
  }
}

/// Softmax of each row; a row that is forbidden altogether becomes 0.
template <typename T>
void softmax_rows(std::vector<T>& scores, int64_t rows, int64_t width) {
  for (int64_t i = 0; i < rows; ++i) {
    T* row = scores.data() + i * width;
    const T highest = *std::max_element(row, row + width);
    if (highest == -std::numeric_limits<T>::infinity()) {
      std::fill_n(row, width, T{0});
      continue;
    }
    T sum = 0;
    for (int64_t j = 0; j < width; ++j) sum += row[j] = std::exp(row[j] - highest);
    for (int64_t j = 0; j < width; ++j) row[j] /= sum;
  }
}

template <typename T>
void attention(EvalContext& ctx, const AttentionSizes& s) {
  const Tensor& q = ctx.input(kQuery);
  const int64_t batch = s.batch.value(), heads = s.q_heads.value(), length = s.q_length.value(),
                total = s.total().value();
  const int64_t size = s.head.value(), value_size = s.value_head.value(), shared = heads / s.kv_heads.value();
  Tensor keys = joined<T>(ctx, kKey, kPastKey, s, size), values = joined<T>(ctx, kValue, kPastValue, s, value_size);
  Tensor y(q.dtype(), s.flat ? std::vector<int64_t>{batch, length, heads * value_size}
                             : std::vector<int64_t>{batch, heads, length, value_size});
  const bool keep = ctx.has_output(3);
  const int64_t mode = ctx.node().attr_int("qk_matmul_output_mode", 0);
  Tensor kept(q.dtype(), keep ? std::vector<int64_t>{batch, heads, length, total} : std::vector<int64_t>{0});
  const auto scale = static_cast<T>(attention_scale(ctx.node(), s)),
             cap = static_cast<T>(ctx.node().attr_float("softcap", 0));
  std::vector<T> scores(static_cast<size_t>(length * total));
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      auto keep_if = [&](int64_t m) {
        if (keep && mode == m)
          std::copy(scores.begin(), scores.end(), kept.data<T>() + (b * heads + h) * length * total);
      };
      const int64_t kv = (b * s.kv_heads.value() + h / shared) * total;
      const MatrixView<T> query = s.flat
                                      ? MatrixView<T>{q.data<T>() + b * length * heads * size + h * size, heads * size}
                                      : MatrixView<T>{q.data<T>() + (b * heads + h) * length * size, size};
      matrix_product<T>(length, total, size, query, {keys.data<T>() + kv * size, 1, size}, scores.data(), total);
      for (T& v : scores) v *= scale;
      keep_if(0);
      for (T& v : scores) v = cap > 0 ? cap * std::tanh(v / cap) : v;
      keep_if(1);
      add_bias(ctx, s, b, h, scores);
      keep_if(2);
      softmax_rows(scores, length, total);
      keep_if(3);
      T* to = y.data<T>() +
              (s.flat ? b * length * heads * value_size + h * value_size : (b * heads + h) * length * value_size);
      matrix_product<T>(length, value_size, total, {scores.data(), total},
                        {values.data<T>() + kv * value_size, value_size}, to, s.flat ? heads * value_size : value_size);
    }
  }
  ctx.set_output(0, std::move(y));
  ctx.set_output(1, std::move(keys));
  ctx.set_output(2, std::move(values));
  if (keep) ctx.set_output(3, std::move(kept));
}

/// V and the mask may be of other types than Q: all is computed in Q's, or in f32 where Q is a half.
void evaluate_attention(EvalContext& ctx) {
  const std::vector<int64_t>* past = ctx.has_input(kPastKey) ? &ctx.input(kPastKey).shape() : nullptr;
  const AttentionSizes s =
      static_sizes(ctx.node(), ctx.input(0).shape(), ctx.input(1).shape(), ctx.input(2).shape(), past);
  const DType given = ctx.input(kQuery).dtype(), own = is_half(given) ? DType::f32 : given;
  std::vector<Tensor> inputs;
  for (int i = 0; i < ctx.input_count(); ++i) {
    const Tensor input = ctx.has_input(i) ? ctx.input(i) : Tensor();
    inputs.push_back(input && input.dtype() != DType::boolean && i != kFilled ? convert(input, own) : input);
  }
  EvalContext uniform(ctx.node(), std::move(inputs));
  dispatch_float(ctx.node(), own, [&](auto tag) { attention<typename decltype(tag)::type>(uniform, s); });
  for (size_t i = 0; i < uniform.outputs().size(); ++i) {
    const Tensor& output = uniform.outputs()[i];
    if (output) ctx.set_output(static_cast<int>(i), convert(output, i == 2 ? ctx.input(kValue).dtype() : given));
  }
}

// --- lowering

/// Where the keys or values are read: the input itself, or a buffer that holds the past as well.
struct Cache {
  int buffer;
  bool flat;
  int64_t size;
  std::vector<Index> at(const Index& b, const Index& h, const Index& j, const Index& d) const {
    return flat ? std::vector<Index>{b, j, h * size + d} : std::vector<Index>{b, h, j, d};
  }
};

Cache add_cache(LowerContext& ctx, const char* name, int input, int past, const AttentionSizes& s, int64_t size,
                bool wanted) {
  const Cache given{ctx.input(input), s.flat, size};
  if (!ctx.has_input(past) && !wanted) return given;
  kernel::Kernel& k = ctx.kernel();
  const int64_t batch = s.batch.value(), heads = s.kv_heads.value(), before = s.past.value();
  const int buffer = k.add_buffer(stage_name(k, name), DType::f32, {batch, heads, before + s.kv_length.value(), size},
                                  kernel::Role::temporary);
  if (before > 0) {
    StageBuilder old(k, stage_name(k, std::string(name) + "_past"),
                     {{"b", batch}, {"h", heads}, {"j", before}, {"d", size}});
    old.finish(old.load(ctx.input(past), axes_from(0, 4)), Reduction::none, buffer, axes_from(0, 4));
  }
  StageBuilder fresh(k, stage_name(k, name), {{"b", batch}, {"h", heads}, {"j", s.kv_length.value()}, {"d", size}});
  const std::vector<Index> from = given.at(fresh.axis(0), fresh.axis(1), fresh.axis(2), fresh.axis(3));
  fresh.finish(fresh.load(given.buffer, from), Reduction::none, buffer,
               {fresh.axis(0), fresh.axis(1), fresh.axis(2) + Index(before), fresh.axis(3)});
  return {buffer, false, size};
}

constexpr double kForbidden = -3e38;  // a score that stands for -infinity, so that differences of scores stay numbers

/// score(b, h, i, j): the scaled, capped and masked products.
int add_scores(LowerContext& ctx, const AttentionSizes& s, int products, const std::vector<kernel::Axis>& axes) {
  kernel::Kernel& k = ctx.kernel();
  StageBuilder stage(k, stage_name(k, "attention_score"), axes);
  const std::vector<Index> at = axes_from(0, 4);
  int value = stage.mul(stage.load(products, at), stage.constant(attention_scale(ctx.node(), s)));
  const float cap = ctx.node().attr_float("softcap", 0);
  if (cap > 0) value = stage.mul(stage.unary(Op::tanh, stage.mul(value, stage.constant(1 / cap))), stage.constant(cap));
  if (ctx.has_input(kMask)) {
    const int mask = stage.load(ctx.input(kMask), broadcast_indices(ctx.shape(kMask), at));
    if (ctx.dtype(kMask) == DType::boolean) value = stage.select(mask, value, stage.constant(kForbidden));
    else value = stage.max(stage.add(value, mask), stage.constant(kForbidden));
  }
  if (ctx.node().attr_int("is_causal", 0) != 0) {
    const int allowed = stage.node(Op::le, DType::boolean, stage.index(at[3], DType::i32),
                                   stage.index(at[2] + Index(s.past.value()), DType::i32));
    value = stage.select(allowed, value, stage.constant(kForbidden));
  }
  return stage.finish(value);
}

void lower_attention(LowerContext& ctx) {
  if (ctx.node().outputs.size() > 3 && ctx.node().outputs[3] != ir::kNone)
    return ctx.reject("lower: Attention with qk_matmul_output is not supported");
  if (ctx.node().input(kFilled) != ir::kNone)
    return ctx.reject("lower: Attention with nonpad_kv_seqlen is not supported");
  if (!can_lower_inputs(ctx, {kQuery, kKey, kValue}, bit(DType::f32)) ||
      !can_lower_inputs(ctx, {kMask}, bit(DType::f32) | kBool))
    return;
  const std::vector<int64_t> past = ctx.has_input(kPastKey) ? ctx.shape(kPastKey) : std::vector<int64_t>{};
  const AttentionSizes s =
      static_sizes(ctx.node(), ctx.shape(0), ctx.shape(1), ctx.shape(2), past.empty() ? nullptr : &past);
  const int64_t batch = s.batch.value(), heads = s.q_heads.value(), length = s.q_length.value(),
                total = s.total().value(), shared = heads / s.kv_heads.value();
  const int64_t size = s.head.value(), value_size = s.value_head.value();
  if (ctx.has_input(kMask) && ctx.shape(kMask).size() > 0 && ctx.shape(kMask).back() != total &&
      ctx.shape(kMask).back() != 1)
    return ctx.reject("lower: attn_mask must cover all keys");
  kernel::Kernel& k = ctx.kernel();
  auto wanted = [&](size_t i) { return ctx.node().outputs.size() > i && ctx.node().outputs[i] != ir::kNone; };
  const Cache keys = add_cache(ctx, "present_key", kKey, kPastKey, s, size, wanted(1)),
              values = add_cache(ctx, "present_value", kValue, kPastValue, s, value_size, wanted(2));
  if (wanted(1)) ctx.set_output(1, keys.buffer);
  if (wanted(2)) ctx.set_output(2, values.buffer);

  const kernel::Axis b{"b", batch}, h{"h", heads}, i{"i", length}, j{"j", total}, d{"d", size}, e{"d", value_size};
  const std::vector<kernel::Axis> plane = {b, h, i, j}, rows = {b, h, i};
  auto group = [&](StageBuilder& stage, const kernel::RangeOf& ranges) {
    return floordiv(stage.axis(1), shared, ranges);
  };
  StageBuilder product(k, stage_name(k, "attention_product"), plane, {d});
  const Cache query{ctx.input(kQuery), s.flat, size};
  const Index kv = group(product, ranges_of({batch, heads, length, total, size}));
  const int p = product.finish(
      product.mul(
          product.load(query.buffer, query.at(product.axis(0), product.axis(1), product.axis(2), product.axis(4))),
          product.load(keys.buffer, keys.at(product.axis(0), kv, product.axis(3), product.axis(4)))),
      Reduction::sum);
  const int score = add_scores(ctx, s, p, plane);
  StageBuilder highest(k, stage_name(k, "attention_max"), rows, {j});
  const int hi = highest.finish(highest.load(score, axes_from(0, 4)), Reduction::max);
  StageBuilder power(k, stage_name(k, "attention_exp"), plane);
  const int value = power.load(score, axes_from(0, 4));
  int weight = power.unary(Op::exp, power.sub(value, power.load(hi, axes_from(0, 3))));
  const bool masked = ctx.has_input(kMask) || ctx.node().attr_int("is_causal", 0) != 0;
  if (masked)
    weight = power.select(power.node(Op::lt, DType::boolean, value, power.constant(kForbidden / 2)), power.constant(0),
                          weight);
  const int ex = power.finish(weight);
  StageBuilder sums(k, stage_name(k, "attention_sum"), rows, {j});
  const int z = sums.finish(sums.load(ex, axes_from(0, 4)), Reduction::sum);
  StageBuilder weighted(k, stage_name(k, "attention_weighted"), {b, h, i, e}, {j});
  const Index kv2 = group(weighted, ranges_of({batch, heads, length, value_size, total}));
  const int o = weighted.finish(
      weighted.mul(weighted.load(ex, {weighted.axis(0), weighted.axis(1), weighted.axis(2), weighted.axis(4)}),
                   weighted.load(values.buffer, values.at(weighted.axis(0), kv2, weighted.axis(4), weighted.axis(3)))),
      Reduction::sum);
  StageBuilder last(k, stage_name(k, "attention"), {b, h, i, e});
  int sum = last.load(z, axes_from(0, 3));
  if (masked) sum = last.select(last.node(Op::eq, DType::boolean, sum, last.constant(0)), last.constant(1), sum);
  const int out = k.add_buffer(stage_name(k, "attention"), DType::f32, ctx.output_shape(0), kernel::Role::temporary);
  const Cache y{out, s.flat, value_size};
  last.finish(last.div(last.load(o, axes_from(0, 4)), sum), Reduction::none, out,
              y.at(last.axis(0), last.axis(1), last.axis(2), last.axis(3)));
  ctx.set_output(0, out);
}

}  // namespace

void register_attention(Catalogue& catalogue) {
  catalogue.add({.name = "Attention",
                 .since_version = 23,
                 .min_inputs = 3,
                 .max_inputs = 7,
                 .max_outputs = 4,
                 .pattern = Pattern::contraction,
                 .infer = infer_attention,
                 .cost = cost_attention,
                 .evaluate = evaluate_attention,
                 .lower = lower_attention});
}

}  // namespace rooftune::ops
