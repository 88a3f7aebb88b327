// Raising a model to a newer opset of ONNX, for the passes that put operators in that the model's own opset lacks
// (LayerNormalization is 17, Gelu 20, RMSNormalization 23). The exported model must be valid in the opset it states.
#pragma once
#include "ir/graph.h"

namespace rooftune::passes {

/// Brings every node of the model, bodies included, to the default domain's opset `version`; nothing happens to a model
/// that is there already. Returns false, changing nothing, where a node means something else there and has no
/// equivalent spelling (GroupNormalization before 21), or where the model is older than opset 13.
bool raise_opset(ir::Graph& model, int version);

}  // namespace rooftune::passes
