#include "ir/tensor.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "base/files.h"
#include "base/hash.h"
#include "ir/convert.h"
#include "ir/mapped.h"

namespace rooftune::ir {
namespace {

// No machine has more memory than this; what asks for more is a malformed model.
constexpr int64_t kMostElements = int64_t{1} << 46;

class HeapStorage final : public Storage {
 public:
  explicit HeapStorage(size_t bytes) : size_(bytes) {
    // Rounded up so that vector code may read whole lines at the end.
    data_ = static_cast<uint8_t*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64 + (bytes == 0 ? 64 : 0)));
    if (!data_) throw EnvironmentError("out of memory: {} bytes for a tensor", bytes);
  }
  ~HeapStorage() override { std::free(data_); }
  HeapStorage(const HeapStorage&) = delete;
  HeapStorage& operator=(const HeapStorage&) = delete;
  uint8_t* data() override { return data_; }
  size_t size() const override { return size_; }

 private:
  uint8_t* data_;
  size_t size_;
};

class WrappedStorage final : public Storage {
 public:
  WrappedStorage(void* data, size_t bytes, std::shared_ptr<void> owner)
      : data_(static_cast<uint8_t*>(data)), size_(bytes), owner_(std::move(owner)) {}
  uint8_t* data() override { return data_; }
  size_t size() const override { return size_; }

 private:
  uint8_t* data_;
  size_t size_;
  std::shared_ptr<void> owner_;
};

class FileStorage final : public Storage {
 public:
  explicit FileStorage(std::shared_ptr<MappedFile> file) : file_(std::move(file)) {}
  uint8_t* data() override { return file_->data(); }
  size_t size() const override { return file_->size(); }
  const std::string& path() const { return file_->path(); }

 private:
  std::shared_ptr<MappedFile> file_;
};

template <typename T>
T load(const uint8_t* data, int64_t i) {
  T v;
  std::memcpy(&v, data + static_cast<size_t>(i) * sizeof(T), sizeof(T));  // mapped data need not be aligned
  return v;
}

template <typename T>
void store(uint8_t* data, int64_t i, T value) {
  std::memcpy(data + static_cast<size_t>(i) * sizeof(T), &value, sizeof(T));
}

uint32_t load_bits(const uint8_t* data, int64_t i, int bits) {  // of a type below a byte; low bits first
  const int64_t at = i * bits;
  return data[at / 8] >> (at % 8) & ((1u << bits) - 1);
}

void store_bits(uint8_t* data, int64_t i, int bits, uint32_t code) {
  const int64_t at = i * bits;
  const uint32_t mask = ((1u << bits) - 1) << (at % 8);
  data[at / 8] = static_cast<uint8_t>((data[at / 8] & ~mask) | (code << (at % 8) & mask));
}

int64_t sign_extend(uint32_t code, int bits) {
  return code >> (bits - 1) ? static_cast<int64_t>(code) - (int64_t{1} << bits) : code;
}

int64_t to_int(double v) {  // toward zero, saturating; NaN is 0
  if (std::isnan(v)) return 0;
  if (v >= 0x1p63) return INT64_MAX;
  if (v < -0x1p63) return INT64_MIN;
  return static_cast<int64_t>(v);
}

template <typename T>
T round_to(double v) {  // to nearest even, saturating; NaN is 0
  if (std::isnan(v)) return 0;
  const double r = std::nearbyint(v);
  if (r <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (r >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(r);
}

}  // namespace

std::shared_ptr<Storage> allocate(size_t bytes) { return std::make_shared<HeapStorage>(bytes); }

std::shared_ptr<Storage> wrap(void* data, size_t bytes, std::shared_ptr<void> owner) {
  return std::make_shared<WrappedStorage>(data, bytes, std::move(owner));
}

std::shared_ptr<Storage> map_file(const std::string& path) {
  return std::make_shared<FileStorage>(MappedFile::open(path));
}

std::string mapped_from(const Storage& storage) {
  const auto* file = dynamic_cast<const FileStorage*>(&storage);
  return file ? file->path() : "";
}

void release(const Tensor& tensor) {
  if (dynamic_cast<const FileStorage*>(tensor.storage().get()) == nullptr) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(tensor.raw());
  const uintptr_t from = (begin + page - 1) / page * page, to = (begin + tensor.bytes()) / page * page;
  if (to > from) ::madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);  // failing does no harm
}

