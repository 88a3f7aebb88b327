// Times the candidates of one task in this process, as an Executable would run them: packed constants, prepared buffers,
// a thread pool. Weights come from as far away as they do in the model: every run reads another place of a block that is
// as large as the model's weights. Activations stay warm. Meant for the child processes of measure_task.h.
#pragma once
#include <functional>

#include "tune/measure_task.h"

namespace rooftune::tune {

struct ReferenceOutputs {   // of the task, row-major, one output after the other
  uint8_t* data = nullptr;  // memory shared between processes
  size_t bytes = 0;
  bool* valid = nullptr;  // also shared
};

struct BenchSettings {
  int threads = 1;
  uint64_t seed = 0;
  const uint8_t* weights = nullptr;  // the block through which weights rotate (valid f32 numbers); null: no rotation
  size_t weights_bytes = 0;
  size_t l3 = size_t{32} << 20;  // bytes: what is larger is cold by itself
  ReferenceOutputs reference;
  std::function<void()> alive;                        // called now and then, between 0 and a few seconds apart
  std::function<void(size_t, const Measured&)> done;  // each candidate once
};

/// How large the block must be through which weights rotate, so that they come from as far away as in a model whose
/// weights are `total` bytes: from memory where they do not stay in a cache of `l3` bytes, else from that cache.
size_t weight_block_bytes(size_t total, int64_t l3);
/// Whether a kernel's weights rotate: those that exceed the cache by themselves, or the block, do not.
bool weights_rotate(size_t bytes, size_t block_bytes, size_t l3);

/// Bytes of the task's outputs, row-major.
size_t output_bytes(const Task& task);

/// Runs the batch. Throws only where nothing could be done at all.
void bench(const Workload& workload, const Batch& batch, codegen::Codegen& codegen, const BenchSettings& settings);

/// Whether `b` is `a` but for rounding: floats by relative L2 distance (1e-4 per unit of error class) where both are
/// finite, others but for one in a hundred.
bool outputs_agree(const kernel::Kernel& kernel, const uint8_t* a, const uint8_t* b, double error_class);

}  // namespace rooftune::tune
