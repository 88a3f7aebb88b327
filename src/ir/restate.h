// Operators of ai.onnx that changed between versions, and how a node of one version is spelled in a newer one. Exporting
// needs it (a file has one version), and passes that put operators in which the model's own version lacks.
#pragma once
#include "ir/graph.h"

namespace rooftune::ir {

/// Whether the node (of version 13 or newer) has a spelling in `version` that means the same.
bool can_restate(const Node& node, int version);

/// Spells the node as `version` does; its meaning stays. Nothing happens to a node of that version or a newer one.
/// Only where can_restate says so.
void restate(Graph& graph, NodeId id, int version);

}  // namespace rooftune::ir
