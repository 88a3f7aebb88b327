// A tensor in host memory: dtype, static shape, dense row-major bytes. Copying a Tensor shares its storage.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "ir/dtype.h"

namespace rooftune::ir {

/// Bytes that somebody keeps alive: heap memory, a mapped file, a caller's buffer.
class Storage {
 public:
  virtual ~Storage() = default;
  virtual uint8_t* data() = 0;  // a mapped file is private copy-on-write, so writing never reaches the file
  virtual size_t size() const = 0;
};

/// 64-byte aligned heap memory, not initialised.
std::shared_ptr<Storage> allocate(size_t bytes);
/// Wraps memory that `owner` keeps alive (which may be null for memory that outlives every tensor).
std::shared_ptr<Storage> wrap(void* data, size_t bytes, std::shared_ptr<void> owner = nullptr);

/// A whole file, mapped. InputError where it cannot be read.
std::shared_ptr<Storage> map_file(const std::string& path);

class Tensor {
 public:
  Tensor() = default;                               // dtype undefined: no tensor
  Tensor(DType dtype, std::vector<int64_t> shape);  // fresh, not initialised (strings are empty)
  Tensor(DType dtype, std::vector<int64_t> shape, std::shared_ptr<Storage> storage, size_t offset = 0);
  template <typename T>
  static Tensor of(DType dtype, std::vector<int64_t> shape, const std::vector<T>& values);  // copies; sizes must agree
  static Tensor of_strings(std::vector<int64_t> shape, std::vector<std::string> values);

  explicit operator bool() const { return dtype_ != DType::undefined; }
  DType dtype() const { return dtype_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  int rank() const { return static_cast<int>(shape_.size()); }
  int64_t dim(int axis) const { return shape_[axis < 0 ? axis + rank() : axis]; }
  int64_t size() const { return size_; }  // elements
  size_t bytes() const { return byte_size(dtype_, static_cast<size_t>(size_)); }

  uint8_t* raw() { return storage_ ? storage_->data() + offset_ : nullptr; }
  const uint8_t* raw() const { return const_cast<Tensor*>(this)->raw(); }
  template <typename T> T* data() { return reinterpret_cast<T*>(raw()); }
  template <typename T> const T* data() const { return reinterpret_cast<const T*>(raw()); }
  template <typename T> std::span<const T> values() const { return {data<T>(), static_cast<size_t>(size_)}; }
  const std::vector<std::string>& strings() const;
  std::vector<std::string>& strings();

  /// The same bytes under another shape of the same size.
  Tensor reshaped(std::vector<int64_t> shape) const;
  Tensor clone() const;
  const std::shared_ptr<Storage>& storage() const { return storage_; }
  size_t offset() const { return offset_; }

  /// Element `i` of any numeric type as a double / integer (bf16, f16, f8, 4-bit are decoded).
  double as_double(int64_t i) const;
  int64_t as_int(int64_t i) const;
  void set_double(int64_t i, double value);  // rounds to nearest even in the tensor's type
  std::vector<int64_t> as_ints() const;

 private:
  DType dtype_ = DType::undefined;
  std::vector<int64_t> shape_;
  int64_t size_ = 0;
  std::shared_ptr<Storage> storage_;
  size_t offset_ = 0;
  std::shared_ptr<std::vector<std::string>> strings_;
};

template <typename T>
Tensor Tensor::of(DType dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
  Tensor t(dtype, std::move(shape));
  RT_CHECK(static_cast<size_t>(t.size()) == values.size() && t.bytes() == values.size() * sizeof(T));
  std::copy(values.begin(), values.end(), t.data<T>());
  return t;
}

/// Elements of a shape. InputError where a dimension is negative or the product is more than any machine holds.
int64_t checked_element_count(const std::vector<int64_t>& shape);

/// Of dtype, shape and bytes (xxHash64); the bytes of a sub-byte type include the padding of the last one.
uint64_t content_hash(const Tensor& tensor);
bool same_content(const Tensor& a, const Tensor& b);  // dtype, shape and bytes; NaN equals a NaN of the same bits

// Scalar conversions, round to nearest even.
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);
float f8_to_f32(uint8_t bits, DType format);
/// Beyond the largest number: that number if `saturate` (as ONNX casts by default), else infinity or NaN.
uint8_t f32_to_f8(float value, DType format, bool saturate = true);

}  // namespace rooftune::ir
