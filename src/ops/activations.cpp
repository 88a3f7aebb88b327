// Activation functions, Clip and PRelu among them.
#include <cmath>
#include <limits>
#include <numbers>

#include "ops/elementwise.h"
#include "ops/families.h"

namespace rooftune::ops {
namespace {

using kernel::Op;

// --- formulas as stages

int sigmoid(StageBuilder& s, int x) {
  return s.div(s.constant(1), s.add(s.constant(1), s.unary(Op::exp, s.unary(Op::neg, x))));
}

int softplus(StageBuilder& s, int x) {  // max(x, 0) + log(1 + exp(-|x|)) never overflows
  const int tail = s.unary(Op::log, s.add(s.constant(1), s.unary(Op::exp, s.unary(Op::neg, s.unary(Op::abs, x)))));
  return s.add(s.max(x, s.constant(0)), tail);
}

int select_positive(StageBuilder& s, int x, int positive, int other) {
  return s.select(s.node(Op::lt, DType::boolean, s.constant(0, s.type_of(x)), x), positive, other);
}

int exp_minus_one(StageBuilder& s, int x) { return s.sub(s.unary(Op::exp, s.min(x, s.constant(0))), s.constant(1)); }

int clamp(StageBuilder& s, int x, double low, double high) {
  return s.min(s.max(x, s.constant(low)), s.constant(high));
}

int gelu_stage(const Node& node, StageBuilder& s, int x) {
  int inner = 0;
  if (node.attr_string("approximate", "none") == "tanh") {
    const int cubic = s.mul(s.mul(s.mul(s.constant(0.044715), x), x), x);
    inner = s.unary(Op::tanh, s.mul(s.constant(std::sqrt(2 * std::numbers::inv_pi)), s.add(x, cubic)));
  } else {
    inner = s.unary(Op::erf, s.mul(x, s.constant(std::numbers::sqrt2 / 2)));
  }
  return s.mul(s.mul(s.constant(0.5), x), s.add(s.constant(1), inner));
}

// --- the same as functions

struct SoftplusValue {
  template <typename T> T operator()(T x) const { return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x))); }
};

auto gelu(const Node& node) {
  const std::string approximate = node.attr_string("approximate", "none");
  if (approximate != "none" && approximate != "tanh")
    fail(node, fmt::format("approximate is '{}', but must be none or tanh", approximate));
  return [tanh = approximate == "tanh"](auto x) {
    using T = decltype(x);
    if (tanh)
      return T(0.5) * x * (1 + std::tanh(T(std::sqrt(2 * std::numbers::inv_pi)) * (x + T(0.044715) * x * x * x)));
    return T(0.5) * x * (1 + std::erf(x * T(std::numbers::sqrt2 / 2)));
  };
}

void register_exponential(Catalogue& c) {
  c.add(unary_float(
      "Sigmoid", 4, [](const Node&) { return [](auto x) { return 1 / (1 + std::exp(-x)); }; },
      [](const Node&, StageBuilder& s, int x) { return sigmoid(s, x); }));
  c.add(unary_float(
      "Tanh", 1, [](const Node&) { return [](auto x) { return std::tanh(x); }; },
      [](const Node&, StageBuilder& s, int x) { return s.unary(Op::tanh, x); }));
  c.add(unary_float(
      "Elu", 4,
      [](const Node& node) {
        return [alpha = node.attr_float("alpha", 1)](auto x) {
          return x > 0 ? x : static_cast<decltype(x)>(alpha) * std::expm1(x);
        };
      },
      [](const Node& node, StageBuilder& s, int x) {
        return select_positive(s, x, x, s.mul(s.constant(node.attr_float("alpha", 1)), exp_minus_one(s, x)));
      }));
  c.add(unary_float(
      "Celu", 5,
      [](const Node& node) {
        return [alpha = node.attr_float("alpha", 1)](auto x) {
          const auto a = static_cast<decltype(x)>(alpha);
          return x > 0 ? x : a * std::expm1(x / a);
        };
      },
      [](const Node& node, StageBuilder& s, int x) {  // the minimum before the division: alpha may be negative
        const int alpha = s.constant(node.attr_float("alpha", 1));
        const int power = s.unary(Op::exp, s.div(s.min(x, s.constant(0)), alpha));
        return select_positive(s, x, x, s.mul(alpha, s.sub(power, s.constant(1))));
      }));
  c.add(unary_float(
      "Selu", 5,
      [](const Node& node) {
        return [alpha = node.attr_float("alpha", 1.67326319217681884765625F),
                gamma = node.attr_float("gamma", 1.05070102214813232421875F)](auto x) {
          using T = decltype(x);
          return T(gamma) * (x > 0 ? x : T(alpha) * std::expm1(x));
        };
      },
      [](const Node& node, StageBuilder& s, int x) {
        const int negative =
            s.mul(s.constant(node.attr_float("alpha", 1.67326319217681884765625F)), exp_minus_one(s, x));
        return s.mul(s.constant(node.attr_float("gamma", 1.05070102214813232421875F)),
                     select_positive(s, x, x, negative));
      }));
  c.add(unary_float(
      "Softplus", 6, [](const Node&) { return SoftplusValue(); },
      [](const Node&, StageBuilder& s, int x) { return softplus(s, x); }));
  c.add(unary_float(
      "Mish", 8, [](const Node&) { return [](auto x) { return x * std::tanh(SoftplusValue()(x)); }; },
      [](const Node&, StageBuilder& s, int x) { return s.mul(x, s.unary(Op::tanh, softplus(s, x))); }));
  OpDef gelu_def = unary_float("Gelu", 5, gelu, gelu_stage);
  gelu_def.cost = [](const CostContext& ctx) {
    return cost_per_output(ctx.node.attr_string("approximate", "none") == "tanh" ? 9 : 5)(ctx);
  };
  c.add(std::move(gelu_def));
  c.add(unary_float(
      "Swish", 6,
      [](const Node& node) {
        return [alpha = node.attr_float("alpha", 1)](auto x) {
          return x / (1 + std::exp(static_cast<decltype(x)>(-alpha) * x));
        };
      },
      [](const Node& node, StageBuilder& s, int x) {
        return s.mul(x, sigmoid(s, s.mul(s.constant(node.attr_float("alpha", 1)), x)));
      }));
}

