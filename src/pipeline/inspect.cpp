// Commands that look at a model or at this machine without running anything: doctor, import, characterize, analyze.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/version.h"
#include "estimate/analyze.h"
#include "estimate/characterize.h"
#include "exporters/exporter.h"
#include "frontends/frontend.h"
#include "measure/peaks.h"
#include "passes/partition.h"
#include "passes/pass.h"
#include "pipeline/commands.h"
#include "pipeline/free_dims.h"
#include "pipeline/model.h"
#include "plugins/plugins.h"

namespace rooftune::pipeline {
namespace {

bool on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string all = path == nullptr ? "" : path;
  for (size_t at = 0; at <= all.size();) {
    const size_t end = std::min(all.find(':', at), all.size());
    std::error_code ignored;
    if (end > at && std::filesystem::exists(all.substr(at, end - at) + "/" + program, ignored)) return true;
    at = end + 1;
  }
  return false;
}

/// A package with a program for each target.
void save_for(const std::vector<HostTarget>& targets, const Model& model, const std::string& output) {
  std::vector<runtime::Program> programs;
  std::vector<const runtime::Program*> variants;
  for (const auto& target : targets) programs.push_back(compile(model, target));
  for (const auto& program : programs) variants.push_back(&program);
  runtime::save(variants, output);
}

bool loads(const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  if (handle != nullptr) dlclose(handle);
  return handle != nullptr;
}

}  // namespace

Json doctor(const Json& json, Progress& progress, const Cancelled&) {
  const Request request(json, "doctor", {"threads", "seed"});
  const auto host = hardware::detect_host();
  Json result;
  result["rooftune"] = version();
  Json cpu = {{"model", host.model_name},          {"vendor", host.vendor}, {"isa", host.isa()},
              {"vector_bits", host.vector_bits()}, {"cores", host.cores},   {"available", host.available_cpus},
              {"memory_bytes", host.memory_bytes}, {"key", host.key()}};
  cpu["caches"] = Json::array();
  for (const auto& cache : host.caches)
    cpu["caches"].push_back({{"level", cache.level}, {"bytes", cache.bytes}, {"shared_by", cache.shared_by}});
  progress.report("measuring this machine's peaks", 0, 1);
  const auto& peaks = measure::host_peaks();
  cpu["peaks"] = measure::to_json(peaks);
  result["cpu"] = cpu;
  result["gpus"] = Json::array();
  for (int i = 0; i < 64; ++i) {
    const std::string device = "/dev/nvidia" + std::to_string(i);
    if (std::filesystem::exists(device)) result["gpus"].push_back({{"device", device}});
  }
  std::string codegen = "available";
  try {
    codegen = codegen::cpu_codegen(host_target(request).cpu)->version();
  } catch (const EnvironmentError& e) {
    codegen = e.what();
  }
  result["tools"] = {{"cpu_codegen", codegen},
                     {"ncu", on_path("ncu")},
                     {"nvidia-smi", on_path("nvidia-smi")},
                     {"python3", on_path("python3")},
                     {"nvml", loads("libnvidia-ml.so.1")},
                     {"cuda_driver", loads("libcuda.so.1")}};
  result["plugins"] = Json::array();
  for (const auto& p : plugins::loaded())
    result["plugins"].push_back({{"name", p.name},
                                 {"version", p.version},
                                 {"file", p.file},
                                 {"operators", p.operators},
                                 {"backends", p.backends}});
  result["exporters"] = Json::object();
  for (const auto* exporter : exporters::all())
    result["exporters"][exporter->name()] = {{"available", true}, {"extension", exporter->extension()}};
  return result;
}

