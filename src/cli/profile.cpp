#include <algorithm>

#include "cli/command.h"

namespace rooftune::cli {

void add_profile(CLI::App& app, Command& command) {
  command.app = app.add_subcommand("profile", "measured time per operator beside its roofline");
  add_model(command);
  add_inputs(command);
  add_backend(command);
  text_option(command, "--precision", "precision", "fp32, bf16 or fp16: what weights and activations are stored in");
  integer_option(command, "--runs", "runs", "runs to take the median of (default 11)");
  command.print = [](const Json& r) {
    std::vector<Json> rows(r["operators"].begin(), r["operators"].end());
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Json& a, const Json& b) { return a["ms"].get<double>() > b["ms"].get<double>(); });
    fmt::print("{:>10} {:>10} {:>6} {:>9} {:>8}  operator\n", "time", "roofline", "of it", "GFLOP/s", "GB/s");
    const bool has_roof = r.contains("roofline_ms");  // not where free dimensions are below their largest
    for (const auto& o : rows) {
      const std::string rates =
          has_roof ? fmt::format("{:>10} {:>5.0f}% {:>9.1f} {:>8.1f}", milliseconds(o["roofline_ms"].get<double>()),
                                 100 * o["roofline_fraction"].get<double>(), o["gflops"].get<double>(),
                                 o["gbps"].get<double>())
                   : fmt::format("{:>10} {:>6} {:>9} {:>8}", "-", "-", "-", "-");
      fmt::print("{:>10} {}  {}{}\n", milliseconds(o["ms"].get<double>()), rates, o["name"].get<std::string>(),
                 o.contains("reference") ? "  (reference: " + o["reference"].get<std::string>() + ")" : "");
    }
    const auto total = r["total_ms"].get<double>();
    fmt::print("total {}\n", has_roof ? with_roof(total, r["roofline_ms"].get<double>()) : milliseconds(total));
  };
}

}  // namespace rooftune::cli
