// Do two runs of a model agree? The golden check behind every claim that an optimised model is right.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "ir/graph.h"

namespace rooftune::verify {

struct Tolerance {
  double relative = 1e-4;        // of floating-point outputs: ‖a − b‖ / ‖b‖ over the whole output
  double mismatch_fraction = 0;  // of integer, boolean and string outputs: elements that may differ
};

/// What rounding may come to in a run of this model: 1e-4. Where values are quantised on the way a sum in another order
/// becomes the next level now and then, and layer after layer multiplies that: two runtimes that are both right differ by
/// 5 to 35 % on deep models (a wrong result by about 140 %), so 0.5, and as much of the integers. Where only weights are
/// (to 4 or 8 bits, which are off by percents) activations may be rounded to 16 bits, so 1e-3.
Tolerance default_tolerance(const ir::Graph& graph);

/// One output of both runs. Elements that are NaN on both sides, or the same infinity, agree and take no part in the norms.
struct OutputComparison {
  std::string name;
  std::string problem;  // why they cannot be compared (types differ); empty otherwise
  bool exact = false;   // integer, boolean or string: judged by mismatch_fraction
  int64_t elements = 0;
  double relative_error = 0;  // ‖a − b‖ / ‖b‖; infinite where NaN or infinities differ, or ‖b‖ = 0 ≠ ‖a‖
  double max_abs_error = 0;
  double cosine = 1;                 // of a and b as vectors; 1 where both are zero
  int64_t nonfinite_mismatches = 0;  // elements where one side has a NaN or infinity that the other has not
  double mismatch_fraction = 0;      // elements that are not equal

  bool agrees(const Tolerance& tolerance) const;
};

struct Comparison {
  std::vector<OutputComparison> outputs;
  double max_rel_error() const;  // over the floating-point outputs
  bool agrees(const Tolerance& tolerance) const;
  /// "output 'y': relative error 2.1e-3 (1e-4 is allowed)"; empty where it agrees.
  std::string why_not(const Tolerance& tolerance) const;
};

/// `got` against the golden `expected`, both in the order of `names`.
Comparison compare(const std::vector<std::string>& names, const std::vector<ir::Tensor>& got,
                   const std::vector<ir::Tensor>& expected);
/// Per output the worse of both (an output that is not comparable in one is so in the result).
Comparison worse(const Comparison& a, const Comparison& b);

Json to_json(const Comparison& comparison);

using Runner = std::function<std::vector<ir::Tensor>(const std::vector<ir::Tensor>& inputs)>;

struct CheckOptions {
  int rounds = 3;     // random inputs to try
  uint64_t seed = 0;  // 0: a fresh one
};
/// Runs both on the same random inputs (verify/inputs.h), fresh in every round; returns the worst of every output.
Comparison check(const ir::Graph& graph, const Runner& candidate, const Runner& golden,
                 const CheckOptions& options = {});
/// The names of a graph's outputs, in order.
std::vector<std::string> output_names(const ir::Graph& graph);

}  // namespace rooftune::verify
