#include "cli/command.h"

namespace rooftune::cli {

void add_bench(CLI::App& app, Command& command) {
  command.app = app.add_subcommand("bench", "measure a model's latency, beside other engines if wanted");
  add_model(command);
  add_inputs(command);
  add_backend(command);
  list_option(command, "--engines", "engines",
              "rooftune, onnxruntime, openvino (the rivals need a Python that has them)", ',');
  text_option(command, "--precision", "precision", "fp32, bf16 or fp16: what weights and activations are stored in");
  text_option(command, "--target", "target", "host");
  duration_option(command, "--duration", "duration", "how long to measure (default 2s)");
  flag_option(command, "--times", "times", "report every run's time");
  command.print = [](const Json& r) {
    for (const auto& e : r["results"]) {
      const auto engine = e["engine"].get<std::string>();
      if (e.contains("error")) {
        fmt::print("{:<12} {}\n", engine, e["error"].get<std::string>());
        continue;
      }
      fmt::print("{:<12} {} threads  p50 {}  p95 {}  min {}  load {}  peak {:.0f} MB\n", engine,
                 e["threads"].get<int>(), with_roof(e["p50_ms"].get<double>(), e["roofline_ms"].get<double>()),
                 milliseconds(e["p95_ms"].get<double>()), milliseconds(e["min_ms"].get<double>()),
                 milliseconds(e["load_ms"].get<double>()), e["peak_memory_mb"].get<double>());
    }
  };
}

}  // namespace rooftune::cli
