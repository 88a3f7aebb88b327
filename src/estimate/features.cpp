#include "estimate/features.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "estimate/predict.h"
#include "kernel/analysis.h"

namespace rooftune::estimate {
namespace {

using namespace kernel;

constexpr int kRevision = 2;   // of how features are computed: to be raised with every change that keeps their names
constexpr size_t kStages = 3;  // the most expensive ones are described one by one

/// Values, to three decimals (so that they are the same once written as text and read back), with their names, which are
/// kept where somebody asks for them.
struct Writer {
  std::vector<float>& values;
  std::vector<std::string>* names = nullptr;
  std::string prefix = {};

  void add(const char* name, double value) {
    values.push_back(std::isfinite(value) ? static_cast<float>(std::round(value * 1e3) / 1e3) : 0.0F);
    if (names != nullptr) names->push_back(prefix + name);
  }
  void log(const char* name, double value) { add(name, std::log2(std::max(value, 1e-12))); }
  /// A share of the roof; what is less than a thousandth of it does not matter.
  void share(const char* name, double value, double roof) { add(name, std::log2(value / roof + 1e-3)); }
};

double phases(const Kernel& k, const Schedule& schedule) {
  double n = 0;
  for (size_t s = 0; s < k.stages.size(); ++s) n += schedule.stages[s].at_stage < 0;
  return n;
}

double temporary_bytes(const Kernel& k, const Schedule& schedule) {
  double bytes = 0;
  for (size_t s = 0; s < k.stages.size(); ++s) {
    const auto& buffer = k.buffers[static_cast<size_t>(k.stages[s].buffer)];
    if (buffer.role != Role::temporary || schedule.stages[s].at_stage >= 0) continue;
    double elements = 1;
    for (const int64_t d : buffer.shape) elements *= static_cast<double>(d);
    bytes += elements * static_cast<double>(ir::byte_size(buffer.dtype, 1));
  }
  return bytes;
}

void describe(Writer& w, const StageCost& c, double roof, double hz, const Machine& machine) {
  const double one = hz / c.share;  // cycles of one thread per second of all
  w.share("time", c.time, roof);
  w.share("arithmetic", c.arithmetic / one, roof);
  w.share("loads", c.loads / one, roof);
  w.share("gathers", c.gathers / one, roof);
  w.share("latency", c.latency / one, roof);
  w.share("compute", c.compute / one, roof);
  w.share("spills", c.spills / one, roof);
  w.share("stores", c.stores / one, roof);
  w.share("loops", c.loops / one, roof);
  w.share("beyond_l1", c.seconds[0], roof);
  w.share("beyond_l2", c.seconds[1], roof);
  w.share("beyond_l3", c.seconds[2], roof);
  w.log("repeated_l1", c.repeated[0]);
  w.log("repeated_l2", c.repeated[1]);
  w.share("cold", c.cold, roof);
  w.add("threads_used", 1 / c.share);
  w.log("tasks", c.tasks);
  w.log("cycles_per_task", c.compute / c.tasks);
  w.log("bodies", c.bodies);
  w.add("accumulators", c.accumulators);
  w.add("registers_left", machine.registers - c.accumulators - c.vectors);
  w.add("vectors", c.vectors);
  w.add("rows", c.accumulators / std::max(1.0, c.vectors));
  w.add("chain", c.chain);
  w.log("instructions", c.instructions);
  w.add("fill", c.fill);
  w.add("tails", c.tails);
  w.add("per_load", c.per_load);
  w.add("strided", c.strided);
  w.log("reduced", c.reduced);
  w.log("body_bytes", c.region[0] + 1);
  w.log("loop_bytes", c.region[1] + 1);
  w.log("outer_bytes", c.region[2] + 1);
  w.log("inner_turns", c.inner_turns);
  w.add("inner_reduces", c.inner_reduces);
  w.add("depth", c.depth);
  w.add("parallel", c.parallel);
  w.add("narrow", c.narrow);
  w.add("tile", c.tile);
}

Features compute(const Kernel& kernel, const Schedule& schedule, const CostTarget& target, const KernelWork& work,
                 std::vector<std::string>* names) {
  Features result;
  Writer w{result.values, names};
  const Machine& machine = target.machine;
  result.roofline_ms = work.roofline_ms;
  const double roof = std::max(1e-9, 1e-3 * result.roofline_ms), hz = target.cycles_per_second();
  auto stages = stage_costs(kernel, schedule, target);
  std::stable_sort(stages.begin(), stages.end(), [](const auto& a, const auto& b) { return a.time > b.time; });
  StageCost sum;
  double seconds = 0, least_tasks = 1e9;
  for (const auto& c : stages) {
    seconds += c.time;
    sum.compute += c.compute * c.share;
    sum.gathers += c.gathers * c.share;
    sum.spills += c.spills * c.share;
    sum.loops += c.loops * c.share;
    sum.stores += c.stores * c.share;
    sum.cold += c.cold;
    sum.tails += c.tails * c.time;
    for (size_t i = 0; i < 3; ++i) sum.seconds[i] += c.seconds[i];
    least_tasks = std::min(least_tasks, 1 / c.share);
  }
  const double begun = machine.threads > 1 ? 1e-7 * phases(kernel, schedule) : 0;  // handing phases to threads
  seconds = std::max(seconds + begun, 0.5 * roof);
  result.rough_ms = 1e3 * std::max(seconds, roof);
  const double older = 1e-3 * predict_ms(kernel, schedule, machine);

  w.log("roof", roof);
  w.log("operations", work.operations);
  w.log("bytes", work.bytes);
  w.log("intensity", work.operations / std::max(1.0, work.bytes));
  w.share("rough", seconds, roof);
  w.share("predicted", older, roof);
  w.share("compute", sum.compute / hz, roof);
  w.share("gathers", sum.gathers / hz, roof);
  w.share("spills", sum.spills / hz, roof);
  w.share("loops", sum.loops / hz, roof);
  w.share("stores", sum.stores / hz, roof);
  w.share("cold", sum.cold, roof);
  w.share("beyond_l1", sum.seconds[0], roof);
  w.share("beyond_l2", sum.seconds[1], roof);
  w.share("beyond_l3", sum.seconds[2], roof);
  w.share("phases", begun, roof);
  w.add("tails", seconds > 0 ? sum.tails / seconds : 0);
  w.add("least_threads", least_tasks);
  w.add("stages", static_cast<double>(stages.size()));
  w.add("phase_count", phases(kernel, schedule));
  w.log("temporaries", 1 + temporary_bytes(kernel, schedule));
  w.add("prepared", static_cast<double>(schedule.prepared.size()));
  w.add("prefetched", static_cast<double>(schedule.prefetch.size()));
  w.add("direct", kernel.algorithm == "direct");
  w.log("model_weights", 1 + target.model_weights);
  // The machine.
  w.add("machine_threads", machine.threads);
  w.add("machine_lanes", machine.lanes);
  w.add("machine_fmas", machine.fmas);
  w.add("machine_registers", machine.registers);
  w.add("machine_tiles", machine.tiles);
  w.log("machine_l1", static_cast<double>(machine.l1));
  w.log("machine_l2", static_cast<double>(machine.l2));
  w.log("machine_l3", static_cast<double>(machine.l3));
  w.log("machine_clock", hz);
  const auto peak = target.spec.peak_flops.find("f32");
  const double flops = peak == target.spec.peak_flops.end() ? 1e11 : peak->second;
  w.log("machine_balance", flops / std::max(1e9, target.spec.memory_bandwidth));

  const char* const prefixes[kStages] = {"first.", "second.", "third."};
  for (size_t i = 0; i < kStages; ++i) {
    w.prefix = prefixes[i];
    describe(w, i < stages.size() ? stages[i] : StageCost{}, roof, hz, machine);
  }
  return result;
}

}  // namespace

KernelWork::KernelWork(const Kernel& kernel, const hardware::Spec& spec) {
  const auto counted = cost(kernel);
  operations = counted.operations;
  bytes = counted.compulsory_bytes;
  const auto peak = spec.peak_flops.find("f32");
  const double flops = peak == spec.peak_flops.end() ? 1e11 : peak->second;
  double computing = operations / flops;
  for (const auto& [precision, dots] : dot_operations(kernel))
    if (const auto faster = spec.peak_flops.find(precision); faster != spec.peak_flops.end())
      computing += dots / faster->second - dots / flops;
  const double moving = spec.memory_bandwidth > 0 ? spec.transfer_seconds(bytes) : 0;
  roofline_ms = 1e3 * std::max(computing, moving);
}

Features features(const Kernel& kernel, const Schedule& schedule, const CostTarget& target, const KernelWork& work) {
  return compute(kernel, schedule, target, work, nullptr);
}

const std::vector<std::string>& feature_names() {
  static const std::vector<std::string> names = [] {
    Kernel kernel;
    StageBuilder stage(kernel, "y", {{"i", 1}});
    const int y = kernel.add_buffer("y", DType::f32, {1}, Role::output);
    stage.finish(stage.constant(0), Reduction::none, y);
    Schedule schedule;
    schedule.stages.resize(1);
    std::vector<std::string> result;
    compute(kernel, schedule, {}, KernelWork(kernel, {}), &result);
    return result;
  }();
  return names;
}

std::string feature_version() {
  static const std::string version = [] {
    std::string text = std::to_string(kRevision);
    for (const auto& name : feature_names()) text += ' ' + name;
    return to_hex(xxh64(text)).substr(0, 8);
  }();
  return version;
}

}  // namespace rooftune::estimate
