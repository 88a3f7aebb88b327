#include <cstdio>

#include "cli/command.h"

namespace rooftune::cli {

void add_doctor(CLI::App& app, Command& command) {
  command.app = app.add_subcommand("doctor", "what this machine offers");
  command.print = [](const Json& r) {
    const auto& cpu = r["cpu"];
    fmt::print("rooftune {}\ncpu      {} ({}, {} cores, {} usable)\n", r["rooftune"].get<std::string>(),
               cpu["model"].get<std::string>(), cpu["isa"].get<std::string>(), cpu["cores"].get<int>(),
               cpu["available"].get<int>());
    for (const auto& c : cpu["caches"])
      fmt::print("  L{} cache {:.0f} KiB\n", c["level"].get<int>(), c["bytes"].get<double>() / 1024);
    fmt::print("gpus     {}\n", r["gpus"].size());
    for (const auto& [name, state] : r["tools"].items())
      fmt::print("{:<8} {}\n", name,
                 state.is_boolean() ? (state.get<bool>() ? "found" : "not found") : state.get<std::string>());
    for (const auto& [name, state] : r["exporters"].items()) fmt::print("exporter {}\n", name);
  };
}

}  // namespace rooftune::cli
