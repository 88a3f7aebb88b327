// Normalisation by statistics of the input: LayerNormalization RMSNormalization GroupNormalization
// InstanceNormalization. y = (x - mean) / sqrt(variance + epsilon) * scale + bias, variance by two passes.
#include <cmath>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/moments.h"

namespace rooftune::ops {
namespace {

// --- evaluation

// Statistics of a contiguous group. T in, double inside.
template <typename T>
std::pair<double, double> moments(const T* x, int64_t n, bool centred) {
  double mean = 0, squares = 0;
  if (centred) {
    for (int64_t i = 0; i < n; ++i) mean += static_cast<double>(x[i]);
    mean /= static_cast<double>(n);
  }
  for (int64_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(x[i]) - mean;
    squares += d * d;
  }
  return {mean, squares / static_cast<double>(n)};
}

struct Normalized {
  Tensor y;
  std::vector<double> mean, inverse;  // of each group
};

// Normalises each run of `group` contiguous elements.
Normalized normalize(const Node& node, const Tensor& x, int64_t group, double epsilon, bool centred) {
  Normalized result{Tensor(x.dtype(), x.shape()), {}, {}};
  const int64_t groups = group == 0 ? 0 : x.size() / group;
  dispatch_float(node, x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t g = 0; g < groups; ++g) {
      const T* from = x.data<T>() + g * group;
      T* to = result.y.data<T>() + g * group;
      const auto [mean, variance] = moments(from, group, centred);
      const double inverse = 1 / std::sqrt(variance + epsilon);
      for (int64_t i = 0; i < group; ++i) to[i] = static_cast<T>((static_cast<double>(from[i]) - mean) * inverse);
      result.mean.push_back(mean);
      result.inverse.push_back(inverse);
    }
  });
  return result;
}

// y · scale + bias, both broadcast to y; bias may be absent.
Tensor scale_and_shift(const Node& node, Tensor y, const Tensor& scale, const Tensor& bias) {
  dispatch_float(node, y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    y = map_binary<T, T, T>(node, y, scale, [](T a, T b) { return a * b; });
    if (bias) y = map_binary<T, T, T>(node, y, bias, [](T a, T b) { return a + b; });
  });
  return y;
}

Tensor widen(const Tensor& tensor, DType dtype) {
  return tensor && tensor.dtype() != dtype ? convert(tensor, dtype) : tensor;
}

