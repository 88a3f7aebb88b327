// NumPy's .npy files (format versions 1 to 3, C order, little endian): how users hand tensors in and get them back.
#pragma once
#include <string>
#include <string_view>

#include "ir/tensor.h"

namespace rooftune::ir {

/// InputError naming the file and what is wrong with its header (Fortran order, a type we have no name for, too short).
Tensor read_npy(const std::string& path);
/// The same from memory, copied; `source` names it in messages.
Tensor parse_npy(std::string_view bytes, const std::string& source);
/// What NumPy calls the type ("float32"), where it knows it.
std::string numpy_name(DType dtype);
/// Atomic. bf16, f8 and 4-bit are written as f32, which holds all of their values. Strings are an InputError.
void write_npy(const std::string& path, const Tensor& tensor);

}  // namespace rooftune::ir
