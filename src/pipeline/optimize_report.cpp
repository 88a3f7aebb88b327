#include "pipeline/optimize_report.h"

#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "base/files.h"
#include "base/hash.h"
#include "base/version.h"
#include "estimate/work.h"
#include "ir/mapped.h"
#include "kernel/analysis.h"
#include "measure/peaks.h"
#include "pipeline/model.h"
#include "runtime/memory_plan.h"

namespace rooftune::pipeline {

report::Environment describe_machine(const HostTarget& target) {
  report::Environment e;
  e.cpu = target.host.model_name;
  e.isa = target.cpu.name();
  e.rooftune_version = version();
  e.target = "host";
  e.cores = target.host.cores;
  e.threads = target.machine.threads;
  utsname os{};
  if (::uname(&os) == 0) e.os = fmt::format("{} {}", os.sysname, os.release);
  const auto spec = measure::host_spec(target.machine.threads);
  e.peak_gflops = spec.peak("f32") / 1e9;
  e.bandwidth_gbs = spec.memory_bandwidth / 1e9;
  return e;
}

namespace {

using Steps = std::map<std::string, size_t>;

/// The step that makes a value of the program's graph of one of these names.
std::optional<size_t> step_making(const ir::Graph& original, const ir::Node& node, const ir::Graph& rewritten,
                                  const Steps& step_of) {
  for (ir::ValueId v : node.outputs) {
    if (v == ir::kNone) continue;
    const auto same = rewritten.find_value(original.value(v).name);
    if (!same || rewritten.value(*same).producer == ir::kNone) continue;
    const auto step = step_of.find(rewritten.node(rewritten.value(*same).producer).name);
    if (step != step_of.end()) return step->second;
  }
  return std::nullopt;
}

}  // namespace

std::map<std::string, size_t> steps_of_nodes(const ir::Graph& original, const runtime::Program& program) {
  struct Place {
    size_t step = 0;
    int distance = -1;  // nodes on the way to one that has the step; -1: nowhere yet
  };
  Steps step_of;
  for (size_t i = 0; i < program.steps.size(); ++i)
    for (const auto& name : program.steps[i].nodes) step_of[name] = i;
  const auto consumers = original.consumer_table();
  const auto& order = original.order();
  std::vector<Place> places(original.node_capacity());
  const auto at = [&](ir::NodeId id) -> Place& { return places[static_cast<size_t>(id)]; };
  const auto follow = [&](Place& place, ir::NodeId neighbour) {
    const Place& other = at(neighbour);
    if (other.distance >= 0 && (place.distance < 0 || other.distance + 1 < place.distance))
      place = {other.step, other.distance + 1};
  };
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    const ir::Node& node = original.node(*id);
    Place& place = at(*id);
    if (const auto own = step_of.find(node.name); own != step_of.end()) place = {own->second, 0};
    else if (const auto made = step_making(original, node, *program.graph, step_of)) place = {*made, 0};
    else
      for (ir::ValueId v : node.outputs)
        if (v != ir::kNone)
          for (ir::NodeId reader : consumers[static_cast<size_t>(v)]) follow(place, reader);
  }
  for (ir::NodeId id : order)
    if (at(id).distance < 0)
      for (ir::ValueId v : ir::used_values(original.node(id)))
        if (const auto maker = original.value(v).producer; maker != ir::kNone) follow(at(id), maker);
  Steps result;
  for (ir::NodeId id : order)
    if (at(id).distance >= 0) result[original.node(id).name] = at(id).step;
  return result;
}

std::vector<report::Operator> operator_rows(const ir::Graph& original, const TimedProgram& before,
                                            const TimedProgram& after, const tune::Workload& work,
                                            const tune::Tuned* tuned, int threads) {
  const auto& program = after.program;
  std::map<std::string, std::string> op_of;
  for (ir::NodeId id : program.graph->order()) op_of[program.graph->node(id).name] = program.graph->node(id).op;
  const auto roof = roof_of(program, threads);
  std::vector<report::Operator> rows(program.steps.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& step = program.steps[i];
    auto& row = rows[i];
    row.name = step.name;
    for (const auto& node : step.nodes) row.op += (row.op.empty() ? "" : " + ") + op_of[node];
    row.after_ms = after.step_ms[i];
    row.flops = step.flops;
    row.bytes = step.bytes;
    row.roofline_ms = roof.step_ms[i];
    if (step.kind == runtime::Step::Kind::reference) {
      row.algorithm = "reference";
      row.note = step.why;
      continue;
    }
    row.algorithm = "direct";
    if (tuned == nullptr) continue;
    const auto task = static_cast<size_t>(step.kernel);
    row.algorithm = work.tasks[task].variants[tuned->choices[task].variant].algorithm;
    if (const auto reasons = work.unfused.find(step.name); reasons != work.unfused.end())
      row.note = fmt::format("{}", fmt::join(reasons->second, "; "));
  }
  std::map<std::string, double> node_ms;
  for (size_t i = 0; i < before.program.steps.size(); ++i)
    for (const auto& node : before.program.steps[i].nodes) node_ms[node] = before.step_ms[i];
  const auto places = steps_of_nodes(original, program);
  for (ir::NodeId id : original.order()) {
    const auto& name = original.node(id).name;
    const auto place = places.find(name);
    if (place == places.end()) continue;
    auto& row = rows[place->second];
    row.nodes.push_back(name);
    if (const auto ms = node_ms.find(name); ms != node_ms.end()) row.before_ms = row.before_ms.value_or(0) + ms->second;
  }
  return rows;
}

