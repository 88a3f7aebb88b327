// Tensors made from attributes or shapes: Constant ConstantOfShape Range EyeLike Shape Size; Identity and Dropout.
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/lowering.h"
#include "ops/random.h"

namespace rooftune::ops {
namespace {

// --- Constant

Tensor constant_value(const Node& node) {
  if (const Tensor* value = node.attr_tensor("value")) return *value;
  if (node.has("value_int")) return Tensor::of<int64_t>(DType::i64, {}, {node.attr_int("value_int", 0)});
  if (node.has("value_float")) return Tensor::of<float>(DType::f32, {}, {node.attr_float("value_float", 0)});
  if (node.has("value_ints")) {
    const auto values = node.attr_ints("value_ints");
    return Tensor::of(DType::i64, {static_cast<int64_t>(values.size())}, values);
  }
  if (node.has("value_floats")) {
    const auto values = node.attr_floats("value_floats");
    return Tensor::of(DType::f32, {static_cast<int64_t>(values.size())}, values);
  }
  if (node.has("value_string")) return Tensor::of_strings({}, {node.attr_string("value_string", "")});
  const auto strings = node.attributes.find("value_strings");
  if (strings == node.attributes.end() || !std::holds_alternative<std::vector<std::string>>(strings->second))
    fail(node, "has no value; accepted are value, value_int(s), value_float(s), value_string(s)");
  const auto& values = std::get<std::vector<std::string>>(strings->second);
  return Tensor::of_strings({static_cast<int64_t>(values.size())}, values);
}

void infer_constant(InferContext& ctx) {
  const Tensor value = constant_value(ctx.node());
  ctx.set_output(0, value.dtype(), ir::to_shape(value.shape()));
}

// --- ConstantOfShape

Tensor fill_value(const Node& node) {
  const Tensor* value = node.attr_tensor("value");
  if (value == nullptr) return Tensor::of<float>(DType::f32, {1}, {0});
  if (value->size() != 1) fail(node, fmt::format("value must have one element, but has {}", value->size()));
  return *value;
}

void infer_constant_of_shape(InferContext& ctx) {
  require(ctx, 0, bit(DType::i64));
  require_rank(ctx, 0, 1, 1);
  const Tensor value = fill_value(ctx.node());
  const auto dims = ctx.ints(0);
  if (!dims) {
    if (!ctx.has_shape(0) || !ctx.shape(0)[0].is_static()) return ctx.set_output(0, Type::tensor(value.dtype()));
    Shape shape;
    for (int d = 0; d < ctx.shape(0)[0].value(); ++d) shape.push_back(ctx.unknown_dim(0, d));
    return ctx.set_output(0, value.dtype(), std::move(shape));
  }
  for (const Dim& d : *dims) {
    if (d.max() < 0) ctx.fail(fmt::format("the shape has a negative dim {}", d.to_string()));
  }
  ctx.set_output(0, value.dtype(), *dims);
  if (dims->size() <= 1 && ir::is_static(*dims) && ir::is_integer(value.dtype()) && element_count(*dims) <= 1024)
    ctx.set_output_ints(0, std::vector<Dim>(static_cast<size_t>(element_count(*dims)), Dim(value.as_int(0))));
}

void evaluate_constant_of_shape(EvalContext& ctx) {
  const Tensor value = fill_value(ctx.node());
  const std::vector<int64_t> shape = ctx.input(0).as_ints();
  for (int64_t d : shape) {
    if (d < 0) ctx.fail(fmt::format("the shape [{}] has a negative dim", fmt::join(shape, ",")));
  }
  Tensor out(value.dtype(), shape);
  dispatch_size(ctx.node(), value.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::fill_n(out.data<T>(), out.size(), value.data<T>()[0]);
  });
  ctx.set_output(0, std::move(out));
}

// --- Range

constexpr DTypeSet kRangeTypes = set_of({DType::f32, DType::f64, DType::i16, DType::i32, DType::i64});

int64_t range_length(const Node& node, const Tensor& start, const Tensor& limit, const Tensor& delta) {
  if (start.size() != 1 || limit.size() != 1 || delta.size() != 1) fail(node, "start, limit and delta must be scalars");
  if (delta.as_double(0) == 0) fail(node, "delta must not be 0");
  if (ir::is_integer(start.dtype())) {
    const int64_t step = delta.as_int(0);
    int64_t span = 0;
    if (__builtin_sub_overflow(limit.as_int(0), start.as_int(0), &span) || span == INT64_MIN)
      fail(node, "the range is too long");
    return std::max<int64_t>(0, span / step + (span % step != 0 && (span < 0) == (step < 0) ? 1 : 0));
  }
  const double length = std::ceil((limit.as_double(0) - start.as_double(0)) / delta.as_double(0));
  if (!(length < 9e15)) fail(node, "start, limit and delta do not give a finite length");
  return static_cast<int64_t>(std::max(0.0, length));
}

void infer_range(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, 2, kRangeTypes);
  for (int i = 0; i < 3; ++i) require_scalar(ctx, i, kRangeTypes);
  if (ctx.constant(0) != nullptr && ctx.constant(1) != nullptr && ctx.constant(2) != nullptr) {
    return ctx.set_output(0, dtype,
                          {Dim(range_length(ctx.node(), *ctx.constant(0), *ctx.constant(1), *ctx.constant(2)))});
  }
  const auto start = ctx.ints(0), limit = ctx.ints(1), delta = ctx.ints(2);
  if (start && limit && delta && (*delta)[0].is_static() && (*delta)[0].value() > 0) {
    const Dim span = (*limit)[0] - (*start)[0];
    const Dim length = (*delta)[0] == Dim(1) ? span : ceildiv(span, (*delta)[0]);
    return ctx.set_output(0, dtype, {length.min() >= 0 ? length : max(length, Dim(0))});
  }
  ctx.set_output(0, dtype, {ctx.unknown_dim(0, 0)});
}

