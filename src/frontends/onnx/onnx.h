// ONNX models: ir_version 3 to 14, default opsets 1 to 26 (those below 13 where their meaning can be kept, see
// upgrade.h), every element type but 6-bit floats. Weights stay where the file is mapped.
#pragma once
#include <memory>
#include <string>

#include "frontends/frontend.h"

namespace rooftune::frontends {

std::unique_ptr<Frontend> make_onnx_frontend();

/// The model in `bytes` (usually a mapped file, kept alive by the tensors that point into it). `source` names it in
/// messages; external data lies beside the file `path`, and is refused where that is empty.
ir::Graph load_onnx(const std::shared_ptr<ir::Storage>& bytes, const std::string& source, const std::string& path);

}  // namespace rooftune::frontends
