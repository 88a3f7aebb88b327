// Resize, whose predecessor Upsample becomes one on import.
#include "ops/cells.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/interpolation.h"
#include "ops/shapes.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

constexpr DTypeSet kResizeTypes = kFloats | set_of({DType::i8, DType::u8, DType::i32});

enum Operand { kRoi = 1, kScales = 2, kSizes = 3 };

std::vector<int64_t> resized_axes(const Node& node, int rank) {
  std::vector<int64_t> axes = node.attr_ints("axes", iota(rank));
  normalize_axes(node, axes, rank);
  for (int64_t& a : axes) a = normalize_axis(node, a, rank);
  return axes;
}

std::vector<float> floats_of(const Tensor& t) {
  std::vector<float> values;
  for (int64_t i = 0; i < t.size(); ++i) values.push_back(static_cast<float>(t.as_double(i)));
  return values;
}

/// What becomes of an extent must be a number of elements that can be counted.
void check_scale(const Node& node, float scale, int64_t extent) {
  constexpr float kLargest = 1LL << 40;
  if (!(scale >= 1 / kLargest) || scale > kLargest || scale * static_cast<float>(extent) > kLargest)
    fail(node, fmt::format("a scale is {} for {} elements, must be between 2^-40 and 2^40 and give at most 2^40", scale,
                           extent));
}

/// All axes of a resize with static operands (null where absent).
std::vector<ResizeAxis> resize_axes(const Node& node, const ResizeMode& mode, const std::vector<int64_t>& x,
                                    const Tensor* roi, const Tensor* scales, const Tensor* sizes) {
  const std::vector<int64_t> axes = resized_axes(node, static_cast<int>(x.size()));
  std::vector<ResizeAxis> out;
  for (int64_t d : x) out.push_back({d, d});
  const bool by_size = sizes != nullptr && sizes->size() > 0;
  if (by_size == (scales != nullptr && scales->size() > 0)) fail(node, "must have either scales or sizes");
  const Tensor& operand = by_size ? *sizes : *scales;
  if (operand.size() != static_cast<int64_t>(axes.size()))
    fail(node,
         fmt::format("{} has {} values, must have {}", by_size ? "sizes" : "scales", operand.size(), axes.size()));
  const bool crop = mode.coordinates == "tf_crop_and_resize";
  if (crop && (roi == nullptr || roi->size() != 2 * operand.size()))
    fail(node, fmt::format("roi must have {} values", 2 * operand.size()));
  float common = 0;  // the scale of all axes where the aspect ratio is kept
  for (size_t i = 0; i < axes.size(); ++i) {
    ResizeAxis& a = out[static_cast<size_t>(axes[i])];
    const auto k = static_cast<int64_t>(i);
    if (crop) {
      a.roi_start = static_cast<float>(roi->as_double(k));
      a.roi_end = static_cast<float>(roi->as_double(k + static_cast<int64_t>(axes.size())));
    }
    if (by_size) {
      a.output = operand.as_int(k);
      a.scale = static_cast<float>(a.output) / static_cast<float>(a.input);
      const bool better = mode.policy == "not_larger" ? a.scale < common : a.scale > common;
      if (i == 0 || better) common = a.scale;
    } else {
      a.scale = static_cast<float>(operand.as_double(k));
      check_scale(node, a.scale, a.input);
      a.output = static_cast<int64_t>(std::floor(a.scale * static_cast<float>(a.input)));
    }
  }
  if (by_size && mode.policy != "stretch") {
    for (int64_t axis : axes) {
      ResizeAxis& a = out[static_cast<size_t>(axis)];
      a.scale = common;
      a.output = static_cast<int64_t>(std::round(common * static_cast<float>(a.input)));
    }
  }
  return out;
}

