// QuantizeLinear, DequantizeLinear (per tensor, per axis, blocked) and DynamicQuantizeLinear.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

using kernel::Op;
using kernel::Reduction;

constexpr DTypeSet kQuantized = set_of({DType::u8, DType::i8, DType::u16, DType::i16}) | kFloat8 | kSubByte;

// Smallest and largest number of an integer type that values are quantised to.
std::pair<double, double> integer_range(DType dtype) {
  const int bits = ir::bit_width(dtype);
  return ir::is_signed(dtype) ? std::pair(-std::ldexp(1.0, bits - 1), std::ldexp(1.0, bits - 1) - 1)
                              : std::pair(0.0, std::ldexp(1.0, bits) - 1);
}

// --- scales: one for the tensor, one for each index of an axis, or one for each block along an axis

enum class Granularity { tensor, axis, block };

struct Scales {
  Granularity granularity = Granularity::tensor;
  int axis = 0;
  int64_t block = 1;
};

// `shape`, `scale`: of the tensor and of its scales; dims may be unknown (-1), which then fit.
Scales scales_of(const Node& node, const std::vector<int64_t>& shape, const std::vector<int64_t>& scale) {
  int64_t count = 1;
  for (int64_t d : scale) count *= d;
  const int64_t block = node.attr_int("block_size", 0);
  if (scale.empty() || (scale.size() == 1 && count == 1 && block == 0)) return {};
  const int axis = normalize_axis(node, node.attr_int("axis", 1), static_cast<int>(shape.size()));
  const int64_t extent = shape[static_cast<size_t>(axis)];
  if (block == 0) {
    if (scale.size() != 1 || (scale[0] != extent && scale[0] >= 0 && extent >= 0))
      fail(node, fmt::format("scales of shape [{}] do not fit axis {} of [{}]", fmt::join(scale, ","), axis,
                             fmt::join(shape, ",")));
    return {Granularity::axis, axis, 1};
  }
  bool fits = scale.size() == shape.size() && block > 0;
  for (size_t d = 0; fits && d < shape.size(); ++d) {
    const int64_t wanted = static_cast<int>(d) == axis && shape[d] >= 0 ? (shape[d] + block - 1) / block : shape[d];
    fits = scale[d] == wanted || scale[d] < 0 || wanted < 0;
  }
  if (!fits)
    fail(node, fmt::format("scales of shape [{}] do not fit blocks of {} along axis {} of [{}]", fmt::join(scale, ","),
                           block, axis, fmt::join(shape, ",")));
  return {Granularity::block, axis, block};
}

// Calls run(first element, count, first scale, scale step) for runs of consecutive elements that cover the tensor.
template <typename F>
void for_each_run(const Scales& s, const std::vector<int64_t>& shape, F&& run) {
  int64_t outer = 1, inner = 1;
  for (int d = 0; d < static_cast<int>(shape.size()); ++d)
    (d < s.axis ? outer : inner) *= shape[static_cast<size_t>(d)];
  if (s.granularity == Granularity::tensor) return run(0, outer * inner, 0, 0);
  const int64_t extent = shape[static_cast<size_t>(s.axis)];
  if (outer * inner == 0) return;
  inner /= extent;
  const int64_t blocks = (extent + s.block - 1) / s.block;
  for (int64_t o = 0; o < outer; ++o) {
    if (s.granularity == Granularity::axis && inner == 1) {
      run(o * extent, extent, 0, 1);
    } else if (s.granularity == Granularity::axis) {
      for (int64_t k = 0; k < extent; ++k) run((o * extent + k) * inner, inner, k, 0);
    } else if (inner == 1) {
      for (int64_t b = 0; b < blocks; ++b)
        run(o * extent + b * s.block, std::min(s.block, extent - b * s.block), o * blocks + b, 0);
    } else {
      for (int64_t k = 0; k < extent; ++k) run((o * extent + k) * inner, inner, (o * blocks + k / s.block) * inner, 1);
    }
  }
}

std::vector<int64_t> known_dims(const Shape& shape) {
  std::vector<int64_t> dims;
  for (const Dim& d : shape) dims.push_back(d.is_static() ? d.value() : -1);
  return dims;
}

