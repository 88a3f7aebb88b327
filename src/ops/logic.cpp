// Comparisons, logic on booleans, tests for NaN and infinity, and selection by them: Where, Trilu.
#include <cmath>
#include <limits>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/lowering.h"

namespace rooftune::ops {
namespace {

using kernel::Op;

// --- comparisons

// What is known of `a op b`: 1, 0 or nothing.
using DimComparison = std::optional<bool> (*)(const Dim& a, const Dim& b);

std::optional<bool> known_equal(const Dim& a, const Dim& b) {
  if (a == b) return true;
  const Dim d = a - b;
  if (d.min() > 0 || d.max() < 0) return false;
  return std::nullopt;
}

std::optional<bool> known_less(const Dim& a, const Dim& b) {
  const Dim d = a - b;
  if (d.max() < 0) return true;
  if (d.min() >= 0) return false;
  return std::nullopt;
}

std::optional<bool> known_less_or_equal(const Dim& a, const Dim& b) {
  const auto greater = known_less(b, a);
  return greater ? std::optional(!*greater) : std::nullopt;
}

std::function<void(InferContext&)> infer_comparison(DTypeSet allowed, DimComparison known) {
  return [allowed, known](InferContext& ctx) {
    require_same(ctx, 0, 1, allowed);
    const auto shape = broadcast_inputs(ctx, 0, 1);
    ctx.set_output(0, Type::tensor(DType::boolean, shape));
    const auto a = ctx.ints(0), b = ctx.ints(1);
    if (known == nullptr || !shape || shape->size() > 1 || !a || !b ||
        (a->size() != b->size() && a->size() != 1 && b->size() != 1))
      return;
    std::vector<Dim> values;
    const size_t n = a->size() == 1 ? b->size() : a->size();  // one of them may hold nothing
    for (size_t i = 0; i < n; ++i) {
      const auto value = known((*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]);
      if (!value) return;
      values.emplace_back(*value ? 1 : 0);
    }
    ctx.set_output_ints(0, std::move(values));
  };
}

template <typename F>
void evaluate_comparison(EvalContext& ctx) {
  const Tensor& a = ctx.input(0);
  const Tensor& b = ctx.input(1);
  dispatch<float, double, int32_t, int64_t, int8_t, uint8_t, int16_t, uint16_t, uint32_t, uint64_t, bool>(
      ctx.node(), a.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        ctx.set_output(0, map_binary<T, T, bool>(ctx.node(), a, b, [](T x, T y) { return F()(x, y); }));
      });
}

void evaluate_equal(EvalContext& ctx) {
  if (ctx.input(0).dtype() != DType::string) return evaluate_comparison<std::equal_to<>>(ctx);
  const Tensor& a = ctx.input(0);
  const Tensor& b = ctx.input(1);
  Tensor out(DType::boolean, broadcast(ctx.node(), a.shape(), b.shape()));
  const BroadcastPlan plan = plan_broadcast(out.shape(), {a.shape(), b.shape()});
  for_each_row(plan, [&](const int64_t* at, int64_t to) {
    for (int64_t i = 0; i < plan.row; ++i)
      out.data<bool>()[to + i] = a.strings()[static_cast<size_t>(at[0] + i * plan.row_step[0])] ==
                                 b.strings()[static_cast<size_t>(at[1] + i * plan.row_step[1])];
  });
  ctx.set_output(0, std::move(out));
}

std::function<void(LowerContext&)> lower_comparison(const char* name, Op op, bool swap) {
  return lowered_map(name, kLowered, [op, swap](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
    return swap ? s.node(op, DType::boolean, x[1], x[0]) : s.node(op, DType::boolean, x[0], x[1]);
  });
}

OpDef comparison(const char* name, DTypeSet allowed, DimComparison known, std::function<void(EvalContext&)> evaluate,
                 Op op, bool swap) {
  return {.name = name,
          .min_inputs = 2,
          .max_inputs = 2,
          .pattern = Pattern::elementwise,
          .infer = infer_comparison(allowed, known),
          .cost = cost_per_output(1),
          .evaluate = widened(std::move(evaluate)),
          .lower = lower_comparison(lower_case(name).c_str(), op, swap)};
}

// --- booleans

template <typename F>
OpDef boolean_def(const char* name, F f, MapValue lower) {
  OpDef def{.name = name,
            .min_inputs = 2,
            .max_inputs = 2,
            .pattern = Pattern::elementwise,
            .infer = infer_comparison(kBool, nullptr),
            .cost = cost_per_output(1),
            .lower = lowered_map(lower_case(name), kBool, std::move(lower))};
  def.evaluate = [f](EvalContext& ctx) {
    ctx.set_output(0, map_binary<bool, bool, bool>(ctx.node(), ctx.input(0), ctx.input(1), f));
  };
  return def;
}

int negated(StageBuilder& s, int x) { return s.node(Op::logical_not, DType::boolean, x); }

void infer_not(InferContext& ctx) {
  require(ctx, 0, kBool);
  ctx.set_output(0, ctx.input(0));
  auto values = ctx.ints(0);
  if (!values) return;
  for (Dim& v : *values) v = Dim(1) - v;
  ctx.set_output_ints(0, std::move(*values));
}

// --- NaN and infinity

void infer_test(InferContext& ctx) {
  require(ctx, 0, kFloats | kFloat8);
  ctx.set_output(0, Type::tensor(DType::boolean, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
}

template <typename Make>
void evaluate_test(EvalContext& ctx, Make make) {
  const auto f = make(ctx.node());
  const Tensor x = contains(kFloat8, ctx.input(0).dtype()) ? convert(ctx.input(0), DType::f32) : ctx.input(0);
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    ctx.set_output(0, map_unary<T, bool>(x, f));
  });
}

auto is_infinity(const Node& node) {
  return [negative = node.attr_int("detect_negative", 1) != 0, positive = node.attr_int("detect_positive", 1) != 0](
             auto x) { return std::isinf(x) && (x > 0 ? positive : negative); };
}

int lower_is_inf(LowerContext& ctx, StageBuilder& s, const std::vector<int>& x) {
  const double largest = std::numeric_limits<float>::max();
  const int positive = s.node(Op::lt, DType::boolean, s.constant(largest), x[0]);
  const int negative = s.node(Op::lt, DType::boolean, x[0], s.constant(-largest));
  const bool wants_negative = ctx.node().attr_int("detect_negative", 1) != 0,
             wants_positive = ctx.node().attr_int("detect_positive", 1) != 0;
  if (wants_negative && wants_positive) return s.node(Op::logical_or, DType::boolean, positive, negative);
  return wants_positive ? positive : wants_negative ? negative : s.constant(0, DType::boolean);
}

// --- Where

void infer_where(InferContext& ctx) {
  require(ctx, 0, kBool);
  const DType dtype = require_same(ctx, 1, 2, kAny);
  const auto shape = broadcast_inputs(ctx, 0, 2);
  ctx.set_output(0, Type::tensor(dtype, shape));
  const auto condition = ctx.ints(0), a = ctx.ints(1), b = ctx.ints(2);
  if (!shape || shape->size() > 1 || !condition || !a || !b) return;
  const size_t n = std::max({condition->size(), a->size(), b->size()});
  std::vector<Dim> values;
  for (size_t i = 0; i < n; ++i) {
    for (const auto* operand : {&*condition, &*a, &*b}) {
      if (operand->size() != 1 && operand->size() != n) return;
    }
    const auto& chosen = (*condition)[condition->size() == 1 ? 0 : i] == Dim(1) ? *a : *b;
    values.push_back(chosen[chosen.size() == 1 ? 0 : i]);
  }
  ctx.set_output_ints(0, std::move(values));
}

template <typename T, typename R>
void select_rows(const BroadcastPlan& plan, const bool* condition, const T* a, const T* b, R* out) {
  const int64_t cs = plan.row_step[0], as = plan.row_step[1], bs = plan.row_step[2];
  for_each_row(plan, [&](const int64_t* at, int64_t to) {
    const bool* c = condition + at[0];
    const T *x = a + at[1], *y = b + at[2];
    if (cs == 0) {  // one choice for the whole row
      for (int64_t i = 0; i < plan.row; ++i) out[to + i] = *c ? x[i * as] : y[i * bs];
    } else {
      for (int64_t i = 0; i < plan.row; ++i) out[to + i] = c[i] ? x[i * as] : y[i * bs];
    }
  });
}

void evaluate_where(EvalContext& ctx) {
  const Tensor &condition = ctx.input(0), &a = ctx.input(1), &b = ctx.input(2);
  Tensor out(a.dtype(), broadcast(ctx.node(), condition.shape(), broadcast(ctx.node(), a.shape(), b.shape())));
  const BroadcastPlan plan = plan_broadcast(out.shape(), {condition.shape(), a.shape(), b.shape()});
  if (a.dtype() == DType::string) {
    select_rows(plan, condition.data<bool>(), a.strings().data(), b.strings().data(), out.strings().data());
  } else {
    dispatch_size(ctx.node(), a.dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      select_rows(plan, condition.data<bool>(), a.data<T>(), b.data<T>(), out.data<T>());
    });
  }
  ctx.set_output(0, std::move(out));
}

