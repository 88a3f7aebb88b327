#include "cli/command.h"

namespace rooftune::cli {

void add_import(CLI::App& app, Command& command) {
  command.app =
      app.add_subcommand("import", "check a model and write it as a package (.rt), as normalised ONNX or as StableHLO");
  add_model(command);
  add_backend(command);
  text_option(
      command, "--target", "target",
      "what an X.rt is for: host (the default), x86_64-avx512, x86_64-avx2, aarch64-neon, aarch64-sve256, or several "
      "separated by commas, of which the first that a processor can run is taken there");
  command.app
      ->add_option_function<std::string>(
          "-o,--output", [&command](const std::string& v) { command.request["output"] = v; },
          "X.rt, X.onnx or X.mlir (StableHLO)")
      ->required();
  command.print = [](const Json& r) {
    fmt::print("{}: {} operators, {} parameters\n", r["model"].get<std::string>(), r["operators"].get<size_t>(),
               r["parameters"].get<int64_t>());
    for (const auto& i : r["inputs"])
      fmt::print("  input  {} {}\n", i["name"].get<std::string>(), i["type"].get<std::string>());
    for (const auto& o : r["outputs"])
      fmt::print("  output {} {}\n", o["name"].get<std::string>(), o["type"].get<std::string>());
    fmt::print("wrote {}\n", r["output"].get<std::string>());
  };
}

}  // namespace rooftune::cli
