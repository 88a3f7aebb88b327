#include "ir/restate.h"

#include <algorithm>

namespace rooftune::ir {
namespace {

/// Operators that changed their meaning beyond what attributes express, and the first version with the new one.
constexpr std::pair<std::string_view, int> kIncompatible[] = {{"GroupNormalization", 21}};

constexpr std::string_view kReductions[] = {"ReduceL1",   "ReduceL2",  "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                                            "ReduceMean", "ReduceMin", "ReduceProd",   "ReduceSumSquare"};

void axes_to_input(Graph& graph, Node& node) {
  const auto it = node.attributes.find("axes");
  if (it == node.attributes.end()) return;
  const std::vector<int64_t> axes = node.attr_ints("axes");
  node.attributes.erase(it);
  node.inputs.resize(2, kNone);
  node.inputs[1] = graph.add_constant(node.name + "_axes",
                                      Tensor::of<int64_t>(DType::i64, {static_cast<int64_t>(axes.size())}, axes));
}

void rename_mode(Node& node) {
  const std::string mode = node.attr_string("mode", "bilinear");
  if (mode == "bilinear") node.attributes["mode"] = std::string("linear");
  if (mode == "bicubic") node.attributes["mode"] = std::string("cubic");
}

}  // namespace

bool can_restate(const Node& node, int version) {
  if (!node.domain.empty()) return true;
  return std::none_of(std::begin(kIncompatible), std::end(kIncompatible), [&](const auto& changed) {
    return node.op == changed.first && node.since_version < changed.second && changed.second <= version;
  });
}

void restate(Graph& graph, NodeId id, int version) {
  Node& node = graph.node(id);
  if (!node.domain.empty() || node.since_version >= version) return;
  RT_CHECK(can_restate(node, version), "{} at opset {}", node.label(), version);
  const auto crosses = [&](int at) { return node.since_version < at && at <= version; };
  // The mode that was the default (and at first the only one) got a name when another became the default.
  if (crosses(16) && node.op == "RoiAlign" && !node.has("coordinate_transformation_mode"))
    node.attributes["coordinate_transformation_mode"] = std::string("output_half_pixel");
  if (crosses(18) && std::find(std::begin(kReductions), std::end(kReductions), node.op) != std::end(kReductions))
    axes_to_input(graph, node);
  if (crosses(18) && node.op == "Split" && node.input(1) == kNone)
    node.attributes["num_outputs"] = static_cast<int64_t>(node.outputs.size());
  if (crosses(20) && node.op == "GridSample") rename_mode(node);
  node.since_version = version;
}

}  // namespace rooftune::ir
