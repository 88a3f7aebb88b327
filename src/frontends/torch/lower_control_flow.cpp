// torch.cond and while_loop, and the regions that only change how PyTorch records gradients or picks types.
#include <algorithm>

#include "frontends/torch/lowering.h"

namespace rooftune::frontends::torch_format {
namespace {

/// cond(predicate, graph, graph, operands)
void branch(Context& c) {
  const auto* predicate = std::get_if<Number>(&c.at(0));
  const std::vector<ValueId> operands = c.values_at(3, c.count());
  if (predicate != nullptr && predicate->name.empty())
    return c.give_list(c.scope().inlined(c.graph_at(predicate->integer != 0 ? 1 : 2), operands));
  ValueId condition = c.values_at(0, 1).at(0);
  if (condition == kNone) c.fail("the predicate must be a tensor or a number that the graph computes");
  condition = c.cast(condition, DType::boolean);
  const auto then_branch = c.scope().branch(c.graph_at(1), operands);
  const auto else_branch = c.scope().branch(c.graph_at(2), operands);
  std::vector<DType> types;
  for (size_t i = 0; i < c.result_count(); ++i) types.push_back(c.result(i).dtype);
  c.give_list(c.ops("If", {condition}, types, {{"then_branch", then_branch}, {"else_branch", else_branch}}));
}

/// while_loop(condition, body, carried, others)
void loop(Context& c) {
  const std::vector<ValueId> carried = c.values_at(2, 3);
  std::vector<ValueId> operands = carried;
  for (const ValueId v : c.values_at(3, c.count())) operands.push_back(v);
  const ValueId first = c.scope().inlined(c.graph_at(0), operands).at(0);
  const auto body = c.scope().loop_body(c.graph_at(0), c.graph_at(1), operands, carried.size());
  std::vector<ValueId> inputs{kNone, first};
  inputs.insert(inputs.end(), carried.begin(), carried.end());
  std::vector<DType> types;
  for (size_t i = 0; i < c.result_count(); ++i) types.push_back(c.result(i).dtype);
  c.give_list(c.ops("Loop", std::move(inputs), types, {{"body", body}}));
}

/// A region whose graph is the argument `graph`; its operands follow.
Lowering region(size_t graph) {
  return [graph](Context& c) { c.give_list(c.scope().inlined(c.graph_at(graph), c.values_at(graph + 1, c.count()))); };
}

}  // namespace

void register_control_flow(Lowerings& t) {
  t.add("higher_order.cond", branch);
  t.add("higher_order.while_loop", loop);
  t.add("higher_order.wrap_with_set_grad_enabled", region(1));
  t.add("higher_order.wrap_with_autocast", region(4));
}

}  // namespace rooftune::frontends::torch_format
