// Commands that run a model: run, profile, verify.
#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "ir/npy.h"
#include "measure/load.h"
#include "measure/statistics.h"
#include "pipeline/commands.h"
#include "pipeline/data.h"
#include "pipeline/free_dims.h"
#include "pipeline/model.h"
#include "pipeline/optimize_report.h"
#include "verify/accuracy.h"
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

/// For every value of `to` the position of that of the same name in `from`. InputError naming one that only one model
/// has.
std::vector<size_t> matched(const Model& from_model, const std::vector<ir::ValueId>& from, const Model& to_model,
                            const std::vector<ir::ValueId>& to, const char* what) {
  const auto names = [](const Model& model, const std::vector<ir::ValueId>& values) {
    std::vector<std::string> list;
    for (ir::ValueId v : values) list.push_back(model.graph.value(v).name);
    return list;
  };
  const auto have = names(from_model, from), want = names(to_model, to);
  const auto require = [&](const std::string& name, const std::vector<std::string>& among, const Model& owner,
                           const Model& other) {
    const auto found = std::find(among.begin(), among.end(), name);
    if (found == among.end())
      throw InputError("verify: {} '{}' of {} is not in {}, which has {}", what, name, owner.path, other.path,
                       fmt::join(among, ", "));
    return static_cast<size_t>(found - among.begin());
  };
  for (const auto& name : have) (void)require(name, want, from_model, to_model);
  std::vector<size_t> positions;
  for (const auto& name : want) positions.push_back(require(name, have, to_model, from_model));
  return positions;
}

std::vector<ir::Tensor> picked(const std::vector<ir::Tensor>& tensors, const std::vector<size_t>& positions) {
  std::vector<ir::Tensor> result;
  for (size_t p : positions) result.push_back(tensors[p]);
  return result;
}

/// For every random sample that `verify` compares the sizes of free dimensions: the largest, those at which something
/// special could happen, and as many random ones as there are to be samples; without free dimensions that many of nothing.
std::vector<tune::Size> sizes_to_compare(const ir::Graph& graph, int64_t samples, uint64_t seed) {
  std::vector<tune::Size> sizes(1);
  if (!has_free_dims(graph)) {
    sizes.resize(static_cast<size_t>(samples));
    return sizes;
  }
  for (auto& size : special_sizes(graph)) sizes.push_back(std::move(size));
  verify::InputGenerator generator(graph, seed);
  for (int64_t i = 0; i < samples; ++i) sizes.push_back(generator.draw_sizes());
  return sizes;
}

}  // namespace

