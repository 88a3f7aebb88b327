// Whatever the importer accepts: the passes and the partition either work or say what is wrong. Anything but an
// InputError is a finding. Small graphs only, since constant folding computes.
#include <cstring>

#include "base/error.h"
#include "estimate/characterize.h"
#include "frontends/onnx/onnx.h"
#include "ops/op.h"
#include "passes/partition.h"
#include "passes/pass.h"

namespace {

/// Everything static and little work: neither a pass nor the fuzzer should spend seconds on one file.
bool is_small(const rooftune::ir::Graph& graph) {
  const auto facts = rooftune::estimate::characterize(graph);
  return facts.bytes < 1e6 && facts.flops < 1e7 && graph.order().size() < 200;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rooftune;
  const auto bytes = ir::allocate(size);
  if (size > 0) std::memcpy(bytes->data(), data, size);
  try {
    ir::Graph graph = frontends::load_onnx(bytes, "model", "");
    ops::infer_types(graph);
    if (!is_small(graph)) return 0;
    passes::run_passes(graph);
    passes::verify(graph, passes::partition(graph).partition);
  } catch (const InputError&) {
  }
  return 0;
}
