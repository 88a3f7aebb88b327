// The parts of the text form that several files of this room share.
#pragma once
#include "ir/scanner.h"
#include "ir/tensor.h"
#include "ir/type.h"

namespace rooftune::ir {

Dim parse_dim(Scanner& scanner);
Type parse_type(Scanner& scanner);

/// One element. Floating-point numbers stand in the shortest decimal form that reads back the same bits, other values
/// (NaN, complex) as '#' and the bits in hexadecimal.
std::string print_element(const Tensor& tensor, int64_t i);
void parse_element(Scanner& scanner, Tensor& tensor, int64_t i);
/// All elements in row-major order, "{1, 2.5, inf}".
std::string print_elements(const Tensor& tensor);
Tensor parse_elements(Scanner& scanner, DType dtype, std::vector<int64_t> shape);

}  // namespace rooftune::ir
