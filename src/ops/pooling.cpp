// Pools over windows (MaxPool, AveragePool, LpPool, MaxUnpool) and over all of the spatial dims (Global*Pool).
#include "ops/cells.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/stages.h"
#include "ops/window.h"

namespace rooftune::ops {
namespace {

using kernel::Op;
using kernel::Reduction;

constexpr DTypeSet kMaxPoolTypes = kFloats | set_of({DType::i8, DType::u8});

// --- windows over an input

Window pool_window(const Node& node, size_t rank) {
  const std::vector<int64_t> kernel = node.attr_ints("kernel_shape");
  if (kernel.size() != rank)
    fail(node, fmt::format("kernel_shape has {} values, X has {} spatial dims", kernel.size(), rank));
  return read_window(node, kernel);
}

Shape pool_shape(const Node& node, const Shape& x) {
  if (x.size() < 3) fail(node, fmt::format("X {} must have at least 3 dims: [N,C,…]", to_string(x)));
  const Window window = pool_window(node, x.size() - 2);
  Shape out = {x[0], x[1]};
  for (size_t i = 0; i < window.rank(); ++i) {
    out.push_back(window.output(i, x[i + 2]));
    if (out.back().max() < 1)
      fail(node, fmt::format("the kernel is larger than the padded input {} on spatial axis {}", to_string(x), i));
  }
  return out;
}

void infer_pool(InferContext& ctx) {
  const bool max_pool = ctx.node().op == "MaxPool";
  const DType dtype = require(ctx, 0, max_pool ? kMaxPoolTypes : kFloats);
  for (int i = 0; i < ctx.output_count(); ++i) {
    const DType type = i == 0 ? dtype : DType::i64;
    ctx.set_output(i, ctx.has_shape(0) ? Type::tensor(type, pool_shape(ctx.node(), ctx.shape(0))) : Type::tensor(type));
  }
}

Cost cost_pool(const CostContext& ctx) {
  const double taps = static_cast<double>(product(ctx.node.attr_ints("kernel_shape")));
  return {taps * static_cast<double>(elements(ctx.output(0))), bytes_touched(ctx)};
}

/// Which input elements one output element sees, per spatial axis: `count` of them from `first` on, a dilation apart;
/// `padded` counts those in the padding too.
struct Taps {
  int64_t first = 0, count = 0, padded = 0;
};

struct PoolSizes {
  Window window;
  std::vector<int64_t> input, output, strides;
  std::vector<std::vector<Taps>> taps;  // [axis][output position]
  int64_t planes = 0;

  PoolSizes(const Node& node, const std::vector<int64_t>& x)
      : window(pool_window(node, x.size() - 2)), input(x.begin() + 2, x.end()) {
    output = window.resolve(input);
    strides = row_major_strides(input);
    planes = x[0] * x[1];
    taps.resize(input.size());
    for (size_t i = 0; i < input.size(); ++i) {
      for (int64_t o = 0; o < output[i]; ++o) {
        Taps t;
        bool first = true;
        for (int64_t p = 0; p < window.kernel[i]; ++p) {
          const int64_t at = o * window.strides[i] - window.begin[i] + p * window.dilations[i];
          t.padded += at < input[i] + window.end[i] ? 1 : 0;
          if (at < 0 || at >= input[i]) continue;
          if (first) t.first = at;
          first = false;
          ++t.count;
        }
        taps[i].push_back(t);
      }
    }
  }

  std::vector<int64_t> shape(const std::vector<int64_t>& x) const {
    std::vector<int64_t> s = {x[0], x[1]};
    s.insert(s.end(), output.begin(), output.end());
    return s;
  }

