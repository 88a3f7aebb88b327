// Constants, and what moves or repeats elements without computing.
#include <algorithm>
#include <numeric>

#include "frontends/stablehlo/importer.h"
#include "frontends/stablehlo/lowering.h"

namespace rooftune::frontends::stablehlo {
namespace {

using ir::DType;
using ir::ValueId;

constexpr int64_t kLargestSplat = 4096;  // that is stored; larger constants of one value are repeated by a node

ir::Tensor filled(const ir::Tensor& one, const std::vector<int64_t>& shape) {
  ir::Tensor out(one.dtype(), shape);
  if (ir::bit_width(one.dtype()) < 8) {
    for (int64_t i = 0; i < out.size(); ++i) out.set_double(i, one.as_double(0));
    return out;
  }
  const size_t width = one.bytes();
  for (int64_t i = 0; i < out.size(); ++i)
    std::copy(one.raw(), one.raw() + width, out.raw() + static_cast<size_t>(i) * width);
  return out;
}

void constant(Lowering& l) {
  const mlir::Attribute* value = l.find({"value"});
  if (!value || !value->tensor) l.fail("attribute 'value' must be dense<…>");
  if (!(value->type == l.result()))
    l.fail(fmt::format("its value is {}, stated is {}", mlir::text_of(value->type), mlir::text_of(l.result())));
  const std::vector<int64_t> shape = l.result_shape();
  if (value->tensor.shape() == shape) return l.set(l.constant(value->tensor));
  const ValueId one = l.constant(value->tensor);
  const ValueId wide = ir::checked_element_count(shape) <= kLargestSplat ? l.constant(filled(value->tensor, shape))
                                                                         : l.expand(one, shape);
  l.set_narrow(wide, {one, ir::Type::tensor(l.result().dtype(), ir::Shape{})});
  l.set(wide);
}

/// dims[i] is the dimension of the result that dimension i of the operand becomes. The sizes are those of the result, or
/// in the one-dimensional tensor `sizes`.
void broadcast(Lowering& l, ValueId sizes) {
  const ir::Type& in = l.type(0);
  const ir::Shape& out = l.result().shape();
  const auto rank = static_cast<int>(out.size());
  const std::vector<int64_t> dims = l.axes({"dims", "broadcast_dimensions"}, rank);
  if (static_cast<int>(dims.size()) != in.rank())
    l.fail(fmt::format("'dims' has {} values for an operand of rank {}", dims.size(), in.rank()));
  ir::Shape beside(out.size(), ir::Dim(1));
  for (size_t i = 0; i < dims.size(); ++i) {
    const ir::Dim &from = in.shape()[i], &to = out[static_cast<size_t>(dims[i])];
    if (from.is_static() && to.is_static() && from.value() != 1 && !(from == to))
      l.fail(
          fmt::format("dimension {} of {} does not broadcast to {}", i, mlir::text_of(in), mlir::text_of(l.result())));
    beside[static_cast<size_t>(dims[i])] = from;
  }
  if (beside == out && in.rank() == rank && in.is_static() && std::is_sorted(dims.begin(), dims.end()))
    return l.set(l.id(0));
  std::vector<int64_t> perm(dims.size()), added;
  std::iota(perm.begin(), perm.end(), 0);
  std::sort(perm.begin(), perm.end(),
            [&](int64_t a, int64_t b) { return dims[static_cast<size_t>(a)] < dims[static_cast<size_t>(b)]; });
  for (int64_t d = 0; d < rank; ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) added.push_back(d);
  // repeating a value that is itself repeated: go on from the small one, if it is a scalar
  const Operand* narrow = l.narrow(l.id(0));
  const bool from_scalar = in.rank() == 0 || (narrow && narrow->type.rank() == 0);
  const ValueId source = narrow && from_scalar ? narrow->id : l.id(0);
  const ir::Type small = from_scalar ? ir::Type::tensor(in.dtype(), ir::Shape{}) : ir::Type::tensor(in.dtype(), beside);
  const ValueId aligned = from_scalar ? source : l.unsqueeze(l.transpose(source, perm), added);
  if (aligned == l.id(0) && small.shape() == out && in.is_static()) return l.set(aligned);
  if (small.is_static() && small.shape() == out) return l.set(aligned);
  const ValueId wide = sizes != ir::kNone ? l.emit("Expand", {aligned, sizes}) : l.expand(aligned, l.result_shape());
  if (small.is_static() && l.graph().type(aligned).kind() == ir::Type::Kind::none)
    l.graph().value(aligned).type = small;
  l.set_narrow(wide, {aligned, small});
  l.set(wide);
}

void broadcast_in_dim(Lowering& l) {
  l.require_operands(1);
  broadcast(l, ir::kNone);
}

ValueId as_i64(Lowering& l, size_t i) { return l.dtype(i) == DType::i64 ? l.id(i) : l.cast(l.id(i), DType::i64); }

void dynamic_broadcast_in_dim(Lowering& l) {
  l.require_operands(2);
  broadcast(l, l.result().is_static() ? ir::kNone : as_i64(l, 1));
}

void reshape(Lowering& l) {
  l.require_operands(1);
  const std::vector<int64_t> shape = l.result_shape();
  if (ir::checked_element_count(shape) != ir::checked_element_count(l.shape(0)))
    l.fail(fmt::format("{} has not as many elements as {}", mlir::text_of(l.type(0)), mlir::text_of(l.result())));
  l.set(shape == l.shape(0) ? l.id(0) : l.reshape(l.id(0), shape));
}

void dynamic_reshape(Lowering& l) {
  l.require_operands(2);
  if (l.result().is_static()) return l.set(l.reshape(l.id(0), l.result_shape()));
  l.set(l.emit("Reshape", {l.id(0), as_i64(l, 1)}, {{"allowzero", int64_t{1}}}));
}

void transpose(Lowering& l) {
  l.require_operands(1);
  const std::vector<int64_t> perm = l.axes({"dims", "permutation"}, l.rank(0));
  if (static_cast<int>(perm.size()) != l.rank(0)) l.fail("'permutation' must name every dimension");
  l.set(l.transpose(l.id(0), perm));
}

void reverse(Lowering& l) {
  l.require_operands(1);
  const std::vector<int64_t> axes = l.axes({"dims", "dimensions"}, l.rank(0));
  if (axes.empty()) return l.set(l.id(0));
  const std::vector<int64_t> first(axes.size(), -1), last(axes.size(), INT64_MIN), step(axes.size(), -1);
  l.set(l.emit("Slice", {l.id(0), l.list(first), l.list(last), l.list(axes), l.list(step)}));
}

void concatenate(Lowering& l) {
  if (l.count() == 0) l.fail("has no operands");
  const int64_t axis = l.axis({"dim", "dimension"}, l.rank(0));
  std::vector<ValueId> inputs;
  for (size_t i = 0; i < l.count(); ++i) inputs.push_back(l.id(i));
  l.set(inputs.size() == 1 ? inputs[0] : l.emit("Concat", std::move(inputs), {{"axis", axis}}));
}

void slice(Lowering& l) {
  l.require_operands(1);
  std::vector<int64_t> starts, ends, steps;
  const auto rank = static_cast<size_t>(l.rank(0));
  if (const mlir::Attribute* ranges = l.find({"ranges"})) {
    for (const mlir::Attribute& r : ranges->items) {
      const std::vector<int64_t> v = l.to_ints(r, "ranges");
      if (v.size() < 2 || v.size() > 3) l.fail("a range must be start:limit or start:limit:stride");
      starts.push_back(v[0]), ends.push_back(v[1]), steps.push_back(v.size() == 3 ? v[2] : 1);
    }
  } else {
    starts = l.ints({"start_indices"}), ends = l.ints({"limit_indices"});
    steps = l.ints({"strides"}, std::vector<int64_t>(rank, 1));
  }
  if (starts.size() != rank || ends.size() != rank || steps.size() != rank)
    l.fail(fmt::format("has {} starts, {} limits and {} strides for rank {}", starts.size(), ends.size(), steps.size(),
                       rank));
  for (size_t i = 0; i < rank; ++i) {
    const ir::Dim& d = l.type(0).shape()[i];
    if (starts[i] < 0 || ends[i] < starts[i] || steps[i] < 1 || (d.is_static() && ends[i] > d.value()))
      l.fail(fmt::format("range {}:{}:{} of dimension {} of {}", starts[i], ends[i], steps[i], i,
                         mlir::text_of(l.type(0))));
  }
  if (l.type(0).is_static() && l.type(0) == l.result()) return l.set(l.id(0));
  l.set(l.slice(l.id(0), starts, ends, steps));
}

void pad(Lowering& l) {
  l.require_operands(2);
  const std::vector<int64_t> shape = l.shape(0);
  const std::vector<int64_t> low = l.ints({"low", "edge_padding_low"}), high = l.ints({"high", "edge_padding_high"});
  const std::vector<int64_t> interior = l.ints({"interior", "interior_padding"}, std::vector<int64_t>(shape.size(), 0));
  if (low.size() != shape.size() || high.size() != shape.size() || interior.size() != shape.size())
    l.fail(fmt::format("'low', 'high' and 'interior' must have {} values", shape.size()));
  for (size_t i = 0; i < shape.size(); ++i) {
    constexpr int64_t most = int64_t{1} << 40;
    if (std::max({std::abs(std::max(low[i], -most)), std::abs(std::max(high[i], -most)), interior[i]}) >= most ||
        interior[i] < 0)
      l.fail(fmt::format("padding of dimension {} is out of range", i));
  }
  if (l.rank(1) != 0) l.fail("the padding value must be a scalar");
  l.set(l.pad(l.id(0), shape, low, high, interior, l.id(1)));
}

void iota(Lowering& l, ValueId sizes) {
  const auto rank = static_cast<int>(l.result().rank());
  const int64_t axis = l.axis({"dim", "iota_dimension"}, rank);
  const DType dtype = l.result().dtype();
  const ir::Dim extent = l.result().shape()[static_cast<size_t>(axis)];
  ValueId row = ir::kNone;
  if (extent.is_static()) {
    row = l.iota(dtype, extent.value());
  } else {
    const auto number = [&](int64_t v) { return l.constant(ir::Tensor::of<int64_t>(DType::i64, {}, {v})); };
    const ValueId n = l.emit("Gather", {sizes, number(axis)}, {{"axis", int64_t{0}}});
    row = l.emit("Range", {number(0), n, number(1)});
    if (dtype != DType::i64) row = l.cast(row, dtype);
  }
  if (rank == 1) return l.set(row);
  std::vector<int64_t> added;
  for (int64_t d = 0; d < rank; ++d)
    if (d != axis) added.push_back(d);
  const ValueId aligned = l.unsqueeze(row, added);
  const ValueId wide = sizes != ir::kNone ? l.emit("Expand", {aligned, sizes}) : l.expand(aligned, l.result_shape());
  if (extent.is_static()) {
    ir::Shape small(static_cast<size_t>(rank), ir::Dim(1));
    small[static_cast<size_t>(axis)] = extent;
    l.set_narrow(wide, {aligned, ir::Type::tensor(dtype, small)});
  }
  l.set(wide);
}

void static_iota(Lowering& l) {
  l.require_operands(0);
  l.result_shape();  // must be static
  iota(l, ir::kNone);
}

void dynamic_iota(Lowering& l) {
  l.require_operands(1);
  iota(l, l.result().is_static() ? ir::kNone : as_i64(l, 0));
}

void get_dimension_size(Lowering& l) {
  l.require_operands(1);
  const int64_t axis = l.axis({"dim", "dimension"}, l.rank(0));
  const ValueId size = l.emit("Shape", {l.id(0)}, {{"start", axis}, {"end", axis + 1}});
  l.set(l.cast(l.squeeze(size, {0}), l.result().dtype()));
}

/// Also of several values: each result is its operand.
void identity(Lowering& l) {
  l.require_operands(l.op().results.size());
  for (size_t i = 0; i < l.count(); ++i) {
    if (!(l.type(i) == l.result(i)))
      l.fail(fmt::format("result {} is {}, its operand {}", i, mlir::text_of(l.result(i)), mlir::text_of(l.type(i))));
    l.set(l.id(i), i);
  }
}

}  // namespace

void add_shapes(Table& table) {
  table["constant"] = constant;
  table["broadcast_in_dim"] = broadcast_in_dim;
  table["dynamic_broadcast_in_dim"] = dynamic_broadcast_in_dim;
  table["reshape"] = reshape;
  table["dynamic_reshape"] = dynamic_reshape;
  table["transpose"] = transpose;
  table["reverse"] = reverse;
  table["concatenate"] = concatenate;
  table["slice"] = slice;
  table["pad"] = pad;
  table["iota"] = static_iota;
  table["dynamic_iota"] = dynamic_iota;
  table["get_dimension_size"] = get_dimension_size;
  table["optimization_barrier"] = identity;
}

}  // namespace rooftune::frontends::stablehlo