void check_scales(const InferContext& ctx) {
  if (ctx.has_shape(0) && ctx.has_shape(1)) scales_of(ctx.node(), known_dims(ctx.shape(0)), known_dims(ctx.shape(1)));
  if (!ctx.has_input(2) || !ctx.has_shape(1) || !ctx.has_shape(2)) return;
  const auto scale = known_dims(ctx.shape(1)), zero = known_dims(ctx.shape(2));
  const bool scalars =
      (scale.empty() || scale == std::vector<int64_t>{1}) && (zero.empty() || zero == std::vector<int64_t>{1});
  if (scale != zero && !scalars)
    ctx.fail(fmt::format("scale {} and zero point {} must have the same shape", to_string(ctx.shape(1)),
                         to_string(ctx.shape(2))));
}

std::vector<float> as_floats(const Tensor& tensor) {
  const Tensor wide = convert(tensor, DType::f32);
  return {wide.data<float>(), wide.data<float>() + wide.size()};
}

std::vector<float> zero_points(const EvalContext& ctx, size_t count) {
  if (!ctx.has_input(2)) return std::vector<float>(count, 0);
  std::vector<float> zero = as_floats(ctx.input(2));
  if (zero.size() != count) ctx.fail(fmt::format("there are {} zero points for {} scales", zero.size(), count));
  return zero;
}

// --- QuantizeLinear

DType quantized_type(const Node& node, std::optional<DType> zero_point) {
  if (zero_point) return *zero_point;
  const int64_t stated = node.attr_int("output_dtype", 0);
  const DType dtype = stated == 0 ? DType::u8 : static_cast<DType>(stated);
  if (stated < 0 || stated > 26 || !contains(kQuantized, dtype))
    fail(node, fmt::format("output_dtype {} must be one of {}", stated, to_string(kQuantized)));
  return dtype;
}

