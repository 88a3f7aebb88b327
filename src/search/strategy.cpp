#include "search/strategy.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "search/bayes_evo.h"
#include "search/evolutionary.h"
#include "search/random.h"

namespace rooftune::search {
namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<Strategy> (*make)(Space space, const Options& options);
};

constexpr Entry kStrategies[] = {
    {"random",
     [](Space s, const Options& o) -> std::unique_ptr<Strategy> {
       return std::make_unique<RandomSearch>(std::move(s), o.seed);
     }},
    {"evolutionary",
     [](Space s, const Options& o) -> std::unique_ptr<Strategy> {
       return std::make_unique<Evolutionary>(std::move(s), o);
     }},
    {"bayes_evo",
     [](Space s, const Options& o) -> std::unique_ptr<Strategy> {
       return std::make_unique<BayesEvo>(std::move(s), o);
     }},
};

}  // namespace

std::unique_ptr<Strategy> make_strategy(std::string_view name, Space space, const Options& options) {
  for (const Entry& entry : kStrategies)
    if (entry.name == name) return entry.make(std::move(space), options);
  throw InputError("unknown search strategy '{}'; there are: {}", name, fmt::join(strategy_names(), ", "));
}

std::vector<std::string> strategy_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kStrategies) names.emplace_back(entry.name);
  return names;
}

}  // namespace rooftune::search
