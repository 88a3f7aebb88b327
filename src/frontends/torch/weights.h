// Parameters, buffers and constants of a .pt2 archive, mapped from where they lie in the file.
#pragma once
#include <map>
#include <string>

#include "base/json.h"
#include "frontends/torch/archive.h"

namespace rooftune::frontends::torch_format {

class Weights {
 public:
  /// Reads which tensor lies in which member. InputError naming the field or member at fault.
  Weights(const Archive& archive, const std::string& model);

  /// By its name in the state_dict or among the constants. Points into the file; only what does not lie there row by
  /// row and aligned is copied. InputError naming the tensor.
  ir::Tensor read(const std::string& name) const;

 private:
  void add(const std::string& config, const std::string& folder);

  struct Place {
    std::string member;
    Json meta;  // null: no tensor
    bool pickled = false;
  };
  const Archive& archive_;
  std::map<std::string, Place> places_;
};

}  // namespace rooftune::frontends::torch_format
