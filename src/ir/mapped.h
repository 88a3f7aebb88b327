// Tensors whose bytes are mapped from a file: for whoever must name or hash the files that a model consists of, and for
// whoever has read a weight and will hardly read it again.
#pragma once
#include <string>

#include "ir/tensor.h"

namespace rooftune::ir {

/// Empty where the bytes are in memory only.
std::string mapped_from(const Storage& storage);

/// Gives the memory of a tensor that is mapped from a file back to the system: it is read from the file again when it is
/// needed. Nobody may have written to it. Of other tensors nothing is given back.
void release(const Tensor& tensor);

}  // namespace rooftune::ir
