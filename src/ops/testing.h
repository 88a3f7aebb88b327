// For this room's tests: a graph written as text, its types inferred, and what is refused on the way.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "ops/op.h"

namespace rooftune::ops::testing {

/// The graph of these lines (inputs, constants, nodes, outputs; opset 18), verified.
inline Graph inferred(const std::string& body) {
  Graph graph = ir::parse("graph \"g\" {\n  opset \"\" 18\n  opset \"com.microsoft\" 1\n" + body + "\n}");
  infer_types(graph);
  ir::verify(graph);
  return graph;
}

/// Its inference must fail with a message that names a node and says `part`.
inline void expect_error(const std::string& body, const std::string& part) {
  try {
    inferred(body);
    ADD_FAILURE() << "no error, must be: " << part;
  } catch (const InputError& e) {
    const std::string message = e.what();
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_NE(message.find("node '"), std::string::npos) << message;
  }
}

}  // namespace rooftune::ops::testing
