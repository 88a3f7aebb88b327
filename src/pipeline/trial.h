// Programs on trial: measured side by side, and checked against what the model as given makes of the same inputs.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "pipeline/model.h"
#include "report/report.h"
#include "tune/tuner.h"
#include "verify/accuracy.h"
#include "verify/compare.h"

namespace rooftune::pipeline {

/// One program under measurement.
struct Side {
  explicit Side(runtime::Program program, int threads)
      : executable(std::move(program), threads), context(executable.make_context(threads)) {}
  runtime::Executable executable;
  std::unique_ptr<runtime::Context> context;
  std::vector<ir::Tensor> outputs;
  std::vector<double> ms;
  void run(const std::vector<ir::Tensor>& inputs) { executable.run(*context, inputs, outputs); }
};

/// A B A B …, for `seconds` in all, at least `least` runs each.
void measure_interleaved(const std::vector<Side*>& sides, const std::vector<ir::Tensor>& inputs, double seconds,
                         int least, const Cancelled& cancelled);
report::Measurement measurement_of(const Side& side, const std::string& label);
/// Median milliseconds of every side's steps; A B A B …, so that all see the same machine.
std::vector<std::vector<double>> step_times(const std::vector<Side*>& sides, const std::vector<ir::Tensor>& inputs,
                                            const Cancelled& cancelled);

/// Inputs and what the model as given makes of them, by references.
struct Golden {
  std::vector<ir::Tensor> inputs, outputs;
  bool data = false;            // the user's, not random
  std::vector<int64_t> labels;  // of the user's data: the right classes, where they are given
};

constexpr int kRandomSamples = 2;

/// On fresh random inputs, and on the user's data where there are any; at least one.
std::vector<Golden> golden_runs(const ir::Graph& original, const std::string& data, uint64_t seed, Progress& progress,
                                const Cancelled& cancelled);
verify::Comparison golden_check(const std::vector<Golden>& runs, const ir::Graph& original, Side& candidate);

/// The output that holds scores of classes, of a run on the user's data. InputError as of accuracy_on.
size_t scores_of(const Golden& golden, const ir::Graph& original, const std::string& data);

/// Top-1 accuracy on the user's data, by their labels or else by what the model as given says. InputError naming the data
/// where there are none, where no output holds scores of classes, or where labels are not one for each row of scores.
verify::Accuracy accuracy_on(const std::vector<Golden>& runs, const ir::Graph& original, const std::string& data,
                             Side& candidate);

struct Verified {
  std::unique_ptr<Side> side;
  verify::Comparison comparison;
  double assembling_seconds = 0;  // code generation and layout of the program
};

/// The program of what was tuned. What is right goes into the tuning database; where it is wrong, the database forgets
/// it, and the analytical choices take its place.
Verified verified_program(const tune::Workload& work, const kernel::Machine& machine, codegen::Codegen& codegen,
                          const tune::TuneOptions& tuning, tune::Tuned& tuned, const std::vector<Golden>& golden,
                          const ir::Graph& original, const verify::Tolerance& tolerance, Progress& progress);

}  // namespace rooftune::pipeline
