#include "pipeline/commands.h"

namespace rooftune::pipeline {

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {"doctor", doctor},     {"import", import_model}, {"characterize", characterize}, {"analyze", analyze},
      {"run", run},           {"bench", bench},         {"profile", profile},           {"verify", verify},
      {"optimize", optimize},
  };
  return all;
}

}  // namespace rooftune::pipeline
