// Elements by index: gathering, scattering, lookup, sorting.
#include <algorithm>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

void embedding(Context& c) { c.give(c.gather(c.tensor("weight"), c.tensor("indices"), 0)); }

void index_select(Context& c) {
  const int64_t axis = c.axis(c.integer("dim"), c.rank_of("self"));
  ValueId index = c.tensor("index");
  if (c.rank_of("index") == 0) index = c.reshape(index, {1});
  ValueId x = c.tensor("self");
  if (c.rank_of("self") == 0) x = c.reshape(x, {1});
  c.give(c.gather(x, index, axis));
}

void gather(Context& c) {
  const int64_t axis = c.axis(c.integer("dim"), c.rank_of("self"));
  if (c.rank_of("self") == 0) {
    const ValueId x = c.reshape(c.tensor("self"), {1}), index = c.reshape(c.tensor("index"), {1});
    return c.give(c.Builder::squeeze(c.op("GatherElements", {x, index}, {{"axis", int64_t{0}}}), {0}));
  }
  c.give(c.op("GatherElements", {c.tensor("self"), c.tensor("index")}, {{"axis", axis}}));
}

/// gather whose operands broadcast, all axes but one; without `dim` both are flat.
void take_along_dim(Context& c) {
  ValueId x = c.tensor("self"), index = c.tensor("indices");
  const ir::Shape &from = c.shape_of_argument("self"), &at = c.shape_of_argument("indices");
  if (!c.has("dim")) {
    const ValueId flat = c.reshape(index, {-1});
    return c.give(c.op("GatherElements", {c.reshape(x, {-1}), flat}, {{"axis", int64_t{0}}}));
  }
  const int64_t rank = c.rank_of("self"), axis = c.axis(c.integer("dim"), rank);
  if (at.size() != from.size()) c.fail("indices must have the tensor's rank");
  std::vector<Size> x_shape, index_shape;
  bool wider_x = false, wider_index = false;
  for (size_t i = 0; i < from.size(); ++i) {
    const auto a = static_cast<int64_t>(i);
    const bool same = a == axis || from[i] == at[i];
    wider_x = wider_x || (!same && from[i] == ir::Dim(1));
    wider_index = wider_index || (!same && at[i] == ir::Dim(1));
    x_shape.push_back(!same && from[i] == ir::Dim(1) ? c.size_of(index, a) : c.size_of(x, a));
    index_shape.push_back(!same && at[i] == ir::Dim(1) ? c.size_of(x, a) : c.size_of(index, a));
  }
  if (wider_x) x = c.expand(x, x_shape);
  if (wider_index) index = c.expand(index, index_shape);
  c.give(c.op("GatherElements", {x, index}, {{"axis", axis}}));
}

/// scatter, scatter_add and scatter_reduce: `how` is ScatterElements' reduction. PyTorch lets `src` be larger than
/// `index`.
ValueId scattered(Context& c, const std::string& how) {
  const ValueId x = c.tensor("self"), index = c.tensor("index");
  const int64_t axis = c.axis(c.integer("dim"), c.rank_of("self"));
  if (c.rank_of("self") == 0) c.fail("a tensor of rank 0 is not supported");
  ValueId source = kNone;
  if (c.has("src")) {
    source = c.operand("src", c.dtype(x));
    if (!(c.meta("src").shape == c.meta("index").shape)) {
      std::vector<Size> starts, ends;
      for (int64_t i = 0; i < c.rank_of("index"); ++i) {
        starts.emplace_back(0);
        ends.push_back(c.size_of(index, i));
      }
      source = c.op("Slice", {source, c.sizes(starts), c.sizes(ends), c.ints(range(c.rank_of("index")))});
    }
  } else {
    source = c.Builder::expand(c.operand("value", c.dtype(x)), c.Builder::shape_of(index));
  }
  return c.op("ScatterElements", {x, index, source}, {{"axis", axis}, {"reduction", how}});
}

Lowering scatter(const std::string& how) {
  return [how](Context& c) { c.give(scattered(c, how)); };
}

