// Codes of the floating-point formats below 32 bits (f16, bf16, f8*, f4e2m1) as doubles and back. Tensor's element
// access stands on it; whole tensors of f16 and bf16 use the direct functions in tensor.h.
#pragma once
#include <cstdint>

#include "ir/dtype.h"

namespace rooftune::ir {

double decode_small(uint32_t code, DType dtype);
/// Rounds once, to nearest even. Beyond the largest number: that number if `saturate` (infinities too), else infinity,
/// or NaN in a format that has none. NaN in a format without NaN (f4e2m1) is its largest number.
uint32_t encode_small(double value, DType dtype, bool saturate);

}  // namespace rooftune::ir
