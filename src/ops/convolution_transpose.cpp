// ConvTranspose: the adjoint of Conv. Reference: a matrix product followed by folding the columns back.
#include "ops/cells.h"
#include "ops/columns.h"
#include "ops/dense.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

using kernel::Reduction;

/// The window with the padding that the attributes ask for (it cuts the output), and the output's spatial extents.
struct Transposed {
  Window window;
  Shape output;
};

Transposed transposed(const Node& node, const Shape& x, const Shape& w) {
  if (x.size() < 3 || w.size() != x.size())
    fail(node, fmt::format("X {} and W {} must have the same rank, at least 3", to_string(x), to_string(w)));
  std::vector<int64_t> kernel = node.attr_ints("kernel_shape");
  const Shape spatial(w.begin() + 2, w.end());
  if (kernel.empty()) {
    if (!ir::is_static(spatial)) fail(node, fmt::format("the kernel's extents must be known, W is {}", to_string(w)));
    kernel = ir::static_values(spatial);
  }
  const size_t rank = spatial.size();
  for (size_t i = 0; i < rank; ++i) {
    if (kernel.size() != rank || !may_equal(spatial[i], kernel[i]))
      fail(node, fmt::format("kernel_shape [{}] does not agree with W {}", fmt::join(kernel, ","), to_string(w)));
  }
  Transposed t{read_window(node, kernel), {}};
  Window& win = t.window;
  const std::vector<int64_t> extra = node.attr_ints("output_padding", std::vector<int64_t>(rank, 0));
  std::vector<int64_t> wanted = node.attr_ints("output_shape");
  if (wanted.size() == rank + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);  // some exporters give N and C too
  if (extra.size() != rank || (!wanted.empty() && wanted.size() != rank))
    fail(node, fmt::format("output_padding and output_shape must have {} values", rank));
  const bool same = win.auto_pad == "SAME_UPPER" || win.auto_pad == "SAME_LOWER";
  for (size_t i = 0; i < rank; ++i) {
    const Dim full = (x[i + 2] - 1) * Dim(win.strides[i]) + Dim(extra[i] + win.span(i));
    if (wanted.empty() && !same) {
      t.output.push_back(full - Dim(win.begin[i] + win.end[i]));
      continue;
    }
    // SAME gives input · stride, but never more than the unpadded output.
    const Dim out = wanted.empty() ? min(x[i + 2] * Dim(win.strides[i]), full) : Dim(wanted[i]);
    t.output.push_back(out);
    const Dim total = max(full - out, 0);
    if (!total.is_static()) fail(node, "the padding depends on a symbolic extent");
    win.begin[i] = win.auto_pad == "SAME_UPPER" ? total.value() / 2 : total.value() - total.value() / 2;
    win.end[i] = total.value() - win.begin[i];
  }
  return t;
}

int64_t groups_of(const Node& node) {
  const int64_t groups = node.attr_int("group", 1);
  if (groups < 1) fail(node, fmt::format("group is {}, must be at least 1", groups));
  return groups;
}

void infer_transposed(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, 2, kFloats);
  if (!ctx.has_shape(0) || !ctx.has_shape(1)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape &x = ctx.shape(0), &w = ctx.shape(1);
  const Transposed t = transposed(ctx.node(), x, w);
  const int64_t groups = groups_of(ctx.node());
  if (!may_equal(x[1], w[0]))
    ctx.fail(fmt::format("X {} has {} channels, W {} wants {}", to_string(x), x[1].to_string(), to_string(w),
                         w[0].to_string()));
  if (w[0].is_static() && w[0].value() % groups != 0)
    ctx.fail(fmt::format("group={} does not divide the {} channels", groups, w[0].value()));
  Shape out = {x[0], w[1] * Dim(groups)};
  if (ctx.has_input(2) && ctx.has_shape(2) && (ctx.shape(2).size() != 1 || !may_equal(ctx.shape(2)[0], out[1]))) {
    ctx.fail(fmt::format("B is {}, must be [{}]", to_string(ctx.shape(2)), out[1].to_string()));
  }
  out.insert(out.end(), t.output.begin(), t.output.end());
  for (size_t i = 2; i < out.size(); ++i) {
    if (out[i].max() < 1) ctx.fail(fmt::format("the padding leaves nothing of spatial axis {}", i - 2));
  }
  ctx.set_output(0, dtype, std::move(out));
}

