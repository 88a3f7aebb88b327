// A constant in a kernel's layout, made of its row-major form, and the other way round.
#pragma once
#include <vector>

#include "ir/derived.h"
#include "kernel/layout.h"

namespace rooftune::runtime {

/// A constant as a kernel reads it. It is packed when a program that needs it is made ready to run or is saved.
class PackedStorage final : public ir::DerivedStorage {
 public:
  /// `bytes`: at least those of the layout; the rest is zero.
  PackedStorage(ir::Tensor source, kernel::Layout layout, size_t bytes);
  const ir::Tensor& source() const { return source_; }
  const kernel::Layout& layout() const { return layout_; }

 private:
  void compute(uint8_t* to) const override;
  ir::Tensor source_;
  kernel::Layout layout_;
};

/// A tensor that a package holds in a kernel's layout only; its row-major form is made when somebody asks for it
/// (exporting or reporting; a run never does).
class UnpackedStorage final : public ir::DerivedStorage {
 public:
  UnpackedStorage(ir::Tensor packed, std::vector<int64_t> shape, kernel::Layout layout, ir::DType dtype);
  const ir::Tensor& packed() const { return packed_; }

 private:
  void compute(uint8_t* to) const override;
  ir::Tensor packed_;
  std::vector<int64_t> shape_;
  kernel::Layout layout_;
  size_t element_bytes_;
};

}  // namespace rooftune::runtime
