#include "pipeline/trial.h"

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "measure/load.h"
#include "measure/statistics.h"
#include "measure/timing.h"
#include "ops/op.h"
#include "pipeline/data.h"
#include "pipeline/free_dims.h"
#include "pipeline/optimize_report.h"
#include "tune/whole_model.h"
#include "verify/inputs.h"

namespace rooftune::pipeline {

void measure_interleaved(const std::vector<Side*>& sides, const std::vector<ir::Tensor>& inputs, double seconds,
                         int least, const Cancelled& cancelled) {
  for (auto* side : sides) {
    side->outputs.clear();
    side->run(inputs);
  }
  const double start = measure::now_seconds();
  for (int round = 0; round < (cancelled.requested() ? 1 : least) ||
                      (measure::now_seconds() - start < seconds && round < 2000 && !cancelled.requested());
       ++round) {
    for (auto* side : sides) {
      const double t = measure::now_seconds();
      side->run(inputs);
      side->ms.push_back((measure::now_seconds() - t) * 1e3);
    }
  }
}

report::Measurement measurement_of(const Side& side, const std::string& label) {
  report::Measurement m;
  m.label = label;
  const auto summary = measure::summarize(side.ms);
  m.p50_ms = summary.p50;
  m.p95_ms = summary.p95;
  m.min_ms = summary.min;
  m.runs = summary.count;
  const auto roof = roof_of(side.executable.program(), side.context->threads());
  m.roofline_ms = roof.total_ms;
  m.direct_roofline_ms = roof.direct_ms;
  m.size_mb = constant_mb(side.executable.program());
  m.peak_memory_mb = *m.size_mb + static_cast<double>(side.context->bytes()) / 1e6;
  return m;
}

std::vector<std::vector<double>> step_times(const std::vector<Side*>& sides, const std::vector<ir::Tensor>& inputs,
                                            const Cancelled& cancelled) {
  constexpr int kRuns = 5;
  std::vector<std::vector<std::vector<double>>> times(sides.size());  // by side and step
  for (auto* side : sides) side->outputs.clear();
  for (int r = 0; r < kRuns && (r == 0 || !cancelled.requested()); ++r)
    for (size_t s = 0; s < sides.size(); ++s) {
      const auto steps = sides[s]->executable.profile(*sides[s]->context, inputs, sides[s]->outputs);
      times[s].resize(steps.size());
      for (size_t i = 0; i < steps.size(); ++i) times[s][i].push_back(steps[i].milliseconds);
    }
  std::vector<std::vector<double>> medians(sides.size());
  for (size_t s = 0; s < sides.size(); ++s)
    for (const auto& step : times[s]) medians[s].push_back(measure::median(step));
  return medians;
}

std::vector<Golden> golden_runs(const ir::Graph& original, const std::string& data, uint64_t seed, Progress& progress,
                                const Cancelled& cancelled) {
  verify::InputGenerator generator(original, seed + 1);
  std::vector<std::vector<ir::Tensor>> inputs;
  for (const auto& size : special_sizes(original)) {
    generator.set_sizes(size);
    inputs.push_back(generator.next());
  }
  for (int i = 0; i < kRandomSamples; ++i) {
    // References take long on the largest size of free dimensions, where programs are compared instead.
    if (has_free_dims(original)) generator.draw_sizes();
    inputs.push_back(generator.next());
  }
  const size_t random = inputs.size();
  Data given;
  if (!data.empty()) given = read_data(original, data);
  for (auto& sample : given.samples) inputs.push_back(std::move(sample));
  std::vector<Golden> runs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto& one = inputs[i];
    progress.report("computing what the outputs should be", static_cast<double>(runs.size()),
                    static_cast<double>(inputs.size()));
    if (!runs.empty() && cancelled.requested()) break;
    std::vector<ir::Tensor> outputs;
    try {
      outputs = ops::evaluate(original, one);
    } catch (const InputError&) {
      if (!has_free_dims(original)) throw;
      continue;  // no size of the model
    }
    auto& run = runs.emplace_back(Golden{std::move(one), std::move(outputs), i >= random, {}});
    if (!run.data || given.labels.empty()) continue;
    const size_t each = given.labels.size() / given.samples.size();
    const auto first = given.labels.begin() + static_cast<std::ptrdiff_t>((i - random) * each);
    run.labels.assign(first, first + static_cast<std::ptrdiff_t>(each));
  }
  if (runs.empty())
    throw InputError("the model takes none of the sizes that were tried: raise the lower bounds of --dim");
  return runs;
}