Cost cost_transposed(const CostContext& ctx) {
  const std::vector<int64_t> w = ir::static_values(ctx.input(1).shape());
  const double macs =
      static_cast<double>(elements(ctx.input(0))) * static_cast<double>(product(w) / std::max<int64_t>(1, w[0]));
  return {2 * macs + (ctx.has_input(2) ? static_cast<double>(elements(ctx.output(0))) : 0), bytes_touched(ctx)};
}

template <typename T>
void transposed_convolution(EvalContext& ctx, const Transposed& t, int64_t groups, Tensor& out) {
  const Tensor &x = ctx.input(0), &w = ctx.input(1);
  const std::vector<int64_t> input(x.shape().begin() + 2, x.shape().end()),
      output(out.shape().begin() + 2, out.shape().end());
  const int64_t in_plane = product(input), out_plane = product(output), volume = t.window.volume();
  const int64_t channels = x.dim(1) / groups, filters = w.dim(1);
  if (x.size() == 0) std::fill_n(out.data<T>(), out.size(), T{0});
  std::vector<T> columns(static_cast<size_t>(filters * volume * in_plane));
  for (int64_t n = 0; n < x.dim(0) && x.size() > 0; ++n) {
    for (int64_t g = 0; g < groups; ++g) {
      const T* image = x.data<T>() + (n * x.dim(1) + g * channels) * in_plane;
      const T* weights = w.data<T>() + g * channels * filters * volume;
      matrix_product<T>(filters * volume, in_plane, channels, {weights, 1, filters * volume}, {image, in_plane},
                        columns.data(), in_plane);
      for (int64_t o = 0; o < filters; ++o) {
        T* to = out.data<T>() + (n * out.dim(1) + g * filters + o) * out_plane;
        std::fill_n(to, out_plane, ctx.has_input(2) ? ctx.input(2).data<T>()[g * filters + o] : T{0});
        std::vector<int64_t> point(t.window.rank(), 0);
        const T* from = columns.data() + o * volume * in_plane;
        do {
          fold(t.window, input, output, point, from, to);
          from += in_plane;
        } while (next_index(point, t.window.kernel));
      }
    }
  }
}

void evaluate_transposed(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const Transposed t = transposed(ctx.node(), ir::to_shape(x.shape()), ir::to_shape(ctx.input(1).shape()));
  const int64_t groups = groups_of(ctx.node());
  std::vector<int64_t> shape = {x.dim(0), ctx.input(1).dim(1) * groups};
  for (const Dim& d : t.output) shape.push_back(d.value());
  Tensor out(x.dtype(), shape);
  dispatch_float(ctx.node(), x.dtype(),
                 [&](auto tag) { transposed_convolution<typename decltype(tag)::type>(ctx, t, groups, out); });
  ctx.set_output(0, std::move(out));
}

/// Whether every output point on spatial axis `i` is hit by some window.
bool covers(const Window& w, size_t i, int64_t input, int64_t output) {
  std::vector<bool> hit(static_cast<size_t>(output), false);
  for (int64_t x = 0; x < input; ++x) {
    for (int64_t k = 0; k < w.kernel[i]; ++k) {
      const int64_t at = x * w.strides[i] + k * w.dilations[i] - w.begin[i];
      if (at >= 0 && at < output) hit[static_cast<size_t>(at)] = true;
    }
  }
  return std::find(hit.begin(), hit.end(), false) == hit.end();
}

