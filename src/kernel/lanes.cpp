#include "kernel/lanes.h"

#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "base/error.h"

namespace rooftune::kernel {

namespace {

float rounded(float v, DType type) {
  switch (type) {
    case DType::f16: return ir::f16_to_f32(ir::f32_to_f16(v));
    case DType::bf16: return ir::bf16_to_f32(ir::f32_to_bf16(v));
    case DType::f8e4m3fn:
    case DType::f8e4m3fnuz:
    case DType::f8e5m2:
    case DType::f8e5m2fnuz: return ir::f8_to_f32(ir::f32_to_f8(v, type), type);
    default: return v;
  }
}

int64_t wrapped(int64_t v, DType type) {
  if (type == DType::boolean) return v != 0;
  int bits = ir::bit_width(type);
  if (bits == 64) return v;
  int shift = 64 - bits;
  uint64_t top = static_cast<uint64_t>(v) << shift;
  return ir::is_signed(type) ? static_cast<int64_t>(top) >> shift : static_cast<int64_t>(top >> shift);
}

int64_t integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  uint64_t r = 1, b = static_cast<uint64_t>(base);
  for (; exponent > 0; exponent >>= 1, b *= b) {
    if (exponent & 1) r *= b;
  }
  return static_cast<int64_t>(r);
}

/// Order and division of u64, which is held in the bits of an int64.
template <typename T>
bool less(T a, T b, bool wide_unsigned) {
  if constexpr (std::is_integral_v<T>) {
    if (wide_unsigned) return static_cast<uint64_t>(a) < static_cast<uint64_t>(b);
  }
  return a < b;
}

int64_t integer_quotient(int64_t a, int64_t b, bool wide_unsigned) {
  if (b == 0) return 0;
  if (wide_unsigned) return static_cast<int64_t>(static_cast<uint64_t>(a) / static_cast<uint64_t>(b));
  return b == -1 ? static_cast<int64_t>(0 - static_cast<uint64_t>(a)) : a / b;
}

int64_t integer_remainder(int64_t a, int64_t b, bool wide_unsigned) {
  if (b == 0) return 0;
  if (wide_unsigned) return static_cast<int64_t>(static_cast<uint64_t>(a) % static_cast<uint64_t>(b));
  if (b == -1) return 0;
  int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

int64_t truncated(double v) {  // what x86 gives outside of the range
  return v >= -9223372036854775808.0 && v < 9223372036854775808.0 ? static_cast<int64_t>(v)
                                                                  : std::numeric_limits<int64_t>::min();
}

/// Integers take the arithmetic of uint64, where overflow wraps.
template <typename T>
using Arithmetic = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;

template <typename T, typename F>
void map(const T* a, T* out, int count, F&& f) {
  for (int l = 0; l < count; l++) out[l] = f(a[l]);
}

template <typename T, typename U, typename F>
void zip(const T* a, const T* b, U* out, int count, F&& f) {
  for (int l = 0; l < count; l++) out[l] = f(a[l], b[l]);
}

template <typename T>
void unary(Op op, const T* a, T* out, int count) {
  if constexpr (std::is_floating_point_v<T>) {
    switch (op) {
      case Op::sqrt: return map(a, out, count, [](T x) { return std::sqrt(x); });
      case Op::exp: return map(a, out, count, [](T x) { return static_cast<T>(std::exp(static_cast<double>(x))); });
      case Op::log: return map(a, out, count, [](T x) { return static_cast<T>(std::log(static_cast<double>(x))); });
      case Op::tanh: return map(a, out, count, [](T x) { return static_cast<T>(std::tanh(static_cast<double>(x))); });
      case Op::erf: return map(a, out, count, [](T x) { return static_cast<T>(std::erf(static_cast<double>(x))); });
      case Op::sin: return map(a, out, count, [](T x) { return static_cast<T>(std::sin(static_cast<double>(x))); });
      case Op::cos: return map(a, out, count, [](T x) { return static_cast<T>(std::cos(static_cast<double>(x))); });
      case Op::floor: return map(a, out, count, [](T x) { return std::floor(x); });
      case Op::ceil: return map(a, out, count, [](T x) { return std::ceil(x); });
      case Op::round: return map(a, out, count, [](T x) { return std::nearbyint(x); });
      default: break;
    }
  }
  switch (op) {
    case Op::neg: return map(a, out, count, [](T x) { return static_cast<T>(-static_cast<Arithmetic<T>>(x)); });
    case Op::abs:
      return map(a, out, count, [](T x) {
        return x < 0 ? static_cast<T>(-static_cast<Arithmetic<T>>(x)) : x == 0 ? T{0} : x;
      });
    case Op::floor:
    case Op::ceil:
    case Op::round: return map(a, out, count, [](T x) { return x; });
    default: RT_CHECK(false, "no unary {}", info(op).name);
  }
}

template <typename T>
void binary(Op op, const T* a, const T* b, T* out, int count, bool wide) {
  using A = Arithmetic<T>;
  switch (op) {
    case Op::add:
      return zip(a, b, out, count, [](T x, T y) { return static_cast<T>(static_cast<A>(x) + static_cast<A>(y)); });
    case Op::sub:
      return zip(a, b, out, count, [](T x, T y) { return static_cast<T>(static_cast<A>(x) - static_cast<A>(y)); });
    case Op::mul:
      return zip(a, b, out, count, [](T x, T y) { return static_cast<T>(static_cast<A>(x) * static_cast<A>(y)); });
    case Op::min: return zip(a, b, out, count, [wide](T x, T y) { return less(x, y, wide) ? x : y; });
    case Op::max: return zip(a, b, out, count, [wide](T x, T y) { return less(y, x, wide) ? x : y; });
    default: break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (op == Op::div) return zip(a, b, out, count, [](T x, T y) { return x / y; });
    if (op == Op::pow) {
      return zip(a, b, out, count,
                 [](T x, T y) { return static_cast<T>(std::pow(static_cast<double>(x), static_cast<double>(y))); });
    }
  } else {
    switch (op) {
      case Op::div: return zip(a, b, out, count, [wide](T x, T y) { return integer_quotient(x, y, wide); });
      case Op::mod: return zip(a, b, out, count, [wide](T x, T y) { return integer_remainder(x, y, wide); });
      case Op::pow: return zip(a, b, out, count, [](T x, T y) { return integer_power(x, y); });
      case Op::bit_and: return zip(a, b, out, count, [](T x, T y) { return x & y; });
      case Op::shift_left:
        return zip(a, b, out, count,
                   [](T x, T y) { return y < 0 || y > 63 ? T{0} : static_cast<T>(static_cast<A>(x) << y); });
      case Op::shift_right:
        return zip(a, b, out, count, [wide](T x, T y) {
          if (y < 0 || y > 63) return T{0};
          return wide ? static_cast<T>(static_cast<A>(x) >> y) : static_cast<T>(x >> y);
        });
      case Op::logical_and: return zip(a, b, out, count, [](T x, T y) { return T{x != 0 && y != 0}; });
      case Op::logical_or: return zip(a, b, out, count, [](T x, T y) { return T{x != 0 || y != 0}; });
      default: break;
    }
  }
  RT_CHECK(false, "no binary {}", info(op).name);
}

template <typename T>
void compare(Op op, const T* a, const T* b, int64_t* out, int count, bool wide) {
  switch (op) {
    case Op::eq: return zip(a, b, out, count, [](T x, T y) { return int64_t{x == y}; });
    case Op::lt: return zip(a, b, out, count, [wide](T x, T y) { return int64_t{less(x, y, wide)}; });
    default: return zip(a, b, out, count, [wide](T x, T y) { return int64_t{x == y || less(x, y, wide)}; });
  }
}

/// The array of an argument whose elements are held like those of `like`.
template <typename T>
const T* argument(const Lanes* lanes, const T*) {
  if constexpr (std::is_same_v<T, float>) return lanes->f.data();
  else if constexpr (std::is_same_v<T, double>) return lanes->d.data();
  else return lanes->i.data();
}

void cast(const Lanes& a, int count, Lanes& out) {
  visit(a, [&](const auto* from) {
    visit(out, [&](auto* to) {
      using From = std::remove_cvref_t<decltype(*from)>;
      using To = std::remove_cvref_t<decltype(*to)>;
      bool to_boolean = out.type == DType::boolean, from_u64 = a.type == DType::u64;
      for (int l = 0; l < count; l++) {
        if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
          to[l] = to_boolean ? from[l] != 0 : truncated(static_cast<double>(from[l]));
        } else if constexpr (std::is_integral_v<From>) {
          to[l] = from_u64 && !std::is_integral_v<To> ? static_cast<To>(static_cast<uint64_t>(from[l]))
                                                      : static_cast<To>(from[l]);
        } else {
          to[l] = static_cast<To>(from[l]);
        }
      }
    });
  });
}

template <typename T, typename To>
void gather_typed(const T* data, const int64_t* offsets, const uint8_t* mask, To otherwise, int count, To* out) {
  if (!mask) {
    for (int l = 0; l < count; l++) out[l] = static_cast<To>(data[offsets[l]]);
    return;
  }
  for (int l = 0; l < count; l++) out[l] = mask[l] ? static_cast<To>(data[offsets[l]]) : otherwise;
}

/// f(data) with the tensor's elements as a C++ type; false where its type has none (half floats, 4-bit, …).
template <typename TensorT, typename F>
bool with_elements(TensorT& tensor, F&& f) {
  switch (tensor.dtype()) {
    case DType::f32: f(tensor.template data<float>()); return true;
    case DType::f64: f(tensor.template data<double>()); return true;
    case DType::i8: f(tensor.template data<int8_t>()); return true;
    case DType::u8:
    case DType::boolean: f(tensor.template data<uint8_t>()); return true;
    case DType::i16: f(tensor.template data<int16_t>()); return true;
    case DType::u16: f(tensor.template data<uint16_t>()); return true;
    case DType::i32: f(tensor.template data<int32_t>()); return true;
    case DType::u32: f(tensor.template data<uint32_t>()); return true;
    case DType::i64:
    case DType::u64: f(tensor.template data<int64_t>()); return true;
    default: return false;
  }
}

}  // namespace

