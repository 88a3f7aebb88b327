// Whatever bytes a user hands over: the importer, type inference and characterisation either work or say what is wrong.
// Anything but an InputError is a finding.
#include <cstring>

#include "base/error.h"
#include "estimate/characterize.h"
#include "frontends/onnx/onnx.h"
#include "ir/graph.h"
#include "ops/op.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rooftune;
  const auto bytes = ir::allocate(size);
  if (size > 0) std::memcpy(bytes->data(), data, size);
  try {
    ir::Graph graph = frontends::load_onnx(bytes, "model", "");
    ops::infer_types(graph);
    ir::verify(graph);
    ir::print(graph);
    estimate::characterize(graph);
  } catch (const InputError&) {
  }
  return 0;
}
