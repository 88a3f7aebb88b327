// How long a scheduled kernel takes, learned from measurements: boosted trees that correct what arithmetic says
// (features.h), in logarithms of shares of the roof, never below the roof. An ensemble says where it does not know: each
// member has not seen some of the kernels, and how wrong it was there makes the interval around every prediction.
//
// `fit` learns from what earlier runs measured, on this machine or others; `refine` adds what this run measures, which is
// little and counts most, and takes milliseconds.
#pragma once
#include <memory>
#include <vector>

#include "base/json.h"
#include "estimate/features.h"
#include "estimate/trees.h"

namespace rooftune::estimate {

struct Sample {
  Features features;
  double ms = 0;
  uint64_t kernel = 0;  // equal for schedules of one kernel
};

struct Prediction {
  double ms = 0;
  double low_ms = 0, high_ms = 0;  // the truth is in between nine times out of ten
  double log_error = 0;            // standard deviation of the logarithm of the time
};

class CostModel {
 public:
  /// Without samples, or without a tree library, predictions are those of arithmetic, with wide intervals.
  explicit CostModel(uint64_t seed = 0) : seed_(seed) {}

  /// Replaces what was learned. Deterministic. `effort`: share of the trees, for what has little time.
  void fit(const std::vector<Sample>& samples, double effort = 1);
  /// What this run measured, all of it every time; what `fit` learned stays.
  void refine(const std::vector<Sample>& samples);
  bool learned() const { return !members_.empty() || recent_ != nullptr; }

  Prediction predict(const Features& features) const;
  std::vector<Prediction> predict(const std::vector<Features>& features) const;

  /// Compact (CBOR); read back by `load`, which gives an untaught model where the features have changed since. InputError
  /// where it is damaged.
  std::string save() const;
  static CostModel load(const std::string& bytes, const std::string& source);

 private:
  std::vector<double> errors_of(const Matrix& rows) const;
  uint64_t seed_;
  std::vector<std::shared_ptr<const Trees>> members_;
  std::shared_ptr<const Trees> error_;   // of what the members predict, as a logarithm
  std::shared_ptr<const Trees> recent_;  // what the members are off by in this run
  double quantile_ = kUntaughtQuantile;  // of errors over error_, that covers nine in ten
  double recent_error_ = 0;              // standard deviation left after recent_
  static constexpr double kUntaughtQuantile = 1.645;
};

}  // namespace rooftune::estimate
