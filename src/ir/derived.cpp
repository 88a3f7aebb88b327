#include "ir/derived.h"

namespace rooftune::ir {

std::shared_ptr<Storage> DerivedStorage::computed() const {
  auto memory = allocate(bytes_);
  compute(memory->data());
  return memory;
}

uint8_t* DerivedStorage::data() {
  const std::lock_guard lock(mutex_);
  if (!kept_) kept_ = computed();
  return kept_->data();
}

std::shared_ptr<Storage> DerivedStorage::once() {
  {
    const std::lock_guard lock(mutex_);
    if (kept_) return kept_;
  }
  return computed();
}

Tensor for_reading_once(const Tensor& tensor) {
  auto* derived = dynamic_cast<DerivedStorage*>(tensor.storage().get());
  return derived ? Tensor(tensor.dtype(), tensor.shape(), derived->once(), tensor.offset()) : tensor;
}

}  // namespace rooftune::ir
