#include "exporters/onnx/opset.h"

#include <algorithm>

namespace rooftune::exporters::onnx_format {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;

constexpr std::string_view kReductions[] = {"ReduceL1",   "ReduceL2",  "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                                            "ReduceMean", "ReduceMin", "ReduceProd",   "ReduceSumSquare"};

/// Changed in a way that no other attributes express: operator and the first version with the new meaning.
constexpr std::pair<std::string_view, int> kIncompatible[] = {{"GroupNormalization", 21}, {"DFT", 20}};

void axes_to_input(Graph& g, Node& n) {
  const auto it = n.attributes.find("axes");
  if (it == n.attributes.end()) return;
  const std::vector<int64_t> axes = n.attr_ints("axes");
  n.attributes.erase(it);
  n.inputs.resize(2, kNone);
  n.inputs[1] = g.add_constant(n.name + "_axes",
                               ir::Tensor::of<int64_t>(ir::DType::i64, {static_cast<int64_t>(axes.size())}, axes));
}

void rename_mode(Node& n) {
  const std::string mode = n.attr_string("mode", "bilinear");
  if (mode == "bilinear") n.attributes["mode"] = std::string("linear");
  if (mode == "bicubic") n.attributes["mode"] = std::string("cubic");
}

}  // namespace

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
    const int version = n.since_version;
    if (!n.domain.empty() || version == 0 || version == target) continue;
    const auto crosses = [&](int at) { return version < at && at <= target; };
    for (const auto& [op, at] : kIncompatible)
      if (n.op == op && crosses(at))
        throw InputError("{}: it has the meaning of opset {}, which opset {} of the written model cannot express",
                         n.label(), version, target);
    if (crosses(18) && std::find(std::begin(kReductions), std::end(kReductions), n.op) != std::end(kReductions))
      axes_to_input(graph, n);
    if (crosses(18) && n.op == "Split" && n.input(1) == kNone)
      n.attributes["num_outputs"] = static_cast<int64_t>(n.outputs.size());
    if (crosses(20) && n.op == "GridSample") rename_mode(n);
    n.since_version = target;
  }
}

}  // namespace rooftune::exporters::onnx_format
