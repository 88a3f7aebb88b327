// A Scan whose body lies flat in the graph around it, which is how it becomes kernels (passes/flatten_loops.cpp): the
// body's nodes stand between two nodes of our own, which say how values come in and go out. Graphs that a user sees or
// that are exported never hold them.
//
//   LoopBegin(initial states …, scanned …) → (states …, slices …)         `states`: how many; `reversed`: by scanned
//   LoopEnd(counts, next states …, parts …) → (last states …, stacks …)   the same; `counts`: its leading dim is the
//                                                                         number of iterations; `reversed`: by stack
// Scanned tensors and stacks lead with the axis of iterations. A stack or slice that nobody reads is absent.
#pragma once
#include "ops/op.h"

namespace rooftune::ops {

inline constexpr std::string_view kLoopDomain = "rooftune";

inline bool is_loop_begin(const Node& node) { return node.domain == kLoopDomain && node.op == "LoopBegin"; }
inline bool is_loop_end(const Node& node) { return node.domain == kLoopDomain && node.op == "LoopEnd"; }

/// The loops of a graph: nodes from a LoopBegin to its LoopEnd, both included, stand together in its order. InputError
/// naming the node where borders do not pair.
struct FlatLoop {
  ir::NodeId begin = ir::kNone, end = ir::kNone;
  std::vector<ir::NodeId> nodes;  // with both
};
std::vector<FlatLoop> flat_loops(const Graph& graph);

/// How often the loop of a LoopBegin goes round.
inline const Dim& trips(const Graph& graph, const Node& begin) {
  return graph.type(begin.inputs.at(static_cast<size_t>(begin.attr_int("states", 0)))).shape()[0];
}

/// What a Scan says of its inputs and outputs; InputError naming the node where it is inconsistent.
struct ScanPlan {
  size_t states = 0, scan_inputs = 0, scan_outputs = 0;
  std::vector<int64_t> input_axes, input_reversed, output_axes, output_reversed;  // axes as stated, maybe negative
};
ScanPlan scan_plan(const Node& node, const Graph& body);

}  // namespace rooftune::ops
