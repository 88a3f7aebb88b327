// Choosing elements by their values: OneHot, NonZero, Compress, Unique, TopK.
#include <cmath>
#include <numeric>

#include "ops/cells.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"

namespace rooftune::ops {
namespace {

// --- OneHot

void infer_one_hot(InferContext& ctx) {
  require(ctx, 0, kNumbers);
  require_scalar(ctx, 1, kNumbers);
  require_shape(ctx, 2, "values", {2});
  const DType dtype = ctx.dtype(2);
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  Shape shape = ctx.shape(0);
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", -1), static_cast<int>(shape.size()) + 1);
  const auto depth = ctx.ints(1);
  const Tensor* constant = ctx.constant(1);
  Dim extent = ctx.unknown_dim(0, axis, 1);
  if (depth && depth->size() == 1) extent = (*depth)[0];
  else if (constant != nullptr && constant->size() == 1) extent = constant->as_int(0);
  if (extent.max() < 1) ctx.fail(fmt::format("depth is {}, must be at least 1", extent.to_string()));
  shape.insert(shape.begin() + axis, extent);
  ctx.set_output(0, dtype, std::move(shape));
}

void evaluate_one_hot(EvalContext& ctx) {
  const Tensor &indices = ctx.input(0), &values = ctx.input(2);
  const int64_t depth = scalar_int(ctx, 1);
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", -1), indices.rank() + 1);
  if (depth < 1 || values.size() != 2) ctx.fail("depth must be at least 1 and values must hold [off, on]");
  std::vector<int64_t> shape = indices.shape();
  const int64_t inner = product({shape.data() + axis, shape.size() - static_cast<size_t>(axis)});
  shape.insert(shape.begin() + axis, depth);
  ctx.set_output(0, rearrange({&values}, shape, [&](const Moving& m) {
                   const int64_t total = depth * indices.size();
                   for (int64_t i = 0; i < total; ++i)
                     std::memcpy(m.target + static_cast<size_t>(i) * m.cell, m.sources[0], m.cell);
                   for (int64_t i = 0; i < indices.size(); ++i) {
                     int64_t on = indices.as_int(i);
                     if (on < -depth || on >= depth) continue;
                     if (on < 0) on += depth;
                     const int64_t to = (i / inner * depth + on) * inner + i % inner;
                     std::memcpy(m.target + static_cast<size_t>(to) * m.cell, m.sources[0] + m.cell, m.cell);
                   }
                 }));
}

// --- NonZero, Compress

void infer_non_zero(InferContext& ctx) {
  require(ctx, 0, kNumbers | kBool);
  const Dim count = ctx.unknown_dim(0, 1, 0, ctx.has_shape(0) ? product(ctx.shape(0)).max() : Dim::kUnbounded);
  const Dim rank = ctx.has_shape(0) ? Dim(static_cast<int64_t>(ctx.shape(0).size())) : ctx.unknown_dim(0, 0);
  ctx.set_output(0, DType::i64, {rank, count});
}

void evaluate_non_zero(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  std::vector<std::vector<int64_t>> found;
  std::vector<int64_t> at(x.shape().size(), 0);
  for (int64_t i = 0; i < x.size(); ++i, next_index(at, x.shape())) {
    if (x.as_double(i) != 0) found.push_back(at);
  }
  Tensor out(DType::i64, {static_cast<int64_t>(at.size()), static_cast<int64_t>(found.size())});
  int64_t* to = out.data<int64_t>();
  for (size_t axis = 0; axis < at.size(); ++axis) {
    for (const auto& index : found) *to++ = index[axis];
  }
  ctx.set_output(0, std::move(out));
}

void infer_compress(InferContext& ctx) {
  require(ctx, 1, kBool);
  const DType dtype = ctx.dtype(0);
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  Shape shape = ctx.shape(0);
  if (!ctx.node().has("axis")) return ctx.set_output(0, dtype, {ctx.unknown_dim(0, 0, 0, product(shape).max())});
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(shape.size()));
  shape[static_cast<size_t>(axis)] = ctx.unknown_dim(0, axis, 0, shape[static_cast<size_t>(axis)].max());
  ctx.set_output(0, dtype, std::move(shape));
}

void evaluate_compress(EvalContext& ctx) {
  const bool flat = !ctx.node().has("axis");
  const Tensor& given = ctx.input(0);
  const Tensor x = flat ? given.reshaped({given.size()}) : given;
  const int axis = flat ? 0 : normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), x.rank());
  const Tensor& condition = ctx.input(1);
  if (condition.size() > x.dim(axis))
    ctx.fail(fmt::format("the condition has {} values, the axis {}", condition.size(), x.dim(axis)));
  std::vector<std::vector<int64_t>> maps;
  std::vector<int64_t> shape = x.shape();
  for (int64_t d : shape) maps.push_back(iota(d));
  auto& kept = maps[static_cast<size_t>(axis)];
  kept.clear();
  for (int64_t i = 0; i < condition.size(); ++i) {
    if (condition.as_int(i) != 0) kept.push_back(i);
  }
  shape[static_cast<size_t>(axis)] = static_cast<int64_t>(kept.size());
  ctx.set_output(
      0, rearrange({&x}, shape, [&](const Moving& m) { copy_grid(m.sources[0], m.cell, m.target, x.shape(), maps); }));
}

