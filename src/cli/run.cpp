#include "cli/command.h"

namespace rooftune::cli {

void add_run(CLI::App& app, Command& command) {
  command.app = app.add_subcommand("run", "execute a model once; writes its outputs as .npy");
  add_model(command);
  add_inputs(command);
  text_option(command, "--output-dir", "output_dir", "folder for <output name>.npy");
  command.print = [](const Json& r) {
    for (const auto& o : r["outputs"])
      fmt::print("{} {}{} {}\n", o["name"].get<std::string>(), o["dtype"].get<std::string>(), o["shape"].dump(),
                 o.value("file", ""));
    fmt::print("latency {}\n", with_roof(r["latency_ms"].get<double>(), r["roofline_ms"].get<double>()));
  };
}

}  // namespace rooftune::cli
