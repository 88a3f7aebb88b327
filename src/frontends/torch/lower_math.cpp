// Activations, and functions of several numbers: clamping, choosing, interpolating.
#include <cmath>
#include <limits>

#include "frontends/torch/lowering.h"

namespace rooftune::frontends::torch_format {
namespace {

ValueId input(Context& c) { return c.cast(c.tensor("self"), c.result().dtype); }

Lowering one(std::string_view op) {
  return [op = std::string(op)](Context& c) { c.give(c.op(op, {input(c)})); };
}

/// One operator with the numbers `attributes` {argument, attribute, default}.
struct FloatAttribute {
  std::string argument, attribute;
  double otherwise;
};
Lowering with_attributes(std::string_view op, std::vector<FloatAttribute> attributes) {
  return [op = std::string(op), attributes](Context& c) {
    Attributes made;
    for (const auto& a : attributes) made[a.attribute] = static_cast<float>(c.real(a.argument, a.otherwise));
    c.give(c.op(op, {input(c)}, std::move(made)));
  };
}

ValueId clip(Context& c, ValueId x, double low, double high) {
  return c.op("Clip", {x, c.scalar(c.dtype(x), low), c.scalar(c.dtype(x), high)});
}

void elu(Context& c) {
  const double scale = c.real("scale", 1), input_scale = c.real("input_scale", 1);
  const ValueId x = input(c);
  const auto alpha = static_cast<float>(c.real("alpha", 1));
  if (input_scale != 1) c.fail(fmt::format("input_scale {} is not supported, only 1", input_scale));
  const ValueId y = c.op("Elu", {x}, {{"alpha", alpha}});
  c.give(scale == 1 ? y : c.op("Mul", {y, c.scalar(c.dtype(y), scale)}));
}

void softplus(Context& c) {
  const double beta = c.real("beta", 1), threshold = c.real("threshold", 20);
  const ValueId x = input(c);
  const auto number = [&](double v) { return c.scalar(c.dtype(x), v); };
  const ValueId scaled = beta == 1 ? x : c.op("Mul", {x, number(beta)});
  const ValueId y = c.op("Softplus", {scaled});
  const ValueId curve = beta == 1 ? y : c.op("Div", {y, number(beta)});
  if (threshold >= 20) return c.give(curve);  // there the curve is the line, as exactly as numbers can say
  c.give(c.op_as(c.dtype(x), "Where", {c.op_as(DType::boolean, "Greater", {scaled, number(threshold)}), x, curve}));
}

void prelu(Context& c) {
  const ValueId x = c.tensor("self");
  ValueId slope = c.tensor("weight");
  const int64_t rank = c.rank_of("self");
  if (c.rank_of("weight") == 1 && rank > 2) {  // one per channel, which is axis 1
    std::vector<int64_t> axes;
    for (int64_t i = 1; i < rank - 1; ++i) axes.push_back(i);
    slope = c.unsqueeze(slope, axes);
  }
  c.give(c.op("PRelu", {x, slope}));
}

void glu(Context& c) {
  const int64_t axis = c.axis(c.integer("dim", -1), c.rank_of("self"));
  const ValueId x = c.tensor("self");
  const auto parts = c.ops("Split", {x}, {c.dtype(x), c.dtype(x)}, {{"axis", axis}, {"num_outputs", int64_t{2}}});
  c.give(c.op("Mul", {parts[0], c.op("Sigmoid", {parts[1]})}));
}

void register_activations(Lowerings& t) {
  t.add("aten.relu.default", one("Relu"));
  t.add("aten.relu6.default", [](Context& c) { c.give(clip(c, input(c), 0, 6)); });
  t.add("aten.hardtanh.default",
        [](Context& c) { c.give(clip(c, input(c), c.real("min_val", -1), c.real("max_val", 1))); });
  t.add("aten.silu.default", [](Context& c) {
    const ValueId x = input(c);
    c.give(c.op("Mul", {x, c.op("Sigmoid", {x})}));
  });
  t.add("aten.gelu.default",
        [](Context& c) { c.give(c.op("Gelu", {input(c)}, {{"approximate", c.text("approximate", "none")}})); });
  t.add("aten.hardswish.default", one("HardSwish"));
  t.add("aten.hardsigmoid.default",
        [](Context& c) { c.give(c.op("HardSigmoid", {input(c)}, {{"alpha", 1.0F / 6}, {"beta", 0.5F}})); });
  t.add("aten.elu.default", elu);
  t.add("aten.selu.default", one("Selu"));
  t.add("aten.celu.default", with_attributes("Celu", {{"alpha", "alpha", 1}}));
  t.add("aten.leaky_relu.default", with_attributes("LeakyRelu", {{"negative_slope", "alpha", 0.01}}));
  t.add({"aten.rrelu.default", "aten.rrelu_with_noise.default", "aten.rrelu_with_noise_functional.default"},
        [](Context& c) {
          if (c.flag("training", false)) c.fail("it draws random slopes: export the model after eval()");
          const double slope = (c.real("lower", 0.125) + c.real("upper", 1.0 / 3)) / 2;
          c.give(c.op("LeakyRelu", {input(c)}, {{"alpha", static_cast<float>(slope)}}));
        });
  t.add("aten.mish.default", one("Mish"));
  t.add("aten.softplus.default", softplus);
  t.add("aten.log_sigmoid.default",
        [](Context& c) { c.give(c.op("Neg", {c.op("Softplus", {c.op("Neg", {input(c)})})})); });
  t.add("aten.hardshrink.default", with_attributes("Shrink", {{"lambd", "lambd", 0.5}}));
  t.add("aten.softshrink.default", with_attributes("Shrink", {{"lambd", "lambd", 0.5}, {"lambd", "bias", 0.5}}));
  t.add("aten.threshold.default", [](Context& c) {
    const ValueId x = input(c);
    const ValueId above = c.op_as(DType::boolean, "Greater", {x, c.operand("threshold", c.dtype(x))});
    c.give(c.op_as(c.dtype(x), "Where", {above, x, c.operand("value", c.dtype(x))}));
  });
  t.add({"aten.prelu.default", "aten._prelu_kernel.default"}, prelu);
  t.add("aten.glu.default", glu);
  t.add("aten.logit.default", [](Context& c) {
    ValueId x = input(c);
    if (c.has("eps")) x = clip(c, x, c.real("eps", 0), 1 - c.real("eps", 0));
    c.give(c.op("Log", {c.op("Div", {x, c.op("Sub", {c.scalar(c.dtype(x), 1), x})})}));
  });
}

// --- choosing

void clamp(Context& c) {
  ValueId x = input(c);
  const DType dtype = c.dtype(x);
  const bool numbers = (!c.has("min") || !c.is_tensor("min")) && (!c.has("max") || !c.is_tensor("max"));
  if (numbers) {
    std::vector<ValueId> inputs{x, c.has("min") ? c.operand("min", dtype) : kNone};
    if (c.has("max")) inputs.push_back(c.operand("max", dtype));
    if (inputs.size() == 2 && inputs[1] == kNone) inputs.pop_back();
    return c.give(c.op("Clip", std::move(inputs)));
  }
  if (c.has("min")) x = c.op("Max", {x, c.operand("min", dtype)});
  if (c.has("max")) x = c.op("Min", {x, c.operand("max", dtype)});
  c.give(x);
}

void where(Context& c) {
  const DType dtype = c.result().dtype;
  const ValueId condition = c.operand("condition", DType::boolean), a = c.operand("self", dtype);
  c.give(c.op_as(dtype, "Where", {condition, a, c.operand("other", dtype)}));
}

void masked_fill(Context& c) {
  const DType dtype = c.result().dtype;
  const ValueId mask = c.operand("mask", DType::boolean), value = c.operand("value", dtype);
  c.give(c.op_as(dtype, "Where", {mask, value, c.operand("self", dtype)}));
}

void lerp(Context& c) {
  const DType dtype = c.result().dtype;
  const ValueId a = c.operand("self", dtype);
  const ValueId step = c.op("Mul", {c.operand("weight", dtype), c.op("Sub", {c.operand("end", dtype), a})});
  c.give(c.op("Add", {a, step}));
}

/// self + value · (tensor1 ∘ tensor2)
Lowering add_combined(std::string_view op) {
  return [op = std::string(op)](Context& c) {
    const DType dtype = c.result().dtype;
    ValueId term = c.op(op, {c.operand("tensor1", dtype), c.operand("tensor2", dtype)});
    if (c.real("value", 1) != 1) term = c.op("Mul", {term, c.operand("value", dtype)});
    c.give(c.op("Add", {c.operand("self", dtype), term}));
  };
}

void nan_to_num(Context& c) {
  ValueId x = input(c);
  const DType dtype = c.dtype(x);
  if (!ir::is_float(dtype)) return c.give(c.op("Identity", {x}));
  const double largest = dtype == DType::f16    ? 65504
                         : dtype == DType::f64  ? std::numeric_limits<double>::max()
                         : dtype == DType::bf16 ? 3.3895313892515355e38
                                                : std::numeric_limits<float>::max();
  const ValueId nan = c.op_as(DType::boolean, "IsNaN", {x});
  const auto replace = [&](ValueId where, double by) { x = c.op_as(dtype, "Where", {where, c.scalar(dtype, by), x}); };
  replace(c.op_as(DType::boolean, "Equal", {x, c.scalar(dtype, HUGE_VAL)}), c.real("posinf", largest));
  replace(c.op_as(DType::boolean, "Equal", {x, c.scalar(dtype, -HUGE_VAL)}), c.real("neginf", -largest));
  replace(nan, c.real("nan", 0));
  c.give(x);
}

}  // namespace

void register_math(Lowerings& t) {
  register_activations(t);
  t.add({"aten.clamp.default", "aten.clamp.Tensor", "aten.clip.default", "aten.clip.Tensor"}, clamp);
  t.add({"aten.clamp_min.default", "aten.clamp_min.Tensor", "aten.clamp_max.default", "aten.clamp_max.Tensor"}, clamp);
  t.add({"aten.where.self", "aten.where.ScalarSelf", "aten.where.ScalarOther", "aten.where.Scalar"}, where);
  t.add({"aten.masked_fill.Scalar", "aten.masked_fill.Tensor"}, masked_fill);
  t.add({"aten.lerp.Scalar", "aten.lerp.Tensor"}, lerp);
  t.add("aten.addcmul.default", add_combined("Mul"));
  t.add("aten.addcdiv.default", add_combined("Div"));
  t.add("aten.nan_to_num.default", nan_to_num);
  t.add({"aten.fmax.default"}, [](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand("self", dtype), b = c.operand("other", dtype);
    const ValueId both = c.op("Max", {a, b});
    const ValueId b_or = c.op_as(dtype, "Where", {c.op_as(DType::boolean, "IsNaN", {a}), b, both});
    c.give(c.op_as(dtype, "Where", {c.op_as(DType::boolean, "IsNaN", {b}), a, b_or}));
  });
}

}  // namespace rooftune::frontends::torch_format
