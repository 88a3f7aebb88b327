#include "kernel/index.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace rooftune::kernel {

namespace {

using Term = Index::Term;
using Kind = Index::Term::Kind;

int64_t floor_quotient(int64_t a, int64_t b) {  // b > 0
  int64_t q = a / b;
  return q - (a % b < 0);
}

int64_t clamp(__int128 v) {
  if (v >= kUnbounded) return kUnbounded;
  if (v <= -kUnbounded) return -kUnbounded;
  return static_cast<int64_t>(v);
}

bool bounded(int64_t v) { return v > -kUnbounded && v < kUnbounded; }

Range unbounded(int) { return {-kUnbounded, kUnbounded}; }

int compare(const Index& a, const Index& b);

/// Order of what a term is apart from its coefficient: variables first, mods last.
int compare_keys(const Term& a, const Term& b) {
  if (a.kind != b.kind) return a.kind < b.kind ? -1 : 1;
  if (a.kind == Kind::variable) return a.variable < b.variable ? -1 : a.variable > b.variable;
  if (a.divisor != b.divisor) return a.divisor < b.divisor ? -1 : 1;
  return a.argument == b.argument ? 0 : compare(*a.argument, *b.argument);
}

int compare(const Index& a, const Index& b) {
  const auto& ta = a.terms();
  const auto& tb = b.terms();
  for (size_t i = 0; i < std::min(ta.size(), tb.size()); i++) {
    if (int c = compare_keys(ta[i], tb[i])) return c;
    if (ta[i].coefficient != tb[i].coefficient) return ta[i].coefficient < tb[i].coefficient ? -1 : 1;
  }
  if (ta.size() != tb.size()) return ta.size() < tb.size() ? -1 : 1;
  return a.constant() < b.constant() ? -1 : a.constant() > b.constant();
}

/// The one term that the expression is, or null.
const Term* sole_term(const Index& e) {
  return e.constant() == 0 && e.terms().size() == 1 && e.terms()[0].coefficient == 1 ? &e.terms()[0] : nullptr;
}

/// floordiv(e, divisor) as a term: of a nested quotient the argument is the innermost one.
Term quotient_term(const std::shared_ptr<const Index>& e, int64_t divisor) {
  const Term* t = sole_term(*e);
  if (t && t->kind == Kind::floordiv) return {1, Kind::floordiv, -1, t->argument, t->divisor * divisor};
  return {1, Kind::floordiv, -1, e, divisor};
}

/// e = divisor · whole + rest, where coefficients of rest are smaller than the divisor and its constant is in
/// [0, divisor). The same split for div and mod, so that both keep the same argument and fold again.
struct Split {
  Index whole, rest;
};

Split split(const Index& e, int64_t divisor) {
  std::vector<Term> whole, rest;
  for (const Term& t : e.terms()) {
    if (int64_t q = t.coefficient / divisor) whole.push_back(t), whole.back().coefficient = q;
    if (int64_t r = t.coefficient % divisor) rest.push_back(t), rest.back().coefficient = r;
  }
  int64_t q = floor_quotient(e.constant(), divisor);
  return {Index::of_terms(q, std::move(whole)), Index::of_terms(e.constant() - q * divisor, std::move(rest))};
}

/// rest = unit · high + low with 0 <= low < unit, where `unit` divides `divisor`: the largest unit for which ranges
/// prove it, or unit 0. Then rest / divisor = high / (divisor / unit), and mod goes likewise.
struct Digits {
  int64_t unit = 0;
  Index high, low;
};

Digits find_digits(const Index& rest, int64_t divisor, const RangeOf& range_of) {
  std::vector<int64_t> units;
  for (const Term& t : rest.terms()) {
    int64_t g = std::gcd(t.coefficient, divisor);
    if (g > 1 && std::find(units.begin(), units.end(), g) == units.end()) units.push_back(g);
  }
  std::sort(units.rbegin(), units.rend());
  for (int64_t unit : units) {
    std::vector<Term> high, low;
    for (const Term& t : rest.terms()) {
      bool divides = t.coefficient % unit == 0;
      (divides ? high : low).push_back(t);
      if (divides) high.back().coefficient /= unit;
    }
    int64_t q = floor_quotient(rest.constant(), unit);
    Digits d{unit, Index::of_terms(q, std::move(high)), Index::of_terms(rest.constant() - q * unit, std::move(low))};
    Range r = d.low.range(range_of);
    if (!bounded(r.lo) || !bounded(r.hi)) continue;
    int64_t carry = floor_quotient(r.lo, unit);
    if (carry != floor_quotient(r.hi, unit)) continue;
    d.high = d.high + carry;
    d.low = d.low - carry * unit;
    return d;
  }
  return {};
}

/// Set where every value of `rest` has the same quotient.
bool one_quotient(const Index& rest, int64_t divisor, const RangeOf& range_of, int64_t& quotient) {
  Range r = rest.range(range_of);
  if (!bounded(r.lo) || !bounded(r.hi)) return false;
  quotient = floor_quotient(r.lo, divisor);
  return quotient == floor_quotient(r.hi, divisor);
}

}  // namespace

