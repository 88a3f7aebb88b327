#include "tune/tuner.h"

#include <algorithm>
#include <limits>

#include "base/log.h"
#include "estimate/predict.h"
#include "measure/load.h"
#include "tune/database.h"
#include "tune/loop.h"
#include "tune/whole_model.h"

namespace rooftune::tune {
namespace {

constexpr double kMostReserve = 0.4;       // of the budget, for the check on the whole model
constexpr double kHangShare = 0.25;        // of the budget: a candidate that is silent for longer hangs
constexpr size_t kMostRecords = 4000;      // of the database, that the cost model is taught before the search
constexpr double kRecordsPerSecond = 200;  // of the budget: teaching takes a small share of it
constexpr size_t kHints = 3;               // schedules tried first because they were best elsewhere

EntryKey key_of(const Task& task, const codegen::Codegen& codegen, const TuneOptions& options) {
  return {task.key, options.machine, options.threads, codegen.version()};
}

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
    result_ = untuned(work_, machine_);
    double least = std::numeric_limits<double>::infinity();  // time that what is recalled was found in
    bool complete = database_ != nullptr && !options_.again;
    for (size_t t = 0; t < work_.tasks.size() && database_; ++t) {
      const auto& task = work_.tasks[t];
      const EntryKey key = key_of(task, codegen_, options_);
      auto recalled = recall(*database_, key, task);
      complete = complete && recalled;
      if (!recalled) continue;
      const auto entry = database_->find(key);
      complete = complete && entry->budget_seconds >= options_.budget_seconds;
      least = std::min(least, entry->budget_seconds);
      auto& log = result_.logs[t];
      log.from_database = recalled_ = true;
      log.top.push_back({entry->algorithm, entry->schedule, entry->predicted_ms, entry->measured_ms, ""});
      result_.choices[t] = std::move(*recalled);
      result_.ms[t] = entry->measured_ms;
    }
    if (!recalled_ && options_.database.ends_with(".jsonl"))
      log_warning("tune: nothing in {} is for this model, machine, number of threads and code generator",
                  options_.database);
    result_.budget_seconds = complete ? least : options_.budget_seconds;
    if (complete) {
      for (size_t t = 0; t < work_.tasks.size(); ++t) result_.predicted_ms[t] = result_.logs[t].top[0].predicted_ms;
      result_.seconds = measure::now_seconds() - begin_;
      return std::move(result_);
    }
    const measure::LoadMonitor load;
    if (options_.budget_seconds > 0 && !work_.tasks.empty()) search();
    result_.foreign_share = load.foreign_share();
    if (options_.budget_seconds > 0 && result_.foreign_share > measure::kQuietShare)
      log_warning("tune: other work took {:.0f} % of the machine meanwhile: more may have been found without it",
                  100 * result_.foreign_share);
    result_.seconds = measure::now_seconds() - begin_;
    return std::move(result_);
  }

 private:
  bool cancelled() const { return options_.cancelled != nullptr && options_.cancelled->requested(); }

  void search() {
    const double end = begin_ + options_.budget_seconds;
    WholeModel whole(work_, codegen_, options_.threads, options_.seed,
                     [&] { return cancelled() || measure::now_seconds() > end; });
    // The start's program: what it took to make is what making another one takes. It also says where the time goes.
    double reserve = 0;
    if (options_.budget_seconds >= whole.least_seconds()) {
      if (whole.add(result_.choices, recalled_) == WholeModel::Added::does_not_run) {
        log_warning("tune: the program of the database's choices does not run; they are not used");
        forget(work_, codegen_, options_);
        result_ = untuned(work_, machine_);
        whole.add(result_.choices);
      }
      reserve = std::min(kMostReserve * options_.budget_seconds,
                         1.3 * (measure::now_seconds() - begin_) + whole.check_seconds());
    }
    std::vector<Choice> start = result_.choices;
    MeasureOptions measuring;
    measuring.threads = options_.threads;
    measuring.l3 = machine_.l3;
    measuring.seed = options_.seed;
    measuring.hang_seconds = std::clamp(kHangShare * options_.budget_seconds, 2.0, measuring.hang_seconds);
    measuring.cancelled = options_.cancelled;
    ProcessMeasurer source(work_, codegen_, measuring);
    LoopInput input;
    input.tasks = &work_.tasks;
    input.guidance = guidance();
    input.hints = hints();
    input.start = start;
    input.start_ms = whole.task_ms(0);
    input.deadline = end - reserve;
    input.seed = options_.seed;
    input.progress = options_.progress;
    input.cancelled = options_.cancelled;
    LoopOutput found = tune_loop(input, source);
    for (const auto& m : found.measurements) result_.records.push_back(record_of(m));
    std::vector<double> ratio(work_.tasks.size(), 0.0);
    bool refuted = false;
    for (size_t t = 0; t < work_.tasks.size(); ++t) {
      found.logs[t].from_database = result_.logs[t].from_database;
      result_.logs[t] = std::move(found.logs[t]);
      if (found.start_ms[t] > 0) ratio[t] = found.ms[t] / found.start_ms[t];
      if (!found.refuted[t]) continue;
      refuted = true;
      result_.logs[t].from_database = false;
      start[t] = found.choices[t];
    }
    if (refuted && !whole.empty()) {  // its program computes something else
      whole.clear();
      if (end - measure::now_seconds() > reserve / 2) whole.add(start);
    }
    const bool check = !whole.empty() && !cancelled() && measure::now_seconds() < end;
    result_.choices = check ? whole.better(start, found.choices, ratio, end) : clear_wins(start, found.choices, ratio);
    for (size_t t = 0; t < work_.tasks.size(); ++t) {
      const Choice& choice = result_.choices[t];
      const bool is_start = choice.variant == start[t].variant && choice.schedule == start[t].schedule;
      if (found.ms[t] > 0) result_.ms[t] = is_start && !found.refuted[t] ? found.start_ms[t] : found.ms[t];
      else if (found.refuted[t]) result_.ms[t] = 0;
      if (options_.preset.model != Guide::learned) continue;
      const auto& kernel = work_.tasks[t].variants[choice.variant].kernel;
      result_.predicted_ms[t] =
          found.model.predict(estimate::features(kernel, choice.schedule, input.guidance.target)).ms;
    }
  }

