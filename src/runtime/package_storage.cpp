#include "runtime/package_storage.h"

#include <sys/mman.h>
#include <unistd.h>

namespace rooftune::runtime {

void PackageStorage::release(size_t offset, size_t bytes) const {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page, end = (offset + bytes) / page * page;
  if (end > begin) madvise(file_->data() + begin, end - begin, MADV_DONTNEED);  // best effort
}

UnpackedStorage::UnpackedStorage(ir::Tensor packed, std::vector<int64_t> shape, kernel::Layout layout, ir::DType dtype)
    : packed_(std::move(packed)), shape_(std::move(shape)), layout_(std::move(layout)) {
  size_t count = 1;
  for (int64_t d : shape_) count *= static_cast<size_t>(d);
  element_bytes_ = static_cast<size_t>(ir::bit_width(dtype)) / 8;
  bytes_ = ir::byte_size(dtype, count);
}

uint8_t* UnpackedStorage::data() {
  std::call_once(once_, [&] {
    auto memory = ir::allocate(bytes_);
    kernel::unpack(packed_.raw(), shape_, layout_, element_bytes_, memory->data());
    unpacked_ = std::move(memory);
  });
  return unpacked_->data();
}

}  // namespace rooftune::runtime