Index Index::variable(int id) { return of_term({1, Kind::variable, id, nullptr, 1}); }

Index Index::of_term(Term term) {
  Index e;
  if (term.coefficient != 0) e.terms_.push_back(std::move(term));
  return e;
}

Index Index::of_terms(int64_t constant, std::vector<Term> sorted) {
  Index e(constant);
  e.terms_ = std::move(sorted);
  if (e.terms_.size() > 1 && e.terms_.back().kind == Kind::mod) e.fold_mods();
  return e;
}

Index operator+(const Index& a, const Index& b) {
  if (a.terms_.size() < b.terms_.size()) return b + a;
  Index r;
  r.constant_ = a.constant_ + b.constant_;
  if (b.terms_.empty()) {
    r.terms_ = a.terms_;
    return r;
  }
  r.terms_.reserve(a.terms_.size() + b.terms_.size());
  auto i = a.terms_.begin();
  auto j = b.terms_.begin();
  while (i != a.terms_.end() && j != b.terms_.end()) {
    int c = compare_keys(*i, *j);
    if (c < 0) {
      r.terms_.push_back(*i++);
    } else if (c > 0) {
      r.terms_.push_back(*j++);
    } else {
      if (int64_t sum = i->coefficient + j->coefficient) {
        r.terms_.push_back(*i);
        r.terms_.back().coefficient = sum;
      }
      i++, j++;
    }
  }
  r.terms_.insert(r.terms_.end(), i, a.terms_.end());
  r.terms_.insert(r.terms_.end(), j, b.terms_.end());
  if (r.terms_.size() > 1 && r.terms_.back().kind == Kind::mod) r.fold_mods();
  return r;
}

/// k·mod(e, c) + k·c·floordiv(e, c) = k·e, and k·mod(e, c) + k·c·mod(floordiv(e, c), d) = k·mod(e, c·d).
void Index::fold_mods() {
  for (size_t i = terms_.size(); i-- > 0 && terms_[i].kind == Kind::mod;) {
    const Term low = terms_[i];
    const Term quotient = quotient_term(low.argument, low.divisor);
    for (size_t j = 0; j < terms_.size(); j++) {
      const Term high = terms_[j];
      if (high.kind == Kind::variable || high.coefficient != low.coefficient * low.divisor) continue;
      bool is_quotient = compare_keys(high, quotient) == 0;
      const Term* inner = high.kind == Kind::mod ? sole_term(*high.argument) : nullptr;
      if (!is_quotient && !(inner && compare_keys(*inner, quotient) == 0)) continue;
      terms_.erase(terms_.begin() + static_cast<std::ptrdiff_t>(std::max(i, j)));
      terms_.erase(terms_.begin() + static_cast<std::ptrdiff_t>(std::min(i, j)));
      Index sum = is_quotient ? *low.argument * low.coefficient
                              : of_term({low.coefficient, Kind::mod, -1, low.argument, low.divisor * high.divisor});
      *this = *this + sum;
      return;  // the sum has folded what is left
    }
  }
}

