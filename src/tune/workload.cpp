#include "tune/workload.h"

#include <algorithm>

#include "kernel/algorithms.h"
#include "passes/layout.h"
#include "passes/partition.h"

namespace rooftune::tune {
namespace {

/// Values that reference groups touch stay row-major: references know no other layout.
void keep_row_major(const ir::Group& group, passes::Layouts& layouts) {
  for (ir::ValueId v : group.inputs) layouts.erase(v);
  for (ir::ValueId v : group.outputs) layouts.erase(v);
}

}  // namespace

Workload make_workload(ir::Graph optimised, const kernel::Machine& machine, bool fuse) {
  Workload work;
  passes::PartitionOptions options;
  options.fuse = fuse;
  auto parts = passes::partition(optimised, options);
  work.partition = std::move(parts.partition);
  for (size_t g = 0; g < parts.info.size(); ++g)  // by name: conversions that come in shift the groups
    if (!parts.info[g].reasons.empty()) work.unfused[work.partition.groups[g].name] = std::move(parts.info[g].reasons);
  if (fuse) {
    work.layouts = passes::choose_layouts(optimised, work.partition, machine.lanes);
    passes::insert_conversions(optimised, work.partition, work.layouts);
  }
  work.graph = std::make_shared<const ir::Graph>(std::move(optimised));
  const auto& graph = work.graph;
  const auto& groups = work.partition.groups;
  const size_t n = groups.size();
  work.task_of_group.assign(n, -1);
  work.why_reference.assign(n, "");
  work.values_of_group.resize(n);
  // First without looking at kernels: which groups have a lowering decides what must stay row-major.
  for (size_t g = 0; g < n; ++g) {
    std::string why;
    if (!passes::lower_group(*graph, groups[g], {}, why)) {
      work.why_reference[g] = why;
      keep_row_major(groups[g], work.layouts);
    }
  }
  std::map<uint64_t, size_t> task_of_key;
  for (size_t g = 0; g < n; ++g) {
    if (!work.why_reference[g].empty()) continue;
    std::string why;
    auto lowered = passes::lower_group(*graph, groups[g], work.layouts, why);
    work.values_of_group[g] = lowered->values;
    const uint64_t key = kernel::hash(lowered->kernel);
    const auto [found, fresh] = task_of_key.try_emplace(key, work.tasks.size());
    if (fresh) {
      Task task;
      task.name = groups[g].name;
      task.key = key;
      const auto cost = kernel::cost(lowered->kernel);
      task.direct_flops = cost.operations;
      task.bytes = cost.compulsory_bytes;
      for (const auto& algorithm : kernel::algorithms())
        if (auto rewritten =
                fuse || algorithm.name == "direct" ? algorithm.rewrite(lowered->kernel, machine) : std::nullopt)
          task.variants.push_back({algorithm.name, std::move(*rewritten)});
      work.tasks.push_back(std::move(task));
    }
    work.tasks[found->second].groups.push_back(g);
    work.task_of_group[g] = static_cast<int>(found->second);
  }
  return work;
}

namespace {

/// A rough time that only has to order a task's algorithms: operations near the peak, weights from memory.
double rough_seconds(const kernel::Kernel& k, const kernel::Machine& machine) {
  constexpr double kClock = 3.3e9, kBandwidth = 25e9;
  const double operations = 2.0 * machine.fmas * machine.lanes * machine.threads * kClock;
  double weights = 0;
  for (const auto& stage : k.stages)
    for (const auto& node : stage.nodes)
      if (kernel::is_contraction(stage) && node.op == kernel::Op::load) {
        const auto& buffer = k.buffers[static_cast<size_t>(node.buffer)];
        const int writer = k.stage_of(node.buffer);
        if (buffer.role == kernel::Role::constant ||
            (writer >= 0 && kernel::reads_only_constants(k, k.stages[static_cast<size_t>(writer)])))
          weights += static_cast<double>(ir::byte_size(buffer.dtype, static_cast<size_t>(buffer.layout.size())));
      }
  return kernel::cost(k).operations / operations + weights / kBandwidth;
}

}  // namespace

Choice first_choice(const Task& task, const kernel::Machine& machine) {
  size_t best = 0;
  for (size_t v = 1; v < task.variants.size(); ++v)
    if (rough_seconds(task.variants[v].kernel, machine) < rough_seconds(task.variants[best].kernel, machine)) best = v;
  return {best, kernel::make_schedule(task.variants[best].kernel, machine)};
}

}  // namespace rooftune::tune