/// floor(extent · scale) for a symbolic extent, where the scale or its inverse is an integer.
std::optional<Dim> scaled(const Dim& extent, float scale) {
  if (extent.is_static()) return static_cast<int64_t>(std::floor(scale * static_cast<float>(extent.value())));
  if (scale == std::floor(scale)) return extent * Dim(static_cast<int64_t>(scale));
  const float inverse = 1 / scale;
  if (inverse == std::floor(inverse)) return floordiv(extent, static_cast<int64_t>(inverse));
  return std::nullopt;
}

void infer_resize(InferContext& ctx) {
  const DType dtype = require(ctx, 0, ctx.node().attr_string("mode", "nearest") == "nearest" ? kAny : kResizeTypes);
  const ResizeMode mode = read_resize_mode(ctx.node());
  if (!ctx.has_input(kScales) && !ctx.has_input(kSizes)) ctx.fail("must have either scales or sizes");
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape& x = ctx.shape(0);
  const std::vector<int64_t> axes = resized_axes(ctx.node(), static_cast<int>(x.size()));
  const bool by_size = ctx.has_input(kSizes);
  const Tensor* scales = by_size ? nullptr : ctx.constant(kScales);
  const auto sizes = by_size ? ctx.ints(kSizes) : std::nullopt;
  Shape shape = x;
  if (by_size && sizes && sizes->size() != axes.size())
    ctx.fail(fmt::format("sizes has {} values, must have {}", sizes->size(), axes.size()));
  if (scales != nullptr && scales->size() != static_cast<int64_t>(axes.size()))
    ctx.fail(fmt::format("scales has {} values, must have {}", scales->size(), axes.size()));
  const bool kept = by_size && mode.policy != "stretch";
  if (kept && sizes && ir::is_static(*sizes) && ir::is_static(x)) {
    const std::vector<int64_t> wanted = ir::static_values(*sizes);
    const Tensor given = Tensor::of<int64_t>(DType::i64, {static_cast<int64_t>(wanted.size())}, wanted);
    const Tensor roi = Tensor::of<float>(DType::f32, {static_cast<int64_t>(2 * wanted.size())},
                                         std::vector<float>(2 * wanted.size(), 0));
    const std::vector<ResizeAxis> all = resize_axes(ctx.node(), mode, ir::static_values(x), &roi, nullptr, &given);
    for (size_t i = 0; i < all.size(); ++i) shape[i] = all[i].output;
    return ctx.set_output(0, dtype, std::move(shape));
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(axes[i]);
    std::optional<Dim> d;
    if (sizes && !kept) d = (*sizes)[i];
    if (scales != nullptr) {
      const auto scale = static_cast<float>(scales->as_double(static_cast<int64_t>(i)));
      check_scale(ctx.node(), scale, x[axis].is_static() ? x[axis].value() : 1);
      d = scaled(x[axis], scale);
    }
    shape[axis] = d ? *d : ctx.unknown_dim(0, static_cast<int>(axis));
  }
  ctx.set_output(0, dtype, std::move(shape));
}

Cost cost_resize(const CostContext& ctx) {
  const std::string mode = read_resize_mode(ctx.node).mode;
  const double taps = mode == "nearest" ? 0 : mode == "linear" ? 2 : 4;
  double resized = 0;
  for (size_t i = 0; i < ctx.input(0).shape().size(); ++i)
    resized += ctx.input(0).shape()[i] == ctx.output(0).shape()[i] ? 0 : 1;
  return {2 * taps * resized * static_cast<double>(elements(ctx.output(0))), bytes_touched(ctx)};
}

/// Interpolates `x` (of `shape`, which is updated) along one axis.
std::vector<float> interpolate(const std::vector<float>& x, std::vector<int64_t>& shape, size_t axis,
                               const std::vector<std::vector<Tap>>& taps) {
  const int64_t outer = product({shape.data(), axis}),
                inner = product({shape.data() + axis + 1, shape.size() - axis - 1});
  const int64_t extent = shape[axis];
  shape[axis] = static_cast<int64_t>(taps.size());
  std::vector<float> out(static_cast<size_t>(product(shape)), 0);
  float* to = out.data();
  for (int64_t o = 0; o < outer; ++o) {
    for (const std::vector<Tap>& list : taps) {
      for (const Tap& t : list) {
        const float* from = x.data() + (o * extent + t.position) * inner;
        for (int64_t i = 0; i < inner; ++i) to[i] += t.weight * from[i];
      }
      to += inner;
    }
  }
  return out;
}

