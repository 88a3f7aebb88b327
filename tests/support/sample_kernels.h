// Kernels as operators lower to, for property tests and benchmarks of schedules and code generation.
#pragma once
#include <string>
#include <vector>

#include "kernel/kernel.h"

namespace rooftune::testing {

kernel::Kernel gemm(int64_t m, int64_t n, int64_t k, bool bias_relu = true);
kernel::Kernel batched_gemm(int64_t batch, int64_t m, int64_t n, int64_t k,
                            bool transposed);  // both operands activations

struct ConvShape {
  int64_t channels = 64, outputs = 64, height = 56, width = 56, window = 3, stride = 1, pad = 1;
  bool depthwise = false;
  int64_t block = 16;  // of the channels in memory; 0: row-major
  bool blocked_input = true;
  bool channels_last = false;  // instead of blocks
};
/// Convolution + bias + ReLU (+ residual).
kernel::Kernel convolution(const ConvShape& shape, bool residual = false);
/// Products that a processor sums in words of 32 bits: x (u8 or i8) with w (i8 or u8) to i32, bf16 with bf16 to f32.
kernel::Kernel dot_gemm(int64_t m, int64_t n, int64_t k, ir::DType x, ir::DType w, bool transposed = false);
/// x · Wᵀ + bias of f32 with weights [n, k] of 4 or 8 bits, dequantised as operators do it: in blocks of `block` along k, or
/// per row of W where that is 0. `zeros`: each block has a zero point of its own, else all are the middle of the range.
kernel::Kernel weight_only_gemm(int64_t m, int64_t n, int64_t k, int bits, int64_t block, bool zeros);
kernel::Kernel dot_convolution(const ConvShape& shape, ir::DType x = ir::DType::u8, ir::DType w = ir::DType::i8);
/// Transposed convolution whose windows neither overlap nor leave gaps (stride = window), with bias.
kernel::Kernel transposed_convolution(int64_t channels, int64_t outputs, int64_t size, int64_t window, int64_t block);
/// Inverted residual block: 1 x 1 expansion to `hidden` channels, depthwise 3 x 3, projection back, residual; ReLU6
/// between. Tensors are [channels, size, size]. `stride` of the depthwise window: where it is not 1, or where nothing
/// `expands` (the input is then [hidden, size, size] in blocks of 16 channels), ReLU takes the place of the residual.
kernel::Kernel inverted_residual(int64_t channels, int64_t hidden, int64_t size, int64_t stride = 1,
                                 bool expands = true);
kernel::Kernel max_pool(int64_t channels, int64_t size, int64_t window, int64_t stride, int64_t pad, int64_t block);
kernel::Kernel softmax(int64_t rows, int64_t columns);
kernel::Kernel layer_norm(int64_t rows, int64_t columns);
kernel::Kernel attention(int64_t heads, int64_t queries, int64_t keys, int64_t depth, bool causal);
kernel::Kernel transpose(int64_t a, int64_t b, int64_t c);
kernel::Kernel elementwise(int64_t a, int64_t b);
/// Rows of x, one per edge, scattered to the rows of y that `target` names, over what `start` gives: [batch, edges, width]
/// into [batch, nodes, width]. `per_feature`: every element has a target of its own. Targets that are no row are
/// skipped.
kernel::Kernel scatter(int64_t batch, int64_t nodes, int64_t edges, int64_t width, kernel::Reduction combine,
                       bool per_feature = false);
kernel::Kernel mean_of_pixels(int64_t channels, int64_t size, int64_t block);

/// The same kernel with its f32 operands and results stored in 16 bits.
kernel::Kernel stored_as(kernel::Kernel kernel, ir::DType dtype);

}  // namespace rooftune::testing
