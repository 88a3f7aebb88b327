#include <cstring>

#include "base/error.h"
#include "capi/dlpack.h"
#include "capi/handles.h"

namespace rooftune::capi {
namespace {

using ir::DType;
using ir::Tensor;

struct DlType {
  DType dtype;
  uint8_t code, bits;
};
// Codes of the standard: 0 int, 1 uint, 2 float, 4 bfloat, 5 complex, 6 bool, 10 … 17 the small floats.
constexpr DlType kDlTypes[] = {
    {DType::i8, 0, 8},          {DType::i16, 0, 16},      {DType::i32, 0, 32},        {DType::i64, 0, 64},
    {DType::i4, 0, 4},          {DType::u8, 1, 8},        {DType::u16, 1, 16},        {DType::u32, 1, 32},
    {DType::u64, 1, 64},        {DType::u4, 1, 4},        {DType::f16, 2, 16},        {DType::f32, 2, 32},
    {DType::f64, 2, 64},        {DType::bf16, 4, 16},     {DType::c64, 5, 64},        {DType::c128, 5, 128},
    {DType::boolean, 6, 8},     {DType::f8e4m3fn, 10, 8}, {DType::f8e4m3fnuz, 11, 8}, {DType::f8e5m2, 12, 8},
    {DType::f8e5m2fnuz, 13, 8}, {DType::f8e8m0, 14, 8},   {DType::f4e2m1, 17, 4},
};

DType parse_dtype(const char* name) {
  require(name, "dtype");
  const auto dtype = ir::parse_dtype(name);
  if (!dtype || *dtype == DType::undefined) throw InputError("'{}' is no element type", name);
  return *dtype;
}

std::vector<int64_t> parse_shape(const int64_t* shape, int rank) {
  if (rank < 0) throw InputError("a rank of {}", rank);
  if (rank > 0) require(shape, "shape");
  return {shape, shape + rank};
}

/// Copies a strided host tensor into a dense one.
Tensor densify(const uint8_t* data, DType dtype, const std::vector<int64_t>& shape, const int64_t* strides) {
  const int bits = ir::bit_width(dtype);
  if (bits % 8 != 0) throw InputError("a tensor of {} must be dense", ir::name(dtype));
  const auto width = static_cast<size_t>(bits / 8);
  Tensor dense(dtype, shape);
  std::vector<int64_t> index(shape.size(), 0);
  for (int64_t i = 0; i < dense.size(); ++i) {
    int64_t at = 0;
    for (size_t d = 0; d < shape.size(); ++d) at += index[d] * strides[d];
    std::memcpy(dense.raw() + static_cast<size_t>(i) * width, data + at * static_cast<int64_t>(width), width);
    for (size_t d = shape.size(); d-- > 0 && ++index[d] == shape[d];) index[d] = 0;
  }
  return dense;
}

bool is_dense(const std::vector<int64_t>& shape, const int64_t* strides) {
  if (!strides) return true;
  int64_t expected = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] == 0) return true;
    if (shape[d] != 1 && strides[d] != expected) return false;
    expected *= shape[d];
  }
  return true;
}

/// The tensor's memory lives as long as the DLPack view.
struct Exported {
  DLManagedTensor managed{};
  Tensor tensor;
  std::vector<int64_t> shape;
};

Tensor import_dlpack(DLManagedTensor* managed) {
  const DLTensor& t = managed->dl_tensor;
  if (t.device.device_type != 1 && t.device.device_type != 3)
    throw InputError("a DLPack tensor on device type {}: only host memory is accepted", t.device.device_type);
  for (const DlType& known : kDlTypes) {
    if (known.code != t.dtype.code || known.bits != t.dtype.bits || t.dtype.lanes != 1) continue;
    const std::vector<int64_t> shape = parse_shape(t.shape, t.ndim);
    uint8_t* data = static_cast<uint8_t*>(t.data) + t.byte_offset;
    if (!is_dense(shape, t.strides)) {
      Tensor dense = densify(data, known.dtype, shape, t.strides);
      if (managed->deleter) managed->deleter(managed);
      return dense;
    }
    const size_t bytes = ir::byte_size(known.dtype, static_cast<size_t>(ir::checked_element_count(shape)));
    std::shared_ptr<void> owner(managed, [](void* m) {
      auto* dl = static_cast<DLManagedTensor*>(m);
      if (dl->deleter) dl->deleter(dl);
    });
    return {known.dtype, shape, ir::wrap(data, bytes, std::move(owner))};
  }
  throw InputError("DLPack type code {} with {} bits and {} lanes is not supported", t.dtype.code, t.dtype.bits,
                   t.dtype.lanes);
}

