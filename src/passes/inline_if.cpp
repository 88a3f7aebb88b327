// Puts the branch that a constant condition takes in the place of its If. Exporters ask about shapes at run time ("is this
// axis 1? then squeeze it"), and once shapes are known the question is a constant. After constant_fold, which makes it
// one; before all that looks for patterns, for an If is a wall to them.
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

bool inline_branch(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_op(node, "If")) return false;
  const Tensor* condition = graph.constant(node.input(0));
  if (condition == nullptr || condition->size() != 1) return false;
  const std::shared_ptr<Graph> branch = node.attr_graph(condition->as_int(0) != 0 ? "then_branch" : "else_branch");
  if (!branch) return false;

  std::map<ValueId, ValueId> known;
  for (size_t c = 0; c < branch->captures_inner.size(); ++c)
    known[branch->captures_inner[c]] = branch->captures_outer[c];
  replace_by_body(graph, id, *branch, std::move(known), branch->outputs);
  return true;
}

}  // namespace

bool inline_if(Graph& graph, PassContext&) {
  const bool changed = rewrite_nodes(graph, inline_branch);
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
