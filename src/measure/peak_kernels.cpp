#include "measure/peak_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstring>

namespace rooftune::measure {
namespace {

// Twelve chains of multiply-adds hide the latency of any x86 core (4–5 cycles, two pipes) and leave registers for the
// factors where there are only sixteen. The compiler cannot see into the instruction, so it removes nothing. The
// factors are not zero: some processors clock higher on zeros.
#define RT_TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

#if defined(__x86_64__)

#define RT_DECLARE_512(i) __m512 a##i = _mm512_setzero_ps();
#define RT_DECLARE_256(i) __m256 a##i = _mm256_setzero_ps();
#define RT_DECLARE_128(i) __m128 a##i = _mm_setzero_ps();
#define RT_FMA(i) asm volatile("vfmadd231ps %2, %1, %0" : "+v"(a##i) : "v"(x), "v"(y));
#define RT_BF16(i) asm volatile("vdpbf16ps %2, %1, %0" : "+v"(a##i) : "v"(x), "v"(y));
#define RT_VNNI(i) asm volatile("vpdpbusd %2, %1, %0" : "+v"(a##i) : "v"(x), "v"(y));
#define RT_VEX_VNNI(i) asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(a##i) : "x"(x), "x"(y));
#define RT_MUL_ADD(i) asm volatile("mulps %1, %0\n\taddps %1, %0" : "+x"(a##i) : "x"(x));

__attribute__((target("avx512f"))) void f32_avx512(int64_t iterations) {
  RT_TWELVE(RT_DECLARE_512)
  const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1.3e-4f);
  for (int64_t i = 0; i < iterations; ++i) {
    RT_TWELVE(RT_FMA)
  }
}
__attribute__((target("avx512f"))) void bf16_avx512(int64_t iterations) {
  RT_TWELVE(RT_DECLARE_512)
  const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1.3e-4f);
  for (int64_t i = 0; i < iterations; ++i) {
    RT_TWELVE(RT_BF16)
  }
}
__attribute__((target("avx512f"))) void i8_avx512(int64_t iterations) {
  RT_TWELVE(RT_DECLARE_512)
  const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1.3e-4f);
  for (int64_t i = 0; i < iterations; ++i) {
    RT_TWELVE(RT_VNNI)
  }
}

// Products of tiles of 16 rows of 64 bytes. Four sums in turn hide the latency of a product.
struct TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
struct TileBytes {
  alignas(64) uint8_t bytes[16 * 64];
  explicit TileBytes(uint8_t value) { std::memset(bytes, value, sizeof bytes); }
};
#define RT_TILE_PEAK(name, product)                                                                    \
  void name(int64_t iterations) {                                                                      \
    const TileShapes shapes;                                                                           \
    const TileBytes x(0x3f), y(0x3e);                                                                  \
    asm volatile("ldtilecfg %0" : : "m"(shapes));                                                      \
    asm volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3" : : :);    \
    asm volatile("tileloadd (%0,%2,1), %%tmm4\n\ttileloadd (%1,%2,1), %%tmm5"                          \
                 :                                                                                     \
                 : "r"(x.bytes), "r"(y.bytes), "r"(int64_t{64})                                        \
                 : "memory");                                                                          \
    for (int64_t i = 0; i < iterations; ++i)                                                           \
      asm volatile(product " %%tmm5, %%tmm4, %%tmm0\n\t" product " %%tmm5, %%tmm4, %%tmm1\n\t" product \
                           " %%tmm5, %%tmm4, %%tmm2\n\t" product " %%tmm5, %%tmm4, %%tmm3"             \
                   :                                                                                   \
                   :                                                                                   \
                   :);                                                                                 \
    asm volatile("tilerelease" : : :);                                                                 \
  }
RT_TILE_PEAK(bf16_amx, "tdpbf16ps")
RT_TILE_PEAK(i8_amx, "tdpbusd")
#undef RT_TILE_PEAK

__attribute__((target("avx2,fma"))) void f32_avx2(int64_t iterations) {
  RT_TWELVE(RT_DECLARE_256)
  const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1.3e-4f);
  for (int64_t i = 0; i < iterations; ++i) {
    RT_TWELVE(RT_FMA)
  }
}
__attribute__((target("avx2"))) void i8_avx_vnni(int64_t iterations) {
  RT_TWELVE(RT_DECLARE_256)
  const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1.3e-4f);
  for (int64_t i = 0; i < iterations; ++i) {
    RT_TWELVE(RT_VEX_VNNI)
  }
}
void f32_sse(int64_t iterations) {
  RT_TWELVE(RT_DECLARE_128)
  const __m128 x = _mm_set1_ps(0.999f);
  for (int64_t i = 0; i < iterations; ++i) {
    RT_TWELVE(RT_MUL_ADD)
  }
}

