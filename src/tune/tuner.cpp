#include "tune/tuner.h"

#include <algorithm>

#include "base/log.h"
#include "measure/load.h"
#include "tune/database.h"
#include "tune/loop.h"
#include "tune/predict.h"
#include "tune/whole_model.h"

namespace rooftune::tune {
namespace {

constexpr double kMostReserve = 0.4;  // of the budget, for the check on the whole model

/// The database's choice for a task where it has one that still applies.
std::optional<Choice> recall(const Database& database, const EntryKey& key, const Task& task) {
  const auto entry = database.find(key);
  if (!entry) return std::nullopt;
  for (size_t v = 0; v < task.variants.size(); ++v) {
    const auto& kernel = task.variants[v].kernel;
    if (task.variants[v].algorithm != entry->algorithm) continue;
    try {
      Choice choice{v, kernel::parse_schedule(kernel, entry->schedule)};
      const std::string why = kernel::why_illegal(kernel, choice.schedule);
      if (why.empty()) return choice;
      log_debug("tune {}: the database's schedule is not legal any more: {}", task.name, why);
    } catch (const Error& e) {
      log_debug("tune {}: the database's schedule is not readable: {}", task.name, e.what());
    }
    return std::nullopt;
  }
  return std::nullopt;
}

class Tuning {
 public:
  Tuning(const Workload& workload, const kernel::Machine& machine, codegen::Codegen& codegen,
         const TuneOptions& options)
      : work_(workload), machine_(machine), codegen_(codegen), options_(options), begin_(measure::now_seconds()) {
    if (!options.database.empty()) database_ = std::make_unique<Database>(options.database);
  }

  Tuned run() {
    for (const auto& task : work_.tasks) {
      auto recalled = database_ ? recall(*database_, key(task), task) : std::nullopt;
      result_.logs.emplace_back();
      result_.logs.back().from_database = recalled.has_value();
      if (recalled) log_recalled(task, *recalled);
      result_.choices.push_back(recalled ? std::move(*recalled) : first_choice(task, machine_));
    }
    if (options_.budget_seconds > 0 && !work_.tasks.empty()) search();
    result_.seconds = measure::now_seconds() - begin_;
    return std::move(result_);
  }

 private:
  EntryKey key(const Task& task) const { return {task.key, options_.machine, options_.threads, codegen_.version()}; }

  void log_recalled(const Task& task, const Choice& choice) {
    const auto entry = database_->find(key(task));
    const auto& kernel = task.variants[choice.variant].kernel;
    result_.logs.back().top.push_back(
        {entry->algorithm, kernel::print(kernel, choice.schedule), entry->predicted_ms, entry->measured_ms});
  }

  void search() {
    const double end = begin_ + options_.budget_seconds;
    const std::vector<Choice> start = result_.choices;
    WholeModel whole(work_, codegen_, options_.threads, options_.seed);
    // The start's program: what it took to make is what making another one takes. It also says where the time goes.
    double reserve = 0;
    if (options_.budget_seconds >= whole.least_seconds()) {
      whole.add(start);
      reserve = std::min(kMostReserve * options_.budget_seconds,
                         1.3 * (measure::now_seconds() - begin_) + whole.check_seconds());
    }
    MeasureOptions measuring;
    measuring.threads = options_.threads;
    measuring.l3 = machine_.l3;
    measuring.seed = options_.seed;
    measuring.cancelled = options_.cancelled;
    ProcessMeasurer source(work_, codegen_, measuring);
    LoopInput input;
    input.tasks = &work_.tasks;
    input.machine = machine_;
    input.start = start;
    input.start_ms = whole.task_ms(0);
    input.deadline = end - reserve;
    input.seed = options_.seed;
    input.progress = options_.progress;
    input.cancelled = options_.cancelled;
    LoopOutput found = tune_loop(input, source);
    for (size_t t = 0; t < work_.tasks.size(); ++t) {
      found.logs[t].from_database = result_.logs[t].from_database;
      result_.logs[t] = std::move(found.logs[t]);
    }
    result_.choices = found.choices;
    if (!whole.empty() && !(options_.cancelled != nullptr && options_.cancelled->requested()) &&
        measure::now_seconds() < end)
      result_.choices = whole.better(start, found.choices, end);
    remember(start, found);
  }

  /// Stores what was measured, but for choices that lost in the whole model.
  void remember(const std::vector<Choice>& start, const LoopOutput& found) {
    if (!database_) return;
    for (size_t t = 0; t < work_.tasks.size(); ++t) {
      const Choice& choice = result_.choices[t];
      const bool is_start = choice.variant == start[t].variant && choice.schedule == start[t].schedule;
      const double ms = is_start ? found.start_ms[t] : found.ms[t];
      if (ms <= 0) continue;
      const auto& variant = work_.tasks[t].variants[choice.variant];
      database_->put({key(work_.tasks[t]), variant.algorithm, kernel::print(variant.kernel, choice.schedule), ms,
                      predict_ms(variant.kernel, choice.schedule, machine_)});
    }
  }

  const Workload& work_;
  const kernel::Machine& machine_;
  codegen::Codegen& codegen_;
  const TuneOptions& options_;
  double begin_;
  std::unique_ptr<Database> database_;
  Tuned result_;
};

}  // namespace

Tuned tune(const Workload& workload, const kernel::Machine& machine, codegen::Codegen& codegen,
           const TuneOptions& options) {
  return Tuning(workload, machine, codegen, options).run();
}

}  // namespace rooftune::tune
