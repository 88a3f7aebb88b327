// Element-wise operations. Operands that only repeat a smaller value are taken as that: ONNX broadcasts by itself, and
// what is computed of small operands alone is computed small and repeated afterwards.
#include <algorithm>
#include <limits>

#include "frontends/stablehlo/importer.h"
#include "frontends/stablehlo/lowering.h"

namespace rooftune::frontends::stablehlo {
namespace {

using ir::DType;
using ir::ValueId;

/// The operands as they go into the nodes, and the shape that comes out of those.
struct Chosen {
  Lowering& l;
  std::vector<ValueId> ids;
  std::vector<ir::Shape> shapes;
  ir::Shape shape;  // of all of them, broadcast

  ValueId operator[](size_t i) const { return ids[i]; }
  DType dtype(size_t i) const { return l.dtype(i); }
};

/// The shape that ONNX's broadcasting gives; nothing where it is not to be seen, with symbolic dimensions.
std::optional<ir::Shape> broadcast(const std::vector<ir::Shape>& shapes) {
  ir::Shape out;
  for (const ir::Shape& s : shapes) {
    if (s.size() > out.size()) out.insert(out.begin(), s.size() - out.size(), ir::Dim(1));
    for (size_t i = 0; i < s.size(); ++i) {
      ir::Dim& d = out[out.size() - s.size() + i];
      if (d == ir::Dim(1)) d = s[i];
      else if (!(s[i] == ir::Dim(1)) && !(s[i] == d)) return std::nullopt;
    }
  }
  return out;
}

Chosen choose(Lowering& l) {
  Chosen c{l, {}, {}, l.result().shape()};
  for (size_t i = 0; i < l.count(); ++i) {
    const Operand* narrow = l.narrow(l.id(i));
    c.ids.push_back(narrow ? narrow->id : l.id(i));
    c.shapes.push_back(narrow ? narrow->type.shape() : l.type(i).shape());
  }
  const auto shape = broadcast(c.shapes);
  if (shape && shape->size() <= c.shape.size() && (*shape == c.shape || l.result().is_static())) {
    c.shape = *shape;
    return c;
  }
  for (size_t i = 0; i < l.count(); ++i) c.ids[i] = l.id(i), c.shapes[i] = l.type(i).shape();
  return c;
}

void set_repeated(Lowering& l, ValueId value, const ir::Shape& shape) {
  if (shape == l.result().shape()) return l.set(value);
  const ir::Type small = ir::Type::tensor(l.result().dtype(), shape);
  if (l.graph().type(value).kind() == ir::Type::Kind::none) l.graph().value(value).type = small;
  const ValueId wide = l.expand(value, l.result_shape());
  l.set_narrow(wide, {value, small});
  l.set(wide);
}

/// All operands and the result have one shape, but for scalars where `scalars` allows them.
void check_shapes(const Lowering& l, bool scalars) {
  for (size_t i = 0; i < l.count(); ++i) {
    const bool same = l.type(i).shape() == l.result().shape();
    if (!same && !(scalars && l.rank(i) == 0))
      l.fail(fmt::format("operand {} is {} and the result {}: expected equal shapes", i, mlir::text_of(l.type(i)),
                         mlir::text_of(l.result())));
  }
}

template <ValueId (*compute)(Chosen&), size_t operands, bool scalars = false>
void elementwise(Lowering& l) {
  l.require_operands(operands);
  check_shapes(l, scalars);
  Chosen c = choose(l);
  const ValueId value = compute(c);
  set_repeated(l, value, c.shape);
}

// --- building blocks

/// A scalar of operand 0's type.
ValueId number(Chosen& c, double value) { return c.l.scalar(c.dtype(0), value); }
ValueId emit(Chosen& c, const char* op, std::vector<ValueId> inputs) { return c.l.emit(op, std::move(inputs)); }
bool is_bool(const Chosen& c) { return c.dtype(0) == DType::boolean; }
bool is_signed_integer(const Chosen& c) { return ir::is_integer(c.dtype(0)) && ir::is_signed(c.dtype(0)); }

DType unsigned_of(DType d) {
  switch (d) {
    case DType::i8: return DType::u8;
    case DType::i16: return DType::u16;
    case DType::i32: return DType::u32;
    case DType::i64: return DType::u64;
    default: return d;
  }
}

ValueId bit_cast(Lowering& l, ValueId v, DType to) {
  return l.emit("BitCast", {v}, {{"to", static_cast<int64_t>(to)}});
}

/// A template argument that is text.
template <size_t n>
struct Text {
  char text[n];
  constexpr Text(const char (&t)[n]) { std::copy(t, t + n, text); }  // NOLINT: meant to convert
};

template <Text op>
ValueId plain(Chosen& c) {
  return emit(c, op.text, c.ids);
}

/// One operator for booleans, another for numbers.
template <Text of_booleans, Text of_numbers>
ValueId by_kind(Chosen& c) {
  return emit(c, is_bool(c) ? of_booleans.text : of_numbers.text, c.ids);
}

// --- functions of one value

ValueId rsqrt(Chosen& c) { return emit(c, "Reciprocal", {emit(c, "Sqrt", {c[0]})}); }

ValueId cbrt(Chosen& c) {
  const ValueId root = emit(c, "Pow", {emit(c, "Abs", {c[0]}), number(c, 1.0 / 3)});
  return emit(c, "Mul", {emit(c, "Sign", {c[0]}), root});
}

/// exp(x) - 1 without cancellation near 0: tanh(x/2) (exp(x) + 1).
ValueId expm1(Chosen& c) {
  const ValueId half = emit(c, "Tanh", {emit(c, "Mul", {c[0], number(c, 0.5)})});
  return emit(c, "Mul", {half, emit(c, "Add", {emit(c, "Exp", {c[0]}), number(c, 1)})});
}

/// log(1 + x): near 0 the rounding of u = 1 + x is made good by the factor x / (u - 1).
ValueId log1p(Chosen& c) {
  const ValueId u = emit(c, "Add", {c[0], number(c, 1)}), log = emit(c, "Log", {u});
  const ValueId d = emit(c, "Sub", {u, number(c, 1)});
  const ValueId exact = emit(c, "Equal", {d, number(c, 0)});
  const ValueId safe = emit(c, "Where", {exact, number(c, 1), d});
  const ValueId mended = emit(c, "Where", {exact, c[0], emit(c, "Mul", {log, emit(c, "Div", {c[0], safe})})});
  const ValueId near = emit(c, "Less", {emit(c, "Abs", {c[0]}), number(c, 0.5)});
  return emit(c, "Where", {near, mended, log});
}

/// Halves away from zero.
ValueId round_away(Chosen& c) {
  const ValueId size = emit(c, "Abs", {c[0]}), floor = emit(c, "Floor", {size});
  const ValueId up = emit(c, "GreaterOrEqual", {emit(c, "Sub", {size, floor}), number(c, 0.5)});
  const ValueId rounded = emit(c, "Add", {floor, c.l.cast(up, c.dtype(0))});
  return emit(c, "Mul", {emit(c, "Sign", {c[0]}), rounded});
}

ValueId is_finite(Chosen& c) {
  return emit(c, "Not", {emit(c, "Or", {emit(c, "IsInf", {c[0]}), emit(c, "IsNaN", {c[0]})})});
}

ValueId convert(Chosen& c) { return c.l.result().dtype() == c.dtype(0) ? c[0] : c.l.cast(c[0], c.l.result().dtype()); }

ValueId bitcast(Chosen& c) {
  const DType from = c.dtype(0), to = c.l.result().dtype();
  if (from == to) return c[0];
  if (ir::bit_width(from) != ir::bit_width(to) || from == DType::boolean || to == DType::boolean)
    c.l.fail(fmt::format("from {} to {}: supported between types of equal width", mlir::text_of(c.l.type(0)),
                         mlir::text_of(c.l.result())));
  return bit_cast(c.l, c[0], to);
}

ValueId reduce_precision(Chosen& c) {
  std::string format = c.l.word({"format"}, "");
  if (format.empty()) format = fmt::format("e{}m{}", c.l.integer({"exponent_bits"}), c.l.integer({"mantissa_bits"}));
  const DType to = format == "e5m10"    ? DType::f16
                   : format == "e8m7"   ? DType::bf16
                   : format == "e8m23"  ? DType::f32
                   : format == "e11m52" ? DType::f64
                                        : DType::undefined;
  if (to == DType::undefined)
    c.l.fail(fmt::format("format {} is not supported; e5m10, e8m7, e8m23 and e11m52 are", format));
  if (ir::bit_width(to) >= ir::bit_width(c.dtype(0))) return c[0];
  return c.l.cast(c.l.cast(c[0], to), c.dtype(0));
}

ValueId erfc(Chosen& c) { return emit(c, "Sub", {number(c, 1), emit(c, "Erf", {c[0]})}); }

/// x p(w) with w = -log(1 - x²), one polynomial for w < 5 and one in √w above (M. Giles, "Approximating the erfinv
/// function", 2010, single precision); the ends are infinite.
ValueId erf_inv(Chosen& c) {
  if (c.dtype(0) == DType::f64) c.l.fail("supported up to f32");
  static constexpr double kNear[] = {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
                                     -0.00125372503, -0.00417768164, 0.246640727,    1.50140941};
  static constexpr double kFar[] = {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
                                    -0.0076224613,   0.00943887047,  1.00167406,    2.83297682};
  const ValueId x = c[0], square = emit(c, "Mul", {x, x});
  const ValueId w = emit(c, "Neg", {emit(c, "Log", {emit(c, "Sub", {number(c, 1), square})})});
  const ValueId near = emit(c, "Less", {w, number(c, 5)});
  const ValueId t = emit(
      c, "Where", {near, emit(c, "Sub", {w, number(c, 2.5)}), emit(c, "Sub", {emit(c, "Sqrt", {w}), number(c, 3)})});
  const auto coefficient = [&](size_t i) { return emit(c, "Where", {near, number(c, kNear[i]), number(c, kFar[i])}); };
  ValueId p = coefficient(0);
  for (size_t i = 1; i < std::size(kNear); ++i) p = emit(c, "Add", {coefficient(i), emit(c, "Mul", {p, t})});
  const ValueId end = emit(c, "Equal", {emit(c, "Abs", {x}), number(c, 1)});
  const ValueId infinite = emit(c, "Mul", {x, number(c, std::numeric_limits<double>::infinity())});
  return emit(c, "Where", {end, infinite, emit(c, "Mul", {p, x})});
}

// --- functions of two and three

/// atan(y / x), moved into the right half plane where x < 0.
ValueId atan2(Chosen& c) {
  constexpr double kPi = 3.14159265358979323846;
  const ValueId y = c[0], x = c[1], zero = number(c, 0);
  const ValueId x_zero = emit(c, "Equal", {x, zero}), y_negative = emit(c, "Less", {y, zero});
  const ValueId ratio = emit(c, "Div", {y, emit(c, "Where", {x_zero, number(c, 1), x})});
  const ValueId half_turn = emit(c, "Where", {y_negative, number(c, -kPi), number(c, kPi)});
  const ValueId moved = emit(c, "Where", {emit(c, "Less", {x, zero}), half_turn, zero});
  const ValueId angle = emit(c, "Add", {emit(c, "Atan", {ratio}), moved});
  const ValueId upright = emit(c, "Mul", {emit(c, "Sign", {y}), number(c, kPi / 2)});
  return emit(c, "Where", {x_zero, upright, angle});
}

ValueId remainder(Chosen& c) { return c.l.emit("Mod", c.ids, {{"fmod", int64_t{1}}}); }

/// Whether the distance of a shift is below the width.
ValueId shift_is_in_range(Chosen& c, ValueId distance, DType dtype) {
  return emit(c, "Less", {distance, c.l.scalar(dtype, ir::bit_width(dtype))});
}

ValueId shift(Chosen& c, ValueId value, ValueId distance, const char* direction) {
  const DType dtype = unsigned_of(c.dtype(0));
  const bool is_signed = dtype != c.dtype(0);
  if (is_signed) value = bit_cast(c.l, value, dtype), distance = bit_cast(c.l, distance, dtype);
  const ValueId zero = c.l.scalar(dtype, 0), fits = shift_is_in_range(c, distance, dtype);
  const ValueId by = emit(c, "Where", {fits, distance, zero});
  const ValueId shifted = c.l.emit("BitShift", {value, by}, {{"direction", std::string(direction)}});
  const ValueId out = emit(c, "Where", {fits, shifted, zero});
  return is_signed ? bit_cast(c.l, out, c.dtype(0)) : out;
}

ValueId shift_left(Chosen& c) { return shift(c, c[0], c[1], "LEFT"); }
ValueId shift_right_logical(Chosen& c) { return shift(c, c[0], c[1], "RIGHT"); }

/// Of a negative number: all of it turned over, shifted, and turned back, so that ones come in.
ValueId shift_right_arithmetic(Chosen& c) {
  const ValueId plain = shift(c, c[0], c[1], "RIGHT");
  if (!is_signed_integer(c)) return plain;
  const ValueId turned = shift(c, emit(c, "BitwiseNot", {c[0]}), c[1], "RIGHT");
  return emit(c, "Where", {emit(c, "Less", {c[0], number(c, 0)}), emit(c, "BitwiseNot", {turned}), plain});
}

ValueId compare(Chosen& c) {
  std::string direction = c.l.word({"comparison_direction"}, "");
  std::string type = c.l.word({"compare_type"}, "");
  if (const mlir::Attribute* words = c.l.find({"words"})) {
    if (!words->items.empty()) direction = words->items[0].text;
    if (words->items.size() > 1) type = words->items[1].text;
  }
  if (type == "TOTALORDER" && ir::is_float(c.dtype(0)))
    c.l.fail("the total order of floating-point numbers is supported in sorts only; expected FLOAT");
  if (c.dtype(0) != c.dtype(1)) c.l.fail("operands of different types");
  if (is_bool(c) && direction != "EQ" && direction != "NE")
    for (ValueId& v : c.ids) v = c.l.cast(v, DType::i32);
  if (direction == "EQ") return emit(c, "Equal", c.ids);
  if (direction == "NE") return emit(c, "Not", {emit(c, "Equal", c.ids)});
  if (direction == "LT") return emit(c, "Less", c.ids);
  if (direction == "LE") return emit(c, "LessOrEqual", c.ids);
  if (direction == "GT") return emit(c, "Greater", c.ids);
  if (direction == "GE") return emit(c, "GreaterOrEqual", c.ids);
  c.l.fail(fmt::format("direction '{}'; expected EQ, NE, LT, LE, GT or GE", direction));
}

ValueId clamp(Chosen& c) {
  if (c.shapes[0].empty() && c.shapes[2].empty()) return emit(c, "Clip", {c[1], c[0], c[2]});
  return emit(c, "Min", {emit(c, "Max", {c[1], c[0]}), c[2]});
}

ValueId square(Chosen& c) { return emit(c, "Mul", {c[0], c[0]}); }

}  // namespace

void add_elementwise(Table& table) {
  const auto add = [&](const char* name, Lower lower) { table[name] = lower; };
  add("abs", elementwise<plain<"Abs">, 1>);
  add("ceil", elementwise<plain<"Ceil">, 1>);
  add("floor", elementwise<plain<"Floor">, 1>);
  add("cosine", elementwise<plain<"Cos">, 1>);
  add("sine", elementwise<plain<"Sin">, 1>);
  add("tan", elementwise<plain<"Tan">, 1>);
  add("tanh", elementwise<plain<"Tanh">, 1>);
  add("exponential", elementwise<plain<"Exp">, 1>);
  add("exponential_minus_one", elementwise<expm1, 1>);
  add("log", elementwise<plain<"Log">, 1>);
  add("log_plus_one", elementwise<log1p, 1>);
  add("logistic", elementwise<plain<"Sigmoid">, 1>);
  add("negate", elementwise<plain<"Neg">, 1>);
  add("not", elementwise<by_kind<"Not", "BitwiseNot">, 1>);
  add("sign", elementwise<plain<"Sign">, 1>);
  add("sqrt", elementwise<plain<"Sqrt">, 1>);
  add("rsqrt", elementwise<rsqrt, 1>);
  add("cbrt", elementwise<cbrt, 1>);
  add("round_nearest_even", elementwise<plain<"Round">, 1>);
  add("round_nearest_afz", elementwise<round_away, 1>);
  add("is_finite", elementwise<is_finite, 1>);
  add("convert", elementwise<convert, 1>);
  add("bitcast_convert", elementwise<bitcast, 1>);
  add("reduce_precision", elementwise<reduce_precision, 1>);

  add("add", elementwise<by_kind<"Or", "Add">, 2>);
  add("subtract", elementwise<plain<"Sub">, 2>);
  add("multiply", elementwise<by_kind<"And", "Mul">, 2>);
  add("divide", elementwise<plain<"Div">, 2>);
  add("remainder", elementwise<remainder, 2>);
  add("maximum", elementwise<by_kind<"Or", "Max">, 2>);
  add("minimum", elementwise<by_kind<"And", "Min">, 2>);
  add("power", elementwise<plain<"Pow">, 2>);
  add("atan2", elementwise<atan2, 2>);
  add("and", elementwise<by_kind<"And", "BitwiseAnd">, 2>);
  add("or", elementwise<by_kind<"Or", "BitwiseOr">, 2>);
  add("xor", elementwise<by_kind<"Xor", "BitwiseXor">, 2>);
  add("shift_left", elementwise<shift_left, 2>);
  add("shift_right_logical", elementwise<shift_right_logical, 2>);
  add("shift_right_arithmetic", elementwise<shift_right_arithmetic, 2>);
  add("compare", elementwise<compare, 2>);
  add("select", elementwise<plain<"Where">, 3, true>);
  add("clamp", elementwise<clamp, 3, true>);

  add("chlo.erf", elementwise<plain<"Erf">, 1>);
  add("chlo.erfc", elementwise<erfc, 1>);
  add("chlo.erf_inv", elementwise<erf_inv, 1>);
  add("chlo.sinh", elementwise<plain<"Sinh">, 1>);
  add("chlo.cosh", elementwise<plain<"Cosh">, 1>);
  add("chlo.tan", elementwise<plain<"Tan">, 1>);
  add("chlo.asin", elementwise<plain<"Asin">, 1>);
  add("chlo.acos", elementwise<plain<"Acos">, 1>);
  add("chlo.atan", elementwise<plain<"Atan">, 1>);
  add("chlo.asinh", elementwise<plain<"Asinh">, 1>);
  add("chlo.acosh", elementwise<plain<"Acosh">, 1>);
  add("chlo.atanh", elementwise<plain<"Atanh">, 1>);
  add("chlo.square", elementwise<square, 1>);
}

}  // namespace rooftune::frontends::stablehlo
