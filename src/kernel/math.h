// Elementary functions as polynomials: rewrites exp, log, tanh, erf, pow, sin and cos into additions, multiplications
// and bit operations, so that every code generator computes them in vectors, alike, and with a known error.
//
// Largest errors against the exact value (math_test.cpp measures them):
//   exp, log   2 ulp, denormal results and arguments included       pow    4 ulp (integer exponents up to 8: 4 ulp)
//   tanh, erf  4 ulp, exactly ±1 beyond                             sin, cos  2 ulp for |x| <= 1e9
// NaN gives NaN; infinities and zeros give what C's functions give, apart from two: (-inf)^y is NaN for fractional y,
// and (-0)^y is +inf for negative odd y. Beyond 1e15 sin and cos are merely within [-1, 1].
//
// Every node rounds by itself: a code generator must not reassociate them ((t + c) - c rounds t to an integer here). It
// may fuse multiplications and additions.
#pragma once
#include "kernel/kernel.h"

namespace rooftune::kernel {

/// Expands these functions on f32 nodes, and on f16 and bf16 ones by computing in f32. f64 ones stay.
void expand_math(Kernel& kernel);

}  // namespace rooftune::kernel