std::vector<report::Task> task_rows(const tune::Workload& work, const tune::Tuned& tuned, int threads) {
  const auto spec = measure::host_spec(threads);
  std::vector<report::Task> rows;
  for (size_t t = 0; t < work.tasks.size(); ++t) {
    const auto& task = work.tasks[t];
    auto& row = rows.emplace_back();
    row.name = task.name;
    row.kernel = kernel::print(task.variants[0].kernel);
    row.uses = static_cast<int64_t>(task.groups.size());
    row.trials = tuned.logs[t].trials;
    row.from_database = tuned.logs[t].from_database;
    auto rejected = tuned.logs[t].rejected;
    if (const int passed = tuned.logs[t].passed; passed > 0)
      rejected.push_back(fmt::format("{} schedules were not measured: others promised more", passed));
    row.note = fmt::format("{}", fmt::join(rejected, "; "));
    const auto& chosen = task.variants[tuned.choices[t].variant].kernel;
    row.roofline_ms =
        std::max(estimate::arithmetic_seconds(kernel::cost(chosen).operations, kernel::dot_operations(chosen), spec),
                 spec.transfer_seconds(task.bytes)) *
        1e3;
    for (const auto& trial : tuned.logs[t].top) {
      report::TriedSchedule tried{trial.algorithm + "\n" + trial.schedule, {}, {}, ""};
      if (!trial.why_not.empty())
        tried.note =
            fmt::format("number {} of the five best ({}, {:.4f} ms, predicted {:.4f} ms): {}", row.top5.size() + 1,
                        trial.algorithm, trial.measured_ms, trial.predicted_ms, trial.why_not);
      if (trial.predicted_ms > 0) tried.predicted_ms = trial.predicted_ms;
      if (trial.measured_ms > 0) tried.measured_ms = trial.measured_ms;
      row.top5.push_back(tried);
    }
  }
  return rows;
}

std::vector<report::MemoryPoint> memory_timeline(const runtime::Program& program, int threads) {
  const size_t n = program.slots.size();
  std::vector<int> first(n, -1), last(n, -1);
  auto touch = [&](int slot, int at) {
    if (slot < 0) return;
    slot = runtime::place_of(program, slot).slot;
    int &begin = first[static_cast<size_t>(slot)], &end = last[static_cast<size_t>(slot)];
    begin = begin < 0 ? at : std::min(begin, at);
    end = std::max(end, at);
  };
  for (int slot : program.inputs) touch(slot, 0);
  for (size_t i = 0; i < program.steps.size(); ++i)
    for (const auto* list : {&program.steps[i].slots, &program.steps[i].inputs, &program.steps[i].outputs})
      for (int slot : *list) touch(slot, static_cast<int>(i));
  for (const auto& loop : program.loops) {
    const int begin = static_cast<int>(loop.first), end = std::max(begin, static_cast<int>(loop.end) - 1);
    const auto whole = [&](int slot) { touch(slot, begin), touch(slot, end); };
    for (const auto* slices : {&loop.taken, &loop.given})
      for (const auto& slice : *slices) whole(slice.outside), whole(slice.inside);
    for (const auto& state : loop.states) whole(state.initial), whole(state.input), whole(state.result);
  }
  for (int slot : program.outputs) touch(slot, static_cast<int>(program.steps.size()) - 1);
  std::vector<report::MemoryPoint> points;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const auto& step = program.steps[i];
    report::MemoryPoint point{step.name, 0};
    if (step.kind == runtime::Step::Kind::kernel) {
      const auto& kernel =
          program.code[static_cast<size_t>(step.code_object)].kernels[static_cast<size_t>(step.kernel)];
      point.live_bytes = static_cast<int64_t>(kernel.workspace_bytes) +
                         static_cast<int64_t>(kernel.scratch_bytes) * std::max(1, threads);
    }
    for (size_t s = 0; s < n; ++s)
      if (program.slots[s].kind != runtime::Slot::Kind::constant && first[s] >= 0 && first[s] <= static_cast<int>(i) &&
          last[s] >= static_cast<int>(i))
        point.live_bytes += static_cast<int64_t>(program.slots[s].bytes);
    points.push_back(point);
  }
  return points;
}

double constant_mb(const runtime::Program& program) {
  double bytes = 0;
  for (const auto& slot : program.slots)
    if (slot.kind == runtime::Slot::Kind::constant) bytes += static_cast<double>(slot.constant.bytes());
  return bytes / 1e6;
}

std::string tuning_log(const tune::Workload& work, const tune::Tuned& tuned, const codegen::Codegen& codegen,
                       const tune::TuneOptions& tuning) {
  std::string lines;
  const auto entries = tune::entries(work, tuned, codegen, tuning);
  for (size_t t = 0; t < work.tasks.size(); ++t) {
    Json line = tune::to_json(entries[t]);
    line["task"] = work.tasks[t].name;
    line["trials"] = tuned.logs[t].trials;
    line["from_database"] = tuned.logs[t].from_database;
    lines += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return lines;
}

namespace {

bool same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  return std::filesystem::equivalent(a, b, error);
}

}  // namespace

std::map<std::string, std::string> hash_model_files(const ir::Graph& graph, const std::string& path) {
  std::map<std::string, std::string> hashes{{path, sha256_file(path)}};
  for (const auto& [key, tensor] : ir::collect_constants(graph).tensors)
    if (tensor.storage())
      if (const std::string file = ir::mapped_from(*tensor.storage());
          !file.empty() && !same_file(file, path) && std::filesystem::exists(file))  // else a converter's, gone by now
        hashes.emplace(file, "");
  for (auto& [file, hash] : hashes)
    if (hash.empty()) hash = sha256_file(file);
  return hashes;
}

}  // namespace rooftune::pipeline
