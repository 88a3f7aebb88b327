// What each part of the search is worth: the fastest schedule found against the number of measurements. Every schedule of a
// kernel is measured once, whichever search asks for it first, so that all see the same times and differ in nothing but
// what they ask.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/error.h"
#include "bench/tuning/tuning_bench.h"
#include "measure/peaks.h"
#include "passes/pass.h"
#include "pipeline/free_dims.h"
#include "pipeline/model.h"
#include "tune/task_search.h"

namespace rooftune::bench {
namespace {

/// Times of one task's schedules, each the lesser of two: other work on the machine only ever adds time.
class Times {
 public:
  Times(const tune::Task& task, size_t number, tune::MeasurementSource& source)
      : task_(task), number_(number), source_(source) {}

  std::vector<tune::Measured> of(const std::vector<tune::Candidate>& candidates, const tune::Candidate& reference) {
    tune::Batch batch;
    batch.task = number_;
    batch.has_reference = known_.empty();
    batch.choices = {reference.choice};
    std::vector<uint64_t> asked = {key(reference)};
    for (const auto& c : candidates)
      if (!known_.contains(key(c)) && key(c) != asked[0]) batch.choices.push_back(c.choice), asked.push_back(key(c));
    if (known_.empty() || asked.size() > 1) {
      const auto once = source_.measure(batch);
      batch.has_reference = false;
      const auto twice = source_.measure(batch);
      for (size_t i = 0; i < asked.size(); ++i) {
        auto& known = known_.try_emplace(asked[i], once[i]).first->second;
        known.ms = std::min({known.ms, once[i].ms, twice[i].ms});
      }
    }
    std::vector<tune::Measured> result;
    for (const auto& c : candidates) result.push_back(known_.at(key(c)));
    return result;
  }

 private:
  uint64_t key(const tune::Candidate& c) const {
    return kernel::hash(task_.variants[c.choice.variant].kernel, c.choice.schedule) ^ c.choice.variant;
  }
  const tune::Task& task_;
  size_t number_;
  tune::MeasurementSource& source_;
  std::map<uint64_t, tune::Measured> known_;
};

/// The fastest so far after each measurement.
std::vector<double> searched(const tune::Task& task, Times& times, tune::Guidance guidance, uint64_t seed,
                             size_t most) {
  tune::TaskSearch search(task, guidance, seed);
  const auto reference = search.reference();
  std::vector<estimate::Sample> measured;
  std::vector<double> fastest;
  const auto measure = [&](const std::vector<tune::Candidate>& candidates) {
    const auto results = times.of(candidates, reference);
    for (size_t i = 0; i < candidates.size(); ++i) {
      search.tell(candidates[i], results[i]);
      fastest.push_back(std::min(fastest.empty() ? results[i].ms : fastest.back(), results[i].ms));
      if (results[i].timed()) measured.push_back({candidates[i].features, results[i].ms, task.key});
    }
    if (guidance.preset.model == tune::Guide::learned) guidance.model.refine(measured);
  };
  auto first = search.starts();
  first.insert(first.begin(), reference);
  measure(first);
  while (fastest.size() < most) {
    const auto proposed = search.propose(std::min(static_cast<size_t>(guidance.preset.batch), most - fastest.size()));
    if (proposed.empty()) break;
    measure(proposed);
  }
  return fastest;
}

}  // namespace

int ablation(const Arguments& arguments) {
  const auto target = target_of(arguments);
  const auto codegen = target.make_codegen();
  const auto most = static_cast<size_t>(arguments.number("measurements", 96));
  const auto seeds = static_cast<uint64_t>(arguments.number("seeds", 5));
  const auto tasks = static_cast<size_t>(arguments.number("tasks", 4));
  std::vector<Row> others;
  if (const auto file = arguments.text("transfer", ""); !file.empty()) others = read_rows({file});
  std::ofstream out(arguments.text("out", "ablation.csv"), std::ios::app);
  for (const auto& path : arguments.words) {
    const auto name = std::filesystem::path(path).stem().string();
    const Prepared prepared(path, target);
    const auto& work = prepared.work;
    tune::ProcessMeasurer source(work, *codegen,
                                 {.threads = target.machine.threads, .l3 = target.machine.l3, .seed = 1});
    std::set<uint64_t> own;
    for (const auto& task : work.tasks) own.insert(task.key);
    std::vector<estimate::Sample> known;
    for (const auto& row : others)
      if (row.model != name && !own.contains(row.record.key.kernel)) known.push_back(sample_of(row));
    // The tasks that most of the work is in.
    std::vector<size_t> order(work.tasks.size());
    for (size_t t = 0; t < order.size(); ++t) order[t] = t;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return work.tasks[a].runs * work.tasks[a].direct_flops > work.tasks[b].runs * work.tasks[b].direct_flops;
    });
    order.resize(std::min(tasks, order.size()));
    estimate::CostModel taught(1);
    taught.fit(known, 0.4);
    for (const size_t t : order) {
      Times times(work.tasks[t], t, source);
      for (uint64_t seed = 1; seed <= seeds; ++seed)
        for (const std::string preset : {"random", "evolutionary", "guided", "bayesian", "default"}) {
          if (preset == "default" && known.empty()) continue;
          tune::Guidance guidance{tune::find_preset(preset), prepared.guidance.target, estimate::CostModel(seed)};
          if (preset == "default") guidance.model = taught;
          const auto fastest = searched(work.tasks[t], times, std::move(guidance), seed, most);
          for (size_t i = 0; i < fastest.size(); ++i)
            out << fmt::format("{},{},{},{},{},{:.6g}\n", name, work.tasks[t].name, preset, seed, i + 1, fastest[i]);
          out.flush();
        }
      fmt::print(stderr, "{} {}\n", name, work.tasks[t].name);
    }
  }
  return 0;
}

}  // namespace rooftune::bench
