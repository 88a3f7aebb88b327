// Reductions over axes: ReduceSum Mean Max Min Prod L1 L2 LogSum LogSumExp SumSquare. Axes are an attribute before
// opset 18 (ReduceSum: 13), an input from then on; both are read.
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/lowering.h"

namespace rooftune::ops {
namespace {

using kernel::Op;
using kernel::Reduction;

// --- axes

// The axes of a node whose input has this rank, once the value of its axes input (if any) is known.
std::vector<int> reduced_axes(const Node& node, const std::optional<std::vector<int64_t>>& given, int rank) {
  std::vector<int64_t> axes = given ? *given : node.attr_ints("axes");
  if (axes.empty()) {
    if (node.attr_int("noop_with_empty_axes", 0) != 0) return {};
    for (int d = 0; d < rank; ++d) axes.push_back(d);
  }
  return normalize_axes(node, axes, rank);
}

std::vector<int64_t> reduced_shape(const std::vector<int64_t>& shape, const std::vector<int>& axes, bool keep) {
  std::vector<int64_t> out;
  for (int d = 0; d < static_cast<int>(shape.size()); ++d) {
    if (!std::binary_search(axes.begin(), axes.end(), d)) out.push_back(shape[static_cast<size_t>(d)]);
    else if (keep) out.push_back(1);
  }
  return out;
}

using DimFold = Dim (*)(const Dim&, const Dim&);  // what a reduction does to two known integers

std::function<void(InferContext&)> infer_reduce(DTypeSet allowed, DimFold fold) {
  return [allowed, fold](InferContext& ctx) {
    const DType dtype = require(ctx, 0, allowed);
    const bool keep = ctx.node().attr_int("keepdims", 1) != 0;
    if (ctx.has_input(1)) require(ctx, 1, bit(DType::i64));
    if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
    const Shape& shape = ctx.shape(0);
    std::optional<std::vector<int64_t>> given;
    if (ctx.has_input(1)) {
      const auto ints = ctx.ints(1);
      if (!ints || !ir::is_static(*ints)) {  // which axes is not known: only the rank may be
        if (!keep) return ctx.set_output(0, Type::tensor(dtype));
        Shape out;
        for (int d = 0; d < static_cast<int>(shape.size()); ++d) out.push_back(ctx.unknown_dim(0, d));
        return ctx.set_output(0, dtype, std::move(out));
      }
      given = static_values(*ints);
    }
    const std::vector<int> axes = reduced_axes(ctx.node(), given, static_cast<int>(shape.size()));
    Shape out;
    for (int d = 0; d < static_cast<int>(shape.size()); ++d) {
      if (!std::binary_search(axes.begin(), axes.end(), d)) out.push_back(shape[static_cast<size_t>(d)]);
      else if (keep) out.emplace_back(1);
    }
    ctx.set_output(0, dtype, std::move(out));
    const auto values = ctx.ints(0);
    if (fold == nullptr || !values || values->empty() || shape.size() != 1 || axes.empty()) return;
    ctx.set_output_ints(0, {std::accumulate(values->begin() + 1, values->end(), values->front(), fold)});
  };
}

// --- evaluation

// A reduction: an accumulator starts at `start`, takes elements by `add`, merges another by `join`. Integers are summed
// modulo 2^64, floats in double.
template <typename T>
using Accumulator =
    std::conditional_t<std::is_floating_point_v<T>, double, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;

template <typename A>
A add_wrapping(A a, A b) {
  if constexpr (std::is_integral_v<A>) return static_cast<A>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else return a + b;
}
template <typename A>
A mul_wrapping(A a, A b) {
  if constexpr (std::is_integral_v<A>) return static_cast<A>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else return a * b;
}

struct SumStep {
  template <typename T> using Held = Accumulator<T>;
  template <typename A> static A start() { return 0; }
  template <typename A> static A value(A x) { return x; }
  template <typename A> static A join(A a, A b) { return add_wrapping(a, b); }
};
struct L1Step : SumStep {
  template <typename A> static A value(A x) { return x < 0 ? static_cast<A>(-x) : x; }
};
struct SquareStep : SumStep {
  template <typename A> static A value(A x) { return mul_wrapping(x, x); }
};
struct ProductStep : SumStep {
  template <typename A> static A start() { return 1; }
  template <typename A> static A join(A a, A b) { return mul_wrapping(a, b); }
};
// The extremes pass over NaNs, as the interpreter and generated code do. Integers are compared as they are, so that
// nothing at all gives the smallest (or largest) number of the type.
struct MaxStep : SumStep {
  template <typename T>
  using Held =
      std::conditional_t<std::is_floating_point_v<T>, double, std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>>;
  template <typename A> static A start() {
    return std::numeric_limits<A>::has_infinity ? -std::numeric_limits<A>::infinity()
                                                : std::numeric_limits<A>::lowest();
  }
  template <typename A> static A join(A a, A b) { return b > a ? b : a; }
};
struct MinStep : SumStep {
  template <typename T> using Held = MaxStep::Held<T>;
  template <typename A> static A start() {
    return std::numeric_limits<A>::has_infinity ? std::numeric_limits<A>::infinity() : std::numeric_limits<A>::max();
  }
  template <typename A> static A join(A a, A b) { return b < a ? b : a; }
};

template <typename Step, typename A, typename T>
A reduce_row(const T* x, int64_t n) {  // four accumulators, or the additions would wait for each other
  A part[4] = {Step::template start<A>(), Step::template start<A>(), Step::template start<A>(),
               Step::template start<A>()};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int k = 0; k < 4; ++k) part[k] = Step::join(part[k], Step::value(static_cast<A>(x[i + k])));
  }
  for (; i < n; ++i) part[0] = Step::join(part[0], Step::value(static_cast<A>(x[i])));
  return Step::join(Step::join(part[0], part[1]), Step::join(part[2], part[3]));
}

