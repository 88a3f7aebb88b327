// Products of matrices and of tensors.
#include <algorithm>
#include <optional>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

ValueId swapped_last(Context& c, ValueId x) {
  const int64_t rank = c.rank(x);
  std::vector<int64_t> order = range(rank);
  std::swap(order[static_cast<size_t>(rank - 1)], order[static_cast<size_t>(rank - 2)]);
  return c.transpose(x, order);
}

/// x · weightᵀ + bias
void linear(Context& c) {
  const ValueId x = c.tensor("input"), weight = c.tensor("weight"), bias = c.tensor_or_none("bias");
  if (c.rank_of("input") == 2 && c.rank_of("weight") == 2) {
    std::vector<ValueId> inputs{x, weight};
    if (bias != kNone) inputs.push_back(bias);
    return c.give(c.op("Gemm", std::move(inputs), {{"transB", int64_t{1}}}));
  }
  const ValueId product = c.op("MatMul", {x, c.rank_of("weight") == 2 ? swapped_last(c, weight) : weight});
  c.give(bias == kNone ? product : c.op("Add", {product, bias}));
}

/// beta · self + alpha · (a · b)
Lowering add_product(std::string_view first, std::string_view second) {
  return [first = std::string(first), second = std::string(second)](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand(first, dtype), b = c.operand(second, dtype), sum = c.operand("self", dtype);
    const double alpha = c.real("alpha", 1), beta = c.real("beta", 1);
    if (c.rank_of(first) == 2 && c.rank_of(second) == 2 && dtype == DType::f32)
      return c.give(
          c.op("Gemm", {a, b, sum}, {{"alpha", static_cast<float>(alpha)}, {"beta", static_cast<float>(beta)}}));
    ValueId product = c.op("MatMul", {a, b});
    if (alpha != 1) product = c.op("Mul", {product, c.operand("alpha", dtype)});
    if (beta == 0) return c.give(product);
    c.give(c.op("Add", {product, beta == 1 ? sum : c.op("Mul", {sum, c.operand("beta", dtype)})}));
  };
}

Lowering product(std::string_view first, std::string_view second) {
  return [first = std::string(first), second = std::string(second)](Context& c) {
    const DType dtype = c.result().dtype;
    const ValueId a = c.operand(first, dtype);
    c.give(c.op("MatMul", {a, c.operand(second, dtype)}));
  };
}

void outer(Context& c) {
  const DType dtype = c.result().dtype;
  const ValueId a = c.unsqueeze(c.operand("self", dtype), {1});
  c.give(c.op("Mul", {a, c.operand(c.has("vec2") ? "vec2" : "other", dtype)}));
}

/// The labels of each operand and of the result; nothing where the equation does not spell them all out.
std::optional<std::pair<std::vector<std::string>, std::string>> labels_of(std::string equation) {
  std::erase(equation, ' ');
  const size_t arrow = equation.find("->");
  if (arrow == std::string::npos || equation.find('.') != std::string::npos) return std::nullopt;
  std::vector<std::string> operands(1);
  for (const char letter : equation.substr(0, arrow)) {
    if (letter == ',') operands.emplace_back();
    else operands.back() += letter;
  }
  return std::pair(operands, equation.substr(arrow + 2));
}

/// Of more than two operands two at a time, from the left; a label goes where nothing after it needs it.
void einsum(Context& c) {
  const std::string equation = c.text("equation", "");
  std::vector<ValueId> operands;
  for (const ValueId v : c.tensors("tensors")) operands.push_back(c.cast(v, c.result().dtype));
  if (operands.empty()) c.fail("it has no operands");
  const auto labels = labels_of(equation);
  if (operands.size() <= 2 || !labels || labels->first.size() != operands.size())
    return c.give(c.op("Einsum", std::move(operands), {{"equation", equation}}));
  ValueId product = operands[0];
  std::string left = labels->first[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    const std::string& right = labels->first[i];
    std::string needed = labels->second, kept;
    for (size_t k = i + 1; k < operands.size(); ++k) needed += labels->first[k];
    if (i + 1 == operands.size()) {
      kept = labels->second;
    } else {
      for (const char letter : left + right)
        if (needed.find(letter) != std::string::npos && kept.find(letter) == std::string::npos) kept += letter;
    }
    product = c.op("Einsum", {product, operands[i]}, {{"equation", left + "," + right + "->" + kept}});
    left = kept;
  }
  c.give(product);
}

/// x1ᵀ · weight · x2 + bias, of the last axes; weight is [out, in1, in2].
void bilinear(Context& c) {
  const ValueId a = c.tensor("input1"), b = c.tensor("input2");
  const ValueId y = c.op("Einsum", {a, c.tensor("weight"), b}, {{"equation", std::string("...i,oij,...j->...o")}});
  c.give(c.has("bias") ? c.op("Add", {y, c.tensor("bias")}) : y);
}

/// tensordot(self, other, dims_self, dims_other): the axes to sum over come last and first, then it is a matrix product.
void tensordot(Context& c) {
  const ir::Shape &a = c.shape_of_argument("self"), &b = c.shape_of_argument("other");
  const std::vector<int64_t> da = c.integers("dims_self"), db = c.integers("dims_other");
  if (!ir::is_static(a) || !ir::is_static(b) || da.size() != db.size()) c.fail("only static shapes are supported");
  const auto arrange = [&](const ir::Shape& shape, const std::vector<int64_t>& dims, bool last) {
    const auto rank = static_cast<int64_t>(shape.size());
    std::vector<int64_t> summed, kept;
    for (const int64_t d : dims) summed.push_back(c.axis(d, rank));
    for (int64_t i = 0; i < rank; ++i)
      if (std::find(summed.begin(), summed.end(), i) == summed.end()) kept.push_back(i);
    int64_t size = 1;
    for (const int64_t i : summed) size *= shape[static_cast<size_t>(i)].value();
    auto& order = last ? kept : summed;
    order.insert(order.end(), (last ? summed : kept).begin(), (last ? summed : kept).end());
    return std::pair(order, size);
  };
  const auto [order_a, size] = arrange(a, da, true);
  const auto [order_b, same_size] = arrange(b, db, false);
  if (size != same_size) c.fail("the axes to sum over differ in size");
  const ValueId left = c.reshape(c.transpose(c.tensor("self"), order_a), {-1, size});
  const ValueId right = c.reshape(c.transpose(c.tensor("other"), order_b), {size, -1});
  c.give(c.reshape(c.op("MatMul", {left, right}), ir::static_values(c.result().shape)));
}

}  // namespace

void register_contractions(Lowerings& t) {
  t.add("aten.linear.default", linear);
  t.add("aten.addmm.default", add_product("mat1", "mat2"));
  t.add("aten.addmv.default", add_product("mat", "vec"));
  t.add({"aten.baddbmm.default"}, add_product("batch1", "batch2"));
  t.add("aten.mm.default", product("self", "mat2"));
  t.add("aten.bmm.default", product("self", "mat2"));
  t.add("aten.mv.default", product("self", "vec"));
  t.add({"aten.matmul.default", "aten.linalg_matmul.default"}, product("self", "other"));
  t.add("aten.dot.default", product("self", "tensor"));
  t.add({"aten.outer.default", "aten.ger.default"}, outer);
  t.add("aten.einsum.default", einsum);
  t.add("aten.bilinear.default", bilinear);
  t.add("aten.tensordot.default", tensordot);
}

}  // namespace rooftune::frontends::torch_format