Json run(const Json& json, Progress& progress, const Cancelled& cancelled) {
  const Request request(json, "run", {"model", "input", "output_dir", "dim", "threads", "seed", "backend"});
  const Model model = load(request);
  require_bounded(model);
  const auto target = host_target(request);
  const int threads = target.machine.threads;
  const uint64_t seed = request.seed();
  const auto inputs = read_inputs(model.graph, request.texts("input"), seed);
  progress.report("compiling", 0, 2);
  const runtime::Executable executable(compile(model, target), target.machine.threads);
  auto context = executable.make_context(threads);
  progress.report("running", 1, 2);
  if (cancelled.requested()) throw EnvironmentError("interrupted before {} was run", model.path);
  const double start = measure::now_seconds();
  const auto outputs = run_once(executable, *context, inputs);
  const double seconds = measure::now_seconds() - start;
  Json result = {{"model", model.path},
                 {"threads", threads},
                 {"seed", seed},
                 {"outputs", Json::array()},
                 {"latency_ms", seconds * 1e3}};
  const auto roof = roof_of(executable.program(), threads);
  if (executable.program().symbols.empty()) {  // else the roof is that of the largest size
    result["roofline_ms"] = roof.total_ms;
    result["roofline_fraction"] = roof.total_ms / (seconds * 1e3);
  }
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

Json profile(const Json& json, Progress& progress, const Cancelled& cancelled) {
  const Request request(json, "profile", {"model", "input", "dim", "threads", "seed", "runs", "backend", "precision"});
  const auto precision = parse_precision("profile", request.text("precision", "fp32"));
  const Model model = load(request);
  require_bounded(model);
  const auto target = host_target(request);
  const int threads = target.machine.threads;
  const uint64_t seed = request.seed();
  const auto inputs = read_inputs(model.graph, request.texts("input"), seed);
  progress.report("compiling", 0, 2);
  const runtime::Executable executable(compile(model, target, true, precision), target.machine.threads);
  auto context = executable.make_context(threads);
  const auto& program = executable.program();
  std::vector<ir::Tensor> outputs;
  executable.run(*context, inputs, outputs);
  const int64_t runs = std::clamp<int64_t>(request.integer("runs", 11), 1, 10000);
  std::vector<std::vector<double>> times(program.steps.size());
  for (int64_t r = 0; r < runs && !(r > 0 && cancelled.requested()); ++r) {
    progress.report("measuring", static_cast<double>(r), static_cast<double>(runs));
    const auto steps = executable.profile(*context, inputs, outputs);
    for (size_t i = 0; i < steps.size(); ++i) times[i].push_back(steps[i].milliseconds);
  }
  const auto roof = roof_of(program, threads);
  // Work is counted for the largest size: of a smaller one no rates are known.
  bool whole = true;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& slot = program.slots[static_cast<size_t>(program.inputs[i])];
    whole = whole && (slot.dims.empty() || slot.shape == inputs[i].shape());
  }
  const auto memory = memory_timeline(program, threads);
  Json operators = Json::array();
  double total = 0;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const auto& step = program.steps[i];
    const double ms = measure::median(times[i]);
    total += ms;
    Json one = {{"name", step.name},   {"nodes", step.nodes}, {"ms", ms},
                {"flops", step.flops}, {"bytes", step.bytes}, {"memory_bytes", memory[i].live_bytes}};
    if (whole)
      one.update({{"gflops", step.flops / ms / 1e6},
                  {"gbps", step.bytes / ms / 1e6},
                  {"roofline_ms", roof.step_ms[i]},
                  {"roofline_fraction", ms > 0 ? roof.step_ms[i] / ms : 0}});
    if (!step.why.empty()) one["reference"] = step.why;
    operators.push_back(one);
  }
  Json result = {{"model", model.path},
                 {"threads", threads},
                 {"precision", (precision.dtype == ir::DType::f32 ? precision_of(model.graph) : precision).name},
                 {"seed", seed},
                 {"runs", times.empty() ? 0 : times[0].size()},
                 {"operators", operators},
                 {"total_ms", total},
                 {"arena_bytes", program.arena_bytes}};
  if (whole)
    result.update({{"roofline_ms", roof.total_ms},
                   {"direct_roofline_ms", roof.direct_ms},
                   {"roofline_fraction", roof.total_ms / total}});
  return result;
}

namespace {

/// Adds sample `i` of data with labels, where both models' outputs are comparable.
void add_accuracy(verify::Accuracy& accuracy, const Data& data, size_t i, const Request& request,
                  const std::vector<ir::Tensor>& ours, const std::vector<ir::Tensor>& theirs) {
  const int output = data.labels.empty() ? -1 : verify::scores_output(ours);
  if (data.labels.empty()) return;
  if (output < 0) throw InputError("{}: it has labels, but no output holds scores of classes", request.text("data"));
  const auto &a = ours[static_cast<size_t>(output)], &b = theirs[static_cast<size_t>(output)];
  if (a.shape() != b.shape()) return;  // which the comparison tells of
  const size_t each = data.labels.size() / data.samples.size();
  if (each != static_cast<size_t>(a.size() / a.dim(-1)))
    throw InputError("{}: 'labels' has {} for each sample, the model gives {} rows of scores", request.text("data"),
                     each, a.size() / a.dim(-1));
  const auto first = data.labels.begin() + static_cast<std::ptrdiff_t>(i * each);
  accuracy.add(a, b, {first, first + static_cast<std::ptrdiff_t>(each)});
}

}  // namespace

