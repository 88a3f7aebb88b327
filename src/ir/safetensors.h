// The safetensors format (https://huggingface.co/docs/safetensors): reading by mapping, writing as a stream. What we
// write, every reader of the format reads: element types that it does not know (4-bit, some 8-bit floats, complex) are
// stored as bytes, with the true type in the metadata. Every tensor starts at a multiple of 64 bytes of the file; since
// the format allows no gaps, these are filled by entries named "__padding__<n>", which reading skips.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/tensor.h"

namespace rooftune::ir {

struct Safetensors {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// The tensors point into the mapped file. InputError naming the file and the tensor where something is wrong.
Safetensors read_safetensors(const std::string& path);
/// The same for `bytes` bytes at `offset` of a storage (a member of a package); `source` names it in messages.
Safetensors read_safetensors(const std::shared_ptr<Storage>& storage, size_t offset, size_t bytes,
                             const std::string& source);

/// A file about to be written: its size is known beforehand, as an archive wants it. Keeps the tensors alive.
class SafetensorsWriter {
 public:
  /// Strings have no place in the format: a string tensor is an InternalError. Names and metadata must be UTF-8.
  explicit SafetensorsWriter(Safetensors content);
  uint64_t size() const { return size_; }  // bytes
  void write(const std::function<void(const void* data, size_t bytes)>& sink) const;

 private:
  struct Piece {
    const Tensor* tensor;
    size_t padding;  // bytes of zeros behind it
  };
  Safetensors content_;
  std::string header_;  // with its length in front
  std::vector<Piece> pieces_;
  uint64_t size_ = 0;
};

/// Writes the whole file or, on failure, nothing.
void write_safetensors(const std::string& path, Safetensors content);

}  // namespace rooftune::ir