Json import_model(const Json& json, Progress& progress, const Cancelled&) {
  const Request request(json, "import", {"model", "target", "output", "dim", "threads", "seed", "backend"});
  const std::string output = request.text("output");
  const auto exporters = exporters::all();
  const auto exporter =
      std::find_if(exporters.begin(), exporters.end(), [&](const auto* e) { return output.ends_with(e->extension()); });
  if (!output.ends_with(".rt") && exporter == exporters.end()) {
    std::string extensions = ".rt";
    for (const auto* e : exporters) extensions += ", " + e->extension();
    throw InputError("import: '{}' must end in one of {}", output, extensions);
  }
  progress.report("loading", 0, 2);
  const Model model = load(request);
  progress.report("writing", 1, 2);
  if (model.program && request.has("target"))
    throw InputError("import: {} is compiled already; give the model it was made from", model.path);
  if (exporter != exporters.end() && model.program && !model.program->symbols.empty())
    throw InputError("import: {} is compiled for many sizes; only the model it was made from can be written as {}",
                     model.path, output);
  if (exporter != exporters.end()) (*exporter)->write(model.graph, output);
  else save_for(targets_of(request), model, output);
  const auto facts_parameters = [&] {
    int64_t n = 0;
    for (size_t v = 0; v < model.graph.value_capacity(); ++v)
      if (const auto* constant = model.graph.constant(static_cast<ir::ValueId>(v)))
        n += ir::is_float(constant->dtype()) ? constant->size() : 0;
    return n;
  };
  return {{"model", model.path},
          {"output", output},
          {"operators", model.graph.order().size()},
          {"parameters", facts_parameters()},
          {"inputs", describe_values(model.graph, model.graph.inputs)},
          {"outputs", describe_values(model.graph, model.graph.outputs)},
          {"load_ms", model.load_ms}};
}

Json characterize(const Json& json, Progress&, const Cancelled&) {
  const Request request(json, "characterize", {"model", "dim", "threads", "seed"});
  const Model model = load(request);
  Json result = {{"model", model.path}};
  result.update(estimate::to_json(estimate::characterize(at_largest(model.graph))));
  result["inputs"] = describe_values(model.graph, model.graph.inputs);
  result["outputs"] = describe_values(model.graph, model.graph.outputs);
  result["load_ms"] = model.load_ms;
  return result;
}

namespace {

/// The dimensions that --dim gives, and with --batch the leading one of the first input, which is what a batch is.
/// InputError where that is fixed to another number.
std::map<std::string, std::string> dims_with_batch(const Request& request) {
  auto dims = parse_pairs(request.texts("dim"), "--dim");
  if (!request.has("batch")) return dims;
  const int64_t batch = request.integer("batch", 1);
  if (batch < 1) request.fail("batch", "at least 1");
  const Model model = load(request.text("model"), dims);
  if (model.graph.inputs.empty()) throw InputError("--batch {}: {} has no input", batch, model.path);
  const auto& input = model.graph.value(model.graph.inputs[0]);
  const bool has_leading = input.type.is_tensor() && input.type.has_rank() && input.type.rank() > 0;
  const auto refuse = [&] {
    throw InputError("--batch {}: it is the leading dimension of the first input, but '{}' of {} is {}", batch,
                     input.name, model.path, input.type.to_string());
  };
  if (!has_leading) refuse();
  const auto& leading = input.type.shape()[0];
  if (leading.is_static()) {
    if (leading.value() != batch) refuse();
    return dims;
  }
  const std::string symbol = leading.to_string();
  const auto symbols = frontends::input_symbols(model.graph);
  if (std::find(symbols.begin(), symbols.end(), symbol) == symbols.end()) refuse();  // an expression
  dims[symbol] = std::to_string(batch);
  return dims;
}

/// Users' names of precisions (fp16, int8) as ours.
std::string precision_of(const std::string& name) {
  static const std::map<std::string, std::string> names = {{"fp64", "f64"}, {"fp32", "f32"}, {"fp16", "f16"},
                                                           {"fp8", "f8"},   {"fp4", "f4"},   {"int8", "i8"},
                                                           {"uint8", "u8"}, {"int4", "i4"}};
  const auto found = names.find(name);
  return found == names.end() ? name : found->second;
}

}  // namespace

Json analyze(const Json& json, Progress& progress, const Cancelled&) {
  const Request request(json, "analyze", {"model", "dim", "target", "batch", "precision", "threads", "seed"});
  Model model = load(request.text("model"), dims_with_batch(request));
  const std::string name = request.text("target", "host");
  if (name == "host") progress.report("measuring this machine's peaks", 0, 1);
  const auto spec = measure::target_spec(name, static_cast<int>(request.integer("threads", 0)));
  passes::run_passes(model.graph);
  const auto parts = passes::partition(model.graph);
  estimate::AnalyzeOptions options;
  options.precision = precision_of(request.text("precision", "f32"));
  options.batch = static_cast<double>(request.integer("batch", 1));
  Json result = {{"model", model.path}};
  result.update(estimate::to_json(estimate::analyze(model.graph, parts.partition, spec, options)));
  for (size_t g = 0; g < parts.info.size(); ++g)  // one row per group, in order
    if (!parts.info[g].reasons.empty())
      result["operators"][g]["note"] = fmt::format("{}", fmt::join(parts.info[g].reasons, "; "));
  return result;
}

}  // namespace rooftune::pipeline
