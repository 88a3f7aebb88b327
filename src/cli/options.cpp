#include "base/error.h"
#include "cli/command.h"
#include "pipeline/request.h"

namespace rooftune::cli {

void text_option(Command& command, const std::string& name, const std::string& key, const std::string& help) {
  command.app->add_option_function<std::string>(
      name, [&command, key](const std::string& v) { command.request[key] = v; }, help);
}

void list_option(Command& command, const std::string& name, const std::string& key, const std::string& help,
                 char separator) {
  auto* option = command.app->add_option_function<std::vector<std::string>>(
      name, [&command, key](const std::vector<std::string>& v) { command.request[key] = v; }, help);
  if (separator != '\0') option->delimiter(separator);
  option->allow_extra_args(false);
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void integer_option(Command& command, const std::string& name, const std::string& key, const std::string& help) {
  command.app->add_option_function<int64_t>(
      name, [&command, key](const int64_t& v) { command.request[key] = v; }, help);
}

void number_option(Command& command, const std::string& name, const std::string& key, const std::string& help) {
  command.app->add_option_function<double>(name, [&command, key](const double& v) { command.request[key] = v; }, help);
}

void flag_option(Command& command, const std::string& name, const std::string& key, const std::string& help) {
  command.app->add_flag_callback(name, [&command, key] { command.request[key] = true; }, help);
}

void duration_option(Command& command, const std::string& name, const std::string& key, const std::string& help) {
  command.app
      ->add_option_function<std::string>(
          name, [&command, key](const std::string& v) { command.request[key] = v; }, help)
      ->check([name](const std::string& text) -> std::string {
        try {
          (void)pipeline::parse_duration(text, name);
          return "";
        } catch (const InputError& e) {
          return e.what();
        }
      });
}

void add_model(Command& command, const std::string& help) {
  command.app
      ->add_option_function<std::string>(
          "model", [&command](const std::string& v) { command.request["model"] = v; }, help)
      ->required();
  list_option(command, "--dim", "dim",
              "a free dimension of the model's inputs: name=n fixes it, name=lo..hi keeps it free within bounds, "
              "name=a,b,c up to the largest of these (may be repeated)");
}

void add_inputs(Command& command) {
  list_option(command, "--input", "input", "an input from a file: name=x.npy (may be repeated; others are random)");
}

void add_backend(Command& command) {
  text_option(command, "--backend", "backend", "who generates code: cpu (the default), or a plug-in's code generator");
}

std::string milliseconds(double ms) {
  if (ms >= 100) return fmt::format("{:.0f} ms", ms);
  if (ms >= 1) return fmt::format("{:.2f} ms", ms);
  return fmt::format("{:.1f} us", ms * 1e3);
}

std::string with_roof(double ms, double roof_ms) {
  return fmt::format("{} (roofline {}, {:.0f} % of it reached)", milliseconds(ms), milliseconds(roof_ms),
                     ms > 0 ? 100 * roof_ms / ms : 0);
}

}  // namespace rooftune::cli
