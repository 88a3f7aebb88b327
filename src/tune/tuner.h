// The tuning loop: which algorithm and schedule each task gets, found by measurement within a budget. It starts from the
// analytical choices, spends time where the model spends it, keeps what was found when it is stopped, and never ends
// worse than it began.
#pragma once
#include <string>
#include <vector>

#include "base/progress.h"
#include "tune/workload.h"

namespace rooftune::tune {

struct TuneOptions {
  double budget_seconds = 0;  // 0: nothing is measured; the database's choices where it has them, else the analytical
  int threads = 1;
  uint64_t seed = 0;
  std::string database;  // path; empty: none
  std::string machine;   // key of this machine in the database
  Progress* progress = nullptr;
  const Cancelled* cancelled = nullptr;
};

struct Trial {
  std::string algorithm;
  std::string schedule;
  double predicted_ms = 0;  // 0: no prediction
  double measured_ms = 0;
};

struct TaskLog {
  int trials = 0;  // schedules measured
  bool from_database = false;
  std::vector<Trial> top;  // best first, at most five
};

struct Tuned {
  std::vector<Choice> choices;  // one per task
  std::vector<TaskLog> logs;
  double seconds = 0;
};

Tuned tune(const Workload& workload, const kernel::Machine& machine, codegen::Codegen& codegen,
           const TuneOptions& options);

}  // namespace rooftune::tune
