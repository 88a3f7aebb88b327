// The JSON form of a graph, for packages: everything but the bytes of its tensors.
//
//   {"name": …, "opsets": [["", 17]], "metadata": [["author", "me"]], "inputs": ["x"], "outputs": ["y"],
//    "values": [["x", "f32[N,4]"], ["w", "f32[4,2]", "w"], …],       name, type, key of the constant
//    "nodes": [{"name": "fc1", "op": "MatMul", "version": 13, "inputs": ["x", "w", null], "outputs": ["h"],
//               "attributes": [["alpha", {"float": "0.1"}], ["then_branch", {"graph": {…, "captures": [["a", "h"]]}}]]}]}
//
// Floats are written as text, which also holds NaN and infinity; strings that are not UTF-8 as {"hex": "…"}.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "base/json.h"
#include "ir/graph.h"

namespace rooftune::ir {

/// Tensors are named by their key in collect_constants(graph), except string tensors, which stand inline. Values stand
/// in the order of their ids and nodes in the order of running, so the graph read back has the ids of a compacted one.
Json to_json(const Graph& graph);
/// `constants` by key. InputError that starts with `source` and names the node or value where the document is wrong;
/// the graph returned is verified.
Graph from_json(const Json& json, const std::map<std::string, Tensor>& constants,
                std::string_view source = "graph.json");

}  // namespace rooftune::ir