Domain domain_of(DType type) {
  if (type == DType::f64) return Domain::full;
  return ir::is_float(type) ? Domain::single : Domain::integer;
}

Lanes::Lanes(DType type, int capacity) : type(type), domain(domain_of(type)) {
  size_t n = static_cast<size_t>(capacity);
  if (domain == Domain::single) f.resize(n);
  if (domain == Domain::full) d.resize(n);
  if (domain == Domain::integer) i.resize(n);
}

void settle(Lanes& lanes, int count) {
  if (lanes.domain == Domain::single && lanes.type != DType::f32) {
    for (int l = 0; l < count; l++)
      lanes.f[static_cast<size_t>(l)] = rounded(lanes.f[static_cast<size_t>(l)], lanes.type);
  } else if (lanes.domain == Domain::integer && ir::bit_width(lanes.type) != 64) {
    for (int l = 0; l < count; l++)
      lanes.i[static_cast<size_t>(l)] = wrapped(lanes.i[static_cast<size_t>(l)], lanes.type);
  }
}

void evaluate(const ExprNode& node, const Lanes* a, const Lanes* b, const Lanes* c, int count, Lanes& out) {
  bool wide = a && a->type == DType::u64;
  switch (node.op) {
    case Op::constant:
      visit(out, [&](auto* o) {
        using T = std::remove_cvref_t<decltype(*o)>;
        T value = std::is_integral_v<T> ? static_cast<T>(truncated(node.value)) : static_cast<T>(node.value);
        std::fill(o, o + count, value);
      });
      break;
    case Op::cast: cast(*a, count, out); break;
    case Op::bitcast:
      for (size_t l = 0; l < static_cast<size_t>(count); l++) {
        if (node.type == DType::i32) out.i[l] = std::bit_cast<int32_t>(a->f[l]);
        else out.f[l] = std::bit_cast<float>(static_cast<int32_t>(a->i[l]));
      }
      break;
    case Op::eq:
    case Op::lt:
    case Op::le:
      visit(*a, [&](const auto* x) { compare(node.op, x, argument(b, x), out.i.data(), count, wide); });
      break;
    case Op::logical_not: map(a->i.data(), out.i.data(), count, [](int64_t x) { return int64_t{x == 0}; }); break;
    case Op::select:
      visit(out, [&](auto* o) {
        auto* x = argument(b, o);
        auto* y = argument(c, o);
        for (int l = 0; l < count; l++) o[l] = a->i[static_cast<size_t>(l)] ? x[l] : y[l];
      });
      break;
    case Op::fma:
      visit(out, [&](auto* o) {
        if constexpr (std::is_floating_point_v<std::remove_cvref_t<decltype(*o)>>) {
          auto *x = argument(a, o), *y = argument(b, o), *z = argument(c, o);
          for (int l = 0; l < count; l++) o[l] = std::fma(x[l], y[l], z[l]);
        }
      });
      break;
    default:
      visit(out, [&](auto* o) {
        if (info(node.op).arity == 1) unary(node.op, argument(a, o), o, count);
        else binary(node.op, argument(a, o), argument(b, o), o, count, wide);
      });
  }
  settle(out, count);
}

