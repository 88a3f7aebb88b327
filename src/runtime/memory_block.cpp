#include "runtime/memory_block.h"

#include <sys/mman.h>

#include "base/error.h"

namespace rooftune::runtime {
namespace {
constexpr size_t kHugePage = size_t{2} << 20;
}

MemoryBlock::MemoryBlock(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  // A block worth several huge pages starts at the border of one, so that all but its tail lies on huge pages.
  const size_t slack = bytes >= 2 * kHugePage ? kHugePage : 0;
  void* at = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    throw EnvironmentError("out of memory: {:.1f} MB for a model's working memory", static_cast<double>(bytes) / 1e6);
  data_ = static_cast<uint8_t*>(at);
  if (slack == 0) return;
  const size_t head = (kHugePage - reinterpret_cast<uintptr_t>(at) % kHugePage) % kHugePage;
  const size_t page = 4096, end = (head + bytes + page - 1) / page * page,
               whole = (bytes + slack + page - 1) / page * page;
  if (head > 0) munmap(at, head);
  if (whole > end) munmap(static_cast<uint8_t*>(at) + end, whole - end);
  data_ += head;
  madvise(data_, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);  // best effort
}

MemoryBlock::~MemoryBlock() {
  if (data_) munmap(data_, bytes_);
}

}  // namespace rooftune::runtime
