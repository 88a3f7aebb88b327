#include "ir/kept.h"

#include <sys/mman.h>
#include <unistd.h>

#include <mutex>

namespace rooftune::ir {
namespace {

constexpr size_t kHugePage = size_t{2} << 20, kAlign = 64;
constexpr size_t kBlock = size_t{64} << 20;  // of addresses: what is never touched takes no memory

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

class Block {
 public:
  explicit Block(size_t bytes) : mapped_(round_up(bytes, kHugePage) + kHugePage) {
    base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base_ == MAP_FAILED) throw EnvironmentError("out of memory: {:.1f} MB for constants", bytes / 1e6);
    next_ = round_up(reinterpret_cast<uintptr_t>(base_), kHugePage);
    end_ = next_ + round_up(bytes, kHugePage);
    madvise(reinterpret_cast<void*>(next_), end_ - next_, MADV_HUGEPAGE);  // best effort
  }
  ~Block() { munmap(base_, mapped_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Null where so much is not left.
  uint8_t* take(size_t bytes) {
    if (bytes > end_ - next_) return nullptr;
    auto* at = reinterpret_cast<uint8_t*>(next_);
    next_ = std::min(end_, next_ + round_up(bytes, kAlign));
    return at;
  }

 private:
  size_t mapped_;
  void* base_;
  uintptr_t next_ = 0, end_ = 0;
};

class Piece final : public Storage {
 public:
  Piece(std::shared_ptr<Block> block, uint8_t* data, size_t bytes)
      : block_(std::move(block)), data_(data), bytes_(bytes) {}
  ~Piece() override {
    // Whole pages only, of whatever size: neighbours lie on the rest.
    static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t from = round_up(reinterpret_cast<uintptr_t>(data_), page),
                    to = reinterpret_cast<uintptr_t>(data_ + bytes_) / page * page;
    if (to > from) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
  }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;
  uint8_t* data() override { return data_; }
  size_t size() const override { return bytes_; }

 private:
  std::shared_ptr<Block> block_;
  uint8_t* data_;
  size_t bytes_;
};

}  // namespace

std::shared_ptr<Storage> allocate_kept(size_t bytes) {
  static std::mutex mutex;
  static std::weak_ptr<Block> current;
  const std::scoped_lock lock(mutex);
  auto block = current.lock();
  uint8_t* at = block ? block->take(bytes) : nullptr;
  if (at == nullptr) {
    block = std::make_shared<Block>(std::max(bytes, kBlock));
    at = block->take(bytes);
    current = block;
  }
  return std::make_shared<Piece>(std::move(block), at, bytes);
}

}  // namespace rooftune::ir
