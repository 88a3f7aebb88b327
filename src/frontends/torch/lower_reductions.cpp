// Sums, means, extremes and the like, over axes; running sums.
#include <algorithm>
#include <cmath>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

/// The axes of the argument `dim` (all where it is absent or, for a list, empty).
std::vector<int64_t> reduced_axes(Context& c) {
  const int64_t rank = c.rank_of("self");
  std::vector<int64_t> axes = c.integers("dim", {});
  return axes.empty() ? range(rank) : c.axes(axes, rank);
}

ValueId reduce_as(Context& c, std::string_view op, ValueId x, const std::vector<int64_t>& axes) {
  if (axes.empty()) return x;  // a tensor of rank 0
  return c.reduce(op, x, axes, c.flag("keepdim", false));
}

Lowering reduction(std::string_view op) {
  return [op = std::string(op)](Context& c) {
    const ValueId x = c.cast(c.tensor("self"), c.result().dtype);
    c.give(reduce_as(c, op, x, reduced_axes(c)));
  };
}

/// Of booleans, as numbers.
Lowering quantifier(std::string_view op) {
  return [op = std::string(op)](Context& c) {
    const ValueId x = c.cast(c.operand("self", DType::boolean), DType::i32);
    c.give(c.cast(reduce_as(c, op, x, reduced_axes(c)), c.result().dtype));
  };
}

/// amax, amin, max, min: of booleans too.
ValueId extreme(Context& c, bool largest, const std::vector<int64_t>& axes) {
  ValueId x = c.tensor("self");
  if (c.dtype(x) == DType::boolean) x = c.cast(x, DType::i32);
  return reduce_as(c, largest ? "ReduceMax" : "ReduceMin", x, axes);
}

ValueId place_of_extreme(Context& c, ValueId x, bool largest, int64_t axis, bool keep) {
  if (c.dtype(x) == DType::boolean) x = c.cast(x, DType::i32);
  return c.op_as(DType::i64, largest ? "ArgMax" : "ArgMin", {x}, {{"axis", axis}, {"keepdims", int64_t{keep}}});
}

Lowering extreme_and_place(bool largest) {
  return [largest](Context& c) {
    const int64_t rank = c.rank_of("self"), axis = c.axis(c.integer("dim"), rank);
    if (rank == 0) {
      c.give(c.tensor("self"));
      return c.give(1, c.integer(DType::i64, 0));
    }
    c.give(extreme(c, largest, {axis}));
    c.give(1, place_of_extreme(c, c.tensor("self"), largest, axis, c.flag("keepdim", false)));
  };
}

Lowering place(bool largest) {
  return [largest](Context& c) {
    const ValueId x = c.tensor("self");
    const int64_t rank = c.rank_of("self");
    if (rank == 0) return c.give(c.integer(DType::i64, 0));
    const bool keep = c.flag("keepdim", false);
    if (c.has("dim")) return c.give(place_of_extreme(c, x, largest, c.axis(c.integer("dim"), rank), keep));
    const ValueId at = place_of_extreme(c, c.reshape(x, {-1}), largest, 0, false);
    c.give(keep ? c.reshape(at, std::vector<int64_t>(static_cast<size_t>(rank), 1)) : at);
  };
}

// --- spread

/// How many elements of `x` each result is made of, less `correction`, as a number or a computed one.
ValueId divisor(Context& c, ValueId x, const std::vector<int64_t>& axes, double correction) {
  const DType dtype = c.dtype(x);
  double known = 1;
  ValueId computed = kNone;
  for (const int64_t a : axes) {
    const Size s = c.size_of(c.tensor("self"), a);
    if (s.known()) {
      known *= static_cast<double>(s.value);
    } else {
      const ValueId v = c.cast(c.scalar_of(s), dtype);
      computed = computed == kNone ? v : c.op("Mul", {computed, v});
    }
  }
  if (computed == kNone) return c.scalar(dtype, std::max(known - correction, 0.0));
  const ValueId count = c.op("Mul", {computed, c.scalar(dtype, known)});
  return c.op("Sub", {count, c.scalar(dtype, correction)});
}

struct Spread {
  ValueId variance, mean;
};

Spread spread(Context& c) {
  const ValueId x = c.tensor("self");
  const bool keep = c.flag("keepdim", false);
  const std::vector<int64_t> axes = reduced_axes(c);
  const double correction = c.has("correction") ? c.real("correction", 1) : c.flag("unbiased", true) ? 1 : 0;
  const ValueId mean = c.reduce("ReduceMean", x, axes, true);
  const ValueId centred = c.op("Sub", {x, mean});
  const ValueId squares = c.reduce("ReduceSum", c.op("Mul", {centred, centred}), axes, keep);
  return {c.op("Div", {squares, divisor(c, x, axes, correction)}), keep ? mean : c.squeeze(mean, axes)};
}

