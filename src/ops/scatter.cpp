// Writing at indices that are data: ScatterElements (and its predecessor Scatter) and ScatterND, with reductions.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/cells.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

using kernel::Op;
using kernel::Reduction;

enum class Update { replace, add, mul, max, min };

Update update_of(const Node& node) {
  const std::string name = node.attr_string("reduction", "none");
  if (name == "none") return Update::replace;
  if (name == "add") return Update::add;
  if (name == "mul") return Update::mul;
  if (name == "max") return Update::max;
  if (name == "min") return Update::min;
  fail(node, "reduction '" + name + "', must be none, add, mul, max or min");
}

int64_t checked(const Node& node, int64_t index, int64_t extent) {
  if (index < -extent || index >= extent)
    fail(node, fmt::format("index {} is outside [{}, {}]", index, -extent, extent - 1));
  return index < 0 ? index + extent : index;
}

template <typename T>
T combined(Update update, T a, T b) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    using U = std::make_unsigned_t<T>;
    if (update == Update::add) return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
    if (update == Update::mul) return static_cast<T>(uint64_t{static_cast<U>(a)} * static_cast<U>(b));
  }
  switch (update) {
    case Update::add: return static_cast<T>(a + b);
    case Update::mul: return static_cast<T>(a * b);
    case Update::max: return std::max(a, b);
    case Update::min: return std::min(a, b);
    default: return b;
  }
}

/// A copy of `data` with the updates applied in order: run `r`, of `length` elements, at element `starts[r]`.
Tensor scattered(const Node& node, const Tensor& data, const Tensor& updates, const std::vector<int64_t>& starts,
                 int64_t length) {
  const Update update = update_of(node);
  if (update == Update::replace) {
    return rearrange({&data, &updates}, data.shape(), [&](const Moving& m) {
      std::memcpy(m.target, m.sources[0], static_cast<size_t>(data.size()) * m.cell);
      const size_t run = static_cast<size_t>(length) * m.cell;
      for (size_t r = 0; r < starts.size(); ++r)
        std::memcpy(m.target + static_cast<size_t>(starts[r]) * m.cell, m.sources[1] + r * run, run);
    });
  }
  Tensor out = data.clone();
  auto apply = [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = updates.data<T>();
    auto each = [&](auto combine) {
      for (const int64_t start : starts) {
        T* to = out.data<T>() + start;
        for (int64_t i = 0; i < length; ++i) to[i] = combine(to[i], from[i]);
        from += length;
      }
    };
    switch (update) {
      case Update::add: return each([](T a, T b) { return combined<T>(Update::add, a, b); });
      case Update::mul: return each([](T a, T b) { return combined<T>(Update::mul, a, b); });
      case Update::max: return each([](T a, T b) { return combined<T>(Update::max, a, b); });
      default: return each([](T a, T b) { return combined<T>(Update::min, a, b); });
    }
  };
  dispatch<float, double, int32_t, int64_t, int8_t, uint8_t, int16_t, uint16_t, uint32_t, uint64_t, bool>(
      node, data.dtype(), apply);
  return out;
}

void infer_scatter(InferContext& ctx) {
  const bool nd = ctx.node().op == "ScatterND";
  const DType dtype = ctx.dtype(0);
  require(ctx, 1, nd ? bit(DType::i64) : kIndices);
  if (ctx.dtype(2) != dtype)
    ctx.fail(fmt::format("updates are {}, must be {}", ir::name(ctx.dtype(2)), ir::name(dtype)));
  const Update update = update_of(ctx.node());
  if (update != Update::replace && !contains(kNumbers | kBool, dtype))
    ctx.fail(fmt::format("cannot reduce elements of type {}", ir::name(dtype)));
  if (!nd && ctx.has_shape(0)) {
    const auto rank = ctx.shape(0).size();
    normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(rank));
    for (int i : {1, 2}) {
      if (ctx.has_shape(i) && ctx.shape(i).size() != rank)
        ctx.fail(fmt::format("input {} is {}, must have {} dims", i, to_string(ctx.shape(i)), rank));
    }
  }
  ctx.set_output(0, ctx.input(0));
}

