#include "pipeline/latency_network.h"

#include <filesystem>

#include "base/error.h"
#include "hardware/spec.h"
#include "measure/peaks.h"
#include "pipeline/model.h"

namespace rooftune::pipeline {
namespace {

/// For every step the mean over others that stand before (behind) it.
ir::Tensor mean_over(const tune::StepGraph& graph, bool makers) {
  const size_t n = graph.names.size();
  std::vector<float> values(n * n, 0), count(n, 0);
  const auto ends = [&](const std::pair<int, int>& edge) {
    const auto maker = static_cast<size_t>(edge.first), reader = static_cast<size_t>(edge.second);
    return makers ? std::pair{reader, maker} : std::pair{maker, reader};
  };
  for (const auto& edge : graph.edges) count[ends(edge).first] += 1;
  for (const auto& edge : graph.edges) {
    const auto [row, column] = ends(edge);
    values[row * n + column] = 1 / count[row];
  }
  const auto size = static_cast<int64_t>(n);
  return ir::Tensor::of(ir::DType::f32, {size, size}, values);
}

}  // namespace

std::optional<std::string> latency_network_file() {
  const auto file = std::filesystem::path(hardware::registry_directory()) / "predictors" /
                    ("cpu-" + tune::step_feature_version() + ".onnx");
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::nullopt;
  return file.string();
}

std::vector<double> predict_step_ms(const std::string& file, const tune::StepGraph& graph, const HostTarget& target) {
  const auto n = static_cast<int64_t>(graph.names.size());
  if (n == 0) return {};
  const Model network = load(file, {{"n", std::to_string(n)}});
  const std::vector<float> rough(graph.rough_ms.begin(), graph.rough_ms.end());
  std::map<std::string, ir::Tensor> given;
  given["features"] =
      ir::Tensor::of(ir::DType::f32, {n, static_cast<int64_t>(graph.features.columns)}, graph.features.values);
  given["rough_ms"] = ir::Tensor::of(ir::DType::f32, {n, 1}, rough);
  given["before"] = mean_over(graph, true);
  given["after"] = mean_over(graph, false);
  std::vector<ir::Tensor> inputs, outputs;
  for (const ir::ValueId v : network.graph.inputs) {
    const auto& value = network.graph.value(v);
    const auto found = given.find(value.name);
    if (found == given.end() || !value.type.is_static() || value.type.dtype() != ir::DType::f32 ||
        ir::static_values(value.type.shape()) != found->second.shape())
      throw InputError(
          "{} is no network for graphs of kernels: it takes features [n, {}], rough_ms [n, 1], before and "
          "after [n, n] in f32, but this one has {} {}",
          file, graph.features.columns, value.name, value.type.to_string());
    inputs.push_back(found->second);
  }
  const runtime::Executable executable(compile(network, target), target.machine.threads);
  const auto context = executable.make_context(target.machine.threads);
  executable.run(*context, inputs, outputs);
  if (outputs.size() != 1 || outputs[0].shape() != std::vector<int64_t>{n, 1} || outputs[0].dtype() != ir::DType::f32)
    throw InputError("{} is no network for graphs of kernels: it must give one f32 output [n, 1]", file);
  const auto values = outputs[0].values<float>();
  return {values.begin(), values.end()};
}

std::optional<double> predict_model_ms(const tune::Workload& workload, const std::vector<tune::Choice>& choices,
                                       const HostTarget& target) {
  const auto file = latency_network_file();
  if (!file) return std::nullopt;
  const estimate::CostTarget machine{target.machine, measure::host_spec(target.machine.threads),
                                     static_cast<double>(tune::weight_bytes(workload))};
  double sum = 0;
  for (const double ms : predict_step_ms(*file, tune::step_graph(workload, choices, machine), target)) sum += ms;
  return sum;
}

}  // namespace rooftune::pipeline
