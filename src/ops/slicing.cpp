// Operators that cut, join and pad: Slice, Split, Concat, Pad, CenterCropPad, ReverseSequence.
#include "ops/cells.h"
#include "ops/common.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

// --- Slice

/// Where a slice begins on an axis, its step, and how many elements it takes.
struct Cut {
  Dim start = 0, count = 0;
  int64_t step = 1;
};

constexpr int64_t kFar = INT32_MAX;  // positions from here on mean "to the end"

/// `position` (negative: from the end) brought into [low, extent + high].
Dim clamp_position(const Dim& position, const Dim& extent, int64_t low, int64_t high) {
  if (position.is_static() && extent.is_static()) {
    const int64_t p = position.value() < 0 ? position.value() + extent.value() : position.value();
    return std::clamp(p, low, std::max(low, extent.value() + high));
  }
  if (position == extent || position.min() >= std::min(extent.max(), kFar)) return extent + Dim(high);
  if (position.max() < 0) return -position.min() <= extent.min() ? extent + position : max(extent + position, low);
  if (position.max() <= extent.min()) return position;
  return min(position, extent + Dim(high));
}

/// The cut of an axis of `extent` from its operands; nothing where a symbolic step or sign makes it unknown.
std::optional<Cut> cut_axis(const Dim& start, const Dim& end, int64_t step, const Dim& extent) {
  if (step > 0) {
    if ((start.min() < 0 && start.max() >= 0) || (end.min() < 0 && end.max() >= 0)) return std::nullopt;
    const Dim first = clamp_position(start, extent, 0, 0), last = clamp_position(end, extent, 0, 0);
    const Dim length = last - first;
    return Cut{first, ceildiv(length.min() >= 0 ? length : max(length, 0), step), step};
  }
  if (!start.is_static() || !end.is_static()) return std::nullopt;
  if (extent.is_static()) {
    const int64_t n = extent.value();
    const int64_t first =
        std::clamp<int64_t>(start.value() < 0 ? start.value() + n : start.value(), 0, std::max<int64_t>(0, n - 1));
    const int64_t last = std::clamp<int64_t>(end.value() < -n  ? -1
                                             : end.value() < 0 ? end.value() + n
                                                               : end.value(),
                                             -1, std::max<int64_t>(0, n - 1));
    return Cut{first, n == 0 ? 0 : std::max<int64_t>(0, (first - last - step - 1) / -step), step};
  }
  const bool whole = (start == Dim(-1) || start.value() >= extent.max()) && end.value() <= -extent.max();
  if (whole || (start == Dim(-1) && end.value() <= -kFar)) return Cut{extent - 1, ceildiv(extent, -step), step};
  return std::nullopt;
}

struct SliceOperands {
  std::vector<Dim> starts, ends;
  std::vector<int64_t> axes, steps;
};

/// Checks lengths and fills in default axes and steps.
SliceOperands slice_operands(const Node& node, std::vector<Dim> starts, std::vector<Dim> ends,
                             std::optional<std::vector<int64_t>> axes, std::optional<std::vector<int64_t>> steps,
                             size_t rank) {
  const size_t count = starts.size();
  SliceOperands s{std::move(starts), std::move(ends), axes.value_or(iota(static_cast<int64_t>(count))),
                  steps.value_or(std::vector<int64_t>(count, 1))};
  if (s.ends.size() != count || s.axes.size() != count || s.steps.size() != count)
    fail(node, "starts, ends, axes and steps must have the same length");
  normalize_axes(node, s.axes, static_cast<int>(rank));
  for (int64_t& a : s.axes) a = normalize_axis(node, a, static_cast<int>(rank));
  for (int64_t& step : s.steps) {
    if (step == 0) fail(node, "a step is 0");
    step = std::clamp(step, -kFar, kFar);
  }
  for (std::vector<Dim>* list : {&s.starts, &s.ends}) {
    for (Dim& d : *list) {
      if (d.is_static()) d = std::clamp(d.value(), -2 * kFar, 2 * kFar);
    }
  }
  return s;
}