// --- Unique

void infer_unique(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  const bool flat = !ctx.node().has("axis");
  if (!ctx.has_shape(0)) {
    for (int i = 0; i < ctx.output_count(); ++i) ctx.set_output(i, Type::tensor(i == 0 ? dtype : DType::i64));
    return;
  }
  Shape shape = flat ? Shape{product(ctx.shape(0))} : ctx.shape(0);
  const auto axis = static_cast<size_t>(
      flat ? 0 : normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(shape.size())));
  const Dim all = shape[axis];
  const Dim count = ctx.unknown_dim(0, static_cast<int>(axis), std::min<int64_t>(1, all.min()), all.max());
  shape[axis] = count;
  ctx.set_output(0, dtype, std::move(shape));
  ctx.set_output(1, DType::i64, {count});
  ctx.set_output(2, DType::i64, {all});
  ctx.set_output(3, DType::i64, {count});
}

/// An order of all numbers: NaNs come last and are equal to each other.
template <typename T>
bool less(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
  }
  return a < b;
}

/// -1, 0 or 1 as element i of `x` is less than, equal to or greater than element j.
int compare(const Tensor& x, int64_t i, int64_t j) {
  if (x.dtype() == DType::string)
    return x.strings()[static_cast<size_t>(i)].compare(x.strings()[static_cast<size_t>(j)]);
  auto order = [](auto a, auto b) { return less(a, b) ? -1 : less(b, a) ? 1 : 0; };
  if (ir::is_float(x.dtype())) return order(x.as_double(i), x.as_double(j));
  if (x.dtype() == DType::u64) return order(x.data<uint64_t>()[i], x.data<uint64_t>()[j]);  // as_int stops at 2^63
  return order(x.as_int(i), x.as_int(j));
}

void evaluate_unique(EvalContext& ctx) {
  const bool flat = !ctx.node().has("axis");
  const Tensor& given = ctx.input(0);
  const Tensor x = flat ? given.reshaped({given.size()}) : given;
  const auto axis =
      static_cast<size_t>(flat ? 0 : normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), x.rank()));
  const int64_t extent = x.shape()[axis], outer = product({x.shape().data(), axis}),
                inner = row_major_strides(x.shape())[axis];
  auto compare_slices = [&](int64_t a, int64_t b) {
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        if (const int c = compare(x, (o * extent + a) * inner + i, (o * extent + b) * inner + i)) return c;
      }
    }
    return 0;
  };
  std::vector<int64_t> order = iota(extent);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return compare_slices(a, b) < 0; });
  struct Group {
    int64_t first, count;
    std::vector<int64_t> members;
  };
  std::vector<Group> groups;
  for (int64_t i : order) {
    if (groups.empty() || compare_slices(groups.back().first, i) != 0) groups.push_back({i, 0, {}});
    ++groups.back().count;
    groups.back().members.push_back(i);
  }
  if (ctx.node().attr_int("sorted", 1) == 0)
    std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.first < b.first; });

  std::vector<int64_t> firsts, counts, inverse(static_cast<size_t>(extent));
  for (const Group& g : groups) {
    for (int64_t member : g.members) inverse[static_cast<size_t>(member)] = static_cast<int64_t>(firsts.size());
    firsts.push_back(g.first);
    counts.push_back(g.count);
  }
  std::vector<std::vector<int64_t>> maps;
  for (int64_t d : x.shape()) maps.push_back(iota(d));
  maps[axis] = firsts;
  std::vector<int64_t> shape = x.shape();
  shape[axis] = static_cast<int64_t>(firsts.size());
  ctx.set_output(
      0, rearrange({&x}, shape, [&](const Moving& m) { copy_grid(m.sources[0], m.cell, m.target, x.shape(), maps); }));
  auto list = [](const std::vector<int64_t>& v) {
    return Tensor::of<int64_t>(DType::i64, {static_cast<int64_t>(v.size())}, v);
  };
  ctx.set_output(1, list(firsts));
  ctx.set_output(2, list(inverse));
  ctx.set_output(3, list(counts));
}

