// Top-1 accuracy of a classifier: how often the largest of its scores is that of the right class.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace rooftune::verify {

/// Which output holds scores of classes: the first of floating-point numbers whose last dimension has at least two. -1: none.
int scores_output(const std::vector<ir::Tensor>& outputs);

/// The class of each row of scores (the first of equal ones); -1 where a score is NaN.
std::vector<int64_t> classes(const ir::Tensor& scores);

/// Counted over the rows of all samples.
struct Accuracy {
  int64_t rows = 0;
  int64_t reference_right = 0, candidate_right = 0;
  bool labelled = false;  // right is what the labels say; else what the reference says

  double reference_pct() const { return percent(reference_right); }
  double candidate_pct() const { return percent(candidate_right); }
  /// In percentage points; below 0 where the candidate is right more often.
  double drop_pct() const { return reference_pct() - candidate_pct(); }

  /// Adds the rows of a sample. `labels`: one for each, or none.
  void add(const ir::Tensor& reference, const ir::Tensor& candidate, const std::vector<int64_t>& labels);

 private:
  double percent(int64_t right) const {
    return rows > 0 ? 100 * static_cast<double>(right) / static_cast<double>(rows) : 0;
  }
};

}  // namespace rooftune::verify
