// StableHLO models in text form (MLIR), as jax.export and jax.jit(…).lower(…) print them: what an MLP, a CNN or a
// transformer is made of, control flow included. Types must be static, or dynamic in dimensions only.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "frontends/frontend.h"

namespace rooftune::frontends {

std::unique_ptr<Frontend> make_stablehlo_frontend();

/// The module in `text`; `source` names it in messages, which also give line and column.
ir::Graph load_stablehlo(std::string_view text, const std::string& source);

}  // namespace rooftune::frontends
