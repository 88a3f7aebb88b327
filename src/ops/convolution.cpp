// Conv in any number of spatial dims, with groups; the integer forms stand in quantized.cpp.
#include "ops/convolution.h"

#include "ops/cells.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"

namespace rooftune::ops {

using kernel::Reduction;

namespace {

std::vector<int64_t> kernel_extents(const Node& node, const Shape& w) {
  std::vector<int64_t> kernel = node.attr_ints("kernel_shape");
  const Shape spatial(w.begin() + 2, w.end());
  if (kernel.empty()) {
    if (!ir::is_static(spatial)) fail(node, fmt::format("the kernel's extents must be known, W is {}", to_string(w)));
    return ir::static_values(spatial);
  }
  if (kernel.size() != spatial.size())
    fail(node, fmt::format("kernel_shape has {} values, W {} has {} spatial dims", kernel.size(), to_string(w),
                           spatial.size()));
  for (size_t i = 0; i < kernel.size(); ++i) {
    if (!may_equal(spatial[i], kernel[i]))
      fail(node, fmt::format("kernel_shape [{}] does not agree with W {}", fmt::join(kernel, ","), to_string(w)));
  }
  return kernel;
}

}  // namespace

Shape conv_shape(const Node& node, const Shape& x, const Shape& w) {
  if (x.size() < 3) fail(node, fmt::format("X {} must have at least 3 dims: [N,C,…]", to_string(x)));
  if (w.size() != x.size()) fail(node, fmt::format("W {} must have as many dims as X {}", to_string(w), to_string(x)));
  const int64_t groups = node.attr_int("group", 1);
  if (groups < 1) fail(node, fmt::format("group is {}, must be at least 1", groups));
  if (!may_equal(x[1], w[1] * Dim(groups))) {
    fail(node, fmt::format("X {} has {} channels, W {} with group={} wants {}", to_string(x), x[1].to_string(),
                           to_string(w), groups, (w[1] * Dim(groups)).to_string()));
  }
  if (w[0].is_static() && w[0].value() % groups != 0)
    fail(node, fmt::format("group={} does not divide the {} filters", groups, w[0].value()));
  const Window window = read_window(node, kernel_extents(node, w));
  Shape out = {x[0], w[0]};
  for (size_t i = 0; i < window.rank(); ++i) {
    out.push_back(window.output(i, x[i + 2]));
    if (out.back().max() < 1)
      fail(node, fmt::format("the kernel is larger than the padded input {} on spatial axis {}", to_string(x), i));
  }
  return out;
}

ConvSizes conv_sizes(const Node& node, const std::vector<int64_t>& x, const std::vector<int64_t>& w) {
  ConvSizes s;
  s.images = x[0];
  s.in_channels = x[1];
  s.out_channels = w[0];
  s.groups = node.attr_int("group", 1);
  s.input.assign(x.begin() + 2, x.end());
  s.window = read_window(node, {w.begin() + 2, w.end()});
  s.output = s.window.resolve(s.input);
  return s;
}

double conv_flops(const CostContext& ctx, int w) {
  const std::vector<int64_t> weights = ir::static_values(ctx.input(w).shape());
  return 2.0 * static_cast<double>(elements(ctx.output(0))) *
         static_cast<double>(product(weights) / std::max<int64_t>(1, weights[0]));
}

int add_conv_stage(LowerContext& ctx, const std::string& name, const ConvSizes& s,
                   const std::function<int(StageBuilder&, const ConvPoint&)>& value) {
  const int64_t channels = s.in_channels / s.groups, filters = s.out_channels / s.groups;
  std::vector<kernel::Axis> axes = {{"n", s.images}}, inner;
  const bool grouped = s.groups > 1, several = filters > 1 || !grouped, deep = channels > 1 || !grouped;
  if (grouped) axes.push_back({several ? "g" : "c", s.groups});
  if (several) axes.push_back({"o", filters});
  const int first = static_cast<int>(axes.size());
  for (const kernel::Axis& a : spatial_axes(s.output)) axes.push_back(a);
  if (deep) inner.push_back({"c", channels});
  for (const kernel::Axis& a : spatial_axes(s.window.kernel, "f")) inner.push_back(a);

  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), name), axes, inner);
  const Index group = grouped ? stage.axis(1) : Index(0), o = several ? stage.axis(grouped ? 2 : 1) : Index(0);
  const int reduced = static_cast<int>(axes.size()), offsets = reduced + (deep ? 1 : 0);
  const Index c = deep ? stage.axis(reduced) : Index(0);
  ConvPoint point{{stage.axis(0), group * channels + c}, {group * filters + o, c}, {}, group * filters + o};
  std::vector<Index> out = {stage.axis(0), point.filter};
  for (size_t i = 0; i < s.output.size(); ++i) {
    const Index position = stage.axis(first + static_cast<int>(i)), offset = stage.axis(offsets + static_cast<int>(i));
    point.x.push_back(window_coordinate(stage, s.window, i, position, offset, s.input[i], s.output[i], point.x_where));
    point.w.push_back(offset);
    out.push_back(position);
  }
  const int sum = value(stage, point);
  if (!grouped || !several) return stage.finish(sum, Reduction::sum);
  const int buffer = ctx.kernel().add_buffer(stage_name(ctx.kernel(), name), stage.type_of(sum), ctx.output_shape(0),
                                             kernel::Role::temporary);
  return stage.finish(sum, Reduction::sum, buffer, out);
}