void scatter_reduce(Context& c) {
  const std::string reduce = c.text("reduce", "");
  const std::string how = reduce == "sum" || reduce == "add"         ? "add"
                          : reduce == "prod" || reduce == "multiply" ? "mul"
                          : reduce == "amax"                         ? "max"
                          : reduce == "amin"                         ? "min"
                                                                     : "";
  const bool mean = reduce == "mean";
  if (how.empty() && !mean) c.fail(fmt::format("reduce '{}' is not supported", reduce));
  const ValueId x = c.tensor("self"), index = c.tensor("index");
  const int64_t axis = c.axis(c.integer("dim"), c.rank_of("self"));
  const bool with_self = c.flag("include_self", true);
  if (!mean && with_self) return c.give(scattered(c, how));
  // How many elements land at each place.
  const DType dtype = c.dtype(x);
  const Attributes add{{"axis", axis}, {"reduction", std::string("add")}};
  const ValueId ones = c.full(c.Builder::shape_of(index), ir::Tensor::of<float>(DType::f32, {}, {1}));
  const ValueId start =
      c.full(c.Builder::shape_of(x), ir::Tensor::of<float>(DType::f32, {}, {with_self ? 1.0F : 0.0F}));
  const ValueId counts = c.op("ScatterElements", {start, index, ones}, add);
  if (mean) {
    if (!ir::is_float(dtype)) c.fail("reduce 'mean' takes floating-point numbers");
    if (!with_self) c.fail("reduce 'mean' without include_self is not supported");
    return c.give(c.op("Div", {scattered(c, "add"), c.cast(counts, dtype)}));
  }
  c.fail(fmt::format("reduce '{}' without include_self is not supported", reduce));
}

// --- advanced indexing: x[:, i, j] and the like

struct Indices {
  std::vector<ValueId> values;  // one per indexed axis, broadcast against each other
  std::vector<int64_t> axes;
  int64_t rank = 0;  // of the broadcast indices
  bool adjacent = true;
  ValueId source = kNone;  // what they index: `self`, with axes that a mask takes flattened to one
  int64_t source_rank = 0;
};

/// A boolean index is the index of its true elements.
Indices read_indices(Context& c) {
  Indices found;
  found.source = c.tensor("self");
  const std::vector<ValueId> given = c.tensors("indices");
  int64_t axis = 0;
  for (const ValueId v : given) {
    if (v == kNone) {
      ++axis;
      continue;
    }
    if (!found.axes.empty() && found.axes.back() != axis - 1) found.adjacent = false;
    if (c.dtype(v) == DType::boolean || c.dtype(v) == DType::u8) {
      const ValueId places = c.op_as(DType::i64, "NonZero", {c.cast(v, DType::boolean)});  // [rank of the mask, n]
      for (int64_t i = 0; i < c.rank(v); ++i) {
        found.values.push_back(c.gather(places, c.integer(DType::i64, i), 0));
        found.axes.push_back(axis++);
      }
      found.rank = std::max<int64_t>(found.rank, 1);
    } else {
      found.values.push_back(c.cast(v, DType::i64));
      found.axes.push_back(axis++);
      found.rank = std::max(found.rank, c.rank(v));
    }
  }
  found.source_rank = c.rank_of("self");
  if (axis > found.source_rank) c.fail(fmt::format("{} axes are indexed of {}", axis, found.source_rank));
  return found;
}

/// i64[…, axes]: an index vector per element, as GatherND and ScatterND take it. Negative ones count from the end.
ValueId index_vectors(Context& c, const Indices& indices) {
  std::vector<ValueId> columns;
  ValueId shape = kNone;
  if (indices.values.size() > 1) {  // their common shape, by adding zeros of all shapes
    ValueId sum = kNone;
    for (const ValueId v : indices.values) {
      const ValueId zero = c.op("Mul", {v, c.integer(DType::i64, 0)});
      sum = sum == kNone ? zero : c.op("Add", {sum, zero});
    }
    shape = c.op_as(DType::i64, "Shape", {sum});
  }
  for (const ValueId v : indices.values) {
    const ValueId full = shape == kNone ? v : c.op("Expand", {v, shape});
    columns.push_back(c.Builder::unsqueeze(full, {indices.rank}));
  }
  return c.concat(columns, indices.rank);
}

/// The indexed axes first, then the others; and that order.
std::vector<int64_t> indexed_first(const Indices& indices) {
  std::vector<int64_t> order = indices.axes;
  for (int64_t i = 0; i < indices.source_rank; ++i)
    if (std::find(indices.axes.begin(), indices.axes.end(), i) == indices.axes.end()) order.push_back(i);
  return order;
}

