#include "tune/preset.h"

#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "hardware/spec.h"
#include "search/strategy.h"

namespace rooftune::tune {
namespace {

namespace fs = std::filesystem;

class Reader {
 public:
  Reader(Preset& preset, std::string where) : preset_(preset), where_(std::move(where)) {}

  void read(const std::string& key, const YAML::Node& value) {
    if (key == "strategy") strategy(value);
    else if (key == "model") model(value);
    else if (key == "transfer") preset_.transfer = as<bool>(key, value, "true or false");
    else if (key == "batch") preset_.batch = count(key, value);
    else if (key == "pool") preset_.pool = count(key, value);
    else if (key == "population") preset_.population = count(key, value);
    else if (key == "generations") preset_.generations = count(key, value);
    else if (key == "elite") preset_.elite = count(key, value);
    else if (key == "mutation_rate") preset_.mutation_rate = number(key, value, 100);
    else if (key == "crossover") preset_.crossover = number(key, value, 1);
    else if (key == "immigrants") preset_.immigrants = number(key, value, 1);
    else if (key == "explore") preset_.explore = number(key, value, 1);
    else if (key == "budget_seconds") preset_.budget_seconds = number(key, value, 1e9);
    else if (key == "seed") preset_.seed = as<uint64_t>(key, value, "0 or a positive integer");
    else fail(key, "left out: there is no such field");
  }

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& expected) const {
    throw InputError("{}: '{}' must be {}", where_, key, expected);
  }
  template <typename T>
  T as(const std::string& key, const YAML::Node& value, const std::string& expected) const {
    try {
      return value.as<T>();
    } catch (const YAML::Exception&) {
      fail(key, expected);
    }
  }
  int count(const std::string& key, const YAML::Node& value) const {
    constexpr int kMost = 10000;
    const int n = as<int>(key, value, "a number");
    if (n < 1 || n > kMost) fail(key, fmt::format("between 1 and {}", kMost));
    return n;
  }
  double number(const std::string& key, const YAML::Node& value, double most) const {
    const auto n = as<double>(key, value, "a number");
    if (!(n >= 0 && n <= most)) fail(key, fmt::format("between 0 and {}", most));
    return n;
  }
  void strategy(const YAML::Node& value) {
    preset_.strategy = as<std::string>("strategy", value, "a name");
    const auto names = search::strategy_names();
    if (std::find(names.begin(), names.end(), preset_.strategy) == names.end())
      fail("strategy", fmt::format("one of {}", fmt::join(names, ", ")));
  }
  void model(const YAML::Node& value) {
    const auto text = as<std::string>("model", value, "a name");
    if (text == "none") preset_.model = Guide::none;
    else if (text == "arithmetic") preset_.model = Guide::arithmetic;
    else if (text == "learned") preset_.model = Guide::learned;
    else fail("model", "none, arithmetic or learned");
  }

  Preset& preset_;
  std::string where_;
};

std::optional<std::string> presets_file() {
  constexpr const char* kFile = "search_presets.yaml";
  if (const char* chosen = std::getenv("ROOFTUNE_CONFIGS")) {
    const fs::path file = fs::path(chosen) / kFile;
    if (!fs::exists(file)) throw EnvironmentError("ROOFTUNE_CONFIGS is '{}', which has no file '{}'", chosen, kFile);
    return file.string();
  }
  try {
    const fs::path file = fs::path(hardware::registry_directory()).parent_path() / "configs" / kFile;
    if (fs::exists(file)) return file.string();
  } catch (const EnvironmentError&) {
  }
  return std::nullopt;
}

}  // namespace

std::vector<Preset> parse_presets(const std::string& yaml, std::string_view source) {
  YAML::Node document;
  try {
    document = YAML::Load(yaml);
  } catch (const YAML::Exception& e) {
    throw InputError("{}: not valid YAML, line {}: {}", source, e.mark.line + 1, e.msg);
  }
  if (!document.IsMap()) throw InputError("{}: presets must stand under their names", source);
  std::vector<Preset> presets(1);
  const auto fill = [&](Preset& preset, const YAML::Node& fields) {
    if (!fields.IsMap()) throw InputError("{}: preset '{}' must be a map of fields", source, preset.name);
    Reader reader(preset, fmt::format("{}: preset '{}'", source, preset.name));
    for (const auto& field : fields) reader.read(field.first.as<std::string>(), field.second);
  };
  if (document["default"]) fill(presets[0], document["default"]);
  for (const auto& entry : document) {
    const auto name = entry.first.as<std::string>();
    if (name == "default") continue;
    Preset preset = presets[0];
    preset.name = name;
    fill(preset, entry.second);
    presets.push_back(std::move(preset));
  }
  return presets;
}

Preset find_preset(const std::string& name) {
  std::vector<Preset> presets(1);
  if (const auto file = presets_file()) presets = parse_presets(read_file(*file), *file);
  std::vector<std::string> names;
  for (auto& preset : presets) {
    if (preset.name == name) return std::move(preset);
    names.push_back(preset.name);
  }
  throw InputError("there is no preset '{}'; there are {}", name, fmt::join(names, ", "));
}

}  // namespace rooftune::tune
