#include "tune/whole_model.h"

#include <algorithm>
#include <map>

#include "base/log.h"
#include "measure/load.h"
#include "measure/statistics.h"
#include "verify/inputs.h"

namespace rooftune::tune {
namespace {

constexpr double kLeastRuns = 5, kMostSeconds = 3;
constexpr double kFaster = 0.99;  // a task changes only for that share of its time

}  // namespace

struct WholeModel::Program {
  std::vector<Choice> choices;
  runtime::Executable executable;
  std::unique_ptr<runtime::Context> context;
  std::vector<ir::Tensor> outputs;
  std::vector<std::vector<double>> step_ms;
  std::vector<double> run_ms;

  Program(std::vector<Choice> c, runtime::Program program, int threads)
      : choices(std::move(c)),
        executable(std::move(program)),
        context(executable.make_context(threads)),
        step_ms(executable.program().steps.size()) {}
};

WholeModel::WholeModel(const Workload& workload, codegen::Codegen& codegen, int threads, uint64_t seed)
    : work_(workload), codegen_(codegen), threads_(threads) {
  inputs_ = verify::InputGenerator(*workload.graph, seed + 1).next();
}
WholeModel::~WholeModel() = default;

double WholeModel::least_seconds() const {
  constexpr double kPerTask = 0.1, kPerByte = 1e-9;  // code generation; packing
  double bytes = 0;
  for (const auto& task : work_.tasks) bytes += task.bytes * static_cast<double>(task.groups.size());
  return 0.5 + kPerTask * static_cast<double>(work_.tasks.size()) + kPerByte * bytes;
}

bool WholeModel::empty() const { return programs_.empty(); }

void WholeModel::add(const std::vector<Choice>& choices) {
  const double began = measure::now_seconds();
  programs_.push_back(std::make_unique<Program>(choices, assemble(work_, choices, codegen_), threads_));
  auto& p = *programs_.back();
  p.executable.run(*p.context, inputs_, p.outputs);
  make_seconds_ = measure::now_seconds() - began;
  profile({&p}, 0, began);
}

double WholeModel::check_seconds() const {
  if (programs_.empty()) return 0;
  return std::clamp(4 * kLeastRuns * 2e-3 * measure::median(programs_.front()->run_ms), 0.2, kMostSeconds);
}

/// A B A B …, each run as a whole and then step by step.
void WholeModel::profile(std::vector<Program*> programs, double seconds, double deadline) const {
  const double began = measure::now_seconds();
  for (int round = 0; round < 200; ++round) {
    for (Program* p : programs) {
      const double start = measure::now_seconds();
      p->executable.run(*p->context, inputs_, p->outputs);
      p->run_ms.push_back(1e3 * (measure::now_seconds() - start));
      const auto steps = p->executable.profile(*p->context, inputs_, p->outputs);
      for (size_t i = 0; i < steps.size(); ++i) p->step_ms[i].push_back(steps[i].milliseconds);
    }
    const double now = measure::now_seconds();
    if (now > deadline || (now - began > seconds && round + 1 >= (seconds > 0 ? kLeastRuns : 1))) return;
  }
}

std::vector<double> WholeModel::task_ms(size_t i) const {
  if (i >= programs_.size()) return {};
  const Program& p = *programs_[i];
  std::map<std::string, size_t> task_of;
  for (size_t t = 0; t < work_.tasks.size(); ++t)
    for (size_t g : work_.tasks[t].groups) task_of[work_.partition.groups[g].name] = t;
  std::vector<double> total(work_.tasks.size()), calls(work_.tasks.size());
  const auto& steps = p.executable.program().steps;
  for (size_t s = 0; s < steps.size(); ++s) {
    const auto found = task_of.find(steps[s].name);
    if (steps[s].kind != runtime::Step::Kind::kernel || found == task_of.end() || p.step_ms[s].empty()) continue;
    total[found->second] += measure::median(p.step_ms[s]);
    calls[found->second] += 1;
  }
  for (size_t t = 0; t < total.size(); ++t) total[t] /= std::max(1.0, calls[t]);
  return total;
}

std::vector<Choice> WholeModel::better(const std::vector<Choice>& start, const std::vector<Choice>& found,
                                       double deadline) {
  auto differs = [&](const std::vector<Choice>& a, size_t t) {
    return a[t].variant != start[t].variant || !(a[t].schedule == start[t].schedule);
  };
  bool any = false;
  for (size_t t = 0; t < found.size(); ++t) any = any || differs(found, t);
  auto left = [&] { return deadline - measure::now_seconds(); };
  if (!any || left() < 1.2 * make_seconds_) return found;
  Program* base = programs_[0].get();
  for (auto& samples : base->step_ms) samples.clear();
  base->run_ms.clear();
  add(found);
  profile({base, programs_[1].get()}, std::min(kMostSeconds, 0.4 * left()), deadline);
  const auto before = task_ms(0), after = task_ms(1);
  std::vector<Choice> mixed = found;
  size_t kept = 0, changed = 0;
  for (size_t t = 0; t < mixed.size(); ++t) {
    if (!differs(found, t)) continue;
    ++changed;
    if (after[t] < kFaster * before[t]) continue;
    mixed[t] = start[t];
    ++kept;
  }
  log_debug("tune: {} of {} tuned tasks are faster in the model", changed - kept, changed);
  size_t judged = 1;
  if (kept == changed) return start;
  if (kept > 0 && left() > 1.2 * make_seconds_) {
    programs_.pop_back();
    add(mixed);
    base->run_ms.clear();
    profile({base, programs_[1].get()}, std::min(kMostSeconds, 0.6 * left()), deadline);
  }
  const double start_ms = measure::median(base->run_ms), found_ms = measure::median(programs_[judged]->run_ms);
  log_info("tune: whole model {:.3f} ms, before {:.3f} ms", found_ms, start_ms);
  return found_ms <= start_ms ? programs_[judged]->choices : start;
}

}  // namespace rooftune::tune
