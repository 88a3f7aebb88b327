// Coefficients come from math_coefficients.py: minimax fits of the weighted error named there, rounded to float one by
// one. Everything else (splitting constants, reductions) is derived where it stands.
#include "kernel/math.h"

#include <cmath>
#include <limits>

#include "kernel/nodes.h"

namespace rooftune::kernel {

namespace {

constexpr double kLog2e = 1.4426950408889634, kLn2 = 0.6931471805599453;
// ln 2 in two parts, the first of 11 bits: n times it is exact.
constexpr double kLn2High = 0.693359375, kLn2Low = kLn2 - kLn2High;
// Adding 1.5 · 2^23 to a float below 2^22 leaves its nearest integer in the low bits. With 127 on top, shifting those
// bits to the exponent's place gives the power of two.
constexpr double kRound = 12582912.0 + 127.0;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Writes expressions into a stage's nodes.
class Writer {
 public:
  explicit Writer(std::vector<ExprNode>& nodes) : nodes_(nodes) {}

  int expand(Op op, int x, int y) {
    switch (op) {
      case Op::exp: return exp(x);
      case Op::log: return log(x);
      case Op::tanh: return tanh(x);
      case Op::erf: return erf(x);
      case Op::sin: return sine(x, false);
      case Op::cos: return sine(x, true);
      default: return pow(x, y);
    }
  }

  int cast(int a, DType type) { return put(Op::cast, type, a); }

 private:
  int put(Op op, DType type, int a, int b = -1, int c = -1) { return intern(nodes_, {op, type, a, b, c}); }
  DType type(int a) const { return nodes_[static_cast<size_t>(a)].type; }

  int constant(double value, DType type = DType::f32) {
    ExprNode n{Op::constant, type};
    n.value = type == DType::f32 ? static_cast<double>(static_cast<float>(value)) : value;
    return intern(nodes_, std::move(n));
  }
  int like(double value, int a) { return constant(value, type(a)); }

  int add(int a, int b) { return put(Op::add, type(a), a, b); }
  int sub(int a, int b) { return put(Op::sub, type(a), a, b); }
  int mul(int a, int b) { return put(Op::mul, type(a), a, b); }
  int div(int a, int b) { return put(Op::div, type(a), a, b); }
  int fma(int a, int b, int c) { return put(Op::fma, type(a), a, b, c); }
  int unary(Op op, int a) { return put(op, type(a), a); }
  int equal(int a, double b) { return put(Op::eq, DType::boolean, a, like(b, a)); }
  int less(int a, int b) { return put(Op::lt, DType::boolean, a, b); }
  int select(int condition, int a, int b) { return put(Op::select, type(a), condition, a, b); }
  int bits(int a) { return put(Op::bitcast, DType::i32, a); }
  int from_bits(int a) { return put(Op::bitcast, DType::f32, a); }
  int shift_to_exponent(int a) { return from_bits(put(Op::shift_left, DType::i32, a, constant(23, DType::i32))); }

  /// NaN stays NaN: min and max give their second argument then.
  int clamp(int x, double lo, double hi) {
    return put(Op::min, type(x), like(hi, x), put(Op::max, type(x), like(lo, x), x));
  }

  /// c[0] + c[1] x + … by Horner's rule.
  int polynomial(int x, std::initializer_list<double> c) {
    auto at = c.end() - 1;
    int p = like(*at, x);
    while (at != c.begin()) p = fma(p, x, like(*--at, x));
    return p;
  }

  /// e^r for |r| <= ln 2: 1 + r + r² P(r), relative error 1.6e-8.
  int exp_reduced(int r) {
    int p = polynomial(r, {0.500000358, 0.166666105, 0.0416611172, 0.00833624694, 0.00141077756, 0.000196016699});
    return fma(fma(p, r, constant(1)), r, constant(1));
  }

  /// x = 2 m ln 2 + r; multiplying by 2^m twice reaches infinity. What is no normal number is 0: processors take a hundred
  /// times as long over a denormal, and masked scores of attention would all become some.
  int exp(int x) {
    constexpr double kLeast = -87.3365;  // e to that is just above 2^-126
    int c = clamp(x, kLeast, 89);
    int t = fma(c, constant(kLog2e / 2), constant(kRound));
    int m = sub(t, constant(kRound));
    int r = fma(m, constant(-2 * kLn2Low), fma(m, constant(-2 * kLn2High), c));
    int power = shift_to_exponent(bits(t));
    return select(less(x, constant(kLeast)), constant(0), mul(mul(exp_reduced(r), power), power));
  }

