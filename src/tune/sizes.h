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

  /// The expression that has these values at the sizes: a constant, one that is known, or a multiple of a product of
  /// symbols, or linear in one of them.
  std::optional<ir::Dim> solve(const std::vector<int64_t>& values) const;
};

/// Choices of twins in the order in which they should be tried: sizes close to the largest and far from it, at distances
/// that are multiples of 1, 2 or 32 (models that cut images into patches or halve them five times take no others).
/// `graph`: with its types inferred. A model without free dimensions has one choice of one size.
std::vector<Sizes> sizes_of(const ir::Graph& graph);

}  // namespace rooftune::tune