DType wide_type(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

// --- LayerNormalization and RMSNormalization: groups are the dims from `axis` on

std::vector<int> axes_from(int axis, int rank) {
  std::vector<int> axes;
  for (int d = axis; d < rank; ++d) axes.push_back(d);
  return axes;
}

int first_axis(const Node& node, int rank) { return normalize_axis(node, node.attr_int("axis", -1), rank); }

DType stash_type(const Node& node) {
  const int64_t stash = node.attr_int("stash_type", 1);
  if (stash != static_cast<int64_t>(DType::f32) && stash != static_cast<int64_t>(DType::bf16))
    fail(node, fmt::format("stash_type {} must be 1 (f32) or 16 (bf16)", stash));
  return static_cast<DType>(stash);
}

void check_affine(const InferContext& ctx, int i) {
  if (!ctx.has_input(i)) return;
  require(ctx, i, kFloats);
  if (!ctx.has_shape(0) || !ctx.has_shape(i)) return;
  const Shape& x = ctx.shape(0);
  const Shape& s = ctx.shape(i);
  bool fits = s.size() <= x.size();
  for (size_t d = 0; fits && d < s.size(); ++d) {
    const Dim& to = x[x.size() - s.size() + d];
    fits = s[d] == Dim(1) || s[d] == to || !s[d].is_static() || !to.is_static();
  }
  if (!fits) ctx.fail(fmt::format("input {} of shape {} does not broadcast to {}", i, to_string(s), to_string(x)));
}

void infer_layer_norm(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require_rank(ctx, 0, 1);
  check_affine(ctx, 1);
  check_affine(ctx, 2);
  const bool rms = ctx.node().op == "RMSNormalization";
  const DType stash = stash_type(ctx.node());
  ctx.set_output(
      0, Type::tensor(rms ? ctx.dtype(1) : dtype, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
  if (rms) return;
  std::optional<Shape> statistics;
  if (ctx.has_shape(0)) {
    statistics = ctx.shape(0);
    for (int axis :
         axes_from(first_axis(ctx.node(), static_cast<int>(statistics->size())), static_cast<int>(statistics->size())))
      (*statistics)[static_cast<size_t>(axis)] = 1;
  }
  ctx.set_output(1, Type::tensor(stash, statistics));
  ctx.set_output(2, Type::tensor(stash, statistics));
}

void evaluate_layer_norm(EvalContext& ctx) {
  const bool centred = ctx.node().op == "LayerNormalization";
  const DType wide = wide_type(ctx.input(0).dtype());
  const Tensor x = widen(ctx.input(0), wide);
  const int axis = first_axis(ctx.node(), x.rank());
  int64_t group = 1;
  for (int d = axis; d < x.rank(); ++d) group *= x.dim(d);
  Normalized n = normalize(ctx.node(), x, group, ctx.node().attr_float("epsilon", 1e-5F), centred);
  const Tensor bias = centred && ctx.has_input(2) ? widen(ctx.input(2), wide) : Tensor();
  const Tensor y = scale_and_shift(ctx.node(), std::move(n.y), widen(ctx.input(1), wide), bias);
  ctx.set_output(0, widen(y, centred ? ctx.input(0).dtype() : ctx.input(1).dtype()));
  if (!centred) return;
  std::vector<int64_t> shape = x.shape();
  std::fill(shape.begin() + axis, shape.end(), 1);
  for (int i = 1; i <= 2; ++i) {
    if (!ctx.has_output(i)) continue;
    Tensor out(stash_type(ctx.node()), shape);
    const std::vector<double>& values = i == 1 ? n.mean : n.inverse;
    for (size_t k = 0; k < values.size(); ++k) out.set_double(static_cast<int64_t>(k), values[k]);
    ctx.set_output(i, std::move(out));
  }
}

// The normalising stage: (x - mean) · inverse · scale + bias; scale and bias are loaded by `affine`.
int normalizing_stage(LowerContext& ctx, const std::string& name, const Groups& groups, int mean, int inverse,
                      const std::function<int(StageBuilder&, int value)>& affine) {
  const std::vector<int64_t> shape = ctx.shape(0);
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), name), axes_of(shape));
  int value = s.load(ctx.input(0), axis_indices(static_cast<int>(shape.size())));
  if (mean >= 0) value = s.sub(value, s.load(mean, groups.group_of));
  value = s.mul(value, s.load(inverse, groups.group_of));
  return s.finish(affine(s, value));
}

void lower_layer_norm(LowerContext& ctx) {
  if (!can_lower(ctx, bit(DType::f32))) return;
  for (size_t i = 1; i < ctx.node().outputs.size(); ++i) {
    if (ctx.node().outputs[i] != ir::kNone)
      return ctx.reject("lower: LayerNormalization is lowered with its first output only");
  }
  const std::vector<int64_t> shape = ctx.shape(0);
  const int rank = static_cast<int>(shape.size());
  const bool centred = ctx.node().op == "LayerNormalization";
  const Groups groups = groups_over(shape, axes_from(first_axis(ctx.node(), rank), rank));
  const int mean = centred ? mean_stages(ctx, groups) : -1;
  const int inverse = inverse_deviation_stages(ctx, groups, mean, ctx.node().attr_float("epsilon", 1e-5F));
  ctx.set_output(0, normalizing_stage(ctx, centred ? "layer_norm" : "rms_norm", groups, mean, inverse,
                                      [&](StageBuilder& s, int value) {
                                        const std::vector<Index> at = axis_indices(rank);
                                        value = s.mul(value, load_input(ctx, s, 1, at));
                                        return ctx.has_input(2) ? s.add(value, load_input(ctx, s, 2, at)) : value;
                                      }));
}

// --- GroupNormalization and InstanceNormalization: groups are runs of channels of [N, C, …]

int64_t group_count(const Node& node, int64_t channels) {
  if (node.op == "InstanceNormalization") return channels;
  const int64_t groups = node.attr_int("num_groups", 0);
  if (groups <= 0 || channels % groups != 0)
    fail(node, fmt::format("num_groups {} does not divide {} channels", groups, channels));
  return groups;
}

// GroupNormalization had scale and bias per group in opset 18 to 20, per channel since.
bool affine_per_group(const Node& node) {
  return node.op == "GroupNormalization" && node.since_version != 0 && node.since_version < 21;
}

