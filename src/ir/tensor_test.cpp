#include "ir/tensor.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "ir/convert.h"

namespace rooftune::ir {
namespace {

constexpr DType kSmallFloats[] = {DType::f16,    DType::bf16,       DType::f8e4m3fn, DType::f8e4m3fnuz,
                                  DType::f8e5m2, DType::f8e5m2fnuz, DType::f4e2m1,   DType::f8e8m0};

TEST(DType, NumbersAreThoseOfOnnxAndNamesParse) {
  EXPECT_EQ(static_cast<int>(DType::bf16), 16);
  EXPECT_EQ(static_cast<int>(DType::i4), 22);
  for (int i = 1; i <= 26; ++i) EXPECT_EQ(parse_dtype(name(static_cast<DType>(i))), static_cast<DType>(i));
  EXPECT_FALSE(parse_dtype("float"));
  EXPECT_FALSE(parse_dtype("undefined"));
  EXPECT_EQ(byte_size(DType::i4, 3), 2u);
  EXPECT_EQ(byte_size(DType::u2, 5), 2u);
  EXPECT_EQ(byte_size(DType::c128, 2), 32u);
  EXPECT_EQ(byte_size(DType::string, 2), 0u);
  EXPECT_TRUE(is_signed(DType::i2) && is_signed(DType::bf16) && !is_signed(DType::u4) && !is_signed(DType::boolean));
  EXPECT_TRUE(is_integer(DType::u2) && !is_integer(DType::boolean) && is_float(DType::f8e8m0) && !is_float(DType::c64));
}

TEST(Convert, KnownValues) {
  // From the OCP 8-bit and MX specifications and IEEE 754.
  EXPECT_EQ(decode_small(0x7e, DType::f8e4m3fn), 448);
  EXPECT_TRUE(std::isnan(decode_small(0x7f, DType::f8e4m3fn)));
  EXPECT_EQ(decode_small(0x01, DType::f8e4m3fn), std::ldexp(1, -9));
  EXPECT_EQ(decode_small(0x7f, DType::f8e4m3fnuz), 240);
  EXPECT_TRUE(std::isnan(decode_small(0x80, DType::f8e4m3fnuz)));
  EXPECT_EQ(decode_small(0x7b, DType::f8e5m2), 57344);
  EXPECT_TRUE(std::isinf(decode_small(0x7c, DType::f8e5m2)));
  EXPECT_EQ(decode_small(0x7f, DType::f8e5m2fnuz), 57344);
  EXPECT_EQ(decode_small(0x7, DType::f4e2m1), 6);
  EXPECT_EQ(decode_small(0x9, DType::f4e2m1), -0.5);
  EXPECT_EQ(decode_small(127, DType::f8e8m0), 1);
  EXPECT_EQ(f16_to_f32(0x3c01), 1.0009765625f);
  EXPECT_EQ(f16_to_f32(0x0001), std::ldexp(1.0f, -24));
  EXPECT_EQ(f32_to_f16(65519), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520), 0x7c00);
  EXPECT_EQ(bf16_to_f32(0x3f80), 1.0f);
  EXPECT_EQ(f32_to_bf16(1.00390625f), 0x3f80);  // half a unit: to even
  EXPECT_EQ(f32_to_bf16(1.01171875f), 0x3f82);
}

/// Every finite number in (code, value) of a format.
std::vector<std::pair<uint32_t, double>> finite_codes(DType d) {
  std::vector<std::pair<uint32_t, double>> out;
  for (uint32_t code = 0; code < 1u << bit_width(d); ++code)
    if (const double v = decode_small(code, d); std::isfinite(v)) out.emplace_back(code, v);
  return out;
}

TEST(Convert, EveryCodeComesBack) {
  for (const DType d : kSmallFloats) {
    for (const auto& [code, value] : finite_codes(d)) ASSERT_EQ(encode_small(value, d, false), code) << name(d);
    const uint32_t nan = encode_small(std::nan(""), d, false);
    if (d != DType::f4e2m1) EXPECT_TRUE(std::isnan(decode_small(nan, d))) << name(d);
  }
  for (uint32_t code = 0; code < 65536; ++code) {  // the direct paths agree with the general ones
    const auto bits = static_cast<uint16_t>(code);
    const double f16 = decode_small(code, DType::f16), bf16 = decode_small(code, DType::bf16);
    if (std::isnan(f16)) {
      ASSERT_TRUE(std::isnan(f16_to_f32(bits)));
    } else {
      ASSERT_EQ(f16_to_f32(bits), static_cast<float>(f16));
      ASSERT_EQ(f32_to_f16(static_cast<float>(f16)), bits);
    }
    if (std::isnan(bf16)) {
      ASSERT_TRUE(std::isnan(bf16_to_f32(bits)) && std::isnan(bf16_to_f32(f32_to_bf16(bf16_to_f32(bits)))));
    } else {
      ASSERT_EQ(bf16_to_f32(bits), static_cast<float>(bf16));
      ASSERT_EQ(f32_to_bf16(static_cast<float>(bf16)), bits);
    }
  }
}

RC_GTEST_PROP(Convert, RoundsToTheNearestAndToEven, ()) {
  const DType d = *rc::gen::elementOf(std::vector<DType>(std::begin(kSmallFloats), std::end(kSmallFloats)));
  auto codes = finite_codes(d);
  std::sort(codes.begin(), codes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto i = *rc::gen::inRange<size_t>(0, codes.size() - 1);
  const double lo = codes[i].second, hi = codes[i + 1].second;
  const double t = *rc::gen::inRange(0, 65) / 64.0;  // includes the exact middle
  const double v = lo + (hi - lo) * t;
  const uint32_t code = encode_small(v, d, true);
  const double got = decode_small(code, d);
  if (t < 0.5) RC_ASSERT(got == lo);
  if (t > 0.5) RC_ASSERT(got == hi);
  if (t == 0.5) RC_ASSERT((got == lo || got == hi) && (code & 1) == 0);
  if (d == DType::f16) RC_ASSERT(f16_to_f32(f32_to_f16(static_cast<float>(v))) == static_cast<float>(got));
  if (d == DType::bf16) RC_ASSERT(bf16_to_f32(f32_to_bf16(static_cast<float>(v))) == static_cast<float>(got));
}

TEST(Convert, BeyondTheLargest) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const double v : {1e30, 1e300, inf}) {
    EXPECT_EQ(decode_small(encode_small(v, DType::f8e4m3fn, true), DType::f8e4m3fn), 448);
    EXPECT_TRUE(std::isnan(decode_small(encode_small(v, DType::f8e4m3fn, false), DType::f8e4m3fn)));
    EXPECT_EQ(decode_small(encode_small(-v, DType::f8e5m2, true), DType::f8e5m2), -57344);
    EXPECT_EQ(decode_small(encode_small(-v, DType::f8e5m2, false), DType::f8e5m2), -inf);
    EXPECT_EQ(decode_small(encode_small(v, DType::f4e2m1, false), DType::f4e2m1), 6);
    EXPECT_TRUE(std::isnan(decode_small(encode_small(v, DType::f8e5m2fnuz, false), DType::f8e5m2fnuz)));
  }
  EXPECT_EQ(f8_to_f32(f32_to_f8(1e9f, DType::f8e4m3fn), DType::f8e4m3fn), 448);
  EXPECT_EQ(encode_small(-0.0, DType::f8e4m3fnuz, true), 0u);  // there is no -0
  EXPECT_EQ(encode_small(-1e-9, DType::f8e4m3fnuz, true), 0u);
}

