// Normalisation by stored statistics or by norms: BatchNormalization (inference) LpNormalization
// MeanVarianceNormalization LRN.
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/moments.h"

namespace rooftune::ops {
namespace {

using kernel::Op;

// --- BatchNormalization

void infer_batch_norm(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require_rank(ctx, 0, 2);
  const bool training = ctx.node().attr_int("training_mode", 0) != 0;
  if (!training && ctx.output_count() > 1) ctx.fail("has running statistics as outputs, but training_mode is 0");
  for (int i = 1; i <= 4; ++i) {
    require(ctx, i, kFloats);
    require_rank(ctx, i, 1, 1);
    if (!ctx.has_shape(0) || !ctx.has_shape(i)) continue;
    const Dim& channels = ctx.shape(0)[1];
    const Dim& given = ctx.shape(i)[0];
    if (channels.is_static() && given.is_static() && !(channels == given))
      ctx.fail(fmt::format("input {} has {} elements, but there are {} channels", i, given.to_string(),
                           channels.to_string()));
  }
  if (training && ctx.output_count() > 3) ctx.fail("has more outputs than the two running statistics");
  ctx.set_output(0, Type::tensor(dtype, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
  for (int i = 1; i < ctx.output_count(); ++i)
    if (ctx.has_output(i)) ctx.set_output(i, ctx.input(i + 2));
}

/// Mean and variance of each channel of x over the batch and all places.
std::pair<std::vector<double>, std::vector<double>> channel_statistics(const Tensor& x) {
  const int64_t channels = x.dim(1), inner = x.size() == 0 ? 0 : x.size() / x.dim(0) / channels;
  const double count = static_cast<double>(x.dim(0) * inner);
  std::vector<double> means(static_cast<size_t>(channels), 0), variances(static_cast<size_t>(channels), 0);
  const auto each = [&](auto&& add) {
    for (int64_t row = 0; row < x.dim(0) * channels; ++row)
      for (int64_t i = 0; i < inner; ++i) add(static_cast<size_t>(row % channels), x.as_double(row * inner + i));
  };
  each([&](size_t c, double v) { means[c] += v / count; });
  each([&](size_t c, double v) { variances[c] += (v - means[c]) * (v - means[c]) / count; });
  return {means, variances};
}

void evaluate_batch_norm(EvalContext& ctx) {
  const DType type = ctx.input(0).dtype();
  const Tensor x = is_half(type) ? convert(ctx.input(0), DType::f32) : ctx.input(0);
  const double epsilon = ctx.node().attr_float("epsilon", 1e-5F);
  const int64_t channels = x.dim(1);
  for (int i = 1; i <= 4; ++i) {
    if (ctx.input(i).size() != channels)
      ctx.fail(fmt::format("input {} has {} elements, but there are {} channels", i, ctx.input(i).size(), channels));
  }
  std::vector<double> means, variances;
  for (int64_t c = 0; c < channels; ++c) {
    means.push_back(ctx.input(3).as_double(c));
    variances.push_back(ctx.input(4).as_double(c));
  }
  if (ctx.node().attr_int("training_mode", 0) != 0) {  // by the batch's own statistics, which move the running ones
    const double momentum = ctx.node().attr_float("momentum", 0.9F);
    const auto [mean, variance] = channel_statistics(x);
    Tensor running_mean(ctx.input(3).dtype(), {channels}), running_variance(ctx.input(4).dtype(), {channels});
    for (int64_t c = 0; c < channels; ++c) {
      const auto at = static_cast<size_t>(c);
      running_mean.set_double(c, means[at] * momentum + mean[at] * (1 - momentum));
      running_variance.set_double(c, variances[at] * momentum + variance[at] * (1 - momentum));
    }
    if (ctx.has_output(1)) ctx.set_output(1, std::move(running_mean));
    if (ctx.has_output(2)) ctx.set_output(2, std::move(running_variance));
    means = mean;
    variances = variance;
  }
  std::vector<double> factor, shift;  // y = x · factor + shift
  for (int64_t c = 0; c < channels; ++c) {
    const auto at = static_cast<size_t>(c);
    factor.push_back(ctx.input(1).as_double(c) / std::sqrt(variances[at] + epsilon));
    shift.push_back(ctx.input(2).as_double(c) - means[at] * factor.back());
  }
  Tensor out(x.dtype(), x.shape());
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t inner = x.size() == 0 ? 0 : x.size() / x.dim(0) / channels;
    for (int64_t row = 0; row < x.dim(0) * channels; ++row) {
      const T f = static_cast<T>(factor[static_cast<size_t>(row % channels)]),
              b = static_cast<T>(shift[static_cast<size_t>(row % channels)]);
      apply_unary(x.data<T>() + row * inner, out.data<T>() + row * inner, inner, [f, b](T v) { return v * f + b; });
    }
  });
  ctx.set_output(0, is_half(type) ? convert(out, type) : std::move(out));
}

void lower_batch_norm(LowerContext& ctx) {
  if (ctx.node().attr_int("training_mode", 0) != 0)
    return ctx.reject("lower: BatchNormalization in training mode is not supported");
  if (!can_lower(ctx, bit(DType::f32))) return;
  const std::vector<int64_t> shape = ctx.shape(0);
  StageBuilder f(ctx.kernel(), stage_name(ctx.kernel(), "factor"), {{"c", shape[1]}});
  const int deviation =
      f.unary(Op::sqrt, f.add(f.load(ctx.input(4), {f.axis(0)}), f.constant(ctx.node().attr_float("epsilon", 1e-5F))));
  const int factor = f.finish(f.div(f.load(ctx.input(1), {f.axis(0)}), deviation));
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), "batch_norm"), axes_of(shape));
  const std::vector<Index> channel = {s.axis(1)};
  const int centred =
      s.sub(s.load(ctx.input(0), axis_indices(static_cast<int>(shape.size()))), s.load(ctx.input(3), channel));
  ctx.set_output(0, s.finish(s.add(s.mul(centred, s.load(factor, channel)), s.load(ctx.input(2), channel))));
}

