// The search for one task's schedule: an evolutionary strategy (search/) over the algorithms and the decisions that a
// kernel's sketch asks for. It proposes what the predictor holds for promising among what the strategy asks; measuring is
// its caller's business.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "search/sampler.h"
#include "tune/measure_task.h"

namespace rooftune::tune {

struct Candidate {
  Choice choice;
  search::Point point;  // its decisions; but for the algorithm none where only the schedule is known
  double predicted_ms = 0;
};

class TaskSearch {
 public:
  TaskSearch(const Task& task, const kernel::Machine& machine, uint64_t seed);

  /// The candidate of a choice that was not found here (analytical, from the database); it counts as proposed.
  Candidate adopt(const Choice& choice);
  /// The direct algorithm under its analytical schedule: what all others' results are compared with. Counts as proposed.
  Candidate reference() { return adopt({0, kernel::make_schedule(task_.variants[0].kernel, machine_)}); }
  /// The analytical schedule of every variant that was not proposed yet.
  std::vector<Candidate> starts();
  /// Up to `n` new legal schedules, the most promising first; fewer, at last none, where no more are found.
  std::vector<Candidate> propose(size_t n);
  void tell(const Candidate& candidate, const Measured& measured);

  struct Result {
    Candidate candidate;
    Measured measured;
  };
  const std::vector<Result>& results() const { return results_; }  // in order of tells
  /// Rank correlation of predicted and measured times (1: perfect), 0 below six results.
  double predictor_quality() const;

 private:
  Candidate candidate(const search::Point& point) const;

  const Task& task_;
  const kernel::Machine machine_;
  search::Random random_;
  std::unique_ptr<search::Strategy> strategy_;
  std::vector<Result> results_;
};

}  // namespace rooftune::tune