// Accumulators of every output. The input is walked in memory order; the output is an operand that broadcasts to it.
template <typename Step, typename T, typename A = typename Step::template Held<T>>
std::vector<A> accumulate(const Tensor& x, const std::vector<int>& axes) {
  const std::vector<int64_t> kept = reduced_shape(x.shape(), axes, true);
  int64_t outputs = 1;
  for (int64_t d : kept) outputs *= d;
  std::vector<A> sums(static_cast<size_t>(outputs), Step::template start<A>());
  const BroadcastPlan plan = plan_broadcast(x.shape(), {kept});
  const T* data = x.data<T>();
  for_each_row(plan, [&](const int64_t* at, int64_t from) {
    A* to = sums.data() + at[0];
    if (plan.row_step[0] == 0) {
      *to = Step::join(*to, reduce_row<Step, A>(data + from, plan.row));
    } else {
      for (int64_t i = 0; i < plan.row; ++i) to[i] = Step::join(to[i], Step::value(static_cast<A>(data[from + i])));
    }
  });
  return sums;
}

/// A number in type A; what an integer cannot hold (and NaN) is its smallest, as the processor converts it.
template <typename A>
A number_as(double x) {
  if constexpr (std::is_integral_v<A>) {
    // The limits as doubles: the largest of 64 bits is rounded up, so it must stay below.
    const bool fits = x > static_cast<double>(std::numeric_limits<A>::lowest()) - 1 &&
                      x < static_cast<double>(std::numeric_limits<A>::max() / 2 + 1) * 2;
    return fits ? static_cast<A>(x) : std::numeric_limits<A>::lowest();
  } else {
    return static_cast<A>(x);
  }
}

struct Keep {
  template <typename A> A operator()(A a, double) const { return a; }
};
struct Average {  // of integers: towards zero
  template <typename A> A operator()(A a, double count) const {
    if constexpr (std::is_integral_v<A>) return count == 0 ? A(0) : static_cast<A>(a / static_cast<A>(count));
    else return a / count;
  }
};
struct Root {
  template <typename A> A operator()(A a, double) const { return number_as<A>(std::sqrt(static_cast<double>(a))); }
};
struct Logarithm {
  template <typename A> A operator()(A a, double) const { return number_as<A>(std::log(static_cast<double>(a))); }
};

