#include "passes/match.h"

#include <cmath>

namespace rooftune::passes {
namespace {

void multiply(Product& product, ValueId value, double exponent) {
  for (auto& [factor, power] : product.factors) {
    if (factor != value) continue;
    power += exponent;
    return;
  }
  product.factors.emplace_back(value, exponent);
}

void take_apart(const Graph& graph, ValueId value, double exponent, bool root, Product& product) {
  if (const auto number = scalar(graph, value)) {
    product.scale *= std::pow(*number, exponent);
    return;
  }
  const Node* node = maker(graph, value);
  // A root is taken as it is: sqrt(x²) is not x.
  const bool whole = exponent == std::floor(exponent);
  if (!node || !whole || (!root && !single_use(graph, value))) return multiply(product, value, exponent);
  if (is_op(*node, "Mul") || is_op(*node, "Div")) {
    take_apart(graph, node->inputs[0], exponent, false, product);
    take_apart(graph, node->inputs[1], is_op(*node, "Mul") ? exponent : -exponent, false, product);
  } else if (is_op(*node, "Reciprocal")) {
    take_apart(graph, node->inputs[0], -exponent, false, product);
  } else if (is_op(*node, "Sqrt")) {
    take_apart(graph, node->inputs[0], exponent / 2, false, product);
  } else if (is_op(*node, "Pow") && scalar(graph, node->inputs[1])) {
    take_apart(graph, node->inputs[0], exponent * *scalar(graph, node->inputs[1]), false, product);
  } else {
    multiply(product, value, exponent);
  }
}

void take_apart(const Graph& graph, ValueId value, bool root, Sum& sum) {
  if (const auto number = scalar(graph, value)) {
    sum.constant += *number;
    return;
  }
  const Node* node = maker(graph, value, "Add");
  if (!node || (!root && !single_use(graph, value))) return sum.terms.push_back(value);
  take_apart(graph, node->inputs[0], false, sum);
  take_apart(graph, node->inputs[1], false, sum);
}

}  // namespace

double Product::exponent(ValueId value) const {
  for (const auto& [factor, power] : factors)
    if (factor == value) return power;
  return 0;
}

bool Product::is(double wanted_scale, ValueId a, double x) const {
  return factors.size() == 1 && factors[0].first == a && factors[0].second == x && near(scale, wanted_scale, 1e-3);
}

Product product_of(const Graph& graph, ValueId value) {
  Product product;
  take_apart(graph, value, 1, true, product);
  return product;
}

Sum sum_of(const Graph& graph, ValueId value) {
  Sum sum;
  take_apart(graph, value, true, sum);
  return sum;
}

}  // namespace rooftune::passes
