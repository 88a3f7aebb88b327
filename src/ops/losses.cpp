// Losses of classes: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss. Scores are [batch, classes, places…], targets
// and the loss without reduction are [batch, places…].
#include <cmath>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"

namespace rooftune::ops {
namespace {

enum class ReduceLoss { none, sum, mean };

ReduceLoss reduction_of(const Node& node) {
  const std::string name = node.attr_string("reduction", "mean");
  if (name == "none") return ReduceLoss::none;
  if (name == "sum") return ReduceLoss::sum;
  if (name == "mean") return ReduceLoss::mean;
  fail(node, fmt::format("reduction is '{}', but must be none, sum or mean", name));
}

void infer_loss(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require(ctx, 1, kIndices);
  require_rank(ctx, 0, 2);
  if (ctx.has_input(2)) require(ctx, 2, bit(dtype));
  std::optional<Shape> targets;
  if (ctx.has_shape(0)) {
    const Shape& scores = ctx.shape(0);
    targets = scores;
    targets->erase(targets->begin() + 1);
    require_shape(ctx, 1, "target", *targets);
    require_shape(ctx, 2, "weight", {scores[1]});
  } else if (ctx.has_shape(1)) {
    targets = ctx.shape(1);
  }
  if (reduction_of(ctx.node()) == ReduceLoss::none) ctx.set_output(0, Type::tensor(dtype, targets));
  else ctx.set_output(0, dtype, Shape{});
  if (ctx.has_output(1)) ctx.set_output(1, ctx.input(0));
}

/// The logarithm of the softmax over axis 1, in double: [batch, classes, places].
template <typename T>
std::vector<double> log_softmax(const T* x, int64_t batch, int64_t classes, int64_t places) {
  std::vector<double> out(static_cast<size_t>(batch * classes * places));
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t p = 0; p < places; ++p) {
      const int64_t base = b * classes * places + p;
      double most = -INFINITY, sum = 0;
      for (int64_t c = 0; c < classes; ++c) most = std::max(most, static_cast<double>(x[base + c * places]));
      for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(x[base + c * places]) - most);
      const double shift = most + std::log(sum);
      for (int64_t c = 0; c < classes; ++c) {
        const int64_t at = base + c * places;
        out[static_cast<size_t>(at)] = static_cast<double>(x[at]) - shift;
      }
    }
  }
  return out;
}

template <bool softmax>
void evaluate_loss(EvalContext& ctx) {
  const Tensor &x = ctx.input(0), &target = ctx.input(1);
  const int64_t batch = x.dim(0), classes = x.dim(1), count = target.size();
  const int64_t places = batch == 0 ? 0 : count / batch;
  const bool ignores = ctx.node().has("ignore_index");
  const int64_t ignored = ctx.node().attr_int("ignore_index", 0);
  const ReduceLoss reduction = reduction_of(ctx.node());
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> logs;
    if constexpr (softmax) logs = log_softmax(x.data<T>(), batch, classes, places);
    Tensor losses(x.dtype(), target.shape());
    double sum = 0, weights = 0;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t of = target.as_int(i);
      losses.data<T>()[i] = 0;
      if (ignores && of == ignored) continue;
      if (of < 0 || of >= classes) ctx.fail(fmt::format("a target is {}, but there are {} classes", of, classes));
      const int64_t at = (i / places * classes + of) * places + i % places;
      const double weight = ctx.has_input(2) ? static_cast<double>(ctx.input(2).data<T>()[of]) : 1;
      const double loss = -weight * (softmax ? logs[static_cast<size_t>(at)] : static_cast<double>(x.data<T>()[at]));
      losses.data<T>()[i] = static_cast<T>(loss);
      sum += loss;
      weights += weight;
    }
    if (reduction == ReduceLoss::none) ctx.set_output(0, std::move(losses));
    else
      ctx.set_output(
          0, Tensor::of<T>(x.dtype(), {}, {static_cast<T>(reduction == ReduceLoss::sum ? sum : sum / weights)}));
    if (softmax && ctx.has_output(1)) {
      Tensor all(x.dtype(), x.shape());
      for (int64_t i = 0; i < all.size(); ++i) all.data<T>()[i] = static_cast<T>(logs[static_cast<size_t>(i)]);
      ctx.set_output(1, std::move(all));
    }
  });
}

}  // namespace

void register_losses(Catalogue& c) {
  c.add({.name = "NegativeLogLikelihoodLoss",
         .since_version = 12,
         .min_inputs = 2,
         .max_inputs = 3,
         .infer = infer_loss,
         .cost =
             [](const CostContext& ctx) {
               return Cost{2 * static_cast<double>(elements(ctx.input(1))), bytes_touched(ctx)};
             },
         .evaluate = widened(evaluate_loss<false>)});
  c.add({.name = "SoftmaxCrossEntropyLoss",
         .since_version = 12,
         .min_inputs = 2,
         .max_inputs = 3,
         .max_outputs = 2,
         .infer = infer_loss,
         .cost = cost_per_input(6),
         .evaluate = widened(evaluate_loss<true>)});
}

}  // namespace rooftune::ops