verify::Comparison golden_check(const std::vector<Golden>& runs, const ir::Graph& original, Side& candidate) {
  std::optional<verify::Comparison> worst;
  for (const auto& golden : runs) {
    candidate.outputs.clear();  // their sizes may differ from sample to sample
    candidate.run(golden.inputs);
    const auto comparison = verify::compare(verify::output_names(original), candidate.outputs, golden.outputs);
    worst = worst ? verify::worse(*worst, comparison) : comparison;
  }
  return *worst;
}

size_t scores_of(const Golden& golden, const ir::Graph& original, const std::string& data) {
  if (!golden.data) return 0;
  const int output = verify::scores_output(golden.outputs);
  if (output < 0)
    throw InputError(
        "accuracy on {}: no output of the model holds scores of classes: floating-point numbers whose last dimension "
        "has two or more",
        data);
  const auto& scores = golden.outputs[static_cast<size_t>(output)];
  const auto rows = static_cast<size_t>(scores.size() / scores.dim(-1));
  if (!golden.labels.empty() && golden.labels.size() != rows)
    throw InputError("accuracy on {}: 'labels' has {} for each sample, output '{}' has {} rows of scores", data,
                     golden.labels.size(), verify::output_names(original)[static_cast<size_t>(output)], rows);
  return static_cast<size_t>(output);
}

verify::Accuracy accuracy_on(const std::vector<Golden>& runs, const ir::Graph& original, const std::string& data,
                             Side& candidate) {
  verify::Accuracy accuracy;
  for (const auto& golden : runs) {
    if (!golden.data) continue;
    const size_t output = scores_of(golden, original, data);
    candidate.outputs.clear();
    candidate.run(golden.inputs);
    accuracy.add(golden.outputs[output], candidate.outputs[output], golden.labels);
  }
  if (accuracy.rows == 0) throw InputError("accuracy on {}: there are no samples", data);
  return accuracy;
}

Verified verified_program(const tune::Workload& work, const kernel::Machine& machine, codegen::Codegen& codegen,
                          const tune::TuneOptions& tuning, tune::Tuned& tuned, const std::vector<Golden>& golden,
                          const ir::Graph& original, const verify::Tolerance& tolerance, Progress& progress) {
  constexpr double kTrialSeconds = 60;
  progress.report("assembling", 0, 1);
  const double began = measure::now_seconds();
  auto program = tune::assemble(work, tuned.choices, codegen);
  const double assembling_seconds = measure::now_seconds() - began;
  const bool recalled =
      std::any_of(tuned.logs.begin(), tuned.logs.end(), [](const auto& log) { return log.from_database; });
  Verified result;
  result.assembling_seconds = assembling_seconds;
  if (!recalled || tune::survives(program, tuning.threads, verify::InputGenerator(original, tuning.seed + 3).next(),
                                  kTrialSeconds)) {
    result.side = std::make_unique<Side>(std::move(program), tuning.threads);
    progress.report("verifying", 0, 1);
    result.comparison = golden_check(golden, original, *result.side);
    if (result.comparison.agrees(tolerance)) {
      tune::remember(work, tuned, codegen, tuning);
      return result;
    }
  }
  auto untuned = tune::untuned(work, machine);
  if (result.side && tune::same_choices(untuned.choices, tuned.choices)) return result;
  log_warning("the tuned program {}; the analytical one takes its place",
              result.side ? "is wrong: " + result.comparison.why_not(tolerance) : "does not run");
  const bool runs = result.side != nullptr;
  result.side.reset();
  untuned.logs = std::move(tuned.logs);
  tuned = std::move(untuned);
  result.side = std::make_unique<Side>(tune::assemble(work, tuned.choices, codegen), tuning.threads);
  result.comparison = golden_check(golden, original, *result.side);
  // Where that is no better, it is not the choices that are wrong.
  if (!runs || result.comparison.agrees(tolerance)) tune::forget(work, codegen, tuning);
  return result;
}

}  // namespace rooftune::pipeline