void infer_group_norm(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, 2, kFloats);
  require_rank(ctx, 0, 3);
  require_rank(ctx, 1, 1, 1);
  require_rank(ctx, 2, 1, 1);
  if (ctx.has_shape(0) && ctx.shape(0)[1].is_static()) {
    const int64_t channels = ctx.shape(0)[1].value(), groups = group_count(ctx.node(), channels);
    const int64_t wanted = affine_per_group(ctx.node()) ? groups : channels;
    for (int i = 1; i <= 2; ++i) {
      if (ctx.has_shape(i) && ctx.shape(i)[0].is_static() && ctx.shape(i)[0].value() != wanted)
        ctx.fail(fmt::format("input {} has {} elements, but must have {}", i, ctx.shape(i)[0].value(), wanted));
    }
  }
  ctx.set_output(0, Type::tensor(dtype, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
}

// [C] (or [groups], each value then for its channels) as a tensor that broadcasts along dim 1 of `rank` dims.
Tensor per_channel(const Node& node, const Tensor& values, int64_t channels, int rank) {
  if (values.size() != channels && (values.size() == 0 || channels % values.size() != 0))
    fail(node, fmt::format("scale and bias have {} elements for {} channels", values.size(), channels));
  std::vector<int64_t> shape(static_cast<size_t>(rank) - 1, 1);
  shape[0] = channels;
  if (values.size() == channels) return values.reshaped(shape);
  Tensor out(values.dtype(), shape);
  for (int64_t c = 0; c < channels; ++c) out.set_double(c, values.as_double(c / (channels / values.size())));
  return out;
}

void evaluate_group_norm(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int64_t channels = x.dim(1), groups = group_count(ctx.node(), channels);
  const int64_t group = groups == 0 || x.dim(0) == 0 ? 0 : x.size() / x.dim(0) / groups;
  Normalized n = normalize(ctx.node(), x, group, ctx.node().attr_float("epsilon", 1e-5F), true);
  ctx.set_output(0,
                 scale_and_shift(ctx.node(), std::move(n.y), per_channel(ctx.node(), ctx.input(1), channels, x.rank()),
                                 per_channel(ctx.node(), ctx.input(2), channels, x.rank())));
}

void lower_group_norm(LowerContext& ctx) {
  if (!can_lower(ctx, bit(DType::f32))) return;
  const std::vector<int64_t> shape = ctx.shape(0);
  const int64_t count = group_count(ctx.node(), shape[1]);
  const Groups groups = groups_of_channels(shape, count);
  const int mean = mean_stages(ctx, groups);
  const int inverse = inverse_deviation_stages(ctx, groups, mean, ctx.node().attr_float("epsilon", 1e-5F));
  const Index channel = affine_per_group(ctx.node()) ? groups.group_of[1] : Index::variable(1);
  const std::string name = ctx.node().op == "InstanceNormalization" ? "instance_norm" : "group_norm";
  ctx.set_output(0, normalizing_stage(ctx, name, groups, mean, inverse, [&](StageBuilder& s, int value) {
                   return s.add(s.mul(value, s.load(ctx.input(1), {channel})), s.load(ctx.input(2), {channel}));
                 }));
}

}  // namespace

void register_normalization(Catalogue& c) {
  // mean: 1, variance: 3, normalise: 2, scale and bias: 2
  c.add({.name = "LayerNormalization",
         .since_version = 17,
         .min_inputs = 2,
         .max_inputs = 3,
         .min_outputs = 1,
         .max_outputs = 3,
         .pattern = Pattern::reduction,
         .infer = infer_layer_norm,
         .cost = cost_per_input(8),
         .evaluate = evaluate_layer_norm,
         .lower = lower_layer_norm});
  c.add({.name = "RMSNormalization",
         .since_version = 23,
         .min_inputs = 2,
         .max_inputs = 2,
         .pattern = Pattern::reduction,
         .infer = infer_layer_norm,
         .cost = cost_per_input(4),
         .evaluate = evaluate_layer_norm,
         .lower = lower_layer_norm});
  c.add({.name = "GroupNormalization",
         .since_version = 18,
         .min_inputs = 3,
         .max_inputs = 3,
         .pattern = Pattern::reduction,
         .infer = infer_group_norm,
         .cost = cost_per_input(8),
         .evaluate = widened(evaluate_group_norm),
         .lower = lower_group_norm});
  c.add({.name = "InstanceNormalization",
         .min_inputs = 3,
         .max_inputs = 3,
         .pattern = Pattern::reduction,
         .infer = infer_group_norm,
         .cost = cost_per_input(8),
         .evaluate = widened(evaluate_group_norm),
         .lower = lower_group_norm});
}

}  // namespace rooftune::ops