std::vector<int> axes_at_run_time(const EvalContext& ctx) {
  std::optional<std::vector<int64_t>> given;
  if (ctx.has_input(1)) given = ctx.input(1).as_ints();
  return reduced_axes(ctx.node(), given, ctx.input(0).rank());
}

template <typename A>
void write_outputs(EvalContext& ctx, const std::vector<int>& axes, const std::vector<A>& values) {
  const Tensor& x = ctx.input(0);
  Tensor out(x.dtype(), reduced_shape(x.shape(), axes, ctx.node().attr_int("keepdims", 1) != 0));
  dispatch<float, double, int32_t, int64_t, uint32_t, uint64_t, int8_t, uint8_t, bool>(
      ctx.node(), x.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        for (size_t i = 0; i < values.size(); ++i) {
          if constexpr (std::is_integral_v<T> && std::is_floating_point_v<A>)
            out.data<T>()[i] = number_as<T>(values[i]);
          else out.data<T>()[i] = static_cast<T>(values[i]);
        }
      });
  ctx.set_output(0, std::move(out));
}

template <typename Step, typename Finish>
void evaluate_reduce(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::vector<int> axes = axes_at_run_time(ctx);
  double count = 1;
  for (int axis : axes) count *= static_cast<double>(x.dim(axis));
  dispatch<float, double, int32_t, int64_t, uint32_t, uint64_t, int8_t, uint8_t, bool>(
      ctx.node(), x.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        auto sums = accumulate<Step, T>(x, axes);
        for (auto& s : sums) s = Finish()(s, count);
        write_outputs(ctx, axes, sums);
      });
}

// log Σ exp(x) = m + log Σ exp(x - m), m being the largest x.
void evaluate_log_sum_exp(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::vector<int> axes = axes_at_run_time(ctx);
  dispatch_number(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> largest = accumulate<MaxStep, T, double>(x, axes);
    for (double& m : largest) m = std::isfinite(m) ? m : 0;
    std::vector<double> sums(largest.size(), 0);
    const BroadcastPlan plan = plan_broadcast(x.shape(), {reduced_shape(x.shape(), axes, true)});
    for_each_row(plan, [&](const int64_t* at, int64_t from) {
      for (int64_t i = 0; i < plan.row; ++i) {
        const auto to = static_cast<size_t>(at[0] + i * plan.row_step[0]);
        sums[to] += std::exp(static_cast<double>(x.data<T>()[from + i]) - largest[to]);
      }
    });
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = largest[i] + std::log(sums[i]);
    write_outputs(ctx, axes, sums);
  });
}

// --- lowering

struct Recipe {
  Reduction reduction;
  std::function<int(StageBuilder&, int)> value;                 // of an element; empty: itself
  std::function<int(StageBuilder&, int, double count)> finish;  // of a result; empty: itself
  DTypeSet allowed = bit(DType::f32);
};

std::optional<std::vector<int>> axes_for_lowering(LowerContext& ctx) {
  std::optional<std::vector<int64_t>> given;
  if (ctx.has_input(1)) {
    const Tensor* axes = ctx.constant(1);
    if (axes == nullptr) return std::nullopt;
    given = axes->as_ints();
  }
  return reduced_axes(ctx.node(), given, static_cast<int>(ctx.shape(0).size()));
}

