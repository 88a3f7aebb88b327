// One spelling for arithmetic with constants, where the result is the same bit for bit (powers by a last place): x - c
// is x + (-c), x / 2^n is x · 2^-n, x² and x³ are products, and Max and Min with constants are Clip. So that later
// passes match sums, products and clips only, and no kernel calls pow for a square.
#include <cmath>

#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

bool is_float_value(const Graph& graph, ValueId value) {
  return value != kNone && graph.type(value).is_tensor() && is_float(graph.type(value).dtype());
}

/// The constant with every element replaced; nothing where an element has none.
std::optional<Tensor> mapped(const Tensor& tensor, const std::function<std::optional<double>(double)>& f) {
  Tensor result(tensor.dtype(), tensor.shape());
  for (int64_t i = 0; i < tensor.size(); ++i) {
    const auto value = f(tensor.as_double(i));
    if (!value) return std::nullopt;
    result.set_double(i, *value);
  }
  return result;
}

/// 1/x where it is exact in every float type (down to f16's normal numbers).
std::optional<double> exact_reciprocal(double x) {
  int exponent = 0;
  if (!std::isfinite(x) || std::abs(std::frexp(x, &exponent)) != 0.5 || std::abs(exponent) > 12) return std::nullopt;
  return 1 / x;
}

bool subtraction(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const Tensor* constant = is_op(node, "Sub") ? graph.constant(node.inputs[1]) : nullptr;
  if (!constant || !is_float_value(graph, node.inputs[1])) return false;
  const auto negated = mapped(*constant, [](double x) { return std::optional(-x); });
  const std::string name = graph.value(node.inputs[1]).name + "_negated";
  replace_node(graph, id, "Add", {node.inputs[0], graph.add_constant(name, *negated)});
  return true;
}

bool division(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const Tensor* constant = is_op(node, "Div") ? graph.constant(node.inputs[1]) : nullptr;
  if (!constant || !is_float_value(graph, node.inputs[1])) return false;
  const auto inverse = mapped(*constant, exact_reciprocal);
  if (!inverse) return false;
  const std::string name = graph.value(node.inputs[1]).name + "_inverse";
  replace_node(graph, id, "Mul", {node.inputs[0], graph.add_constant(name, *inverse)});
  return true;
}

bool power(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_op(node, "Pow") || !is_float_value(graph, node.inputs[0])) return false;
  const ValueId x = node.inputs[0], output = node.outputs[0];
  const auto exponent = uniform(graph, node.inputs[1]);
  if (!exponent || graph.type(x) != graph.type(output)) return false;
  if (*exponent == 2) {
    replace_node(graph, id, "Mul", {x, x});
  } else if (*exponent == 3) {
    const ValueId square = insert(graph, id, "Mul", {x, x}, graph.type(x));
    replace_node(graph, id, "Mul", {square, x});
  } else {
    return false;
  }
  return true;
}

/// Max(x, lo) and Min(x, hi) with scalar constants are one-sided Clips; a Clip of a Clip with other side is one Clip.
bool extremum(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if ((!is_op(node, "Max") && !is_op(node, "Min")) || node.inputs.size() != 2) return false;
  for (size_t i : {size_t{1}, size_t{0}}) {
    const Tensor* bound = graph.constant(node.inputs[i]);
    const ValueId x = node.inputs[1 - i];
    if (!bound || bound->size() != 1 || !is_float_value(graph, x) || graph.type(x) != graph.type(node.outputs[0]))
      continue;
    const ValueId limit = graph.add_constant(graph.value(node.inputs[i]).name + "_bound", bound->reshaped({}));
    const bool lower = is_op(node, "Max");
    replace_node(graph, id, "Clip", lower ? std::vector{x, limit} : std::vector{x, kNone, limit});
    return true;
  }
  return false;
}

/// Clip(Clip(x, lo), hi), Clip(Relu(x), none, hi) are Clip(x, lo, hi) where lo <= hi.
bool nested_clip(Graph& graph, NodeId id) {
  const Node& outer = graph.node(id);
  if (!is_op(outer, "Clip") || outer.input(1) != kNone || outer.input(2) == kNone) return false;
  const Node* inner = maker(graph, outer.inputs[0]);
  const auto high = scalar(graph, outer.input(2));
  if (!inner || !high || !single_use(graph, outer.inputs[0])) return false;
  const ValueId x = inner->input(0);
  if (is_op(*inner, "Relu") && *high >= 0) {
    const ValueId zero = add_scalar(graph, outer.name + "_low", graph.type(x).dtype(), 0);
    replace_node(graph, id, "Clip", {x, zero, outer.input(2)});
    return true;
  }
  const auto low = scalar(graph, inner->input(1));
  if (!is_op(*inner, "Clip") || inner->input(2) != kNone || !low || *low > *high) return false;
  replace_node(graph, id, "Clip", {x, inner->input(1), outer.input(2)});
  return true;
}

/// Clip(x, 0) without an upper bound is Relu.
bool clip_is_relu(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_op(node, "Clip") || scalar(graph, node.input(1)) != 0.0 || !is_float_value(graph, node.inputs[0]))
    return false;
  if (node.input(2) != kNone && scalar(graph, node.input(2)) != std::numeric_limits<double>::infinity()) return false;
  replace_node(graph, id, "Relu", {node.inputs[0]});
  return true;
}

}  // namespace

bool simplify_arithmetic(Graph& graph, PassContext&) {
  const bool changed = rewrite_nodes(graph, [](Graph& g, NodeId id) {
    return subtraction(g, id) || division(g, id) || power(g, id) || extremum(g, id) || nested_clip(g, id) ||
           clip_is_relu(g, id);
  });
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
