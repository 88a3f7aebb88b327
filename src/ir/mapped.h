// From which file a tensor's bytes are mapped: for whoever must name or hash the files that a model consists of.
#pragma once
#include <string>

#include "ir/tensor.h"

namespace rooftune::ir {

/// Empty where the bytes are in memory only.
std::string mapped_from(const Storage& storage);

}  // namespace rooftune::ir
