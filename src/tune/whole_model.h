// Choices compared where they count: in the whole model, whose caches and neighbours a kernel measured alone does not
// see. Programs run interleaved; each task keeps what was faster there, and the result must beat the start as a whole.
#pragma once
#include <memory>
#include <vector>

#include "tune/workload.h"

namespace rooftune::tune {

class WholeModel {
 public:
  WholeModel(const Workload& workload, codegen::Codegen& codegen, int threads, uint64_t seed);
  ~WholeModel();

  double least_seconds() const;                  // a rough bound below which making programs is not worth beginning
  void add(const std::vector<Choice>& choices);  // makes a program of them and runs it once
  bool empty() const;
  double check_seconds() const;  // what better() will take for measuring
  /// Per task, milliseconds of one call in program `i`; empty where there is none.
  std::vector<double> task_ms(size_t i) const;

  /// The better of `start` (program 0) and `found`, task by task, as far as `deadline` allows; at last the whole.
  std::vector<Choice> better(const std::vector<Choice>& start, const std::vector<Choice>& found, double deadline);

 private:
  struct Program;
  void profile(std::vector<Program*> programs, double seconds, double deadline) const;
  const Workload& work_;
  codegen::Codegen& codegen_;
  int threads_;
  std::vector<ir::Tensor> inputs_;
  std::vector<std::unique_ptr<Program>> programs_;
  double make_seconds_ = 0;  // of the last program
};

}  // namespace rooftune::tune