void evaluate_scatter_elements(EvalContext& ctx) {
  const Tensor &data = ctx.input(0), &indices = ctx.input(1), &updates = ctx.input(2);
  const auto axis = static_cast<size_t>(normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), data.rank()));
  if (indices.shape() != updates.shape() || indices.rank() != data.rank())
    ctx.fail("indices and updates must have the same shape, of the data's rank");
  for (size_t d = 0; d < data.shape().size(); ++d) {
    if (d != axis && indices.shape()[d] > data.shape()[d] && indices.size() > 0)
      ctx.fail(fmt::format("the indices are larger than the data on axis {}", d));
  }
  const std::vector<int64_t> strides = row_major_strides(data.shape());
  std::vector<int64_t> starts;
  // Along the last axis in a loop of its own; `row`: where the element 0 of that axis (and of the indexed one) is.
  const size_t last = strides.size() - 1;
  const int64_t length = indices.dim(-1);
  int64_t run = 1;
  auto find = [&](const auto* chosen) {
    // Rows of which every element has the same index (one that was expanded) go as a whole.
    bool whole = axis != last;
    for (int64_t first = 0; whole && first < indices.size(); first += length)
      whole = std::all_of(chosen + first, chosen + first + length, [&](auto i) { return i == chosen[first]; });
    run = whole ? std::max<int64_t>(length, 1) : 1;
    starts.reserve(static_cast<size_t>(indices.size() / run));
    for (int64_t first = 0; first < indices.size(); first += length) {
      int64_t row = 0, rest = first / length;
      for (size_t d = last; d-- > 0; rest /= indices.shape()[d])
        if (d != axis) row += strides[d] * (rest % indices.shape()[d]);
      for (int64_t i = first; i < first + length; i += run)
        starts.push_back(row + (axis == last ? 0 : i - first) +
                         strides[axis] * checked(ctx.node(), chosen[i], data.shape()[axis]));
    }
  };
  if (indices.dtype() == DType::i32) find(indices.data<int32_t>());
  else find(indices.data<int64_t>());
  ctx.set_output(0, scattered(ctx.node(), data, updates, starts, run));
}

void evaluate_scatter_nd(EvalContext& ctx) {
  const Tensor &data = ctx.input(0), &indices = ctx.input(1), &updates = ctx.input(2);
  const int64_t indexed = indices.rank() == 0 ? 0 : indices.dim(-1);
  if (indexed < 1 || indexed > data.rank())
    ctx.fail(fmt::format("the last dim of the indices is {}, the data has {} dims", indexed, data.rank()));
  const int64_t run = product({data.shape().data() + indexed, data.shape().size() - static_cast<size_t>(indexed)}),
                points = indices.size() / indexed;
  if (updates.size() != points * run)
    ctx.fail(fmt::format("the updates have {} elements, must have {}", updates.size(), points * run));
  const std::vector<int64_t> strides = row_major_strides(data.shape());
  const int64_t* at = indices.data<int64_t>();
  std::vector<int64_t> starts(static_cast<size_t>(points), 0);
  for (int64_t& start : starts)
    for (size_t i = 0; i < static_cast<size_t>(indexed); ++i)
      start += strides[i] * checked(ctx.node(), *at++, data.shape()[i]);
  ctx.set_output(0, scattered(ctx.node(), data, updates, starts, run));
}

// --- the two as stages

/// The stage that writes the data, and the stage that scatters the updates over them.
class Scatter {
 public:
  /// Axes of the second: spatial ones and those along which points may meet.
  Scatter(LowerContext& ctx, std::vector<kernel::Axis> spatial, std::vector<kernel::Axis> meeting)
      : ctx_(ctx),
        into_(write_data()),
        stage_(ctx.kernel(), stage_name(ctx.kernel(), "scatter"), std::move(spatial), std::move(meeting)) {}

  /// Element `at` of the indices, along an axis of the data of this extent; negative ones count from its end. What lies
  /// outside of it scatters nowhere, for a stage cannot fail.
  Index row(const std::vector<Index>& at, int64_t extent) {
    const Tensor* constant = ctx_.constant(1);
    const int index = stage_.load(ctx_.input(1), at);
    const DType type = stage_.type_of(index);
    const std::vector<int64_t> known = constant != nullptr ? constant->as_ints() : std::vector<int64_t>{-1};
    if (std::none_of(known.begin(), known.end(), [](int64_t i) { return i < 0; })) return stage_.value_index(index);
    const int negative = stage_.node(Op::lt, DType::boolean, index, stage_.constant(0, type));
    const int from_end = stage_.add(index, stage_.constant(static_cast<double>(extent), type));
    return stage_.value_index(stage_.select(negative, from_end, index));
  }

