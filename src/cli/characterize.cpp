#include "cli/command.h"

namespace rooftune::cli {

void add_characterize(CLI::App& app, Command& command) {
  command.app = app.add_subcommand("characterize", "workload facts: operators, FLOPs, bytes, memory; nothing is run");
  add_model(command);
  command.print = [](const Json& r) {
    fmt::print(
        "{}\n  parameters     {}\n  operations     {:.3f} GFLOP\n  bytes          {:.1f} MB\n  peak memory    {:.1f} "
        "MB\n  operators      ",
        r["model"].get<std::string>(), r["parameters"].get<int64_t>(), r["flops"].get<double>() / 1e9,
        r["bytes"].get<double>() / 1e6, r["peak_memory_bytes"].get<double>() / 1e6);
    for (const auto& [op, n] : r["histogram"].items()) fmt::print("{} {}  ", n.get<int>(), op);
    fmt::print("\n");
  };
}

}  // namespace rooftune::cli
