// Operators of ai.onnx before opset 13, written as opset 13 has them. From opset 13 on, what changes is handled in the
// operator's own file under ops/.
#pragma once
#include "ir/graph.h"

namespace rooftune::frontends::onnx_format {

inline constexpr int kModernOpset = 13;

/// The opset whose form the node has. Usually that of the model; but onnxruntime's optimiser writes some operators into
/// models older than they are.
int form_of(const ir::Node& node, int model_opset);

/// Adds the node, in the form of opset 13, and whatever else it takes to mean the same. InputError naming the node where
/// its old meaning cannot be had.
void upgrade(ir::Graph& graph, ir::Node node);

}  // namespace rooftune::frontends::onnx_format
