#include "passes/opset.h"

#include "passes/edit.h"

namespace rooftune::passes {
namespace {

constexpr int kOldestOpset = 13;

/// Operators that changed their meaning: a node of an earlier opset cannot be restated at or after `version`.
struct Changed {
  std::string_view op;
  int version;
};
constexpr Changed kChanged[] = {{"RoiAlign", 16}, {"GridSample", 20}, {"DFT", 20}, {"GroupNormalization", 21}};

/// Operators whose `axes` became input 1 in opset 18 (ReduceSum's did in 13).
bool has_axes_attribute(const Node& node) {
  return node.domain.empty() && node.op.starts_with("Reduce") && node.since_version < 18 && node.has("axes");
}

bool can_raise(const Graph& graph, int version) {
  bool can = true;
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (!node.domain.empty() || node.since_version >= version) continue;
    can &= node.since_version >= kOldestOpset;
    for (const Changed& changed : kChanged)
      can &= node.op != changed.op || node.since_version >= changed.version || version < changed.version;
  }
  for (NodeId id : graph.order()) {
    for (const auto& body : ir::bodies(graph.node(id))) can &= can_raise(*body, version);
  }
  return can;
}

void restate(Graph& graph, NodeId id, int version) {
  if (has_axes_attribute(graph.node(id)) && version >= 18) {
    const ValueId axes = add_ints(graph, graph.node(id).name + "_axes", graph.node(id).attr_ints("axes"));
    graph.node(id).inputs.resize(1);
    graph.node(id).inputs.push_back(axes);
    graph.node(id).attributes.erase("axes");
  }
  Node& node = graph.node(id);
  if (is_op(node, "Split") && node.since_version < 18 && version >= 18 && node.input(1) == kNone)
    node.attributes["num_outputs"] = static_cast<int64_t>(node.outputs.size());
  node.since_version = version;
}

void raise(Graph& graph, int version) {
  for (NodeId id : std::vector<NodeId>(graph.order())) {
    for (const auto& body : ir::bodies(graph.node(id))) raise(*body, version);
    if (!graph.node(id).domain.empty() || graph.node(id).since_version >= version) continue;
    restate(graph, id, version);
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
