#include "ir/graph.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace rooftune::ir {
namespace {

Node make_node(std::string op, std::vector<ValueId> inputs, std::vector<ValueId> outputs) {
  Node n;
  n.op = std::move(op);
  n.since_version = 17;
  n.inputs = std::move(inputs);
  n.outputs = std::move(outputs);
  return n;
}

const Type kVector = Type::tensor(DType::f32, Shape{4});

/// x → Relu → h → Relu → y, with `h` free to be replaced.
struct Chain {
  Graph g;
  ValueId x, h, y;
  NodeId first, second;
  Chain() {
    g.name = "chain";
    g.opsets[""] = 17;
    x = g.add_input("x", kVector);
    h = g.add_value("h", kVector);
    y = g.add_value("y", kVector);
    first = g.add_node(make_node("Relu", {x}, {h}));
    second = g.add_node(make_node("Sigmoid", {h}, {y}));
    g.outputs = {y};
  }
};

/// The message of the error that `f` throws.
template <typename E, typename F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(Graph, NamesAreMadeUnique) {
  Chain c;
  const ValueId other = c.g.add_value("h", kVector);
  EXPECT_NE(c.g.value(other).name, "h");
  EXPECT_EQ(c.g.find_value(c.g.value(other).name), other);
  EXPECT_EQ(c.g.find_value("h"), c.h);
  EXPECT_FALSE(c.g.find_value("nothing"));
  EXPECT_EQ(c.g.node(c.first).name, "Relu_0");
}

TEST(Graph, ConsumersAreFoundInOrderAndOnce) {
  Chain c;
  const ValueId sum = c.g.add_value("sum", kVector);
  const NodeId add = c.g.add_node(make_node("Add", {c.h, c.h}, {sum}));
  EXPECT_EQ(c.g.consumers(c.h), (std::vector<NodeId>{c.second, add}));
  EXPECT_EQ(c.g.consumer_table()[static_cast<size_t>(c.h)], (std::vector<NodeId>{c.second, add}));
  c.g.node(c.second).inputs[0] = c.x;
  EXPECT_EQ(c.g.consumers(c.h), std::vector<NodeId>{add});
}

TEST(Graph, ReplacingAnOutputKeepsItsName) {
  Chain c;
  EXPECT_TRUE(c.g.can_take_name(c.y, c.h));
  c.g.replace_uses(c.y, c.h);
  c.g.remove_node(c.second);
  EXPECT_EQ(c.g.outputs, std::vector<ValueId>{c.h});
  EXPECT_EQ(c.g.value(c.h).name, "y");
  EXPECT_EQ(c.g.find_value("y"), c.h);
  verify(c.g);
}

TEST(Graph, ReplacingAnOutputByAnInputPutsAnIdentity) {
  Chain c;
  EXPECT_FALSE(c.g.can_take_name(c.y, c.x));
  c.g.replace_uses(c.y, c.x);
  EXPECT_EQ(c.g.value(c.g.outputs[0]).name, "y");
  EXPECT_EQ(c.g.value(c.x).name, "x");
  EXPECT_EQ(c.g.remove_dead(), 2);
  ASSERT_EQ(c.g.order().size(), 1u);
  EXPECT_EQ(c.g.node(c.g.order()[0]).op, "Identity");
  verify(c.g);
}

TEST(Graph, RemovingAUsedNodeIsABug) {
  Chain c;
  EXPECT_THROW(c.g.remove_node(c.first), InternalError);
  EXPECT_THROW(c.g.remove_node(c.second), InternalError);  // a graph output
}

TEST(Graph, RemoveDeadFollowsUsesAndDropsConstants) {
  Chain c;
  c.g.add_constant("unused", Tensor::of<float>(DType::f32, {1}, {1}));
  const ValueId dead = c.g.add_value("dead", kVector);
  c.g.add_node(make_node("Neg", {c.h}, {dead}));
  EXPECT_EQ(c.g.remove_dead(), 1);
  EXPECT_FALSE(c.g.find_value("unused"));
  EXPECT_FALSE(c.g.find_value("dead"));
  EXPECT_TRUE(c.g.find_value("x"));
  EXPECT_EQ(c.g.remove_dead(), 0);
  verify(c.g);
}

TEST(Graph, SortKeepsWhatIsFreeAndNamesACycle) {
  Graph g;
  const ValueId x = g.add_input("x", kVector);
  const ValueId a = g.add_value("a", kVector), b = g.add_value("b", kVector), d = g.add_value("d", kVector);
  const NodeId late = g.add_node(make_node("Neg", {a}, {b}));
  const NodeId free = g.add_node(make_node("Exp", {x}, {d}));
  const NodeId early = g.add_node(make_node("Relu", {x}, {a}));
  g.outputs = {b, d};
  EXPECT_THROW(verify(g), InternalError);
  g.sort();
  EXPECT_EQ(g.order(), (std::vector<NodeId>{free, early, late}));
  verify(g);

  g.node(early).inputs[0] = b;
  const std::string message = message_of<InputError>([&] { g.sort(); });
  EXPECT_TRUE(message.find("'Relu_2'") != std::string::npos || message.find("'Neg_0'") != std::string::npos) << message;
  EXPECT_NE(message.find("cycle"), std::string::npos);
}

TEST(Graph, InsertingBeforeKeepsTheOrder) {
  Chain c;
  const ValueId n = c.g.add_value("n", kVector);
  const NodeId neg = c.g.add_node(make_node("Neg", {c.h}, {n}), c.second);
  c.g.node(c.second).inputs[0] = n;
  EXPECT_EQ(c.g.order(), (std::vector<NodeId>{c.first, neg, c.second}));
  verify(c.g);
}

/// An If whose then-branch captures `h`.
struct WithBody : Chain {
  NodeId branch;
  ValueId z, captured;
  std::shared_ptr<Graph> body = std::make_shared<Graph>();
  WithBody() {
    const ValueId condition = g.add_constant("c", Tensor::of<uint8_t>(DType::boolean, {}, {1}));
    captured = body->add_value("h", kVector);
    body->captures_inner = {captured};
    body->captures_outer = {h};
    const ValueId out = body->add_value("out", kVector);
    body->add_node(make_node("Neg", {captured}, {out}));
    body->outputs = {out};
    z = g.add_value("z", kVector);
    Node n = make_node("If", {condition}, {z});
    n.attributes["then_branch"] = body;
    n.attributes["else_branch"] = std::make_shared<Graph>(body->clone());
    branch = g.add_node(std::move(n));
    g.outputs.push_back(z);
  }
};

TEST(Graph, BodiesUseWhatTheyCapture) {
  WithBody c;
  verify(c.g);
  EXPECT_EQ(c.g.consumers(c.h), (std::vector<NodeId>{c.second, c.branch}));
  c.g.replace_uses(c.h, c.x);
  EXPECT_EQ(c.body->captures_outer, std::vector<ValueId>{c.x});
  EXPECT_EQ(c.g.consumers(c.x), (std::vector<NodeId>{c.first, c.second, c.branch}));
  EXPECT_EQ(c.g.remove_dead(), 1);
  verify(c.g);
}

TEST(Graph, RemoveDeadDropsUnusedCaptures) {
  WithBody c;
  const ValueId k = c.body->add_constant("k", Tensor::of<float>(DType::f32, {4}, {1, 2, 3, 4}));
  c.body->outputs = {k};
  const auto other = c.g.node(c.branch).attr_graph("else_branch");
  EXPECT_EQ(c.g.remove_dead(), 1);  // the Neg of the first body only
  EXPECT_TRUE(c.body->captures_inner.empty());
  EXPECT_EQ(other->captures_outer, std::vector<ValueId>{c.h});
  verify(c.g);
}

TEST(Graph, ClonesShareConstantsButNoBody) {
  WithBody c;
  Graph copy = c.g.clone();
  EXPECT_EQ(print(copy), print(c.g));
  EXPECT_EQ(copy.constant(*copy.find_value("c"))->raw(), c.g.constant(*c.g.find_value("c"))->raw());
  copy.node(c.branch).attr_graph("then_branch")->name = "changed";
  EXPECT_NE(c.body->name, "changed");
}

TEST(Graph, CompactLeavesNoHoles) {
  WithBody c;
  const ValueId dead = c.g.add_value("dead", kVector);
  c.g.add_node(make_node("Exp", {c.x}, {dead}), c.first);
  c.g.remove_dead();
  const std::string before = print(c.g);
  c.g.compact();
  verify(c.g);
  EXPECT_EQ(print(c.g), before);
  EXPECT_EQ(c.g.node_capacity(), c.g.order().size());
  for (size_t v = 0; v < c.g.value_capacity(); ++v) EXPECT_TRUE(c.g.value_alive(static_cast<ValueId>(v)));
}

TEST(Graph, AttributesAreTyped) {
  Node n = make_node("Conv", {}, {});
  n.name = "conv1";
  n.attributes["strides"] = std::vector<int64_t>{2, 2};
  n.attributes["alpha"] = 0.5f;
  EXPECT_EQ(n.attr_ints("strides"), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(n.attr_ints("pads", {7}), (std::vector<int64_t>{7}));
  EXPECT_EQ(n.attr_float("alpha", 0), 0.5f);
  EXPECT_EQ(n.attr_tensor("value"), nullptr);
  const std::string message = message_of<InputError>([&] { n.attr_int("strides", 0); });
  EXPECT_EQ(message, "node 'conv1' (Conv): attribute 'strides' must be an integer, not a list of integers");
}

TEST(Verify, FindsWhatIsBroken) {
  const auto broken = [](auto&& edit) {
    WithBody c;
    verify(c.g);
    edit(c);
    return message_of<InternalError>([&] { verify(c.g); });
  };
  EXPECT_NE(broken([](WithBody& c) { c.g.node(c.second).inputs[0] = 99; }).find("'Sigmoid_1'"), std::string::npos);
  EXPECT_NE(broken([](WithBody& c) { c.g.node(c.first).inputs[0] = c.y; }).find("before it is defined"),
            std::string::npos);
  EXPECT_NE(broken([](WithBody& c) { c.g.value(c.h).name = "other"; }).find("rename"), std::string::npos);
  EXPECT_NE(broken([](WithBody& c) { c.g.node(c.second).name = c.g.node(c.first).name; }).find("two nodes"),
            std::string::npos);
  EXPECT_NE(broken([](WithBody& c) { c.g.value(c.h).producer = c.second; }).find("'h'"), std::string::npos);
  EXPECT_NE(broken([](WithBody& c) { c.g.inputs.push_back(c.x); }).find("twice"), std::string::npos);
  EXPECT_NE(broken([](WithBody& c) { c.g.outputs.push_back(c.g.add_value("loose", kVector)); }).find("'loose'"),
            std::string::npos);
  EXPECT_NE(broken([](WithBody& c) { c.body->captures_outer.clear(); }).find("captures"), std::string::npos);
  EXPECT_NE(broken([](WithBody& c) { c.g.captures_inner = {c.x}; }).find("no graph around"), std::string::npos);
  EXPECT_NE(broken([](WithBody& c) { c.g.value(*c.g.find_value("c")).type = kVector; }).find("'c'"), std::string::npos);
}

}  // namespace
}  // namespace rooftune::ir
