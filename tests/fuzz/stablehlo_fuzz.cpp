// Fuzzes the StableHLO importer: any text gives a graph or an InputError. A graph that comes out is whole, reads back
// from its own text form, and type inference works on it or says what is wrong.
#include <cstdlib>

#include "base/error.h"
#include "frontends/stablehlo/stablehlo.h"
#include "ir/graph.h"
#include "ops/op.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rooftune;
  std::optional<ir::Graph> graph;
  try {
    graph = frontends::load_stablehlo({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const InputError&) {
    return 0;
  }
  ir::verify(*graph);
  const std::string text = ir::print(*graph, 64);
  if (ir::print(ir::parse(text, ir::collect_constants(*graph).tensors), 64) != text) {
    std::fprintf(stderr, "the text form does not read back\n");
    std::abort();
  }
  try {
    ops::infer_types(*graph);
  } catch (const InputError&) {
    return 0;
  }
  ir::verify(*graph);
  return 0;
}
