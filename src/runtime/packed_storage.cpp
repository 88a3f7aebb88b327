#include "runtime/packed_storage.h"

#include <cstring>

#include "ir/mapped.h"

namespace rooftune::runtime {
namespace {

size_t row_major_bytes(ir::DType dtype, const std::vector<int64_t>& shape) {
  size_t count = 1;
  for (int64_t d : shape) count *= static_cast<size_t>(d);
  return ir::byte_size(dtype, count);
}

}  // namespace

PackedStorage::PackedStorage(ir::Tensor source, kernel::Layout layout, size_t bytes)
    : DerivedStorage(bytes), source_(std::move(source)), layout_(std::move(layout)) {}

void PackedStorage::compute(uint8_t* to) const {
  const ir::Tensor source = ir::for_reading_once(source_);
  const size_t element = ir::byte_size(source.dtype(), 1), packed = static_cast<size_t>(layout_.size()) * element;
  RT_CHECK(packed <= size(), "{} bytes for {} of {} bytes each", size(), layout_.size(), element);
  kernel::pack(source.raw(), source.shape(), layout_, element, to);
  std::memset(to + packed, 0, size() - packed);
  ir::release(source);  // hardly anybody reads both forms
}

UnpackedStorage::UnpackedStorage(ir::Tensor packed, std::vector<int64_t> shape, kernel::Layout layout, ir::DType dtype)
    : DerivedStorage(row_major_bytes(dtype, shape)),
      packed_(std::move(packed)),
      shape_(std::move(shape)),
      layout_(std::move(layout)),
      element_bytes_(static_cast<size_t>(ir::bit_width(dtype)) / 8) {}

void UnpackedStorage::compute(uint8_t* to) const { kernel::unpack(packed_.raw(), shape_, layout_, element_bytes_, to); }

}  // namespace rooftune::runtime
