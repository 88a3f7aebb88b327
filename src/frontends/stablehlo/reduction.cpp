// Reductions by operations that are known: a reduction of one value, or the two that argmax and argmin are made of.
#include <algorithm>
#include <cmath>
#include <limits>

#include "frontends/stablehlo/importer.h"
#include "frontends/stablehlo/lowering.h"
#include "frontends/stablehlo/reducers.h"

namespace rooftune::frontends::stablehlo {

using ir::DType;
using ir::ValueId;

bool is_neutral(const ir::Tensor* init, const std::string& body) {
  if (!init || init->size() != 1) return false;
  const DType d = init->dtype();
  if (d == DType::boolean) {
    const bool truth = body == "and" || body == "minimum" || body == "multiply";
    return (init->as_int(0) != 0) == truth;
  }
  if (body == "add" || body == "or") return init->as_double(0) == 0;
  if (body == "multiply") return init->as_double(0) == 1;
  if (ir::is_float(d)) {
    if (body == "maximum") return init->as_double(0) == -std::numeric_limits<double>::infinity();
    return body == "minimum" && init->as_double(0) == std::numeric_limits<double>::infinity();
  }
  const int bits = ir::bit_width(d);
  const bool sign = ir::is_signed(d);
  const int64_t least = !sign ? 0 : bits == 64 ? INT64_MIN : -(int64_t{1} << (bits - 1));
  if (body == "maximum") return init->as_int(0) == least;
  if (body != "minimum" || (!sign && bits == 64)) return false;
  return init->as_int(0) == (bits == 64 ? INT64_MAX : (int64_t{1} << (sign ? bits - 1 : bits)) - 1);
}

ValueId combine(Lowering& l, const std::string& body, DType dtype, ValueId a, ValueId b) {
  const bool boolean = dtype == DType::boolean;
  const char* op = body == "add"        ? (boolean ? "Or" : "Add")
                   : body == "multiply" ? (boolean ? "And" : "Mul")
                   : body == "maximum"  ? (boolean ? "Or" : "Max")
                   : body == "minimum"  ? (boolean ? "And" : "Min")
                   : body == "and"      ? (boolean ? "And" : "BitwiseAnd")
                                        : (boolean ? "Or" : "BitwiseOr");
  return l.emit(op, {a, b});
}

namespace {

/// The reduction of one value over these axes, which go.
ValueId reduced(Lowering& l, const std::string& body, DType dtype, ValueId x, const std::vector<int64_t>& axes) {
  if (axes.empty()) return x;
  const char* op = body == "add"                        ? "ReduceSum"
                   : body == "multiply"                 ? "ReduceProd"
                   : body == "maximum" || body == "or"  ? "ReduceMax"
                   : body == "minimum" || body == "and" ? "ReduceMin"
                                                        : "";
  const bool boolean = dtype == DType::boolean;
  if (boolean) {
    op = body == "multiply" || body == "minimum" || body == "and" ? "ReduceMin" : "ReduceMax";
    x = l.cast(x, DType::i32);
  } else if (body == "and" || body == "or") {
    l.fail(fmt::format("'{}' over integers is not supported; over booleans it is", body));
  }
  const ValueId out = l.emit(op, {x, l.list(axes)}, {{"keepdims", int64_t{0}}});
  return boolean ? l.cast(out, DType::boolean) : out;
}

/// max and its place: jax's argmax and argmin. The smaller index wins among equals, NaN above all.
std::string arg_body(const std::vector<std::string>& f) {
  if (f.size() != 2) return "";
  for (const char* direction : {"GT", "LT"}) {
    const std::string before = fmt::format("{}(a0,a2)", direction), first = fmt::format("or({},NE(a0,a0))", before);
    const std::string at = fmt::format("select(or({},and(EQ(a0,a2),LT(a1,a3))),a1,a3)", first);
    if (f[0] == fmt::format("select({},a0,a2)", first) && f[1] == at) return direction;
  }
  return "";
}

void reduce_two(Lowering& l, const std::vector<int64_t>& axes) {
  const std::string direction = arg_body(formulas(l, l.op().regions[0]));
  if (direction.empty() || axes.size() != 1)
    l.fail("a reduction of several values; supported is that of argmax and argmin, over one dimension");
  // what is carried along must be the place itself: an iota along the axis
  const Operand* place = l.narrow(l.id(1));
  const ir::Tensor* indices = l.graph().constant(place ? place->id : l.id(1));
  const ir::Tensor* row = indices;
  if (place && !row) {  // Unsqueeze of the row
    const ir::NodeId n = l.graph().value(place->id).producer;
    if (n != ir::kNone && l.graph().node(n).op == "Unsqueeze") row = l.graph().constant(l.graph().node(n).input(0));
  }
  const ir::Dim extent = l.type(0).shape()[static_cast<size_t>(axes[0])];
  bool is_place = row && extent.is_static() && row->size() == extent.value() && !ir::is_float(row->dtype());
  if (is_place && place && place->type.is_static() && row->size() > 1)
    is_place = place->type.shape()[static_cast<size_t>(axes[0])] == extent;
  for (int64_t i = 0; is_place && i < row->size(); ++i) is_place = row->as_int(i) == i;
  if (!is_place) l.fail("the second value must be an iota along the reduced dimension");
  const bool max = direction == "GT";
  l.set(reduced(l, max ? "maximum" : "minimum", l.dtype(0), l.id(0), axes), 0);
  const ValueId at = l.emit(max ? "ArgMax" : "ArgMin", {l.id(0)}, {{"axis", axes[0]}, {"keepdims", int64_t{0}}});
  l.set(l.result(1).dtype() == DType::i64 ? at : l.cast(at, l.result(1).dtype()), 1);
}

void reduce(Lowering& l) {
  if (l.count() == 0 || l.count() % 2 != 0 || l.op().regions.size() != 1)
    l.fail("expected operands, as many initial values, and a body");
  const std::vector<int64_t> axes = l.axes({"dimensions"}, l.rank(0));
  for (size_t i = 0; i < l.count() / 2; ++i) {
    if (l.rank(i) != l.rank(0) || l.rank(l.count() / 2 + i) != 0)
      l.fail("expected operands of one rank, and scalars as initial values");
  }
  if (l.count() == 4) return reduce_two(l, axes);
  l.require_operands(2);
  const std::string body = simple_body(l, l.op().regions[0]);
  if (body.empty() || body == "second")
    l.fail("its body is not one that is supported: add, multiply, maximum, minimum, and, or of the two arguments");
  if (l.dtype(1) != l.dtype(0) || l.result().dtype() != l.dtype(0))
    l.fail("operand, initial value and result of different types");
  ValueId out = reduced(l, body, l.dtype(0), l.id(0), axes);
  if (!is_neutral(l.constant(1), body)) out = combine(l, body, l.dtype(0), out, l.id(1));
  l.set(out);
}

}  // namespace

void add_reductions(Table& table) { table["reduce"] = reduce; }

}  // namespace rooftune::frontends::stablehlo