/// Where windows neither overlap nor leave gaps, every output point has exactly one window point: axes are those of the
/// *input* and of the window, and the output index is position · stride + offset. Otherwise each output point looks for
/// the window points that hit it.
void lower_transposed(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0, 1, 2}, kFloats & kLowered)) return;
  const std::vector<int64_t> x = ctx.shape(0), w = ctx.shape(1), shape = ctx.output_shape(0);
  const Transposed t = transposed(ctx.node(), ir::to_shape(x), ir::to_shape(w));
  const int64_t groups = groups_of(ctx.node()), channels = x[1] / groups, filters = w[1];
  const size_t rank = t.window.rank();
  bool tiling = true;
  for (size_t i = 0; i < rank; ++i)
    tiling = tiling && t.window.kernel[i] == t.window.strides[i] && t.window.dilations[i] == 1 &&
             t.window.begin[i] == 0 && x[i + 2] * t.window.strides[i] == shape[i + 2];

  std::vector<kernel::Axis> axes = {{"n", x[0]}}, inner = {{"c", channels}};
  if (groups > 1) axes.push_back({"g", groups});
  axes.push_back({"o", filters});
  const int first = static_cast<int>(axes.size());
  const std::vector<int64_t> extents =
      tiling ? std::vector<int64_t>(x.begin() + 2, x.end()) : std::vector<int64_t>(shape.begin() + 2, shape.end());
  for (const kernel::Axis& a : spatial_axes(extents)) axes.push_back(a);
  for (const kernel::Axis& a : spatial_axes(t.window.kernel, "f")) (tiling ? axes : inner).push_back(a);
  kernel::Kernel& k = ctx.kernel();
  StageBuilder stage(k, stage_name(k, "conv_transpose"), axes, inner);
  const int reduced = static_cast<int>(axes.size());
  const Index group = groups > 1 ? stage.axis(1) : Index(0), o = stage.axis(first - 1), c = stage.axis(reduced);
  std::vector<Index> from = {stage.axis(0), group * channels + c}, weight = {group * channels + c, o},
                     out = {stage.axis(0), group * filters + o};
  std::vector<Index> where;
  std::vector<int64_t> ends;
  for (const auto& list : {axes, inner}) {
    for (const kernel::Axis& a : list) ends.push_back(a.extent);
  }
  const auto axis_range = [&](int v) { return kernel::Range{0, ends[static_cast<size_t>(v)] - 1}; };
  for (size_t i = 0; i < rank; ++i) {
    const int64_t s = t.window.strides[i];
    const Index position = stage.axis(first + static_cast<int>(i));
    const Index offset =
        tiling ? stage.axis(first + static_cast<int>(rank + i)) : stage.axis(reduced + 1 + static_cast<int>(i));
    weight.push_back(offset);
    if (tiling) {
      from.push_back(position);
      out.push_back(position * s + offset);
      continue;
    }
    const Index hit = position + t.window.begin[i] - offset * t.window.dilations[i];
    const Index at = floordiv(hit, s, axis_range);
    std::vector<Index> hits = {hit, Index(x[i + 2] - 1) - at};
    if (s > 1) hits.push_back(Index(0) - mod(hit, s, axis_range));
    // Summands that are missing are skipped; but a stage writes no point all of whose summands it skips.
    if (!covers(t.window, i, x[i + 2], shape[i + 2])) where.insert(where.end(), hits.begin(), hits.end());
    else
      for (const Index& h : hits) stage.where(h);
    from.push_back(at);
    out.push_back(position);
  }
  const int sum = stage.mul(stage.load(ctx.input(0), from, where), stage.load(ctx.input(1), weight));
  int buffer = k.add_buffer(stage_name(k, "conv_transpose"), stage.type_of(sum), shape, kernel::Role::temporary);
  stage.finish(sum, Reduction::sum, buffer, out);
  if (ctx.has_input(2)) {
    StageBuilder bias(k, stage_name(k, "conv_transpose_bias"), axes_of(shape));
    buffer =
        bias.finish(bias.add(bias.load(buffer, axes_from(0, shape.size())), bias.load(ctx.input(2), {bias.axis(1)})));
  }
  ctx.set_output(0, buffer);
}

}  // namespace

void register_convolution_transpose(Catalogue& catalogue) {
  catalogue.add({.name = "ConvTranspose",
                 .since_version = 11,
                 .min_inputs = 2,
                 .max_inputs = 3,
                 .pattern = Pattern::contraction,
                 .infer = infer_transposed,
                 .cost = cost_transposed,
                 .evaluate = widened(evaluate_transposed),
                 .lower = lower_transposed});
}

}  // namespace rooftune::ops
