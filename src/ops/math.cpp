// Unary mathematics: Abs Neg Sign Sqrt Exp Log Reciprocal Floor Ceil Round Erf, trigonometric and hyperbolic functions.
#include <cmath>

#include "ops/elementwise.h"
#include "ops/families.h"

namespace rooftune::ops {
namespace {

using kernel::Op;

/// Registers y = f(x) on floating-point tensors; `lower` may be empty.
template <typename F>
void add_float(Catalogue& c, const char* name, F f, std::function<int(StageBuilder&, int)> lower = nullptr) {
  std::function<int(const Node&, StageBuilder&, int)> stage;
  if (lower) stage = [lower](const Node&, StageBuilder& s, int x) { return lower(s, x); };
  c.add(unary_float(name, 1, [f](const Node&) { return f; }, std::move(stage)));
}

std::function<int(StageBuilder&, int)> one(Op op) {
  return [op](StageBuilder& s, int x) { return s.unary(op, x); };
}

using DimFunction = std::optional<Dim> (*)(const Dim&);

/// Registers y = f(x) on all numbers in `allowed`, small integers being followed by inference.
template <typename F>
void add_number(Catalogue& c, const char* name, DTypeSet allowed, DimFunction dims, F f,
                std::function<void(LowerContext&)> lower) {
  OpDef def{.name = name,
            .min_inputs = 1,
            .max_inputs = 1,
            .pattern = Pattern::elementwise,
            .cost = cost_per_output(1),
            .lower = std::move(lower)};
  def.infer = [allowed, dims](InferContext& ctx) {
    require(ctx, 0, allowed);
    ctx.set_output(0, ctx.input(0));
    const auto ints = ctx.ints(0);
    if (!ints) return;
    std::vector<Dim> values;
    for (const Dim& d : *ints) {
      const auto value = dims(d);
      if (!value) return;
      values.push_back(*value);
    }
    ctx.set_output_ints(0, std::move(values));
  };
  def.evaluate = widened([f](EvalContext& ctx) {
    dispatch_number(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      ctx.set_output(0, map_unary<T>(ctx.input(0), f));
    });
  });
  c.add(std::move(def));
}

struct NegValue {  // integers wrap around
  template <typename T> T operator()(T x) const {
    if constexpr (std::is_integral_v<T>) return static_cast<T>(0 - static_cast<uint64_t>(x));
    else return -x;
  }
};
struct AbsValue {
  template <typename T> T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>) return std::fabs(x);
    else return x < 0 ? NegValue()(x) : x;
  }
};
struct SignValue {
  template <typename T> T operator()(T x) const {
    return x > 0 ? T(1) : x < 0 ? static_cast<T>(-1) : x == 0 ? T(0) : x;
  }
};

int lower_sign(LowerContext&, StageBuilder& s, const std::vector<int>& x) {
  const DType type = s.type_of(x[0]);
  const int zero = s.constant(0, type);
  const int negative = s.node(Op::lt, DType::boolean, x[0], zero);
  const int positive = s.node(Op::lt, DType::boolean, zero, x[0]);
  return s.select(positive, s.constant(1, type), s.select(negative, s.constant(-1, type), zero));
}

MapValue map_of(Op op) {
  return [op](LowerContext&, StageBuilder& s, const std::vector<int>& x) { return s.unary(op, x[0]); };
}

constexpr DTypeSet kLoweredSigned = set_of({DType::f32, DType::i32, DType::i64});

}  // namespace

void register_math(Catalogue& c) {
  using D = const Dim&;
  add_number(
      c, "Abs", kNumbers, [](D d) -> std::optional<Dim> { return d.min() >= 0 ? std::optional(d) : std::nullopt; },
      AbsValue(), lowered_map("abs", kLoweredSigned, map_of(Op::abs)));
  add_number(
      c, "Neg", kFloats | kSigned, [](D d) -> std::optional<Dim> { return Dim(0) - d; }, NegValue(),
      lowered_map("neg", kLoweredSigned, map_of(Op::neg)));
  add_number(
      c, "Sign", kNumbers, [](D d) -> std::optional<Dim> { return d.min() > 0 ? std::optional(Dim(1)) : std::nullopt; },
      SignValue(), lowered_map("sign", kLoweredSigned, lower_sign));

  add_float(c, "Sqrt", [](auto x) { return std::sqrt(x); }, one(Op::sqrt));
  add_float(c, "Exp", [](auto x) { return std::exp(x); }, one(Op::exp));
  add_float(c, "Log", [](auto x) { return std::log(x); }, one(Op::log));
  add_float(c, "Erf", [](auto x) { return std::erf(x); }, one(Op::erf));
  add_float(
      c, "Reciprocal", [](auto x) { return 1 / x; }, [](StageBuilder& s, int x) { return s.div(s.constant(1), x); });
  add_float(c, "Floor", [](auto x) { return std::floor(x); }, one(Op::floor));
  add_float(c, "Ceil", [](auto x) { return std::ceil(x); }, one(Op::ceil));
  add_float(c, "Round", [](auto x) { return std::nearbyint(x); }, one(Op::round));

  add_float(c, "Sin", [](auto x) { return std::sin(x); }, one(Op::sin));
  add_float(c, "Cos", [](auto x) { return std::cos(x); }, one(Op::cos));
  add_float(
      c, "Tan", [](auto x) { return std::tan(x); },
      [](StageBuilder& s, int x) { return s.div(s.unary(Op::sin, x), s.unary(Op::cos, x)); });
  add_float(c, "Asin", [](auto x) { return std::asin(x); });
  add_float(c, "Acos", [](auto x) { return std::acos(x); });
  add_float(c, "Atan", [](auto x) { return std::atan(x); });
  add_float(c, "Sinh", [](auto x) { return std::sinh(x); });
  add_float(
      c, "Cosh", [](auto x) { return std::cosh(x); },
      [](StageBuilder& s, int x) {
        return s.mul(s.constant(0.5), s.add(s.unary(Op::exp, x), s.unary(Op::exp, s.unary(Op::neg, x))));
      });
  add_float(c, "Asinh", [](auto x) { return std::asinh(x); });
  add_float(c, "Acosh", [](auto x) { return std::acosh(x); });
  add_float(c, "Atanh", [](auto x) { return std::atanh(x); });
}

}  // namespace rooftune::ops