namespace {

void infer_conv(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, 2, kFloats);
  if (!ctx.has_shape(0) || !ctx.has_shape(1)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape out = conv_shape(ctx.node(), ctx.shape(0), ctx.shape(1));
  if (ctx.has_input(2) && ctx.has_shape(2) && (ctx.shape(2).size() != 1 || !may_equal(ctx.shape(2)[0], out[1]))) {
    ctx.fail(fmt::format("B is {}, must be [{}]", to_string(ctx.shape(2)), out[1].to_string()));
  }
  ctx.set_output(0, dtype, out);
}

Cost cost_conv(const CostContext& ctx) {
  const double bias = ctx.has_input(2) ? static_cast<double>(elements(ctx.output(0))) : 0;
  return {conv_flops(ctx, 1) + bias, bytes_touched(ctx)};
}

void evaluate_conv(EvalContext& ctx) {
  const Tensor &x = ctx.input(0), &w = ctx.input(1);
  const ConvSizes s = conv_sizes(ctx.node(), x.shape(), w.shape());
  std::vector<int64_t> shape = {s.images, s.out_channels};
  shape.insert(shape.end(), s.output.begin(), s.output.end());
  Tensor out(x.dtype(), shape);
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    convolve<T>(s, x.data<T>(), w.data<T>(), ctx.has_input(2) ? ctx.input(2).data<T>() : nullptr, out.data<T>());
  });
  ctx.set_output(0, std::move(out));
}

void lower_conv(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0, 1, 2}, kFloats & kLowered)) return;
  const ConvSizes s = conv_sizes(ctx.node(), ctx.shape(0), ctx.shape(1));
  const int acc = add_conv_stage(ctx, "conv", s, [&](StageBuilder& stage, const ConvPoint& p) {
    return stage.mul(stage.load(ctx.input(0), p.x, p.x_where), stage.load(ctx.input(1), p.w));
  });
  if (!ctx.has_input(2)) return ctx.set_output(0, acc);
  std::vector<kernel::Axis> axes = {{"n", s.images}, {"o", s.out_channels}};
  for (const kernel::Axis& a : spatial_axes(s.output)) axes.push_back(a);
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), "conv_bias"), axes);
  ctx.set_output(0, stage.finish(stage.add(stage.load(acc, axes_from(0, axes.size())),
                                           stage.load(ctx.input(2), {stage.axis(1)}))));
}

}  // namespace

void register_convolution(Catalogue& catalogue) {
  catalogue.add({.name = "Conv",
                 .since_version = 11,
                 .min_inputs = 2,
                 .max_inputs = 3,
                 .pattern = Pattern::contraction,
                 .infer = infer_conv,
                 .cost = cost_conv,
                 .evaluate = widened(evaluate_conv),
                 .lower = lower_conv});
}

}  // namespace rooftune::ops
