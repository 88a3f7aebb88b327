// Expressions up to the order in which they were written. Exporters spell one formula in many ways (0.5 · x · (1 + e),
// x · (0.5 · (1 + e)), x / 2 · …); taken apart into factors or terms they are all the same, and a pattern states its
// formula once.
#pragma once
#include "passes/edit.h"

namespace rooftune::passes {

/// scale · Π factor^exponent.
struct Product {
  double scale = 1;
  std::vector<std::pair<ValueId, double>> factors;  // each value once

  /// The exponent of a value, 0 where it is no factor.
  double exponent(ValueId value) const;
  /// Whether this is scale · a^x (within a relative 1e-3 for the scale).
  bool is(double wanted_scale, ValueId a, double x) const;
};

/// constant + Σ terms.
struct Sum {
  double constant = 0;
  std::vector<ValueId> terms;
};

/// Takes `value` apart through Mul, Div, Reciprocal, Sqrt and Pow with constants. Below `value` itself only values that
/// nothing else reads are taken apart, so that a rewrite of the whole makes them dead.
Product product_of(const Graph& graph, ValueId value);
/// The same through Add.
Sum sum_of(const Graph& graph, ValueId value);

}  // namespace rooftune::passes