/// The cut of every axis of a static shape.
std::vector<Cut> static_cuts(const SliceOperands& s, const std::vector<int64_t>& shape) {
  std::vector<Cut> cuts;
  for (int64_t d : shape) cuts.push_back({0, d, 1});
  for (size_t i = 0; i < s.axes.size(); ++i) {
    const auto axis = static_cast<size_t>(s.axes[i]);
    cuts[axis] = *cut_axis(s.starts[i], s.ends[i], s.steps[i], shape[axis]);
  }
  return cuts;
}

void infer_slice(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape& in = ctx.shape(0);
  const auto starts = ctx.ints(1), ends = ctx.ints(2);
  const auto axes = static_ints(ctx, 3), steps = static_ints(ctx, 4);
  Shape out = in;
  if (ctx.has_input(3) && !axes)
    return ctx.set_output(0, dtype, unknown_shape(ctx, 0, static_cast<int64_t>(in.size())));
  if (!starts || !ends || (ctx.has_input(4) && !steps)) {  // the axes that are cut are known, how far is not
    size_t count = axes ? axes->size() : in.size();
    if (!axes && ctx.has_shape(1) && ctx.shape(1).size() == 1 && ctx.shape(1)[0].is_static())
      count = static_cast<size_t>(ctx.shape(1)[0].value());
    for (size_t i = 0; i < count; ++i) {
      const int axis =
          normalize_axis(ctx.node(), axes ? (*axes)[i] : static_cast<int64_t>(i), static_cast<int>(in.size()));
      out[static_cast<size_t>(axis)] = ctx.unknown_dim(0, axis, 0, in[static_cast<size_t>(axis)].max());
    }
    return ctx.set_output(0, dtype, std::move(out));
  }
  const SliceOperands s = slice_operands(ctx.node(), *starts, *ends, axes, steps, in.size());
  for (size_t i = 0; i < s.axes.size(); ++i) {
    const auto axis = static_cast<size_t>(s.axes[i]);
    const auto cut = cut_axis(s.starts[i], s.ends[i], s.steps[i], in[axis]);
    out[axis] = cut ? cut->count : ctx.unknown_dim(0, static_cast<int>(axis), 0, in[axis].max());
  }
  ctx.set_output(0, dtype, out);
  const auto ints = ctx.ints(0);
  if (!ints || in.size() != 1 || !ir::is_static(in) || !ir::is_static(out)) return;
  const Cut cut = s.axes.empty() ? Cut{0, in[0], 1} : *cut_axis(s.starts[0], s.ends[0], s.steps[0], in[0]);
  std::vector<Dim> taken;
  for (int64_t i = 0; i < out[0].value(); ++i)
    taken.push_back((*ints)[static_cast<size_t>(cut.start.value() + i * cut.step)]);
  ctx.set_output_ints(0, std::move(taken));
}

std::vector<Dim> to_dims(const std::vector<int64_t>& values) { return {values.begin(), values.end()}; }

void evaluate_slice(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  auto operand = [&](int i) { return ctx.has_input(i) ? std::optional(ctx.input(i).as_ints()) : std::nullopt; };
  const SliceOperands s = slice_operands(ctx.node(), to_dims(ctx.input(1).as_ints()), to_dims(ctx.input(2).as_ints()),
                                         operand(3), operand(4), x.shape().size());
  std::vector<int64_t> shape, strides = row_major_strides(x.shape());
  int64_t first = 0;
  const std::vector<Cut> cuts = static_cuts(s, x.shape());
  for (size_t i = 0; i < cuts.size(); ++i) {
    shape.push_back(cuts[i].count.value());
    first += cuts[i].start.value() * strides[i];
    strides[i] *= cuts[i].step;
  }
  ctx.set_output(0, rearrange({&x}, shape, [&](const Moving& m) {
                   copy_strided(m.sources[0] + first * static_cast<int64_t>(m.cell), m.cell, m.target, shape, strides);
                 }));
}

