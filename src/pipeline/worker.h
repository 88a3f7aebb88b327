// Other engines (onnxruntime, OpenVINO), each live in a Python process of its own: bench/worker.py, driven line by line.
// The program itself needs no Python; who wants rivals beside it has one with them installed.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "ir/tensor.h"

namespace rooftune::pipeline {

/// Engines that workers can hold, and the Python package of each.
struct Rival {
  std::string engine, package;
};
const std::vector<Rival>& rivals();

class Worker {
 public:
  /// Starts an engine on a model with these inputs, all files in `folder`, and waits until it has run once.
  /// EnvironmentError where no Python has the engine; InputError where the engine does not take the model.
  Worker(const Rival& rival, const std::string& model, const std::string& precision, int threads,
         const std::vector<std::string>& input_names, const std::vector<ir::Tensor>& inputs, const std::string& folder,
         const Cancelled& cancelled);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  const Json& info() const { return info_; }  // {version, load_s, first_ms}
  /// Runs for about this long: {times_ms[], peak_mb}.
  Json burst(double seconds, const Cancelled& cancelled);
  /// Of the inputs, by output name: InputError where the engine gave none of that name.
  std::vector<ir::Tensor> outputs(const std::vector<std::string>& names) const;

 private:
  std::string read_line(double limit_seconds, const Cancelled& cancelled);
  [[noreturn]] void fail() const;
  void stop();

  std::string engine_, package_, python_, folder_, buffer_;
  Json info_;
  pid_t process_ = -1;
  int socket_ = -1;
};

}  // namespace rooftune::pipeline