void register_piecewise(Catalogue& c) {
  c.add(unary_float(
      "LeakyRelu", 2,
      [](const Node& node) {
        return [alpha = node.attr_float("alpha", 0.01F)](auto x) {
          return x >= 0 ? x : static_cast<decltype(x)>(alpha) * x;
        };
      },
      [](const Node& node, StageBuilder& s, int x) {
        return select_positive(s, x, x, s.mul(s.constant(node.attr_float("alpha", 0.01F)), x));
      }));
  c.add(unary_float(
      "ThresholdedRelu", 1,
      [](const Node& node) {
        return [alpha = node.attr_float("alpha", 1)](auto x) { return x > alpha ? x : decltype(x)(0); };
      },
      [](const Node& node, StageBuilder& s, int x) {
        return s.select(s.node(Op::lt, DType::boolean, s.constant(node.attr_float("alpha", 1)), x), x, s.constant(0));
      }));
  c.add(unary_float(
      "HardSigmoid", 4,
      [](const Node& node) {
        return [alpha = node.attr_float("alpha", 0.2F), beta = node.attr_float("beta", 0.5F)](auto x) {
          using T = decltype(x);
          return std::max(T(0), std::min(T(1), T(alpha) * x + T(beta)));
        };
      },
      [](const Node& node, StageBuilder& s, int x) {
        return clamp(
            s, s.add(s.mul(s.constant(node.attr_float("alpha", 0.2F)), x), s.constant(node.attr_float("beta", 0.5F))),
            0, 1);
      }));
  c.add(unary_float(
      "HardSwish", 5,
      [](const Node&) {
        return [](auto x) {
          using T = decltype(x);
          return x * std::max(T(0), std::min(T(1), x * T(1.0F / 6) + T(0.5)));
        };
      },
      [](const Node&, StageBuilder& s, int x) {
        return s.mul(x, clamp(s, s.add(s.mul(x, s.constant(1.0F / 6)), s.constant(0.5)), 0, 1));
      }));
  c.add(unary_float(
      "Softsign", 3, [](const Node&) { return [](auto x) { return x / (1 + std::abs(x)); }; },
      [](const Node&, StageBuilder& s, int x) { return s.div(x, s.add(s.constant(1), s.unary(Op::abs, x))); }));
}

// --- activations of integers too

constexpr DTypeSet kLoweredSigned = set_of({DType::f32, DType::i32, DType::i64});

void evaluate_relu(EvalContext& ctx) {
  dispatch<float, double, int8_t, int16_t, int32_t, int64_t>(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    ctx.set_output(0, map_unary<T>(ctx.input(0), [](T x) { return x < 0 ? T(0) : x; }));
  });
}

void infer_prelu(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, 1, kFloats | set_of({DType::i32, DType::i64, DType::u32, DType::u64}));
  if (ctx.has_shape(0) && ctx.has_shape(1)) {
    const Shape& x = ctx.shape(0);
    const Shape& slope = ctx.shape(1);
    bool fits = slope.size() <= x.size();
    for (size_t d = 0; fits && d < slope.size(); ++d) {
      const Dim& to = x[x.size() - slope.size() + d];
      fits = slope[d] == Dim(1) || slope[d] == to || !slope[d].is_static() || !to.is_static();
    }
    if (!fits) ctx.fail(fmt::format("slope {} does not broadcast to {}", to_string(slope), to_string(x)));
  }
  ctx.set_output(0, Type::tensor(dtype, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
}

void evaluate_prelu(EvalContext& ctx) {
  dispatch<float, double, int32_t, int64_t, uint32_t, uint64_t>(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    ctx.set_output(0, map_binary<T, T, T>(ctx.node(), ctx.input(0), ctx.input(1),
                                          [](T x, T slope) { return x < 0 ? x * slope : x; }));
  });
}

