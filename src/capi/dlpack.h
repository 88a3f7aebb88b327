/* The part of the DLPack ABI that host tensors need (https://dmlc.github.io/dlpack; the layout is the standard). */
#pragma once
#include <cstdint>

extern "C" {

struct DLDevice {
  int32_t device_type;  // 1: host, 3: host memory that CUDA has pinned
  int32_t device_id;
};
struct DLDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: dense
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor* self);
};
}
