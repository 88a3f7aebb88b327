// The two storages that a loaded package brings.
#pragma once
#include <memory>
#include <mutex>

#include "base/files.h"
#include "ir/tensor.h"
#include "kernel/layout.h"

namespace rooftune::runtime {

/// A mapped package, which can give pages back to the system: they are read again from the file when they are needed.
class PackageStorage final : public ir::Storage {
 public:
  explicit PackageStorage(std::shared_ptr<MappedFile> file) : file_(std::move(file)) {}
  uint8_t* data() override { return file_->data(); }
  size_t size() const override { return file_->size(); }
  /// Frees the whole pages of [offset, offset + bytes). Nobody may have written to them.
  void release(size_t offset, size_t bytes) const;

 private:
  std::shared_ptr<MappedFile> file_;
};

/// A tensor that the package holds in a kernel's layout only; its row-major form is made when somebody asks for it
/// (exporting or reporting; a run never does).
class UnpackedStorage final : public ir::Storage {
 public:
  UnpackedStorage(ir::Tensor packed, std::vector<int64_t> shape, kernel::Layout layout, ir::DType dtype);
  uint8_t* data() override;
  size_t size() const override { return bytes_; }

 private:
  ir::Tensor packed_;
  std::vector<int64_t> shape_;
  kernel::Layout layout_;
  size_t element_bytes_, bytes_;
  std::once_flag once_;
  std::shared_ptr<ir::Storage> unpacked_;
};

}  // namespace rooftune::runtime
