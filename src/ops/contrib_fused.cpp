// Products, convolutions and activations of com.microsoft that hold more than one operator; its older forms of operators
// that ai.onnx has since.
#include <algorithm>
#include <cmath>

#include "ops/common.h"
#include "ops/contrib.h"
#include "ops/families.h"

namespace rooftune::ops {

void add_contrib(Catalogue& catalogue, std::string name, int min_inputs, int max_inputs, int max_outputs,
                 std::function<void(FunctionBuilder&)> function) {
  catalogue.add({.name = std::move(name),
                 .domain = "com.microsoft",
                 .min_inputs = min_inputs,
                 .max_inputs = max_inputs,
                 .max_outputs = max_outputs,
                 .function = std::move(function)});
}

ir::ValueId activate(FunctionBuilder& ctx, ir::ValueId x, const std::string& name,
                     const std::vector<float>& parameters) {
  const auto given = [&](size_t i, float otherwise) { return i < parameters.size() ? parameters[i] : otherwise; };
  const auto scalar = [&](float value) { return ctx.scalar(ctx.dtype(x), value); };
  if (name.empty()) return x;
  if (name == "Relu" || name == "Tanh" || name == "Sigmoid" || name == "Softsign") return ctx.add(name, {x});
  if (name == "LeakyRelu" || name == "Elu" || name == "ThresholdedRelu")
    return ctx.add(name, {x}, {{"alpha", given(0, name == "LeakyRelu" ? 0.01F : 1.0F)}});
  if (name == "HardSigmoid") return ctx.add(name, {x}, {{"alpha", given(0, 0.2F)}, {"beta", given(1, 0.5F)}});
  if (name == "Clip" && parameters.size() == 2) return ctx.add(name, {x, scalar(parameters[0]), scalar(parameters[1])});
  ctx.fail(fmt::format("activation '{}' is not supported", name));
}

namespace {

using Value = FunctionBuilder::Value;
using ir::kNone;

// --- products

/// Axes of an operand of FusedMatMul: `batch` brings the first axis behind the other batch axes, `matrix` swaps the
/// last two.
Value turned(FunctionBuilder& ctx, Value x, bool batch, bool matrix) {
  const int rank = ctx.rank(x);
  if (rank < 2 || (!batch && !matrix)) return x;
  std::vector<int64_t> perm;
  for (int d = 0; d < rank; ++d) perm.push_back(d);
  if (batch) std::rotate(perm.begin(), perm.begin() + 1, perm.end() - 1);
  if (matrix) std::swap(perm[perm.size() - 2], perm[perm.size() - 1]);
  return ctx.transpose(x, perm);
}

void write_matmul(FunctionBuilder& ctx) {
  const auto flag = [&](const char* key) { return ctx.node().attr_int(key, 0) != 0; };
  const Value a = turned(ctx, ctx.input(0), flag("transBatchA"), flag("transA"));
  const Value b = turned(ctx, ctx.input(1), flag("transBatchB"), flag("transB"));
  const float alpha = ctx.node().attr_float("alpha", 1);
  if (alpha == 1) {
    ctx.output(0, "MatMul", {a, b});
    return;
  }
  const Value product = ctx.add("MatMul", {a, b});
  ctx.output(0, "Mul", {product, ctx.scalar(ctx.dtype(product), alpha)});
}

void write_gemm(FunctionBuilder& ctx) {
  const Value y = ctx.add("Gemm", {ctx.input(0), ctx.input(1), ctx.input(2)},
                          ctx.attributes({"alpha", "beta", "transA", "transB"}));
  std::vector<float> parameters;
  for (const char* key : {"activation_alpha", "activation_beta", "activation_gamma"})
    if (ctx.node().attributes.contains(key)) parameters.push_back(ctx.node().attr_float(key, 0));
  ctx.output(0, "Identity", {activate(ctx, y, ctx.node().attr_string("activation", ""), parameters)});
}

void write_conv(FunctionBuilder& ctx) {
  Value y = ctx.add("Conv", {ctx.input(0), ctx.input(1), ctx.input(2)},
                    ctx.attributes({"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}));
  if (ctx.has_input(3)) y = ctx.add("Add", {y, ctx.input(3)});
  y = activate(ctx, y, ctx.node().attr_string("activation", ""), ctx.node().attr_floats("activation_params"));
  ctx.output(0, "Identity", {y});
}

// --- activations

void write_gelu(FunctionBuilder& ctx, const char* approximate) {
  Value x = ctx.input(0);
  if (ctx.has_input(1)) x = ctx.add("Add", {x, ctx.input(1)});
  ctx.output(0, "Gelu", {x}, {{"approximate", std::string(approximate)}}, 20);
}

void write_quick_gelu(FunctionBuilder& ctx) {
  const Value x = ctx.input(0);
  const double alpha = ctx.node().attr_float("alpha", 1.702F);
  const Value gate = ctx.add("Sigmoid", {ctx.add("Mul", {x, ctx.scalar(ctx.dtype(x), alpha)})});
  ctx.output(0, "Mul", {x, gate});
}

// --- older forms

void write_expand_dims(FunctionBuilder& ctx) {
  const Value axis = ctx.reshape(ctx.cast(ctx.input(1), DType::i64), {1});
  ctx.output(0, "Unsqueeze", {ctx.input(0), axis});
}

void write_gather_nd(FunctionBuilder& ctx) {
  ctx.output(0, "GatherND", {ctx.input(0), ctx.cast(ctx.input(1), DType::i64)});
}

void write_trilu(FunctionBuilder& ctx) {
  ctx.output(0, "Trilu", {ctx.input(0), ctx.input(1)}, ctx.attributes({"upper"}), 14);
}

void write_range(FunctionBuilder& ctx) {
  const Value step = ctx.has_input(2) ? ctx.reshaped_scalar(ctx.input(2)) : ctx.scalar(ctx.dtype(ctx.input(0)), 1);
  ctx.output(0, "Range", {ctx.reshaped_scalar(ctx.input(0)), ctx.reshaped_scalar(ctx.input(1)), step});
}

void write_pad(FunctionBuilder& ctx) {
  const Value value = ctx.has_input(2) ? ctx.reshaped_scalar(ctx.input(2)) : kNone;
  ctx.output(0, "Pad", {ctx.input(0), ctx.reshape(ctx.input(1), {-1}), value}, ctx.attributes({"mode"}));
}

/// Its outputs are the unique elements in their first order, where each element lies among them, and how often each is
/// there: the first, third and fourth of ai.onnx's operator.
void write_unique(FunctionBuilder& ctx) {
  const FunctionBuilder::Values all = ctx.add_many("Unique", {ctx.input(0)}, 4, {{"sorted", int64_t{0}}});
  for (const auto& [to, from] : {std::pair<size_t, size_t>(0, 0), {1, 2}, {2, 3}})
    if (ctx.has_output(to)) ctx.output(to, "Identity", {all[from]});
}

void write_nhwc_max_pool(FunctionBuilder& ctx) {
  const int rank = ctx.rank(ctx.input(0));
  if (rank < 3) ctx.fail(fmt::format("its input has rank {}, which must be at least 3", rank));
  std::vector<int64_t> first = {0, rank - 1}, last = {0};
  for (int d = 1; d + 1 < rank; ++d) first.push_back(d);
  for (int d = 2; d < rank; ++d) last.push_back(d);
  last.push_back(1);
  const Value y = ctx.add("MaxPool", {ctx.transpose(ctx.input(0), first)},
                          ctx.attributes({"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"}));
  ctx.output(0, "Transpose", {y}, {{"perm", last}});
}

}  // namespace

void register_contrib_fused(Catalogue& catalogue) {
  for (const char* name : {"FusedMatMul", "TransposeMatMul"}) add_contrib(catalogue, name, 2, 2, 1, write_matmul);
  add_contrib(catalogue, "FusedGemm", 2, 3, 1, write_gemm);
  add_contrib(catalogue, "FusedConv", 2, 4, 1, write_conv);
  const auto gelu = [](const char* approximate) {
    return [approximate](FunctionBuilder& ctx) { write_gelu(ctx, approximate); };
  };
  add_contrib(catalogue, "Gelu", 1, 1, 1, gelu("none"));
  add_contrib(catalogue, "BiasGelu", 2, 2, 1, gelu("none"));
  add_contrib(catalogue, "FastGelu", 1, 2, 1, gelu("tanh"));
  add_contrib(catalogue, "QuickGelu", 1, 1, 1, write_quick_gelu);
  add_contrib(catalogue, "ExpandDims", 2, 2, 1, write_expand_dims);
  add_contrib(catalogue, "GatherND", 2, 2, 1, write_gather_nd);
  add_contrib(catalogue, "Trilu", 1, 2, 1, write_trilu);
  add_contrib(catalogue, "Range", 2, 3, 1, write_range);
  add_contrib(catalogue, "Pad", 2, 3, 1, write_pad);
  add_contrib(catalogue, "Unique", 1, 1, 3, write_unique);
  add_contrib(catalogue, "NhwcMaxPool", 1, 1, 1, write_nhwc_max_pool);
}

}  // namespace rooftune::ops