// --- norms

void vector_norm(Context& c) {
  const ValueId x = c.cast(c.tensor("self"), c.result().dtype);
  const std::vector<int64_t> axes = reduced_axes(c);
  const double order = c.real(c.has("ord") ? "ord" : "p", 2);
  const auto over = [&](std::string_view op, ValueId v) { return reduce_as(c, op, v, axes); };
  if (order == 2) return c.give(over("ReduceL2", x));
  if (order == 1) return c.give(over("ReduceL1", x));
  const ValueId size = c.op("Abs", {x});
  if (std::isinf(order)) return c.give(over(order > 0 ? "ReduceMax" : "ReduceMin", size));
  const DType dtype = c.dtype(x);
  if (order == 0) {
    const ValueId other = c.op_as(DType::boolean, "Equal", {x, c.scalar(dtype, 0)});
    return c.give(over("ReduceSum", c.cast(c.op("Not", {other}), dtype)));
  }
  const ValueId sum = over("ReduceSum", c.op("Pow", {size, c.scalar(dtype, order)}));
  c.give(c.op("Pow", {sum, c.scalar(dtype, 1 / order)}));
}

Lowering running(std::string_view op) {
  return [op = std::string(op)](Context& c) {
    const ValueId x = c.cast(c.tensor("self"), c.result().dtype);
    if (c.rank_of("self") == 0) return c.give(x);
    c.give(c.op(op, {x, c.integer(DType::i64, c.axis(c.integer("dim"), c.rank_of("self")))}));
  };
}

}  // namespace

void register_reductions(Lowerings& t) {
  t.add({"aten.sum.default", "aten.sum.dim_IntList"}, reduction("ReduceSum"));
  t.add({"aten.mean.default", "aten.mean.dim"}, reduction("ReduceMean"));
  t.add({"aten.prod.default", "aten.prod.dim_int"}, reduction("ReduceProd"));
  t.add({"aten.logsumexp.default", "aten.special_logsumexp.default"}, reduction("ReduceLogSumExp"));
  t.add({"aten.any.default", "aten.any.dim", "aten.any.dims"}, quantifier("ReduceMax"));
  t.add({"aten.all.default", "aten.all.dim", "aten.all.dims"}, quantifier("ReduceMin"));
  for (const bool largest : {true, false}) {
    const char* name = largest ? "max" : "min";
    const auto whole = [largest](Context& c) { c.give(extreme(c, largest, reduced_axes(c))); };
    t.add(fmt::format("aten.{}.default", name), whole);
    t.add(fmt::format("aten.a{}.default", name), whole);
    t.add(fmt::format("aten.{}.dim", name), extreme_and_place(largest));
    t.add(fmt::format("aten.arg{}.default", name), place(largest));
  }
  t.add("aten.aminmax.default", [](Context& c) {
    c.give(0, extreme(c, false, reduced_axes(c)));
    c.give(1, extreme(c, true, reduced_axes(c)));
  });
  t.add({"aten.var.default", "aten.var.dim", "aten.var.correction"}, [](Context& c) { c.give(spread(c).variance); });
  t.add({"aten.std.default", "aten.std.dim", "aten.std.correction"},
        [](Context& c) { c.give(c.op("Sqrt", {spread(c).variance})); });
  t.add({"aten.var_mean.default", "aten.var_mean.dim", "aten.var_mean.correction"}, [](Context& c) {
    const Spread s = spread(c);
    c.give(0, s.variance);
    c.give(1, s.mean);
  });
  t.add({"aten.std_mean.default", "aten.std_mean.dim", "aten.std_mean.correction"}, [](Context& c) {
    const Spread s = spread(c);
    c.give(0, c.op("Sqrt", {s.variance}));
    c.give(1, s.mean);
  });
  t.add({"aten.linalg_vector_norm.default", "aten.norm.ScalarOpt_dim", "aten.norm.Scalar"}, vector_norm);
  t.add("aten.count_nonzero.dim_IntList", [](Context& c) {
    c.give(reduce_as(c, "ReduceSum", c.cast(c.operand("self", DType::boolean), DType::i64), reduced_axes(c)));
  });
  t.add("aten.cumsum.default", running("CumSum"));
  t.add("aten.cumprod.default", running("CumProd"));
}

}  // namespace rooftune::frontends::torch_format
