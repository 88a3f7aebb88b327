// Commands that look at a model or at this machine without running anything: doctor, import, characterize, analyze.
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "base/version.h"
#include "estimate/analyze.h"
#include "estimate/characterize.h"
#include "exporters/exporter.h"
#include "measure/peaks.h"
#include "passes/partition.h"
#include "passes/pass.h"
#include "pipeline/commands.h"
#include "pipeline/model.h"

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

bool loads(const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  if (handle != nullptr) dlclose(handle);
  return handle != nullptr;
}

}  // namespace

Json doctor(const Json& json, Progress& progress, const Cancelled&) {
  const Request request(json, "doctor", {"threads", "seed", "measure"});
  const auto target = host_target(request);
  const auto& host = target.host;
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
    codegen = codegen::cpu_codegen(target.cpu)->version();
  } catch (const EnvironmentError& e) {
    codegen = e.what();
  }
  result["tools"] = {{"cpu_codegen", codegen},
                     {"ncu", on_path("ncu")},
                     {"nvidia-smi", on_path("nvidia-smi")},
                     {"python3", on_path("python3")},
                     {"nvml", loads("libnvidia-ml.so.1")},
                     {"cuda_driver", loads("libcuda.so.1")}};
  result["exporters"] = Json::object();
  for (const auto* exporter : exporters::all())
    result["exporters"][exporter->name()] = {{"available", true}, {"extension", exporter->extension()}};
  return result;
}

Json import_model(const Json& json, Progress& progress, const Cancelled&) {
  const Request request(json, "import", {"model", "output", "dim", "threads", "seed"});
  const std::string output = request.text("output");
  if (!output.ends_with(".rt") && !output.ends_with(".onnx"))
    throw InputError("import: '{}' must end in .rt or .onnx", output);
  progress.report("loading", 0, 2);
  const Model model = load(request);
  progress.report("writing", 1, 2);
  if (output.ends_with(".onnx")) exporters::find("onnx").write(model.graph, output);
  else runtime::save(compile(model, host_target(request)), output);
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
  result.update(estimate::to_json(estimate::characterize(model.graph)));
  result["inputs"] = describe_values(model.graph, model.graph.inputs);
  result["outputs"] = describe_values(model.graph, model.graph.outputs);
  result["load_ms"] = model.load_ms;
  return result;
}

Json analyze(const Json& json, Progress& progress, const Cancelled&) {
  const Request request(json, "analyze", {"model", "dim", "target", "batch", "precision", "threads", "seed"});
  Model model = load(request);
  const std::string name = request.text("target", "host");
  if (name == "host") progress.report("measuring this machine's peaks", 0, 1);
  const auto spec = measure::target_spec(name, static_cast<int>(request.integer("threads", 0)));
  passes::run_passes(model.graph);
  const auto partition = passes::partition(model.graph).partition;
  estimate::AnalyzeOptions options;
  options.precision = request.text("precision", "f32");
  if (options.precision == "fp32") options.precision = "f32";
  options.batch = static_cast<double>(request.integer("batch", 1));
  if (options.batch < 1) request.fail("batch", "at least 1");
  Json result = {{"model", model.path}};
  result.update(estimate::to_json(estimate::analyze(model.graph, partition, spec, options)));
  return result;
}

}  // namespace rooftune::pipeline
