// Binary and variadic arithmetic with broadcasting: Add Sub Mul Div Pow Mod Min Max Sum Mean BitShift Bitwise*.
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/lowering.h"

namespace rooftune::ops {
namespace {

using kernel::Op;

// --- inference

// Applies `f` to known integers of two operands of rank 0 or 1.
using DimFunction = std::optional<Dim> (*)(const Dim&, const Dim&);

void propagate(InferContext& ctx, const std::optional<Shape>& shape, DimFunction f) {
  if (f == nullptr || !shape || shape->size() > 1 || !contains(kIntegers, ctx.dtype(0))) return;
  const auto a = ctx.ints(0), b = ctx.ints(1);
  if (!a || !b || (a->size() != b->size() && a->size() != 1 && b->size() != 1)) return;
  std::vector<Dim> values;
  const size_t n = a->size() == 1 ? b->size() : a->size();  // one of them may hold nothing
  for (size_t i = 0; i < n; ++i) {
    const auto value = f((*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]);
    if (!value) return;
    values.push_back(*value);
  }
  ctx.set_output_ints(0, std::move(values));
}

std::function<void(InferContext&)> infer_binary(DTypeSet allowed, DimFunction f = nullptr) {
  return [allowed, f](InferContext& ctx) {
    const DType dtype = require_same(ctx, 0, 1, allowed);
    const auto shape = broadcast_inputs(ctx, 0, 1);
    ctx.set_output(0, Type::tensor(dtype, shape));
    propagate(ctx, shape, f);
  };
}

std::function<void(InferContext&)> infer_variadic(DTypeSet allowed, DimFunction f = nullptr) {
  return [allowed, f](InferContext& ctx) {
    const int last = ctx.input_count() - 1;
    const DType dtype = require_same(ctx, 0, last, allowed);
    const auto shape = broadcast_inputs(ctx, 0, last);
    ctx.set_output(0, Type::tensor(dtype, shape));
    if (last == 1) propagate(ctx, shape, f);
  };
}

std::optional<Dim> dim_div(const Dim& a,
                           const Dim& b) {  // ONNX truncates, Dim floors: the same where nothing is negative
  if (b.is_static() && b.value() == 0) return std::nullopt;
  if (a.min() < 0 || b.min() < 1) {
    if (a.is_static() && b.is_static()) return Dim(a.value() / b.value());
    return std::nullopt;
  }
  return floordiv(a, b);
}

std::optional<Dim> dim_mod(const Dim& a, const Dim& b) {
  if (!b.is_static() || b.value() <= 0 || a.min() < 0) return std::nullopt;
  return mod(a, b);
}

// --- evaluation; integers wrap around

template <typename T>
T wrapped(uint64_t value) {
  return static_cast<T>(value);
}

struct AddValue {
  template <typename T> T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) return wrapped<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    else return a + b;
  }
};
struct SubValue {
  template <typename T> T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) return wrapped<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
    else return a - b;
  }
};
struct MulValue {
  template <typename T> T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) return wrapped<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    else return a * b;
  }
};
struct DivValue {  // of integers: towards zero; by zero gives 0
  template <typename T> T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return a / b;
    } else {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return wrapped<T>(0 - static_cast<uint64_t>(a));
      }
      return static_cast<T>(a / b);
    }
  }
};
struct MinValue {  // NaN wins
  template <typename T> T operator()(T a, T b) const { return a < b || a != a ? a : b; }
};
struct MaxValue {
  template <typename T> T operator()(T a, T b) const { return a > b || a != a ? a : b; }
};
struct ModValue {  // sign of the divisor
  template <typename T> T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      const T r = std::fmod(a, b);
      return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    } else {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return 0;
      }
      const T r = static_cast<T>(a % b);
      return r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
    }
  }
};
struct FmodValue {  // sign of the dividend
  template <typename T> T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return std::fmod(a, b);
    } else {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return 0;
      }
      return static_cast<T>(a % b);
    }
  }
};

template <typename F>
Tensor binary(const Node& node, const Tensor& a, const Tensor& b) {
  Tensor out;
  dispatch_number(node, a.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    out = map_binary<T, T, T>(node, a, b, F());
  });
  return out;
}

template <typename F>
void evaluate_binary(EvalContext& ctx) {
  ctx.set_output(0, binary<F>(ctx.node(), ctx.input(0), ctx.input(1)));
}

template <typename F>
void evaluate_variadic(EvalContext& ctx) {
  Tensor out = ctx.input(0);
  for (int i = 1; i < ctx.input_count(); ++i) out = binary<F>(ctx.node(), out, ctx.input(i));
  ctx.set_output(0, std::move(out));
}

void evaluate_mean(EvalContext& ctx) {
  evaluate_variadic<AddValue>(ctx);
  const Tensor sum = std::move(ctx.outputs()[0]);
  dispatch_float(ctx.node(), sum.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T count = static_cast<T>(ctx.input_count());
    ctx.set_output(0, map_unary<T>(sum, [count](T x) { return x / count; }));
  });
}

