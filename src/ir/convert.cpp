// Conversions between the small floating-point formats and float / double. One description of a format serves all of
// them; f16 and bf16 also have direct paths, since references convert whole tensors.
#include <bit>
#include <cmath>
#include <limits>

#include "ir/convert.h"
#include "ir/tensor.h"

namespace rooftune::ir {
namespace {

struct Format {
  int exponent_bits, mantissa_bits, bias;
  enum class Special : uint8_t { ieee, nan_all_ones, nan_negative_zero, none } special;
  // ieee: the top exponent holds inf and NaN. nan_all_ones ("fn"): only exponent and mantissa of all ones is NaN.
  // nan_negative_zero ("fnuz"): only the code of -0 is NaN. none: every code is a number.
};

Format format_of(DType dtype) {
  using S = Format::Special;
  switch (dtype) {
    case DType::f16: return {5, 10, 15, S::ieee};
    case DType::bf16: return {8, 7, 127, S::ieee};
    case DType::f8e4m3fn: return {4, 3, 7, S::nan_all_ones};
    case DType::f8e4m3fnuz: return {4, 3, 8, S::nan_negative_zero};
    case DType::f8e5m2: return {5, 2, 15, S::ieee};
    case DType::f8e5m2fnuz: return {5, 2, 16, S::nan_negative_zero};
    case DType::f4e2m1: return {2, 1, 1, S::none};
    default: throw InternalError("{} is not a small floating-point format", name(dtype));
  }
}

uint32_t largest_code(const Format& f) {  // magnitude bits of the largest finite number
  const uint32_t ones = (1u << (f.exponent_bits + f.mantissa_bits)) - 1;
  if (f.special == Format::Special::ieee) return ones - (1u << f.mantissa_bits);
  return f.special == Format::Special::nan_all_ones ? ones - 1 : ones;
}

double decode_e8m0(uint32_t code) {
  return code == 255 ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, static_cast<int>(code) - 127);
}

/// Rounds to the nearest power of two; ties to the even code. Zero and negative numbers become the smallest.
uint32_t encode_e8m0(double value) {
  if (std::isnan(value)) return 255;
  if (value <= std::ldexp(1.0, -127)) return 0;
  if (value >= std::ldexp(1.0, 127)) return 254;
  int exponent = 0;
  const double mantissa = std::frexp(value, &exponent) * 2;  // in [1, 2)
  uint32_t code = static_cast<uint32_t>(exponent - 1 + 127);
  if (mantissa > 1.5 || (mantissa == 1.5 && (code & 1))) ++code;
  return code;
}

}  // namespace

double decode_small(uint32_t code, DType dtype) {
  if (dtype == DType::f8e8m0) return decode_e8m0(code);
  const Format f = format_of(dtype);
  const uint32_t sign = code >> (f.exponent_bits + f.mantissa_bits) & 1;
  const uint32_t magnitude = code & ((1u << (f.exponent_bits + f.mantissa_bits)) - 1);
  const uint32_t exponent = magnitude >> f.mantissa_bits;
  const uint32_t mantissa = magnitude & ((1u << f.mantissa_bits) - 1);
  if (f.special == Format::Special::nan_negative_zero && sign && magnitude == 0)
    return std::numeric_limits<double>::quiet_NaN();
  if (magnitude > largest_code(f)) {
    const bool infinite = f.special == Format::Special::ieee && mantissa == 0;
    const double v = infinite ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
    return sign ? -v : v;
  }
  const double v = exponent == 0 ? std::ldexp(mantissa, 1 - f.bias - f.mantissa_bits)
                                 : std::ldexp(mantissa + (1u << f.mantissa_bits),
                                              static_cast<int>(exponent) - f.bias - f.mantissa_bits);
  return sign ? -v : v;
}

uint32_t encode_small(double value, DType dtype, bool saturate) {
  if (dtype == DType::f8e8m0) return encode_e8m0(value);
  const Format f = format_of(dtype);
  const int magnitude_bits = f.exponent_bits + f.mantissa_bits;
  const uint32_t sign = std::signbit(value) ? 1u << magnitude_bits : 0;
  const uint32_t ones = (1u << magnitude_bits) - 1;
  const uint32_t infinity = ((1u << f.exponent_bits) - 1) << f.mantissa_bits;
  uint32_t nan = sign | ones;
  if (f.special == Format::Special::ieee) nan = sign | infinity | 1u << (f.mantissa_bits - 1);
  if (f.special == Format::Special::nan_negative_zero) nan = 1u << magnitude_bits;
  if (f.special == Format::Special::none) nan = sign | largest_code(f), saturate = true;
  if (std::isnan(value)) return nan;

  const double magnitude = std::fabs(value);
  uint32_t code = 0;
  if (std::isinf(magnitude)) {
    code = largest_code(f) + 1;
  } else if (magnitude > 0) {
    int exponent = std::ilogb(magnitude);
    if (exponent < 1 - f.bias)
      exponent = 1 - f.bias;      // subnormal: the exponent stays, the mantissa loses its hidden bit
    if (exponent > f.bias + 2) {  // far above every format's range, and safe to shift
      code = largest_code(f) + 1;
    } else {
      // In units of the last place the number is below 2^(mantissa + 1); nearbyint rounds half to even.
      const auto units = static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, f.mantissa_bits - exponent)));
      code = (static_cast<uint32_t>(exponent + f.bias - 1) << f.mantissa_bits) + units;  // a carry moves the exponent
    }
  }
  if (code > largest_code(f)) {
    if (saturate) return sign | largest_code(f);
    return f.special == Format::Special::ieee ? sign | infinity : nan;
  }
  if (code == 0 && f.special == Format::Special::nan_negative_zero) return 0;  // there is no -0
  return sign | code;
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 31;
  const uint32_t mantissa = bits & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | static_cast<uint16_t>(magnitude >> 13 & 0x1ff);
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // from 65520 on: infinity
  if (magnitude < 0x38800000) {  // subnormal: adding 0.5 leaves the rounded units of 2^-24 at the end
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000);
  }
  const uint32_t odd = magnitude >> 13 & 1;
  return sign | static_cast<uint16_t>((magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);  // stays a (quiet) NaN
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float f8_to_f32(uint8_t bits, DType format) { return static_cast<float>(decode_small(bits, format)); }

uint8_t f32_to_f8(float value, DType format, bool saturate) {
  return static_cast<uint8_t>(encode_small(value, format, saturate));
}

}  // namespace rooftune::ir
