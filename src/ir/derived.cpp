#include "ir/derived.h"

#include "ir/kept.h"

namespace rooftune::ir {

uint8_t* DerivedStorage::data() {
  const std::lock_guard lock(mutex_);
  if (!kept_) {
    auto memory = allocate_kept(bytes_);
    compute(memory->data());
    kept_ = std::move(memory);
  }
  return kept_->data();
}

std::shared_ptr<Storage> DerivedStorage::once() {
  {
    const std::lock_guard lock(mutex_);
    if (kept_) return kept_;
  }
  auto memory = allocate(bytes_);
  compute(memory->data());
  return memory;
}

Tensor for_reading_once(const Tensor& tensor) {
  auto* derived = dynamic_cast<DerivedStorage*>(tensor.storage().get());
  return derived ? Tensor(tensor.dtype(), tensor.shape(), derived->once(), tensor.offset()) : tensor;
}

}  // namespace rooftune::ir