void infer_quantize(InferContext& ctx) {
  require(ctx, 0, kFloats | bit(DType::i32));
  require(ctx, 1, kFloats | bit(DType::i32) | bit(DType::f8e8m0));
  std::optional<DType> zero;
  if (ctx.has_input(2)) zero = require(ctx, 2, kQuantized);
  check_scales(ctx);
  ctx.set_output(
      0, Type::tensor(quantized_type(ctx.node(), zero), ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
}

void evaluate_quantize(EvalContext& ctx) {
  const Tensor x = convert(ctx.input(0), DType::f32);
  const std::vector<float> scale = as_floats(ctx.input(1));
  const std::vector<float> zero = zero_points(ctx, scale.size());
  const DType to = quantized_type(ctx.node(), ctx.has_input(2) ? std::optional(ctx.input(2).dtype()) : std::nullopt);
  const bool integer = ir::is_integer(to);
  const auto [low, high] = integer ? integer_range(to) : std::pair(0.0, 0.0);
  Tensor levels(DType::f32, x.shape());
  const float* from = x.data<float>();
  float* out = levels.data<float>();
  for_each_run(scales_of(ctx.node(), x.shape(), ctx.input(1).shape()), x.shape(),
               [&, low = static_cast<float>(low), high = static_cast<float>(high)](int64_t at, int64_t n, int64_t s,
                                                                                   int64_t step) {
                 for (int64_t i = 0; i < n; ++i) {
                   const auto k = static_cast<size_t>(s + i * step);
                   const float scaled = from[at + i] / scale[k];
                   out[at + i] = integer ? std::clamp(std::nearbyint(scaled) + zero[k], low, high) : scaled;
                 }
               });
  ctx.set_output(0, cast_tensor(ctx.node(), levels, to, ctx.node().attr_int("saturate", 1) != 0));
}

// --- DequantizeLinear

DType dequantized_type(const Node& node, DType scale) {
  const int64_t stated = node.attr_int("output_dtype", 0);
  const DType dtype = stated == 0 ? (scale == DType::f8e8m0 ? DType::f32 : scale) : static_cast<DType>(stated);
  if (stated < 0 || stated > 26 || !contains(kFloats, dtype))
    fail(node, fmt::format("output_dtype {} must be one of {}", stated, to_string(kFloats)));
  return dtype;
}

void infer_dequantize(InferContext& ctx) {
  const DType x = require(ctx, 0, kQuantized | bit(DType::i32));
  const DType scale = require(ctx, 1, kFloats | bit(DType::f8e8m0));
  if (ctx.has_input(2) && ctx.dtype(2) != x)
    ctx.fail(fmt::format("the zero point is {}, but must be {}", ir::name(ctx.dtype(2)), ir::name(x)));
  check_scales(ctx);
  ctx.set_output(0, Type::tensor(dequantized_type(ctx.node(), scale),
                                 ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
}

void evaluate_dequantize(EvalContext& ctx) {
  const Tensor x = cast_tensor(ctx.node(), ctx.input(0), DType::f32);
  const std::vector<float> scale = as_floats(ctx.input(1));
  const std::vector<float> zero = zero_points(ctx, scale.size());
  Tensor out(DType::f32, x.shape());
  const float* from = x.data<float>();
  float* to = out.data<float>();
  for_each_run(scales_of(ctx.node(), x.shape(), ctx.input(1).shape()), x.shape(),
               [&](int64_t at, int64_t n, int64_t s, int64_t step) {
                 for (int64_t i = 0; i < n; ++i) {
                   const auto k = static_cast<size_t>(s + i * step);
                   to[at + i] = (from[at + i] - zero[k]) * scale[k];
                 }
               });
  ctx.set_output(0, convert(out, dequantized_type(ctx.node(), ctx.input(1).dtype())));
}

// --- DynamicQuantizeLinear: u8 over the range of the data, which always contains 0

struct DynamicScale {
  float scale;
  float zero;
};

DynamicScale dynamic_scale(float low, float high) {
  const float scale = (high - low) / 255;
  return {scale, scale == 0 ? 0 : std::clamp(std::nearbyint(-low / scale), 0.0F, 255.0F)};
}

void infer_dynamic_quantize(InferContext& ctx) {
  require(ctx, 0, bit(DType::f32));
  ctx.set_output(0, Type::tensor(DType::u8, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
  ctx.set_output(1, DType::f32, Shape{});
  ctx.set_output(2, DType::u8, Shape{});
}

void evaluate_dynamic_quantize(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  float low = 0, high = 0;
  for (float v : x.values<float>()) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const auto [scale, zero] = dynamic_scale(low, high);
  Tensor out(DType::u8, x.shape());
  apply_unary(x.data<float>(), out.data<uint8_t>(), x.size(), [scale = scale == 0 ? 1 : scale, zero = zero](float v) {
    return static_cast<uint8_t>(std::clamp(std::nearbyint(v / scale) + zero, 0.0F, 255.0F));
  });
  ctx.set_output(0, std::move(out));
  ctx.set_output(1, Tensor::of<float>(DType::f32, {}, {scale}));
  ctx.set_output(2, Tensor::of<uint8_t>(DType::u8, {}, {static_cast<uint8_t>(zero)}));
}

// --- lowering, f32 on one side and 8 or 32 bits on the other

// Where the scale of the element at `at` stands.
std::vector<Index> scale_indices(const LowerContext& ctx, const Scales& s, const std::vector<Index>& at) {
  const std::vector<int64_t> shape = ctx.shape(0);
  if (s.granularity == Granularity::tensor) return std::vector<Index>(ctx.shape(1).size(), Index(0));
  if (s.granularity == Granularity::axis) return {at[static_cast<size_t>(s.axis)]};
  std::vector<Index> indices = at;
  const auto extents = [&shape](int variable) { return kernel::Range{0, shape[static_cast<size_t>(variable)] - 1}; };
  indices[static_cast<size_t>(s.axis)] = floordiv(at[static_cast<size_t>(s.axis)], s.block, extents);
  return indices;
}

/// No literal: the layers of a model differ in their scales, and shall not differ in their kernels.
int load_scale(LowerContext& ctx, StageBuilder& s, int input, const Scales& scales, const std::vector<Index>& at) {
  return s.load(ctx.input(input), scale_indices(ctx, scales, at));
}

/// The element at `at` of an input of integers.
int load_integer(LowerContext& ctx, StageBuilder& s, int input, std::vector<Index> at,
                 const std::vector<int64_t>& extents) {
  const DType dtype = ctx.dtype(input);
  if (ir::bit_width(dtype) != 4) return s.load(ctx.input(input), at);
  const std::vector<int64_t> shape = ctx.shape(input);
  if (shape.empty() || shape.back() % 2 != 0) at = {linear_index(at, shape)};
  const auto ranges = ranges_of(extents);
  const Index last = at.empty() ? Index(0) : at.back();
  at.back() = floordiv(last, 2, ranges);
  const auto byte = [&](double number) { return s.constant(number, DType::u8); };
  const int shift = s.index(mod(last, 2, ranges) * 4, DType::u8);
  const int bits =
      s.node(Op::bit_and, DType::u8, s.node(Op::shift_right, DType::u8, s.load(ctx.input(input), at), shift), byte(15));
  if (dtype == DType::u4) return bits;
  const int up = s.constant(28, DType::i32);
  return s.node(Op::shift_right, DType::i32, s.node(Op::shift_left, DType::i32, s.cast(bits, DType::i32), up), up);
}

/// The number that all zero points are, where they are known.
std::optional<double> only_zero_point(const LowerContext& ctx) {
  if (!ctx.has_input(2)) return 0;
  const Tensor* zero = ctx.constant(2);
  if (zero == nullptr || zero->size() == 0) return std::nullopt;
  for (int64_t i = 1; i < zero->size(); ++i)
    if (zero->as_int(i) != zero->as_int(0)) return std::nullopt;
  return zero->as_double(0);
}

/// Whether there are zero points, and not just zeros.
bool has_zero_point(const LowerContext& ctx) {
  if (!ctx.has_input(2)) return false;
  const Tensor* zero = ctx.constant(2);
  if (zero == nullptr) return true;
  for (int64_t i = 0; i < zero->size(); ++i)
    if (zero->as_int(i) != 0) return true;
  return false;
}

void lower_quantize(LowerContext& ctx) {
  if (!can_lower(ctx, set_of({DType::f32, DType::u8, DType::i8}))) return;
  const std::vector<int64_t> shape = ctx.shape(0);
  const DType to = ctx.graph().type(ctx.node().outputs[0]).dtype();
  const Scales scales = scales_of(ctx.node(), shape, ctx.shape(1));
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), "quantize"), axes_of(shape));
  const std::vector<Index> at = axis_indices(static_cast<int>(shape.size()));
  // A division would cost as much as all else that follows a contraction: by a constant it becomes a product with the
  // reciprocal, which is another number only within a rounding of the middle between two levels.
  const int scale = load_scale(ctx, s, 1, scales, at), x = s.load(ctx.input(0), at);
  int value = ctx.constant(1) != nullptr ? s.mul(x, s.div(s.constant(1), scale)) : s.div(x, scale);
  // clamp(round(v) + zero, low, high) = round(clamp(v, low - zero, high - zero)) + zero
  const auto [low, high] = integer_range(to);
  int least = s.constant(low), most = s.constant(high);
  if (!has_zero_point(ctx)) {
    value = s.unary(Op::round, s.min(s.max(value, least), most));
    return ctx.set_output(0, s.finish(s.cast(s.cast(value, DType::i32), to)));
  }
  const int zero = load_scale(ctx, s, 2, scales, at), shift = s.cast(zero, DType::f32);
  value = s.unary(Op::round, s.min(s.max(value, s.sub(least, shift)), s.sub(most, shift)));
  value = s.add(s.cast(value, DType::i32), s.cast(zero, DType::i32));
  ctx.set_output(0, s.finish(s.cast(value, to)));
}

void lower_dequantize(LowerContext& ctx) {
  if (!can_lower(ctx, set_of({DType::f32, DType::u8, DType::i8, DType::i32, DType::u4, DType::i4}))) return;
  const std::vector<int64_t> shape = ctx.shape(0);
  const Scales scales = scales_of(ctx.node(), shape, ctx.shape(1));
  StageBuilder s(ctx.kernel(), stage_name(ctx.kernel(), "dequantize"), axes_of(shape));
  const std::vector<Index> at = axis_indices(static_cast<int>(shape.size()));
  int value = s.cast(load_integer(ctx, s, 0, at, shape), DType::f32);
  // Few weights of 4 bits have zero points of their own: a literal is read nowhere.
  const auto zero = ir::bit_width(ctx.dtype(0)) == 4 ? only_zero_point(ctx) : std::nullopt;
  if (zero && *zero != 0) value = s.sub(value, s.constant(*zero));
  else if (!zero && has_zero_point(ctx))
    value = s.sub(value, s.cast(load_integer(ctx, s, 2, scale_indices(ctx, scales, at), shape), DType::f32));
  ctx.set_output(0, s.finish(s.mul(value, load_scale(ctx, s, 1, scales, at))));
}

void lower_dynamic_quantize(LowerContext& ctx) {
  if (!can_lower(ctx, set_of({DType::f32, DType::u8}))) return;
  kernel::Kernel& kernel = ctx.kernel();
  const std::vector<int64_t> shape = ctx.shape(0);
  const std::vector<Index> at = axis_indices(static_cast<int>(shape.size()));
  const auto extreme = [&](const char* name, Reduction reduction, Op with_zero) {
    StageBuilder s(kernel, stage_name(kernel, name), {}, axes_of(shape, "r"));
    const int found = s.finish(s.load(ctx.input(0), at), reduction);
    StageBuilder end(kernel, stage_name(kernel, std::string(name) + "_or_zero"), {});
    return end.finish(end.node(with_zero, DType::f32, end.load(found, {}), end.constant(0)));
  };
  const int low = extreme("low", Reduction::min, Op::min), high = extreme("high", Reduction::max, Op::max);
  StageBuilder scale_stage(kernel, stage_name(kernel, "scale"), {});
  const int scale = scale_stage.finish(scale_stage.div(
      scale_stage.sub(scale_stage.load(high, {}), scale_stage.load(low, {})), scale_stage.constant(255)));
  const auto divisor = [scale](StageBuilder& s) {  // the scale, or 1 where all data are 0
    const int x = s.load(scale, {});
    return s.select(s.node(Op::eq, DType::boolean, x, s.constant(0)), s.constant(1), x);
  };
  const auto clamped = [](StageBuilder& s, int x) {
    return s.cast(s.min(s.max(x, s.constant(0)), s.constant(255)), DType::u8);
  };
  StageBuilder zero_stage(kernel, stage_name(kernel, "zero_point"), {});
  const int negated = zero_stage.unary(Op::neg, zero_stage.load(low, {}));
  const int zero =
      zero_stage.finish(clamped(zero_stage, zero_stage.unary(Op::round, zero_stage.div(negated, divisor(zero_stage)))));
  StageBuilder s(kernel, stage_name(kernel, "quantize"), axes_of(shape));
  const int level = s.unary(Op::round, s.div(s.load(ctx.input(0), at), divisor(s)));
  ctx.set_output(0, s.finish(clamped(s, s.add(level, s.cast(s.load(zero, {}), DType::f32)))));
  ctx.set_output(1, scale);
  ctx.set_output(2, zero);
}

}  // namespace

void register_quantize(Catalogue& c) {
  c.add({.name = "QuantizeLinear",
         .min_inputs = 2,
         .max_inputs = 3,
         .pattern = Pattern::elementwise,
         .infer = infer_quantize,
         .cost = cost_per_output(5),
         .evaluate = evaluate_quantize,
         .lower = lower_quantize});
  c.add({.name = "DequantizeLinear",
         .min_inputs = 2,
         .max_inputs = 3,
         .pattern = Pattern::elementwise,
         .infer = infer_dequantize,
         .cost = cost_per_output(2),
         .evaluate = evaluate_dequantize,
         .lower = lower_dequantize});
  c.add({.name = "DynamicQuantizeLinear",
         .since_version = 11,
         .min_inputs = 1,
         .max_inputs = 1,
         .min_outputs = 1,
         .max_outputs = 3,
         .pattern = Pattern::reduction,
         .infer = infer_dynamic_quantize,
         .cost = cost_per_input(7),
         .evaluate = evaluate_dynamic_quantize,
         .lower = lower_dynamic_quantize});
}

}  // namespace rooftune::ops
