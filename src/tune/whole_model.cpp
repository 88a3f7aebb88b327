#include "tune/whole_model.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "base/log.h"
#include "measure/load.h"
#include "measure/statistics.h"
#include "verify/inputs.h"

namespace rooftune::tune {
namespace {

constexpr double kLeastRuns = 5, kMostSeconds = 3;
constexpr double kFaster = 0.99;        // a task changes only for that share of its time
constexpr double kWholeFaster = 0.995;  // … and the model
constexpr double kClear = 0.9;          // a win of a task alone that the whole model cannot turn around
constexpr double kTrialSeconds = 30;
constexpr size_t kEnoughRuns = 3;  // to tell programs apart

/// Other work on the machine only ever adds time.
double undisturbed(const std::vector<double>& samples) { return measure::percentile(samples, 20); }

bool same(const Choice& a, const Choice& b) { return a.variant == b.variant && a.schedule == b.schedule; }

}  // namespace

std::vector<Choice> clear_wins(const std::vector<Choice>& start, const std::vector<Choice>& found,
                               const std::vector<double>& ratio) {
  std::vector<Choice> result = start;
  for (size_t t = 0; t < start.size(); ++t)
    if (ratio[t] > 0 && ratio[t] < kClear) result[t] = found[t];
  return result;
}

bool survives(const runtime::Program& program, int threads, const std::vector<ir::Tensor>& inputs, double seconds) {
  const pid_t pid = fork();
  if (pid < 0) throw EnvironmentError("cannot start a process to try a program in: {}", std::strerror(errno));
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);  // the parent decides
    try {
      const runtime::Executable executable(program, threads);
      const auto context = executable.make_context(threads);
      std::vector<ir::Tensor> outputs;
      executable.run(*context, inputs, outputs);
    } catch (const std::exception&) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  const double end = measure::now_seconds() + seconds;
  for (useconds_t pause = 200;; pause = std::min<useconds_t>(pause * 2, 20000)) {
    const pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended == pid) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (ended < 0 && errno != EINTR) return false;
    if (measure::now_seconds() > end) break;
    usleep(pause);
  }
  kill(pid, SIGKILL);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return false;
}

struct WholeModel::Program {
  std::vector<Choice> choices;
  runtime::Executable executable;
  std::unique_ptr<runtime::Context> context;
  std::vector<ir::Tensor> outputs;
  std::vector<std::vector<double>> step_ms;
  std::vector<double> run_ms;

  Program(std::vector<Choice> c, runtime::Program program, int threads)
      : choices(std::move(c)),
        executable(std::move(program), threads),
        context(executable.make_context(threads)),
        step_ms(executable.program().steps.size()) {}
};

WholeModel::WholeModel(const Workload& workload, codegen::Codegen& codegen, int threads, uint64_t seed,
                       std::function<bool()> stop)
    : work_(workload), codegen_(codegen), threads_(threads), stop_(std::move(stop)) {
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

void WholeModel::clear() { programs_.clear(); }

WholeModel::Added WholeModel::add(const std::vector<Choice>& choices, bool trial) {
  const double began = measure::now_seconds();
  auto program = assemble_unless(work_, choices, codegen_, stop_);
  if (!program) return Added::stopped;
  if (trial && !survives(*program, threads_, inputs_, kTrialSeconds)) return Added::does_not_run;
  programs_.push_back(std::make_unique<Program>(choices, std::move(*program), threads_));
  auto& p = *programs_.back();
  p.executable.run(*p.context, inputs_, p.outputs);
  make_seconds_ = measure::now_seconds() - began;
  profile({&p}, 0, began);
  return Added::yes;
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
  std::map<std::string, double> runs_of;
  for (size_t t = 0; t < work_.tasks.size(); ++t)
    for (size_t g : work_.tasks[t].groups) {
      task_of[work_.partition.groups[g].name] = t;
      runs_of[work_.partition.groups[g].name] = work_.runs_of_group[g];
    }
  std::vector<double> total(work_.tasks.size()), calls(work_.tasks.size());
  const auto& steps = p.executable.program().steps;
  for (size_t s = 0; s < steps.size(); ++s) {
    const auto found = task_of.find(steps[s].name);
    if (steps[s].kind != runtime::Step::Kind::kernel || found == task_of.end() || p.step_ms[s].empty()) continue;
    total[found->second] += undisturbed(p.step_ms[s]);
    calls[found->second] += runs_of[found->first];
  }
  for (size_t t = 0; t < total.size(); ++t) total[t] /= std::max(1.0, calls[t]);
  return total;
}

std::vector<Choice> WholeModel::better(const std::vector<Choice>& start, const std::vector<Choice>& found,
                                       const std::vector<double>& ratio, double deadline) {
  bool any = false;
  for (size_t t = 0; t < found.size(); ++t) any = any || !same(found[t], start[t]);
  auto left = [&] { return deadline - measure::now_seconds(); };
  if (!any) return start;
  if (left() < 1.2 * make_seconds_) return clear_wins(start, found, ratio);
  Program* base = programs_[0].get();
  for (auto& samples : base->step_ms) samples.clear();
  base->run_ms.clear();
  if (add(found) != Added::yes) return clear_wins(start, found, ratio);
  profile({base, programs_[1].get()}, std::min(kMostSeconds, 0.4 * left()), deadline);
  if (base->run_ms.size() < kEnoughRuns) return clear_wins(start, found, ratio);
  const auto before = task_ms(0), after = task_ms(1);
  std::vector<Choice> mixed = found;
  size_t kept = 0, changed = 0;
  for (size_t t = 0; t < mixed.size(); ++t) {
    if (same(found[t], start[t])) continue;
    ++changed;
    if (after[t] < kFaster * before[t]) continue;
    mixed[t] = start[t];
    ++kept;
  }
  log_debug("tune: {} of {} tuned tasks are faster in the model", changed - kept, changed);
  if (kept == changed) return start;
  if (kept > 0 && left() > 1.2 * make_seconds_) {
    programs_.pop_back();
    if (add(mixed) != Added::yes) return clear_wins(start, mixed, ratio);
    base->run_ms.clear();
    profile({base, programs_[1].get()}, std::min(kMostSeconds, 0.6 * left()), deadline);
  }
  if (base->run_ms.size() < kEnoughRuns) return clear_wins(start, found, ratio);
  const double start_ms = undisturbed(base->run_ms), found_ms = undisturbed(programs_[1]->run_ms);
  log_info("tune: whole model {:.3f} ms, before {:.3f} ms", found_ms, start_ms);
  return found_ms <= kWholeFaster * start_ms ? programs_[1]->choices : start;
}

}  // namespace rooftune::tune