void evaluate_mod(EvalContext& ctx) {
  if (ctx.node().attr_int("fmod", 0) != 0) evaluate_binary<FmodValue>(ctx);
  else evaluate_binary<ModValue>(ctx);
}

int64_t integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  uint64_t result = 1, square = static_cast<uint64_t>(base);
  for (; exponent > 0; exponent >>= 1, square *= square) {
    if (exponent & 1) result *= square;
  }
  return static_cast<int64_t>(result);
}

// The exponent may have another type than the base, whose type the result has.
void evaluate_pow(EvalContext& ctx) {
  const Tensor& base = ctx.input(0);
  const DType exponent_type = ctx.input(1).dtype();
  if (ir::is_float(base.dtype())) {
    const Tensor exponent = convert(ctx.input(1), base.dtype());
    dispatch_float(ctx.node(), base.dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      ctx.set_output(
          0, map_binary<T, T, T>(ctx.node(), base, exponent, [](T a, T b) { return b == 2 ? a * a : std::pow(a, b); }));
    });
    return;
  }
  dispatch_integer(ctx.node(), base.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (ir::is_float(exponent_type)) {
      const Tensor exponent = convert(ctx.input(1), DType::f64);
      const auto power = [](T a, double b) {
        return static_cast<T>(static_cast<int64_t>(std::pow(static_cast<double>(a), b)));
      };
      ctx.set_output(0, map_binary<T, double, T>(ctx.node(), base, exponent, power));
    } else {
      const Tensor exponent = convert(ctx.input(1), DType::i64);
      const auto power = [](T a, int64_t b) { return static_cast<T>(integer_power(static_cast<int64_t>(a), b)); };
      ctx.set_output(0, map_binary<T, int64_t, T>(ctx.node(), base, exponent, power));
    }
  });
}

void infer_pow(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kNumbers);
  require(ctx, 1, kNumbers);
  ctx.set_output(0, Type::tensor(dtype, broadcast_inputs(ctx, 0, 1)));
}

void infer_mod(InferContext& ctx) {
  infer_binary(kNumbers, dim_mod)(ctx);
  if (ir::is_float(ctx.dtype(0)) && ctx.node().attr_int("fmod", 0) == 0)
    ctx.fail("fmod must be 1 for floating-point inputs");
}

// --- bits

template <typename F>
void evaluate_bitwise(EvalContext& ctx) {
  dispatch_integer(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    ctx.set_output(0, map_binary<T, T, T>(ctx.node(), ctx.input(0), ctx.input(1),
                                          [](T a, T b) { return static_cast<T>(F()(a, b)); }));
  });
}

void evaluate_bit_shift(EvalContext& ctx) {
  const bool left = ctx.node().attr_string("direction", "") == "LEFT";
  dispatch<uint8_t, uint16_t, uint32_t, uint64_t>(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    ctx.set_output(0, map_binary<T, T, T>(ctx.node(), ctx.input(0), ctx.input(1), [left](T a, T by) -> T {
                     if (by >= sizeof(T) * 8) return 0;
                     return static_cast<T>(left ? static_cast<uint64_t>(a) << by : static_cast<uint64_t>(a) >> by);
                   }));
  });
}

void infer_bit_shift(InferContext& ctx) {
  const std::string direction = ctx.node().attr_string("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    ctx.fail(fmt::format("direction is '{}', but must be LEFT or RIGHT", direction));
  infer_binary(kUnsigned)(ctx);
}

void evaluate_bit_not(EvalContext& ctx) {
  dispatch_integer(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    ctx.set_output(0, map_unary<T>(ctx.input(0), [](T x) { return static_cast<T>(~x); }));
  });
}

// --- lowering

constexpr DTypeSet kLoweredNumbers = kLowered & kNumbers;

MapValue fold(Op op) {
  return [op](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
    int value = x[0];
    for (size_t i = 1; i < x.size(); ++i) value = s.node(op, s.type_of(value), value, x[i]);
    return value;
  };
}

int lower_mean(LowerContext& ctx, StageBuilder& s, const std::vector<int>& x) {
  return s.div(fold(Op::add)(ctx, s, x), s.constant(static_cast<double>(x.size())));
}

int lower_pow(LowerContext& ctx, StageBuilder& s, const std::vector<int>& x) {
  const Tensor* exponent = ctx.constant(1);
  const double e = exponent != nullptr && exponent->size() == 1 ? exponent->as_double(0) : 0;
  if (e == 1) return x[0];
  if (e == 2) return s.mul(x[0], x[0]);
  if (e == 3) return s.mul(s.mul(x[0], x[0]), x[0]);
  if (e == 0.5) return s.unary(Op::sqrt, x[0]);
  if (e == -1) return s.div(s.constant(1), x[0]);
  return s.node(Op::pow, DType::f32, x[0], s.type_of(x[1]) == DType::f32 ? x[1] : s.cast(x[1], DType::f32));
}

void lower_pow_map(LowerContext& ctx) {
  if (ctx.dtype(0) != DType::f32) return ctx.reject("lower: Pow of integers is not supported");
  lower_map(ctx, "pow", kLoweredNumbers, lower_pow);
}