void gather(const ir::Tensor& tensor, const int64_t* offsets, const uint8_t* mask, double otherwise, int count,
            Lanes& out) {
  visit(out, [&](auto* o) {
    using To = std::remove_cvref_t<decltype(*o)>;
    To other = std::is_integral_v<To> ? static_cast<To>(truncated(otherwise)) : static_cast<To>(otherwise);
    bool done = with_elements(tensor, [&](const auto* data) { gather_typed(data, offsets, mask, other, count, o); });
    for (int l = 0; !done && l < count; l++) {
      if (mask && !mask[l]) o[l] = other;
      else
        o[l] = std::is_integral_v<To> ? static_cast<To>(tensor.as_int(offsets[l]))
                                      : static_cast<To>(tensor.as_double(offsets[l]));
    }
  });
}

void gather(const ir::Tensor& tensor, int64_t first, int64_t stride, int count, Lanes& out) {
  visit(out, [&](auto* o) {
    using To = std::remove_cvref_t<decltype(*o)>;
    bool done = with_elements(tensor, [&](const auto* data) {
      for (int l = 0; l < count; l++) o[l] = static_cast<To>(data[first + l * stride]);
    });
    for (int l = 0; !done && l < count; l++) {
      int64_t at = first + l * stride;
      o[l] = std::is_integral_v<To> ? static_cast<To>(tensor.as_int(at)) : static_cast<To>(tensor.as_double(at));
    }
  });
}

void scatter(const Lanes& in, const int64_t* offsets, const uint8_t* mask, int count, ir::Tensor& tensor) {
  visit(in, [&](const auto* values) {
    bool done = with_elements(tensor, [&](auto* data) {
      for (int l = 0; l < count; l++) {
        if (mask[l]) data[offsets[l]] = static_cast<std::remove_cvref_t<decltype(*data)>>(values[l]);
      }
    });
    for (int l = 0; !done && l < count; l++) {
      if (mask[l]) tensor.set_double(offsets[l], static_cast<double>(values[l]));
    }
  });
}

}  // namespace rooftune::kernel
