// The door for people and scripts: parse, call one pipeline function, print. Exit codes: 0 done, 1 a check failed,
// 2 wrong usage, 3 bad input, 4 something missing on this machine, 5 a bug of ours.
#include <unistd.h>

#include <cstdio>
#include <deque>

#include "base/log.h"
#include "base/progress.h"
#include "base/version.h"
#include "capi/rooftune.h"
#include "cli/command.h"
#include "pipeline/commands.h"

namespace rooftune::cli {
namespace {

struct Common {
  bool json = false, explain = false, quiet = false;
};

void add_common(Command& command, Common& common) {
  command.app->add_flag("--json", common.json, "one JSON document on stdout");
  command.app->add_flag("--explain", common.explain, "why choices were rejected");
  command.app->add_flag("--quiet", common.quiet, "no progress, no notes");
  list_option(command, "--plugin,--plugins", "plugins",
              "a plug-in with operators or code generators: a .so file (may be repeated)");
  integer_option(command, "--threads", "threads", "threads to run with (default: all)");
  integer_option(command, "--seed", "seed", "seed of everything random (default: fresh)");
}

/// What --explain adds: everything in the document that says why.
void explain(const Json& node, const std::string& path) {
  if (node.is_object()) {
    const bool named = node.contains("name") && node["name"].is_string();
    const std::string name = named ? node["name"].get<std::string>() : path;
    for (const auto& [key, value] : node.items()) {
      if ((key == "note" || key == "reason" || key == "reference" || key == "why") && value.is_string() &&
          !value.get<std::string>().empty())
        fmt::print(stderr, "{}: {}\n", name, value.get<std::string>());
      explain(value, named ? name : key);
    }
  } else if (node.is_array()) {
    for (const auto& item : node) explain(item, path);
  }
}

int execute(const Command& command, const Common& common) {
  const auto& all = pipeline::commands();
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& c) { return c.name == command.name; });
  catch_interrupts();
  Json result;
  if (common.quiet || !isatty(2)) {
    result = found->call(command.request, no_progress(), interrupted());
  } else {
    TerminalProgress progress;
    result = found->call(command.request, progress, interrupted());
  }
  if (common.json) fmt::print("{}\n", result.dump(2, ' ', false, Json::error_handler_t::replace));
  else if (command.print) command.print(result);
  if (common.explain) explain(result, "");
  return command.exit_code ? command.exit_code(result) : 0;
}

int run(int argc, char** argv) {
  CLI::App app("Rooftune makes a trained model run as close to this machine's roofline as it can, and proves it.",
               "rooftune");
  app.set_version_flag("--version", std::string("rooftune ") + version());
  app.require_subcommand(1);
  std::deque<Command> commands;
  Common common;
  using Add = void (*)(CLI::App&, Command&);
  const std::pair<const char*, Add> table[] = {
      {"doctor", add_doctor},    {"import", add_import}, {"characterize", add_characterize},
      {"analyze", add_analyze},  {"run", add_run},       {"bench", add_bench},
      {"profile", add_profile},  {"verify", add_verify}, {"optimize", add_optimize},
      {"database", add_database}};
  for (const auto& [name, add] : table) {
    auto& command = commands.emplace_back();
    command.name = name;
    add(app, command);
    add_common(command, common);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const bool asked = e.get_exit_code() == 0;  // --help, --version
    if (asked) return app.exit(e);
    app.exit(e, std::cerr, std::cerr);
    return 2;
  }
  if (common.quiet) set_log_level(LogLevel::error);
  for (auto& command : commands) {
    if (!command.app->parsed()) continue;
    return execute(command, common);
  }
  return 2;
}

}  // namespace
}  // namespace rooftune::cli

int rt_command_line(int argc, char** argv) {
  using namespace rooftune;
  try {
    return cli::run(argc, argv);
  } catch (const InputError& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return 3;
  } catch (const EnvironmentError& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return 4;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: not enough memory\n");
    return 4;
  } catch (const std::exception& e) {
    fmt::print(stderr, "internal error (please report it): {}\n", e.what());
    return 5;
  }
}
