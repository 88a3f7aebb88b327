// The search for one task's schedule: a strategy (search/) over the algorithms and the decisions that a kernel's sketch asks
// for. It proposes what the preset's guide holds for promising; measuring is its caller's business.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "estimate/cost_model.h"
#include "search/sampler.h"
#include "tune/measure_task.h"
#include "tune/preset.h"

namespace rooftune::tune {

inline constexpr const char* kAlgorithmDecision = "algorithm";  // index of a variant, where a task has several

struct Candidate {
  Choice choice;
  search::Point point;  // its decisions; but for the algorithm none where only the schedule is known
  double predicted_ms = 0;
  estimate::Features features;
};

/// What searches are guided by, shared by those of all tasks of a run.
struct Guidance {
  Preset preset;
  estimate::CostTarget target;
  estimate::CostModel model;
};

class TaskSearch {
 public:
  /// `guidance` must outlive it, and may learn meanwhile.
  TaskSearch(const Task& task, const Guidance& guidance, uint64_t seed);
  TaskSearch(const TaskSearch&) = delete;
  TaskSearch& operator=(const TaskSearch&) = delete;

  /// Points that were good for this kernel elsewhere: another machine, another version of the code generator.
  void hint(std::vector<search::Point> points) { hints_ = std::move(points); }
  /// The candidate of a choice that was not found here (analytical, from the database); it counts as proposed. Its point
  /// is that of the hint that makes it, else its algorithm's start.
  Candidate adopt(const Choice& choice);
  /// What the hints make here, where it was not proposed yet.
  std::vector<Candidate> hinted();
  /// The direct algorithm under its analytical schedule: what all others' results are compared with. Counts as proposed.
  Candidate reference() { return adopt({0, kernel::make_schedule(task_.variants[0].kernel, machine())}); }
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

  /// Schedules that were looked at and must not be used, by reason; how often.
  const std::map<std::string, int>& illegal() const { return illegal_; }
  /// Schedules that were predicted and not measured, because others promised more.
  int passed() const { return passed_; }

 private:
  const kernel::Machine& machine() const { return guidance_.target.machine; }
  Candidate candidate(const search::Point& point) const;
  void predict(std::vector<Candidate>& candidates) const;
  std::vector<search::Belief> beliefs(const std::vector<search::Point>& points);

  const Task& task_;
  const Guidance& guidance_;
  search::Random random_;
  search::Space space();
  std::map<std::string, int> illegal_;
  std::map<search::Point, Choice> made_;  // by the space, since the last proposal
  int passed_ = 0;
  std::vector<estimate::KernelWork> work_;  // of each variant
  std::vector<search::Point> hints_;
  std::map<search::Point, Candidate> looked_at_;      // by the strategy, for its current batch
  std::map<search::Point, estimate::Features> told_;  // … and what it was told of
  std::unique_ptr<search::Strategy> strategy_;
  std::vector<Result> results_;
};

}  // namespace rooftune::tune
