// An f32 model in 16 bits: weights and activations are stored as f16 or bf16, inputs and outputs of the model stay as they
// are. It changes what the model computes, within rounding, so it is no pass that runs by itself: who asks for a precision
// runs it, after the passes, which see their patterns and fold constants in f32.
#pragma once
#include <string>
#include <vector>

#include "ir/graph.h"

namespace rooftune::passes {

struct LoweredPrecision {
  int lowered = 0;                 // nodes
  std::vector<std::string> notes;  // which stay f32, and why
};

/// `dtype`: f16 or bf16. Types must be inferred. Numbers that f16 cannot hold become the largest that it can (masks of
/// -1e9). Control flow and what its bodies compute stay f32.
LoweredPrecision lower_precision(ir::Graph& graph, ir::DType dtype);

}  // namespace rooftune::passes
