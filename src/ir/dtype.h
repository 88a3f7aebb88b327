// Element types. The numbers are those of onnx.TensorProto.DataType, so that conversion is a cast.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rooftune::ir {

enum class DType : uint8_t {
  undefined = 0,
  f32 = 1,
  u8 = 2,
  i8 = 3,
  u16 = 4,
  i16 = 5,
  i32 = 6,
  i64 = 7,
  string = 8,
  boolean = 9,
  f16 = 10,
  f64 = 11,
  u32 = 12,
  u64 = 13,
  c64 = 14,
  c128 = 15,
  bf16 = 16,
  f8e4m3fn = 17,
  f8e4m3fnuz = 18,
  f8e5m2 = 19,
  f8e5m2fnuz = 20,
  u4 = 21,
  i4 = 22,
  f4e2m1 = 23,
  f8e8m0 = 24,
  u2 = 25,
  i2 = 26,
};

/// Bits of one element; 0 for string and undefined.
int bit_width(DType dtype);
/// Bytes that `count` elements take when packed (sub-byte types share bytes, low bits first, as ONNX packs them).
size_t byte_size(DType dtype, size_t count);
bool is_float(DType dtype);    // f64, f32, f16, bf16, f8*, f4
bool is_integer(DType dtype);  // signed and unsigned integers, not boolean
bool is_signed(DType dtype);
std::string_view name(DType dtype);  // "f32", "i64", "bool", …
std::optional<DType> parse_dtype(std::string_view name);

}  // namespace rooftune::ir