void lower_slice(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0})) return;
  for (int i = 1; i <= 4; ++i) {
    if (ctx.has_input(i) && ctx.constant(i) == nullptr)
      return ctx.reject("lower: Slice needs constant starts, ends, axes and steps");
  }
  auto operand = [&](int i) { return ctx.has_input(i) ? std::optional(ctx.constant(i)->as_ints()) : std::nullopt; };
  const std::vector<int64_t> in = ctx.shape(0);
  const SliceOperands s =
      slice_operands(ctx.node(), to_dims(*operand(1)), to_dims(*operand(2)), operand(3), operand(4), in.size());
  const std::vector<Cut> cuts = static_cuts(s, in);
  ctx.set_output(0, add_move(ctx, "slice", ctx.input(0), ctx.output_shape(0),
                             [&](const std::vector<Index>& out, const kernel::RangeOf&) {
                               std::vector<Index> source;
                               for (size_t i = 0; i < cuts.size(); ++i)
                                 source.push_back(out[i] * cuts[i].step + Index(cuts[i].start.value()));
                               return source;
                             }));
}

// --- Split

/// The extents of the parts along the axis; nothing where they are not known.
std::optional<std::vector<Dim>> split_extents(const Node& node, const Dim& extent,
                                              const std::optional<std::vector<Dim>>& given) {
  const auto parts = static_cast<int64_t>(node.outputs.size());
  if (given) {
    if (static_cast<int64_t>(given->size()) != parts)
      fail(node, fmt::format("split has {} values, the node has {} outputs", given->size(), parts));
    Dim total = 0;
    for (const Dim& d : *given) total = total + d;
    if (!may_equal(total, extent))
      fail(node, fmt::format("split adds up to {}, the axis has {}", total.to_string(), extent.to_string()));
    return given;
  }
  const int64_t asked = node.attr_int("num_outputs", parts);
  if (asked != parts) fail(node, fmt::format("num_outputs is {}, the node has {} outputs", asked, parts));
  if (extent.is_static() && !node.has("num_outputs") && extent.value() % parts != 0)
    fail(node, fmt::format("{} parts do not divide an axis of {}", parts, extent.value()));
  const Dim each = ceildiv(extent, parts);
  std::vector<Dim> extents(static_cast<size_t>(parts), each);
  extents.back() = extent.is_static()        ? Dim(std::max<int64_t>(0, extent.value() - each.value() * (parts - 1)))
                   : node.has("num_outputs") ? extent - each * Dim(parts - 1)
                                             : each;
  return extents;
}

void infer_split(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  if (!ctx.has_shape(0)) {
    for (int i = 0; i < ctx.output_count(); ++i) ctx.set_output(i, Type::tensor(dtype));
    return;
  }
  Shape shape = ctx.shape(0);
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(shape.size()));
  const Dim extent = shape[static_cast<size_t>(axis)];
  const auto given = ctx.has_input(1) ? ctx.ints(1) : std::nullopt;
  std::optional<std::vector<Dim>> extents;
  if (given || !ctx.has_input(1)) extents = split_extents(ctx.node(), extent, given);
  const auto ints = shape.size() == 1 && extents && ir::is_static(*extents) ? ctx.ints(0) : std::nullopt;
  int64_t first = 0;
  for (int i = 0; i < ctx.output_count(); ++i) {
    const Dim part = extents ? (*extents)[static_cast<size_t>(i)] : ctx.unknown_dim(i, axis, 0, extent.max());
    shape[static_cast<size_t>(axis)] = part;
    ctx.set_output(i, dtype, shape);
    if (!ints) continue;
    ctx.set_output_ints(i, {ints->begin() + first, ints->begin() + first + part.value()});
    first += part.value();
  }
}

