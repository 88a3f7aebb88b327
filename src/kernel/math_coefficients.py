"""Derives the polynomial coefficients in math.cpp (needs numpy only; prints them as C++ float literals).

Each polynomial minimises the largest weighted error over its interval: Lawson's iteration (least squares on a dense
Chebyshev grid, weights multiplied by the error until it is level), then coefficients are rounded to float one by one,
lowest power first, each time refitting the ones not yet rounded.
"""
import math

import numpy as np


def lawson(basis, target, weight, rounds=400):
    """Coefficients c that minimise max |weight (basis c - target)|."""
    scale = np.abs(basis).max(axis=0)
    a, b = basis / scale * weight[:, None], target * weight
    w = np.ones(len(b)) / len(b)
    best, best_error = None, math.inf
    for _ in range(rounds):
        root = np.sqrt(w)[:, None]
        c = np.linalg.lstsq(a * root, b * root[:, 0], rcond=None)[0]
        error = np.abs(a @ c - b)
        if error.max() < best_error:
            best, best_error = c, error.max()
        w *= error + 1e-3 * error.max()
        w /= w.sum()
    return best / scale, best_error


def fit(name, lo, hi, powers, target, weight, points=2000):
    """Sum of c_k x^powers[k] ~ target(x) on [lo, hi]; the error is |weight(x) (fit - target)|."""
    k = np.arange(points)
    x = (lo + hi) / 2 + (hi - lo) / 2 * np.cos(math.pi * (k + 0.5) / points)
    basis = np.stack([x**p for p in powers], axis=1)
    b, w = np.array([target(v) for v in x]), np.array([weight(v) for v in x])
    fixed = []
    for i in range(len(powers)):
        rest = b - basis[:, :i] @ np.array(fixed)
        c, error = lawson(basis[:, i:], rest, w)
        if i == 0:
            ideal = error
        fixed.append(float(np.float32(c[0])))
    error = np.abs(w * (basis @ np.array(fixed) - b)).max()
    print(f"{name}: largest weighted error {ideal:.2e}, {error:.2e} with float coefficients")
    print("  {" + ", ".join(f"{np.float32(c):.9g}f" for c in fixed) + "}")
    return fixed


def erfc_exponent(a):
    """log2(erfc(a)) / a, with its limit at 0."""
    if a < 1e-8:
        return -2 / math.sqrt(math.pi) / math.log(2)
    return math.log1p(-math.erf(a)) / math.log(2) / a if a < 0.5 else math.log2(math.erfc(a)) / a


if __name__ == "__main__":
    ln2 = math.log(2)
    # e^r = 1 + r + r^2 P(r), relative error; exp reduces to |r| <= ln 2.
    fit("exp", -0.7, 0.7, range(6), lambda r: (math.expm1(r) - r) / r**2 if abs(r) > 1e-3 else 0.5 + r / 6 + r * r / 24,
        lambda r: r * r / math.exp(r))
    # 1 - 2^r = r P(r), relative error; erf and tanh reduce to |r| <= 1 / 2.
    fit("exp2m1", -0.501, 0.501, range(6), lambda r: -math.expm1(r * ln2) / r if abs(r) > 1e-9 else -ln2, lambda r: 1.0)
    # log2(erfc(a)) = a P(a); an error d in the exponent changes erf(a) by ln 2 erfc(a) d.
    fit("erf", 0.0, 4.0, range(8), erfc_exponent,
        lambda a: a * ln2 * math.erfc(a) / math.erf(a) if a > 1e-6 else ln2 * math.sqrt(math.pi) / 2)
    # log(1 + f) = f - f^2 / 2 + f^3 P(f), relative error.
    def log_rest(f):
        if abs(f) < 1e-2:
            return sum((-1) ** k * f**k / (k + 3) for k in range(9))
        return (math.log1p(f) - f + f * f / 2) / f**3
    fit("log", math.sqrt(0.5) - 1, math.sqrt(2) - 1, range(8), log_rest,
        lambda f: f * f * abs(f) / abs(math.log1p(f)) if abs(f) > 1e-9 else 0.0)
    # sin(r) = r + r^3 P(r^2) and cos(r) = 1 - r^2 / 2 + r^4 P(r^2) for |r| <= pi / 4; as polynomials in z = r^2.
    quarter = (math.pi / 4 + 1e-3) ** 2
    def sin_rest(z):
        return sum((-1) ** (k + 1) * z**k / math.factorial(2 * k + 3) for k in range(9))
    def cos_rest(z):
        return sum((-1) ** k * z**k / math.factorial(2 * k + 4) for k in range(9))
    fit("sin", 0.0, quarter, range(3), sin_rest, lambda z: z * math.sqrt(z) / max(math.sin(math.sqrt(z)), 1e-9))
    fit("cos", 0.0, quarter, range(3), cos_rest, lambda z: z * z)
