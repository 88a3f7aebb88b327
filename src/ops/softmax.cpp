// Softmax, LogSoftmax, Hardmax along one axis (what opsets before 13 meant, the importer writes so).
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/moments.h"

namespace rooftune::ops {
namespace {

using kernel::Op;
using kernel::Reduction;

int softmax_axis(const Node& node, int rank) { return normalize_axis(node, node.attr_int("axis", -1), rank); }

void infer_softmax(InferContext& ctx) {
  require(ctx, 0, kFloats);
  if (ctx.has_shape(0)) softmax_axis(ctx.node(), static_cast<int>(ctx.shape(0).size()));
  ctx.set_output(0, ctx.input(0));
}

enum class Kind { softmax, log_softmax, hardmax };

template <typename T>
void softmax_row(const T* x, T* y, int64_t n, Kind kind) {
  const T largest = *std::max_element(x, x + n);
  if (kind == Kind::hardmax) {
    std::fill_n(y, n, T(0));
    y[std::max_element(x, x + n) - x] = 1;
    return;
  }
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    y[i] = kind == Kind::softmax ? std::exp(x[i] - largest) : x[i] - largest;
    sum += kind == Kind::softmax ? y[i] : std::exp(y[i]);
  }
  const T scale = static_cast<T>(1 / sum), shift = static_cast<T>(std::log(sum));
  for (int64_t i = 0; i < n; ++i) y[i] = kind == Kind::softmax ? y[i] * scale : y[i] - shift;
}

template <Kind kind>
void evaluate_softmax(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int axis = softmax_axis(ctx.node(), x.rank());
  int64_t outer = 1, n = 1, inner = 1;
  for (int d = 0; d < x.rank(); ++d) (d < axis ? outer : d == axis ? n : inner) *= x.dim(d);
  Tensor out(x.dtype(), x.shape());
  if (out.size() == 0) return ctx.set_output(0, std::move(out));
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = out.data<T>();
    std::vector<T> in(static_cast<size_t>(n)), result(static_cast<size_t>(n));
    for (int64_t o = 0; o < outer; ++o, from += n * inner, to += n * inner) {
      if (inner == 1) {
        softmax_row(from, to, n, kind);
        continue;
      }
      for (int64_t i = 0; i < inner; ++i) {
        for (int64_t k = 0; k < n; ++k) in[static_cast<size_t>(k)] = from[k * inner + i];
        softmax_row(in.data(), result.data(), n, kind);
        for (int64_t k = 0; k < n; ++k) to[k * inner + i] = result[static_cast<size_t>(k)];
      }
    }
  });
  ctx.set_output(0, std::move(out));
}

void lower_softmax(LowerContext& ctx, bool logarithm) {
  if (!can_lower(ctx, bit(DType::f32))) return;
  const std::vector<int64_t> shape = ctx.shape(0);
  const int rank = static_cast<int>(shape.size());
  // The reductions run over (kept | reduced), the maps over the tensor's own axes.
  const auto [kept, reduced, at, row] = groups_over(shape, {softmax_axis(ctx.node(), rank)});
  const int x = ctx.input(0);
  const std::vector<Index> here = axis_indices(rank), kept_here = axis_indices(rank - 1);
  StageBuilder hi_stage(ctx.kernel(), stage_name(ctx.kernel(), "hi"), kept, reduced);
  const int hi = hi_stage.finish(hi_stage.load(x, at), Reduction::max);
  if (logarithm) {
    StageBuilder z_stage(ctx.kernel(), stage_name(ctx.kernel(), "z"), kept, reduced);
    const int term = z_stage.unary(Op::exp, z_stage.sub(z_stage.load(x, at), z_stage.load(hi, kept_here)));
    const int z = z_stage.finish(term, Reduction::sum);
    StageBuilder log_stage(ctx.kernel(), stage_name(ctx.kernel(), "log_z"), kept);
    const int log_z = log_stage.finish(log_stage.unary(Op::log, log_stage.load(z, kept_here)));
    StageBuilder y(ctx.kernel(), stage_name(ctx.kernel(), "log_softmax"), axes_of(shape));
    ctx.set_output(0, y.finish(y.sub(y.sub(y.load(x, here), y.load(hi, row)), y.load(log_z, row))));
    return;
  }
  StageBuilder e_stage(ctx.kernel(), stage_name(ctx.kernel(), "e"), axes_of(shape));
  const int e = e_stage.finish(e_stage.unary(Op::exp, e_stage.sub(e_stage.load(x, here), e_stage.load(hi, row))));
  StageBuilder z_stage(ctx.kernel(), stage_name(ctx.kernel(), "z"), kept, reduced);
  const int z = z_stage.finish(z_stage.load(e, at), Reduction::sum);
  StageBuilder y(ctx.kernel(), stage_name(ctx.kernel(), "softmax"), axes_of(shape));
  ctx.set_output(0, y.finish(y.div(y.load(e, here), y.load(z, row))));
}

OpDef softmax_def(const char* name, double flops, std::function<void(EvalContext&)> evaluate,
                  std::function<void(LowerContext&)> lower) {
  return {.name = name,
          .min_inputs = 1,
          .max_inputs = 1,
          .pattern = Pattern::reduction,
          .infer = infer_softmax,
          .cost = cost_per_input(flops),
          .evaluate = widened(std::move(evaluate)),
          .lower = std::move(lower)};
}

}  // namespace

void register_softmax(Catalogue& c) {
  // max, subtract, exp, add, divide
  c.add(
      softmax_def("Softmax", 5, evaluate_softmax<Kind::softmax>, [](LowerContext& ctx) { lower_softmax(ctx, false); }));
  c.add(softmax_def("LogSoftmax", 6, evaluate_softmax<Kind::log_softmax>,
                    [](LowerContext& ctx) { lower_softmax(ctx, true); }));
  c.add(softmax_def("Hardmax", 1, evaluate_softmax<Kind::hardmax>, nullptr));
}

}  // namespace rooftune::ops