RC_GTEST_PROP(Tensor, ElementsComeBackInEveryType, (const std::vector<int8_t>& values)) {
  const DType types[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8, DType::i16,    DType::i32,
                         DType::i64, DType::i4,  DType::i2,  DType::u2,   DType::u4, DType::f4e2m1, DType::u64};
  for (const DType d : types) {
    Tensor t(d, {static_cast<int64_t>(values.size())});
    std::vector<double> expected;
    for (size_t i = 0; i < values.size(); ++i) {
      const double v = d == DType::i2 ? values[i] & 1 : std::abs(values[i] % 4);
      expected.push_back(d == DType::u2 || d == DType::i2 || !is_signed(d) ? v
                         : values[i] < 0 && d != DType::i2                 ? -v
                                                                           : v);
      t.set_double(static_cast<int64_t>(i), expected.back());
    }
    for (size_t i = 0; i < values.size(); ++i) {
      RC_ASSERT(t.as_double(static_cast<int64_t>(i)) == expected[i]);
      RC_ASSERT(t.as_int(static_cast<int64_t>(i)) == static_cast<int64_t>(expected[i]));
    }
  }
}

TEST(Tensor, IntegersRoundAndSaturate) {
  const auto stored = [](DType d, double v) {
    Tensor t(d, {});
    t.set_double(0, v);
    return t.as_int(0);
  };
  EXPECT_EQ(stored(DType::i8, 2.5), 2);
  EXPECT_EQ(stored(DType::i8, 3.5), 4);
  EXPECT_EQ(stored(DType::i8, 1000), 127);
  EXPECT_EQ(stored(DType::u8, -3), 0);
  EXPECT_EQ(stored(DType::i4, -100), -8);
  EXPECT_EQ(stored(DType::i64, 1e30), INT64_MAX);
  EXPECT_EQ(stored(DType::i32, std::nan("")), 0);
  EXPECT_EQ(stored(DType::boolean, 0.25), 1);
  const Tensor f = Tensor::of<float>(DType::f32, {2}, {-2.75f, 1e30f});
  EXPECT_EQ(f.as_ints(), (std::vector<int64_t>{-2, INT64_MAX}));
}

