#include "ir/dtype.h"

#include <array>

namespace rooftune::ir {
namespace {

enum class Family : uint8_t { other, real, signed_integer, unsigned_integer };
struct Info {
  std::string_view name;
  int bits;
  Family family;
};

constexpr std::array<Info, 27> kInfo = {{
    {"undefined", 0, Family::other},
    {"f32", 32, Family::real},
    {"u8", 8, Family::unsigned_integer},
    {"i8", 8, Family::signed_integer},
    {"u16", 16, Family::unsigned_integer},
    {"i16", 16, Family::signed_integer},
    {"i32", 32, Family::signed_integer},
    {"i64", 64, Family::signed_integer},
    {"string", 0, Family::other},
    {"bool", 8, Family::other},
    {"f16", 16, Family::real},
    {"f64", 64, Family::real},
    {"u32", 32, Family::unsigned_integer},
    {"u64", 64, Family::unsigned_integer},
    {"c64", 64, Family::other},
    {"c128", 128, Family::other},
    {"bf16", 16, Family::real},
    {"f8e4m3fn", 8, Family::real},
    {"f8e4m3fnuz", 8, Family::real},
    {"f8e5m2", 8, Family::real},
    {"f8e5m2fnuz", 8, Family::real},
    {"u4", 4, Family::unsigned_integer},
    {"i4", 4, Family::signed_integer},
    {"f4e2m1", 4, Family::real},
    {"f8e8m0", 8, Family::real},
    {"u2", 2, Family::unsigned_integer},
    {"i2", 2, Family::signed_integer},
}};

const Info& info(DType dtype) {
  const auto i = static_cast<size_t>(dtype);
  return kInfo[i < kInfo.size() ? i : 0];
}

}  // namespace

int bit_width(DType dtype) { return info(dtype).bits; }

size_t byte_size(DType dtype, size_t count) {
  const auto bits = static_cast<size_t>(bit_width(dtype));
  return bits >= 8 ? count * (bits / 8) : (count * bits + 7) / 8;
}

bool is_float(DType dtype) { return info(dtype).family == Family::real; }

bool is_integer(DType dtype) {
  return info(dtype).family == Family::signed_integer || info(dtype).family == Family::unsigned_integer;
}

bool is_signed(DType dtype) {
  return info(dtype).family == Family::signed_integer || (is_float(dtype) && dtype != DType::f8e8m0);
}

std::string_view name(DType dtype) { return info(dtype).name; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (size_t i = 1; i < kInfo.size(); ++i)
    if (kInfo[i].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

}  // namespace rooftune::ir
