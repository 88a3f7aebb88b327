// Tensors out of nothing: filled, counted, triangular.
#include <algorithm>
#include <cmath>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

ir::Tensor number(DType dtype, double value) {
  ir::Tensor t(dtype, {});
  t.set_double(0, value);
  return t;
}

/// The size argument, where the result is static its sizes.
std::vector<Size> wanted_shape(Context& c) {
  std::vector<Size> sizes;
  if (ir::is_static(c.result().shape)) {
    for (const int64_t s : ir::static_values(c.result().shape)) sizes.emplace_back(s);
    return sizes;
  }
  if (c.has("size")) return c.sizes("size");
  return c.Builder::shape_of(c.tensor("self"));
}

Lowering filled(double value) {
  return [value](Context& c) { c.give(c.full(wanted_shape(c), number(c.result().dtype, value))); };
}

void full(Context& c) {
  const ValueId value = c.operand(c.has("fill_value") ? "fill_value" : "value", c.result().dtype);
  const std::vector<Size> shape = wanted_shape(c);
  if (const ir::Tensor* known = c.graph().constant(value); known != nullptr && known->size() == 1)
    return c.give(c.full(shape, known->reshaped({})));
  c.give(c.Builder::expand(value, shape));
}

void arange(Context& c) {
  const DType wanted = c.result().dtype;
  const bool counted = wanted == DType::i16 || wanted == DType::i32 || wanted == DType::f32 || wanted == DType::f64;
  const DType dtype = counted ? wanted : ir::is_float(wanted) ? DType::f32 : DType::i64;  // Range knows no others
  const auto bound = [&](std::string_view name, int64_t otherwise) {
    return c.has(name) ? c.operand(name, dtype) : c.integer(dtype, otherwise);
  };
  const ValueId start = bound("start", 0), end = bound("end", 0);
  c.give(c.op_as(dtype, "Range", {start, end, bound("step", 1)}));
}

void linspace(Context& c) {
  const DType dtype = c.result().dtype;
  const int64_t steps = c.integer("steps");
  const double start = c.real("start", 0), end = c.real("end", 0);
  if (steps < 0 || steps > (int64_t{1} << 26)) c.fail(fmt::format("{} steps are out of range", steps));
  ir::Tensor t(dtype, {steps});
  for (int64_t i = 0; i < steps; ++i)
    t.set_double(i,
                 steps == 1 ? start : start + (end - start) * static_cast<double>(i) / static_cast<double>(steps - 1));
  c.give(c.op("Identity", {c.constant(std::move(t))}));
}

void eye(Context& c) {
  const ir::Shape& shape = c.result().shape;
  if (!ir::is_static(shape)) c.fail("its size depends on the inputs");
  const auto sizes = ir::static_values(shape);
  const ValueId zeros = c.full({sizes.begin(), sizes.end()}, number(DType::f32, 0));
  c.give(c.op_as(c.result().dtype, "EyeLike", {zeros}, {{"dtype", static_cast<int64_t>(c.result().dtype)}}));
}

Lowering triangle(bool upper) {
  return [upper](Context& c) {
    c.give(c.op("Trilu", {c.tensor("self"), c.integer(DType::i64, c.integer("diagonal", 0))},
                {{"upper", int64_t{upper}}}));
  };
}

/// copy(self, src): the shape and type of `self`, the elements of `src`.
void copy(Context& c) {
  const ValueId source = c.operand("src", c.result().dtype);
  if (c.meta("src").shape == c.meta("self").shape) return c.give(c.op("Identity", {source}));
  c.give(c.Builder::expand(source, c.Builder::shape_of(c.tensor("self"))));
}

void fill(Context& c) {
  const DType dtype = c.result().dtype;
  const ValueId value = c.operand("value", dtype);
  c.give(c.Builder::expand(value, c.Builder::shape_of(c.tensor("self"))));
}

}  // namespace

void register_creation(Lowerings& t) {
  t.add({"aten.zeros.default", "aten.zeros_like.default", "aten.new_zeros.default", "aten.zero.default",
         "aten.empty.memory_format", "aten.empty_like.default", "aten.new_empty.default",
         "aten.new_empty_strided.default", "aten.empty_strided.default", "aten.empty_permuted.default"},
        filled(0));
  t.add({"aten.ones.default", "aten.ones_like.default", "aten.new_ones.default"}, filled(1));
  t.add({"aten.full.default", "aten.full_like.default", "aten.new_full.default"}, full);
  t.add({"aten.fill.Scalar", "aten.fill.Tensor"}, fill);
  t.add("aten.copy.default", copy);
  t.add({"aten.arange.default", "aten.arange.start", "aten.arange.start_step"}, arange);
  t.add("aten.linspace.default", linspace);
  t.add({"aten.eye.default", "aten.eye.m"}, eye);
  t.add("aten.tril.default", triangle(false));
  t.add("aten.triu.default", triangle(true));
  t.add("aten.scalar_tensor.default", [](Context& c) { c.give(c.op("Identity", {c.operand("s", c.result().dtype)})); });
}

}  // namespace rooftune::frontends::torch_format