// --- LpNormalization: x / ‖x‖ along an axis; where the norm is 0, so is the result

int64_t norm_order(const Node& node) {
  const int64_t p = node.attr_int("p", 2);
  if (p != 1 && p != 2) fail(node, fmt::format("p is {}, but must be 1 or 2", p));
  return p;
}

void infer_lp(InferContext& ctx) {
  require(ctx, 0, kFloats);
  norm_order(ctx.node());
  if (ctx.has_shape(0))
    normalize_axis(ctx.node(), ctx.node().attr_int("axis", -1), static_cast<int>(ctx.shape(0).size()));
  ctx.set_output(0, ctx.input(0));
}

void evaluate_lp(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", -1), x.rank());
  const int64_t p = norm_order(ctx.node());
  std::vector<int64_t> kept = x.shape();
  kept[static_cast<size_t>(axis)] = 1;
  int64_t groups = 1;
  for (int64_t d : kept) groups *= d;
  std::vector<double> norms(static_cast<size_t>(groups), 0);
  const BroadcastPlan plan = plan_broadcast(x.shape(), {kept});
  Tensor out(x.dtype(), x.shape());
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_each_row(plan, [&](const int64_t* at, int64_t from) {
      for (int64_t i = 0; i < plan.row; ++i) {
        const double v = x.data<T>()[from + i];
        norms[static_cast<size_t>(at[0] + i * plan.row_step[0])] += p == 1 ? std::abs(v) : v * v;
      }
    });
    for (double& n : norms) n = p == 1 ? n : std::sqrt(n);
    for_each_row(plan, [&](const int64_t* at, int64_t from) {
      for (int64_t i = 0; i < plan.row; ++i) {
        const double norm = norms[static_cast<size_t>(at[0] + i * plan.row_step[0])];
        out.data<T>()[from + i] = norm == 0 ? T(0) : static_cast<T>(x.data<T>()[from + i] / norm);
      }
    });
  });
  ctx.set_output(0, std::move(out));
}

