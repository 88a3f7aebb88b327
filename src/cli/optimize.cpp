#include "cli/command.h"

namespace rooftune::cli {

void add_optimize(CLI::App& app, Command& command) {
  command.app = app.add_subcommand("optimize", "the whole way: a faster, verified model and a report");
  add_model(command, "the model: .onnx");
  add_backend(command);
  command.app
      ->add_option_function<std::string>(
          "-o,--output", [&command](const std::string& v) { command.request["output"] = v; },
          "folder for model.rt, model.onnx, report.html, …")
      ->required();
  text_option(
      command, "--target", "target",
      "what to generate code for: host (the default; it is tuned), and after it others that model.rt shall run on: "
      "host,x86_64-avx2 (also x86_64-avx512, aarch64-neon, aarch64-sve256)");
  duration_option(command, "--budget", "budget", "time for tuning: 5m, 30s, 0 (default: the preset's, 1m)");
  text_option(command, "--preset", "preset",
              "how schedules are searched: default, quick, thorough, … of configs/search_presets.yaml");
  flag_option(command, "--retune", "retune",
              "search also where the tuning database knows the answer of a run with no less time");
  list_option(command, "--precisions", "precisions",
              "that may be used, separated by commas: fp32, bf16, fp16 (default: fp32)", ',');
  number_option(command, "--max-rel-error", "max_rel_error",
                "allowed ‖out - ref‖ / ‖ref‖ (default 1e-4; of quantised models 0.5, 1e-3 where only weights are)");
  number_option(command, "--max-accuracy-drop", "max_accuracy_drop",
                "percentage points of top-1 accuracy that may be lost on --data (against its labels, or else against "
                "what the model as given says)");
  list_option(command, "--disable-pass", "disable_pass", "leave a pass out (may be repeated)");
  text_option(command, "--dump-passes", "dump_passes", "folder for the graph after every pass");
  text_option(command, "--emit-kernels", "emit_kernels", "folder for kernels, schedules and generated code");
  text_option(command, "--database", "database",
              "tuning database, or a tuning.jsonl to read (default: in the cache folder)");
  text_option(command, "--data", "data",
              "verify on these inputs, too (.npz, one array per input; 'labels': the right classes)");
  flag_option(command, "--dry-run", "dry_run", "show the tasks; tune and write nothing");
  command.print = [](const Json& r) {
    if (r.contains("dry_run")) {
      for (const auto& t : r["tasks"])
        fmt::print("{:>4} x {} ({:.3f} GFLOP) {}\n", t["uses"].get<int>(), t["name"].get<std::string>(),
                   t["flops"].get<double>() / 1e9, t["algorithms"].dump());
      return;
    }
    const auto& a = r["baseline"];
    const auto& b = r["best"];
    fmt::print("baseline   {}\n", with_roof(a["p50_ms"].get<double>(), a["roofline_ms"].get<double>()));
    fmt::print("optimised  {}\n", with_roof(b["p50_ms"].get<double>(), b["roofline_ms"].get<double>()));
    fmt::print("speedup    {:.2f}x, {} (largest relative error {:.1e})\n", r["speedup"].get<double>(),
               r["verified"].get<bool>() ? "verified" : "NOT VERIFIED",
               r["verification"]["max_rel_error"].is_number() ? r["verification"]["max_rel_error"].get<double>() : 0.0);
    if (r["kept_original"].get<bool>()) fmt::print("the model as given was kept: {}\n", r["reason"].get<std::string>());
    fmt::print("report     {}/report.html\n", r["output"].get<std::string>());
  };
  command.exit_code = [](const Json& r) { return r.contains("verified") && !r["verified"].get<bool>() ? 1 : 0; };
}

}  // namespace rooftune::cli