  void finish(const std::vector<Index>& update, std::vector<Index> out) {
    static constexpr Reduction kCombine[] = {Reduction::none, Reduction::sum, Reduction::product, Reduction::max,
                                             Reduction::min};
    const Reduction combine = kCombine[static_cast<size_t>(update_of(ctx_.node()))];
    ctx_.set_output(0, stage_.finish_scatter(stage_.load(ctx_.input(2), update), combine, into_, std::move(out)));
  }

 private:
  int write_data() const {
    const std::vector<int64_t> shape = ctx_.shape(0);
    StageBuilder stage(ctx_.kernel(), stage_name(ctx_.kernel(), "scatter_data"), axes_of(shape));
    const Tensor* constant = ctx_.constant(0);
    if (constant == nullptr || !is_uniform(*constant))
      return stage.finish(stage.load(ctx_.input(0), axis_indices(static_cast<int>(shape.size()))));
    return stage.finish(stage.constant(constant->as_double(0), constant->dtype()));
  }

  /// Zeros to begin with need not be read.
  static bool is_uniform(const Tensor& t) {
    const size_t cell = ir::byte_size(t.dtype(), 1);
    return std::abs(t.as_double(0)) <= 0x1p53 && std::memcmp(t.raw(), t.raw() + cell, t.bytes() - cell) == 0;
  }

  LowerContext& ctx_;
  int into_;
  StageBuilder stage_;
};

bool can_lower_scatter(LowerContext& ctx) {
  const bool combines = update_of(ctx.node()) != Update::replace;
  return can_lower_inputs(ctx, {0, 1, 2}, combines ? kLowered & ~kBool : kLowered);
}

void lower_scatter_elements(LowerContext& ctx) {
  if (!can_lower_scatter(ctx)) return;
  const std::vector<int64_t> data = ctx.shape(0), count = ctx.shape(1);
  const auto axis =
      static_cast<size_t>(normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(data.size())));
  if (ctx.shape(2) != count || count.size() != data.size())
    return ctx.reject("lower: indices and updates are of different shapes");
  std::vector<kernel::Axis> spatial = axes_of(count);
  const kernel::Axis meeting = spatial[axis];
  spatial.erase(spatial.begin() + static_cast<std::ptrdiff_t>(axis));
  std::vector<Index> at, out;
  for (size_t d = 0; d < data.size(); ++d) {
    if (d != axis && count[d] > data[d]) return ctx.reject("lower: the indices are larger than the data");
    at.push_back(Index::variable(static_cast<int>(d == axis ? data.size() - 1 : d > axis ? d - 1 : d)));
  }
  Scatter scatter(ctx, std::move(spatial), {meeting});
  out = at;
  out[axis] = scatter.row(at, data[axis]);
  scatter.finish(at, std::move(out));
}

void lower_scatter_nd(LowerContext& ctx) {
  if (!can_lower_scatter(ctx)) return;
  const std::vector<int64_t> data = ctx.shape(0), indices = ctx.shape(1), updates = ctx.shape(2);
  if (indices.empty() || indices.back() < 1 || indices.back() > static_cast<int64_t>(data.size()))
    return ctx.reject("lower: the indices do not fit the data");
  const auto indexed = static_cast<size_t>(indices.back());
  const std::vector<int64_t> points(indices.begin(), indices.end() - 1);
  const std::vector<int64_t> row(data.begin() + static_cast<std::ptrdiff_t>(indexed), data.end());
  std::vector<int64_t> wanted = points;
  wanted.insert(wanted.end(), row.begin(), row.end());
  if (updates != wanted) return ctx.reject("lower: the updates do not fit the indices");
  Scatter scatter(ctx, axes_of(row), axes_of(points, "p"));
  std::vector<Index> at = axes_from(static_cast<int>(row.size()), points.size()), update = at, out;
  at.emplace_back(0);
  for (size_t d = 0; d < indexed; ++d) {
    at.back() = Index(static_cast<int64_t>(d));
    out.push_back(scatter.row(at, data[d]));
  }
  for (const Index& a : axes_from(0, row.size())) {
    out.push_back(a);
    update.push_back(a);
  }
  scatter.finish(update, std::move(out));
}