DLManagedTensor* export_dlpack(const Tensor& tensor) {
  for (const DlType& known : kDlTypes) {
    if (known.dtype != tensor.dtype()) continue;
    auto* exported = new Exported{{}, tensor, tensor.shape()};
    DLTensor& t = exported->managed.dl_tensor;
    t.data = exported->tensor.raw();
    t.device = {1, 0};
    t.ndim = tensor.rank();
    t.dtype = {known.code, known.bits, 1};
    t.shape = exported->shape.data();
    exported->managed.manager_ctx = exported;
    exported->managed.deleter = [](DLManagedTensor* self) { delete static_cast<Exported*>(self->manager_ctx); };
    return &exported->managed;
  }
  throw InputError("a tensor of {} has no DLPack form", ir::name(tensor.dtype()));
}

std::string& string_at(const rt_tensor* t, int64_t index) {
  require(t, "tensor");
  if (t->tensor.dtype() != DType::string)
    throw InputError("a tensor of {} holds no strings", ir::name(t->tensor.dtype()));
  if (index < 0 || index >= t->tensor.size()) throw InputError("element {} of {}", index, t->tensor.size());
  return const_cast<rt_tensor*>(t)->tensor.strings()[static_cast<size_t>(index)];
}

}  // namespace
}  // namespace rooftune::capi

using namespace rooftune::capi;  // NOLINT: this file is the door
namespace ir = rooftune::ir;

extern "C" {

rt_status rt_tensor_create(const char* dtype, const int64_t* shape, int rank, rt_tensor** tensor) {
  return guarded([&] {
    require(tensor, "tensor");
    *tensor = new rt_tensor{ir::Tensor(parse_dtype(dtype), parse_shape(shape, rank))};
  });
}

rt_status rt_tensor_wrap(void* data, size_t bytes, const char* dtype, const int64_t* shape, int rank,
                         void (*release)(void*), void* owner, rt_tensor** tensor) {
  return guarded([&] {
    require(tensor, "tensor");
    const ir::DType type = parse_dtype(dtype);
    if (type == ir::DType::string)
      throw rooftune::InputError("strings cannot be wrapped: create the tensor and set them");
    std::vector<int64_t> dims = parse_shape(shape, rank);
    const size_t needed = ir::byte_size(type, static_cast<size_t>(ir::checked_element_count(dims)));
    if (needed != bytes)
      throw rooftune::InputError("{} bytes were given, {}[{}] has {}", bytes, dtype, fmt::join(dims, ","), needed);
    if (bytes > 0) require(data, "data");
    std::shared_ptr<void> keeper;
    auto result = std::make_unique<rt_tensor>();
    if (release) keeper = std::shared_ptr<void>(owner, release);  // last: a failure above must not release
    result->tensor = ir::Tensor(type, std::move(dims), ir::wrap(data, bytes, std::move(keeper)));
    *tensor = result.release();
  });
}

rt_status rt_tensor_from_dlpack(struct DLManagedTensor* managed, rt_tensor** tensor) {
  return guarded([&] {
    require(managed, "managed");
    require(tensor, "tensor");
    auto result = std::make_unique<rt_tensor>();
    result->tensor = import_dlpack(managed);
    *tensor = result.release();
  });
}

rt_status rt_tensor_to_dlpack(const rt_tensor* tensor, struct DLManagedTensor** managed) {
  return guarded([&] {
    require(tensor, "tensor");
    require(managed, "managed");
    *managed = export_dlpack(tensor->tensor);
  });
}

const char* rt_tensor_dtype(const rt_tensor* tensor) { return ir::name(tensor->tensor.dtype()).data(); }
int rt_tensor_rank(const rt_tensor* tensor) { return tensor->tensor.rank(); }
const int64_t* rt_tensor_shape(const rt_tensor* tensor) { return tensor->tensor.shape().data(); }
size_t rt_tensor_bytes(const rt_tensor* tensor) { return tensor->tensor.bytes(); }
void* rt_tensor_data(rt_tensor* tensor) { return tensor->tensor.raw(); }

rt_status rt_tensor_set_string(rt_tensor* tensor, int64_t index, const char* text, size_t bytes) {
  return guarded([&] {
    if (bytes > 0) require(text, "text");
    string_at(tensor, index).assign(text ? text : "", bytes);
  });
}

rt_status rt_tensor_get_string(const rt_tensor* tensor, int64_t index, const char** text, size_t* bytes) {
  return guarded([&] {
    require(text, "text");
    const std::string& s = string_at(tensor, index);
    *text = s.c_str();
    if (bytes) *bytes = s.size();
  });
}

void rt_tensor_free(rt_tensor* tensor) { delete tensor; }
}
