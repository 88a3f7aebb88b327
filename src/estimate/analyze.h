// Predictions: how long a model takes on a target, and what it needs. This first version is the roofline with a margin
// for what well-made kernels leave of it; calibration will replace the margins. A prediction is never a bare number.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "estimate/work.h"
#include "hardware/spec.h"
#include "ir/graph.h"

namespace rooftune::estimate {

struct Estimate {
  double value = 0;
  std::string unit;                // "ms", "inferences/s", "fraction", "bytes", "J"
  double confidence = 0;           // probability that the truth is within the error bound
  std::string calibration_source;  // what the number rests on
  double error_bound_pct = 0;      // |truth − value| / value
};

struct GroupEstimate {
  std::string name, op;  // op: those of its nodes, joined by " + "
  std::vector<std::string> nodes;
  Work work;
  bool memory_bound = false;
  double roofline_ms = 0;
  Estimate latency;
};

struct Analysis {
  std::string target, precision;
  Estimate latency, throughput, utilization, memory, energy;
  double roofline_ms = 0;         // of the whole model as one kernel
  double direct_roofline_ms = 0;  // the same here: no algorithm has been chosen yet
  std::vector<GroupEstimate> operators;
};

struct AnalyzeOptions {
  std::string precision = "f32";  // of arithmetic, weights and activations
  double batch = 1;               // inferences that one run stands for, for the throughput
};

/// InputError for shapes that are not static or an unknown precision.
Analysis analyze(const ir::Graph& graph, const ir::Partition& partition, const hardware::Spec& spec,
                 const AnalyzeOptions& options = {});
/// One group per node.
Analysis analyze(const ir::Graph& graph, const hardware::Spec& spec, const AnalyzeOptions& options = {});

Json to_json(const Estimate& estimate);
Json to_json(const Analysis& analysis);

}  // namespace rooftune::estimate
