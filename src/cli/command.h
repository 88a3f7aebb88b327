// The command-line tool: one file per command, each of which describes its options and how its result is printed for
// people. Parsing fills a request, one pipeline function is called, its document is printed; there is no other logic.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"

namespace rooftune::cli {

/// What a command adds to the parser: a sub-command, the request it fills, and how to print the result.
struct Command {
  CLI::App* app = nullptr;
  std::string name;                                  // of the pipeline function
  Json request = Json::object();                     // filled while parsing
  std::function<void(const Json& result)> print;     // for people, on stdout
  std::function<int(const Json& result)> exit_code;  // empty: 0
};

/// Options that several commands share.
void add_model(
    Command& command,
    const std::string& help =
        "the model: .onnx, StableHLO text (.mlir), a SavedModel folder, .keras, .h5, .tflite, or a package .rt");
void add_inputs(Command& command);
void add_backend(Command& command);
/// Registers `--name VALUE` that lands in the request under `key`.
void text_option(Command& command, const std::string& name, const std::string& key, const std::string& help);
void list_option(Command& command, const std::string& name, const std::string& key, const std::string& help,
                 char separator = '\0');
void integer_option(Command& command, const std::string& name, const std::string& key, const std::string& help);
void number_option(Command& command, const std::string& name, const std::string& key, const std::string& help);
void flag_option(Command& command, const std::string& name, const std::string& key, const std::string& help);
void duration_option(Command& command, const std::string& name, const std::string& key, const std::string& help);

std::string milliseconds(double ms);
/// "3.21 ms (roof 2.90 ms, 90 % of it reached)"
std::string with_roof(double ms, double roof_ms);

void add_doctor(CLI::App& app, Command& command);
void add_import(CLI::App& app, Command& command);
void add_characterize(CLI::App& app, Command& command);
void add_analyze(CLI::App& app, Command& command);
void add_run(CLI::App& app, Command& command);
void add_bench(CLI::App& app, Command& command);
void add_profile(CLI::App& app, Command& command);
void add_verify(CLI::App& app, Command& command);
void add_optimize(CLI::App& app, Command& command);
void add_database(CLI::App& app, Command& command);

}  // namespace rooftune::cli