void evaluate_split(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), x.rank());
  std::optional<std::vector<Dim>> given;
  if (ctx.has_input(1)) given = to_dims(ctx.input(1).as_ints());
  const std::vector<int64_t> strides = row_major_strides(x.shape());
  std::vector<int64_t> shape = x.shape();
  int64_t first = 0;
  int output = 0;
  const std::vector<Dim> parts = split_extents(ctx.node(), x.dim(axis), given).value();
  for (const Dim& part : parts) {
    shape[static_cast<size_t>(axis)] = part.value();
    ctx.set_output(output++, rearrange({&x}, shape, [&](const Moving& m) {
                     copy_strided(
                         m.sources[0] + static_cast<size_t>(first * strides[static_cast<size_t>(axis)]) * m.cell,
                         m.cell, m.target, shape, strides);
                   }));
    first += part.value();
  }
}

void lower_split(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0})) return;
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), static_cast<int>(ctx.shape(0).size()));
  int64_t first = 0;
  for (size_t i = 0; i < ctx.node().outputs.size(); ++i) {
    if (ctx.node().outputs[i] == ir::kNone) return ctx.reject("lower: Split with an unused output is not supported");
    const std::vector<int64_t> shape = ctx.output_shape(static_cast<int>(i));
    ctx.set_output(static_cast<int>(i),
                   add_move(ctx, "split", ctx.input(0), shape, [&](std::vector<Index> out, const kernel::RangeOf&) {
                     out[static_cast<size_t>(axis)] = out[static_cast<size_t>(axis)] + Index(first);
                     return out;
                   }));
    first += shape[static_cast<size_t>(axis)];
  }
}

// --- Concat

int concat_axis(const Node& node, int rank) {
  if (!node.has("axis")) fail(node, "attribute 'axis' is missing");
  return normalize_axis(node, node.attr_int("axis", 0), rank);
}

void infer_concat(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  for (int i = 0; i < ctx.input_count(); ++i) {
    if (ctx.dtype(i) != dtype)
      ctx.fail(fmt::format("inputs 0 and {} are {} and {}, but must have the same element type", i, ir::name(dtype),
                           ir::name(ctx.dtype(i))));
  }
  std::vector<Dim> ints;
  bool known = true, ranks = true;
  for (int i = 0; i < ctx.input_count(); ++i) {
    const auto part = ctx.ints(i);
    ranks = ranks && ctx.has_shape(i);
    known = known && part.has_value();
    if (known) ints.insert(ints.end(), part->begin(), part->end());
  }
  if (!ranks) return ctx.set_output(0, Type::tensor(dtype));
  Shape shape = ctx.shape(0);
  const int axis = concat_axis(ctx.node(), static_cast<int>(shape.size()));
  for (int i = 1; i < ctx.input_count(); ++i) {
    const Shape& other = ctx.shape(i);
    if (other.size() != shape.size())
      ctx.fail(fmt::format("inputs {} and {} have different ranks", to_string(shape), to_string(other)));
    for (size_t d = 0; d < shape.size(); ++d) {
      if (static_cast<int>(d) == axis) shape[d] = shape[d] + other[d];
      else if (!may_equal(shape[d], other[d]))
        ctx.fail(fmt::format("input {} is {}, which does not fit {} but on axis {}", i, to_string(other),
                             to_string(ctx.shape(0)), axis));
      else if (other[d].is_static()) shape[d] = other[d];
    }
  }
  ctx.set_output(0, dtype, shape);
  if (known && shape.size() == 1) ctx.set_output_ints(0, std::move(ints));
}

void evaluate_concat(EvalContext& ctx) {
  std::vector<const Tensor*> parts;
  std::vector<int64_t> shape = ctx.input(0).shape();
  const int axis = concat_axis(ctx.node(), ctx.input(0).rank());
  shape[static_cast<size_t>(axis)] = 0;
  for (int i = 0; i < ctx.input_count(); ++i) {
    parts.push_back(&ctx.input(i));
    shape[static_cast<size_t>(axis)] += ctx.input(i).dim(axis);
  }
  const int64_t outer = product({shape.data(), static_cast<size_t>(axis)});
  ctx.set_output(0, rearrange(parts, shape, [&](const Moving& m) {
                   uint8_t* to = m.target;
                   for (int64_t o = 0; o < outer; ++o) {
                     for (size_t i = 0; i < parts.size(); ++i) {
                       const size_t bytes = static_cast<size_t>(parts[i]->size() / outer) * m.cell;
                       std::memcpy(to, m.sources[i] + static_cast<size_t>(o) * bytes, bytes);
                       to += bytes;
                     }
                   }
                 }));
}