Index operator*(const Index& a, int64_t factor) {
  if (factor == 0) return 0;
  Index r = a;
  r.constant_ *= factor;
  for (Term& t : r.terms_) t.coefficient *= factor;
  return r;
}

Index operator-(const Index& a, const Index& b) { return a + b * -1; }
bool operator==(const Index& a, const Index& b) { return compare(a, b) == 0; }
bool operator<(const Index& a, const Index& b) { return compare(a, b) < 0; }

Index floordiv(const Index& e, int64_t divisor, const RangeOf& range_of) {
  RT_CHECK(divisor > 0, "division of an index by {}", divisor);
  if (divisor == 1) return e;
  int64_t quotient = 0;
  if (one_quotient(e, divisor, range_of, quotient)) return quotient;
  auto [whole, rest] = split(e, divisor);
  if (rest.is_constant()) return whole;
  if (one_quotient(rest, divisor, range_of, quotient)) return whole + quotient;
  if (Digits d = find_digits(rest, divisor, range_of); d.unit != 0) {
    return whole + floordiv(d.high, divisor / d.unit, range_of);
  }
  if (const Term* t = sole_term(rest)) {
    if (t->kind == Kind::floordiv) return whole + floordiv(*t->argument, t->divisor * divisor, range_of);
    if (t->kind == Kind::mod && t->divisor % divisor == 0) {
      return whole + mod(floordiv(*t->argument, divisor, range_of), t->divisor / divisor, range_of);
    }
  }
  return whole + Index::of_term({1, Kind::floordiv, -1, std::make_shared<const Index>(std::move(rest)), divisor});
}

Index mod(const Index& e, int64_t divisor, const RangeOf& range_of) {
  RT_CHECK(divisor > 0, "index modulo {}", divisor);
  if (divisor == 1) return 0;
  int64_t quotient = 0;
  if (one_quotient(e, divisor, range_of, quotient)) return e - quotient * divisor;
  Index rest = split(e, divisor).rest;
  if (rest.is_constant()) return rest;
  if (one_quotient(rest, divisor, range_of, quotient)) return rest - quotient * divisor;
  if (Digits d = find_digits(rest, divisor, range_of); d.unit != 0) {
    return mod(d.high, divisor / d.unit, range_of) * d.unit + d.low;
  }
  const Term* t = sole_term(rest);
  if (t && t->kind == Kind::mod && t->divisor % divisor == 0) return mod(*t->argument, divisor, range_of);
  return Index::of_term({1, Kind::mod, -1, std::make_shared<const Index>(std::move(rest)), divisor});
}

Index simplify(const Index& e, const RangeOf& range_of) {
  Index r = e.constant_;
  for (const Term& t : e.terms_) {
    switch (t.kind) {
      case Kind::variable: {
        Range range = range_of(t.variable);
        r = r + (range.lo == range.hi ? Index(range.lo * t.coefficient) : Index::of_term(t));
        break;
      }
      case Kind::floordiv:
        r = r + floordiv(simplify(*t.argument, range_of), t.divisor, range_of) * t.coefficient;
        break;
      case Kind::mod: r = r + mod(simplify(*t.argument, range_of), t.divisor, range_of) * t.coefficient; break;
    }
  }
  return r;
}

Index Index::substitute(const std::function<Index(int variable)>& value) const {
  Index r = constant_;
  for (const Term& t : terms_) {
    switch (t.kind) {
      case Kind::variable: r = r + value(t.variable) * t.coefficient; break;
      case Kind::floordiv: r = r + floordiv(t.argument->substitute(value), t.divisor, unbounded) * t.coefficient; break;
      case Kind::mod: r = r + mod(t.argument->substitute(value), t.divisor, unbounded) * t.coefficient; break;
    }
  }
  return r;
}