int64_t checked_element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  bool zero = false, overflow = false;
  for (const int64_t d : shape) {
    if (d < 0) throw InputError("a tensor dimension is negative ({})", d);
    zero |= d == 0;
    overflow |= !zero && (__builtin_mul_overflow(count, d, &count) || count > kMostElements);
    if (overflow && !zero) count = 1;  // a later 0 may still make it empty
  }
  if (zero) return 0;
  if (overflow) throw InputError("a tensor of shape [{}] is too large", fmt::join(shape, ","));
  return count;
}

Tensor::Tensor(DType dtype, std::vector<int64_t> shape)
    : dtype_(dtype), shape_(std::move(shape)), size_(checked_element_count(shape_)) {
  RT_CHECK(dtype != DType::undefined);
  if (dtype == DType::string) strings_ = std::make_shared<std::vector<std::string>>(static_cast<size_t>(size_));
  else storage_ = allocate(bytes());
}

Tensor::Tensor(DType dtype, std::vector<int64_t> shape, std::shared_ptr<Storage> storage, size_t offset)
    : dtype_(dtype),
      shape_(std::move(shape)),
      size_(checked_element_count(shape_)),
      storage_(std::move(storage)),
      offset_(offset) {
  RT_CHECK(dtype != DType::undefined && dtype != DType::string);
  RT_CHECK(storage_ && offset_ <= storage_->size() && bytes() <= storage_->size() - offset_,
           "{} bytes at {} of a storage of {}", bytes(), offset_, storage_ ? storage_->size() : 0);
}

Tensor Tensor::of_strings(std::vector<int64_t> shape, std::vector<std::string> values) {
  Tensor t;
  t.dtype_ = DType::string;
  t.shape_ = std::move(shape);
  t.size_ = checked_element_count(t.shape_);
  RT_CHECK(static_cast<size_t>(t.size_) == values.size(), "{} strings for {} elements", values.size(), t.size_);
  t.strings_ = std::make_shared<std::vector<std::string>>(std::move(values));
  return t;
}

const std::vector<std::string>& Tensor::strings() const {
  RT_CHECK(strings_, "strings of a {} tensor", name(dtype_));
  return *strings_;
}

std::vector<std::string>& Tensor::strings() {
  RT_CHECK(strings_, "strings of a {} tensor", name(dtype_));
  return *strings_;
}