void index(Context& c) {
  const Indices indices = read_indices(c);
  if (indices.values.empty()) return c.give(indices.source);
  if (indices.values.size() == 1) return c.give(c.gather(indices.source, indices.values[0], indices.axes[0]));
  const ValueId front = c.transpose(indices.source, indexed_first(indices));
  const ValueId taken = c.op("GatherND", {front, index_vectors(c, indices)});  // [indices…, others…]
  if (!indices.adjacent || indices.axes[0] == 0) return c.give(taken);
  // The indices stand together, so their result stands where they stood.
  const auto rank = indices.rank + indices.source_rank - static_cast<int64_t>(indices.axes.size());
  std::vector<int64_t> order = range(indices.rank, indices.rank + indices.axes[0]);
  for (const int64_t a : range(indices.rank)) order.push_back(a);
  for (const int64_t a : range(indices.rank + indices.axes[0], rank)) order.push_back(a);
  c.give(c.transpose(taken, order));
}

void index_put(Context& c) {
  const Indices indices = read_indices(c);
  const DType dtype = c.result().dtype;
  ValueId values = c.operand("values", dtype);
  if (indices.values.empty()) c.fail("there is no index");
  const std::vector<ValueId> given = c.tensors("indices");
  const bool one_mask = given.size() == 1 && c.dtype(given[0]) == DType::boolean;
  const bool add = c.flag("accumulate", false);
  if (one_mask && !add && c.rank_of("values") == 0) {  // x[mask] = number
    const int64_t missing = c.rank_of("self") - c.rank(given[0]);
    const ValueId mask = c.Builder::unsqueeze(given[0], range(c.rank(given[0]), c.rank(given[0]) + missing));
    return c.give(c.op_as(dtype, "Where", {mask, values, indices.source}));
  }
  const std::vector<int64_t> order = indexed_first(indices);
  const ValueId front = c.transpose(indices.source, order), vectors = index_vectors(c, indices);
  // The values broadcast to [indices…, others…], which is another order of axes where the indices stand inside.
  const auto others = indices.source_rank - static_cast<int64_t>(indices.axes.size());
  ValueId shape = c.op_as(DType::i64, "Shape", {vectors}, {{"end", indices.rank}});
  const ValueId rest = c.op_as(DType::i64, "Shape", {front}, {{"start", static_cast<int64_t>(indices.axes.size())}});
  if (indices.adjacent && indices.axes[0] > 0) {
    const int64_t before = indices.axes[0];
    const ValueId full = c.concat({c.slice(rest, 0, 0, before), shape, c.slice(rest, 0, before, INT64_MAX)}, 0);
    std::vector<int64_t> to_front = range(before, before + indices.rank);
    for (const int64_t a : range(before)) to_front.push_back(a);
    for (const int64_t a : range(before + indices.rank, indices.rank + others)) to_front.push_back(a);
    values = c.transpose(c.op("Expand", {values, full}), to_front);
  } else {
    values = c.op("Expand", {values, c.concat({shape, rest}, 0)});
  }
  const ValueId put = c.op("ScatterND", {front, vectors, values}, {{"reduction", std::string(add ? "add" : "none")}});
  c.give(c.transpose(put, inverse(order)));
}

/// index_add, index_copy, index_fill: whole slices along one axis.
Lowering index_slices(const std::string& how) {
  return [how](Context& c) {
    const ValueId x = c.tensor("self");
    const int64_t rank = c.rank_of("self"), axis = c.axis(c.integer("dim"), rank);
    if (rank == 0) c.fail("a tensor of rank 0 is not supported");
    ValueId index = c.tensor("index");
    if (c.rank_of("index") == 0) index = c.reshape(index, {1});
    const std::vector<int64_t> order = moved(rank, axis, 0);
    ValueId source = kNone;
    const ValueId front = c.transpose(x, order);
    if (c.has("source")) {
      source = c.transpose(c.operand("source", c.dtype(x)), order);
      if (c.real("alpha", 1) != 1) source = c.op("Mul", {source, c.operand("alpha", c.dtype(x))});
    } else {
      std::vector<Size> shape = c.Builder::shape_of(x);
      shape.erase(shape.begin() + axis);
      shape.insert(shape.begin(), c.size_of(index, 0));
      source = c.Builder::expand(c.operand("value", c.dtype(x)), shape);
    }
    const ValueId put = c.op("ScatterND", {front, c.Builder::unsqueeze(index, {1}), source}, {{"reduction", how}});
    c.give(c.transpose(put, inverse(order)));
  };
}

// --- by value

void nonzero(Context& c) {
  const ValueId x = c.tensor("self");
  c.give(c.transpose(c.op_as(DType::i64, "NonZero", {x}), {1, 0}));
}

void masked_select(Context& c) {
  const ValueId x = c.tensor("self"), mask = c.tensor("mask");
  if (!(c.meta("self").shape == c.meta("mask").shape)) c.fail("the mask must have the tensor's shape");
  c.give(c.op("Compress", {c.reshape(x, {-1}), c.reshape(mask, {-1})}, {{"axis", int64_t{0}}}));
}