void lower_lp(LowerContext& ctx) {
  if (!can_lower(ctx, bit(DType::f32))) return;
  const std::vector<int64_t> shape = ctx.shape(0);
  const int rank = static_cast<int>(shape.size());
  const int64_t p = norm_order(ctx.node());
  const Groups groups = groups_over(shape, {normalize_axis(ctx.node(), ctx.node().attr_int("axis", -1), rank)});
  const int sum = group_sum(ctx, groups, "norm_sum", [&](StageBuilder& s) {
    const int x = s.load(ctx.input(0), groups.at);
    return p == 1 ? s.unary(Op::abs, x) : s.mul(x, x);
  });
  const int norm =
      group_map(ctx, groups, "norm", sum, [&](StageBuilder& s, int x) { return p == 1 ? x : s.unary(Op::sqrt, x); });
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), "lp_norm"), axes_of(shape));
  const int n = s.load(norm, groups.group_of);
  const int is_zero = s.node(Op::eq, DType::boolean, n, s.constant(0));
  ctx.set_output(0, s.finish(s.select(is_zero, s.constant(0), s.div(s.load(ctx.input(0), axis_indices(rank)), n))));
}

// --- MeanVarianceNormalization: (x - mean) / (deviation + 1e-9) over axes, by default all but the channels

constexpr double kMvnEpsilon = 1e-9;

std::vector<int> mvn_axes(const Node& node, int rank) {
  return normalize_axes(node, node.attr_ints("axes", {0, 2, 3}), rank);
}

void infer_mvn(InferContext& ctx) {
  require(ctx, 0, kFloats);
  if (ctx.has_shape(0)) mvn_axes(ctx.node(), static_cast<int>(ctx.shape(0).size()));
  ctx.set_output(0, ctx.input(0));
}

void evaluate_mvn(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  std::vector<int64_t> kept = x.shape();
  double count = 1;
  for (int axis : mvn_axes(ctx.node(), x.rank())) {
    count *= static_cast<double>(x.dim(axis));
    kept[static_cast<size_t>(axis)] = 1;
  }
  int64_t groups = 1;
  for (int64_t d : kept) groups *= d;
  const BroadcastPlan plan = plan_broadcast(x.shape(), {kept});
  Tensor out(x.dtype(), x.shape());
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto each = [&](auto&& f) {  // f(group, element)
      for_each_row(plan, [&](const int64_t* at, int64_t from) {
        for (int64_t i = 0; i < plan.row; ++i) f(static_cast<size_t>(at[0] + i * plan.row_step[0]), from + i);
      });
    };
    std::vector<double> mean(static_cast<size_t>(groups), 0), deviation(static_cast<size_t>(groups), 0);
    each([&](size_t g, int64_t i) { mean[g] += static_cast<double>(x.data<T>()[i]) / count; });
    each([&](size_t g, int64_t i) {
      const double d = static_cast<double>(x.data<T>()[i]) - mean[g];
      deviation[g] += d * d / count;
    });
    for (double& d : deviation) d = std::sqrt(d) + kMvnEpsilon;
    each([&](size_t g, int64_t i) {
      out.data<T>()[i] = static_cast<T>((static_cast<double>(x.data<T>()[i]) - mean[g]) / deviation[g]);
    });
  });
  ctx.set_output(0, std::move(out));
}

void lower_mvn(LowerContext& ctx) {
  if (!can_lower(ctx, bit(DType::f32))) return;
  const std::vector<int64_t> shape = ctx.shape(0);
  const int rank = static_cast<int>(shape.size());
  const Groups groups = groups_over(shape, mvn_axes(ctx.node(), rank));
  const int mean = mean_stages(ctx, groups);
  const int squares = group_sum(ctx, groups, "squares", [&](StageBuilder& s) {
    const int d =
        s.sub(s.load(ctx.input(0), groups.at), s.load(mean, axis_indices(static_cast<int>(groups.kept.size()))));
    return s.mul(d, d);
  });
  const int deviation = group_map(ctx, groups, "deviation", squares, [&](StageBuilder& s, int x) {
    return s.add(s.unary(Op::sqrt, s.mul(x, s.constant(1 / groups.count()))), s.constant(kMvnEpsilon));
  });
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), "mean_variance"), axes_of(shape));
  const int centred = s.sub(s.load(ctx.input(0), axis_indices(rank)), s.load(mean, groups.group_of));
  ctx.set_output(0, s.finish(s.div(centred, s.load(deviation, groups.group_of))));
}

// --- LRN: x / (bias + alpha / size · Σ x² over `size` neighbouring channels)^beta

struct Lrn {
  int64_t size;
  double alpha, beta, bias;
  int64_t before() const { return (size - 1) / 2; }  // channels of the window before the centre
};