void evaluate_range(EvalContext& ctx) {
  const int64_t n = range_length(ctx.node(), ctx.input(0), ctx.input(1), ctx.input(2));
  Tensor out(ctx.input(0).dtype(), {n});
  dispatch<float, double, int16_t, int32_t, int64_t>(ctx.node(), out.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T start = ctx.input(0).data<T>()[0], delta = ctx.input(2).data<T>()[0];
    for (int64_t i = 0; i < n; ++i) out.data<T>()[i] = static_cast<T>(start + static_cast<T>(i) * delta);
  });
  ctx.set_output(0, std::move(out));
}

// --- EyeLike

DType eye_type(const Node& node, DType input) {
  const int64_t dtype = node.attr_int("dtype", static_cast<int64_t>(input));
  if (dtype < 0 || dtype > 26 || !contains(kNumbers | kBool, static_cast<DType>(dtype)))
    fail(node, fmt::format("dtype {} is not a numeric type", dtype));
  return static_cast<DType>(dtype);
}

void evaluate_eye_like(EvalContext& ctx) {
  const Tensor& like = ctx.input(0);
  Tensor out(eye_type(ctx.node(), like.dtype()), like.shape());
  std::fill_n(out.raw(), out.bytes(), uint8_t{0});
  const int64_t k = ctx.node().attr_int("k", 0);
  for (int64_t r = std::max<int64_t>(0, -k); r < like.dim(0) && r + k < like.dim(1); ++r)
    out.set_double(r * like.dim(1) + r + k, 1);
  ctx.set_output(0, std::move(out));
}

void infer_eye_like(InferContext& ctx) {
  const DType input = require(ctx, 0, kNumbers | kBool);
  require_rank(ctx, 0, 2, 2);
  ctx.set_output(
      0, Type::tensor(eye_type(ctx.node(), input), ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
}

// --- Shape, Size

std::pair<int64_t, int64_t> shape_slice(const Node& node, int64_t rank) {
  const auto clamp = [rank](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank); };
  const int64_t start = clamp(node.attr_int("start", 0)), end = clamp(node.attr_int("end", rank));
  return {start, std::max(start, end)};
}

void infer_shape(InferContext& ctx) {
  require(ctx, 0, kAny);
  if (!ctx.has_shape(0)) return ctx.set_output(0, DType::i64, {ctx.unknown_dim(0, 0, 0, 64)});
  const Shape& shape = ctx.shape(0);
  const auto [start, end] = shape_slice(ctx.node(), static_cast<int64_t>(shape.size()));
  ctx.set_output(0, DType::i64, {Dim(end - start)});
  ctx.set_output_ints(0, std::vector<Dim>(shape.begin() + start, shape.begin() + end));
}

void evaluate_shape(EvalContext& ctx) {
  const std::vector<int64_t>& shape = ctx.input(0).shape();
  const auto [start, end] = shape_slice(ctx.node(), static_cast<int64_t>(shape.size()));
  ctx.set_output(
      0, Tensor::of(DType::i64, {end - start}, std::vector<int64_t>(shape.begin() + start, shape.begin() + end)));
}

void infer_size(InferContext& ctx) {
  require(ctx, 0, kAny);
  ctx.set_output(0, DType::i64, Shape{});
  if (!ctx.has_shape(0)) return;
  Dim size = 1;
  for (const Dim& d : ctx.shape(0)) size = size * d;
  ctx.set_output_ints(0, {size});
}

// --- Identity, Dropout

void infer_identity(InferContext& ctx) {
  ctx.set_output(0, ctx.input(0));
  if (auto values = ctx.ints(0)) ctx.set_output_ints(0, std::move(*values));
}

void infer_dropout(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats | kFloat8);
  require_scalar(ctx, 1, kFloats | kFloat8);
  require_scalar(ctx, 2, kBool);
  const auto shape = ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt;
  ctx.set_output(0, Type::tensor(dtype, shape));
  ctx.set_output(1, Type::tensor(DType::boolean, shape));
}

