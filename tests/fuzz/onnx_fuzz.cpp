// Fuzzes the ONNX importer: any bytes give a graph or an InputError. A graph that comes out is whole: its structure is
// verified, its text form and its JSON form read back, and, written as ONNX again, it is the same graph.
#include <cstdlib>

#include "base/files.h"
#include "exporters/onnx/onnx.h"
#include "frontends/onnx/onnx.h"
#include "ir/json.h"

namespace {

using namespace rooftune;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

ir::Graph load(const std::string& bytes) {
  auto owner = std::make_shared<std::string>(bytes);
  return frontends::load_onnx(ir::wrap(owner->data(), owner->size(), owner), "fuzz", "");
}

void check(const ir::Graph& graph) {
  ir::verify(graph);
  const std::string text = ir::print(graph, 64);
  const auto constants = ir::collect_constants(graph).tensors;
  require(ir::print(ir::parse(text, constants), 64) == text, "the text form does not read back");
  require(ir::print(ir::from_json(ir::to_json(graph), constants), 64) == text, "the JSON form does not read back");
}

void write_again(const ir::Graph& graph) {
  for (const ir::ValueId v : graph.outputs)
    if (graph.type(v).kind() == ir::Type::Kind::none) return;  // types are inferred elsewhere
  static const TempDirectory folder;
  const std::string path = folder.file("m.onnx");
  try {
    exporters::write_onnx(graph, path);
  } catch (const InputError&) {
    return;  // nodes of opsets that one file cannot hold
  }
  const ir::Graph again = load(read_file(path));
  require(again.inputs.size() == graph.inputs.size() && again.outputs.size() == graph.outputs.size(),
          "the written model has another interface");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::optional<ir::Graph> graph;
  try {
    graph = load({reinterpret_cast<const char*>(data), size});
  } catch (const InputError&) {
    return 0;
  }
  check(*graph);
  write_again(*graph);
  return 0;
}