__attribute__((target("avx512f"))) void read_avx512(const float* data, size_t bytes) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  for (const float *p = data, *end = data + bytes / sizeof(float); p < end; p += 64) {
    s0 = _mm512_add_ps(s0, _mm512_load_ps(p));
    s1 = _mm512_add_ps(s1, _mm512_load_ps(p + 16));
    s2 = _mm512_add_ps(s2, _mm512_load_ps(p + 32));
    s3 = _mm512_add_ps(s3, _mm512_load_ps(p + 48));
  }
  s0 = _mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3));
  asm volatile("" : : "v"(s0));  // used, as far as the compiler knows
}
__attribute__((target("avx2"))) void read_avx2(const float* data, size_t bytes) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  for (const float *p = data, *end = data + bytes / sizeof(float); p < end; p += 32) {
    s0 = _mm256_add_ps(s0, _mm256_load_ps(p));
    s1 = _mm256_add_ps(s1, _mm256_load_ps(p + 8));
    s2 = _mm256_add_ps(s2, _mm256_load_ps(p + 16));
    s3 = _mm256_add_ps(s3, _mm256_load_ps(p + 24));
  }
  s0 = _mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3));
  asm volatile("" : : "x"(s0));
}

#endif

// GCC's and Clang's vector extension: whatever the architecture's baseline offers.
using Vector = float __attribute__((vector_size(16)));

#if !defined(__x86_64__)
void f32_portable(int64_t iterations) {
  Vector a[12] = {};
  const Vector x = {0.999f, 0.999f, 0.999f, 0.999f};
  for (int64_t i = 0; i < iterations; ++i)
    for (Vector& chain : a) {
      chain = chain * x + x;
      asm volatile("" : "+m"(chain));
    }
}
#endif

void read_portable(const float* data, size_t bytes) {
  Vector s[4] = {};
  const auto* p = reinterpret_cast<const Vector*>(data);
  for (size_t i = 0; i < bytes / sizeof(Vector); i += 4)
    for (size_t j = 0; j < 4; ++j) s[j] += p[i + j];
  Vector sum = s[0] + s[1] + s[2] + s[3];
  asm volatile("" : : "m"(sum));
}

}  // namespace

std::vector<ArithmeticKernel> arithmetic_kernels([[maybe_unused]] const hardware::Host& host) {
  std::vector<ArithmeticKernel> kernels;
#if defined(__x86_64__)
  // operations: chains × lanes × 2, times the products per lane of a dot-product instruction
  const std::string isa = host.isa();
  if (isa == "avx512") kernels.push_back({"f32", f32_avx512, 12 * 16 * 2});
  else if (isa == "avx2") kernels.push_back({"f32", f32_avx2, 12 * 8 * 2});
  else kernels.push_back({"f32", f32_sse, 12 * 4 * 2});
  const bool tiles = isa == "avx512" && host.has("amx_tile") && host.has("amx_bf16") && host.has("amx_int8");
  if (tiles) {
    kernels.push_back({"bf16", bf16_amx, 4 * 16 * 16 * 32 * 2});
    kernels.push_back({"i8", i8_amx, 4 * 16 * 16 * 64 * 2});
    return kernels;
  }
  if (isa == "avx512" && host.has("avx512_bf16")) kernels.push_back({"bf16", bf16_avx512, 12 * 16 * 2 * 2});
  if (isa == "avx512" && host.has("avx512_vnni")) kernels.push_back({"i8", i8_avx512, 12 * 16 * 2 * 4});
  else if (isa != "baseline" && host.has("avx_vnni")) kernels.push_back({"i8", i8_avx_vnni, 12 * 8 * 2 * 4});
#else
  kernels.push_back({"f32", f32_portable, 12 * 4 * 2});
#endif
  return kernels;
}

ReadKernel read_kernel([[maybe_unused]] const hardware::Host& host) {
#if defined(__x86_64__)
  if (host.isa() == "avx512") return read_avx512;
  if (host.isa() == "avx2") return read_avx2;
#endif
  return read_portable;
}

}  // namespace rooftune::measure