/// One stage per operand, all writing the same buffer at their offsets.
void lower_concat(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {})) return;
  kernel::Kernel& k = ctx.kernel();
  const std::vector<int64_t> shape = ctx.output_shape(0);
  const auto axis = static_cast<size_t>(concat_axis(ctx.node(), static_cast<int>(shape.size())));
  const int buffer = k.add_buffer(stage_name(k, "concat"), ctx.dtype(0), shape, kernel::Role::temporary);
  int64_t first = 0;
  for (size_t i = 0; i < ctx.node().inputs.size(); ++i) {
    const std::vector<int64_t> part = ctx.shape(static_cast<int>(i));
    if (product(part) == 0) continue;
    StageBuilder stage(k, stage_name(k, "concat"), axes_of(part));
    std::vector<Index> from = axes_from(0, part.size()), to = from;
    to[axis] = to[axis] + Index(first);
    stage.finish(stage.load(ctx.input(static_cast<int>(i)), from), kernel::Reduction::none, buffer, to);
    first += part[axis];
  }
  ctx.set_output(0, buffer);
}

// --- Pad

/// Elements added (or, where negative, cut) before and after each axis.
struct Padding {
  std::vector<Dim> before, after;
};

Padding padding_of(const Node& node, const std::vector<Dim>& pads, const std::optional<std::vector<int64_t>>& given,
                   size_t rank) {
  std::vector<int64_t> axes = given.value_or(iota(static_cast<int64_t>(rank)));
  normalize_axes(node, axes, static_cast<int>(rank));
  if (pads.size() != 2 * axes.size())
    fail(node, fmt::format("pads has {} values, must have {}", pads.size(), 2 * axes.size()));
  Padding p{std::vector<Dim>(rank, 0), std::vector<Dim>(rank, 0)};
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(normalize_axis(node, axes[i], static_cast<int>(rank)));
    p.before[axis] = pads[i];
    p.after[axis] = pads[axes.size() + i];
  }
  return p;
}

std::string pad_mode(const Node& node) {
  const std::string mode = node.attr_string("mode", "constant");
  if (mode != "constant" && mode != "reflect" && mode != "edge" && mode != "wrap")
    fail(node, "mode '" + mode + "', must be constant, reflect, edge or wrap");
  return mode;
}

void infer_pad(InferContext& ctx) {
  const DType dtype = ctx.dtype(0);
  pad_mode(ctx.node());
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape& in = ctx.shape(0);
  const auto pads = ctx.ints(1);
  const auto axes = static_ints(ctx, 3);
  if (!pads || (ctx.has_input(3) && !axes))
    return ctx.set_output(0, dtype, unknown_shape(ctx, 0, static_cast<int64_t>(in.size())));
  const Padding p = padding_of(ctx.node(), *pads, axes, in.size());
  Shape shape;
  for (size_t i = 0; i < in.size(); ++i) {
    shape.push_back(in[i] + p.before[i] + p.after[i]);
    if (shape[i].max() < 0) ctx.fail(fmt::format("pads cut more than axis {} of {} holds", i, to_string(in)));
  }
  ctx.set_output(0, dtype, std::move(shape));
}

/// Where the element at `at` (counted from the input's first, may lie outside) comes from; -1: the constant.
int64_t padded_source(const std::string& mode, int64_t at, int64_t extent) {
  if (at >= 0 && at < extent) return at;
  if (mode == "constant" || extent == 0) return -1;
  if (mode == "edge") return at < 0 ? 0 : extent - 1;
  if (mode == "wrap") return ((at % extent) + extent) % extent;
  if (extent == 1) return 0;
  const int64_t period = 2 * (extent - 1), p = ((at % period) + period) % period;
  return p < extent ? p : period - p;
}

