// Operators that a plug-in defines by others become those others, which are then fused and compiled like the rest of the
// model; the graph that is left, and what is exported of it, needs the plug-in no more. After constants are known, since
// an expansion may look at them, and before all that looks for patterns.
//
// Operators of our own that are expanded only where kernels are made of them (LSTM) come much later: after all passes,
// and only in the graph that is compiled.
#include "ops/op.h"
#include "passes/edit.h"
#include "passes/opset.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

/// Why it stays as it is; empty where it was expanded.
std::string expand(Graph& graph, NodeId id, const ops::OpDef& def, Graph& model) {
  const auto expansion = ops::expansion(graph, graph.node(id));
  if (!expansion.rejection().empty()) return expansion.rejection();
  if (model.opsets[""] < def.expand_opset && !raise_opset(model, def.expand_opset))
    return fmt::format("the model cannot be raised to opset {}", def.expand_opset);
  std::map<ValueId, ValueId> known;
  for (size_t i = 0; i < expansion.inputs().size(); ++i) known[expansion.inputs()[i]] = graph.node(id).inputs[i];
  replace_by_body(graph, id, expansion.body(), std::move(known), expansion.outputs());
  return "";
}

bool expand_all(Graph& graph, PassContext& context, bool for_kernels) {
  bool changed = false;
  for (NodeId id : std::vector<NodeId>(graph.order())) {
    const ops::OpDef* def = ops::Catalogue::instance().find(graph.node(id).op, graph.node(id).domain);
    if (def == nullptr || !def->expand || def->expand_for_kernels != for_kernels) continue;
    const std::string name = graph.node(id).name;
    const std::string why = expand(graph, id, *def, context.model);
    if (why.empty()) changed = true;
    else context.notes.push_back(fmt::format("{}: not expanded: {}", name, why));
  }
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace

bool expand_operators(Graph& graph, PassContext& context) { return expand_all(graph, context, false); }

bool expand_for_kernels(Graph& graph, PassContext& context) {
  return &graph == &context.model && expand_all(graph, context, true);  // bodies that are left run by references
}

}  // namespace rooftune::passes