Json verify(const Json& json, Progress& progress, const Cancelled& cancelled) {
  const Request request(
      json, "verify",
      {"model", "other", "input", "dim", "threads", "seed", "max_rel_error", "samples", "data", "backend"});
  const auto [a, b] =
      load_pair(request.text("model"), request.text("other"), parse_pairs(request.texts("dim"), "--dim"));
  require_bounded(a);
  const auto inputs = matched(a, a.graph.inputs, b, b.graph.inputs, "input");
  const auto outputs = matched(b, b.graph.outputs, a, a.graph.outputs, "output");
  const auto target = host_target(request);
  const int threads = target.machine.threads;
  progress.report("compiling", 0, 2);
  const runtime::Executable first(compile(a, target), target.machine.threads),
      second(compile(b, target), target.machine.threads);
  auto first_context = first.make_context(threads), second_context = second.make_context(threads);
  verify::Tolerance tolerance = verify::default_tolerance(a.graph);
  tolerance.relative = request.number("max_rel_error", tolerance.relative);
  const uint64_t seed = request.seed();
  Data given;
  verify::Accuracy accuracy;
  std::vector<tune::Size> sizes;  // of the random samples
  if (request.has("data")) given = read_data(a.graph, request.text("data"));
  else sizes = sizes_to_compare(a.graph, std::clamp<int64_t>(request.integer("samples", 3), 1, 1000), seed);
  const auto& data = given.samples;
  const size_t samples = data.empty() ? sizes.size() : data.size();
  std::optional<verify::Comparison> worst;
  std::string worst_size;
  Json tried = Json::array(), refused = Json::array();
  for (size_t i = 0; i < samples && !(i > 0 && cancelled.requested()); ++i) {
    progress.report("comparing", static_cast<double>(i), static_cast<double>(samples));
    const auto sample = data.empty() ? read_inputs(a.graph, request.texts("input"), seed + i, sizes[i]) : data[i];
    const std::string size = to_string(sizes_of(a.graph, sample));
    std::optional<verify::Comparison> comparison;
    try {
      const auto ours = run_once(first, *first_context, sample);
      const auto theirs = picked(run_once(second, *second_context, picked(sample, inputs)), outputs);
      comparison = verify::compare(verify::output_names(a.graph), theirs, ours);
      add_accuracy(accuracy, given, i, request, ours, theirs);
    } catch (const InputError&) {
      if (i == 0 || size.empty()) throw;
      refused.push_back(size);  // not all sizes within bounds need be sizes of the model
      continue;
    }
    if (!size.empty()) tried.push_back(size);
    if (worst && worst->agrees(tolerance) && !comparison->agrees(tolerance)) worst_size = size;
    if (!worst) worst_size = size;
    worst = worst ? verify::worse(*worst, *comparison) : *comparison;
  }
  Json result = {{"model", a.path},
                 {"other", b.path},
                 {"max_rel_error", worst->max_rel_error()},
                 {"metrics", verify::to_json(*worst)},
                 {"agree", worst->agrees(tolerance)},
                 {"tolerance", tolerance.relative},
                 {"seed", seed}};
  if (accuracy.rows > 0)
    result["metrics"]["accuracy"] = {{"rows", accuracy.rows},
                                     {"model_pct", accuracy.reference_pct()},
                                     {"other_pct", accuracy.candidate_pct()},
                                     {"drop_pct", accuracy.drop_pct()}};
  if (!tried.empty()) result["sizes"] = tried;
  if (!refused.empty()) result["refused_sizes"] = refused;
  if (!worst->agrees(tolerance))
    result["why"] = worst->why_not(tolerance) + (worst_size.empty() ? "" : " (first at " + worst_size + ")");
  return result;
}

}  // namespace rooftune::pipeline