/// The true places of the mask take the source's elements in order: each place's rank among the true ones is its index.
void masked_scatter(Context& c) {
  const ValueId x = c.tensor("self");
  ValueId mask = c.operand("mask", DType::boolean);
  if (!(c.meta("self").shape == c.meta("mask").shape)) mask = c.Builder::expand(mask, c.Builder::shape_of(x));
  const ValueId flat = c.cast(c.reshape(mask, {-1}), DType::i64);
  const ValueId rank = c.op("Sub", {c.op("CumSum", {flat, c.integer(DType::i64, 0)}), flat});
  const ValueId source = c.reshape(c.operand("source", c.dtype(x)), {-1});
  const ValueId last = c.op("Sub", {c.op_as(DType::i64, "Shape", {source}), c.ints({1})});
  const ValueId safe = c.op("Min", {rank, last});  // places that are not true take anything
  const ValueId taken = reshape_as(c, c.gather(source, safe, 0), x);
  c.give(c.op_as(c.dtype(x), "Where", {mask, taken, x}));
}

void topk(Context& c) {
  ValueId x = c.tensor("self");
  const int64_t axis = c.axis(c.integer("dim", -1), c.rank_of("self"));
  const auto parts = c.ops(
      "TopK", {x, c.sizes({c.size("k")})}, {c.dtype(x), DType::i64},
      {{"axis", axis}, {"largest", int64_t{c.flag("largest", true)}}, {"sorted", int64_t{c.flag("sorted", true)}}});
  c.give_list(parts);
}

/// The whole axis by TopK, which keeps the order of equal elements.
std::vector<ValueId> sorted(Context& c, int64_t otherwise = -1) {
  const ValueId x = c.tensor("self");
  const int64_t axis = c.axis(c.integer("dim", otherwise), c.rank_of("self"));
  if (c.rank_of("self") == 0) c.fail("a tensor of rank 0 is not supported");
  ValueId numbers = x;
  if (c.dtype(x) == DType::boolean) numbers = c.cast(x, DType::i32);
  return c.ops("TopK", {numbers, c.sizes({c.size_of(x, axis)})}, {c.dtype(numbers), DType::i64},
               {{"axis", axis}, {"largest", int64_t{c.flag("descending", false)}}, {"sorted", int64_t{1}}});
}

void one_hot(Context& c) {
  const int64_t classes = c.integer("num_classes", -1);
  if (classes < 1) c.fail("num_classes must be given");
  const ValueId values = c.ints({0, 1});
  c.give(c.op_as(DType::i64, "OneHot", {c.tensor("self"), c.ints({classes}), values}, {{"axis", int64_t{-1}}}));
}

}  // namespace

void register_indexing(Lowerings& t) {
  t.add("aten.embedding.default", embedding);
  t.add("aten.index_select.default", index_select);
  t.add("aten.gather.default", gather);
  t.add("aten.take_along_dim.default", take_along_dim);
  t.add({"aten.scatter.src", "aten.scatter.value"}, scatter("none"));
  t.add("aten.scatter_add.default", scatter("add"));
  t.add({"aten.scatter_reduce.two", "aten.scatter.reduce", "aten.scatter.value_reduce"}, scatter_reduce);
  t.add({"aten.index.Tensor", "aten._unsafe_index.Tensor"}, index);
  t.add({"aten.index_put.default", "aten._unsafe_index_put.default"}, index_put);
  t.add("aten.index_add.default", index_slices("add"));
  t.add({"aten.index_copy.default", "aten.index_fill.int_Scalar", "aten.index_fill.int_Tensor"}, index_slices("none"));
  t.add("aten.nonzero.default", nonzero);
  t.add("aten.masked_select.default", masked_select);
  t.add("aten.masked_scatter.default", masked_scatter);
  t.add("aten.topk.default", topk);
  t.add({"aten.sort.default", "aten.sort.stable"}, [](Context& c) { c.give_list(sorted(c)); });
  t.add("aten.msort.default", [](Context& c) { c.give(sorted(c, 0)[0]); });
  t.add({"aten.argsort.default", "aten.argsort.stable"}, [](Context& c) { c.give(sorted(c)[1]); });
  t.add("aten.one_hot.default", one_hot);
  t.add("aten.take.default",
        [](Context& c) { c.give(c.gather(c.reshape(c.tensor("self"), {-1}), c.tensor("index"), 0)); });
}

}  // namespace rooftune::frontends::torch_format