/// Writes `value` wherever a position of some axis lies outside the cropped region.
void fill_outside(std::vector<float>& values, const std::vector<int64_t>& shape,
                  const std::vector<std::vector<bool>>& outside, float value) {
  std::vector<int64_t> at(shape.size(), 0);
  for (float& v : values) {
    for (size_t i = 0; i < at.size(); ++i) {
      if (outside[i][static_cast<size_t>(at[i])]) v = value;
    }
    next_index(at, shape);
  }
}

void evaluate_resize(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const ResizeMode mode = read_resize_mode(ctx.node());
  auto operand = [&](int i) { return ctx.has_input(i) ? &ctx.input(i) : nullptr; };
  const std::vector<ResizeAxis> axes =
      resize_axes(ctx.node(), mode, x.shape(), operand(kRoi), operand(kScales), operand(kSizes));
  std::vector<int64_t> shape;
  for (const ResizeAxis& a : axes) shape.push_back(a.output);
  if (product(shape) > 0 && x.size() == 0) ctx.fail("cannot enlarge an empty tensor");
  if (mode.mode == "nearest") {
    std::vector<std::vector<int64_t>> maps;
    for (const ResizeAxis& a : axes) maps.push_back(nearest_positions(mode, a));
    Tensor fill(x.dtype(), {});
    if (x.dtype() != DType::string) fill.set_double(0, mode.extrapolation);
    return ctx.set_output(0, rearrange({&x, &fill}, shape, [&](const Moving& m) {
                            copy_grid(m.sources[0], m.cell, m.target, x.shape(), maps, m.sources[1]);
                          }));
  }
  std::vector<float> values = floats_of(x);
  std::vector<int64_t> current = x.shape();
  std::vector<std::vector<bool>> outside;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto taps = interpolation_taps(mode, axes[i]);
    outside.emplace_back();
    bool identity = axes[i].input == axes[i].output;
    for (size_t o = 0; o < taps.size(); ++o) {
      outside[i].push_back(taps[o].empty());
      identity =
          identity && taps[o].size() == 1 && taps[o][0].position == static_cast<int64_t>(o) && taps[o][0].weight == 1;
    }
    if (!identity) values = interpolate(values, current, i, taps);
  }
  if (mode.coordinates == "tf_crop_and_resize") fill_outside(values, shape, outside, mode.extrapolation);
  Tensor out(x.dtype(), shape);
  dispatch<float, double, int8_t, uint8_t, int32_t>(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < values.size(); ++i) out.data<T>()[i] = static_cast<T>(values[i]);
  });
  ctx.set_output(0, std::move(out));
}

void lower_nearest(LowerContext& ctx, const ResizeMode& mode, const std::vector<ResizeAxis>& axes) {
  std::vector<AffineMap> maps;
  for (const ResizeAxis& a : axes) {
    const auto map = affine_form(nearest_positions(mode, a), a);
    if (!map) return ctx.reject("lower: the nearest positions are no integer function of the output's");
    maps.push_back(*map);
  }
  ctx.set_output(0, add_move(ctx, "resize", ctx.input(0), ctx.output_shape(0),
                             [&](const std::vector<Index>& out, const kernel::RangeOf& ranges) {
                               std::vector<Index> from;
                               for (size_t i = 0; i < maps.size(); ++i)
                                 from.push_back(floordiv(out[i] * maps[i].factor + Index(maps[i].offset),
                                                         maps[i].divisor, ranges));
                               return from;
                             }));
}

