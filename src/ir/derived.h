// Tensors whose bytes are computed from others when somebody asks for them: constants in another layout. What only passes
// through (to a file) need not all be in memory at once.
#pragma once
#include <memory>
#include <mutex>

#include "ir/tensor.h"

namespace rooftune::ir {

class DerivedStorage : public Storage {
 public:
  explicit DerivedStorage(size_t bytes) : bytes_(bytes) {}
  /// Computed by the first caller, and kept.
  uint8_t* data() final;
  size_t size() const final { return bytes_; }
  /// The bytes if they are kept already, else computed for this caller, who alone holds them.
  std::shared_ptr<Storage> once();

 protected:
  virtual void compute(uint8_t* to) const = 0;  // all of them; may be called by several threads

 private:
  size_t bytes_;
  std::mutex mutex_;
  std::shared_ptr<Storage> kept_;
};

/// The same tensor for somebody who reads it once: what a DerivedStorage would compute and keep is gone with the result.
Tensor for_reading_once(const Tensor& tensor);

}  // namespace rooftune::ir
