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
  kernel::Machine machine;
  std::vector<Choice> start;     // per task: what it may not fall behind, where that computes what it should
  std::vector<double> start_ms;  // per task and call, where known: decides which is first; empty: predicted
  double deadline = 0;           // on the source's clock
  uint64_t seed = 0;
  Progress* progress = nullptr;
  const Cancelled* cancelled = nullptr;
};

struct LoopOutput {
  std::vector<Choice> choices;
  std::vector<double> ms;        // measured of the choice, on the scale of the start's; 0: never measured
  std::vector<double> start_ms;  // measured of the start; 0: never measured
  std::vector<bool> refuted;     // the start failed: `choices` holds an analytical one, or what was found from there
  std::vector<TaskLog> logs;
};

LoopOutput tune_loop(const LoopInput& input, MeasurementSource& source);

}  // namespace rooftune::tune
