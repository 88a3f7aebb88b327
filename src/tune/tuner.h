// The tuning loop: which algorithm and schedule each task gets, found by measurement within a budget. It starts from the
// analytical choices, spends time where the model spends it, keeps what was found when it is stopped, and never ends
// worse than it began.
#pragma once
#include <string>
#include <vector>

#include "base/progress.h"
#include "hardware/spec.h"
#include "tune/database.h"
#include "tune/preset.h"
#include "tune/workload.h"

namespace rooftune::tune {

struct TuneOptions {
  double budget_seconds = 0;  // 0: nothing is measured; the database's choices where it has them, else the analytical
  int threads = 1;
  uint64_t seed = 0;
  std::string database;  // path (see tune/database.h); empty: none
  std::string machine;   // key of this machine in the database
  Preset preset;         // how it is searched
  hardware::Spec spec;   // of this machine with `threads` threads: what rooflines are computed from
  bool again = false;    // also where the database has choices that were found with no less time
  Progress* progress = nullptr;
  const Cancelled* cancelled = nullptr;
};

struct Trial {
  std::string algorithm;
  std::string schedule;
  double predicted_ms = 0;  // 0: no prediction
  double measured_ms = 0;
  std::string why_not;  // it is not the choice; empty for that
};

struct TaskLog {
  int trials = 0;  // schedules measured
  int passed = 0;  // … and looked at, but not measured, because others promised more
  bool from_database = false;
  std::vector<Trial> top;             // best first, at most five
  std::vector<std::string> rejected;  // schedules that must not be used, and why; each reason of an algorithm once
};

struct Tuned {
  // One per task:
  std::vector<Choice> choices;
  std::vector<double> ms;            // measured of the choice by itself; 0: not known
  std::vector<double> predicted_ms;  // of the choice
  std::vector<TaskLog> logs;
  double seconds = 0;
  double foreign_share = 0;     // of the machine's time, that other work took meanwhile
  std::vector<Record> records;  // all that was measured
  double budget_seconds = 0;    // that the choices were found in, now or when they were put into the database
};

Tuned tune(const Workload& workload, const kernel::Machine& machine, codegen::Codegen& codegen,
           const TuneOptions& options);

/// The analytical choices: what tuning starts from, and falls back to.
Tuned untuned(const Workload& workload, const kernel::Machine& machine);

/// What the database keeps of each task's choice; the time is 0 where it is not known.
std::vector<Entry> entries(const Workload& workload, const Tuned& tuned, const codegen::Codegen& codegen,
                           const TuneOptions& options);
bool same_choices(const std::vector<Choice>& a, const std::vector<Choice>& b);

/// Stores in the database what was found for each task: for its caller to call once the whole program was seen to be
/// right. A database that cannot be written to is no reason to lose a tuned model, so that is a warning.
void remember(const Workload& workload, const Tuned& tuned, const codegen::Codegen& codegen,
              const TuneOptions& options);
/// Removes what the database has for these tasks: for a program that was seen to be wrong. Does not throw either.
void forget(const Workload& workload, const codegen::Codegen& codegen, const TuneOptions& options);

}  // namespace rooftune::tune
