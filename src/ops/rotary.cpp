// RotaryEmbedding: pairs of each head's elements are turned by an angle that depends on the position.
#include "ops/cells.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

struct RotarySizes {
  bool flat;  // X is [batch, length, heads · head], not [batch, heads, length, head]
  int64_t batch, heads, length, head, half;
  bool interleaved;

  int64_t offset(int64_t b, int64_t h, int64_t t) const {
    return (flat ? (b * length + t) * heads + h : (b * heads + h) * length + t) * head;
  }
};

RotarySizes rotary_sizes(const Node& node, const std::vector<int64_t>& x) {
  RotarySizes s{x.size() == 3, x[0], 0, 0, 0, 0, node.attr_int("interleaved", 0) != 0};
  s.heads = s.flat ? node.attr_int("num_heads", 0) : x[1];
  if (s.heads < 1 || (s.flat && x[2] % s.heads != 0))
    fail(node, "num_heads must be given and divide the last dim of an input of rank 3");
  s.length = s.flat ? x[1] : x[2];
  s.head = s.flat ? x[2] / s.heads : x[3];
  const int64_t rotated = node.attr_int("rotary_embedding_dim", 0);
  if (rotated % 2 != 0 || rotated < 0 || rotated > s.head)
    fail(node, fmt::format("rotary_embedding_dim is {}, must be even and at most {}", rotated, s.head));
  s.half = (rotated == 0 ? s.head : rotated) / 2;
  return s;
}

void infer_rotary(InferContext& ctx) {
  require_same(ctx, 0, 2, kFloats);
  if (ctx.has_input(3)) require(ctx, 3, bit(DType::i64));
  require_rank(ctx, 0, 3, 4);
  ctx.set_output(0, ctx.input(0));
}

/// The rows of the caches, [batch · length] or, with position ids, [positions].
void check_caches(const Node& node, const RotarySizes& s, const std::vector<int64_t>& cos,
                  const std::vector<int64_t>& sin, bool by_position) {
  const std::vector<int64_t> wanted = {s.batch, s.length, s.half};
  const bool fits = by_position ? cos.size() == 2 && cos[1] == s.half : cos == wanted;
  if (!fits || cos != sin)
    fail(node, fmt::format(
                   "the caches are [{}] and [{}], must be {}", fmt::join(cos, ","), fmt::join(sin, ","),
                   by_position ? fmt::format("[positions,{}]", s.half) : fmt::format("[{}]", fmt::join(wanted, ","))));
}

void evaluate_rotary(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const RotarySizes s = rotary_sizes(ctx.node(), x.shape());
  check_caches(ctx.node(), s, ctx.input(1).shape(), ctx.input(2).shape(), ctx.has_input(3));
  const std::vector<int64_t> positions = ctx.has_input(3) ? ctx.input(3).as_ints() : iota(s.batch * s.length);
  const int64_t rows = s.half == 0 ? 0 : ctx.input(1).size() / s.half;
  for (int64_t p : positions) {
    if (p < 0 || p >= rows || static_cast<int64_t>(positions.size()) != s.batch * s.length)
      ctx.fail(
          fmt::format("position_ids must hold one position below {} for each of {} tokens", rows, s.batch * s.length));
  }
  Tensor out = x.clone();
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t t = 0; t < s.length; ++t) {
        const T* cos = ctx.input(1).data<T>() + positions[static_cast<size_t>(b * s.length + t)] * s.half;
        const T* sin = ctx.input(2).data<T>() + positions[static_cast<size_t>(b * s.length + t)] * s.half;
        for (int64_t h = 0; h < s.heads; ++h) {
          const T* from = x.data<T>() + s.offset(b, h, t);
          T* to = out.data<T>() + s.offset(b, h, t);
          for (int64_t i = 0; i < s.half; ++i) {
            const int64_t first = s.interleaved ? 2 * i : i, second = s.interleaved ? first + 1 : s.half + i;
            to[first] = cos[i] * from[first] - sin[i] * from[second];
            to[second] = sin[i] * from[first] + cos[i] * from[second];
          }
        }
      }
    }
  });
  ctx.set_output(0, std::move(out));
}

/// Three stages write one buffer: the real parts, the imaginary parts, and the elements that are not turned.
void lower_rotary(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0, 1, 2}, bit(DType::f32)) || !can_lower_inputs(ctx, {3}, kIndices | bit(DType::f32)))
    return;
  const RotarySizes s = rotary_sizes(ctx.node(), ctx.shape(0));
  check_caches(ctx.node(), s, ctx.shape(1), ctx.shape(2), ctx.has_input(3));
  kernel::Kernel& k = ctx.kernel();
  const int out = k.add_buffer(stage_name(k, "rotary"), DType::f32, ctx.output_shape(0), kernel::Role::temporary);
  auto place = [&](const StageBuilder& stage, const Index& d) {
    const Index b = stage.axis(0), h = stage.axis(1), t = stage.axis(2);
    return s.flat ? std::vector<Index>{b, t, h * s.head + d} : std::vector<Index>{b, h, t, d};
  };
  for (const bool imaginary : {false, true}) {
    StageBuilder stage(k, stage_name(k, imaginary ? "rotary_imaginary" : "rotary_real"),
                       {{"b", s.batch}, {"h", s.heads}, {"t", s.length}, {"i", s.half}});
    const Index i = stage.axis(3), first = s.interleaved ? i * 2 : i,
                second = s.interleaved ? i * 2 + Index(1) : i + Index(s.half);
    std::vector<Index> row = {stage.axis(0), stage.axis(2), i};
    if (ctx.has_input(3)) {
      const int position = stage.load(ctx.input(3), {stage.axis(0), stage.axis(2)});
      const DType type = stage.type_of(position);
      const int inside = stage.max(stage.min(position, stage.constant(static_cast<double>(ctx.shape(1)[0] - 1), type)),
                                   stage.constant(0, type));
      row = {stage.value_index(inside), i};
    }
    const int cos = stage.load(ctx.input(1), row), sin = stage.load(ctx.input(2), row);
    const int x = stage.load(ctx.input(0), place(stage, first)), y = stage.load(ctx.input(0), place(stage, second));
    const int value =
        imaginary ? stage.add(stage.mul(sin, x), stage.mul(cos, y)) : stage.sub(stage.mul(cos, x), stage.mul(sin, y));
    stage.finish(value, kernel::Reduction::none, out, place(stage, imaginary ? second : first));
  }
  if (2 * s.half < s.head) {
    StageBuilder stage(k, stage_name(k, "rotary_rest"),
                       {{"b", s.batch}, {"h", s.heads}, {"t", s.length}, {"i", s.head - 2 * s.half}});
    const std::vector<Index> at = place(stage, stage.axis(3) + Index(2 * s.half));
    stage.finish(stage.load(ctx.input(0), at), kernel::Reduction::none, out, at);
  }
  ctx.set_output(0, out);
}

}  // namespace

void register_rotary(Catalogue& catalogue) {
  catalogue.add({.name = "RotaryEmbedding",
                 .since_version = 23,
                 .min_inputs = 3,
                 .max_inputs = 4,
                 .pattern = Pattern::elementwise,
                 .infer = infer_rotary,
                 .cost = cost_per_output(3),
                 .evaluate = widened(evaluate_rotary),
                 .lower = lower_rotary});
}

}  // namespace rooftune::ops
