// In how many bits a model's floating-point numbers are held. Kernels compute in f32 whatever it is, but for products of
// bf16 where the processor has an instruction.
#pragma once
#include <string>

#include "ir/graph.h"

namespace rooftune::pipeline {

struct Precision {
  std::string name = "fp32";
  ir::DType dtype = ir::DType::f32;
  /// What ‖out − ref‖ / ‖ref‖ may be against the same model in f32 where the user does not say: a few roundings, added up
  /// over some tens of layers.
  double tolerance = 1e-4;
};

/// "fp32" (f32), "bf16", "fp16" (f16). InputError naming the command and those that there are.
Precision parse_precision(const std::string& command, const std::string& name);

/// What the model's own numbers are held in: of the types of its values the coarsest.
Precision precision_of(const ir::Graph& graph);

/// Lowers an f32 graph, after the passes, to the precision; nothing for fp32.
void lower_to(ir::Graph& graph, const Precision& precision);

}  // namespace rooftune::pipeline
