#include "ops/common.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace rooftune::ops {

void fail(const Node& node, const std::string& what) {
  throw InputError("node '{}' ({}): {}", node.name, node.op, what);
}

// --- element types

std::string to_string(DTypeSet set) {
  std::string text;
  for (unsigned d = 1; d <= static_cast<unsigned>(DType::i2); ++d) {
    if (!contains(set, static_cast<DType>(d))) continue;
    if (!text.empty()) text += ", ";
    text += ir::name(static_cast<DType>(d));
  }
  return text;
}

DType require(const InferContext& ctx, int i, DTypeSet allowed) {
  const DType dtype = ctx.dtype(i);
  if (!contains(allowed, dtype))
    ctx.fail(fmt::format("input {} is {}, but must be one of {}", i, ir::name(dtype), to_string(allowed)));
  return dtype;
}

DType require_same(const InferContext& ctx, int first, int last, DTypeSet allowed) {
  const DType dtype = require(ctx, first, allowed);
  for (int i = first + 1; i <= last; ++i) {
    if (ctx.has_input(i) && ctx.dtype(i) != dtype)
      ctx.fail(fmt::format("inputs {} and {} must have the same element type, but are {} and {}", first, i,
                           ir::name(dtype), ir::name(ctx.dtype(i))));
  }
  return dtype;
}

void require_rank(const InferContext& ctx, int i, int min, int max) {
  if (!ctx.has_shape(i)) return;
  const int rank = static_cast<int>(ctx.shape(i).size());
  if (rank >= min && rank <= max) return;
  const std::string wanted = min == max  ? fmt::format("{}", min)
                             : max >= 64 ? fmt::format("at least {}", min)
                                         : fmt::format("{} to {}", min, max);
  ctx.fail(fmt::format("input {} has shape {}, but its rank must be {}", i, to_string(ctx.shape(i)), wanted));
}

void require_scalar(const InferContext& ctx, int i, DTypeSet allowed) {
  if (!ctx.has_input(i)) return;
  require(ctx, i, allowed);
  if (ctx.has_shape(i) && ir::is_static(ctx.shape(i)) && element_count(ctx.shape(i)) != 1)
    ctx.fail(fmt::format("input {} must be a scalar, but has shape {}", i, to_string(ctx.shape(i))));
}

int64_t scalar_int(const EvalContext& ctx, int i) {
  const Tensor& value = ctx.input(i);
  if (value.size() != 1) ctx.fail(fmt::format("input {} must be a scalar, but has {} elements", i, value.size()));
  return value.as_int(0);
}

// --- axes

int normalize_axis(const Node& node, int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) fail(node, fmt::format("axis {} is out of range for rank {}", axis, rank));
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::vector<int> normalize_axes(const Node& node, const std::vector<int64_t>& axes, int rank) {
  std::vector<int> result;
  for (int64_t axis : axes) result.push_back(normalize_axis(node, axis, rank));
  std::sort(result.begin(), result.end());
  const auto twice = std::adjacent_find(result.begin(), result.end());
  if (twice != result.end()) fail(node, fmt::format("axis {} appears twice", *twice));
  return result;
}

// --- unknown dims

namespace {
constexpr std::string_view kUnknownPrefix = "unknown_";
}

Dim unknown_dim(const std::string& value, int axis, int64_t min, int64_t max) {
  std::string symbol(kUnknownPrefix);
  for (const char c : value) {  // what a symbol may not hold is escaped, so that no two values share one
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) symbol += c;
    else symbol += c == '_' ? "__" : fmt::format("_{:02x}", static_cast<unsigned char>(c));
  }
  return Dim::symbol(fmt::format("{}_{}", symbol, axis), min, max);
}

bool is_unknown(const Dim& dim) {
  if (dim.is_static()) return false;
  const std::vector<std::string> symbols = dim.symbols();
  return symbols.size() == 1 && symbols[0].starts_with(kUnknownPrefix) && dim.to_string().starts_with(kUnknownPrefix);
}

// --- broadcasting

Dim broadcast(const Node& node, const Dim& a, const Dim& b) {
  if (a == b || b == Dim(1)) return a;
  if (a == Dim(1)) return b;
  if (a.is_static() && b.is_static())
    fail(node, fmt::format("dims {} and {} do not broadcast", a.to_string(), b.to_string()));
  if (a.is_static()) return a;  // the other one is 1 or the same at run time
  if (b.is_static()) return b;
  return max(a, b);
}

Shape broadcast(const Node& node, const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()), Dim(1));
  for (size_t i = 0; i < out.size(); ++i) {
    const Dim da = i + a.size() >= out.size() ? a[i + a.size() - out.size()] : Dim(1);
    const Dim db = i + b.size() >= out.size() ? b[i + b.size() - out.size()] : Dim(1);
    out[i] = broadcast(node, da, db);
  }
  return out;
}

std::vector<int64_t> broadcast(const Node& node, const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  if (a == b) return a;
  std::vector<int64_t> out(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t da = i + a.size() >= out.size() ? a[i + a.size() - out.size()] : 1;
    const int64_t db = i + b.size() >= out.size() ? b[i + b.size() - out.size()] : 1;
    if (da != db && da != 1 && db != 1)
      fail(node, fmt::format("shapes [{}] and [{}] do not broadcast", fmt::join(a, ","), fmt::join(b, ",")));
    out[i] = da == 1 ? db : da;
  }
  return out;
}

