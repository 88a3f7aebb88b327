#include "cli/command.h"

namespace rooftune::cli {

void add_analyze(CLI::App& app, Command& command) {
  command.app = app.add_subcommand("analyze", "estimate latency, memory and energy on a target");
  add_model(command);
  text_option(command, "--target", "target", "a name in the hardware registry (default: host)");
  text_option(command, "--precision", "precision", "of arithmetic: fp32, fp16, bf16, int8, … (default: fp32)");
  integer_option(command, "--batch", "batch", "inferences in one run: the leading dimension of the first input");
  command.print = [](const Json& r) {
    auto line = [&](const char* name) {
      const auto& e = r[name];
      fmt::print("  {:<12} {:.4g} {} (± {:.0f} %, {})\n", name, e["value"].get<double>(), e["unit"].get<std::string>(),
                 e["error_bound_pct"].get<double>(), e["calibration_source"].get<std::string>());
    };
    fmt::print("{} on {}\n", r["model"].get<std::string>(), r["target"].get<std::string>());
    for (const char* name : {"latency", "throughput", "utilization", "memory", "energy"})
      if (r.contains(name)) line(name);
    fmt::print("  roofline     {}\n", milliseconds(r["roofline_ms"].get<double>()));
  };
}

}  // namespace rooftune::cli
