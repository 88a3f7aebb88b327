// What a model is, from its graph alone: operators with their work, the operator mix, what lives when. Nothing is run.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "ir/graph.h"

namespace rooftune::estimate {

struct OperatorFacts {
  std::string name, op;  // of the node
  double flops = 0;      // arithmetic operations, a multiply-add is two
  double bytes = 0;      // of inputs and outputs that it touches, once
  std::vector<ir::Type> outputs;
  double intensity() const { return bytes > 0 ? flops / bytes : 0; }  // operations per byte
};

struct MemoryPoint {
  std::string node;
  int64_t live_bytes = 0;  // activations (graph inputs and outputs among them) that must exist while the node runs
};

struct Characterization {
  int64_t parameters = 0;       // elements of floating-point and 8-bit or narrower constants, those of bodies included
  int64_t weight_bytes = 0;     // of all constants
  double flops = 0, bytes = 0;  // sums over operators
  double compulsory_bytes = 0;  // weights, inputs and outputs that are touched, once: what no fusion saves
  int64_t peak_activation_bytes = 0;
  std::string peak_node;                 // where that is
  int64_t peak_memory_bytes = 0;         // weights and activations
  std::map<std::string, int> histogram;  // nodes by operator, those of bodies included
  std::vector<OperatorFacts> operators;  // in the graph's order; bodies count within their If, Loop or Scan
  std::vector<MemoryPoint> memory;       // per node, in that order
};

/// Needs inferred, static types: InputError naming a value and its free dimensions otherwise.
Characterization characterize(const ir::Graph& graph);
Json to_json(const Characterization& facts);

/// Bytes of a value: 0 where it is not a tensor of static shape, or holds strings.
double value_bytes(const ir::Graph& graph, ir::ValueId id);

/// InputError naming a value whose shape is not static, and how to make it so.
void require_static(const ir::Graph& graph);

}  // namespace rooftune::estimate