Tensor Tensor::reshaped(std::vector<int64_t> shape) const {
  RT_CHECK(checked_element_count(shape) == size_, "[{}] as [{}]", fmt::join(shape_, ","), fmt::join(shape, ","));
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::clone() const {
  if (dtype_ == DType::undefined) return {};
  if (dtype_ == DType::string) return of_strings(shape_, *strings_);
  Tensor t(dtype_, shape_);
  if (bytes() > 0) std::memcpy(t.raw(), raw(), bytes());
  return t;
}

double Tensor::as_double(int64_t i) const {
  RT_CHECK(i >= 0 && i < size_, "element {} of {}", i, size_);
  const uint8_t* p = raw();
  switch (dtype_) {
    case DType::f32: return load<float>(p, i);
    case DType::f64: return load<double>(p, i);
    case DType::u64: return static_cast<double>(load<uint64_t>(p, i));
    case DType::f16: return f16_to_f32(load<uint16_t>(p, i));
    case DType::bf16: return bf16_to_f32(load<uint16_t>(p, i));
    case DType::f8e4m3fn:
    case DType::f8e4m3fnuz:
    case DType::f8e5m2:
    case DType::f8e5m2fnuz:
    case DType::f8e8m0: return decode_small(p[i], dtype_);
    case DType::f4e2m1: return decode_small(load_bits(p, i, 4), dtype_);
    default: return static_cast<double>(as_int(i));
  }
}

int64_t Tensor::as_int(int64_t i) const {
  RT_CHECK(i >= 0 && i < size_, "element {} of {}", i, size_);
  const uint8_t* p = raw();
  switch (dtype_) {
    case DType::boolean:
    case DType::u8: return p[i];
    case DType::i8: return load<int8_t>(p, i);
    case DType::u16: return load<uint16_t>(p, i);
    case DType::i16: return load<int16_t>(p, i);
    case DType::u32: return load<uint32_t>(p, i);
    case DType::i32: return load<int32_t>(p, i);
    case DType::u64: return static_cast<int64_t>(std::min<uint64_t>(load<uint64_t>(p, i), INT64_MAX));
    case DType::i64: return load<int64_t>(p, i);
    case DType::u4: return load_bits(p, i, 4);
    case DType::i4: return sign_extend(load_bits(p, i, 4), 4);
    case DType::u2: return load_bits(p, i, 2);
    case DType::i2: return sign_extend(load_bits(p, i, 2), 2);
    case DType::undefined:
    case DType::string:
    case DType::c64:
    case DType::c128: throw InternalError("an element of a {} tensor is not a number", name(dtype_));
    default: return to_int(as_double(i));
  }
}

void Tensor::set_double(int64_t i, double value) {
  RT_CHECK(i >= 0 && i < size_, "element {} of {}", i, size_);
  uint8_t* p = raw();
  switch (dtype_) {
    case DType::f32: return store(p, i, static_cast<float>(value));
    case DType::f64: return store(p, i, value);
    case DType::f16:
    case DType::bf16: return store(p, i, static_cast<uint16_t>(encode_small(value, dtype_, false)));
    case DType::f8e4m3fn:
    case DType::f8e4m3fnuz:
    case DType::f8e5m2:
    case DType::f8e5m2fnuz:
    case DType::f8e8m0: return store(p, i, static_cast<uint8_t>(encode_small(value, dtype_, true)));
    case DType::f4e2m1: return store_bits(p, i, 4, encode_small(value, dtype_, true));
    case DType::boolean: return store(p, i, static_cast<uint8_t>(value != 0));
    case DType::u8: return store(p, i, round_to<uint8_t>(value));
    case DType::i8: return store(p, i, round_to<int8_t>(value));
    case DType::u16: return store(p, i, round_to<uint16_t>(value));
    case DType::i16: return store(p, i, round_to<int16_t>(value));
    case DType::u32: return store(p, i, round_to<uint32_t>(value));
    case DType::i32: return store(p, i, round_to<int32_t>(value));
    case DType::u64: return store(p, i, round_to<uint64_t>(value));
    case DType::i64: return store(p, i, round_to<int64_t>(value));
    case DType::u4: return store_bits(p, i, 4, static_cast<uint32_t>(std::min<uint8_t>(round_to<uint8_t>(value), 15)));
    case DType::u2: return store_bits(p, i, 2, static_cast<uint32_t>(std::min<uint8_t>(round_to<uint8_t>(value), 3)));
    case DType::i4: return store_bits(p, i, 4, static_cast<uint32_t>(std::clamp<int>(round_to<int8_t>(value), -8, 7)));
    case DType::i2: return store_bits(p, i, 2, static_cast<uint32_t>(std::clamp<int>(round_to<int8_t>(value), -2, 1)));
    default: throw InternalError("an element of a {} tensor is not a number", name(dtype_));
  }
}

std::vector<int64_t> Tensor::as_ints() const {
  std::vector<int64_t> out(static_cast<size_t>(size_));
  for (int64_t i = 0; i < size_; ++i) out[static_cast<size_t>(i)] = as_int(i);
  return out;
}

uint64_t content_hash(const Tensor& tensor) {
  const std::string header = fmt::format("{}[{}]", name(tensor.dtype()), fmt::join(tensor.shape(), ","));
  uint64_t h = xxh64(header);
  if (tensor.dtype() == DType::string) {
    for (const std::string& s : tensor.strings()) h = xxh64(s, h + 1);
    return h;
  }
  return tensor.bytes() > 0 ? xxh64(tensor.raw(), tensor.bytes(), h) : h;
}

bool same_content(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  if (a.dtype() == DType::undefined) return true;
  if (a.dtype() == DType::string) return a.strings() == b.strings();
  return a.raw() == b.raw() || a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace rooftune::ir
