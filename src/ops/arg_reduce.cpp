// ArgMax, ArgMin (where the extreme stands along an axis), CumSum and CumProd (running sums and products along one).
#include <limits>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/lowering.h"

namespace rooftune::ops {
namespace {

using kernel::Op;
using kernel::Reduction;

// A tensor seen as [outer, extent, inner] around one axis.
struct Around {
  int64_t outer = 1, extent = 1, inner = 1;
  Around(const std::vector<int64_t>& shape, int axis) : extent(shape[static_cast<size_t>(axis)]) {
    for (int d = 0; d < axis; ++d) outer *= shape[static_cast<size_t>(d)];
    for (size_t d = static_cast<size_t>(axis) + 1; d < shape.size(); ++d) inner *= shape[d];
  }
};

// --- ArgMax, ArgMin

void infer_arg(InferContext& ctx) {
  require(ctx, 0, kNumbers);
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(DType::i64));
  Shape shape = ctx.shape(0);
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(shape.size()));
  if (shape[static_cast<size_t>(axis)] == Dim(0)) ctx.fail(fmt::format("axis {} is empty", axis));
  if (ctx.node().attr_int("keepdims", 1) != 0) shape[static_cast<size_t>(axis)] = 1;
  else shape.erase(shape.begin() + axis);
  ctx.set_output(0, DType::i64, std::move(shape));
}

// NaNs are passed over, as in ReduceMax and ReduceMin; where there is nothing else the index is 0.
template <bool largest>
void evaluate_arg(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), x.rank());
  const bool last = ctx.node().attr_int("select_last_index", 0) != 0;
  const Around a(x.shape(), axis);
  if (a.extent == 0) ctx.fail(fmt::format("axis {} is empty", axis));
  std::vector<int64_t> shape = x.shape();
  if (ctx.node().attr_int("keepdims", 1) != 0) shape[static_cast<size_t>(axis)] = 1;
  else shape.erase(shape.begin() + axis);
  Tensor out(DType::i64, shape);
  dispatch_number(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<T> best(static_cast<size_t>(a.inner));
    for (int64_t o = 0; o < a.outer; ++o) {
      const T* row = x.data<T>() + o * a.extent * a.inner;
      int64_t* where = out.data<int64_t>() + o * a.inner;
      std::copy(row, row + a.inner, best.begin());
      std::fill_n(where, a.inner, 0);
      for (int64_t k = 1; k < a.extent; ++k) {
        row += a.inner;
        for (int64_t i = 0; i < a.inner; ++i) {
          const T v = row[i];
          const T b = best[static_cast<size_t>(i)];
          if ((largest ? v > b : v < b) || (b != b && v == v)) {
            best[static_cast<size_t>(i)] = v;
            where[i] = k;
          } else if (last && v == b) {
            where[i] = k;
          }
        }
      }
    }
  });
  ctx.set_output(0, std::move(out));
}

// Two stages: the extreme, then the first (or last) index at which it stands; of floats a third, since a row of NaNs has
// no extreme.
template <bool largest>
void lower_arg(LowerContext& ctx) {
  if (!can_lower(ctx, set_of({DType::f32, DType::i32, DType::i64}))) return;
  const std::vector<int64_t> shape = ctx.shape(0);
  const int rank = static_cast<int>(shape.size());
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), rank);
  const bool last = ctx.node().attr_int("select_last_index", 0) != 0;
  std::vector<kernel::Axis> spatial;
  std::vector<Index> at, out;
  for (int d = 0; d < rank; ++d) {
    if (d == axis) {
      at.push_back(Index::variable(rank - 1));
      if (ctx.node().attr_int("keepdims", 1) != 0) out.emplace_back(0);
    } else {
      at.push_back(Index::variable(static_cast<int>(spatial.size())));
      out.push_back(at.back());
      spatial.push_back({fmt::format("a{}", d), shape[static_cast<size_t>(d)]});
    }
  }
  const std::vector<kernel::Axis> reduced = {{"k", shape[static_cast<size_t>(axis)]}};
  StageBuilder extreme(ctx.kernel(), stage_name(ctx.kernel(), "extreme"), spatial, reduced);
  const int best = extreme.finish(extreme.load(ctx.input(0), at), largest ? Reduction::max : Reduction::min);
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), "where"), spatial, reduced);
  const int hit = s.node(Op::eq, DType::boolean, s.load(ctx.input(0), at), s.load(best, axis_indices(rank - 1)));
  const int index = s.index(s.axis(rank - 1), DType::i64);
  const double outside = last ? -1 : static_cast<double>(shape[static_cast<size_t>(axis)]);
  const int none = s.constant(outside, DType::i64);
  const int buffer = ctx.kernel().add_buffer(stage_name(ctx.kernel(), "where"), DType::i64, ctx.output_shape(0),
                                             kernel::Role::temporary);
  const int found = s.finish(s.select(hit, index, none), last ? Reduction::max : Reduction::min, buffer, out);
  if (!ir::is_float(ctx.dtype(0))) return ctx.set_output(0, found);
  const std::vector<int64_t> results = ctx.output_shape(0);
  StageBuilder inside(ctx.kernel(), stage_name(ctx.kernel(), "inside"), axes_of(results));
  const int at_all = inside.load(found, axis_indices(static_cast<int>(results.size())));
  const int nowhere = inside.node(Op::eq, DType::boolean, at_all, inside.constant(outside, DType::i64));
  ctx.set_output(0, inside.finish(inside.select(nowhere, inside.constant(0, DType::i64), at_all)));
}

