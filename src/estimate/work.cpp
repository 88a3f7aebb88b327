#include "estimate/work.h"

#include <algorithm>
#include <set>

#include "estimate/characterize.h"
#include "ops/op.h"

namespace rooftune::estimate {
namespace {

std::set<ir::ValueId> touched_values(const ir::Node& node) {
  std::set<ir::ValueId> values(node.inputs.begin(), node.inputs.end());
  values.insert(node.outputs.begin(), node.outputs.end());
  values.erase(ir::kNone);
  return values;
}

/// Work of `nodes` together, when only `outside` values move.
Work work_of(const ir::Graph& graph, const std::vector<ir::NodeId>& nodes, const std::set<ir::ValueId>& outside) {
  Work work;
  double spared = 0;
  for (ir::NodeId id : nodes) {
    const ir::Node& node = graph.node(id);
    const ops::Cost cost = ops::cost(graph, node);
    work.flops += cost.flops;
    // A lookup or slice touches less than its whole input; what it leaves alone need not move.
    double all = 0, from_outside = 0;
    for (ir::ValueId value : touched_values(node)) {
      const double bytes = value_bytes(graph, value);
      all += bytes;
      if (outside.contains(value)) from_outside += bytes;
    }
    spared += std::clamp(all - cost.bytes, 0.0, from_outside);
  }
  for (ir::ValueId value : outside) work.bytes += value_bytes(graph, value);
  work.bytes = std::max(0.0, work.bytes - spared);
  return work;
}

}  // namespace

Work node_work(const ir::Graph& graph, ir::NodeId node) {
  return work_of(graph, {node}, touched_values(graph.node(node)));
}

Work group_work(const ir::Graph& graph, const ir::Group& group) {
  std::set<ir::ValueId> outside(group.inputs.begin(), group.inputs.end());
  outside.insert(group.outputs.begin(), group.outputs.end());
  outside.erase(ir::kNone);
  return work_of(graph, group.nodes, outside);
}

Work model_work(const ir::Graph& graph) {
  std::set<ir::ValueId> outside(graph.outputs.begin(), graph.outputs.end());
  for (ir::NodeId id : graph.order())
    for (ir::ValueId input : graph.node(id).inputs)
      if (input != ir::kNone && graph.value(input).producer == ir::kNone) outside.insert(input);
  return work_of(graph, graph.order(), outside);
}

ir::Partition one_group_per_node(const ir::Graph& graph) {
  ir::Partition partition;
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    ir::Group& group = partition.groups.emplace_back();
    group.name = node.name;
    group.nodes = {id};
    for (ir::ValueId input : node.inputs)
      if (input != ir::kNone && std::find(group.inputs.begin(), group.inputs.end(), input) == group.inputs.end())
        group.inputs.push_back(input);
    for (ir::ValueId output : node.outputs)
      if (output != ir::kNone) group.outputs.push_back(output);
  }
  return partition;
}

double roofline_ms(const Work& work, const hardware::Spec& spec, const std::string& precision) {
  const double arithmetic = work.flops > 0 ? work.flops / spec.peak(precision) : 0;
  return 1e3 * std::max(arithmetic, spec.transfer_seconds(work.bytes));
}

double arithmetic_seconds(double operations, const std::map<std::string, double>& dots, const hardware::Spec& spec) {
  double seconds = 0;
  for (const auto& [precision, share] : dots) {
    const auto peak = spec.peak_flops.find(precision);
    seconds += share / (peak == spec.peak_flops.end() ? spec.peak("f32") : peak->second);
    operations -= share;
  }
  return seconds + std::max(0.0, operations) / spec.peak("f32");
}

bool memory_bound(const Work& work, const hardware::Spec& spec, const std::string& precision) {
  return spec.transfer_seconds(work.bytes) > work.flops / spec.peak(precision);
}

}  // namespace rooftune::estimate
