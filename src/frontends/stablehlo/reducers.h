// What reductions, windows and scatters share: their known bodies.
#pragma once
#include "frontends/stablehlo/lowering.h"

namespace rooftune::frontends::stablehlo {

/// Whether a body (simple_body) leaves every value as it is when the other argument is `init`; false where that is no
/// constant.
bool is_neutral(const ir::Tensor* init, const std::string& body);

/// The body's operation on two tensors.
ir::ValueId combine(Lowering& l, const std::string& body, ir::DType dtype, ir::ValueId a, ir::ValueId b);

}  // namespace rooftune::frontends::stablehlo
