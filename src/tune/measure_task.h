// Measurement of candidates for a task. The tuning loop sees only a MeasurementSource, so that tests replay measurements
// from a table; the real source runs every batch in a child process: a candidate that crashes or hangs costs its batch a
// repetition and nothing else.
#pragma once
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/progress.h"
#include "tune/workload.h"

namespace rooftune::tune {

/// What became of one candidate: a time, or a failure, or neither (time was up before its turn).
struct Measured {
  double ms = std::numeric_limits<double>::infinity();  // undisturbed time; infinite where it was not measured
  bool checked = false;                                 // its outputs agree with those of the task's reference
  std::string failure;                                  // why it must not be used: crashed, hung, wrong result

  bool timed() const { return ms < std::numeric_limits<double>::infinity() && failure.empty(); }
};

struct Batch {
  size_t task = 0;  // index into the workload
  std::vector<Choice> choices;
  bool has_reference = false;  // choices[0] is what the outputs of this task's candidates are compared with from now on
  bool thorough = false;       // every candidate to the end, the hopeless ones, too: for who learns from them
  size_t incumbent = 0;        // index of what the others' times are compared with: measured to the end, always checked
  double deadline = std::numeric_limits<double>::infinity();  // on the source's clock
};

class MeasurementSource {
 public:
  virtual ~MeasurementSource() = default;
  virtual double seconds() = 0;  // the clock on which budgets are kept
  /// One result per choice; all times are as if taken together with the incumbent's. Only candidates that may become
  /// the best are checked.
  virtual std::vector<Measured> measure(const Batch& batch) = 0;
};

struct MeasureOptions {
  int threads = 1;
  int64_t l3 = 32 << 20;     // bytes: what the model's weights exceed comes from memory
  uint64_t seed = 0;         // of random inputs
  double hang_seconds = 20;  // without any sign of life
  const Cancelled* cancelled = nullptr;
};

class ProcessMeasurer : public MeasurementSource {
 public:
  ProcessMeasurer(const Workload& workload, codegen::Codegen& codegen, const MeasureOptions& options);
  ~ProcessMeasurer() override;
  double seconds() override;
  std::vector<Measured> measure(const Batch& batch) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rooftune::tune