// --- Trilu

void infer_trilu(InferContext& ctx) {
  require_rank(ctx, 0, 2);
  require_scalar(ctx, 1, bit(DType::i64));
  ctx.set_output(0, ctx.input(0));
}

void evaluate_trilu(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const bool upper = ctx.node().attr_int("upper", 1) != 0;
  const int64_t rows = x.dim(-2), columns = x.dim(-1);
  const int64_t k = std::clamp(ctx.has_input(1) ? scalar_int(ctx, 1) : 0, -rows - columns, rows + columns);
  Tensor out(x.dtype(), x.shape());
  dispatch_size(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = out.data<T>();
    for (int64_t r = 0; columns > 0 && r < x.size() / columns; ++r, from += columns, to += columns) {
      // upper keeps [first kept, columns), lower keeps [0, first dropped)
      const int64_t split = std::clamp<int64_t>(r % rows + k + (upper ? 0 : 1), 0, columns);
      std::fill_n(to, columns, T(0));
      if (upper) std::copy(from + split, from + columns, to + split);
      else std::copy(from, from + split, to);
    }
  });
  ctx.set_output(0, std::move(out));
}

void lower_trilu(LowerContext& ctx) {
  const Tensor* k = ctx.constant(1);
  if (ctx.has_input(1) && k == nullptr) return ctx.reject("lower: Trilu is lowered for a constant k");
  if (!can_lower(ctx)) return;
  const std::vector<int64_t> shape = ctx.output_shape(0);
  const int rank = static_cast<int>(shape.size());
  const int64_t extent = shape[shape.size() - 1] + shape[shape.size() - 2];
  const int64_t offset = std::clamp(k != nullptr ? k->as_int(0) : 0, -extent, extent);
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), "trilu"), axes_of(shape));
  const Index above = s.axis(rank - 1) - s.axis(rank - 2) - Index(offset);  // >= 0: on or above the diagonal
  const Index keep = ctx.node().attr_int("upper", 1) != 0 ? above : Index(0) - above;
  ctx.set_output(0, s.finish(s.load(ctx.input(0), axis_indices(rank), {keep}, 0)));
}

}  // namespace

