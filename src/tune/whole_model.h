// Choices compared where they count: in the whole model, whose caches and neighbours a kernel measured alone does not
// see. Programs run interleaved; each task keeps what was faster there, and the result must beat the start as a whole:
// what was not shown to be faster is not taken.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "tune/workload.h"

namespace rooftune::tune {

class WholeModel {
 public:
  /// `stop`: asked while code is generated, which takes long.
  WholeModel(const Workload& workload, codegen::Codegen& codegen, int threads, uint64_t seed,
             std::function<bool()> stop = {});
  ~WholeModel();

  double least_seconds() const;  // a rough bound below which making programs is not worth beginning
  /// Makes a program of them and runs it once. `trial`: first in a child process, because choices from elsewhere may
  /// crash or hang; where they do, or it was stopped, nothing is added.
  enum class Added : uint8_t { yes, does_not_run, stopped };
  Added add(const std::vector<Choice>& choices, bool trial = false);
  void clear();
  bool empty() const;
  double check_seconds() const;  // what better() will take for measuring
  /// Per task, milliseconds of one call in program `i`; empty where there is none.
  std::vector<double> task_ms(size_t i) const;

  /// The better of `start` (program 0) and `found`, task by task, and at last the whole; where `deadline` does not allow
  /// that, clear_wins. `ratio`: per task, what part of start's time found took alone.
  std::vector<Choice> better(const std::vector<Choice>& start, const std::vector<Choice>& found,
                             const std::vector<double>& ratio, double deadline);

 private:
  struct Program;
  void profile(std::vector<Program*> programs, double seconds, double deadline) const;
  const Workload& work_;
  codegen::Codegen& codegen_;
  int threads_;
  std::function<bool()> stop_;
  std::vector<ir::Tensor> inputs_;
  std::vector<std::unique_ptr<Program>> programs_;
  double make_seconds_ = 0;  // of the last program
};

/// `start`, but for tasks that `found` won so clearly by themselves that the whole model cannot be slower for them.
std::vector<Choice> clear_wins(const std::vector<Choice>& start, const std::vector<Choice>& found,
                               const std::vector<double>& ratio);

/// Whether a program can be loaded and run on `inputs`; tried in a child process, which has `seconds` for it.
bool survives(const runtime::Program& program, int threads, const std::vector<ir::Tensor>& inputs, double seconds);

}  // namespace rooftune::tune