  /// Calls visit(offset in the plane) for every input element under output point `at`.
  template <typename F>
  void for_each(const std::vector<int64_t>& at, F&& visit, size_t axis = 0, int64_t offset = 0) const {
    const Taps& t = taps[axis][static_cast<size_t>(at[axis])];
    const int64_t step = window.dilations[axis] * strides[axis];
    offset += t.first * strides[axis];
    for (int64_t p = 0; p < t.count; ++p, offset += step) {
      if (axis + 1 == input.size()) visit(offset);
      else for_each(at, visit, axis + 1, offset);
    }
  }
};

/// out[plane, at] = f(plane's elements, at) for all planes and output points.
template <typename T, typename F>
void pool(const PoolSizes& s, const T* x, T* out, F&& f) {
  const int64_t plane = product(s.input);
  if (product(s.output) == 0) return;
  for (int64_t p = 0; p < s.planes; ++p, x += plane) {
    std::vector<int64_t> at(s.output.size(), 0);
    do {
      *out++ = f(x, p, at);
    } while (next_index(at, s.output));
  }
}

/// The offset in a plane, counted with the first spatial axis fastest.
int64_t column_major(int64_t offset, const std::vector<int64_t>& extents) {
  int64_t result = 0, scale = 1;
  const std::vector<int64_t> strides = row_major_strides(extents);
  for (size_t i = 0; i < extents.size(); ++i) {
    result += offset / strides[i] % extents[i] * scale;
    scale *= extents[i];
  }
  return result;
}

void evaluate_max_pool(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const PoolSizes s(ctx.node(), x.shape());
  Tensor out(x.dtype(), s.shape(x.shape()));
  const bool with_indices = ctx.has_output(1), columns = ctx.node().attr_int("storage_order", 0) != 0;
  Tensor indices(DType::i64, with_indices ? out.shape() : std::vector<int64_t>{0});
  int64_t* index = indices.data<int64_t>();
  const int64_t plane = product(s.input);
  dispatch<float, double, int8_t, uint8_t>(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    pool<T>(s, x.data<T>(), out.data<T>(), [&](const T* from, int64_t p, const std::vector<int64_t>& at) {
      T best = std::numeric_limits<T>::lowest();
      int64_t where = -1;
      s.for_each(at, [&](int64_t offset) {
        if (where >= 0 && !(from[offset] > best)) return;
        best = from[offset];
        where = offset;
      });
      if (with_indices) *index++ = p * plane + (columns ? column_major(where, s.input) : where);
      return best;
    });
  });
  ctx.set_output(0, std::move(out));
  if (with_indices) ctx.set_output(1, std::move(indices));
}

void evaluate_average_pool(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const PoolSizes s(ctx.node(), x.shape());
  const bool padded = ctx.node().attr_int("count_include_pad", 0) != 0;
  Tensor out(x.dtype(), s.shape(x.shape()));
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    pool<T>(s, x.data<T>(), out.data<T>(), [&](const T* from, int64_t, const std::vector<int64_t>& at) {
      T sum = 0;
      int64_t count = 1;
      s.for_each(at, [&](int64_t offset) { sum += from[offset]; });
      for (size_t i = 0; i < at.size(); ++i) {
        const Taps& t = s.taps[i][static_cast<size_t>(at[i])];
        count *= padded ? t.padded : t.count;
      }
      return count == 0 ? T{0} : sum / static_cast<T>(count);
    });
  });
  ctx.set_output(0, std::move(out));
}

template <typename T>
T power(T magnitude, int64_t p) {
  return p == 1 ? magnitude : p == 2 ? magnitude * magnitude : std::pow(magnitude, static_cast<T>(p));
}
template <typename T>
T root(T sum, int64_t p) {
  return p == 1 ? sum : p == 2 ? std::sqrt(sum) : std::pow(sum, T{1} / static_cast<T>(p));
}

void evaluate_lp_pool(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const PoolSizes s(ctx.node(), x.shape());
  const int64_t p = ctx.node().attr_int("p", 2);
  Tensor out(x.dtype(), s.shape(x.shape()));
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    pool<T>(s, x.data<T>(), out.data<T>(), [&](const T* from, int64_t, const std::vector<int64_t>& at) {
      T sum = 0;
      s.for_each(at, [&](int64_t offset) { sum += power(std::abs(from[offset]), p); });
      return root(sum, p);
    });
  });
  ctx.set_output(0, std::move(out));
}

// --- lowering of windows