void register_logic(Catalogue& c) {
  c.add(comparison("Equal", kNumbers | kBool | kString, known_equal, evaluate_equal, Op::eq, false));
  c.add(comparison("Less", kNumbers, known_less, evaluate_comparison<std::less<>>, Op::lt, false));
  c.add(
      comparison("LessOrEqual", kNumbers, known_less_or_equal, evaluate_comparison<std::less_equal<>>, Op::le, false));
  c.add(comparison(
      "Greater", kNumbers, [](const Dim& a, const Dim& b) { return known_less(b, a); },
      evaluate_comparison<std::greater<>>, Op::lt, true));
  c.add(comparison(
      "GreaterOrEqual", kNumbers, [](const Dim& a, const Dim& b) { return known_less_or_equal(b, a); },
      evaluate_comparison<std::greater_equal<>>, Op::le, true));

  c.add(boolean_def(
      "And", [](bool a, bool b) { return a && b; },
      [](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
        return s.node(Op::logical_and, DType::boolean, x[0], x[1]);
      }));
  c.add(boolean_def(
      "Or", [](bool a, bool b) { return a || b; },
      [](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
        return s.node(Op::logical_or, DType::boolean, x[0], x[1]);
      }));
  c.add(boolean_def(
      "Xor", [](bool a, bool b) { return a != b; },
      [](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
        const int either = s.node(Op::logical_or, DType::boolean, x[0], x[1]);
        return s.node(Op::logical_and, DType::boolean, either,
                      negated(s, s.node(Op::logical_and, DType::boolean, x[0], x[1])));
      }));
  c.add({.name = "Not",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::elementwise,
         .infer = infer_not,
         .cost = cost_per_output(1),
         .evaluate =
             [](EvalContext& ctx) { ctx.set_output(0, map_unary<bool>(ctx.input(0), [](bool x) { return !x; })); },
         .lower = lowered_map("not", kBool, [](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
           return negated(s, x[0]);
         })});

  c.add({.name = "IsNaN",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::elementwise,
         .infer = infer_test,
         .cost = cost_per_output(1),
         .evaluate = widened([](EvalContext& ctx) {
           evaluate_test(ctx, [](const Node&) { return [](auto x) { return std::isnan(x); }; });
         }),
         .lower = lowered_map("is_nan", kLowered, [](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
           return negated(s, s.node(Op::eq, DType::boolean, x[0], x[0]));
         })});
  c.add({.name = "IsInf",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::elementwise,
         .infer = infer_test,
         .cost = cost_per_output(1),
         .evaluate = widened([](EvalContext& ctx) { evaluate_test(ctx, is_infinity); }),
         .lower = lowered_map("is_inf", kLowered, lower_is_inf)});

  c.add({.name = "Where",
         .min_inputs = 3,
         .max_inputs = 3,
         .pattern = Pattern::elementwise,
         .infer = infer_where,
         .cost = cost_per_output(1),
         .evaluate = evaluate_where,
         .lower = lowered_map("where", kLowered, [](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
           return s.select(x[0], x[1], x[2]);
         })});
  c.add({.name = "Trilu",
         .min_inputs = 1,
         .max_inputs = 2,
         .pattern = Pattern::elementwise,
         .infer = infer_trilu,
         .evaluate = evaluate_trilu,
         .lower = lower_trilu});
}

}  // namespace rooftune::ops
