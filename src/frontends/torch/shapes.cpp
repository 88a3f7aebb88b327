#include "frontends/torch/shapes.h"

#include <algorithm>
#include <numeric>

namespace rooftune::frontends::torch_format {

std::vector<int64_t> range(int64_t count) { return range(0, count); }

std::vector<int64_t> range(int64_t from, int64_t to) {
  std::vector<int64_t> all(static_cast<size_t>(std::max<int64_t>(to - from, 0)));
  std::iota(all.begin(), all.end(), from);
  return all;
}

ValueId reshape_like_result(Context& c, ValueId value, const TensorMeta& from, const TensorMeta& to,
                            const std::vector<Size>& wanted) {
  if (from.shape == to.shape) return value;
  // In ONNX's words a size is a number, 0 (as in the input, at the same place) or -1 (the rest, once).
  std::vector<int64_t> target;
  int rest = 0;
  bool sayable = true;
  for (size_t i = 0; i < to.shape.size(); ++i) {
    const ir::Dim& d = to.shape[i];
    if (d.is_static()) {
      target.push_back(d.value());
      sayable = sayable && d.value() != 0;
    } else if (i < from.shape.size() && d == from.shape[i]) {
      target.push_back(0);
    } else {
      target.push_back(-1);
      ++rest;
    }
  }
  if (sayable && rest <= 1) return c.reshape(value, target);
  if (ir::is_static(to.shape)) {
    const std::vector<int64_t> sizes = ir::static_values(to.shape);
    return c.reshape_to(value, std::vector<Size>(sizes.begin(), sizes.end()));
  }
  if (wanted.size() != to.shape.size()) c.fail("the sizes of its result cannot be computed");
  std::vector<Size> sizes;
  for (size_t i = 0; i < wanted.size(); ++i)
    sizes.push_back(to.shape[i].is_static() ? Size(to.shape[i].value()) : wanted[i]);
  return c.reshape_to(value, sizes);
}

ValueId reshape_as(Context& c, ValueId value, ValueId like) {
  if (c.graph().type(like).is_static()) {
    const std::vector<int64_t> sizes = ir::static_values(c.shape(like));
    return c.reshape_to(value, std::vector<Size>(sizes.begin(), sizes.end()));
  }
  return c.op("Reshape", {value, c.op_as(DType::i64, "Shape", {like})}, {{"allowzero", int64_t{1}}});
}

ValueId expand_as(Context& c, ValueId value, ValueId like) { return c.expand(value, c.Builder::shape_of(like)); }

// --- orders of axes

std::vector<int64_t> moved(int64_t rank, int64_t from, int64_t to) {
  std::vector<int64_t> order = range(rank);
  order.erase(order.begin() + from);
  order.insert(order.begin() + to, from);
  return order;
}

std::vector<int64_t> inverse(const std::vector<int64_t>& order) {
  std::vector<int64_t> back(order.size());
  for (size_t i = 0; i < order.size(); ++i) back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  return back;
}

namespace {

/// torch.movedim: the axes `source` come to stand at `destination`, the others keep their order.
std::vector<int64_t> moved_axes(Context& c, int64_t rank) {
  std::vector<int64_t> source = c.integers("source"), destination = c.integers("destination");
  if (source.size() != destination.size()) c.fail("source and destination must have as many axes");
  std::vector<int64_t> order(static_cast<size_t>(rank), -1), free;
  std::vector<bool> taken(static_cast<size_t>(rank));
  for (size_t i = 0; i < source.size(); ++i) {
    const int64_t from = c.axis(source[i], rank), to = c.axis(destination[i], rank);
    if (taken[static_cast<size_t>(from)] || order[static_cast<size_t>(to)] >= 0) c.fail("an axis appears twice");
    order[static_cast<size_t>(to)] = from;
    taken[static_cast<size_t>(from)] = true;
  }
  for (int64_t i = 0; i < rank; ++i)
    if (!taken[static_cast<size_t>(i)]) free.push_back(i);
  size_t next = 0;
  for (int64_t& o : order)
    if (o < 0) o = free[next++];
  return order;
}

}  // namespace

std::vector<int64_t> permutation(Context& c) {
  const int64_t rank = c.rank_of("self");
  std::vector<int64_t> order = range(rank);
  if (c.has("dims")) {
    const std::vector<int64_t> dims = c.integers("dims");
    if (static_cast<int64_t>(dims.size()) != rank)
      c.fail(fmt::format("dims has {} axes for rank {}", dims.size(), rank));
    std::vector<int64_t> sorted = c.axes(dims, rank);  // each once
    for (size_t i = 0; i < dims.size(); ++i) order[i] = c.axis(dims[i], rank);
    return order;
  }
  if (c.has("source")) return moved_axes(c, rank);
  if (rank == 0) return order;
  int64_t a = 0, b = rank - 1;  // t() and numpy_T
  if (c.has("dim0") || c.has("axis0")) {
    a = c.axis(c.integer(c.has("dim0") ? "dim0" : "axis0"), rank);
    b = c.axis(c.integer(c.has("dim1") ? "dim1" : "axis1"), rank);
  } else if (c.call().target.starts_with("aten.mT") || c.call().target.starts_with("aten.adjoint")) {
    if (rank < 2) c.fail("it takes a matrix");
    a = rank - 2;
  } else if (rank > 2) {
    std::reverse(order.begin(), order.end());
    return order;
  }
  std::swap(order[static_cast<size_t>(a)], order[static_cast<size_t>(b)]);
  return order;
}

// --- parts

namespace {

/// The `i`th of the pieces of `sizes` along an axis.
Part piece(int64_t axis, const std::vector<Size>& sizes, size_t i, Context& c) {
  if (i >= sizes.size()) c.fail(fmt::format("it has {} pieces, one more is needed", sizes.size()));
  int64_t start = 0;
  for (size_t k = 0; k < i; ++k) {
    if (!sizes[k].known()) c.fail("sizes of pieces that depend on the inputs are not supported here");
    start += sizes[k].value;
  }
  if (!sizes[i].known()) c.fail("sizes of pieces that depend on the inputs are not supported here");
  return {axis, start, start + sizes[i].value};
}

}  // namespace

Part part_of(Context& c, size_t i) {
  const std::string& target = c.call().target;
  const int64_t rank = c.rank_of("self");
  const int64_t axis = c.axis(c.integer("dim", 0), rank);
  Part part{.axis = axis};
  const auto is = [&](std::string_view name) { return target.starts_with(name); };
  if (is("aten.select")) {
    part.start = c.size("index");
    part.dropped = true;
  } else if (is("aten.unbind")) {
    part.start = static_cast<int64_t>(i);
    part.dropped = true;
  } else if (is("aten.slice")) {
    if (c.has("start")) part.start = c.size("start");
    if (c.has("end")) part.end = c.size("end");
    part.step = c.integer("step", 1);
    if (part.step < 1) c.fail(fmt::format("step {} must be at least 1", part.step));
  } else if (is("aten.narrow")) {
    part.start = c.size("start");
    const Size length = c.size("length");
    if (part.start.known() && length.known()) part.end = part.start.value + length.value;
    else part.end = Size::computed(c.op("Add", {c.Builder::sizes({part.start}), c.Builder::sizes({length})}));
    if (part.start.known() && part.start.value < 0) c.fail("start must not be negative");
  } else if (is("aten.split_with_sizes") || is("aten.split.sizes")) {
    return piece(axis, c.sizes(c.has("split_sizes") ? "split_sizes" : "split_size"), i, c);
  } else {  // equal pieces: their number follows from the results
    const ir::Dim extent = c.shape_of_argument("self").at(static_cast<size_t>(axis));
    if (!extent.is_static()) c.fail(fmt::format("axis {} is split, but its size depends on the inputs", axis));
    int64_t each = 0;
    if (is("aten.chunk")) {
      const int64_t chunks = std::max<int64_t>(c.integer("chunks"), 1);
      each = (extent.value() + chunks - 1) / chunks;
    } else {
      each = c.integer("split_size");
    }
    part.start = std::min(static_cast<int64_t>(i) * each, extent.value());
    part.end = std::min(part.start.value + each, extent.value());
  }
  return part;
}

ValueId take(Context& c, ValueId value, const Part& part) {
  if (!part.dropped) {
    if (part.start.known() && part.start.value == 0 && part.step == 1 && part.end.known() &&
        part.end.value == INT64_MAX)
      return value;
    return c.slice(value, part.axis, part.start, part.end, part.step);
  }
  return c.gather(value, c.scalar_of(part.start), part.axis);
}

namespace {

/// Every `step`th: the axis comes to the front, where ScatterND replaces whole rows.
ValueId put_strided(Context& c, ValueId base, ValueId values, const Part& part) {
  const int64_t rank = c.rank(base);
  const std::vector<int64_t> order = moved(rank, part.axis, 0);
  const ValueId extent = c.Builder::sizes({c.size_of(base, part.axis)});
  const ValueId all =
      c.op_as(DType::i64, "Range", {c.integer(DType::i64, 0), c.squeeze(extent, {0}), c.integer(DType::i64, 1)});
  const ValueId rows = c.unsqueeze(c.slice(all, 0, part.start, part.end, part.step), {1});
  const ValueId put = c.op("ScatterND", {c.transpose(base, order), rows, c.transpose(values, order)});
  return c.transpose(put, inverse(order));
}

}  // namespace

ValueId put(Context& c, ValueId base, ValueId values, const Part& part) {
  Part whole = part;
  if (part.dropped) {
    values = c.unsqueeze(values, {part.axis});
    if (part.start.known()) whole.end = part.start.value == -1 ? Size(INT64_MAX) : Size(part.start.value + 1);
    else whole.end = Size::computed(c.op("Add", {part.start.id, c.ints({1})}));
    whole.dropped = false;
  }
  if (whole.step != 1) return put_strided(c, base, values, whole);
  std::vector<ValueId> pieces;
  if (!whole.start.known() || whole.start.value != 0) pieces.push_back(c.slice(base, whole.axis, 0, whole.start));
  pieces.push_back(values);
  if (!whole.end.known() || whole.end.value != INT64_MAX)
    pieces.push_back(c.slice(base, whole.axis, whole.end, INT64_MAX));
  return c.concat(pieces, whole.axis);
}

}  // namespace rooftune::frontends::torch_format
