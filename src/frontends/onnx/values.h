// Tensors and types of an ONNX model as ours.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>

#include "ir/tensor.h"
#include "ir/type.h"
#include "onnx-ml.pb.h"

namespace rooftune::frontends::onnx_format {

/// InputError unless it is UTF-8; `what` names it in the message ("name of a node"). Returns `text`.
const std::string& check_text(const std::string& text, std::string_view what);

/// Element types have equal numbers; InputError for one that we do not know.
ir::DType to_dtype(int onnx_type, std::string_view what);

/// What the dimensions of a type may become.
struct DimNames {
  bool name_unknown =
      false;  // one without a name is the symbol "<value>_dim<axis>"; else the shape is left to inference
  std::set<std::string> symbols;  // of the model's inputs: "a + 1" is an expression where "a" is one, else just a name
};

/// `value` names the value in messages.
ir::Type to_type(const onnx::TypeProto& proto, const std::string& value, const DimNames& names);

/// Reads the tensors of a model whose raw_data were cut out by skeleton().
class TensorReader {
 public:
  /// External data lies beside the file `model_path`; where that is empty, none is allowed.
  TensorReader(std::shared_ptr<ir::Storage> model, std::string model_path)
      : model_(std::move(model)), model_path_(std::move(model_path)) {}

  /// `what` names the tensor in messages: "initializer 'w'". Points into the model's file or the external one; only
  /// data that lies too crooked for its type, or is not raw, is copied.
  ir::Tensor read(const onnx::TensorProto& proto, const std::string& what);

 private:
  ir::Tensor at(ir::DType dtype, std::vector<int64_t> shape, const std::shared_ptr<ir::Storage>& storage,
                size_t offset);
  ir::Tensor external(const onnx::TensorProto& proto, ir::DType dtype, std::vector<int64_t> shape,
                      const std::string& what);
  const std::shared_ptr<ir::Storage>& open(const std::string& location, const std::string& what);

  std::shared_ptr<ir::Storage> model_;
  std::string model_path_;
  std::map<std::string, std::shared_ptr<ir::Storage>> files_;  // by location
};

}  // namespace rooftune::frontends::onnx_format
