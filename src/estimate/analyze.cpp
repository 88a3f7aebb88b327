#include "estimate/analyze.h"

#include <algorithm>

#include "base/error.h"
#include "estimate/characterize.h"

namespace rooftune::estimate {
namespace {

/// What is known about kernels before anything is calibrated: the share of the roof that good ones reach and the least
/// time one takes, and how far off a sum of such kernels has been. CPU: f32 networks on two cores in OpenVINO and
/// onnxruntime reach 0.66 … 0.97 of the arithmetic roof. GPU: networks in CUDA graphs, batch 1 to 64.
struct Margin {
  double share_of_roof, kernel_seconds, confidence, error_bound_pct;
};
Margin margin_for(const hardware::Spec& spec, const std::string& precision) {
  if (spec.kind == "gpu") return {0.6, 4e-6, 0.4, 150};
  if (!spec.measured) return {0.7, 2e-6, 0.4, 150};
  return precision == "f32" ? Margin{0.85, 1e-6, 0.8, 40} : Margin{0.7, 1e-6, 0.6, 80};
}

/// Watts while running: the thermal design power, or 5 W a core where nothing is known.
struct Power {
  double watts, error_bound_pct;
  std::string source;
};
Power power_of(const hardware::Spec& spec) {
  if (spec.tdp_watts > 0) return {0.8 * spec.tdp_watts, 150, "0.8 of the thermal design power"};
  return {5.0 * spec.compute_units, 300, "5 W a core assumed, no power data"};
}

/// f32 values stored in a narrower type move fewer bytes.
double byte_scale(const std::string& precision) {
  if (precision == "f32" || precision == "tf32") return 1;
  if (precision == "f64") return 2;
  if (precision == "f16" || precision == "bf16") return 0.5;
  if (precision == "i8" || precision == "u8" || precision == "f8") return 0.25;
  return 0.125;  // i4, f4
}

std::string joined_ops(const ir::Graph& graph, const std::vector<ir::NodeId>& nodes) {
  std::string text;
  for (ir::NodeId id : nodes) text += (text.empty() ? "" : " + ") + graph.node(id).op;
  return text;
}

}  // namespace

Analysis analyze(const ir::Graph& graph, const ir::Partition& partition, const hardware::Spec& spec,
                 const AnalyzeOptions& options) {
  require_static(graph);
  RT_CHECK(options.batch > 0);
  const Margin margin = margin_for(spec, options.precision);
  const std::string source = "roofline, uncalibrated; " + spec.source;
  const double scale = byte_scale(options.precision);
  const auto scaled = [&](Work work) { return Work{work.flops, work.bytes * scale}; };

  Analysis analysis;
  analysis.target = spec.name;
  analysis.precision = options.precision;
  double seconds = 0;
  for (const ir::Group& group : partition.groups) {
    GroupEstimate& row = analysis.operators.emplace_back();
    row.name = group.name;
    row.op = joined_ops(graph, group.nodes);
    for (ir::NodeId id : group.nodes) row.nodes.push_back(graph.node(id).name);
    row.work = scaled(group_work(graph, group));
    row.memory_bound = memory_bound(row.work, spec, options.precision);
    row.roofline_ms = roofline_ms(row.work, spec, options.precision);
    const double latency = std::max(1e-3 * row.roofline_ms / margin.share_of_roof, margin.kernel_seconds);
    row.latency = {1e3 * latency, "ms", margin.confidence, source, margin.error_bound_pct};
    seconds += latency;
  }
  const Work whole = scaled(model_work(graph));
  analysis.roofline_ms = analysis.direct_roofline_ms = roofline_ms(whole, spec, options.precision);
  seconds = std::max(seconds, 1e-3 * analysis.roofline_ms);
  analysis.latency = {1e3 * seconds, "ms", margin.confidence, source, margin.error_bound_pct};
  // latency in [v(1 − e), v(1 + e)] puts its inverse in [1/(v(1 + e)), 1/(v(1 − e))]; never below the roof
  const double e = margin.error_bound_pct / 100;
  const double fastest = std::max({seconds * (1 - e), 1e-3 * analysis.roofline_ms, 1e-12});
  const double inverse_bound = seconds > 0 ? 100 * (seconds / fastest - 1) : 0;
  const double rate = seconds > 0 ? 1 / seconds : 0;
  const double bound = std::max(inverse_bound, 100 * e / (1 + e));
  analysis.throughput = {options.batch * rate, "inferences/s", margin.confidence, source, bound};
  analysis.utilization = {whole.flops * rate / spec.peak(options.precision), "fraction of peak arithmetic",
                          margin.confidence, source, bound};
  const Characterization facts = characterize(graph);
  analysis.memory = {scale * static_cast<double>(facts.peak_memory_bytes), "bytes", 0.8,
                     "liveness of values in the graph's order", 40};
  const Power power = power_of(spec);
  analysis.energy = {power.watts * seconds, "J", 0.3, power.source + "; " + source, power.error_bound_pct};
  return analysis;
}

Analysis analyze(const ir::Graph& graph, const hardware::Spec& spec, const AnalyzeOptions& options) {
  return analyze(graph, one_group_per_node(graph), spec, options);
}

Json to_json(const Estimate& estimate) {
  return {{"value", estimate.value},
          {"unit", estimate.unit},
          {"confidence", estimate.confidence},
          {"calibration_source", estimate.calibration_source},
          {"error_bound_pct", estimate.error_bound_pct}};
}

Json to_json(const Analysis& analysis) {
  Json operators = Json::array();
  for (const GroupEstimate& row : analysis.operators)
    operators.push_back({{"name", row.name},
                         {"op", row.op},
                         {"nodes", row.nodes},
                         {"flops", row.work.flops},
                         {"bytes", row.work.bytes},
                         {"bound", row.memory_bound ? "memory" : "arithmetic"},
                         {"latency", to_json(row.latency)},
                         {"roofline_ms", row.roofline_ms},
                         {"direct_roofline_ms", row.roofline_ms}});
  return {{"target", analysis.target},
          {"precision", analysis.precision},
          {"latency", to_json(analysis.latency)},
          {"throughput", to_json(analysis.throughput)},
          {"utilization", to_json(analysis.utilization)},
          {"memory", to_json(analysis.memory)},
          {"energy", to_json(analysis.energy)},
          {"roofline_ms", analysis.roofline_ms},
          {"direct_roofline_ms", analysis.direct_roofline_ms},
          {"operators", std::move(operators)}};
}

}  // namespace rooftune::estimate
