// Nodes remember the opset they were read with, and a model may hold several (inlined functions, nodes that passes
// made), but a file has one version per domain: the newest that any node has. This brings the others up to it.
#pragma once
#include "ir/graph.h"

namespace rooftune::exporters::onnx_format {

/// The version of ai.onnx to write: the newest among the graph's own and its nodes', bodies included.
int target_opset(const ir::Graph& graph);

/// Rewrites the nodes of ai.onnx (of 13 or newer) whose form has changed up to `target`. InputError naming a node whose
/// old meaning `target` cannot express.
void raise_opset(ir::Graph& graph, int target);

}  // namespace rooftune::exporters::onnx_format
