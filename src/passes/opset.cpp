#include "passes/opset.h"

#include "ir/restate.h"
#include "passes/edit.h"

namespace rooftune::passes {
namespace {

constexpr int kOldestOpset = 13;

bool can_raise(const Graph& graph, int version) {
  bool can = true;
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (!node.domain.empty() || node.since_version >= version) continue;
    can &= node.since_version >= kOldestOpset && ir::can_restate(node, version);
  }
  for (NodeId id : graph.order()) {
    for (const auto& body : ir::bodies(graph.node(id))) can &= can_raise(*body, version);
  }
  return can;
}

void raise(Graph& graph, int version) {
  for (NodeId id : std::vector<NodeId>(graph.order())) {
    for (const auto& body : ir::bodies(graph.node(id))) raise(*body, version);
    ir::restate(graph, id, version);
  }
}

}  // namespace

bool raise_opset(Graph& model, int version) {
  if (!can_raise(model, version)) return false;
  raise(model, version);
  int& stated = model.opsets[""];
  stated = std::max(stated, version);
  return true;
}

}  // namespace rooftune::passes