/// One stage that interpolates axis `axis` of `buffer` to `out` positions between neighbours.
int add_linear_stage(LowerContext& ctx, int buffer, size_t axis, int64_t output, const AffineMap& map) {
  kernel::Kernel& k = ctx.kernel();
  std::vector<int64_t> shape = k.buffers[static_cast<size_t>(buffer)].shape;
  const int64_t last = shape[axis] - 1;
  shape[axis] = output;
  StageBuilder stage(k, stage_name(k, "resize"), axes_of(shape));
  const kernel::RangeOf ranges = ranges_of(shape);
  std::vector<Index> at = axes_from(0, shape.size());
  const Index numerator = at[axis] * map.factor + Index(map.offset);
  const Index first = floordiv(numerator, map.divisor, ranges), part = mod(numerator, map.divisor, ranges);
  const kernel::Range reach = first.range(ranges);
  // A neighbour outside the input is the element at the border: a second load that holds where the first does not.
  auto neighbour = [&](const Index& position, int64_t shift) {
    std::vector<Index> from = at, inside;
    from[axis] = position;
    if (reach.lo + shift < 0) inside.push_back(position);
    if (reach.hi + shift > last) inside.push_back(Index(last) - position);
    int value = stage.load(buffer, from, inside);
    if (reach.lo + shift < 0) {
      from[axis] = 0;
      value = stage.add(value, stage.load(buffer, from, {Index(-1) - position}));
    }
    if (reach.hi + shift > last) {
      from[axis] = last;
      value = stage.add(value, stage.load(buffer, from, {position - Index(last + 1)}));
    }
    return value;
  };
  const int near = neighbour(first, 0);
  if (part == Index(0)) return stage.finish(near);
  const int far = neighbour(first + Index(1), 1);
  const int weight = stage.mul(stage.index(part, DType::f32), stage.constant(1.0 / static_cast<double>(map.divisor)));
  return stage.finish(stage.add(near, stage.mul(weight, stage.sub(far, near))));
}

void lower_resize(LowerContext& ctx) {
  const ResizeMode mode = read_resize_mode(ctx.node());
  if (!can_lower_inputs(ctx, {0}, mode.mode == "nearest" ? kLowered : bit(DType::f32))) return;
  if (mode.mode == "cubic" || mode.antialias || mode.coordinates == "tf_crop_and_resize")
    return ctx.reject("lower: Resize is lowered for nearest and linear without antialias and cropping");
  for (int i : {kScales, kSizes}) {
    if (ctx.has_input(i) && ctx.constant(i) == nullptr)
      return ctx.reject("lower: Resize needs constant scales or sizes");
  }
  auto operand = [&](int i) { return ctx.has_input(i) ? ctx.constant(i) : nullptr; };
  const std::vector<ResizeAxis> axes =
      resize_axes(ctx.node(), mode, ctx.shape(0), nullptr, operand(kScales), operand(kSizes));
  if (mode.mode == "nearest") return lower_nearest(ctx, mode, axes);
  int buffer = ctx.input(0);
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i].input == axes[i].output && axes[i].scale == 1) continue;
    const auto map = coordinate_form(mode, axes[i]);
    if (!map) return ctx.reject("lower: the coordinates are no exact fractions");
    const int64_t common = std::gcd(std::gcd(map->factor, map->offset), map->divisor);
    buffer = add_linear_stage(ctx, buffer, i, axes[i].output,
                              {map->factor / common, map->offset / common, map->divisor / common});
  }
  if (buffer == ctx.input(0))
    buffer = add_move(ctx, "resize", buffer, ctx.output_shape(0),
                      [](const std::vector<Index>& out, const kernel::RangeOf&) { return out; });
  ctx.set_output(0, buffer);
}

}  // namespace

void register_resize(Catalogue& catalogue) {
  catalogue.add({.name = "Resize",
                 .since_version = 11,
                 .min_inputs = 1,
                 .max_inputs = 4,
                 .pattern = Pattern::injective,
                 .infer = infer_resize,
                 .cost = cost_resize,
                 .evaluate = widened(evaluate_resize),
                 .lower = lower_resize});
}

}  // namespace rooftune::ops
