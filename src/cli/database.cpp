#include "cli/command.h"

namespace rooftune::cli {

void add_database(CLI::App& app, Command& command) {
  command.app =
      app.add_subcommand("database", "what tuning has found: show it, export it, import that of other machines");
  command.app
      ->add_option_function<std::string>(
          "action", [&command](const std::string& v) { command.request["action"] = v; },
          "show, export (to one file of JSON lines) or import (from some)")
      ->required();
  command.app->add_option_function<std::vector<std::string>>(
      "files", [&command](const std::vector<std::string>& v) { command.request["files"] = v; },
      "the files to write or read (.jsonl)");
  text_option(command, "--database", "database", "the tuning database (default: in the cache folder)");
  command.print = [](const Json& r) {
    if (r.contains("exported"))
      fmt::print("{} lines in {}\n", r["exported"].get<int64_t>(), r["files"][0].get<std::string>());
    if (r.contains("imported")) fmt::print("{} lines imported\n", r["imported"].get<int64_t>());
    fmt::print("{}\n", r["database"].get<std::string>());
    for (const auto& h : r["holdings"])
      fmt::print("  {}, {} thread{}, code generator {}: {} tuned kernels, {} measurements of {} kernels\n",
                 h["machine"].get<std::string>(), h["threads"].get<int>(), h["threads"] == 1 ? "" : "s",
                 h["codegen"].get<std::string>(), h["tuned"].get<int64_t>(), h["measurements"].get<int64_t>(),
                 h["kernels"].get<int64_t>());
  };
}

}  // namespace rooftune::cli
