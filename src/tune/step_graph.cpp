#include "tune/step_graph.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "base/hash.h"

namespace rooftune::tune {
namespace {

constexpr int kRevision = 1;  // of what the columns mean: to be raised with every change that keeps their names

/// Of a kernel's features (estimate/features.h) those that a small network can learn from.
const std::vector<std::string> kKernelFeatures = {"roof",
                                                  "operations",
                                                  "bytes",
                                                  "intensity",
                                                  "rough",
                                                  "compute",
                                                  "gathers",
                                                  "spills",
                                                  "loops",
                                                  "stores",
                                                  "cold",
                                                  "beyond_l1",
                                                  "beyond_l2",
                                                  "beyond_l3",
                                                  "tails",
                                                  "least_threads",
                                                  "stages",
                                                  "phase_count",
                                                  "temporaries",
                                                  "prepared",
                                                  "prefetched",
                                                  "direct",
                                                  "model_weights",
                                                  "machine_threads",
                                                  "first.time",
                                                  "first.loads",
                                                  "first.latency",
                                                  "first.strided",
                                                  "first.fill",
                                                  "first.rows",
                                                  "first.vectors",
                                                  "first.chain",
                                                  "first.per_load",
                                                  "first.reduced",
                                                  "first.loop_bytes",
                                                  "first.tasks",
                                                  "first.narrow",
                                                  "second.time",
                                                  "second.beyond_l2",
                                                  "second.gathers"};
const std::vector<std::string> kStepFeatures = {"has_kernel", "copies",  "runs",       "values_read", "values_written",
                                                "constants",  "readers", "since_made", "share"};

double log2_of(double value) { return std::log2(std::max(value, 1.0)); }

/// Positions of kKernelFeatures among all.
const std::vector<size_t>& picked() {
  static const std::vector<size_t> positions = [] {
    const auto& all = estimate::feature_names();
    std::vector<size_t> result;
    for (const auto& name : kKernelFeatures) {
      const auto found = std::find(all.begin(), all.end(), name);
      if (found == all.end()) throw InternalError("no feature '{}'", name);
      result.push_back(static_cast<size_t>(found - all.begin()));
    }
    return result;
  }();
  return positions;
}

/// A Reshape is no step where it can share its input's memory, nor a Concat whose parts are made in place.
bool copies(const kernel::Kernel& kernel) {
  return std::all_of(kernel.stages.begin(), kernel.stages.end(), [](const auto& stage) {
    return !stage.is_reduction() && stage.nodes.size() == 1 && stage.nodes[0].op == kernel::Op::load;
  });
}

double bytes_of(const ir::Graph& graph, ir::ValueId v) {
  const auto& type = graph.type(v);
  if (!type.is_tensor() || !type.is_static()) return 0;
  double elements = 1;
  for (const int64_t d : ir::static_values(type.shape())) elements *= static_cast<double>(d);
  return elements * static_cast<double>(ir::byte_size(type.dtype(), 1));
}

}  // namespace

const std::vector<std::string>& step_feature_names() {
  static const std::vector<std::string> names = [] {
    auto all = kStepFeatures;
    all.insert(all.end(), kKernelFeatures.begin(), kKernelFeatures.end());
    return all;
  }();
  return names;
}

std::string step_feature_version() {
  std::string text = std::to_string(kRevision);
  for (const auto& name : step_feature_names()) text += ' ' + name;
  return to_hex(xxh64(text)).substr(0, 8);
}

StepGraph step_graph(const Workload& workload, const std::vector<Choice>& choices, const estimate::CostTarget& target) {
  RT_CHECK(choices.size() == workload.tasks.size());
  const auto& graph = *workload.graph;
  std::vector<estimate::Features> of_task;
  for (size_t t = 0; t < choices.size(); ++t) {
    const auto& kernel = workload.tasks[t].variants[choices[t].variant].kernel;
    of_task.push_back(estimate::features(kernel, choices[t].schedule, target, {kernel, target.spec}));
  }
  StepGraph result;
  struct Flow {
    double read = 0, written = 0, constants = 0, since_made = 0;
    std::set<int> makers;
  };
  std::map<ir::ValueId, int> maker_of;
  std::vector<double> touched = {0};  // bytes that all steps before one have read and written
  std::vector<Flow> flows;
  const auto consumers = graph.consumer_table();
  const size_t groups = workload.partition.groups.size();
  for (size_t g = 0; g < groups; ++g) {
    const auto& group = workload.partition.groups[g];
    Flow flow;
    std::set<ir::ValueId> seen;
    const std::set<ir::NodeId> inside(group.nodes.begin(), group.nodes.end());
    for (const ir::NodeId node : group.nodes) {
      for (const ir::ValueId v : ir::used_values(graph.node(node))) {
        const auto& value = graph.value(v);
        if ((value.producer != ir::kNone && inside.contains(value.producer)) || !seen.insert(v).second) continue;
        const double bytes = bytes_of(graph, v);
        (value.constant ? flow.constants : flow.read) += bytes;
        if (const auto maker = maker_of.find(v); maker != maker_of.end()) {
          flow.makers.insert(maker->second);
          flow.since_made = std::max(flow.since_made, touched.back() - touched[static_cast<size_t>(maker->second)]);
        }
      }
      for (const ir::ValueId v : graph.node(node).outputs) {
        if (v == ir::kNone) continue;
        maker_of[v] = static_cast<int>(g);
        const auto& readers = consumers[static_cast<size_t>(v)];
        const bool leaves = graph.is_output(v) || std::any_of(readers.begin(), readers.end(),
                                                              [&](ir::NodeId r) { return !inside.contains(r); });
        if (leaves) flow.written += bytes_of(graph, v);
      }
    }
    for (const int maker : flow.makers) result.edges.emplace_back(maker, static_cast<int>(g));
    touched.push_back(touched.back() + flow.read + flow.written + flow.constants);
    result.names.push_back(group.name);
    const int t = workload.task_of_group[g];
    const double ms = t >= 0 ? of_task[static_cast<size_t>(t)].rough_ms
                             : 1e3 * target.spec.transfer_seconds(flow.read + flow.written + flow.constants);
    result.rough_ms.push_back(ms * workload.runs_of_group[g]);
    flows.push_back(std::move(flow));
  }
  std::vector<double> readers(groups, 0);
  for (const auto& edge : result.edges) readers[static_cast<size_t>(edge.first)] += 1;
  double sum = 0;
  for (const double ms : result.rough_ms) sum += ms;
  for (size_t g = 0; g < groups; ++g) {
    const int t = workload.task_of_group[g];
    const auto& flow = flows[g];
    std::vector<float> row;
    const auto add = [&](double value) { row.push_back(static_cast<float>(std::round(value * 1e3) / 1e3)); };
    add(t >= 0);
    add(t >= 0 && copies(workload.tasks[static_cast<size_t>(t)].variants[0].kernel));
    add(log2_of(workload.runs_of_group[g]));
    add(log2_of(flow.read));
    add(log2_of(flow.written));
    add(log2_of(flow.constants));
    add(readers[g]);
    add(log2_of(flow.since_made));
    add(std::log2(result.rough_ms[g] / std::max(sum, 1e-12) + 1e-6));
    for (const size_t position : picked()) row.push_back(t >= 0 ? of_task[static_cast<size_t>(t)].values[position] : 0);
    result.features.add(row);
  }
  return result;
}

}  // namespace rooftune::tune
