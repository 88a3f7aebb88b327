// Numbers that the graph computes: sizes of tensors and arithmetic with them. Integers are i64[1], so that they can be
// joined to shapes as they are; real numbers and booleans have rank 0.
#include <algorithm>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

bool real_operand(Context& c, std::string_view name) {
  const auto* n = std::get_if<Number>(&c.argument(name));
  return n != nullptr && n->kind == Number::Kind::real;
}

/// Operands as integers (i64[1]), or as real numbers (f32) where one of them is.
std::pair<ValueId, ValueId> operands(Context& c, bool real) {
  const auto one = [&](std::string_view name) {
    if (real) return c.operand(name, DType::f32);
    return c.Builder::sizes({c.size(name)});
  };
  const ValueId a = one("a");
  return {a, one("b")};
}

Lowering arithmetic(std::string_view op) {
  return [op = std::string(op)](Context& c) {
    const auto [a, b] = operands(c, real_operand(c, "a") || real_operand(c, "b"));
    c.give(c.op(op, {a, b}));
  };
}

Lowering compare(std::string_view op, bool negated = false) {
  return [op = std::string(op), negated](Context& c) {
    const bool real = real_operand(c, "a") || real_operand(c, "b");
    const auto [a, b] = operands(c, real);
    ValueId found = c.op_as(DType::boolean, op, {a, b});
    if (negated) found = c.op("Not", {found});
    c.give(real ? found : c.squeeze(found, {0}));
  };
}

void size(Context& c) {
  const ValueId x = c.tensor("self");
  const Size s = c.size_of(x, c.axis(c.integer("dim"), c.rank_of("self")));
  c.give(c.Builder::sizes({s}));
}

void item(Context& c) {
  const ValueId x = c.tensor("self");
  if (ir::is_float(c.dtype(x))) return c.give(c.cast(c.reshape(x, std::vector<int64_t>{}), DType::f32));
  if (c.dtype(x) == DType::boolean) return c.give(c.reshape(x, std::vector<int64_t>{}));
  c.give(c.reshape(c.cast(x, DType::i64), {1}));
}

void nothing(Context&) {}

}  // namespace

void register_symbolic(Lowerings& t) {
  t.add("aten.sym_size.int", size);
  t.add({"aten.sym_numel.default"},
        [](Context& c) { c.give(c.reshape(c.op_as(DType::i64, "Size", {c.tensor("self")}), {1})); });
  t.add({"aten.item.default", "aten._local_scalar_dense.default"}, item);
  t.add("_operator.add", arithmetic("Add"));
  t.add("_operator.sub", arithmetic("Sub"));
  t.add("_operator.mul", arithmetic("Mul"));
  t.add("_operator.mod", arithmetic("Mod"));
  t.add("_operator.pow", arithmetic("Pow"));
  t.add({"torch.sym_max", "torch._sym_max"}, arithmetic("Max"));
  t.add({"torch.sym_min", "torch._sym_min"}, arithmetic("Min"));
  t.add("_operator.floordiv", [](Context& c) {
    const auto [a, b] = operands(c, false);
    c.give(c.op("Div", {c.op("Sub", {a, c.op("Mod", {a, b})}), b}));
  });
  t.add("_operator.truediv", [](Context& c) {
    const auto [a, b] = operands(c, true);
    c.give(c.op("Div", {a, b}));
  });
  t.add("_operator.neg", [](Context& c) { c.give(c.op("Neg", {c.Builder::sizes({c.size("a")})})); });
  t.add("torch.sym_float", [](Context& c) { c.give(c.operand("a", DType::f32)); });
  t.add("_operator.eq", compare("Equal"));
  t.add("_operator.ne", compare("Equal", true));
  t.add("_operator.lt", compare("Less"));
  t.add("_operator.le", compare("LessOrEqual"));
  t.add("_operator.gt", compare("Greater"));
  t.add("_operator.ge", compare("GreaterOrEqual"));
  // What PyTorch only checks, or tells its compiler.
  t.add({"aten._assert_scalar.default", "aten._assert_async.default", "aten._assert_async.msg",
         "aten._assert_tensor_metadata.default", "aten.sym_constrain_range.default",
         "aten.sym_constrain_range_for_size.default"},
        nothing);
}

}  // namespace rooftune::frontends::torch_format
