// How recurrent operators and scans become kernels. They stay as they are in the graph that is exported; the graph that
// is compiled has their steps' nodes in it, between the borders of a flat loop (ops/loop_borders.h), so that these are
// partitioned, laid out, lowered and tuned like all others, and run as often as the loop does.
#pragma once
#include <string>

#include "ir/graph.h"

namespace rooftune::passes {

/// LSTM, GRU and RNN become scans, and scans flat loops, where that is possible: what is left runs by its reference. The
/// last thing that happens to a graph before it is partitioned.
void flatten_loops(ir::Graph& graph);

/// Puts a Scan in the place of every flat loop again: a graph that was compiled (and stands in a package) as one that
/// references and exporters understand. Recurrent operators do not come back.
void restore_scans(ir::Graph& graph);

/// Why a Scan of the graph cannot become a flat loop, empty where it can.
std::string why_not_flat(const ir::Graph& graph, const ir::Node& scan);

}  // namespace rooftune::passes
