// The expansion of LSTM, GRU and RNN, by which they become kernels, beside their reference.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ops/op.h"

namespace rooftune::ops {
namespace {

std::mt19937 random_bits{std::random_device{}()};
int64_t between(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_bits); }
bool chance(double p) { return std::bernoulli_distribution(p)(random_bits); }

Tensor normal(DType dtype, const std::vector<int64_t>& shape) {
  std::normal_distribution<double> normal(0, 0.7);
  Tensor t(dtype, shape);
  for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, normal(random_bits));
  return t;
}

struct Case {
  Graph graph;
  std::vector<Tensor> inputs;
  std::string what;
};

Case random_case() {
  static const std::vector<std::string> kNames{"Sigmoid",         "tanh",       "Relu",        "Affine", "LeakyRelu",
                                               "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu",    "Softsign",
                                               "Softplus"};
  Case c;
  c.graph.opsets[""] = 14;
  Node node{.name = "cell",
            .op = std::vector<std::string>{"LSTM", "GRU", "RNN"}[static_cast<size_t>(between(0, 2))],
            .since_version = 14};
  const bool lstm = node.op == "LSTM", first = chance(0.3);
  const int64_t gates = lstm ? 4 : node.op == "GRU" ? 3 : 1, functions = lstm ? 3 : node.op == "GRU" ? 2 : 1;
  const int64_t steps = between(0, 5), batch = between(1, 4), inputs = between(1, 5), hidden = between(1, 5);
  const std::string direction =
      std::vector<std::string>{"forward", "reverse", "bidirectional"}[static_cast<size_t>(between(0, 2))];
  const int64_t d = direction == "bidirectional" ? 2 : 1;
  const DType dtype = chance(0.2) ? DType::f64 : DType::f32;
  node.attributes = {{"hidden_size", hidden}, {"direction", direction}, {"layout", int64_t{first}}};
  if (chance(0.4)) {
    std::vector<std::string> names;
    for (int64_t i = 0; i < functions * d; ++i) names.push_back(kNames[static_cast<size_t>(between(0, 10))]);
    node.attributes["activations"] = names;
    node.attributes["activation_alpha"] = std::vector<float>{0.5F, 0.25F};
    node.attributes["activation_beta"] = std::vector<float>{0.75F};
  }
  if (chance(0.3)) node.attributes["clip"] = 0.4F;
  if (lstm && chance(0.2)) node.attributes["input_forget"] = int64_t{1};
  if (node.op == "GRU") node.attributes["linear_before_reset"] = between(0, 1);
  const auto add = [&](const std::string& name, Tensor tensor, bool constant) {
    if (constant) {
      node.inputs.push_back(c.graph.add_constant(name, std::move(tensor)));
      return;
    }
    node.inputs.push_back(c.graph.add_input(name, Type::tensor(tensor.dtype(), ir::to_shape(tensor.shape()))));
    c.inputs.push_back(std::move(tensor));
  };
  const auto maybe = [&](double p, const std::string& name, const std::function<Tensor()>& make) {
    if (chance(p)) add(name, make(), false);
    else node.inputs.push_back(ir::kNone);
  };
  const std::vector<int64_t> state =
      first ? std::vector<int64_t>{batch, d, hidden} : std::vector<int64_t>{d, batch, hidden};
  add("x",
      normal(dtype, first ? std::vector<int64_t>{batch, steps, inputs} : std::vector<int64_t>{steps, batch, inputs}),
      false);
  add("w", normal(dtype, {d, gates * hidden, inputs}), chance(0.7));
  add("r", normal(dtype, {d, gates * hidden, hidden}), chance(0.7));
  maybe(0.7, "b", [&] { return normal(dtype, {d, 2 * gates * hidden}); });
  maybe(0.5, "lengths", [&] {
    Tensor t(DType::i32, {batch});
    for (int64_t i = 0; i < batch; ++i) t.data<int32_t>()[i] = static_cast<int32_t>(between(0, steps));
    return t;
  });
  maybe(0.6, "h", [&] { return normal(dtype, state); });
  if (lstm) maybe(0.6, "c", [&] { return normal(dtype, state); });
  if (lstm) maybe(0.5, "p", [&] { return normal(dtype, {d, 3 * hidden}); });
  for (int64_t i = 0; i < (lstm ? 3 : 2); ++i) {
    const bool wanted = chance(0.8) || (i == 1 && (node.outputs.empty() || node.outputs[0] == ir::kNone));
    node.outputs.push_back(wanted ? c.graph.add_value("y", {}) : ir::kNone);
    if (wanted) c.graph.outputs.push_back(node.outputs.back());
  }
  c.graph.add_node(std::move(node));
  infer_types(c.graph);
  c.what = ir::print(c.graph);
  return c;
}

TEST(RecurrentExpansion, ComputesTheSame) {
  for (int i = 0; i < 400; ++i) {
    const Case c = random_case();
    const Node& node = c.graph.node(c.graph.order()[0]);
    ExpandContext expanded = expansion(c.graph, node);
    ASSERT_EQ(expanded.rejection(), "") << c.what;
    for (size_t o = 0; o < node.outputs.size(); ++o)
      if (node.outputs[o] != ir::kNone) expanded.body().outputs.push_back(expanded.outputs()[o]);
    ir::verify(expanded.body());
    const auto wanted = evaluate(c.graph, c.inputs), got = evaluate(expanded.body(), c.inputs);
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t o = 0; o < got.size(); ++o) {
      ASSERT_EQ(got[o].shape(), wanted[o].shape()) << c.what;
      double largest = 1;  // unbounded activations let states grow
      for (int64_t e = 0; e < wanted[o].size(); ++e) largest = std::max(largest, std::fabs(wanted[o].as_double(e)));
      for (int64_t e = 0; e < got[o].size(); ++e)
        ASSERT_NEAR(got[o].as_double(e), wanted[o].as_double(e), 1e-4 * largest) << "output " << o << " of\n" << c.what;
    }
  }
}

TEST(RecurrentExpansion, SaysWhyNot) {
  Case c = random_case();
  while (c.graph.node(c.graph.order()[0]).op != "GRU") c = random_case();
  Type& x = c.graph.value(c.graph.inputs[0]).type;
  x = Type::tensor(x.dtype(), ir::Shape{Dim::symbol("a", 1, 9), Dim::symbol("b", 1, 9), Dim::symbol("c", 1, 9)});
  EXPECT_NE(expansion(c.graph, c.graph.node(c.graph.order()[0])).rejection().find("static"), std::string::npos);
}

}  // namespace
}  // namespace rooftune::ops
