// How the budget is spent over tasks: first every algorithm's start, the most expensive tasks first, then batches where
// most is to be gained. It knows neither processes nor code: times come from a MeasurementSource, so that the same
// measurements give the same choices.
//
// What "right" means for a task is what its direct algorithm computes under the analytical schedule; all else, the start
// included, is checked against that. Every batch holds the task's incumbent, and only times of one batch are compared: a
// machine that is slower for a while is so for all of them. A winner takes the incumbent's place once it has won again.
#pragma once
#include <vector>

#include "tune/task_search.h"
#include "tune/tuner.h"

namespace rooftune::tune {

struct LoopInput {
  const std::vector<Task>* tasks = nullptr;
  Guidance guidance;             // its model goes on learning from what is measured
  std::vector<Choice> start;     // per task: what it may not fall behind, where that computes what it should
  std::vector<double> start_ms;  // per task and call, where known: decides which is first; empty: predicted
  std::vector<std::vector<search::Point>> hints;  // per task: points that were good elsewhere, tried first; empty: none
  double deadline = 0;                            // on the source's clock
  uint64_t seed = 0;
  Progress* progress = nullptr;
  const Cancelled* cancelled = nullptr;
};

/// What was measured of a candidate, on the scale of its task's start.
struct Measurement {
  size_t task = 0;
  Candidate candidate;
  double ms = 0;
};

struct LoopOutput {
  std::vector<Choice> choices;
  std::vector<double> ms;        // measured of the choice, on the scale of the start's; 0: never measured
  std::vector<double> start_ms;  // measured of the start; 0: never measured
  std::vector<bool> refuted;     // the start failed: `choices` holds an analytical one, or what was found from there
  std::vector<TaskLog> logs;
  std::vector<Measurement> measurements;  // of all candidates that ran, in their order
  estimate::CostModel model;              // what it knows now
};

LoopOutput tune_loop(const LoopInput& input, MeasurementSource& source);

}  // namespace rooftune::tune
