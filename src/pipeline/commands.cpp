#include "pipeline/commands.h"

#include "pipeline/request.h"
#include "plugins/plugins.h"

namespace rooftune::pipeline {
namespace {

/// The command, after the plug-ins that the request and the environment name.
template <auto command>
Json with_plugins(const Json& request, Progress& progress, const Cancelled& cancelled) {
  plugins::load_from_environment();
  for (const auto& path : plugins_of(request)) plugins::load(path);
  return command(request, progress, cancelled);
}

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {"doctor", with_plugins<doctor>},
      {"import", with_plugins<import_model>},
      {"characterize", with_plugins<characterize>},
      {"analyze", with_plugins<analyze>},
      {"run", with_plugins<run>},
      {"bench", with_plugins<bench>},
      {"profile", with_plugins<profile>},
      {"verify", with_plugins<verify>},
      {"optimize", with_plugins<optimize>},
      {"database", with_plugins<database>},
  };
  return all;
}

}  // namespace rooftune::pipeline
