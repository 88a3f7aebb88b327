// A door to the importer and the ONNX writer for tests, without the rest of the house:
//   onnx_tool check FILE      imports and infers types; prints what is wrong
//   onnx_tool rewrite IN OUT [MOST_INLINE_BYTES]   imports and writes it again (types that it does not state are inferred)
// Exit codes as those of the CLI: 0 done, 2 wrong usage, 3 bad input, 4 something missing, 5 our bug.
#include <cstdio>
#include <cstring>

#include "exporters/onnx/onnx.h"
#include "frontends/frontend.h"
#include "ops/op.h"

int main(int argc, char** argv) {
  using namespace rooftune;
  const bool check = argc == 3 && std::strcmp(argv[1], "check") == 0;
  const bool rewrite = (argc == 4 || argc == 5) && std::strcmp(argv[1], "rewrite") == 0;
  if (!check && !rewrite) return 2;
  try {
    ir::Graph graph = frontends::load_model(argv[2]);
    bool typed = true;
    for (const ir::ValueId v : graph.outputs) typed &= graph.type(v).kind() != ir::Type::Kind::none;
    if (check || !typed) ops::infer_types(graph);
    ir::verify(graph);
    exporters::OnnxOptions options;
    if (argc == 5) options.most_inline_bytes = std::stoull(argv[4]);
    if (rewrite) exporters::write_onnx(graph, argv[3], options);
    return 0;
  } catch (const InputError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 3;
  } catch (const EnvironmentError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 4;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bug: %s\n", e.what());
    return 5;
  }
}