  /// What guides the search, taught by what the database holds of other kernels and machines.
  Guidance guidance() const {
    const Preset& preset = options_.preset;
    Guidance guidance{preset,
                      {machine_, options_.spec, static_cast<double>(weight_bytes(work_))},
                      estimate::CostModel(options_.seed)};
    if (!database_ || !preset.transfer || preset.model != Guide::learned) return guidance;
    const auto most = std::min(kMostRecords, static_cast<size_t>(kRecordsPerSecond * options_.budget_seconds));
    std::vector<estimate::Sample> samples;
    for (auto& r : database_->records(estimate::feature_version(), key_of({}, codegen_, options_), most)) {
      if (r.features.size() != estimate::feature_names().size()) continue;
      samples.push_back({{std::move(r.features), r.roofline_ms, r.rough_ms}, r.measured_ms, r.key.kernel});
    }
    const double began = measure::now_seconds();
    guidance.model.fit(samples, 0.4);
    log_debug("tune: the cost model learned from {} earlier measurements in {:.2f} s", samples.size(),
              measure::now_seconds() - began);
    return guidance;
  }

  std::vector<std::vector<search::Point>> hints() const {
    std::vector<std::vector<search::Point>> result(work_.tasks.size());
    for (size_t t = 0; t < result.size() && database_ && options_.preset.transfer; ++t) {
      const auto& variants = work_.tasks[t].variants;
      for (const auto& r : database_->best_of(key_of(work_.tasks[t], codegen_, options_), kHints)) {
        auto point = parse_decisions(r.decisions);
        const auto variant = std::find_if(variants.begin(), variants.end(),
                                          [&](const Variant& v) { return v.algorithm == r.algorithm; });
        if (variant == variants.end()) continue;
        if (variants.size() > 1) point[kAlgorithmDecision] = variant - variants.begin();
        else point.erase(kAlgorithmDecision);
        result[t].push_back(std::move(point));
      }
    }
    return result;
  }

  Record record_of(const Measurement& m) const {
    const auto& task = work_.tasks[m.task];
    const auto& choice = m.candidate.choice;
    const auto& variant = task.variants[choice.variant];
    return {key_of(task, codegen_, options_),
            variant.algorithm,
            kernel::print(variant.kernel, choice.schedule),
            print_decisions(m.candidate.point),
            m.ms,
            m.candidate.features.roofline_ms,
            m.candidate.features.rough_ms,
            estimate::feature_version(),
            m.candidate.features.values};
  }

  const Workload& work_;
  const kernel::Machine& machine_;
  codegen::Codegen& codegen_;
  const TuneOptions& options_;
  double begin_;
  std::unique_ptr<Database> database_;
  bool recalled_ = false;  // any choice
  Tuned result_;
};

}  // namespace

Tuned untuned(const Workload& workload, const kernel::Machine& machine) {
  Tuned result;
  for (const auto& task : workload.tasks) result.choices.push_back(first_choice(task, machine));
  result.ms.resize(workload.tasks.size());
  result.logs.resize(workload.tasks.size());
  for (size_t t = 0; t < workload.tasks.size(); ++t)
    result.predicted_ms.push_back(estimate::predict_ms(workload.tasks[t].variants[result.choices[t].variant].kernel,
                                                       result.choices[t].schedule, machine));
  return result;
}

bool same_choices(const std::vector<Choice>& a, const std::vector<Choice>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Choice& x, const Choice& y) {
    return x.variant == y.variant && x.schedule == y.schedule;
  });
}

std::vector<Entry> entries(const Workload& workload, const Tuned& tuned, const codegen::Codegen& codegen,
                           const TuneOptions& options) {
  std::vector<Entry> result;
  for (size_t t = 0; t < workload.tasks.size(); ++t) {
    const auto& choice = tuned.choices[t];
    const auto& variant = workload.tasks[t].variants[choice.variant];
    result.push_back({key_of(workload.tasks[t], codegen, options), variant.algorithm,
                      kernel::print(variant.kernel, choice.schedule), tuned.ms[t], tuned.predicted_ms[t],
                      tuned.budget_seconds});
  }
  return result;
}

void remember(const Workload& workload, const Tuned& tuned, const codegen::Codegen& codegen,
              const TuneOptions& options) {
  if (options.database.empty()) return;
  try {
    Database database(options.database);
    for (const auto& entry : entries(workload, tuned, codegen, options))
      if (entry.measured_ms > 0) database.put(entry);
    database.put(tuned.records);
  } catch (const Error& e) {
    log_warning("what tuning found is not remembered: {}", e.what());
  }
}

void forget(const Workload& workload, const codegen::Codegen& codegen, const TuneOptions& options) {
  if (options.database.empty()) return;
  try {
    Database database(options.database);
    for (const auto& task : workload.tasks) database.remove(key_of(task, codegen, options));
  } catch (const Error& e) {
    log_warning("what the database has for this model cannot be removed: {}", e.what());
  }
}

Tuned tune(const Workload& workload, const kernel::Machine& machine, codegen::Codegen& codegen,
           const TuneOptions& options) {
  return Tuning(workload, machine, codegen, options).run();
}

}  // namespace rooftune::tune