// --- TopK

void infer_top_k(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kNumbers);
  require(ctx, 1, bit(DType::i64));
  if (!ctx.has_shape(0)) {
    ctx.set_output(0, Type::tensor(dtype));
    return ctx.set_output(1, Type::tensor(DType::i64));
  }
  Shape shape = ctx.shape(0);
  const auto axis =
      static_cast<size_t>(normalize_axis(ctx.node(), ctx.node().attr_int("axis", -1), static_cast<int>(shape.size())));
  const auto k = ctx.ints(1);
  if (k && (k->size() != 1 || (*k)[0].min() > shape[axis].max() || (*k)[0].max() < 0))
    ctx.fail(fmt::format("K is {}, the axis has {}", to_string(*k), shape[axis].to_string()));
  shape[axis] = k ? (*k)[0] : ctx.unknown_dim(0, static_cast<int>(axis), 0, shape[axis].max());
  ctx.set_output(0, dtype, shape);
  ctx.set_output(1, DType::i64, std::move(shape));
}

template <typename T>
void top_k(const Tensor& x, size_t axis, int64_t k, bool largest, Tensor& values, Tensor& indices) {
  const int64_t extent = x.shape()[axis], inner = row_major_strides(x.shape())[axis],
                outer = extent * inner == 0 ? 0 : x.size() / (extent * inner);
  std::vector<int64_t> order;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; ++i) {
      const T* from = x.data<T>() + o * extent * inner + i;
      order = iota(extent);
      auto before = [&](int64_t a, int64_t b) {
        const T va = from[a * inner], vb = from[b * inner];
        if constexpr (std::is_floating_point_v<T>) {  // NaNs last, whichever end is wanted
          if (std::isnan(va) || std::isnan(vb)) return std::isnan(va) == std::isnan(vb) ? a < b : std::isnan(vb);
        }
        return va != vb ? (largest ? va > vb : va < vb) : a < b;
      };
      std::partial_sort(order.begin(), order.begin() + k, order.end(), before);
      for (int64_t j = 0; j < k; ++j) {
        const int64_t to = (o * k + j) * inner + i, chosen = order[static_cast<size_t>(j)];
        values.data<T>()[to] = from[chosen * inner];
        indices.data<int64_t>()[to] = chosen;
      }
    }
  }
}

void evaluate_top_k(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const auto axis = static_cast<size_t>(normalize_axis(ctx.node(), ctx.node().attr_int("axis", -1), x.rank()));
  const int64_t k = ctx.input(1).as_int(0);
  std::vector<int64_t> shape = x.shape();
  if (k < 0 || k > shape[axis]) ctx.fail(fmt::format("K is {}, the axis has {}", k, shape[axis]));
  shape[axis] = k;
  Tensor values(x.dtype(), shape), indices(DType::i64, shape);
  const bool largest = ctx.node().attr_int("largest", 1) != 0;
  dispatch_number(ctx.node(), x.dtype(),
                  [&](auto tag) { top_k<typename decltype(tag)::type>(x, axis, k, largest, values, indices); });
  ctx.set_output(0, std::move(values));
  ctx.set_output(1, std::move(indices));
}

}  // namespace

void register_selection(Catalogue& catalogue) {
  catalogue.add({.name = "OneHot",
                 .since_version = 9,
                 .min_inputs = 3,
                 .max_inputs = 3,
                 .infer = infer_one_hot,
                 .evaluate = evaluate_one_hot});
  catalogue.add({.name = "NonZero",
                 .since_version = 9,
                 .min_inputs = 1,
                 .max_inputs = 1,
                 .infer = infer_non_zero,
                 .evaluate = evaluate_non_zero});
  catalogue.add({.name = "Compress",
                 .since_version = 9,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .infer = infer_compress,
                 .evaluate = evaluate_compress});
  catalogue.add({.name = "Unique",
                 .since_version = 11,
                 .min_inputs = 1,
                 .max_inputs = 1,
                 .max_outputs = 4,
                 .infer = infer_unique,
                 .evaluate = evaluate_unique});
  catalogue.add({.name = "TopK",
                 .since_version = 10,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .max_outputs = 2,
                 .infer = infer_top_k,
                 .cost = cost_per_input(1),
                 .evaluate = widened(evaluate_top_k)});
}

}  // namespace rooftune::ops