std::optional<Shape> broadcast_inputs(const InferContext& ctx, int first, int last) {
  std::optional<Shape> out;
  for (int i = first; i <= last; ++i) {
    if (!ctx.has_shape(i)) return std::nullopt;
    out = out ? broadcast(ctx.node(), *out, ctx.shape(i)) : ctx.shape(i);
  }
  return out;
}

BroadcastPlan plan_broadcast(const std::vector<int64_t>& out, const std::vector<std::vector<int64_t>>& operands) {
  const size_t count = operands.size();
  if (ir::checked_element_count(out) == 0) {  // there are no rows; where there are, strides and merged extents fit
    BroadcastPlan nothing;
    nothing.row = nothing.rows = 0;
    nothing.row_step.assign(count, 0);
    nothing.strides.assign(count, {});
    return nothing;
  }
  std::vector<int64_t> extents;             // innermost first while merging
  std::vector<std::vector<int64_t>> steps;  // [loop][operand]
  std::vector<int64_t> dense(count, 1);     // stride that the next dim of each operand has
  for (size_t d = out.size(); d-- > 0;) {
    const int64_t extent = out[d];
    std::vector<int64_t> step(count, 0);
    for (size_t o = 0; o < count; ++o) {
      const size_t missing = out.size() - operands[o].size();
      const int64_t own = d >= missing ? operands[o][d - missing] : 1;
      if (own != 1) step[o] = dense[o];
      dense[o] *= own;
    }
    if (extent == 1) continue;
    bool merges = !extents.empty();
    for (size_t o = 0; merges && o < count; ++o) merges = step[o] == steps.back()[o] * extents.back();
    if (merges) {
      extents.back() *= extent;
    } else {
      extents.push_back(extent);
      steps.push_back(std::move(step));
    }
  }
  BroadcastPlan plan;
  plan.row_step.assign(count, 0);
  plan.strides.assign(count, {});
  if (extents.empty()) return plan;
  plan.row = extents[0];
  plan.row_step = steps[0];
  for (size_t l = extents.size(); l-- > 1;) {
    plan.outer.push_back(extents[l]);
    plan.rows *= extents[l];
    for (size_t o = 0; o < count; ++o) plan.strides[o].push_back(steps[l][o]);
  }
  if (plan.row == 0) plan.rows = 0;
  return plan;
}

// --- usual inference and cost

std::function<void(InferContext&)> same_as_input(DTypeSet allowed) {
  return [allowed](InferContext& ctx) {
    require(ctx, 0, allowed);
    ctx.set_output(0, ctx.input(0));
  };
}

int64_t elements(const Type& type) { return element_count(type.shape()); }

double bytes_touched(const CostContext& ctx) {
  double bytes = 0;
  std::vector<ir::ValueId> seen;
  for (const auto* ids : {&ctx.node.inputs, &ctx.node.outputs}) {
    for (ir::ValueId id : *ids) {
      if (id == ir::kNone || std::find(seen.begin(), seen.end(), id) != seen.end()) continue;
      seen.push_back(id);
      const Type& type = ctx.graph.type(id);
      if (type.is_tensor() && type.has_rank())
        bytes += static_cast<double>(byte_size(type.dtype(), static_cast<size_t>(elements(type))));
    }
  }
  return bytes;
}

std::function<Cost(const CostContext&)> cost_per_output(double flops) {
  return [flops](const CostContext& ctx) {
    return Cost{flops * static_cast<double>(elements(ctx.output(0))), bytes_touched(ctx)};
  };
}

std::function<Cost(const CostContext&)> cost_per_input(double flops) {
  return [flops](const CostContext& ctx) {
    return Cost{flops * static_cast<double>(elements(ctx.input(0))), bytes_touched(ctx)};
  };
}

// --- evaluation

Tensor convert(const Tensor& tensor, DType dtype) {
  const DType from = tensor.dtype();
  if (from == dtype) return tensor;
  Tensor out(dtype, tensor.shape());
  const int64_t n = tensor.size();
  if (is_half(from) && dtype == DType::f32) {
    const auto* in = tensor.data<uint16_t>();
    auto* to = out.data<float>();
    if (from == DType::f16) {
      for (int64_t i = 0; i < n; ++i) to[i] = ir::f16_to_f32(in[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = ir::bf16_to_f32(in[i]);
    }
  } else if (from == DType::f32 && is_half(dtype)) {
    const auto* in = tensor.data<float>();
    auto* to = out.data<uint16_t>();
    if (dtype == DType::f16) {
      for (int64_t i = 0; i < n; ++i) to[i] = ir::f32_to_f16(in[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = ir::f32_to_bf16(in[i]);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) out.set_double(i, tensor.as_double(i));
  }
  return out;
}

std::function<void(EvalContext&)> widened(std::function<void(EvalContext&)> evaluate) {
  return [evaluate = std::move(evaluate)](EvalContext& ctx) {
    DType half = DType::undefined;
    std::vector<Tensor> inputs;
    for (int i = 0; i < ctx.input_count(); ++i) {
      Tensor input = ctx.has_input(i) ? ctx.input(i) : Tensor();
      if (is_half(input.dtype())) {
        if (half == DType::undefined) half = input.dtype();
        input = convert(input, DType::f32);
      }
      inputs.push_back(std::move(input));
    }
    if (half == DType::undefined) return evaluate(ctx);
    EvalContext wide(ctx.node(), std::move(inputs));
    evaluate(wide);
    for (size_t i = 0; i < wide.outputs().size(); ++i) {
      Tensor& output = wide.outputs()[i];
      ctx.set_output(static_cast<int>(i), output.dtype() == DType::f32 ? convert(output, half) : std::move(output));
    }
  };
}

}  // namespace rooftune::ops
