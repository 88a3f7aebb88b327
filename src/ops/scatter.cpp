// Writing at indices that are data: ScatterElements (and its predecessor Scatter) and ScatterND, with reductions.
#include <cstring>

#include "ops/cells.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"

namespace rooftune::ops {
namespace {

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

/// A run of `length` elements of the updates that goes to the data at an offset.
struct Run {
  int64_t to = 0, from = 0, length = 1;
};

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

/// A copy of `data` with the runs of `updates` applied in order.
Tensor scattered(const Node& node, const Tensor& data, const Tensor& updates, const std::vector<Run>& runs) {
  const Update update = update_of(node);
  if (update == Update::replace) {
    return rearrange({&data, &updates}, data.shape(), [&](const Moving& m) {
      std::memcpy(m.target, m.sources[0], static_cast<size_t>(data.size()) * m.cell);
      for (const Run& r : runs) {
        std::memcpy(m.target + static_cast<size_t>(r.to) * m.cell, m.sources[1] + static_cast<size_t>(r.from) * m.cell,
                    static_cast<size_t>(r.length) * m.cell);
      }
    });
  }
  Tensor out = data.clone();
  auto apply = [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = out.data<T>();
    const T* from = updates.data<T>();
    for (const Run& r : runs) {
      for (int64_t i = 0; i < r.length; ++i) to[r.to + i] = combined(update, to[r.to + i], from[r.from + i]);
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
  const std::vector<int64_t> strides = row_major_strides(data.shape());
  std::vector<Run> runs;
  std::vector<int64_t> at(strides.size(), 0);
  for (int64_t i = 0; i < indices.size(); ++i, next_index(at, indices.shape())) {
    int64_t to = 0;
    for (size_t d = 0; d < at.size(); ++d) {
      if (d != axis && at[d] >= data.shape()[d])
        ctx.fail(fmt::format("the indices are larger than the data on axis {}", d));
      to += strides[d] * (d == axis ? checked(ctx.node(), indices.as_int(i), data.shape()[d]) : at[d]);
    }
    runs.push_back({to, i});
  }
  ctx.set_output(0, scattered(ctx.node(), data, updates, runs));
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
  std::vector<Run> runs;
  for (int64_t p = 0; p < points; ++p) {
    int64_t to = 0;
    for (int64_t i = 0; i < indexed; ++i) {
      to += strides[static_cast<size_t>(i)] *
            checked(ctx.node(), indices.as_int(p * indexed + i), data.shape()[static_cast<size_t>(i)]);
    }
    runs.push_back({to, p * run, run});
  }
  ctx.set_output(0, scattered(ctx.node(), data, updates, runs));
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
  auto add = [&](const char* name, int since, auto evaluate) {
    catalogue.add({.name = name,
                   .since_version = since,
                   .min_inputs = 3,
                   .max_inputs = 3,
                   .infer = infer_scatter,
                   .cost = cost_scatter,
                   .evaluate = widened(evaluate)});
  };
  add("ScatterElements", 11, evaluate_scatter_elements);
  add("ScatterND", 11, evaluate_scatter_nd);
  catalogue.add({.name = "TensorScatter",
                 .since_version = 24,
                 .min_inputs = 2,
                 .max_inputs = 3,
                 .infer = infer_tensor_scatter,
                 .cost = cost_per_output(0),
                 .evaluate = evaluate_tensor_scatter});
}

}  // namespace rooftune::ops