void lower_mod(LowerContext& ctx) {
  if (ctx.node().attr_int("fmod", 0) != 0) return ctx.reject("lower: Mod with fmod=1 is not supported");
  lower_map(ctx, "mod", kIndices, fold(Op::mod));
}

/// Max and Min: NaN where any operand is one. Of two operands the kernel's operation passes on a NaN of the second only.
MapValue extreme(Op op) {
  return [op](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
    int value = x[0];
    for (size_t i = 1; i < x.size(); ++i) {
      const int chosen = s.node(op, s.type_of(value), value, x[i]);
      value = ir::is_float(s.type_of(value)) ? s.select(s.node(Op::eq, DType::boolean, value, value), chosen, value)
                                             : chosen;
    }
    return value;
  };
}

OpDef binary_def(const char* name, DTypeSet allowed, DimFunction dims, std::function<void(EvalContext&)> evaluate,
                 std::function<void(LowerContext&)> lower) {
  return {.name = name,
          .min_inputs = 2,
          .max_inputs = 2,
          .pattern = Pattern::elementwise,
          .infer = infer_binary(allowed, dims),
          .cost = cost_per_output(1),
          .evaluate = widened(std::move(evaluate)),
          .lower = std::move(lower)};
}

OpDef variadic_def(const char* name, DTypeSet allowed, DimFunction dims, std::function<void(EvalContext&)> evaluate,
                   std::function<void(LowerContext&)> lower) {
  const auto cost = [](const CostContext& ctx) {
    return cost_per_output(static_cast<double>(ctx.node.inputs.size()) - 1)(ctx);
  };
  return {.name = name,
          .min_inputs = 1,
          .max_inputs = -1,
          .pattern = Pattern::elementwise,
          .infer = infer_variadic(allowed, dims),
          .cost = cost,
          .evaluate = widened(std::move(evaluate)),
          .lower = std::move(lower)};
}

}  // namespace

void register_arithmetic(Catalogue& c) {
  using D = const Dim&;
  c.add(binary_def(
      "Add", kNumbers, [](D a, D b) -> std::optional<Dim> { return a + b; }, evaluate_binary<AddValue>,
      lowered_map("add", kLoweredNumbers, fold(Op::add))));
  c.add(binary_def(
      "Sub", kNumbers, [](D a, D b) -> std::optional<Dim> { return a - b; }, evaluate_binary<SubValue>,
      lowered_map("sub", kLoweredNumbers, fold(Op::sub))));
  c.add(binary_def(
      "Mul", kNumbers, [](D a, D b) -> std::optional<Dim> { return a * b; }, evaluate_binary<MulValue>,
      lowered_map("mul", kLoweredNumbers, fold(Op::mul))));
  c.add(binary_def("Div", kNumbers, dim_div, evaluate_binary<DivValue>,
                   lowered_map("div", bit(DType::f32), fold(Op::div))));
  OpDef pow = binary_def("Pow", kNumbers, nullptr, evaluate_pow, lower_pow_map);
  pow.infer = infer_pow;
  c.add(std::move(pow));
  OpDef mod = binary_def("Mod", kNumbers, nullptr, evaluate_mod, lower_mod);
  mod.infer = infer_mod;
  c.add(std::move(mod));

  c.add(variadic_def(
      "Min", kNumbers, [](D a, D b) -> std::optional<Dim> { return min(a, b); }, evaluate_variadic<MinValue>,
      lowered_map("min", kLoweredNumbers, extreme(Op::min))));
  c.add(variadic_def(
      "Max", kNumbers, [](D a, D b) -> std::optional<Dim> { return max(a, b); }, evaluate_variadic<MaxValue>,
      lowered_map("max", kLoweredNumbers, extreme(Op::max))));
  c.add(variadic_def("Sum", kFloats, nullptr, evaluate_variadic<AddValue>,
                     lowered_map("sum", bit(DType::f32), fold(Op::add))));
  OpDef mean = variadic_def("Mean", kFloats, nullptr, evaluate_mean, lowered_map("mean", bit(DType::f32), lower_mean));
  mean.cost = [](const CostContext& ctx) { return cost_per_output(static_cast<double>(ctx.node.inputs.size()))(ctx); };
  c.add(std::move(mean));

  OpDef shift = binary_def("BitShift", kUnsigned, nullptr, evaluate_bit_shift, nullptr);
  shift.infer = infer_bit_shift;
  c.add(std::move(shift));
  c.add(binary_def("BitwiseAnd", kIntegers, nullptr, evaluate_bitwise<std::bit_and<>>, nullptr));
  c.add(binary_def("BitwiseOr", kIntegers, nullptr, evaluate_bitwise<std::bit_or<>>, nullptr));
  c.add(binary_def("BitwiseXor", kIntegers, nullptr, evaluate_bitwise<std::bit_xor<>>, nullptr));
  c.add({.name = "BitwiseNot",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::elementwise,
         .infer = same_as_input(kIntegers),
         .cost = cost_per_output(1),
         .evaluate = evaluate_bit_not});
}

}  // namespace rooftune::ops
