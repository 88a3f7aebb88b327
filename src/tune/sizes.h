// The sizes at which a model with free dimensions is compiled to learn what depends on them: the largest of all, for which
// memory is laid out, and twins. What is the same at all of them, but for extents, is right for every size.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace rooftune::tune {

using Size = std::map<std::string, ir::Dim>;  // symbol → value

struct Sizes {
  std::vector<ir::Dim> symbols;  // free, with their bounds
  std::vector<Size> at;          // the largest first, then twins; one empty entry where nothing is free
  std::vector<ir::Dim> known;    // expressions of the symbols that the model's shapes hold
  std::vector<int64_t> units;    // of each symbol: its sizes lie multiples of this below the largest

  /// The expression that has these values at the sizes: a constant, one that is known (but for an offset) or the product of
  /// two, a multiple of a product of symbols, or linear in one of them.
  std::optional<ir::Dim> solve(const std::vector<int64_t>& values) const;

 private:
  std::optional<ir::Dim> made_of_known(const std::vector<int64_t>& values) const;
};

/// The largest size and four twins, close to it and far from it, at distances that are multiples of a unit: 1 where `units`
/// does not name the symbol. `graph`: with its types inferred. InputError for a dimension that is at most 1.
Sizes sizes_of(const ir::Graph& graph, const std::map<std::string, int64_t>& units = {});

}  // namespace rooftune::tune