// A stage that reduces `axes` of the node's input; value(stage, element, indices of the output) is what it reduces.
int reduction_stage(LowerContext& ctx, const std::string& name, const std::vector<int>& axes, Reduction reduction,
                    const std::function<int(StageBuilder&, int, const std::vector<Index>&)>& value) {
  const std::vector<int64_t> shape = ctx.shape(0);
  const bool keep = ctx.node().attr_int("keepdims", 1) != 0;
  std::vector<kernel::Axis> spatial, reduced;
  for (int d = 0; d < static_cast<int>(shape.size()); ++d) {
    const bool is_reduced = std::binary_search(axes.begin(), axes.end(), d);
    (is_reduced ? reduced : spatial)
        .push_back({fmt::format("{}{}", is_reduced ? "r" : "a", d), shape[static_cast<size_t>(d)]});
  }
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), name), spatial, reduced);
  std::vector<Index> at, out;
  int next_spatial = 0, next_reduced = static_cast<int>(spatial.size());
  for (int d = 0; d < static_cast<int>(shape.size()); ++d) {
    if (std::binary_search(axes.begin(), axes.end(), d)) {
      at.push_back(s.axis(next_reduced++));
      if (keep) out.emplace_back(0);
    } else {
      at.push_back(s.axis(next_spatial++));
      out.push_back(at.back());
    }
  }
  const int element = value(s, s.load(ctx.input(0), at), out);
  const DType type = s.type_of(element);
  const int buffer = ctx.kernel().add_buffer(stage_name(ctx.kernel(), name), type, reduced_shape(shape, axes, keep),
                                             kernel::Role::temporary);
  return s.finish(element, axes.empty() ? Reduction::none : reduction, buffer, out);
}

// A stage over the reduced result.
int finish_stage(LowerContext& ctx, const std::string& name, int buffer,
                 const std::function<int(StageBuilder&, int, const std::vector<Index>&)>& value) {
  const std::vector<int64_t> shape = ctx.kernel().buffers[static_cast<size_t>(buffer)].shape;
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), name), axes_of(shape));
  const std::vector<Index> at = axis_indices(static_cast<int>(shape.size()));
  return s.finish(value(s, s.load(buffer, at), at));
}

std::function<void(LowerContext&)> lower_reduce(const std::string& name, Recipe recipe) {
  return [name, recipe](LowerContext& ctx) {
    if (!contains(recipe.allowed, ctx.dtype(0)))
      return ctx.reject(fmt::format("lower: {} of {} is not supported", ctx.node().op, ir::name(ctx.dtype(0))));
    if (!can_lower(ctx)) return;
    const auto axes = axes_for_lowering(ctx);
    if (!axes) return ctx.reject("lower: the axes must be constant");
    const std::vector<int64_t> shape = ctx.shape(0);
    double count = 1;
    for (int axis : *axes) count *= static_cast<double>(shape[static_cast<size_t>(axis)]);
    int result = reduction_stage(ctx, name, *axes, recipe.reduction, [&](StageBuilder& s, int x, const auto&) {
      return recipe.value ? recipe.value(s, x) : x;
    });
    if (recipe.finish)
      result = finish_stage(ctx, name + "_end", result,
                            [&](StageBuilder& s, int x, const auto&) { return recipe.finish(s, x, count); });
    ctx.set_output(0, result);
  };
}

void lower_log_sum_exp(LowerContext& ctx) {
  if (!can_lower(ctx)) return;
  const auto axes = axes_for_lowering(ctx);
  if (!axes) return ctx.reject("lower: the axes must be constant");
  if (ctx.dtype(0) != DType::f32) return ctx.reject("lower: ReduceLogSumExp is lowered for f32");
  const int hi = reduction_stage(ctx, "hi", *axes, Reduction::max, [](StageBuilder&, int x, const auto&) { return x; });
  // An infinity less itself would be a NaN.
  const int shift = finish_stage(ctx, "shift", hi, [](StageBuilder& s, int x, const auto&) {
    const int finite = s.node(Op::le, DType::boolean, s.unary(Op::abs, x),
                              s.constant(static_cast<double>(std::numeric_limits<float>::max())));
    return s.select(finite, x, s.constant(0));
  });
  const int sum =
      reduction_stage(ctx, "sum", *axes, Reduction::sum, [&](StageBuilder& s, int x, const std::vector<Index>& out) {
        return s.unary(Op::exp, s.sub(x, s.load(shift, out)));
      });
  ctx.set_output(0, finish_stage(ctx, "log_sum_exp", sum, [&](StageBuilder& s, int x, const std::vector<Index>& at) {
                   return s.add(s.load(shift, at), s.unary(Op::log, x));
                 }));
}

