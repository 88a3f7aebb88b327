// Functions of one or two numbers: arithmetic, comparison, logic.
#include <cmath>
#include <limits>
#include <numbers>

#include "frontends/torch/lowering.h"

namespace rooftune::frontends::torch_format {
namespace {

ValueId self_as_result(Context& c) { return c.cast(c.tensor("self"), c.result().dtype); }

/// One operator of ONNX, on the result's element type (PyTorch computes sqrt of integers in f32).
Lowering unary(std::string_view op) {
  return [op = std::string(op)](Context& c) { c.give(c.op(op, {self_as_result(c)})); };
}

/// One of ONNX on floating-point numbers; integers stay as they are.
Lowering rounding(std::string_view op) {
  return [op = std::string(op)](Context& c) {
    const ValueId x = self_as_result(c);
    c.give(ir::is_float(c.dtype(x)) ? c.op(op, {x}) : c.op("Identity", {x}));
  };
}

void truncate(Context& c) {
  const ValueId x = self_as_result(c);
  if (!ir::is_float(c.dtype(x))) return c.give(c.op("Identity", {x}));
  c.give(c.op("Mul", {c.op("Sign", {x}), c.op("Floor", {c.op("Abs", {x})})}));
}

void round_to(Context& c) {
  const ValueId x = self_as_result(c);
  if (!ir::is_float(c.dtype(x))) return c.give(c.op("Identity", {x}));
  const int64_t decimals = c.integer("decimals", 0);
  if (decimals == 0) return c.give(c.op("Round", {x}));
  const ValueId scale = c.scalar(c.dtype(x), std::pow(10.0, static_cast<double>(decimals)));
  c.give(c.op("Div", {c.op("Round", {c.op("Mul", {x, scale})}), scale}));
}

void register_unary(Lowerings& t) {
  for (const auto& [target, op] :
       std::initializer_list<std::pair<const char*, const char*>>{{"abs", "Abs"},
                                                                  {"acos", "Acos"},
                                                                  {"arccos", "Acos"},
                                                                  {"acosh", "Acosh"},
                                                                  {"arccosh", "Acosh"},
                                                                  {"asin", "Asin"},
                                                                  {"arcsin", "Asin"},
                                                                  {"asinh", "Asinh"},
                                                                  {"arcsinh", "Asinh"},
                                                                  {"atan", "Atan"},
                                                                  {"arctan", "Atan"},
                                                                  {"atanh", "Atanh"},
                                                                  {"arctanh", "Atanh"},
                                                                  {"cos", "Cos"},
                                                                  {"cosh", "Cosh"},
                                                                  {"erf", "Erf"},
                                                                  {"special_erf", "Erf"},
                                                                  {"exp", "Exp"},
                                                                  {"log", "Log"},
                                                                  {"neg", "Neg"},
                                                                  {"negative", "Neg"},
                                                                  {"absolute", "Abs"},
                                                                  {"reciprocal", "Reciprocal"},
                                                                  {"sigmoid", "Sigmoid"},
                                                                  {"special_expit", "Sigmoid"},
                                                                  {"sign", "Sign"},
                                                                  {"sgn", "Sign"},
                                                                  {"sin", "Sin"},
                                                                  {"sinh", "Sinh"},
                                                                  {"sqrt", "Sqrt"},
                                                                  {"tan", "Tan"},
                                                                  {"tanh", "Tanh"}})
    t.add(fmt::format("aten.{}.default", target), unary(op));
  t.add("aten.floor.default", rounding("Floor"));
  t.add("aten.ceil.default", rounding("Ceil"));
  t.add({"aten.trunc.default", "aten.fix.default"}, truncate);
  t.add({"aten.round.default", "aten.round.decimals"}, round_to);
  t.add("aten.frac.default", [](Context& c) {
    const ValueId x = self_as_result(c);
    c.give(c.op("Sub", {x, c.op("Mul", {c.op("Sign", {x}), c.op("Floor", {c.op("Abs", {x})})})}));
  });
  t.add("aten.rsqrt.default", [](Context& c) { c.give(c.op("Reciprocal", {c.op("Sqrt", {self_as_result(c)})})); });
  t.add("aten.square.default", [](Context& c) {
    const ValueId x = self_as_result(c);
    c.give(c.op("Mul", {x, x}));
  });
  const auto scaled_log = [](double base) {
    return [base](Context& c) {
      const ValueId x = c.op("Log", {self_as_result(c)});
      c.give(c.op("Mul", {x, c.scalar(c.dtype(x), 1 / std::log(base))}));
    };
  };
  t.add("aten.log2.default", scaled_log(2));
  t.add("aten.log10.default", scaled_log(10));
  t.add({"aten.log1p.default", "aten.special_log1p.default"}, [](Context& c) {
    const ValueId x = self_as_result(c);
    c.give(c.op("Log", {c.op("Add", {x, c.scalar(c.dtype(x), 1)})}));
  });
  t.add({"aten.expm1.default", "aten.special_expm1.default"}, [](Context& c) {
    const ValueId x = c.op("Exp", {self_as_result(c)});
    c.give(c.op("Sub", {x, c.scalar(c.dtype(x), 1)}));
  });
  t.add({"aten.exp2.default", "aten.special_exp2.default"}, [](Context& c) {
    const ValueId x = self_as_result(c);
    c.give(c.op("Exp", {c.op("Mul", {x, c.scalar(c.dtype(x), std::numbers::ln2)})}));
  });
  t.add({"aten.erfc.default", "aten.special_erfc.default"}, [](Context& c) {
    const ValueId x = c.op("Erf", {self_as_result(c)});
    c.give(c.op("Sub", {c.scalar(c.dtype(x), 1), x}));
  });
}

// --- two operands

/// One operator of ONNX, on operands of the result's element type.
Lowering binary(std::string_view op, std::string_view on_booleans = "") {
  return [op = std::string(op), on_booleans = std::string(on_booleans)](Context& c) {
    const DType dtype = c.result().dtype;
    const std::string& chosen = dtype == DType::boolean && !on_booleans.empty() ? on_booleans : op;
    c.give(c.op(chosen, {c.operand("self", dtype), c.operand("other", dtype)}));
  };
}

/// `value` times the argument `alpha`, where that is not 1.
ValueId times_alpha(Context& c, ValueId value) {
  if (!c.has("alpha") || c.real("alpha", 1) == 1) return value;
  return c.op("Mul", {value, c.operand("alpha", c.dtype(value))});
}

/// Division of integers that rounds down, as Python's // does.
ValueId floor_divide(Context& c, ValueId a, ValueId b) {
  if (ir::is_float(c.dtype(a))) return c.op("Floor", {c.op("Div", {a, b})});
  return c.op("Div", {c.op("Sub", {a, c.op("Mod", {a, b})}), b});  // exact, so rounding plays no part
}

void divide(Context& c) {
  const DType dtype = c.result().dtype;
  const ValueId a = c.operand("self", dtype), b = c.operand("other", dtype);
  const std::string mode = c.text("rounding_mode", "");
  if (mode.empty()) return c.give(c.op("Div", {a, b}));
  if (mode == "floor") return c.give(floor_divide(c, a, b));
  if (mode != "trunc") c.fail(fmt::format("rounding_mode '{}' is none of 'floor' and 'trunc'", mode));
  const ValueId quotient = c.op("Div", {a, b});
  if (!ir::is_float(dtype)) return c.give(quotient);
  c.give(c.op("Mul", {c.op("Sign", {quotient}), c.op("Floor", {c.op("Abs", {quotient})})}));
}

void remainder(Context& c) {  // has the sign of the divisor
  const DType dtype = c.result().dtype;
  const ValueId a = c.operand("self", dtype), b = c.operand("other", dtype);
  if (!ir::is_float(dtype)) return c.give(c.op("Mod", {a, b}));
  c.give(c.op("Sub", {a, c.op("Mul", {c.op("Floor", {c.op("Div", {a, b})}), b})}));
}

void power(Context& c) {
  const DType dtype = c.result().dtype;
  const ValueId base = c.operand("self", dtype);
  if (!c.is_tensor("exponent")) {
    const double exponent = c.real("exponent", 1);
    if (exponent == 1) return c.give(c.op("Identity", {base}));
    if (exponent == 2) return c.give(c.op("Mul", {base, base}));
    if (exponent == 0.5 && ir::is_float(dtype)) return c.give(c.op("Sqrt", {base}));
    if (exponent == -0.5 && ir::is_float(dtype)) return c.give(c.op("Reciprocal", {c.op("Sqrt", {base})}));
    if (exponent == -1 && ir::is_float(dtype)) return c.give(c.op("Reciprocal", {base}));
  }
  c.give(c.op("Pow", {base, c.operand("exponent", dtype)}));
}

void atan2(Context& c) {
  const DType dtype = c.result().dtype;
  const ValueId y = c.operand("self", dtype), x = c.operand("other", dtype), zero = c.scalar(dtype, 0);
  const auto compare = [&](std::string_view op, ValueId a) { return c.op_as(DType::boolean, op, {a, zero}); };
  const auto choose = [&](ValueId condition, ValueId a, ValueId b) {
    return c.op_as(dtype, "Where", {condition, a, b});
  };
  const ValueId pi = c.scalar(dtype, std::numbers::pi), half_pi = c.scalar(dtype, std::numbers::pi / 2);
  const ValueId base = c.op("Atan", {c.op("Div", {y, x})});
  const ValueId turned = choose(compare("Less", y), c.op("Sub", {base, pi}), c.op("Add", {base, pi}));
  const ValueId right = choose(compare("Less", x), turned, base);
  const ValueId on_axis = choose(compare("Equal", y), zero, c.op("Mul", {c.op("Sign", {y}), half_pi}));
  c.give(choose(compare("Equal", x), on_axis, right));
}

void register_binary(Lowerings& t) {
  t.add({"aten.add.Tensor", "aten.add.Scalar"}, [](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand("self", dtype), b = times_alpha(c, c.operand("other", dtype));
    c.give(c.op(dtype == DType::boolean ? "Or" : "Add", {a, b}));
  });
  t.add({"aten.sub.Tensor", "aten.sub.Scalar", "aten.subtract.Tensor", "aten.subtract.Scalar"}, [](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand("self", dtype);
    c.give(c.op("Sub", {a, times_alpha(c, c.operand("other", dtype))}));
  });
  t.add({"aten.rsub.Tensor", "aten.rsub.Scalar"}, [](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = times_alpha(c, c.operand("self", dtype));
    c.give(c.op("Sub", {c.operand("other", dtype), a}));
  });
  t.add({"aten.mul.Tensor", "aten.mul.Scalar", "aten.multiply.Tensor", "aten.multiply.Scalar"}, binary("Mul", "And"));
  t.add({"aten.div.Tensor", "aten.div.Scalar", "aten.div.Tensor_mode", "aten.div.Scalar_mode", "aten.divide.Tensor",
         "aten.divide.Scalar", "aten.true_divide.Tensor"},
        divide);
  t.add({"aten.floor_divide.default", "aten.floor_divide.Scalar"}, [](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand("self", dtype);
    c.give(floor_divide(c, a, c.operand("other", dtype)));
  });
  t.add({"aten.remainder.Tensor", "aten.remainder.Scalar", "aten.remainder.Scalar_Tensor"}, remainder);
  t.add({"aten.fmod.Tensor", "aten.fmod.Scalar"}, [](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand("self", dtype);
    c.give(c.op("Mod", {a, c.operand("other", dtype)}, {{"fmod", int64_t{1}}}));
  });
  t.add({"aten.pow.Tensor_Tensor", "aten.pow.Tensor_Scalar", "aten.pow.Scalar"}, power);
  t.add({"aten.maximum.default", "aten.max.other"}, binary("Max", "Or"));
  t.add({"aten.minimum.default", "aten.min.other"}, binary("Min", "And"));
  t.add({"aten.atan2.default", "aten.arctan2.default"}, atan2);
  t.add({"aten.hypot.default"}, [](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand("self", dtype), b = c.operand("other", dtype);
    c.give(c.op("Sqrt", {c.op("Add", {c.op("Mul", {a, a}), c.op("Mul", {b, b})})}));
  });
}

// --- comparison and logic

Lowering comparison(std::string_view op, bool negated = false) {
  return [op = std::string(op), negated](Context& c) {
    DType dtype = c.result_type({"self", "other"});
    if (dtype == DType::boolean && op != "Equal") dtype = DType::i32;
    const ValueId a = c.operand("self", dtype);
    const ValueId found = c.op_as(DType::boolean, op, {a, c.operand("other", dtype)});
    c.give(negated ? c.op("Not", {found}) : found);
  };
}

Lowering logic(std::string_view op) {
  return [op = std::string(op)](Context& c) {
    const ValueId a = c.operand("self", DType::boolean);
    c.give(c.op(op, {a, c.operand("other", DType::boolean)}));
  };
}

/// ONNX has other operators for booleans than for integers.
Lowering bitwise(std::string_view on_booleans, std::string_view on_integers) {
  return [b = std::string(on_booleans), i = std::string(on_integers)](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand("self", dtype);
    c.give(c.op(dtype == DType::boolean ? b : i, {a, c.operand("other", dtype)}));
  };
}

/// x · 2ⁿ, or that divided and rounded down.
Lowering shift(bool left) {
  return [left](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand("self", dtype);
    const ValueId factor = c.op("Pow", {c.integer(dtype, 2), c.operand("other", dtype)});
    c.give(left ? c.op("Mul", {a, factor}) : floor_divide(c, a, factor));
  };
}

/// Where `self` holds what IsNaN or IsInf asks for; integers never do.
ValueId find_special(Context& c, std::string_view op) {
  const ValueId x = c.tensor("self");
  if (ir::is_float(c.dtype(x))) return c.op_as(DType::boolean, op, {x});
  return c.full(c.Builder::shape_of(x), ir::Tensor::of<uint8_t>(DType::boolean, {}, {0}));
}

void register_logic(Lowerings& t) {
  for (const auto& [name, alias, op, negated] :
       std::initializer_list<std::tuple<const char*, const char*, const char*, bool>>{
           {"eq", "eq", "Equal", false},
           {"ne", "not_equal", "Equal", true},
           {"lt", "less", "Less", false},
           {"le", "less_equal", "LessOrEqual", false},
           {"gt", "greater", "Greater", false},
           {"ge", "greater_equal", "GreaterOrEqual", false}})
    for (const char* own : {name, alias})
      for (const char* overload : {"Tensor", "Scalar"})
        t.add(fmt::format("aten.{}.{}", own, overload), comparison(op, negated));
  t.add("aten.logical_and.default", logic("And"));
  t.add("aten.logical_or.default", logic("Or"));
  t.add("aten.logical_xor.default", logic("Xor"));
  t.add("aten.logical_not.default", [](Context& c) { c.give(c.op("Not", {c.operand("self", DType::boolean)})); });
  for (const auto& [name, b, i] : std::initializer_list<std::tuple<const char*, const char*, const char*>>{
           {"and", "And", "BitwiseAnd"}, {"or", "Or", "BitwiseOr"}, {"xor", "Xor", "BitwiseXor"}})
    for (const char* overload : {"Tensor", "Scalar"}) {
      t.add(fmt::format("aten.bitwise_{}.{}", name, overload), bitwise(b, i));
      t.add(fmt::format("aten.__{}__.{}", name, overload), bitwise(b, i));
    }
  t.add("aten.bitwise_not.default", [](Context& c) {
    const ValueId x = c.tensor("self");
    c.give(c.op(c.dtype(x) == DType::boolean ? "Not" : "BitwiseNot", {x}));
  });
  t.add({"aten.bitwise_left_shift.Tensor", "aten.bitwise_left_shift.Tensor_Scalar", "aten.__lshift__.Scalar",
         "aten.__lshift__.Tensor"},
        shift(true));
  t.add({"aten.bitwise_right_shift.Tensor", "aten.bitwise_right_shift.Tensor_Scalar", "aten.__rshift__.Scalar",
         "aten.__rshift__.Tensor"},
        shift(false));
  const auto test = [](std::string_view op) {
    return [op = std::string(op)](Context& c) { c.give(find_special(c, op)); };
  };
  t.add("aten.isnan.default", test("IsNaN"));
  t.add("aten.isinf.default", test("IsInf"));
  t.add("aten.isfinite.default",
        [](Context& c) { c.give(c.op("Not", {c.op("Or", {find_special(c, "IsInf"), find_special(c, "IsNaN")})})); });
}

}  // namespace

void register_pointwise(Lowerings& t) {
  register_unary(t);
  register_binary(t);
  register_logic(t);
}

}  // namespace rooftune::frontends::torch_format
