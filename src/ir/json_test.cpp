#include "ir/json.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "ir/random_graph.h"

namespace rooftune::ir {
namespace {

RC_GTEST_PROP(GraphJson, RandomGraphsComeBack, (uint64_t seed)) {
  Graph g = test::RandomGraph(seed).make();
  const Json json = parse_json(to_json(g).dump(), "test");
  const Graph again = from_json(json, collect_constants(g).tensors);
  g.compact();  // the ids too
  bool same = print(again, 1 << 20) == print(g, 1 << 20) && again.value_capacity() == g.value_capacity();
  for (size_t v = 0; same && v < g.value_capacity(); ++v)
    same = again.value(static_cast<ValueId>(v)).name == g.value(static_cast<ValueId>(v)).name;
  RC_ASSERT(same);
}

/// Puts something else at a random place of a document.
void damage(Json& j) {
  Json* at = &j;
  while (at->is_structured() && !at->empty() && *rc::gen::inRange(0, 6) != 0) {
    auto it = at->begin();
    std::advance(it, *rc::gen::inRange<size_t>(0, at->size()));
    at = &*it;
  }
  const Json others[] = {nullptr, 7, "x", Json::array(), Json::object(), Json{{"int", 3}}, Json::array({"a", "f32[1]"}),
                         -1.5};
  *at = others[*rc::gen::inRange<size_t>(0, std::size(others))];
}

RC_GTEST_PROP(GraphJson, DamagedDocumentsAreInputErrors, (uint64_t seed)) {
  const Graph g = test::RandomGraph(seed).make(1);
  Json json = to_json(g);
  damage(json);
  try {
    from_json(json, collect_constants(g).tensors);
  } catch (const InputError& e) {
    RC_ASSERT(std::string(e.what()).find("graph.json: ") == 0);
  }
}

TEST(GraphJson, ErrorsNameTheNode) {
  const auto error = [](const char* text) -> std::string {
    try {
      from_json(parse_json(text, "t"), {});
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error("[]"), "graph.json: field 'name' is missing");
  EXPECT_EQ(
      error(R"({"name": "g", "values": [["x", "f33[2]"]], "inputs": [], "outputs": [], "nodes": []})").substr(0, 43),
      "graph.json: value 'x': type \"f33[2]\": line ");
  EXPECT_EQ(error(R"({"name": "g", "values": [["w", "f32[2]", "w"]], "inputs": [], "outputs": [], "nodes": []})"),
            "graph.json: value 'w': the constant 'w' is not given");
  EXPECT_EQ(error(R"({"name": "g", "values": [["x", "f32[2]"]], "inputs": ["x"], "outputs": [], "nodes": [
              {"name": "a", "op": "Relu", "version": 6, "inputs": ["y"], "outputs": []}]})"),
            "graph.json: node 'a': there is no value 'y'");
  EXPECT_EQ(error(R"({"name": "g", "values": [["x", "f32[2]"]], "inputs": [], "outputs": [], "nodes": [
              {"name": "a", "op": "Relu", "version": 6, "inputs": ["x"], "outputs": []}]})"),
            "graph.json: graph 'g': node 'a' (Relu) uses 'x' before it is defined");
}

}  // namespace
}  // namespace rooftune::ir
