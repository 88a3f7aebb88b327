#include "verify/accuracy.h"

#include <cmath>

#include "base/error.h"

namespace rooftune::verify {

int scores_output(const std::vector<ir::Tensor>& outputs) {
  for (size_t i = 0; i < outputs.size(); ++i)
    if (ir::is_float(outputs[i].dtype()) && outputs[i].rank() > 0 && outputs[i].dim(-1) >= 2)
      return static_cast<int>(i);
  return -1;
}

std::vector<int64_t> classes(const ir::Tensor& scores) {
  const int64_t count = scores.dim(-1), rows = scores.size() / count;
  std::vector<int64_t> result;
  for (int64_t r = 0; r < rows; ++r) {
    int64_t best = 0;
    for (int64_t c = 0; c < count && best >= 0; ++c) {
      const double score = scores.as_double(r * count + c);
      if (std::isnan(score)) best = -1;
      else if (score > scores.as_double(r * count + best)) best = c;
    }
    result.push_back(best);
  }
  return result;
}

void Accuracy::add(const ir::Tensor& reference, const ir::Tensor& candidate, const std::vector<int64_t>& labels) {
  const auto wanted = classes(reference), got = classes(candidate);
  RT_CHECK(wanted.size() == got.size() && (labels.empty() || labels.size() == got.size()));
  labelled = labelled || !labels.empty();
  for (size_t r = 0; r < got.size(); ++r) {
    const int64_t right = labels.empty() ? wanted[r] : labels[r];
    ++rows;
    reference_right += wanted[r] == right || labels.empty() ? 1 : 0;
    candidate_right += got[r] == right && got[r] >= 0 ? 1 : 0;
  }
}

}  // namespace rooftune::verify