Range Index::range(const RangeOf& range_of) const {
  __int128 lo = constant_, hi = constant_;
  for (const Term& t : terms_) {
    Range r = t.kind == Kind::variable ? range_of(t.variable) : t.argument->range(range_of);
    if (t.kind == Kind::floordiv) {
      if (bounded(r.lo)) r.lo = floor_quotient(r.lo, t.divisor);
      if (bounded(r.hi)) r.hi = floor_quotient(r.hi, t.divisor);
    } else if (t.kind == Kind::mod) {
      bool same_block =
          bounded(r.lo) && bounded(r.hi) && floor_quotient(r.lo, t.divisor) == floor_quotient(r.hi, t.divisor);
      int64_t base = same_block ? floor_quotient(r.lo, t.divisor) * t.divisor : 0;
      r = same_block ? Range{r.lo - base, r.hi - base} : Range{0, t.divisor - 1};
    }
    bool up = t.coefficient > 0;
    int64_t low = up ? r.lo : r.hi, high = up ? r.hi : r.lo;
    // An end without bound stays so whatever is added to it later.
    lo = bounded(low) && lo > -kUnbounded ? lo + static_cast<__int128>(low) * t.coefficient : -kUnbounded;
    hi = bounded(high) && hi < kUnbounded ? hi + static_cast<__int128>(high) * t.coefficient : kUnbounded;
  }
  return {clamp(lo), clamp(hi)};
}

int64_t Index::coefficient(int variable) const {
  for (const Term& t : terms_) {
    if (t.kind != Kind::variable || t.variable > variable) return 0;
    if (t.variable == variable) return t.coefficient;
  }
  return 0;
}

bool Index::appears_inside(int variable) const {
  for (const Term& t : terms_) {
    if (t.kind != Kind::variable && t.argument->uses(variable)) return true;
  }
  return false;
}

void Index::collect_variables(std::vector<int>& out) const {
  for (const Term& t : terms_) {
    if (t.kind != Kind::variable) {
      t.argument->collect_variables(out);
    } else if (std::find(out.begin(), out.end(), t.variable) == out.end()) {
      out.push_back(t.variable);
    }
  }
}

std::string Index::to_string(const std::function<std::string(int variable)>& name) const {
  std::string s;
  for (const Term& t : terms_) {
    int64_t c = t.coefficient;
    if (!s.empty() || c < 0) s += c < 0 ? '-' : '+';
    if (c < -1 || c > 1) s += std::to_string(c < 0 ? -c : c) + '*';
    if (t.kind == Kind::variable) {
      s += name(t.variable);
      continue;
    }
    std::string inner = t.argument->to_string(name);
    const Term* sole = sole_term(*t.argument);
    if (!sole || sole->kind != Kind::variable) inner = '(' + inner + ')';
    std::string text = inner + (t.kind == Kind::mod ? '%' : '/') + std::to_string(t.divisor);
    s += c == 1 ? text : '(' + text + ')';
  }
  if (s.empty()) return std::to_string(constant_);
  if (constant_ > 0) s += '+';
  if (constant_ != 0) s += std::to_string(constant_);
  return s;
}

int64_t Index::evaluate(const std::function<int64_t(int variable)>& value) const {
  int64_t r = constant_;
  for (const Term& t : terms_) {
    if (t.kind == Kind::variable) {
      r += t.coefficient * value(t.variable);
      continue;
    }
    int64_t a = t.argument->evaluate(value);
    int64_t q = floor_quotient(a, t.divisor);
    r += t.coefficient * (t.kind == Kind::floordiv ? q : a - q * t.divisor);
  }
  return r;
}

}  // namespace rooftune::kernel