// --- TensorScatter: writes a stretch of a cache, for each sample of the batch at its own place

int cache_axis(const Node& node, int rank) {
  const int axis = normalize_axis(node, node.attr_int("axis", -2), rank);
  if (axis == 0) fail(node, "axis must not be 0, the batch");
  return axis;
}

bool circular(const Node& node) {
  const std::string mode = node.attr_string("mode", "linear");
  if (mode != "linear" && mode != "circular")
    fail(node, fmt::format("mode is '{}', but must be linear or circular", mode));
  return mode == "circular";
}

void infer_tensor_scatter(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, 1, kAny & ~kString);
  (void)circular(ctx.node());
  if (ctx.has_input(2)) require(ctx, 2, kIndices);
  if (ctx.has_shape(0)) {
    const Shape& cache = ctx.shape(0);
    const int axis = cache_axis(ctx.node(), static_cast<int>(cache.size()));
    Shape wanted = cache;
    if (ctx.has_shape(1) && ctx.shape(1).size() == cache.size())
      wanted[static_cast<size_t>(axis)] = ctx.shape(1)[static_cast<size_t>(axis)];
    require_shape(ctx, 1, "update", wanted);
    require_shape(ctx, 2, "write_indices", {cache[0]});
  }
  ctx.set_output(0, Type::tensor(dtype, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
}

void evaluate_tensor_scatter(EvalContext& ctx) {
  const Tensor &cache = ctx.input(0), &update = ctx.input(1);
  const int axis = cache_axis(ctx.node(), cache.rank());
  const bool wraps = circular(ctx.node());
  const int64_t total = cache.dim(axis), count = update.dim(axis), batch = cache.dim(0);
  const auto axis_at = static_cast<size_t>(axis);
  const int64_t outer = product({cache.shape().data(), axis_at}),
                inner = product({cache.shape().data() + axis_at + 1, cache.shape().size() - axis_at - 1});
  const int bits = ir::bit_width(cache.dtype());
  if (bits < 8) ctx.fail(fmt::format("element type {} is not supported", ir::name(cache.dtype())));
  const auto run = static_cast<size_t>(inner * bits / 8);
  Tensor out = cache.clone();
  for (int64_t o = 0; o < outer && batch > 0; ++o) {
    const int64_t sample = o / (outer / batch), first = ctx.has_input(2) ? ctx.input(2).as_int(sample) : 0;
    if (first < 0 || count > total || (!wraps && first > total - count))
      ctx.fail(fmt::format("sample {} is written at {}: {} steps do not fit into {}", sample, first, count, total));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t to = wraps ? (first % total + i) % total : first + i;
      std::memcpy(out.raw() + static_cast<size_t>(o * total + to) * run,
                  update.raw() + static_cast<size_t>(o * count + i) * run, run);
    }
  }
  ctx.set_output(0, std::move(out));
}

Cost cost_scatter(const CostContext& ctx) {
  const bool reduces = ctx.node.attr_string("reduction", "none") != "none";
  return {reduces ? static_cast<double>(elements(ctx.input(2))) : 0, bytes_touched(ctx)};
}

}  // namespace

void register_scatter(Catalogue& catalogue) {
  auto add = [&](const char* name, auto evaluate, auto lower) {
    catalogue.add({.name = name,
                   .since_version = 11,
                   .min_inputs = 3,
                   .max_inputs = 3,
                   .infer = infer_scatter,
                   .cost = cost_scatter,
                   .evaluate = widened(evaluate),
                   .lower = lower});
  };
  add("ScatterElements", evaluate_scatter_elements, lower_scatter_elements);
  add("ScatterND", evaluate_scatter_nd, lower_scatter_nd);
  catalogue.add({.name = "TensorScatter",
                 .since_version = 24,
                 .min_inputs = 2,
                 .max_inputs = 3,
                 .infer = infer_tensor_scatter,
                 .cost = cost_per_output(0),
                 .evaluate = evaluate_tensor_scatter});
}

}  // namespace rooftune::ops