// --- Clip

void infer_clip(InferContext& ctx) {
  require_same(ctx, 0, ctx.input_count() - 1, kNumbers);
  for (int i = 1; i <= 2; ++i) require_scalar(ctx, i, kNumbers);
  ctx.set_output(0, ctx.input(0));
  auto values = ctx.ints(0);
  for (int i = 1; values && i <= 2; ++i) {
    if (!ctx.has_input(i)) continue;
    const auto bound = ctx.ints(i);
    if (!bound || bound->size() != 1) return;
    for (Dim& v : *values) v = i == 1 ? max(v, (*bound)[0]) : min(v, (*bound)[0]);
  }
  if (values) ctx.set_output_ints(0, std::move(*values));
}

void evaluate_clip(EvalContext& ctx) {
  for (int i = 1; i <= 2; ++i) {
    if (ctx.has_input(i) && ctx.input(i).size() != 1) ctx.fail(fmt::format("input {} must be a scalar", i));
  }
  dispatch_number(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T low = std::numeric_limits<T>::lowest(), high = std::numeric_limits<T>::max();
    if constexpr (std::is_floating_point_v<T>) {
      low = -std::numeric_limits<T>::infinity();
      high = std::numeric_limits<T>::infinity();
    }
    if (ctx.has_input(1)) low = ctx.input(1).data<T>()[0];
    if (ctx.has_input(2)) high = ctx.input(2).data<T>()[0];
    ctx.set_output(0, map_unary<T>(ctx.input(0), [low, high](T x) {
                     const T raised = x < low ? low : x;
                     return raised > high ? high : raised;
                   }));
  });
}

// --- Shrink

void evaluate_shrink(EvalContext& ctx) {
  const float limit = ctx.node().attr_float("lambd", 0.5F), bias = ctx.node().attr_float("bias", 0);
  dispatch_number(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Wide = std::conditional_t<std::is_floating_point_v<T>, T, int64_t>;  // small integers wrap around
    ctx.set_output(0, map_unary<T>(ctx.input(0), [limit, bias](T x) {
                     const auto v = static_cast<double>(x);
                     const double moved = v < -limit ? v + bias : v > limit ? v - bias : 0;
                     return static_cast<T>(static_cast<Wide>(moved));
                   }));
  });
}

int shrink_stage(LowerContext& ctx, StageBuilder& s, const std::vector<int>& x) {
  const int limit = s.constant(ctx.node().attr_float("lambd", 0.5F)),
            bias = s.constant(ctx.node().attr_float("bias", 0));
  const int above = s.select(s.node(Op::lt, DType::boolean, limit, x[0]), s.sub(x[0], bias), s.constant(0));
  return s.select(s.node(Op::lt, DType::boolean, x[0], s.unary(Op::neg, limit)), s.add(x[0], bias), above);
}

int clip_stage(LowerContext& ctx, StageBuilder& s, const std::vector<int>& x) {
  int value = x[0];
  if (ctx.has_input(1)) value = s.max(x[1], value);  // in this order a NaN stays one
  if (ctx.has_input(2)) value = s.min(x[2], value);
  return value;
}

}  // namespace

void register_activations(Catalogue& c) {
  register_exponential(c);
  register_piecewise(c);
  c.add({.name = "Relu",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::elementwise,
         .infer = same_as_input(kFloats | kSigned),
         .cost = cost_per_output(1),
         .evaluate = widened(evaluate_relu),
         .lower = lowered_map("relu", kLoweredSigned, [](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
           return s.max(s.constant(0, s.type_of(x[0])), x[0]);  // in this order a NaN stays one
         })});
  c.add({.name = "PRelu",
         .min_inputs = 2,
         .max_inputs = 2,
         .pattern = Pattern::elementwise,
         .infer = infer_prelu,
         .cost = cost_per_output(2),
         .evaluate = widened(evaluate_prelu),
         .lower = lowered_map("p_relu", kLoweredSigned, [](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
           return s.select(s.node(Op::lt, DType::boolean, x[0], s.constant(0, s.type_of(x[0]))), s.mul(x[0], x[1]),
                           x[0]);
         })});
  c.add({.name = "Shrink",
         .since_version = 9,
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::elementwise,
         .infer = same_as_input(kNumbers),
         .cost = cost_per_output(3),
         .evaluate = widened(evaluate_shrink),
         .lower = lowered_map("shrink", bit(DType::f32), shrink_stage)});
  c.add({.name = "Clip",
         .min_inputs = 1,
         .max_inputs = 3,
         .pattern = Pattern::elementwise,
         .infer = infer_clip,
         .cost = cost_per_output(2),
         .evaluate = widened(evaluate_clip),
         .lower = lowered_map("clip", kLowered & kNumbers, clip_stage)});
}

}  // namespace rooftune::ops