bool can_lower_pool(LowerContext& ctx, const PoolSizes& s) {
  for (const auto& axis : s.taps) {
    for (const Taps& t : axis) {
      if (t.count == 0) ctx.reject("lower: a window lies wholly in the padding");
    }
  }
  return ctx.rejection().empty();
}

/// A reducing stage over the window of each output point. Axes: n, c, spatial | window. `value` makes the summand from
/// the input's element (a node), which is skipped in the padding.
int add_pool_stage(LowerContext& ctx, const std::string& name, const PoolSizes& s, Reduction reduction,
                   const std::function<int(StageBuilder&, int)>& value) {
  const std::vector<int64_t> x = ctx.shape(0);
  std::vector<kernel::Axis> axes = {{"n", x[0]}, {"c", x[1]}};
  for (const kernel::Axis& a : spatial_axes(s.output)) axes.push_back(a);
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), name), axes, spatial_axes(s.window.kernel, "f"));
  std::vector<Index> from = {stage.axis(0), stage.axis(1)}, outside;
  for (size_t i = 0; i < s.input.size(); ++i) {
    const Index position = stage.axis(2 + static_cast<int>(i)), offset = stage.axis(static_cast<int>(axes.size() + i));
    from.push_back(window_coordinate(stage, s.window, i, position, offset, s.input[i], s.output[i], outside));
  }
  RT_CHECK(outside.empty());  // see can_lower_pool
  return stage.finish(value(stage, stage.load(ctx.input(0), from)), reduction);
}

void lower_max_pool(LowerContext& ctx) {
  if (ctx.outputs().size() > 1 || ctx.node().outputs.size() > 1)
    return ctx.reject("lower: MaxPool with Indices is not supported");
  if (!can_lower_inputs(ctx, {0})) return;
  const PoolSizes s(ctx.node(), ctx.shape(0));
  if (!can_lower_pool(ctx, s)) return;
  ctx.set_output(0, add_pool_stage(ctx, "max_pool", s, Reduction::max, [](StageBuilder&, int x) { return x; }));
}

/// How many elements each output point averages over, as a stage over the spatial axes alone.
int add_count_stage(LowerContext& ctx, const PoolSizes& s, bool padded) {
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), "pool_count"), spatial_axes(s.output),
                     spatial_axes(s.window.kernel, "f"));
  for (size_t i = 0; i < s.input.size(); ++i) {
    Window w = s.window;
    const Index position = stage.axis(static_cast<int>(i)), offset = stage.axis(static_cast<int>(s.input.size() + i));
    if (padded) w.begin[i] = 0;  // the padding counts, what lies behind it does not
    std::vector<Index> outside;
    window_coordinate(stage, w, i, position, offset,
                      padded ? s.input[i] + s.window.begin[i] + s.window.end[i] : s.input[i], s.output[i], outside);
  }
  return stage.finish(stage.constant(1), Reduction::sum);
}

void lower_average_pool(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0}, kFloats & kLowered)) return;
  const PoolSizes s(ctx.node(), ctx.shape(0));
  if (!can_lower_pool(ctx, s)) return;
  const bool padded = ctx.node().attr_int("count_include_pad", 0) != 0;
  const int sum = add_pool_stage(ctx, "average_pool_sum", s, Reduction::sum, [](StageBuilder&, int x) { return x; });
  bool uniform = true;
  for (const auto& axis : s.taps) {
    for (const Taps& t : axis)
      uniform = uniform && (padded ? t.padded : t.count) == (padded ? axis[0].padded : axis[0].count);
  }
  int64_t count = 1;
  for (const auto& axis : s.taps) count *= padded ? axis[0].padded : axis[0].count;
  const int counts = uniform ? -1 : add_count_stage(ctx, s, padded);
  const std::vector<int64_t> shape = ctx.output_shape(0);
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), "average_pool"), axes_of(shape));
  const int divisor =
      uniform ? stage.constant(static_cast<double>(count)) : stage.load(counts, axes_from(2, s.input.size()));
  ctx.set_output(0, stage.finish(stage.div(stage.load(sum, axes_from(0, shape.size())), divisor)));
}

