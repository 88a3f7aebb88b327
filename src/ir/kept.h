// Memory for what every run reads and nobody changes: packed weights. Runs walk through all of it once, so that with small
// pages each 4 KiB costs a walk through page tables (in a virtual machine a tenth of a dense layer's time). Tensors are
// rarely whole huge pages; therefore they lie one behind the other in blocks of such.
#pragma once
#include <memory>

#include "ir/tensor.h"

namespace rooftune::ir {

/// Zeroed and 64-byte aligned. EnvironmentError where the system has no memory. Memory that is not used any more goes
/// back to the system page by page, and a block with its last user.
std::shared_ptr<Storage> allocate_kept(size_t bytes);

}  // namespace rooftune::ir