TEST(Tensor, FourBitValuesShareBytesLowFirst) {
  Tensor t(DType::i4, {3});
  std::memset(t.raw(), 0, t.bytes());
  t.set_double(0, 1);
  t.set_double(1, -2);
  t.set_double(2, 7);
  EXPECT_EQ(t.raw()[0], 0xe1);
  EXPECT_EQ(t.raw()[1], 0x07);
}

TEST(Tensor, SharesStorageAndChecksItsSize) {
  auto bytes = std::make_shared<std::vector<uint8_t>>(24);
  for (size_t i = 0; i < 24; ++i) (*bytes)[i] = static_cast<uint8_t>(i);
  const auto storage = wrap(bytes->data(), bytes->size(), bytes);
  Tensor t(DType::i16, {2, 2}, storage, 5);  // not aligned, as in a mapped file
  EXPECT_EQ(t.as_int(0), 5 + 256 * 6);
  EXPECT_EQ(t.as_int(3), 11 + 256 * 12);
  EXPECT_THROW(Tensor(DType::i16, {2, 5}, storage, 5), InternalError);
  const Tensor copy = t;
  EXPECT_EQ(copy.raw(), t.raw());
  EXPECT_NE(t.clone().raw(), t.raw());
  EXPECT_TRUE(same_content(t.clone(), t));
  EXPECT_EQ(content_hash(t.clone()), content_hash(t));
  EXPECT_NE(content_hash(t.reshaped({4})), content_hash(t));
  EXPECT_THROW(t.reshaped({3}), InternalError);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(Tensor(DType::f32, {3}).raw()) % 64, 0u);
}

TEST(Tensor, AbsurdShapesDoNotAllocate) {
  EXPECT_THROW(Tensor(DType::f32, {INT64_MAX, 2}), InputError);
  EXPECT_THROW(Tensor(DType::f32, {int64_t{1} << 40, int64_t{1} << 40}), InputError);
  EXPECT_THROW(Tensor(DType::f32, {-1}), InputError);
  EXPECT_EQ(Tensor(DType::f32, {int64_t{1} << 40, int64_t{1} << 40, 0}).size(), 0);
}

TEST(Tensor, Strings) {
  Tensor t = Tensor::of_strings({2}, {"a", "b\n"});
  EXPECT_EQ(t.strings()[1], "b\n");
  EXPECT_EQ(t.raw(), nullptr);
  Tensor copy = t.clone();
  copy.strings()[0] = "c";
  EXPECT_EQ(t.strings()[0], "a");
  EXPECT_FALSE(same_content(t, copy));
  EXPECT_NE(content_hash(t), content_hash(copy));
  EXPECT_THROW(t.as_double(0), InternalError);
  EXPECT_THROW(Tensor(DType::f32, {1}).strings(), InternalError);
}

}  // namespace
}  // namespace rooftune::ir
