// Work and its roof: how many operations and compulsory bytes a node, a group or a model stands for, and the time below
// which no machine of a given spec can do it. Everything that prints a latency prints this beside it.
#pragma once
#include <map>
#include <string>

#include "hardware/spec.h"
#include "ir/graph.h"

namespace rooftune::estimate {

struct Work {
  double flops = 0;  // arithmetic operations
  double bytes = 0;  // that must move at least: inputs, constants and outputs once, as far as they are touched
};

// All need static types.
Work node_work(const ir::Graph& graph, ir::NodeId node);
/// Values that stay inside the group cost no bytes.
Work group_work(const ir::Graph& graph, const ir::Group& group);
/// The whole graph as one group.
Work model_work(const ir::Graph& graph);

/// The nodes of a graph as groups of one each.
ir::Partition one_group_per_node(const ir::Graph& graph);

/// The larger of operations over peak and bytes over bandwidth, in ms. `precision` is that of the arithmetic ("f32").
/// Bytes that fit into caches together are taken to come from there (hardware::Spec::transfer_seconds).
double roofline_ms(const Work& work, const hardware::Spec& spec, const std::string& precision = "f32");
/// Seconds that `operations` take at least, of which `dots` (by precision) run at the peaks of dot products.
double arithmetic_seconds(double operations, const std::map<std::string, double>& dots, const hardware::Spec& spec);
/// Whether the memory side decides.
bool memory_bound(const Work& work, const hardware::Spec& spec, const std::string& precision = "f32");

}  // namespace rooftune::estimate
