// Whole models as graphs of their kernels, with the measured time of each step and of the whole.
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "bench/tuning/tuning_bench.h"
#include "measure/statistics.h"
#include "measure/timing.h"
#include "pipeline/trial.h"
#include "tune/step_graph.h"
#include "tune/tuner.h"
#include "verify/inputs.h"

namespace rooftune::bench {
namespace {

Json line_of(const std::string& path, const pipeline::HostTarget& target, codegen::Codegen& codegen, uint64_t seed) {
  const Prepared prepared(path, target);
  const int threads = target.machine.threads;
  const auto untuned = tune::untuned(prepared.work, target.machine);
  const auto graph = tune::step_graph(prepared.work, untuned.choices, prepared.guidance.target);
  pipeline::Side side(tune::assemble(prepared.work, untuned.choices, codegen), threads);
  const auto inputs = verify::InputGenerator(pipeline::load(path).graph, seed).next();
  const Cancelled never;
  pipeline::measure_interleaved({&side}, inputs, 0.7, 9, never);
  const auto step_ms = pipeline::step_times({&side}, inputs, never).front();
  std::map<std::string, double> of_step;
  const auto& program = side.executable.program();
  for (size_t i = 0; i < program.steps.size(); ++i) of_step[program.steps[i].name] += step_ms[i];
  Json json = {{"model", std::filesystem::path(path).stem().string()},
               {"columns", tune::step_feature_version()},
               {"threads", threads},
               {"machine", target.host.key()},
               {"measured_ms", measure::summarize(side.ms).p50},
               {"rough_ms", graph.rough_ms},
               {"edges", Json::array()},
               {"features", Json::array()},
               {"step_ms", Json::array()}};
  for (const auto& [from, to] : graph.edges) json["edges"].push_back({from, to});
  for (size_t i = 0; i < graph.names.size(); ++i) {
    const auto row = graph.features.values.begin() + static_cast<std::ptrdiff_t>(i * graph.features.columns);
    json["features"].push_back(std::vector<float>(row, row + static_cast<std::ptrdiff_t>(graph.features.columns)));
    json["step_ms"].push_back(of_step[graph.names[i]]);  // 0: no step was needed
  }
  return json;
}

}  // namespace

int graphs(const Arguments& arguments) {
  const auto target = target_of(arguments);
  const auto codegen = target.make_codegen();
  std::ofstream out(arguments.text("out", "graphs.jsonl"), std::ios::app);
  const auto seed = static_cast<uint64_t>(arguments.number("seed", 1));
  for (const auto& path : arguments.words) {
    const auto json = line_of(path, target, *codegen, seed);
    out << json.dump() << std::endl;
    fmt::print(stderr, "{}: {} steps, {:.3f} ms\n", path, json["step_ms"].size(), json["measured_ms"].get<double>());
  }
  return 0;
}

}  // namespace rooftune::bench
