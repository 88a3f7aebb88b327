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
    const auto rate = [](const char* what, const Json& curve, double unit, const char* name) {
      fmt::print("  {:<8} {:.4g} {} with {} threads\n", what, curve["values"].back().get<double>() / unit, name,
                 curve["threads"].back().get<int>());
    };
    for (const auto& [precision, curve] : cpu["peaks"]["flops"].items()) rate(precision.c_str(), curve, 1e9, "GFLOP/s");
    for (const auto& [level, curve] : cpu["peaks"]["bandwidth"].items()) rate(level.c_str(), curve, 1e9, "GB/s");
    fmt::print("gpus     {}\n", r["gpus"].size());
    for (const auto& [name, state] : r["tools"].items())
      fmt::print("{:<8} {}\n", name,
                 state.is_boolean() ? (state.get<bool>() ? "found" : "not found") : state.get<std::string>());
    for (const auto& [name, state] : r["exporters"].items()) fmt::print("exporter {}\n", name);
    for (const auto& p : r["plugins"]) {
      auto adds = p["operators"].get<std::vector<std::string>>();
      for (const auto& b : p["backends"]) adds.push_back("--backend " + b.get<std::string>());
      fmt::print("plug-in  {} {}: {}\n", p["name"].get<std::string>(), p["version"].get<std::string>(),
                 fmt::join(adds, ", "));
    }
  };
}

}  // namespace rooftune::cli
