// The type of a value: Tensor | Sequence | Optional (ONNX's type system without maps and sparse tensors).
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ir/dim.h"
#include "ir/dtype.h"

namespace rooftune::ir {

class Type {
 public:
  enum class Kind { none, tensor, sequence, optional };

  Type() = default;                                                            // none: not inferred yet
  static Type tensor(DType dtype, std::optional<Shape> shape = std::nullopt);  // no shape: unknown rank
  static Type sequence(Type element);
  static Type optional(Type element);

  Kind kind() const { return kind_; }
  bool is_tensor() const { return kind_ == Kind::tensor; }

  // Of a tensor only.
  DType dtype() const { return dtype_; }
  bool has_rank() const { return shape_.has_value(); }
  const Shape& shape() const;  // InternalError for an unknown rank
  int rank() const { return static_cast<int>(shape().size()); }
  bool is_static() const { return is_tensor() && shape_ && ir::is_static(*shape_); }

  // Of a sequence or optional only.
  const Type& element() const;

  std::string to_string() const;  // "f32[1,3,H,W]", "f32[*]", "seq(f32[2])", "optional(i64[])", "?"; parses back
  static Type parse(std::string_view text);
  friend bool operator==(const Type& a, const Type& b);

 private:
  Kind kind_ = Kind::none;
  DType dtype_ = DType::undefined;
  std::optional<Shape> shape_;
  std::shared_ptr<const Type> element_;
};

}  // namespace rooftune::ir