/// A grid copy of `x` with the axis maps, holes filled with the scalar `fill` (zero, or empty strings, where null).
Tensor copy_with_fill(const Tensor& x, const std::vector<std::vector<int64_t>>& maps, const Tensor* fill) {
  Tensor zero(x.dtype(), {});
  if (x.dtype() != DType::string) std::memset(zero.raw(), 0, zero.bytes());
  std::vector<int64_t> shape;
  for (const auto& m : maps) shape.push_back(static_cast<int64_t>(m.size()));
  return rearrange({&x, fill != nullptr ? fill : &zero}, shape,
                   [&](const Moving& m) { copy_grid(m.sources[0], m.cell, m.target, x.shape(), maps, m.sources[1]); });
}

void evaluate_pad(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::string mode = pad_mode(ctx.node());
  const auto axes = ctx.has_input(3) ? std::optional(ctx.input(3).as_ints()) : std::nullopt;
  const Padding p = padding_of(ctx.node(), to_dims(ctx.input(1).as_ints()), axes, x.shape().size());
  std::vector<std::vector<int64_t>> maps(x.shape().size());
  for (size_t i = 0; i < maps.size(); ++i) {
    const int64_t extent = x.shape()[i], before = p.before[i].value(), total = extent + before + p.after[i].value();
    if (total < 0) ctx.fail(fmt::format("pads cut more than axis {} holds", i));
    for (int64_t o = 0; o < total; ++o) maps[i].push_back(padded_source(mode, o - before, extent));
  }
  ctx.set_output(0, copy_with_fill(x, maps, ctx.has_input(2) ? &ctx.input(2) : nullptr));
}

void lower_pad(LowerContext& ctx) {
  if (!can_lower_inputs(ctx, {0})) return;
  if (pad_mode(ctx.node()) != "constant") return ctx.reject("lower: Pad is lowered for mode constant only");
  for (int i = 1; i <= 3; ++i) {
    if (ctx.has_input(i) && ctx.constant(i) == nullptr)
      return ctx.reject("lower: Pad needs constant pads, value and axes");
  }
  const std::vector<int64_t> in = ctx.shape(0), shape = ctx.output_shape(0);
  const auto axes = ctx.has_input(3) ? std::optional(ctx.constant(3)->as_ints()) : std::nullopt;
  const Padding p = padding_of(ctx.node(), to_dims(ctx.constant(1)->as_ints()), axes, in.size());
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), "pad"), axes_of(shape));
  std::vector<Index> from, where;
  for (size_t i = 0; i < in.size(); ++i) {
    const int64_t before = p.before[i].value(), after = p.after[i].value();
    from.push_back(stage.axis(static_cast<int>(i)) - Index(before));
    if (before > 0) where.push_back(from[i]);
    if (after > 0) where.push_back(Index(in[i] - 1) - from[i]);
  }
  ctx.set_output(
      0, stage.finish(stage.load(ctx.input(0), from, where, ctx.has_input(2) ? ctx.constant(2)->as_double(0) : 0)));
}

// --- CenterCropPad

std::vector<int64_t> crop_axes(const Node& node, size_t rank) {
  std::vector<int64_t> axes = node.attr_ints("axes", iota(static_cast<int64_t>(rank)));
  normalize_axes(node, axes, static_cast<int>(rank));
  for (int64_t& a : axes) a = normalize_axis(node, a, static_cast<int>(rank));
  return axes;
}

void infer_center_crop_pad(InferContext& ctx) {
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(ctx.dtype(0)));
  Shape shape = ctx.shape(0);
  const std::vector<int64_t> axes = crop_axes(ctx.node(), shape.size());
  const auto target = ctx.ints(1);
  if (target && target->size() != axes.size())
    ctx.fail(fmt::format("shape has {} values, must have {}", target->size(), axes.size()));
  for (size_t i = 0; i < axes.size(); ++i)
    shape[static_cast<size_t>(axes[i])] = target ? (*target)[i] : ctx.unknown_dim(0, static_cast<int>(axes[i]));
  ctx.set_output(0, ctx.dtype(0), std::move(shape));
}