Lrn lrn_of(const Node& node) {
  const Lrn lrn{node.attr_int("size", 0), node.attr_float("alpha", 1e-4F), node.attr_float("beta", 0.75F),
                node.attr_float("bias", 1)};
  if (lrn.size < 1) fail(node, fmt::format("size is {}, but must be at least 1", lrn.size));
  return lrn;
}

void infer_lrn(InferContext& ctx) {
  require(ctx, 0, kFloats);
  require_rank(ctx, 0, 2);
  lrn_of(ctx.node());
  ctx.set_output(0, ctx.input(0));
}

void evaluate_lrn(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const Lrn lrn = lrn_of(ctx.node());
  const int64_t channels = x.dim(1), inner = x.size() == 0 ? 0 : x.size() / x.dim(0) / channels;
  Tensor out(x.dtype(), x.shape());
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> sums(static_cast<size_t>(inner));
    for (int64_t n = 0; n < x.dim(0); ++n) {
      const T* image = x.data<T>() + n * channels * inner;
      T* to = out.data<T>() + n * channels * inner;
      for (int64_t c = 0; c < channels; ++c) {
        std::fill(sums.begin(), sums.end(), 0);
        const int64_t first = std::max<int64_t>(0, c - lrn.before()),
                      last = std::min(channels, c - lrn.before() + lrn.size);
        for (int64_t k = first; k < last; ++k) {
          for (int64_t i = 0; i < inner; ++i)
            sums[static_cast<size_t>(i)] += static_cast<double>(image[k * inner + i]) * image[k * inner + i];
        }
        for (int64_t i = 0; i < inner; ++i)
          to[c * inner + i] = static_cast<T>(
              image[c * inner + i] /
              std::pow(lrn.bias + lrn.alpha / static_cast<double>(lrn.size) * sums[static_cast<size_t>(i)], lrn.beta));
      }
    }
  });
  ctx.set_output(0, std::move(out));
}

void lower_lrn(LowerContext& ctx) {
  if (!can_lower(ctx, bit(DType::f32))) return;
  const Lrn lrn = lrn_of(ctx.node());
  const std::vector<int64_t> shape = ctx.shape(0);
  const int rank = static_cast<int>(shape.size());
  const std::vector<Index> here = axis_indices(rank);
  StageBuilder w(ctx.kernel(), stage_name(ctx.kernel(), "window"), axes_of(shape), {{"k", lrn.size}});
  std::vector<Index> at = here;
  at[1] = here[1] + w.axis(rank) - Index(lrn.before());
  const int x = w.load(ctx.input(0), at, {at[1], Index(shape[1] - 1) - at[1]}, 0);
  const int sum = w.finish(w.mul(x, x), kernel::Reduction::sum);
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), "lrn"), axes_of(shape));
  const int base =
      s.add(s.constant(lrn.bias), s.mul(s.constant(lrn.alpha / static_cast<double>(lrn.size)), s.load(sum, here)));
  ctx.set_output(0,
                 s.finish(s.div(s.load(ctx.input(0), here), s.node(Op::pow, DType::f32, base, s.constant(lrn.beta)))));
}

}  // namespace

void register_normalization_fixed(Catalogue& c) {
  c.add({.name = "BatchNormalization",
         .min_inputs = 5,
         .max_inputs = 5,
         .min_outputs = 1,
         .max_outputs = 5,
         .pattern = Pattern::elementwise,
         .infer = infer_batch_norm,
         .cost = cost_per_input(2),
         .evaluate = evaluate_batch_norm,
         .lower = lower_batch_norm});
  c.add({.name = "LpNormalization",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::reduction,
         .infer = infer_lp,
         .cost = cost_per_input(3),
         .evaluate = widened(evaluate_lp),
         .lower = lower_lp});
  c.add({.name = "MeanVarianceNormalization",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::reduction,
         .infer = infer_mvn,
         .cost = cost_per_input(6),
         .evaluate = widened(evaluate_mvn),
         .lower = lower_mvn});
  const auto lrn_cost = [](const CostContext& ctx) {
    return cost_per_input(2 * static_cast<double>(ctx.node.attr_int("size", 1)) + 4)(ctx);
  };
  c.add({.name = "LRN",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::reduction,
         .infer = infer_lrn,
         .cost = lrn_cost,
         .evaluate = widened(evaluate_lrn),
         .lower = lower_lrn});
}

}  // namespace rooftune::ops