// --- CumSum, CumProd

template <bool product>
void evaluate_running(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int axis = normalize_axis(ctx.node(), scalar_int(ctx, 1), x.rank());
  const bool exclusive = ctx.node().attr_int("exclusive", 0) != 0, reverse = ctx.node().attr_int("reverse", 0) != 0;
  const Around a(x.shape(), axis);
  Tensor out(x.dtype(), x.shape());
  dispatch<float, double, int32_t, int64_t, uint32_t, uint64_t>(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;
    std::vector<A> sums(static_cast<size_t>(a.inner));
    for (int64_t o = 0; o < a.outer; ++o) {
      std::fill(sums.begin(), sums.end(), A(product ? 1 : 0));
      for (int64_t step = 0; step < a.extent; ++step) {
        const int64_t at = (o * a.extent + (reverse ? a.extent - 1 - step : step)) * a.inner;
        const T* from = x.data<T>() + at;
        T* to = out.data<T>() + at;
        for (int64_t i = 0; i < a.inner; ++i) {
          A& sum = sums[static_cast<size_t>(i)];
          const A next = product ? sum * static_cast<A>(from[i]) : sum + static_cast<A>(from[i]);
          to[i] = static_cast<T>(exclusive ? sum : next);
          sum = next;
        }
      }
    }
  });
  ctx.set_output(0, std::move(out));
}

void infer_running(InferContext& ctx) {
  require(ctx, 0, kFloats | set_of({DType::i32, DType::i64, DType::u32, DType::u64}));
  require_scalar(ctx, 1, kIndices);
  require_rank(ctx, 0, 1);
  if (const auto axis = ctx.ints(1); axis && axis->size() == 1 && (*axis)[0].is_static() && ctx.has_shape(0))
    normalize_axis(ctx.node(), (*axis)[0].value(), static_cast<int>(ctx.shape(0).size()));
  ctx.set_output(0, ctx.input(0));
}

}  // namespace

void register_arg_reduce(Catalogue& c) {
  c.add({.name = "ArgMax",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::reduction,
         .infer = infer_arg,
         .cost = cost_per_input(1),
         .evaluate = widened(evaluate_arg<true>),
         .lower = lower_arg<true>});
  c.add({.name = "ArgMin",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::reduction,
         .infer = infer_arg,
         .cost = cost_per_input(1),
         .evaluate = widened(evaluate_arg<false>),
         .lower = lower_arg<false>});
  c.add({.name = "CumSum",
         .min_inputs = 2,
         .max_inputs = 2,
         .infer = infer_running,
         .cost = cost_per_input(1),
         .evaluate = widened(evaluate_running<false>)});
  c.add({.name = "CumProd",
         .since_version = 26,
         .min_inputs = 2,
         .max_inputs = 2,
         .infer = infer_running,
         .cost = cost_per_input(1),
         .evaluate = widened(evaluate_running<true>)});
}

}  // namespace rooftune::ops