void evaluate_center_crop_pad(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::vector<int64_t> axes = crop_axes(ctx.node(), x.shape().size()), target = ctx.input(1).as_ints();
  std::vector<std::vector<int64_t>> maps;
  for (int64_t d : x.shape()) maps.push_back(iota(d));
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t extent = x.shape()[static_cast<size_t>(axes[i])], wanted = target.at(i);
    const int64_t first = extent > wanted ? (extent - wanted) / 2 : -((wanted - extent) / 2);
    auto& map = maps[static_cast<size_t>(axes[i])];
    map.clear();
    for (int64_t o = 0; o < wanted; ++o) map.push_back(padded_source("constant", first + o, extent));
  }
  ctx.set_output(0, copy_with_fill(x, maps, nullptr));
}

// --- ReverseSequence

void evaluate_reverse_sequence(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int time = normalize_axis(ctx.node(), ctx.node().attr_int("time_axis", 0), 2),
            batch = normalize_axis(ctx.node(), ctx.node().attr_int("batch_axis", 1), 2);
  const std::vector<int64_t> lengths = ctx.input(1).as_ints();
  if (time == batch || x.rank() < 2 || static_cast<int64_t>(lengths.size()) != x.dim(batch))
    ctx.fail("needs a time and a batch axis and one length per batch entry");
  const int64_t inner = x.size() == 0 ? 0 : x.size() / (x.dim(0) * x.dim(1));
  for (int64_t n : lengths) {
    if (n < 0 || n > x.dim(time))
      ctx.fail(fmt::format("a sequence length is {}, the time axis has {}", n, x.dim(time)));
  }
  ctx.set_output(0, rearrange({&x}, x.shape(), [&](const Moving& m) {
                   const size_t run = static_cast<size_t>(inner) * m.cell;
                   for (int64_t i = 0; i < x.dim(0); ++i) {
                     for (int64_t j = 0; j < x.dim(1); ++j) {
                       const int64_t t = time == 0 ? i : j, b = time == 0 ? j : i, n = lengths[static_cast<size_t>(b)];
                       const int64_t from = t < n ? n - 1 - t : t;
                       const int64_t row = time == 0 ? from * x.dim(1) + b : b * x.dim(1) + from;
                       std::memcpy(m.target + static_cast<size_t>(i * x.dim(1) + j) * run,
                                   m.sources[0] + static_cast<size_t>(row) * run, run);
                     }
                   }
                 }));
}

}  // namespace

void register_slicing(Catalogue& catalogue) {
  const Pattern injective = Pattern::injective;
  catalogue.add({.name = "Slice",
                 .since_version = 10,
                 .min_inputs = 3,
                 .max_inputs = 5,
                 .pattern = injective,
                 .infer = infer_slice,
                 .evaluate = evaluate_slice,
                 .lower = lower_slice});
  catalogue.add({.name = "Split",
                 .since_version = 13,
                 .min_inputs = 1,
                 .max_inputs = 2,
                 .max_outputs = -1,
                 .pattern = injective,
                 .infer = infer_split,
                 .evaluate = evaluate_split,
                 .lower = lower_split});
  catalogue.add({.name = "Concat",
                 .since_version = 4,
                 .min_inputs = 1,
                 .max_inputs = -1,
                 .pattern = injective,
                 .infer = infer_concat,
                 .evaluate = evaluate_concat,
                 .lower = lower_concat});
  catalogue.add({.name = "Pad",
                 .since_version = 11,
                 .min_inputs = 2,
                 .max_inputs = 4,
                 .pattern = injective,
                 .infer = infer_pad,
                 .evaluate = evaluate_pad,
                 .lower = lower_pad});
  catalogue.add({.name = "CenterCropPad",
                 .since_version = 18,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .infer = infer_center_crop_pad,
                 .evaluate = evaluate_center_crop_pad});
  catalogue.add({.name = "ReverseSequence",
                 .since_version = 10,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .infer = same_as_input(kAny),
                 .evaluate = evaluate_reverse_sequence});
}

}  // namespace rooftune::ops
