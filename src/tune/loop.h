// How the budget is spent over tasks: first every algorithm's start, the most expensive tasks first, then batches where
// most is to be gained. It knows neither processes nor code: times come from a MeasurementSource, so that the same
// measurements give the same choices.
#pragma once
#include <vector>

#include "tune/task_search.h"
#include "tune/tuner.h"

namespace rooftune::tune {

struct LoopInput {
  const std::vector<Task>* tasks = nullptr;
  kernel::Machine machine;
  std::vector<Choice> start;     // per task: what it may not fall behind
  std::vector<double> start_ms;  // per task and call, where known: decides which is first; empty: predicted
  double deadline = 0;           // on the source's clock
  uint64_t seed = 0;
  Progress* progress = nullptr;
  const Cancelled* cancelled = nullptr;
};

struct LoopOutput {
  std::vector<Choice> choices;
  std::vector<double> ms;            // measured of the choice; 0: never measured
  std::vector<double> start_ms;      // measured of the start; 0: never measured
  std::vector<double> predicted_ms;  // of the choice
  std::vector<TaskLog> logs;
};

LoopOutput tune_loop(const LoopInput& input, MeasurementSource& source);

}  // namespace rooftune::tune
