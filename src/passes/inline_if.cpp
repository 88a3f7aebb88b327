// Puts the branch that a constant condition takes in the place of its If. Exporters ask about shapes at run time ("is this
// axis 1? then squeeze it"), and once shapes are known the question is a constant. After constant_fold, which makes it
// one; before all that looks for patterns, for an If is a wall to them.
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// Bodies inside the branch capture its values, which are now those of the graph around it.
void recapture(ir::Attribute& attribute, const std::map<ValueId, ValueId>& moved) {
  const auto renamed = [&](const std::shared_ptr<Graph>& body) {
    auto copy = std::make_shared<Graph>(body->clone());
    for (ValueId& v : copy->captures_outer) v = moved.at(v);
    return copy;
  };
  if (auto* body = std::get_if<std::shared_ptr<Graph>>(&attribute)) *body = renamed(*body);
  if (auto* several = std::get_if<std::vector<std::shared_ptr<Graph>>>(&attribute))
    for (auto& body : *several) body = renamed(body);
}

bool inline_branch(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_op(node, "If")) return false;
  const Tensor* condition = graph.constant(node.input(0));
  if (condition == nullptr || condition->size() != 1) return false;
  const std::shared_ptr<Graph> branch = node.attr_graph(condition->as_int(0) != 0 ? "then_branch" : "else_branch");
  if (!branch) return false;

  std::map<ValueId, ValueId> moved = {{kNone, kNone}};
  for (size_t c = 0; c < branch->captures_inner.size(); ++c)
    moved[branch->captures_inner[c]] = branch->captures_outer[c];
  for (size_t v = 0; v < branch->value_capacity(); ++v) {
    const auto inner = static_cast<ValueId>(v);
    if (!branch->value_alive(inner) || moved.contains(inner)) continue;
    const ir::Value& value = branch->value(inner);
    moved[inner] =
        value.constant ? graph.add_constant(value.name, *value.constant) : graph.add_value(value.name, value.type);
  }
  for (NodeId inner : branch->order()) {
    Node copy = branch->node(inner);
    for (ValueId& v : copy.inputs) v = moved.at(v);
    for (ValueId& v : copy.outputs) v = moved.at(v);
    for (auto& [key, attribute] : copy.attributes) recapture(attribute, moved);
    graph.add_node(std::move(copy), id);
  }
  const std::vector<ValueId> outputs = graph.node(id).outputs;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i] != kNone) graph.replace_uses(outputs[i], moved.at(branch->outputs[i]));
  graph.remove_node(id);
  return true;
}

}  // namespace

bool inline_if(Graph& graph, PassContext&) {
  const bool changed = rewrite_nodes(graph, inline_branch);
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
