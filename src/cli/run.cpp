#include "cli/command.h"

namespace rooftune::cli {

void add_run(CLI::App& app, Command& command) {
  command.app = app.add_subcommand("run", "execute a model once; writes its outputs as .npy");
  add_model(command);
  add_inputs(command);
  add_backend(command);
  text_option(command, "--output-dir", "output_dir", "folder for <output name>.npy");
  command.print = [](const Json& r) {
    for (const auto& o : r["outputs"])
      fmt::print("{} {}{} {}\n", o["name"].get<std::string>(), o["dtype"].get<std::string>(), o["shape"].dump(),
                 o.value("file", ""));
    const double ms = r["latency_ms"].get<double>();  // a model with free sizes has no roof of its own
    fmt::print("latency {}\n",
               r.contains("roofline_ms") ? with_roof(ms, r["roofline_ms"].get<double>()) : milliseconds(ms));
  };
}

}  // namespace rooftune::cli
