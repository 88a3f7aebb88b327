#include "cli/command.h"

namespace rooftune::cli {

void add_verify(CLI::App& app, Command& command) {
  command.app = app.add_subcommand("verify", "do two models agree?");
  add_model(command);
  command.app
      ->add_option_function<std::string>(
          "other", [&command](const std::string& v) { command.request["other"] = v; }, "the model to compare with")
      ->required();
  add_inputs(command);
  add_backend(command);
  number_option(command, "--max-rel-error", "max_rel_error",
                "allowed ‖a - b‖ / ‖a‖ (default 1e-4; of quantised models 0.5, 1e-3 where only weights are)");
  text_option(
      command, "--data", "data",
      "compare on these inputs (.npz, one array per input; 'labels': the right classes) instead of random ones");
  integer_option(command, "--samples", "samples",
                 "random inputs to try (default 3), beside special sizes of free dimensions");
  command.print = [](const Json& r) {
    fmt::print("{}: largest relative error {:.2e} ({:.0e} is allowed)\n",
               r["agree"].get<bool>() ? "they agree" : "they differ",
               r["max_rel_error"].is_number() ? r["max_rel_error"].get<double>() : 0.0, r["tolerance"].get<double>());
    if (r.contains("why")) fmt::print("{}\nseed {}\n", r["why"].get<std::string>(), r["seed"].dump());
  };
  command.exit_code = [](const Json& r) { return r["agree"].get<bool>() ? 0 : 1; };
}

}  // namespace rooftune::cli
