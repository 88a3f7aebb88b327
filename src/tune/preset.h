// How a search is carried out: strategy, its parameters, and what guides it. Presets are data, configs/search_presets.yaml,
// found beside the program as the hardware registry is.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::tune {

enum class Guide : uint8_t { none, arithmetic, learned };

struct Preset {
  std::string name = "default";
  std::string strategy = "bayes_evo";  // of search/
  Guide model = Guide::learned;
  bool transfer = true;  // from earlier kernels and other machines in the tuning database
  int batch = 8;         // schedules measured together
  int pool = 6;          // looked at by the model for one that is measured, but by bayes_evo, which breeds:
  int population = 48;
  int generations = 2;
  int elite = 12;
  double mutation_rate = 1.5;
  double crossover = 0.3;
  double immigrants = 0.15;
  double explore = 0.13;
  double budget_seconds = 60;
  std::optional<uint64_t> seed;
};

/// Of a file such as configs/search_presets.yaml; the first is "default", which the others begin with. InputError naming
/// source, preset and field.
std::vector<Preset> parse_presets(const std::string& yaml, std::string_view source);

/// InputError listing the names where there is no such preset. From $ROOFTUNE_CONFIGS, else from the folder "configs" beside
/// the hardware registry; where there is none only "default" is known.
Preset find_preset(const std::string& name);

}  // namespace rooftune::tune
