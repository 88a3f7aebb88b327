// The passes that recognise written-out formulas, on the spellings of several exporters.
#include "passes/testing.h"

namespace rooftune::passes {
namespace {

constexpr double kSqrt2 = 1.4142135623730951;

/// After simplification, as in the list of passes.
Graph simplified(const Graph& before, const std::string& pass, double tolerance = 2e-6) {
  Graph after = before.clone();
  run_pass(after, "simplify_arithmetic");
  run_pass(after, "common_subexpression");
  run_pass(after, pass);
  expect_same_results(before, after, tolerance);
  return after;
}

TEST(RecogniseGelu, ByErf) {
  for (int spelling = 0; spelling < 5; ++spelling) {
    Model m;
    const ValueId x = m.relu(m.input("x", {2, 8}));
    const ValueId scaled = spelling % 2 ? m.op("Mul", {m.number(1 / kSqrt2), x}) : m.op("Div", {x, m.number(kSqrt2)});
    const ValueId e = m.op("Add", {m.op("Erf", {scaled}), m.number(1)});
    const ValueId half = m.number(0.5);
    ValueId y = kNone;
    if (spelling == 0) y = m.op("Mul", {m.op("Mul", {x, e}), half});  // torch 1.x
    if (spelling == 1) y = m.op("Mul", {m.op("Mul", {half, x}), e});  // torch 2.x
    if (spelling == 2) y = m.op("Mul", {x, m.op("Mul", {e, half})});
    if (spelling == 3) y = m.op("Div", {m.op("Mul", {e, x}), m.number(2)});
    if (spelling == 4) y = m.op("Mul", {m.op("Div", {x, m.number(2)}), e});
    m.output(m.op("Neg", {y}));
    const Graph after = simplified(m.graph, "recognise_gelu");
    EXPECT_EQ(operators(after), "Relu Gelu Neg") << spelling;
    EXPECT_EQ(after.opsets.at(""), 20);
  }
}

TEST(RecogniseGelu, ByTanh) {
  for (int spelling = 0; spelling < 4; ++spelling) {
    Model m;
    const ValueId x = m.input("x", {2, 8}), c = m.number(0.044715), s = m.number(0.7978845608028654);
    ValueId inner = kNone;
    if (spelling == 0) inner = m.op("Mul", {s, m.op("Add", {x, m.op("Mul", {c, m.op("Pow", {x, m.number(3)})})})});
    if (spelling == 1)
      inner = m.op("Mul", {m.op("Add", {m.op("Mul", {m.op("Mul", {x, m.op("Mul", {x, x})}), c}), x}), s});
    if (spelling == 2)
      inner = m.op("Mul", {m.op("Mul", {x, s}), m.op("Add", {m.op("Mul", {m.op("Mul", {c, x}), x}), m.number(1)})});
    if (spelling == 3)
      inner = m.op("Mul",
                   {m.op("Mul", {s, m.op("Add", {m.number(1), m.op("Mul", {c, m.op("Pow", {x, m.number(2)})})})}), x});
    const ValueId t = m.op("Add", {m.number(1), m.op("Tanh", {inner})});
    m.output(m.op("Mul", {m.op("Mul", {m.number(0.5), x}), t}));
    EXPECT_EQ(operators(simplified(m.graph, "recognise_gelu")), "Gelu") << spelling;
  }
}

TEST(RecogniseGelu, LeavesOtherFormulas) {
  Model m;
  const ValueId x = m.input("x", {2, 8}), other = m.input("other", {2, 8});
  const auto gelu = [&](ValueId a, ValueId b, double half, double root) {
    return m.op("Mul", {m.op("Mul", {a, m.number(half)}),
                        m.op("Add", {m.op("Erf", {m.op("Mul", {b, m.number(root)})}), m.number(1)})});
  };
  m.output(gelu(x, other, 0.5, 1 / kSqrt2));
  m.output(gelu(x, x, 1.0, 1 / kSqrt2));
  m.output(gelu(x, x, 0.5, 0.5));
  EXPECT_EQ(operators(simplified(m.graph, "recognise_gelu")).find("Gelu"), std::string::npos);
}

ValueId mean(Model& m, ValueId x) { return m.op("ReduceMean", {x, m.ints({-1})}, {{"keepdims", int64_t{1}}}); }

TEST(RecogniseNorm, LayerNormalisation) {
  for (int spelling = 0; spelling < 5; ++spelling) {
    Model m;
    const ValueId x = m.input("x", {2, 3, 16});
    const ValueId d = m.op("Sub", {x, mean(m, x)});
    const ValueId again = spelling == 1 ? m.op("Sub", {x, mean(m, x)}) : d;
    const ValueId square = spelling == 0 ? m.op("Pow", {again, m.number(2)}) : m.op("Mul", {again, again});
    const ValueId variance = m.op("Add", {mean(m, square), m.number(1e-5)});
    ValueId y = kNone;
    if (spelling <= 1) y = m.op("Div", {d, m.op("Sqrt", {variance})});
    if (spelling == 2) y = m.op("Mul", {d, m.op("Reciprocal", {m.op("Sqrt", {variance})})});
    if (spelling == 3) y = m.op("Mul", {m.op("Pow", {variance, m.number(-0.5)}), d});
    if (spelling == 4) y = m.op("Mul", {d, m.op("Div", {m.number(1), m.op("Sqrt", {variance})})});
    if (spelling != 3) y = m.op("Mul", {y, spelling == 2 ? m.weight({1, 1, 16}) : m.weight({16})});
    if (spelling != 4) y = m.op("Add", {m.weight({16}), y});
    m.output(m.relu(y));
    const Graph after = simplified(m.graph, "recognise_norm");
    EXPECT_EQ(operators(after), spelling == 3 ? "LayerNormalization Relu" : "LayerNormalization Relu") << spelling;
  }
}

TEST(RecogniseNorm, FromAnOlderOpset) {
  Model m(13);  // axes are an attribute there
  const ValueId x = m.input("x", {4, 16});
  const auto mean13 = [&](ValueId v) { return m.op("ReduceMean", {v}, {{"axes", std::vector<int64_t>{-1}}}); };
  const ValueId d = m.op("Sub", {x, mean13(x)});
  m.output(m.op("Mul", {m.op("Div", {d, m.op("Sqrt", {m.op("Add", {mean13(m.op("Mul", {d, d})), m.number(1e-6)})})}),
                        m.weight({16})}));
  m.output(mean13(x));
  const Graph after = simplified(m.graph, "recognise_norm");
  EXPECT_EQ(after.opsets.at(""), 17);
  EXPECT_NE(operators(after).find("LayerNormalization"), std::string::npos);
}

TEST(RecogniseNorm, RmsNormalisation) {
  Model m;
  const ValueId x = m.input("x", {2, 3, 16});
  const ValueId y = m.op(
      "Mul",
      {x, m.op("Reciprocal", {m.op("Sqrt", {m.op("Add", {mean(m, m.op("Pow", {x, m.number(2)})), m.number(1e-6)})})})});
  m.output(m.op("Mul", {m.weight({16}), y}));
  const Graph after = simplified(m.graph, "recognise_norm");
  EXPECT_EQ(operators(after), "RMSNormalization");
  EXPECT_EQ(after.opsets.at(""), 23);
}

TEST(RecogniseNorm, LeavesModelsWhoseOpsetCannotBeRaised) {
  Model m(18);  // where GroupNormalization has a scale per group
  const ValueId x = m.input("x", {2, 16});
  m.output(m.op("Div", {x, m.op("Sqrt", {m.op("Add", {mean(m, m.op("Mul", {x, x})), m.number(1e-6)})})}));
  m.output(m.op("GroupNormalization", {m.input("image", {1, 4, 3, 3}), m.weight({2}), m.weight({2})},
                {{"num_groups", int64_t{2}}}));
  EXPECT_EQ(operators(simplified(m.graph, "recognise_norm")).find("RMS"), std::string::npos);
  const std::vector<PassRecord> records = run_passes(m.graph);
  const auto pass =
      std::find_if(records.begin(), records.end(), [](const auto& r) { return r.name == "recognise_norm"; });
  ASSERT_NE(pass, records.end());
  EXPECT_EQ(pass->notes.size(), 1U);
}

TEST(RecogniseNorm, LeavesOtherMeans) {
  Model m;
  const ValueId x = m.input("x", {2, 16, 16});
  const ValueId first = m.op("ReduceMean", {x, m.ints({1})}, {{"keepdims", int64_t{1}}});  // not the last axis
  const ValueId d = m.op("Sub", {x, first});
  const ValueId v = m.op("ReduceMean", {m.op("Mul", {d, d}), m.ints({1})}, {{"keepdims", int64_t{1}}});
  m.output(m.op("Div", {d, m.op("Sqrt", {m.op("Add", {v, m.number(1e-5)})})}));
  EXPECT_EQ(operators(simplified(m.graph, "recognise_norm")).find("Norm"), std::string::npos);
}

TEST(RecogniseSoftmax, WrittenOut) {
  Model m;
  const ValueId x = m.input("x", {2, 3, 8});
  const auto keep = Attributes{{"keepdims", int64_t{1}}};
  const ValueId e = m.op("Exp", {m.op("Sub", {x, m.op("ReduceMax", {x, m.ints({1})}, keep)})});
  m.output(m.op("Div", {e, m.op("ReduceSum", {e, m.ints({1})}, keep)}));
  EXPECT_EQ(operators(simplified(m.graph, "recognise_softmax")), "Softmax");
}

TEST(RecogniseSoftmax, LeavesAnotherAxis) {
  Model m;
  const ValueId x = m.input("x", {2, 3, 8});
  const auto keep = Attributes{{"keepdims", int64_t{1}}};
  const ValueId e = m.op("Exp", {m.op("Sub", {x, m.op("ReduceMax", {x, m.ints({1})}, keep)})});
  m.output(m.op("Div", {e, m.op("ReduceSum", {e, m.ints({2})}, keep)}));
  EXPECT_EQ(operators(simplified(m.graph, "recognise_softmax")).find("Softmax"), std::string::npos);
}

TEST(RecogniseActivation, HardSwish) {
  for (int spelling = 0; spelling < 3; ++spelling) {
    Model m;
    const ValueId x = m.input("x", {2, 32});
    const ValueId shifted = m.op("Add", {x, m.number(3)});
    const ValueId clip = spelling == 1 ? m.op("Min", {m.op("Max", {shifted, m.number(0)}), m.number(6)})
                                       : m.op("Clip", {shifted, m.number(0), m.number(6)});
    if (spelling == 2) m.output(m.op("Mul", {m.op("Div", {clip, m.number(6)}), x}));
    else m.output(m.op("Div", {m.op("Mul", {x, clip}), m.number(6)}));
    EXPECT_EQ(operators(simplified(m.graph, "recognise_activation")), "HardSwish") << spelling;
  }
}

TEST(RecogniseActivation, OthersOfTheFamily) {
  Model m;
  const ValueId x = m.input("x", {2, 32});
  m.output(m.op("Div", {m.op("Clip", {m.op("Add", {x, m.number(3)}), m.number(0), m.number(6)}), m.number(6)}));
  m.output(m.op("Mul", {x, m.op("HardSigmoid", {x}, {{"alpha", 1.0F / 6}})}));
  m.output(m.op("Mul", {x, m.op("Tanh", {m.op("Softplus", {x})})}));
  m.output(m.op("Mul", {x, m.op("Sigmoid", {x})}));
  EXPECT_EQ(operators(simplified(m.graph, "recognise_activation")), "HardSigmoid HardSwish Mish Sigmoid Mul");
}

}  // namespace
}  // namespace rooftune::passes