OpDef reduce_def(const char* name, DTypeSet allowed, double flops, std::function<void(EvalContext&)> evaluate,
                 std::function<void(LowerContext&)> lower, DimFold fold = nullptr) {
  return {.name = name,
          .min_inputs = 1,
          .max_inputs = 2,
          .pattern = Pattern::reduction,
          .infer = infer_reduce(allowed, fold),
          .cost = cost_per_input(flops),
          .evaluate = widened(std::move(evaluate)),
          .lower = std::move(lower)};
}

}  // namespace

void register_reduce(Catalogue& c) {
  constexpr DTypeSet numbers = kFloats | set_of({DType::i32, DType::i64, DType::u32, DType::u64});
  constexpr DTypeSet ordered = numbers | set_of({DType::i8, DType::u8, DType::boolean});
  constexpr DTypeSet lowered = set_of({DType::f32, DType::i32, DType::i64});
  const auto square = [](StageBuilder& s, int x) { return s.mul(x, x); };
  const auto magnitude = [](StageBuilder& s, int x) { return s.unary(Op::abs, x); };
  const auto root = [](StageBuilder& s, int x, double) { return s.unary(Op::sqrt, x); };
  const auto logarithm = [](StageBuilder& s, int x, double) { return s.unary(Op::log, x); };
  const auto average = [](StageBuilder& s, int x, double count) { return s.mul(x, s.constant(1 / count)); };

  c.add(reduce_def("ReduceSum", numbers, 1, evaluate_reduce<SumStep, Keep>,
                   lower_reduce("reduce_sum", {Reduction::sum, nullptr, nullptr, lowered}),
                   [](const Dim& a, const Dim& b) { return a + b; }));
  c.add(reduce_def("ReduceMean", numbers, 1, evaluate_reduce<SumStep, Average>,
                   lower_reduce("reduce_mean", {Reduction::sum, nullptr, average})));
  c.add(reduce_def("ReduceMax", ordered, 1, evaluate_reduce<MaxStep, Keep>,
                   lower_reduce("reduce_max", {Reduction::max, nullptr, nullptr, lowered}),
                   [](const Dim& a, const Dim& b) { return max(a, b); }));
  c.add(reduce_def("ReduceMin", ordered, 1, evaluate_reduce<MinStep, Keep>,
                   lower_reduce("reduce_min", {Reduction::min, nullptr, nullptr, lowered}),
                   [](const Dim& a, const Dim& b) { return min(a, b); }));
  c.add(reduce_def("ReduceProd", numbers, 1, evaluate_reduce<ProductStep, Keep>,
                   lower_reduce("reduce_prod", {Reduction::product, nullptr, nullptr}),
                   [](const Dim& a, const Dim& b) { return a * b; }));
  c.add(reduce_def("ReduceL1", numbers, 2, evaluate_reduce<L1Step, Keep>,
                   lower_reduce("reduce_l1", {Reduction::sum, magnitude, nullptr})));
  c.add(reduce_def("ReduceL2", numbers, 2, evaluate_reduce<SquareStep, Root>,
                   lower_reduce("reduce_l2", {Reduction::sum, square, root})));
  c.add(reduce_def("ReduceSumSquare", numbers, 2, evaluate_reduce<SquareStep, Keep>,
                   lower_reduce("reduce_sum_square", {Reduction::sum, square, nullptr})));
  c.add(reduce_def("ReduceLogSum", numbers, 1, evaluate_reduce<SumStep, Logarithm>,
                   lower_reduce("reduce_log_sum", {Reduction::sum, nullptr, logarithm})));
  c.add(reduce_def("ReduceLogSumExp", numbers, 4, evaluate_log_sum_exp, lower_log_sum_exp));
}

}  // namespace rooftune::ops