int power_node(StageBuilder& stage, int x, int64_t p) {
  if (p == 2) return stage.mul(x, x);
  const int magnitude = stage.unary(Op::abs, x);
  return p == 1 ? magnitude : stage.node(Op::pow, stage.type_of(x), magnitude, stage.constant(static_cast<double>(p)));
}
int root_node(StageBuilder& stage, int x, int64_t p) {
  if (p == 2) return stage.unary(Op::sqrt, x);
  return p == 1 ? x : stage.node(Op::pow, stage.type_of(x), x, stage.constant(1.0 / static_cast<double>(p)));
}

void lower_lp_pool(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0}, kFloats & kLowered)) return;
  const PoolSizes s(ctx.node(), ctx.shape(0));
  if (!can_lower_pool(ctx, s)) return;
  const int64_t p = ctx.node().attr_int("p", 2);
  const int sum = add_pool_stage(ctx, "lp_pool_sum", s, Reduction::sum,
                                 [p](StageBuilder& stage, int x) { return power_node(stage, x, p); });
  const std::vector<int64_t> shape = ctx.output_shape(0);
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), "lp_pool"), axes_of(shape));
  ctx.set_output(0, stage.finish(root_node(stage, stage.load(sum, axes_from(0, shape.size())), p)));
}

// --- pools over everything

void infer_global(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require_rank(ctx, 0, 3);
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  Shape shape(ctx.shape(0).size(), Dim(1));
  shape[0] = ctx.shape(0)[0];
  shape[1] = ctx.shape(0)[1];
  ctx.set_output(0, dtype, std::move(shape));
}

void evaluate_global(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  std::vector<int64_t> shape(x.shape().size(), 1);
  shape[0] = x.dim(0);
  shape[1] = x.dim(1);
  Tensor out(x.dtype(), shape);
  const int64_t plane = out.size() == 0 ? 0 : x.size() / out.size(), p = ctx.node().attr_int("p", 2);
  const std::string& op = ctx.node().op;
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < out.size(); ++i) {
      const T* from = x.data<T>() + i * plane;
      T& to = out.data<T>()[i];
      double sum = 0;
      if (op == "GlobalMaxPool") {
        to = std::numeric_limits<T>::lowest();
        for (int64_t j = 0; j < plane; ++j) to = std::max(to, from[j]);
      } else if (op == "GlobalAveragePool") {
        for (int64_t j = 0; j < plane; ++j) sum += from[j];
        to = static_cast<T>(sum / static_cast<double>(plane));
      } else {
        for (int64_t j = 0; j < plane; ++j) sum += power(std::abs(static_cast<double>(from[j])), p);
        to = static_cast<T>(root(sum, p));
      }
    }
  });
  ctx.set_output(0, std::move(out));
}

void lower_global(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0}, kFloats & kLowered)) return;
  const std::vector<int64_t> x = ctx.shape(0);
  const std::string name = lower_case(ctx.node().op);
  const bool average = ctx.node().op == "GlobalAveragePool", max = ctx.node().op == "GlobalMaxPool";
  const int64_t p = ctx.node().attr_int("p", 2);
  const std::vector<int64_t> spatial(x.begin() + 2, x.end());
  kernel::Kernel& k = ctx.kernel();
  std::vector<Index> out = {Index::variable(0), Index::variable(1)};
  out.resize(x.size());  // the rest is 0
  auto result = [&] {
    return k.add_buffer(stage_name(k, name), DType::f32, ctx.output_shape(0), kernel::Role::temporary);
  };

  StageBuilder stage(k, stage_name(k, max ? name : name + "_sum"), {{"n", x[0]}, {"c", x[1]}}, spatial_axes(spatial));
  const int value = stage.load(ctx.input(0), axes_from(0, x.size()));
  if (max) return ctx.set_output(0, stage.finish(value, Reduction::max, result(), out));
  const int sum = stage.finish(average ? value : power_node(stage, value, p), Reduction::sum);
  StageBuilder last(k, stage_name(k, name), {{"n", x[0]}, {"c", x[1]}});
  const int total = last.load(sum, axes_from(0, 2));
  const int y =
      average ? last.div(total, last.constant(static_cast<double>(product(spatial)))) : root_node(last, total, p);
  ctx.set_output(0, last.finish(y, Reduction::none, result(), out));
}

