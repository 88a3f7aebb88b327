// Cast and CastLike between all element types.
#include <charconv>
#include <cmath>
#include <limits>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/lowering.h"

namespace rooftune::ops {
namespace {

using kernel::Op;

constexpr DTypeSet kNarrow = kFloat8 | kSubByte | bit(DType::f8e8m0);
constexpr DTypeSet kCastable = kNumbers | kBool | kString | kNarrow;

DType target(const Node& node) {
  const int64_t to = node.attr_int("to", 0);
  const auto dtype = static_cast<DType>(to);
  if (to <= 0 || to > static_cast<int64_t>(DType::i2) || !contains(kCastable, dtype))
    fail(node, fmt::format("cannot cast to element type {}", to));
  return dtype;
}

// A number of another type. Floats become integers by truncation, clamped to the range (ONNX leaves that open);
// integers wrap around.
template <typename To, typename From>
To cast_value(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (std::isnan(x)) return To(0);
    if (x <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (x >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <typename F>
void dispatch_native(const Node& node, DType dtype, F&& f) {
  dispatch<float, double, bool, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t>(node, dtype,
                                                                                                          f);
}

Tensor cast_native(const Node& node, const Tensor& x, DType to) {
  Tensor out(to, x.shape());
  dispatch_native(node, x.dtype(), [&](auto from_tag) {
    using From = typename decltype(from_tag)::type;
    dispatch_native(node, to, [&](auto to_tag) {
      using To = typename decltype(to_tag)::type;
      apply_unary(x.data<From>(), out.data<To>(), x.size(), [](From v) { return cast_value<To>(v); });
    });
  });
  return out;
}

// f32 to an 8-bit or smaller type.
Tensor narrow(const Tensor& x, DType to, bool saturate) {
  Tensor out(to, x.shape());
  const float* from = x.data<float>();
  if (contains(kFloat8, to)) {
    for (int64_t i = 0; i < x.size(); ++i) out.data<uint8_t>()[i] = ir::f32_to_f8(from[i], to, saturate);
  } else {
    const bool integer = to == DType::u4 || to == DType::i4 || to == DType::u2 || to == DType::i2;
    for (int64_t i = 0; i < x.size(); ++i) out.set_double(i, integer ? std::trunc(from[i]) : from[i]);
  }
  return out;
}

double parse_number(const Node& node, const std::string& text) {
  if (text == "NaN" || text == "nan") return std::numeric_limits<double>::quiet_NaN();
  const bool infinite =
      text == "INF" || text == "+INF" || text == "inf" || text == "+inf" || text == "-INF" || text == "-inf";
  if (infinite)
    return text[0] == '-' ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  double value = 0;
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) fail(node, fmt::format("'{}' is not a number", text));
  return value;
}

Tensor from_strings(const Node& node, const Tensor& x, DType to, bool saturate) {
  if (to == DType::i64 || to == DType::u64) {  // exact beyond 2^53
    Tensor out(to, x.shape());
    for (int64_t i = 0; i < x.size(); ++i) {
      const std::string& text = x.strings()[static_cast<size_t>(i)];
      const char* end = text.data() + text.size();
      const auto result = to == DType::i64 ? std::from_chars(text.data(), end, out.data<int64_t>()[i])
                                           : std::from_chars(text.data(), end, out.data<uint64_t>()[i]);
      if (result.ec != std::errc() || result.ptr != end) fail(node, fmt::format("'{}' is not an integer", text));
    }
    return out;
  }
  Tensor numbers(DType::f64, x.shape());
  for (int64_t i = 0; i < x.size(); ++i)
    numbers.data<double>()[i] = parse_number(node, x.strings()[static_cast<size_t>(i)]);
  if (to == DType::f64) return numbers;
  if (is_half(to)) return convert(cast_native(node, numbers, DType::f32), to);
  if (contains(kNarrow, to)) return narrow(cast_native(node, numbers, DType::f32), to, saturate);
  return cast_native(node, numbers, to);
}

Tensor to_strings(const Tensor& x) {
  std::vector<std::string> texts;
  for (int64_t i = 0; i < x.size(); ++i) {
    if (x.dtype() == DType::u64) {
      texts.push_back(fmt::format("{}", x.data<uint64_t>()[i]));  // as_int stops at 2^63
    } else if (ir::is_integer(x.dtype())) {
      texts.push_back(fmt::format("{}", x.as_int(i)));
    } else if (x.dtype() == DType::boolean) {
      texts.push_back(x.as_int(i) != 0 ? "1" : "0");
    } else {
      const double v = x.as_double(i);
      texts.push_back(std::isnan(v)             ? "NaN"
                      : std::isinf(v)           ? (v > 0 ? "INF" : "-INF")
                      : x.dtype() == DType::f64 ? fmt::format("{:.17g}", v)
                                                : fmt::format("{:.8g}", v));
    }
  }
  return Tensor::of_strings(x.shape(), std::move(texts));
}

void infer_to(InferContext& ctx, DType to) {
  require(ctx, 0, kCastable);
  ctx.set_output(0, Type::tensor(to, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
  auto values = ctx.ints(0);
  const bool wide = to == DType::i64 || to == DType::i32;
  if (values && wide && (is_integer(ctx.dtype(0)) || ctx.dtype(0) == DType::boolean))
    ctx.set_output_ints(0, std::move(*values));
}

void lower_to(LowerContext& ctx) {
  const DType to = ctx.graph().type(ctx.node().outputs[0]).dtype();
  lower_map(ctx, "cast", kLowered, [to](LowerContext&, StageBuilder& s, const std::vector<int>& x) {
    const DType from = s.type_of(x[0]);
    if (from == to) return x[0];
    if (is_half(to)) {  // rounded, and computed with in f32 again
      const int wide = from == DType::f32 ? x[0] : s.cast(x[0], DType::f32);
      return s.cast(s.cast(wide, to), DType::f32);
    }
    if (to == DType::boolean)
      return s.node(Op::logical_not, DType::boolean, s.node(Op::eq, DType::boolean, x[0], s.constant(0, from)));
    return s.cast(x[0], to);
  });
}

}  // namespace

Tensor cast_tensor(const Node& node, const Tensor& x, DType to, bool saturate) {
  const DType from = x.dtype();
  if (from == to) return x;
  if (from == DType::string) return from_strings(node, x, to, saturate);
  if (to == DType::string) return to_strings(x);
  Tensor wide = x;
  if (is_half(from) || contains(kNarrow, from)) wide = convert(x, DType::f32);
  if (is_half(to)) return convert(cast_tensor(node, wide, DType::f32, saturate), to);
  if (contains(kNarrow, to)) return narrow(cast_tensor(node, wide, DType::f32, saturate), to, saturate);
  return wide.dtype() == to ? wide : cast_native(node, wide, to);
}

namespace {

// --- BitCast: the same bits as another type of the same size

void infer_bit_cast(InferContext& ctx) {
  const DType from = require(ctx, 0, kAny & ~kString), to = target(ctx.node());
  if (to == DType::string || ir::bit_width(from) != ir::bit_width(to))
    ctx.fail(fmt::format("{} cannot be read as {}: their sizes differ", ir::name(from), ir::name(to)));
  ctx.set_output(0, Type::tensor(to, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
}

void evaluate_bit_cast(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  ctx.set_output(0, Tensor(target(ctx.node()), x.shape(), x.storage(), x.offset()));
}

}  // namespace

void register_cast(Catalogue& c) {
  c.add({.name = "BitCast",
         .since_version = 26,
         .min_inputs = 1,
         .max_inputs = 1,
         .infer = infer_bit_cast,
         .cost = cost_per_output(0),
         .evaluate = evaluate_bit_cast});
  c.add({.name = "Cast",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::elementwise,
         .infer = [](InferContext& ctx) { infer_to(ctx, target(ctx.node())); },
         .evaluate =
             [](EvalContext& ctx) {
               ctx.set_output(0, cast_tensor(ctx.node(), ctx.input(0), target(ctx.node()),
                                             ctx.node().attr_int("saturate", 1) != 0));
             },
         .lower = lower_to});
  c.add({.name = "CastLike",
         .min_inputs = 2,
         .max_inputs = 2,
         .pattern = Pattern::elementwise,
         .infer = [](InferContext& ctx) { infer_to(ctx, require(ctx, 1, kCastable)); },
         .evaluate =
             [](EvalContext& ctx) {
               ctx.set_output(0, cast_tensor(ctx.node(), ctx.input(0), ctx.input(1).dtype(),
                                             ctx.node().attr_int("saturate", 1) != 0));
             }});
}

}  // namespace rooftune::ops