  /// 1 - 2^e for |e| < 120, exact to relative rounding near e = 0: 1 - 2^e = (1 - 2^n) + 2^n (1 - 2^r), where 1 - 2^r =
  /// r P(r) for |r| <= 1/2, relative error 9e-9.
  int one_minus_exp2(int e) {
    int t = add(e, constant(kRound));
    int r = sub(e, sub(t, constant(kRound)));
    int p = polynomial(r, {-0.693147182, -0.240226507, -0.0555036664, -0.00961806532, -0.00133877934, -0.000154618174});
    int power = shift_to_exponent(bits(t));
    return fma(mul(p, r), power, sub(constant(1), power));
  }

  /// (E - 1) / (E + 1) with E = e^2x. At 9.02, E ± 1 = E in float.
  int tanh(int x) {
    int v = one_minus_exp2(mul(clamp(x, -9.02, 9.02), constant(2 * kLog2e)));
    return div(v, sub(v, constant(2)));
  }

  /// erf(a) = 1 - 2^(a P(a)) for a = |x| <= 4 (erf(4) rounds to 1), P a fit of log2(erfc(a)) / a with a relative error
  /// of 4e-8 in erf.
  int erf(int x) {
    int a = put(Op::min, DType::f32, constant(4), unary(Op::abs, x));
    int p = polynomial(a, {-1.62790704, -0.918444693, -0.148321584, 0.0278522875, -0.000265258219, -0.0018280457,
                           0.000557309948, -5.97484504e-05});
    int sign = put(Op::bit_and, DType::i32, bits(x), constant(-2147483648.0, DType::i32));
    return from_bits(add(bits(one_minus_exp2(mul(a, p))), sign));
  }

  /// x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for positive finite x.
  struct Parts {
    int k, f;
  };
  Parts split(int x) {
    int denormal = less(x, constant(0x1p-126));
    int b = bits(select(denormal, mul(x, constant(0x1p23)), x));
    int exponent =
        put(Op::bit_and, DType::i32, sub(b, constant(0x3f3504f3, DType::i32)), constant(-8388608.0, DType::i32));
    int k = mul(cast(exponent, DType::f32), constant(0x1p-23));
    return {select(denormal, sub(k, constant(23)), k), sub(from_bits(sub(b, exponent)), constant(1))};
  }

  /// k ln 2 + log(1 + f), log(1 + f) = f - f² / 2 + f³ P(f) with a relative error of 6e-9.
  int log(int x) {
    auto [k, f] = split(x);
    int p = polynomial(f, {-0.5, 0.333333313, -0.250008196, 0.200012416, -0.166234091, 0.1420158, -0.131596103,
                           0.127622172, -0.0763643906});
    int tail = fma(k, constant(kLn2Low), mul(mul(f, f), p));
    int value = fma(k, constant(kLn2High), add(f, tail));
    int finite = select(less(x, constant(kInfinity)), value, x);
    int nothing = select(equal(x, 0), constant(-kInfinity), constant(NAN));
    return select(less(constant(0), x), finite, nothing);
  }

  /// Reduces by multiples of pi / 2 in double, in two parts by fma, so that r is good to about 1e-16; then odd quarters
  /// take the other function's polynomial.
  int sine(int x, bool cosine) {
    constexpr double kHigh = 0x1.921fb54442d18p0, kLow = 0x1.1a62633145c07p-54;  // pi / 2
    int wide = cast(x, DType::f64);
    int n = unary(Op::round, mul(wide, like(2 / 3.14159265358979323846, wide)));
    int rest = fma(n, like(-kLow, wide), fma(n, like(-kHigh, wide), wide));
    int r = clamp(cast(rest, DType::f32), -0.8, 0.8);
    int shifted = cosine ? add(n, like(1, wide)) : n;
    int quarter =
        cast(fma(unary(Op::round, mul(shifted, like(0.25, wide))), like(-4, wide), shifted), DType::f32);  // -2 … 2
    int z = mul(r, r);
    int s = fma(mul(r, z), polynomial(z, {-0.166666552, 0.00833218731, -0.000195178945}), r);
    int c = fma(mul(z, z), polynomial(z, {0.0416666456, -0.00138873013, 2.44306684e-05}),
                fma(z, constant(-0.5), constant(1)));
    int value = select(equal(mul(quarter, quarter), 1), c, s);
    // The sine is negative in quarters -1 and ±2.
    int distance = unary(Op::abs, sub(quarter, constant(0.5)));
    return select(less(constant(1), distance), unary(Op::neg, value), value);
  }

