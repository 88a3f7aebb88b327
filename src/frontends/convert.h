// Models that only their own framework can read: its Python turns them into a file that one of our frontends reads, in a
// process of its own. The code that does so is python/rooftune/convert.py, which this library carries within itself, so
// that any Python with the framework will do and nothing of ours need be installed there.
#pragma once
#include <string>
#include <vector>

namespace rooftune::frontends {

struct Converter {
  std::string kind;                    // the sub-command of convert.py: "tensorflow"
  std::string framework;               // for messages: "TensorFlow"
  std::vector<std::string> packages;   // that the Python must have
  std::vector<std::string> variables;  // environment variables that may name it; before PATH, in their order
};

/// Writes `target` from `source`. EnvironmentError with the one command that installs the framework where no Python has
/// it, where the process was interrupted or takes more than an hour; InputError with the last words of the process where
/// it cannot convert the model.
void convert(const Converter& converter, const std::string& source, const std::string& target);

}  // namespace rooftune::frontends