// --- MaxUnpool

std::vector<int64_t> unpool_shape(const Node& node, const std::vector<int64_t>& x) {
  const Window w = pool_window(node, x.size() - 2);
  std::vector<int64_t> shape = {x[0], x[1]};
  for (size_t i = 0; i < w.rank(); ++i)
    shape.push_back((x[i + 2] - 1) * w.strides[i] + w.kernel[i] - w.begin[i] - w.end[i]);
  return shape;
}

void infer_max_unpool(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require(ctx, 1, bit(DType::i64));
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape& x = ctx.shape(0);
  require_rank(ctx, 0, 3);
  if (ctx.has_input(2)) {
    const auto given = ctx.ints(2);
    if (given && given->size() != x.size())
      ctx.fail(fmt::format("output_shape has {} values, must have {}", given->size(), x.size()));
    return ctx.set_output(0, dtype, given ? *given : unknown_shape(ctx, 0, static_cast<int64_t>(x.size())));
  }
  const Window w = pool_window(ctx.node(), x.size() - 2);
  Shape shape = {x[0], x[1]};
  for (size_t i = 0; i < w.rank(); ++i)
    shape.push_back((x[i + 2] - 1) * Dim(w.strides[i]) + Dim(w.kernel[i] - w.begin[i] - w.end[i]));
  ctx.set_output(0, dtype, std::move(shape));
}

void evaluate_max_unpool(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  Tensor out(x.dtype(), ctx.has_input(2) ? ctx.input(2).as_ints() : unpool_shape(ctx.node(), x.shape()));
  const int64_t* indices = ctx.input(1).data<int64_t>();
  if (ctx.input(1).size() != x.size()) ctx.fail("X and I must have the same shape");
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::fill_n(out.data<T>(), out.size(), T{0});
    for (int64_t i = 0; i < x.size(); ++i) {
      if (indices[i] < 0 || indices[i] >= out.size())
        ctx.fail(fmt::format("index {} is outside the output of {} elements", indices[i], out.size()));
      out.data<T>()[indices[i]] = x.data<T>()[i];
    }
  });
  ctx.set_output(0, std::move(out));
}

}  // namespace

void register_pooling(Catalogue& catalogue) {
  const Pattern reduction = Pattern::reduction;
  catalogue.add({.name = "MaxPool",
                 .since_version = 11,
                 .min_inputs = 1,
                 .max_inputs = 1,
                 .max_outputs = 2,
                 .pattern = reduction,
                 .infer = infer_pool,
                 .cost = cost_pool,
                 .evaluate = widened(evaluate_max_pool),
                 .lower = lower_max_pool});
  catalogue.add({.name = "AveragePool",
                 .since_version = 11,
                 .min_inputs = 1,
                 .max_inputs = 1,
                 .pattern = reduction,
                 .infer = infer_pool,
                 .cost = cost_pool,
                 .evaluate = widened(evaluate_average_pool),
                 .lower = lower_average_pool});
  catalogue.add({.name = "LpPool",
                 .since_version = 11,
                 .min_inputs = 1,
                 .max_inputs = 1,
                 .pattern = reduction,
                 .infer = infer_pool,
                 .cost = cost_pool,
                 .evaluate = widened(evaluate_lp_pool),
                 .lower = lower_lp_pool});
  for (const char* name : {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"}) {
    catalogue.add({.name = name,
                   .min_inputs = 1,
                   .max_inputs = 1,
                   .pattern = reduction,
                   .infer = infer_global,
                   .cost = cost_per_input(1),
                   .evaluate = widened(evaluate_global),
                   .lower = lower_global});
  }
  catalogue.add({.name = "MaxUnpool",
                 .since_version = 11,
                 .min_inputs = 2,
                 .max_inputs = 3,
                 .infer = infer_max_unpool,
                 .evaluate = widened(evaluate_max_unpool)});
}

}  // namespace rooftune::ops