  /// x^n by squaring; n > 0.
  int power(int x, int n) {
    int result = -1;
    for (int square = x; n > 0; n >>= 1) {
      if (n & 1) result = result < 0 ? square : mul(result, square);
      if (n > 1) square = mul(square, square);
    }
    return result;
  }

  int pow(int x, int y) {
    const ExprNode& e = nodes_[static_cast<size_t>(y)];
    if (e.op == Op::constant) {
      double v = e.value, magnitude = std::fabs(v);
      if (v == 0) return constant(1);
      if (magnitude == std::floor(magnitude) && magnitude <= 8) {
        // The reciprocal first: x^n may overflow where x^-n is a denormal.
        return power(v < 0 ? div(constant(1), x) : x, static_cast<int>(magnitude));
      }
      if (v == 0.5) return unary(Op::sqrt, x);
      if (v == -0.5) return div(constant(1), unary(Op::sqrt, x));
    }
    return general_pow(x, y);
  }

  /// 2^(y log2 |x|), the exponent in double: log(m) = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172, by its Taylor
  /// series up to s^13 (relative error 2e-12).
  int general_pow(int x, int y) {
    int a = unary(Op::abs, x);
    auto [k, f] = split(a);
    int wide = cast(f, DType::f64), yw = cast(y, DType::f64);
    int s = div(wide, add(wide, like(2, wide)));
    int series = polynomial(mul(s, s), {1, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13});
    int log2 = fma(mul(s, like(2 * kLog2e, wide)), series, cast(k, DType::f64));
    log2 = select(equal(a, 0), like(-kInfinity, wide), select(less(a, constant(kInfinity)), log2, cast(a, DType::f64)));
    int t = clamp(mul(yw, log2), -160, 140);
    int m = unary(Op::round, mul(t, like(0.5, wide)));
    int r = cast(mul(fma(m, like(-2, wide), t), like(kLn2, wide)), DType::f32);
    int two_to_m = shift_to_exponent(add(cast(m, DType::i32), constant(127, DType::i32)));
    int magnitude = mul(mul(exp_reduced(r), two_to_m), two_to_m);
    magnitude = select(equal(a, 1), constant(1), magnitude);
    // A negative base needs an integer exponent; an odd one keeps the sign.
    int negative = less(x, constant(0));
    int half = mul(y, constant(0.5));
    int even = put(Op::eq, DType::boolean, unary(Op::round, half), half);
    int integer = put(Op::eq, DType::boolean, unary(Op::round, y), y);
    int of_negative = select(integer, select(even, magnitude, unary(Op::neg, magnitude)), constant(NAN));
    return select(equal(y, 0), constant(1), select(negative, of_negative, magnitude));
  }

  std::vector<ExprNode>& nodes_;
};

bool is_expanded(const ExprNode& n) {
  switch (n.op) {
    case Op::exp:
    case Op::log:
    case Op::tanh:
    case Op::erf:
    case Op::sin:
    case Op::cos:
    case Op::pow: return n.type == DType::f32 || n.type == DType::f16 || n.type == DType::bf16;
    default: return false;
  }
}

void expand_stage(Stage& stage) {
  std::vector<ExprNode> old = std::move(stage.nodes);
  stage.nodes.clear();
  Writer writer(stage.nodes);
  std::vector<int> renumbered(old.size(), -1);
  for (size_t i = 0; i < old.size(); i++) {
    ExprNode& n = old[i];
    for_each_argument(n, [&](int& a) { a = renumbered[static_cast<size_t>(a)]; });
    for_each_index(n, [&](Index& e) { e = renumber(e, renumbered); });
    if (!is_expanded(n)) {
      renumbered[i] = intern(stage.nodes, std::move(n));
      continue;
    }
    bool half = n.type != DType::f32;
    auto argument = [&](int a) { return half && a >= 0 ? writer.cast(a, DType::f32) : a; };
    int value = writer.expand(n.op, argument(n.a), argument(n.b));
    renumbered[i] = half ? writer.cast(value, n.type) : value;
  }
  for (Index& e : stage.where) e = renumber(e, renumbered);
  for (Index& e : stage.out_indices) e = renumber(e, renumbered);
  keep_needed(stage, renumbered.back());
}

}  // namespace

void expand_math(Kernel& kernel) {
  for (Stage& stage : kernel.stages) expand_stage(stage);
}

}  // namespace rooftune::kernel
