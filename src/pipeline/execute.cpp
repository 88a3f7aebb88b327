// Commands that run a model: run, profile, verify.
#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "ir/npy.h"
#include "measure/load.h"
#include "measure/statistics.h"
#include "pipeline/commands.h"
#include "pipeline/data.h"
#include "pipeline/model.h"
#include "verify/compare.h"
#include "verify/inputs.h"

namespace rooftune::pipeline {
namespace {

/// File name of an output: everything that a file system might mind becomes '_'.
std::string file_name(const std::string& value) {
  std::string name = value;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') c = '_';
  return name + ".npy";
}

std::vector<ir::Tensor> run_once(const runtime::Executable& executable, runtime::Context& context,
                                 const std::vector<ir::Tensor>& inputs) {
  std::vector<ir::Tensor> outputs;
  executable.run(context, inputs, outputs);
  return outputs;
}

}  // namespace

Json run(const Json& json, Progress& progress, const Cancelled&) {
  const Request request(json, "run", {"model", "input", "output_dir", "dim", "threads", "seed"});
  const Model model = load(request);
  require_static(model);
  const auto target = host_target(request);
  const int threads = target.machine.threads;
  const auto inputs =
      read_inputs(model.graph, request.texts("input"), static_cast<uint64_t>(request.integer("seed", 0)));
  progress.report("compiling", 0, 2);
  const runtime::Executable executable(compile(model, target));
  auto context = executable.make_context(threads);
  progress.report("running", 1, 2);
  const double start = measure::now_seconds();
  const auto outputs = run_once(executable, *context, inputs);
  const double seconds = measure::now_seconds() - start;
  Json result = {
      {"model", model.path}, {"threads", threads}, {"outputs", Json::array()}, {"latency_ms", seconds * 1e3}};
  const auto roof = roof_of(executable.program(), threads);
  result["roofline_ms"] = roof.total_ms;
  result["roofline_fraction"] = roof.total_ms / (seconds * 1e3);
  const std::string folder = request.text("output_dir", "");
  std::optional<AtomicDirectory> out;
  if (!folder.empty()) out.emplace(folder);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto& name = model.graph.value(model.graph.outputs[i]).name;
    Json one = {{"name", name}, {"dtype", std::string(ir::name(outputs[i].dtype()))}, {"shape", outputs[i].shape()}};
    if (out) {
      ir::write_npy(out->file(file_name(name)), outputs[i]);
      one["file"] = (std::filesystem::path(folder) / file_name(name)).string();
    }
    result["outputs"].push_back(one);
  }
  if (out) out->commit();
  return result;
}

Json profile(const Json& json, Progress& progress, const Cancelled&) {
  const Request request(json, "profile", {"model", "input", "dim", "threads", "seed", "runs"});
  const Model model = load(request);
  require_static(model);
  const auto target = host_target(request);
  const int threads = target.machine.threads;
  const auto inputs =
      read_inputs(model.graph, request.texts("input"), static_cast<uint64_t>(request.integer("seed", 0)));
  progress.report("compiling", 0, 2);
  const runtime::Executable executable(compile(model, target));
  auto context = executable.make_context(threads);
  const auto& program = executable.program();
  std::vector<ir::Tensor> outputs;
  executable.run(*context, inputs, outputs);
  const int64_t runs = std::clamp<int64_t>(request.integer("runs", 11), 1, 10000);
  std::vector<std::vector<double>> times(program.steps.size());
  progress.report("measuring", 1, 2);
  for (int64_t r = 0; r < runs; ++r) {
    const auto steps = executable.profile(*context, inputs, outputs);
    for (size_t i = 0; i < steps.size(); ++i) times[i].push_back(steps[i].milliseconds);
  }
  const auto roof = roof_of(program, threads);
  Json operators = Json::array();
  double total = 0;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const auto& step = program.steps[i];
    const double ms = measure::median(times[i]);
    total += ms;
    Json one = {{"name", step.name},
                {"nodes", step.nodes},
                {"ms", ms},
                {"flops", step.flops},
                {"bytes", step.bytes},
                {"gflops", step.flops / ms / 1e6},
                {"gbps", step.bytes / ms / 1e6},
                {"roofline_ms", roof.step_ms[i]},
                {"roofline_fraction", ms > 0 ? roof.step_ms[i] / ms : 0}};
    if (!step.why.empty()) one["reference"] = step.why;
    operators.push_back(one);
  }
  return {{"model", model.path},
          {"threads", threads},
          {"operators", operators},
          {"total_ms", total},
          {"roofline_ms", roof.total_ms},
          {"direct_roofline_ms", roof.direct_ms},
          {"roofline_fraction", roof.total_ms / total},
          {"arena_bytes", program.arena_bytes}};
}

Json verify(const Json& json, Progress& progress, const Cancelled& cancelled) {
  const Request request(json, "verify",
                        {"model", "other", "input", "dim", "threads", "seed", "max_rel_error", "samples", "data"});
  const Model a = load(request.text("model"), parse_pairs(request.texts("dim"), "--dim"));
  const Model b = load(request.text("other"), {});
  require_static(a);
  const auto target = host_target(request);
  const int threads = target.machine.threads;
  if (a.graph.inputs.size() != b.graph.inputs.size() || a.graph.outputs.size() != b.graph.outputs.size())
    throw InputError("verify: {} has {} inputs and {} outputs, {} has {} and {}", a.path, a.graph.inputs.size(),
                     a.graph.outputs.size(), b.path, b.graph.inputs.size(), b.graph.outputs.size());
  progress.report("compiling", 0, 2);
  const runtime::Executable first(compile(a, target)), second(compile(b, target));
  auto first_context = first.make_context(threads), second_context = second.make_context(threads);
  verify::Tolerance tolerance;
  tolerance.relative = request.number("max_rel_error", 1e-4);
  std::vector<std::vector<ir::Tensor>> samples;
  if (request.has("data")) {
    samples = read_samples(a.graph, request.text("data"));
  } else {
    const auto seed = static_cast<uint64_t>(request.integer("seed", 0));
    const int64_t count = std::clamp<int64_t>(request.integer("samples", 3), 1, 1000);
    for (int64_t i = 0; i < count; ++i)
      samples.push_back(read_inputs(a.graph, request.texts("input"), seed == 0 ? 0 : seed + static_cast<uint64_t>(i)));
  }
  std::optional<verify::Comparison> worst;
  for (size_t i = 0; i < samples.size() && !(i > 0 && cancelled.requested()); ++i) {
    progress.report("comparing", static_cast<double>(i), static_cast<double>(samples.size()));
    const auto comparison =
        verify::compare(verify::output_names(a.graph), run_once(second, *second_context, samples[i]),
                        run_once(first, *first_context, samples[i]));
    worst = worst ? verify::worse(*worst, comparison) : comparison;
  }
  Json result = {{"model", a.path},
                 {"other", b.path},
                 {"max_rel_error", worst->max_rel_error()},
                 {"metrics", verify::to_json(*worst)},
                 {"agree", worst->agrees(tolerance)},
                 {"tolerance", tolerance.relative}};
  if (!worst->agrees(tolerance)) result["why"] = worst->why_not(tolerance);
  return result;
}

}  // namespace rooftune::pipeline
