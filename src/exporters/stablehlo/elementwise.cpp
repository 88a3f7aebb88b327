#include <algorithm>
#include <cmath>

#include "exporters/stablehlo/spelling.h"

namespace rooftune::exporters::stablehlo {
namespace {

using ir::DType;

/// A template argument that is text.
template <size_t n>
struct Text {
  char text[n];
  constexpr Text(const char (&t)[n]) { std::copy(t, t + n, text); }  // NOLINT: meant to convert
};

template <Text name>
void unary(Spelling& s) {
  s.set(s.lines().same(name.text, {s.in(0)}));
}

/// All inputs at the output's shape.
std::vector<Val> aligned(Spelling& s) {
  std::vector<Val> out;
  for (size_t i = 0; i < s.count(); ++i) out.push_back(s.lines().broadcast(s.in(i), s.out_shape()));
  return out;
}

/// Also of more than two inputs: one after the other.
template <Text name>
void binary(Spelling& s) {
  const std::vector<Val> in = aligned(s);
  Val out = in[0];
  for (size_t i = 1; i < in.size(); ++i) out = s.lines().same(name.text, {out, in[i]});
  s.set(out);
}

template <Text direction>
void comparison(Spelling& s) {
  std::vector<Val> in = aligned(s);
  if (in[0].dtype == DType::string) s.fail("strings cannot be written as StableHLO");
  s.set(s.lines().compare(direction.text, in[0], in[1]));
}

/// A function of one value, of its number constants and its steps.
template <Val (*compute)(Spelling&, const Val&)>
void function(Spelling& s) {
  s.set(compute(s, s.in(0)));
}

Val number(Spelling& s, const Val& like, double value) { return s.lines().splat(like.dtype, like.shape, value); }
Val op(Spelling& s, const char* name, const std::vector<Val>& in) {
  return s.lines().same(std::string("stablehlo.") + name, in);
}

Val clamped(Spelling& s, const Val& x, double low, double high) {
  return op(s, "minimum", {op(s, "maximum", {x, number(s, x, low)}), number(s, x, high)});
}

Val reciprocal(Spelling& s, const Val& x) { return op(s, "divide", {number(s, x, 1), x}); }
Val relu(Spelling& s, const Val& x) { return op(s, "maximum", {x, number(s, x, 0)}); }

/// x where positive, else `below`.
Val positive_or(Spelling& s, const Val& x, const Val& below) {
  return s.lines().select(s.lines().compare("GT", x, number(s, x, 0)), x, below);
}

Val leaky_relu(Spelling& s, const Val& x) {
  return positive_or(s, x, op(s, "multiply", {x, number(s, x, s.node().attr_float("alpha", 0.01F))}));
}

Val elu(Spelling& s, const Val& x) {
  const Val below = op(s, "exponential_minus_one", {op(s, "minimum", {x, number(s, x, 0)})});
  return positive_or(s, x, op(s, "multiply", {below, number(s, x, s.node().attr_float("alpha", 1))}));
}

/// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
Val softplus(Spelling& s, const Val& x) {
  const Val small = op(s, "exponential", {op(s, "negate", {op(s, "abs", {x})})});
  return op(s, "add", {relu(s, x), op(s, "log_plus_one", {small})});
}

Val hard_sigmoid_of(Spelling& s, const Val& x, double alpha, double beta) {
  return clamped(s, op(s, "add", {op(s, "multiply", {x, number(s, x, alpha)}), number(s, x, beta)}), 0, 1);
}

Val hard_sigmoid(Spelling& s, const Val& x) {
  return hard_sigmoid_of(s, x, s.node().attr_float("alpha", 0.2F), s.node().attr_float("beta", 0.5F));
}

Val hard_swish(Spelling& s, const Val& x) { return op(s, "multiply", {x, hard_sigmoid_of(s, x, 1.0 / 6, 0.5)}); }

Val erf_of(Spelling& s, const Val& x) { return s.lines().same("chlo.erf", {x}); }

Val gelu(Spelling& s, const Val& x) {
  Val inner;
  if (s.node().attr_string("approximate", "none") == "tanh") {
    const Val cube = op(s, "multiply", {op(s, "multiply", {x, x}), x});
    const Val sum = op(s, "add", {x, op(s, "multiply", {cube, number(s, x, 0.044715)})});
    inner = op(s, "tanh", {op(s, "multiply", {sum, number(s, x, std::sqrt(2 / M_PI))})});
  } else {
    inner = erf_of(s, op(s, "multiply", {x, number(s, x, std::sqrt(0.5))}));
  }
  return op(s, "multiply", {op(s, "multiply", {x, number(s, x, 0.5)}), op(s, "add", {inner, number(s, x, 1)})});
}

/// A bound of Clip, which is a scalar, or of one element.
Val bound(Spelling& s, size_t i) { return s.lines().broadcast(s.lines().reshape(s.in(i), {}), s.in(0).shape, {}); }

void clip(Spelling& s) {
  Val x = s.in(0);
  if (s.has(1)) x = op(s, "maximum", {x, bound(s, 1)});
  if (s.has(2)) x = op(s, "minimum", {x, bound(s, 2)});
  s.set(x);
}

void cast(Spelling& s) {
  const Val x = s.in(0);
  if (x.dtype == DType::string || s.out_dtype() == DType::string) s.fail("strings cannot be written as StableHLO");
  s.set(s.lines().convert(x, s.out_dtype()));
}

void pow(Spelling& s) {
  const Val x = s.lines().broadcast(s.in(0), s.out_shape());
  const Val y = s.lines().broadcast(s.lines().convert(s.in(1), x.dtype), s.out_shape());
  s.set(op(s, "power", {x, y}));
}

void prelu(Spelling& s) {
  const Val x = s.in(0), slope = s.lines().broadcast(s.in(1), x.shape);
  s.set(positive_or(s, x, op(s, "multiply", {x, slope})));
}

/// The sign is that of the divisor, or with fmod that of the dividend, which is StableHLO's.
void mod(Spelling& s) {
  const std::vector<Val> in = aligned(s);
  const Val r = op(s, "remainder", in);
  if (s.node().attr_int("fmod", 0) != 0) return s.set(r);
  const Val zero = number(s, r, 0);
  const Val differ = s.lines().compare("NE", s.lines().compare("LT", r, zero), s.lines().compare("LT", in[1], zero));
  const Val moved = s.lines().same("stablehlo.and", {differ, s.lines().compare("NE", r, zero)});
  s.set(s.lines().select(moved, op(s, "add", {r, in[1]}), r));
}

void where(Spelling& s) {
  const std::vector<Val> in = aligned(s);
  s.set(s.lines().select(in[0], in[1], in[2]));
}

void identity(Spelling& s) {
  s.require_one_output();
  s.set(s.in(0));
}

}  // namespace

void add_elementwise(Table& table) {
  table["Abs"] = unary<"stablehlo.abs">;
  table["Neg"] = unary<"stablehlo.negate">;
  table["Exp"] = unary<"stablehlo.exponential">;
  table["Log"] = unary<"stablehlo.log">;
  table["Sqrt"] = unary<"stablehlo.sqrt">;
  table["Floor"] = unary<"stablehlo.floor">;
  table["Ceil"] = unary<"stablehlo.ceil">;
  table["Round"] = unary<"stablehlo.round_nearest_even">;
  table["Sign"] = unary<"stablehlo.sign">;
  table["Sin"] = unary<"stablehlo.sine">;
  table["Cos"] = unary<"stablehlo.cosine">;
  table["Tan"] = unary<"stablehlo.tan">;
  table["Tanh"] = unary<"stablehlo.tanh">;
  table["Sigmoid"] = unary<"stablehlo.logistic">;
  table["Not"] = unary<"stablehlo.not">;
  table["BitwiseNot"] = unary<"stablehlo.not">;
  table["Erf"] = unary<"chlo.erf">;
  table["Reciprocal"] = function<reciprocal>;
  table["Relu"] = function<relu>;
  table["LeakyRelu"] = function<leaky_relu>;
  table["Elu"] = function<elu>;
  table["Softplus"] = function<softplus>;
  table["HardSigmoid"] = function<hard_sigmoid>;
  table["HardSwish"] = function<hard_swish>;
  table["Gelu"] = function<gelu>;
  table["Clip"] = clip;
  table["Cast"] = cast;

  table["Add"] = binary<"stablehlo.add">;
  table["Sum"] = binary<"stablehlo.add">;
  table["Sub"] = binary<"stablehlo.subtract">;
  table["Mul"] = binary<"stablehlo.multiply">;
  table["Div"] = binary<"stablehlo.divide">;
  table["Max"] = binary<"stablehlo.maximum">;
  table["Min"] = binary<"stablehlo.minimum">;
  table["And"] = binary<"stablehlo.and">;
  table["Or"] = binary<"stablehlo.or">;
  table["Xor"] = binary<"stablehlo.xor">;
  table["BitwiseAnd"] = binary<"stablehlo.and">;
  table["BitwiseOr"] = binary<"stablehlo.or">;
  table["BitwiseXor"] = binary<"stablehlo.xor">;
  table["Equal"] = comparison<"EQ">;
  table["Less"] = comparison<"LT">;
  table["LessOrEqual"] = comparison<"LE">;
  table["Greater"] = comparison<"GT">;
  table["GreaterOrEqual"] = comparison<"GE">;
  table["Pow"] = pow;
  table["PRelu"] = prelu;
  table["Mod"] = mod;
  table["Where"] = where;
  table["Identity"] = identity;
  table["Dropout"] = identity;
}

}  // namespace rooftune::exporters::stablehlo
