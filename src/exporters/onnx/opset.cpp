#include "exporters/onnx/opset.h"

#include <algorithm>

#include "ir/restate.h"

namespace rooftune::exporters::onnx_format {

using ir::Graph;
using ir::Node;
using ir::NodeId;

int target_opset(const Graph& graph) {
  const auto it = graph.opsets.find("");
  int target = it == graph.opsets.end() ? 13 : it->second;
  for (const NodeId id : graph.order()) {
    const Node& n = graph.node(id);
    if (n.domain.empty()) target = std::max(target, n.since_version);
    for (const auto& body : ir::bodies(n)) target = std::max(target, target_opset(*body));
  }
  return target;
}

void raise_opset(Graph& graph, int target) {
  for (const NodeId id : std::vector<NodeId>(graph.order())) {
    Node& n = graph.node(id);
    for (const auto& body : ir::bodies(n)) raise_opset(*body, target);
    if (!n.domain.empty() || n.since_version == 0) continue;
    if (!ir::can_restate(n, target))
      throw InputError("{}: it has the meaning of opset {}, which opset {} of the written model cannot express",
                       n.label(), n.since_version, target);
    ir::restate(graph, id, target);
  }
}

}  // namespace rooftune::exporters::onnx_format
