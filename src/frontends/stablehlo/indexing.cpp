// Slices at places that are computed, gather and scatter. All indices become i64, one vector for each element or slice
// that is taken, and are brought into range as StableHLO says: a slice is moved inside, an update outside is dropped.
#include <algorithm>
#include <numeric>

#include "frontends/stablehlo/importer.h"
#include "frontends/stablehlo/lowering.h"
#include "frontends/stablehlo/reducers.h"

namespace rooftune::frontends::stablehlo {
namespace {

using ir::DType;
using ir::ValueId;
using Ints = std::vector<int64_t>;

bool contains(const Ints& v, int64_t x) { return std::find(v.begin(), v.end(), x) != v.end(); }

Ints range(int64_t n) {
  Ints out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

ValueId number(Lowering& l, int64_t v) { return l.constant(ir::Tensor::of<int64_t>(DType::i64, {}, {v})); }

/// Scalar operand `i` as i64 within [0, most].
ValueId start(Lowering& l, size_t i, int64_t most) {
  if (l.rank(i) != 0 || !ir::is_integer(l.dtype(i))) l.fail(fmt::format("operand {} must be an integer scalar", i));
  const ValueId v = l.dtype(i) == DType::i64 ? l.id(i) : l.cast(l.id(i), DType::i64);
  return l.emit("Max", {l.emit("Min", {v, number(l, most)}), number(l, 0)});
}

/// One Gather for each dimension that is cut: its shape is known, which a Slice between computed places has not.
void dynamic_slice(Lowering& l) {
  const Ints shape = l.shape(0), sizes = l.ints({"sizes", "slice_sizes"});
  l.require_operands(shape.size() + 1);
  if (sizes.size() != shape.size())
    l.fail(fmt::format("'sizes' has {} values; expected {}", sizes.size(), shape.size()));
  ValueId x = l.id(0);
  for (size_t d = 0; d < shape.size(); ++d) {
    if (sizes[d] < 0 || sizes[d] > shape[d])
      l.fail(fmt::format("{} of dimension {} of {}", sizes[d], d, mlir::text_of(l.type(0))));
    if (sizes[d] == shape[d]) continue;
    const ValueId first = start(l, d + 1, shape[d] - sizes[d]);
    const ValueId places = sizes[d] == 1 ? l.reshape(first, {1}) : l.emit("Add", {first, l.iota(DType::i64, sizes[d])});
    x = l.emit("Gather", {x, places}, {{"axis", static_cast<int64_t>(d)}});
  }
  l.set(x);
}

/// Every element says whether it lies in the window, and takes the update's or its own value.
void dynamic_update_slice(Lowering& l) {
  if (l.count() < 2) l.fail("expected an operand, an update and places");
  const Ints shape = l.shape(0), sizes = l.shape(1);
  l.require_operands(shape.size() + 2);
  if (sizes.size() != shape.size() || l.dtype(0) != l.dtype(1)) l.fail("operand and update of different rank or type");
  ValueId update = l.id(1), inside = ir::kNone;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (sizes[d] > shape[d])
      l.fail(fmt::format("an update of {} of dimension {} of {}", sizes[d], d, mlir::text_of(l.type(0))));
    if (sizes[d] == 0) return l.set(l.id(0));
    if (sizes[d] == shape[d]) continue;
    const ValueId first = start(l, d + 2, shape[d] - sizes[d]);
    const ValueId offset = l.emit("Sub", {l.iota(DType::i64, shape[d]), first});
    const ValueId after = l.emit("GreaterOrEqual", {offset, number(l, 0)});
    const ValueId before = l.emit("Less", {offset, number(l, sizes[d])});
    Ints added;
    for (size_t i = d + 1; i < shape.size(); ++i) added.push_back(static_cast<int64_t>(i - d));
    const ValueId here = l.unsqueeze(l.emit("And", {after, before}), added);
    inside = inside == ir::kNone ? here : l.emit("And", {inside, here});
    if (sizes[d] == 1) continue;  // Where broadcasts it
    const ValueId places = l.emit("Max", {l.emit("Min", {offset, number(l, sizes[d] - 1)}), number(l, 0)});
    update = l.emit("Gather", {update, places}, {{"axis", static_cast<int64_t>(d)}});
  }
  l.set(inside == ir::kNone ? update : l.emit("Where", {inside, update, l.id(0)}));
}

// --- what gather and scatter share

struct Dimensions {
  Ints window;         // of the result (or of the updates): where the dimensions of a slice stand
  Ints collapsed;      // dimensions of the operand that a slice has not
  Ints batch;          // … and that run with dimensions of the indices
  Ints indices_batch;  // these
  Ints map;            // component of an index vector → dimension of the operand
  int64_t vector_dim = 0;
};

Ints field(Lowering& l, const mlir::Attribute& a, const char* name) {
  const auto it = a.fields.find(name);
  return it == a.fields.end() ? Ints{} : l.to_ints(it->second, name);
}

Dimensions dimensions(Lowering& l, const mlir::Attribute* a, const char* const (&names)[5], int result_rank) {
  if (!a || a->kind != mlir::Attribute::Kind::dict) l.fail("its dimension numbers are missing");
  Dimensions d{field(l, *a, names[0]), field(l, *a, names[1]), field(l, *a, names[2]), field(l, *a, names[3]),
               field(l, *a, names[4])};
  if (const auto it = a->fields.find("index_vector_dim"); it != a->fields.end())
    d.vector_dim = l.to_int(it->second, "index_vector_dim");
  const int rank = l.rank(0), indices_rank = l.rank(1);
  l.check_axes(d.window, result_rank, names[0]);
  Ints gone = d.collapsed;
  gone.insert(gone.end(), d.batch.begin(), d.batch.end());
  l.check_axes(gone, rank, names[1]);
  l.check_axes(d.indices_batch, indices_rank, names[3]);
  Ints indexed = d.map;
  indexed.insert(indexed.end(), d.batch.begin(), d.batch.end());
  l.check_axes(indexed, rank, names[4]);
  if (d.vector_dim < 0 || d.vector_dim > indices_rank) l.fail("'index_vector_dim' is no dimension of the indices");
  if (d.batch.size() != d.indices_batch.size() || contains(d.indices_batch, d.vector_dim))
    l.fail("the batching dimensions of operand and indices do not match");
  const int64_t components = d.vector_dim == indices_rank ? 1 : l.shape(1)[static_cast<size_t>(d.vector_dim)];
  if (components != static_cast<int64_t>(d.map.size()))
    l.fail(fmt::format("index vectors of {} components; '{}' has {}", components, names[4], d.map.size()));
  if (!std::is_sorted(d.window.begin(), d.window.end())) l.fail(fmt::format("'{}' must be sorted", names[0]));
  if (!ir::is_integer(l.dtype(1))) l.fail("the indices must be integers");
  return d;
}

/// The indices as i64, their vectors last: (batch…, components).
struct Indices {
  ValueId id;
  Ints batch;  // extents
};

Indices vectors_last(Lowering& l, const Dimensions& d) {
  const Ints shape = l.shape(1);
  const auto rank = static_cast<int64_t>(shape.size());
  Indices out{l.dtype(1) == DType::i64 ? l.id(1) : l.cast(l.id(1), DType::i64), {}};
  Ints perm;
  for (int64_t i = 0; i < rank; ++i)
    if (i != d.vector_dim) perm.push_back(i), out.batch.push_back(shape[static_cast<size_t>(i)]);
  if (d.vector_dim == rank) {
    out.id = l.unsqueeze(out.id, {rank});
  } else {
    perm.push_back(d.vector_dim);
    out.id = l.transpose(out.id, perm);
  }
  return out;
}

/// How slices lie in the operand, and the plan to reach them with vectors of indices: the operand's dimensions in the
/// order `indexed`, `rest`; the dimensions of a slice that are indexed and longer than 1 are steps of their own.
struct Plan {
  Ints indexed, rest, steps;  // dimensions of the operand; steps are those of `indexed` that are longer than 1
};

Plan plan(const Dimensions& d, const Ints& shape, const Ints& sizes) {
  Plan p;
  p.indexed = d.batch;
  p.indexed.insert(p.indexed.end(), d.map.begin(), d.map.end());
  for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i) {
    const auto n = static_cast<size_t>(i);
    const bool whole = sizes[n] == shape[n] && !contains(d.collapsed, i);
    if (contains(p.indexed, i)) continue;
    if (whole) p.rest.push_back(i);
    else p.indexed.push_back(i);  // a part that always begins at 0
  }
  for (const int64_t i : p.indexed)
    if (sizes[static_cast<size_t>(i)] != 1 && !contains(d.batch, i)) p.steps.push_back(i);
  return p;
}

/// (batch…, steps…, components of `indexed`) from starts that are in range.
ValueId full_indices(Lowering& l, const Dimensions& d, const Plan& p, const Indices& starts, const Ints& sizes) {
  const auto batch = static_cast<int64_t>(starts.batch.size()), steps = static_cast<int64_t>(p.steps.size());
  Ints all = starts.batch;  // extents of batch and steps
  for (const int64_t s : p.steps) all.push_back(sizes[static_cast<size_t>(s)]);
  product(l, all);
  std::vector<ValueId> components;
  for (size_t c = 0; c < p.indexed.size(); ++c) {
    const int64_t dim = p.indexed[c];
    ValueId v = number(l, 0);
    if (const auto b = std::find(d.batch.begin(), d.batch.end(), dim); b != d.batch.end()) {
      // counts along the dimension of the indices that it runs with
      int64_t at = d.indices_batch[static_cast<size_t>(b - d.batch.begin())];
      if (at > d.vector_dim) --at;
      Ints added;
      for (int64_t i = at + 1; i < batch + steps; ++i) added.push_back(i - at);
      v = l.unsqueeze(l.iota(DType::i64, all[static_cast<size_t>(at)]), added);
    } else if (const auto m = std::find(d.map.begin(), d.map.end(), dim); m != d.map.end()) {
      const ValueId one = l.emit("Gather", {starts.id, number(l, m - d.map.begin())}, {{"axis", int64_t{-1}}});
      Ints added(static_cast<size_t>(steps));
      std::iota(added.begin(), added.end(), batch);
      v = l.unsqueeze(one, added);
    }
    if (const auto s = std::find(p.steps.begin(), p.steps.end(), dim); s != p.steps.end()) {
      const int64_t at = batch + (s - p.steps.begin());
      Ints added;
      for (int64_t i = at + 1; i < batch + steps; ++i) added.push_back(i - at);
      v = l.emit("Add", {v, l.unsqueeze(l.iota(DType::i64, sizes[static_cast<size_t>(dim)]), added)});
    }
    components.push_back(l.unsqueeze(l.expand(v, all), {batch + steps}));
  }
  if (components.empty()) {  // one empty vector for each slice
    all.push_back(0);
    return l.constant(ir::Tensor(DType::i64, all));
  }
  return components.size() == 1 ? components[0] : l.emit("Concat", std::move(components), {{"axis", batch + steps}});
}

/// The largest start that keeps a slice inside, for each component of an index vector.
Ints largest_starts(const Dimensions& d, const Ints& shape, const Ints& sizes) {
  Ints out;
  for (const int64_t dim : d.map) out.push_back(shape[static_cast<size_t>(dim)] - sizes[static_cast<size_t>(dim)]);
  return out;
}

Ints joined(const Ints& a, const Ints& b) {
  Ints out = a;
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

Ints inverse(const Ints& perm) {
  Ints out(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) out[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return out;
}

// --- gather

/// Brings (batch…, dimensions of the operand in the order `kept`) to the order of the result. Dimensions of extent 1
/// that a slice has and `kept` has not are put in by the last Reshape.
void set_gathered(Lowering& l, const Dimensions& d, ValueId value, size_t batch, const Ints& kept) {
  const Ints out = l.result_shape();
  Ints slice, perm;  // dimensions of the operand that a slice has, in order
  for (int64_t i = 0; i < l.rank(0); ++i)
    if (!contains(d.collapsed, i) && !contains(d.batch, i)) slice.push_back(i);
  int64_t next_batch = 0;
  size_t next_window = 0;
  bool ones = false;
  for (int64_t i = 0; i < static_cast<int64_t>(out.size()); ++i) {
    if (!contains(d.window, i)) {
      perm.push_back(next_batch++);
      continue;
    }
    const auto at = std::find(kept.begin(), kept.end(), slice[next_window++]);
    if (at == kept.end()) ones = true;
    else perm.push_back(static_cast<int64_t>(batch) + (at - kept.begin()));
  }
  value = l.transpose(value, perm);
  l.set(ones ? l.reshape(value, out) : value);
}

void gather(Lowering& l) {
  if (l.count() < 2) l.fail("expected an operand and indices");
  static constexpr const char* kNames[5] = {"offset_dims", "collapsed_slice_dims", "operand_batching_dims",
                                            "start_indices_batching_dims", "start_index_map"};
  const Dimensions d = dimensions(l, l.find({"dimension_numbers"}), kNames, l.result().rank());
  const Ints shape = l.shape(0), sizes = l.ints({"slice_sizes"});
  if (sizes.size() != shape.size())
    l.fail(fmt::format("'slice_sizes' has {} values; expected {}", sizes.size(), shape.size()));
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool gone = contains(d.collapsed, static_cast<int64_t>(i)) || contains(d.batch, static_cast<int64_t>(i));
    if (sizes[i] < 0 || sizes[i] > shape[i] || (gone && sizes[i] != 1))
      l.fail(fmt::format("a slice of {} of dimension {} of {}", sizes[i], i, mlir::text_of(l.type(0))));
  }
  const Indices indices = vectors_last(l, d);
  const size_t slice_rank = shape.size() - d.collapsed.size() - d.batch.size();
  if (d.window.size() != slice_rank || static_cast<size_t>(l.result().rank()) != indices.batch.size() + slice_rank)
    l.fail("'offset_dims' does not fit the result");
  const Indices in_range{
      l.emit("Max", {l.emit("Min", {indices.id, l.list(largest_starts(d, shape, sizes))}), number(l, 0)}),
      indices.batch};
  const Plan p = plan(d, shape, sizes);
  if (p.indexed.size() == 1 && d.map.size() == 1 && p.steps.empty()) {  // rows of a table
    const int64_t axis = d.map[0];
    const ValueId places = l.squeeze(in_range.id, {static_cast<int64_t>(indices.batch.size())});
    const ValueId rows = l.emit("Gather", {l.id(0), places}, {{"axis", axis}});
    // (before the axis…, batch…, after it…) → (batch…, rest…)
    Ints perm, before = range(axis);
    for (size_t i = 0; i < indices.batch.size(); ++i) perm.push_back(axis + static_cast<int64_t>(i));
    perm.insert(perm.end(), before.begin(), before.end());
    for (int64_t i = axis + 1; i < l.rank(0); ++i) perm.push_back(i - 1 + static_cast<int64_t>(indices.batch.size()));
    return set_gathered(l, d, l.transpose(rows, perm), indices.batch.size(), p.rest);
  }
  const ValueId table = l.transpose(l.id(0), joined(p.indexed, p.rest));
  const ValueId all = full_indices(l, d, p, in_range, sizes);
  const ValueId taken =
      p.indexed.empty() ? l.expand(table, joined(indices.batch, shape)) : l.emit("GatherND", {table, all});
  set_gathered(l, d, taken, indices.batch.size(), joined(p.steps, p.rest));
}

// --- scatter

/// Are all starts constants within the operand?
bool surely_inside(Lowering& l, const Dimensions& d, const Ints& most) {
  const ir::Tensor* t = l.constant(1);
  if (!t || most.empty()) return most.empty();
  if (t->size() == 1) {
    const int64_t v = t->as_int(0);
    return v >= 0 && v <= *std::min_element(most.begin(), most.end());
  }
  if (d.vector_dim != l.rank(1) && d.vector_dim + 1 != l.rank(1)) return false;
  for (int64_t i = 0; i < t->size(); ++i) {
    const int64_t v = t->as_int(i);
    if (v < 0 || v > most[static_cast<size_t>(i) % most.size()]) return false;
  }
  return true;
}

struct Scatter {
  Dimensions d;
  Ints shape, sizes;  // of the operand, and of a slice by dimension of the operand
  Plan p;
};

Scatter scatter_plan(Lowering& l) {
  static constexpr const char* kNames[5] = {"update_window_dims", "inserted_window_dims", "input_batching_dims",
                                            "scatter_indices_batching_dims", "scatter_dims_to_operand_dims"};
  Scatter s{dimensions(l, l.find({"scatter_dimension_numbers"}), kNames, l.rank(2)), l.shape(0), {}, {}};
  const Ints updates = l.shape(2);
  size_t next = 0;
  for (size_t i = 0; i < s.shape.size(); ++i) {
    const auto dim = static_cast<int64_t>(i);
    if (contains(s.d.collapsed, dim) || contains(s.d.batch, dim)) {
      s.sizes.push_back(1);
    } else {
      if (next == s.d.window.size()) l.fail("'update_window_dims' does not fit the operand");
      s.sizes.push_back(updates[static_cast<size_t>(s.d.window[next++])]);
    }
    if (s.sizes[i] > s.shape[i])
      l.fail(fmt::format("an update of {} of dimension {} of {}", s.sizes[i], i, mlir::text_of(l.type(0))));
  }
  const auto batch = static_cast<size_t>(l.rank(1)) - (s.d.vector_dim == l.rank(1) ? 0 : 1);
  if (next != s.d.window.size() || batch + next != updates.size())
    l.fail("'update_window_dims' does not fit the updates");
  s.p = plan(s.d, s.shape, s.sizes);
  return s;
}

/// The updates as (batch…, steps…, rest…).
ValueId arranged_updates(Lowering& l, const Scatter& s) {
  Ints window, perm, shape, full;  // window: the operand's dimension for each of update_window_dims
  for (int64_t i = 0; i < static_cast<int64_t>(s.shape.size()); ++i)
    if (!contains(s.d.collapsed, i) && !contains(s.d.batch, i)) window.push_back(i);
  const Ints updates = l.shape(2);
  for (int64_t i = 0; i < static_cast<int64_t>(updates.size()); ++i)
    if (!contains(s.d.window, i)) perm.push_back(i);
  const auto add = [&](int64_t dim) {
    perm.push_back(s.d.window[static_cast<size_t>(std::find(window.begin(), window.end(), dim) - window.begin())]);
  };
  for (const int64_t dim : s.p.steps) add(dim);
  for (const int64_t dim : s.p.rest) add(dim);
  const size_t kept = perm.size();
  for (const int64_t i : perm) shape.push_back(updates[static_cast<size_t>(i)]);
  for (const int64_t dim : window)  // of extent 1 and indexed: no step, so they go
    if (!contains(s.p.steps, dim) && !contains(s.p.rest, dim)) add(dim);
  const ValueId turned = l.transpose(l.id(2), perm);
  return perm.size() == kept ? turned : l.reshape(turned, shape);
}

void scatter(Lowering& l) {
  if (l.count() != 3 || l.op().regions.size() != 1) l.fail("supported with one operand, indices, updates and a body");
  if (l.dtype(0) != l.dtype(2)) l.fail("operand and updates of different types");
  const std::string body = simple_body(l, l.op().regions[0]);
  const std::map<std::string, std::string> reductions = {
      {"second", "none"}, {"add", "add"}, {"multiply", "mul"}, {"maximum", "max"}, {"minimum", "min"}};
  const auto reduction = reductions.find(body);
  if (reduction == reductions.end())
    l.fail(
        "its body is not one that is supported: the second argument, or add, multiply, maximum or minimum of the two");
  const Scatter s = scatter_plan(l);
  Indices starts = vectors_last(l, s.d);
  if (s.p.indexed.empty()) {  // nothing is indexed: all updates go to the whole operand
    if (product(l, starts.batch) != 1) l.fail("several updates of a whole operand are not supported");
    const ValueId update = arranged_updates(l, s), whole = l.reshape(update, s.shape);
    return l.set(body == "second" ? whole : combine(l, body, l.dtype(0), l.id(0), whole));
  }
  const Ints order = joined(s.p.indexed, s.p.rest);
  ValueId table = l.transpose(l.id(0), order);
  Ints table_shape;
  for (const int64_t i : order) table_shape.push_back(s.shape[static_cast<size_t>(i)]);
  const Ints most = largest_starts(s.d, s.shape, s.sizes);
  const bool guarded = !surely_inside(l, s.d, most);
  ValueId outside = ir::kNone;  // per index vector
  if (guarded) {
    const ValueId low = l.emit("Less", {starts.id, number(l, 0)});
    const ValueId high = l.emit("Greater", {starts.id, l.list(most)});
    const ValueId any = l.cast(l.emit("Or", {low, high}), DType::i32);
    outside = l.cast(l.emit("ReduceMax", {any, l.list({-1})}, {{"keepdims", int64_t{1}}}), DType::boolean);
    starts.id = l.emit("Where", {outside, number(l, 0), starts.id});
  }
  ValueId all = full_indices(l, s.d, s.p, starts, s.sizes);
  if (guarded) {  // what lies outside goes to a row of its own behind the table, which is cut off again
    Ints zeros(table_shape.size(), 0), one = zeros, behind(s.p.indexed.size(), 0), steps(s.p.steps.size());
    one[0] = 1;
    behind[0] = table_shape[0];
    table = l.pad(table, table_shape, zeros, one, zeros, l.scalar(l.dtype(0), 0));
    std::iota(steps.begin(), steps.end(), static_cast<int64_t>(starts.batch.size()));
    all = l.emit("Where", {l.unsqueeze(outside, steps), l.list(behind), all});
  }
  ValueId out = l.emit("ScatterND", {table, all, arranged_updates(l, s)}, {{"reduction", reduction->second}});
  if (guarded) out = l.emit("Slice", {out, l.list({0}), l.list({table_shape[0]}), l.list({0})});
  l.set(l.transpose(out, inverse(order)));
}

}  // namespace

void add_indexing(Table& table) {
  table["dynamic_slice"] = dynamic_slice;
  table["dynamic_update_slice"] = dynamic_update_slice;
  table["gather"] = gather;
  table["scatter"] = scatter;
}

}  // namespace rooftune::frontends::stablehlo
