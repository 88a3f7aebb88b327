// Resident memory of a process that loads a tuned package and runs it: bench_rss_rooftune MODEL.rt THREADS RUNS
// Only the runtime is linked, as in a program that deploys the model: no LLVM, no frontend.
#include <cstdlib>

#include "rss_common.h"
#include "runtime/executable.h"

using namespace rooftune;

static ir::Tensor make_input(const runtime::Slot& slot) {
  const bool is_float = slot.dtype == ir::DType::f32;
  if (!is_float && slot.dtype != ir::DType::i64)
    throw InputError("input {}: float32 and int64 are known here", slot.name);
  ir::Tensor tensor(slot.dtype, slot.shape);
  fill(tensor.raw(), static_cast<size_t>(tensor.size()), is_float);
  return tensor;
}

int main(int argc, char** argv) try {
  if (argc != 4) return std::fprintf(stderr, "usage: %s MODEL.rt THREADS RUNS\n", argv[0]), 2;
  const int runs = std::atoi(argv[3]);
  const double start = now_ms();
  const runtime::Executable executable(runtime::load(argv[1]));
  const auto context = executable.make_context(std::atoi(argv[2]));
  const double loaded = now_ms();
  std::vector<ir::Tensor> inputs, outputs;
  for (const int slot : executable.program().inputs)
    inputs.push_back(make_input(executable.program().slots[static_cast<size_t>(slot)]));
  double first = 0;
  for (int r = 0; r < runs; ++r) {
    const double t = now_ms();
    executable.run(*context, inputs, outputs);
    if (r == 0) first = now_ms() - t;
  }
  report(loaded - start, first, runs);
  return 0;
} catch (const Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
