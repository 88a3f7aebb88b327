// Products and convolutions of quantised operands: MatMulInteger, ConvInteger (to i32), QLinearMatMul, QLinearConv
// (requantised to 8 bits).
#include "ops/contraction.h"
#include "ops/convolution.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"

namespace rooftune::ops {
namespace {

using kernel::Op;

constexpr DTypeSet kBytes = set_of({DType::i8, DType::u8});

/// Where an operator keeps its operands; -1: has none.
struct Operands {
  int a = 0, b = 1;
  int a_zero = 2, b_zero = 3;
  int a_scale = -1, b_scale = -1, y_scale = -1, y_zero = -1, bias = -1;
};
constexpr Operands kInteger = {};
constexpr Operands kLinear = {
    .a = 0, .b = 3, .a_zero = 2, .b_zero = 5, .a_scale = 1, .b_scale = 4, .y_scale = 6, .y_zero = 7, .bias = 8};

const Operands& operands_of(const Node& node) { return node.op.starts_with("QLinear") ? kLinear : kInteger; }
bool is_conv(const Node& node) { return node.op.find("Conv") != std::string::npos; }

/// Fails unless a scale or zero point, where present, has one element or is a vector of `several`.
void require_factor(const InferContext& ctx, int i, const char* name, const Dim& several) {
  if (i < 0 || !ctx.has_input(i) || !ctx.has_shape(i)) return;
  const Shape& shape = ctx.shape(i);
  if (may_equal(product(shape), 1) || (shape.size() == 1 && may_equal(shape[0], several))) return;
  const std::string also = several == Dim(1) ? "" : fmt::format(" or shape [{}]", several.to_string());
  ctx.fail(fmt::format("{} (input {}) has shape {}, but must have one element{}", name, i, to_string(shape), also));
}

void infer_quantized(InferContext& ctx) {
  const Operands& o = operands_of(ctx.node());
  for (int i : {o.a_scale, o.b_scale, o.y_scale}) {
    if (i >= 0) require(ctx, i, kFloats);
  }
  if (o.bias >= 0 && ctx.has_input(o.bias)) require(ctx, o.bias, bit(DType::i32));
  for (int i : {o.a, o.b}) require(ctx, i, kBytes);
  const DType dtype = o.y_zero < 0 ? DType::i32 : require(ctx, o.y_zero, kBytes);
  for (auto [zero, of] : {std::pair(o.a_zero, o.a), std::pair(o.b_zero, o.b)}) {
    if (ctx.has_input(zero) && ctx.dtype(zero) != ctx.dtype(of))
      ctx.fail(fmt::format("the zero point in input {} is {}, must be {}", zero, ir::name(ctx.dtype(zero)),
                           ir::name(ctx.dtype(of))));
  }
  if (!ctx.has_shape(o.a) || !ctx.has_shape(o.b)) return ctx.set_output(0, Type::tensor(dtype));
  const Shape &a = ctx.shape(o.a), &b = ctx.shape(o.b);
  const bool conv = is_conv(ctx.node());
  const Shape out = conv ? conv_shape(ctx.node(), a, b) : matmul_shape(ctx.node(), a, b);
  const Dim rows = conv || a.size() < 2 ? Dim(1) : a[a.size() - 2], columns = conv           ? b[0]
                                                                              : b.size() < 2 ? Dim(1)
                                                                                             : b.back();
  require_factor(ctx, o.a_zero, "a_zero_point", rows);
  require_factor(ctx, o.b_zero, "b_zero_point", columns);
  require_factor(ctx, o.a_scale, "a_scale", 1);
  require_factor(ctx, o.b_scale, "b_scale", columns);
  require_factor(ctx, o.y_scale, "y_scale", 1);
  require_factor(ctx, o.y_zero, "y_zero_point", 1);
  if (o.bias >= 0 && ctx.has_input(o.bias)) require_shape(ctx, o.bias, "B", {columns});
  ctx.set_output(0, dtype, out);
}

Cost cost_quantized(const CostContext& ctx) {
  const Operands& o = operands_of(ctx.node);
  const double outputs = static_cast<double>(elements(ctx.output(0)));
  const double products = is_conv(ctx.node) ? conv_flops(ctx, o.b)
                                            : 2 * outputs * static_cast<double>(ctx.input(o.a).shape().back().value());
  return {products + (o.y_scale < 0 ? 0 : 3 * outputs), bytes_touched(ctx)};
}

// --- reference

/// `x` as i32 with its zero point subtracted. `inner`: consecutive elements that share a zero point where there are
/// several; these are taken in turn.
Tensor centred(const EvalContext& ctx, int input, int zero, int64_t inner) {
  Tensor x = convert(ctx.input(input), DType::i32);
  if (x.storage() == ctx.input(input).storage()) x = x.clone();
  if (!ctx.has_input(zero)) return x;
  const std::vector<int64_t> zeros = ctx.input(zero).as_ints();
  const auto count = static_cast<int64_t>(zeros.size());
  int32_t* v = x.data<int32_t>();
  for (int64_t i = 0; i < x.size(); ++i)
    v[i] -= static_cast<int32_t>(zeros[static_cast<size_t>(count == 1 ? 0 : i / inner % count)]);
  return x;
}

Tensor integer_product(const EvalContext& ctx, const Operands& o) {
  const Tensor &a = ctx.input(o.a), &b = ctx.input(o.b);
  if (!is_conv(ctx.node())) {
    return matmul(ctx.node(), centred(ctx, o.a, o.a_zero, a.shape().back()), centred(ctx, o.b, o.b_zero, 1));
  }
  const ConvSizes s = conv_sizes(ctx.node(), a.shape(), b.shape());
  const int64_t filter = s.out_channels == 0 ? 1 : b.size() / s.out_channels;
  const Tensor x = centred(ctx, o.a, o.a_zero, 1), w = centred(ctx, o.b, o.b_zero, filter);
  std::vector<int64_t> shape = {s.images, s.out_channels};
  shape.insert(shape.end(), s.output.begin(), s.output.end());
  Tensor out(DType::i32, shape);
  const bool biased = o.bias >= 0 && ctx.has_input(o.bias);
  convolve<uint32_t>(s, x.data<uint32_t>(), w.data<uint32_t>(), biased ? ctx.input(o.bias).data<uint32_t>() : nullptr,
                     out.data<uint32_t>());
  return out;
}

/// sums · a_scale · b_scale / y_scale, rounded, shifted by y's zero point and brought into y's range.
Tensor requantised(const EvalContext& ctx, const Operands& o, const Tensor& sums, int64_t inner) {
  const Tensor& zero = ctx.input(o.y_zero);
  Tensor out(zero.dtype(), sums.shape());
  const int32_t low = zero.dtype() == DType::i8 ? -128 : 0, high = low + 255,
                shift = static_cast<int32_t>(zero.as_int(0));
  const Tensor &sa = ctx.input(o.a_scale), &sb = ctx.input(o.b_scale);
  const auto sy = static_cast<float>(ctx.input(o.y_scale).as_double(0));
  std::vector<float> factors;
  for (int64_t i = 0; i < sb.size(); ++i)
    factors.push_back(static_cast<float>(sa.as_double(0)) * static_cast<float>(sb.as_double(i)) / sy);
  const auto count = static_cast<int64_t>(factors.size());
  for (int64_t i = 0; i < sums.size(); ++i) {
    const float value = std::nearbyint(static_cast<float>(sums.data<int32_t>()[i]) *
                                       factors[static_cast<size_t>(count == 1 ? 0 : i / inner % count)]);
    const auto y = static_cast<int32_t>(
        std::clamp(value + static_cast<float>(shift), static_cast<float>(low), static_cast<float>(high)));
    out.raw()[i] = static_cast<uint8_t>(y);
  }
  return out;
}

void evaluate_quantized(EvalContext& ctx) {
  const Operands& o = operands_of(ctx.node());
  Tensor sums = integer_product(ctx, o);
  if (o.y_scale < 0) return ctx.set_output(0, std::move(sums));
  int64_t inner = 1;  // outputs that share a scale
  for (int d = 2; is_conv(ctx.node()) && d < sums.rank(); ++d) inner *= sums.dim(d);
  ctx.set_output(0, requantised(ctx, o, sums, inner));
}

// --- lowering

bool is_zero(const Tensor* constant) {
  if (constant == nullptr) return false;
  for (int64_t i = 0; i < constant->size(); ++i)
    if (constant->as_int(i) != 0) return false;
  return true;
}

/// Input `i` at `at` as i32, its zero point subtracted; `channel` chooses among several zero points.
int load_centred(LowerContext& ctx, StageBuilder& stage, int i, int zero, const std::vector<Index>& at,
                 const Index& channel) {
  const int value = stage.cast(stage.load(ctx.input(i), at), DType::i32);
  if (!ctx.has_input(zero) || is_zero(ctx.constant(zero))) return value;
  const std::vector<int64_t> shape = ctx.shape(zero);
  std::vector<Index> where(shape.size(), Index(0));
  if (!shape.empty() && shape[0] > 1) where[0] = channel;
  return stage.sub(value, stage.cast(stage.load(ctx.input(zero), where), DType::i32));
}

int scalar(LowerContext& ctx, StageBuilder& stage, int i, const Index& channel = 0) {
  const std::vector<int64_t> shape = ctx.shape(i);
  std::vector<Index> at(shape.size(), Index(0));
  if (!shape.empty() && shape[0] > 1) at[0] = channel;
  return stage.load(ctx.input(i), at);
}

/// Adds the stage that sums; padding of x counts as its zero point, that is, adds nothing.
int add_sum_stage(LowerContext& ctx, const Operands& o) {
  const bool conv = is_conv(ctx.node());
  const std::string name = conv ? "conv_integer" : "matmul_integer";
  if (!conv) {
    return add_matmul_stage(ctx, name, ctx.shape(o.a), ctx.shape(o.b),
                            [&](StageBuilder& stage, const std::vector<Index>& a, const std::vector<Index>& b) {
                              const Index row = a.size() > 1 ? a[a.size() - 2] : Index(0),
                                          column = b.size() > 1 ? b.back() : Index(0);
                              return stage.mul(load_centred(ctx, stage, o.a, o.a_zero, a, row),
                                               load_centred(ctx, stage, o.b, o.b_zero, b, column));
                            });
  }
  const ConvSizes s = conv_sizes(ctx.node(), ctx.shape(o.a), ctx.shape(o.b));
  return add_conv_stage(ctx, name, s, [&](StageBuilder& stage, const ConvPoint& p) {
    if (!p.x_where.empty()) ctx.reject("lower: a window lies wholly in the padding");
    return stage.mul(load_centred(ctx, stage, o.a, o.a_zero, p.x, 0),
                     load_centred(ctx, stage, o.b, o.b_zero, p.w, p.filter));
  });
}

void lower_quantized(LowerContext& ctx) {
  const Operands& o = operands_of(ctx.node());
  if (!can_lower_inputs(ctx, {o.a, o.b})) return;
  for (int i : {o.a_zero, o.b_zero, o.b_scale}) {
    if (i >= 0 && ctx.has_input(i) && ctx.shape(i).size() > 1)
      return ctx.reject("lower: zero points and scales must be scalars or vectors");
  }
  for (int i : {o.a_scale, o.b_scale, o.y_scale}) {
    if (i >= 0 && ctx.dtype(i) != DType::f32) return ctx.reject("lower: scales must be f32");
  }
  const int sum = add_sum_stage(ctx, o);
  if (!ctx.rejection().empty() || o.y_scale < 0) return ctx.set_output(0, sum);
  const std::vector<int64_t> shape = ctx.output_shape(0);
  const DType dtype = ctx.dtype(o.y_zero);
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), "requantize"), axes_of(shape));
  const std::vector<Index> at = axes_from(0, shape.size());
  const bool vector = !is_conv(ctx.node()) && ctx.shape(o.b).size() < 2;
  const Index channel = is_conv(ctx.node()) ? at[1] : vector ? Index(0) : at.back();
  int total = stage.load(sum, at);
  if (ctx.has_input(o.bias)) total = stage.add(total, stage.load(ctx.input(o.bias), {channel}));
  const int scale = stage.div(stage.mul(scalar(ctx, stage, o.a_scale), scalar(ctx, stage, o.b_scale, channel)),
                              scalar(ctx, stage, o.y_scale));
  const int rounded = stage.unary(Op::round, stage.mul(stage.cast(total, DType::f32), scale));
  const int shifted = stage.add(rounded, stage.cast(scalar(ctx, stage, o.y_zero), DType::f32));
  const double low = dtype == DType::i8 ? -128 : 0;
  const int clamped = stage.max(stage.min(shifted, stage.constant(low + 255)), stage.constant(low));
  ctx.set_output(0, stage.finish(stage.cast(clamped, dtype)));
}

}  // namespace

void register_quantized(Catalogue& catalogue) {
  auto add = [&](const char* name, int since, int min, int max) {
    catalogue.add({.name = name,
                   .since_version = since,
                   .min_inputs = min,
                   .max_inputs = max,
                   .pattern = Pattern::contraction,
                   .infer = infer_quantized,
                   .cost = cost_quantized,
                   .evaluate = evaluate_quantized,
                   .lower = lower_quantized});
  };
  add("MatMulInteger", 10, 2, 4);
  add("ConvInteger", 10, 2, 4);
  add("QLinearMatMul", 10, 8, 8);
  add("QLinearConv", 10, 8, 9);
}

}  // namespace rooftune::ops