void evaluate_dropout(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  if (ctx.has_input(1) && ctx.input(1).size() != 1) ctx.fail("the ratio must be a scalar");
  const double ratio = ctx.has_input(1) ? ctx.input(1).as_double(0) : 0.5;
  const bool training = ctx.has_input(2) && scalar_int(ctx, 2) != 0;
  Tensor mask(DType::boolean, x.shape());
  std::fill_n(mask.data<bool>(), mask.size(), true);
  if (!training || ratio == 0) {
    ctx.set_output(0, x);
  } else {
    Random random(ctx.node());
    Tensor out(x.dtype(), x.shape());
    for (int64_t i = 0; i < x.size(); ++i) {
      mask.data<bool>()[i] = random.uniform() >= ratio;
      out.set_double(i, mask.data<bool>()[i] ? x.as_double(i) / (1 - ratio) : 0);
    }
    ctx.set_output(0, std::move(out));
  }
  ctx.set_output(1, std::move(mask));
}

int copy_stage(LowerContext&, StageBuilder&, const std::vector<int>& x) { return x[0]; }

void lower_dropout(LowerContext& ctx) {
  const Tensor* training = ctx.constant(2);
  if (ctx.has_input(2) && (training == nullptr || training->as_int(0) != 0))
    return ctx.reject("lower: Dropout is lowered for inference only");
  if (ctx.node().outputs.size() > 1 && ctx.node().outputs[1] != ir::kNone)
    return ctx.reject("lower: Dropout with a mask is not supported");
  lower_map(ctx, "dropout", kLowered, copy_stage);
}

}  // namespace

void register_generate(Catalogue& c) {
  c.add({.name = "Constant", .infer = infer_constant, .evaluate = [](EvalContext& ctx) {
           ctx.set_output(0, constant_value(ctx.node()));
         }});
  c.add({.name = "ConstantOfShape",
         .min_inputs = 1,
         .max_inputs = 1,
         .infer = infer_constant_of_shape,
         .evaluate = evaluate_constant_of_shape});
  c.add({.name = "Range",
         .min_inputs = 3,
         .max_inputs = 3,
         .infer = infer_range,
         .cost = cost_per_output(2),
         .evaluate = evaluate_range});
  c.add({.name = "EyeLike", .min_inputs = 1, .max_inputs = 1, .infer = infer_eye_like, .evaluate = evaluate_eye_like});
  c.add({.name = "Shape", .min_inputs = 1, .max_inputs = 1, .infer = infer_shape, .evaluate = evaluate_shape});
  c.add({.name = "Size", .min_inputs = 1, .max_inputs = 1, .infer = infer_size, .evaluate = [](EvalContext& ctx) {
           ctx.set_output(0, Tensor::of<int64_t>(DType::i64, {}, {ctx.input(0).size()}));
         }});
  c.add({.name = "Identity",
         .min_inputs = 1,
         .max_inputs = 1,
         .pattern = Pattern::elementwise,
         .infer = infer_identity,
         .evaluate = [](EvalContext& ctx) { ctx.set_output(0, ctx.input(0)); },
         .lower = lowered_map("identity", kLowered, copy_stage)});
  c.add({.name = "Dropout",
         .min_inputs = 1,
         .max_inputs = 3,
         .min_outputs = 1,
         .max_outputs = 2,
         .pattern = Pattern::elementwise,
         .infer = infer_dropout,
         .evaluate = evaluate_dropout,
         .lower = lower_dropout,
         .deterministic = false});
}

}  // namespace rooftune::ops
