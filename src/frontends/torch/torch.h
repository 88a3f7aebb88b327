// PyTorch's archives: .pt2 (torch.export.save) is read here; TorchScript .pt is converted to it by a Python that has
// PyTorch.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "frontends/frontend.h"

namespace rooftune::frontends {

std::unique_ptr<Frontend> make_torch_frontend();

/// A .pt2 archive. `source` names it in messages.
ir::Graph load_torch(const std::shared_ptr<ir::Storage>& bytes, const std::string& source);

/// The operators that are read ("aten.linear.default"), sorted; of those that work in place ("aten.add_.Tensor") the
/// others' names.
std::vector<std::string> torch_operators();

}  // namespace rooftune::frontends
