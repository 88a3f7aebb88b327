// A Dim is a polynomial with integer coefficients over atoms: symbols and the non-polynomial functions floordiv, mod,
// max and min of polynomials. Terms are sorted, so equal polynomials have equal representations.
#include "ir/dim.h"

#include <algorithm>

#include "base/error.h"
#include "ir/scanner.h"

namespace rooftune::ir {
namespace {

// An expression beyond these comes from a hostile or broken model, not from shapes anybody computes with.
constexpr size_t kMostTerms = 1024;
constexpr size_t kMostFactors = 64;
constexpr int kMostNesting = 64;
constexpr int64_t kLowest = INT64_MIN;  // stands for minus infinity as kUnbounded does for infinity

[[noreturn]] void overflow() { throw InputError("a dimension overflows 64-bit integers"); }

int64_t add(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_add_overflow(a, b, &r)) overflow();
  return r;
}

int64_t mul(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_mul_overflow(a, b, &r)) overflow();
  return r;
}

int64_t div_floor(int64_t a, int64_t b) {
  if (b == -1) return mul(a, -1);
  return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

int64_t mod_floor(int64_t a, int64_t b) { return b == -1 ? 0 : a - div_floor(a, b) * b; }

int64_t saturate(__int128 v) {
  if (v >= INT64_MAX) return INT64_MAX;
  return v <= INT64_MIN ? INT64_MIN : static_cast<int64_t>(v);
}

bool infinite(int64_t v) { return v == INT64_MAX || v == INT64_MIN; }

int64_t bound_add(int64_t a, int64_t b) {
  if (infinite(a)) return a;
  return infinite(b) ? b : saturate(static_cast<__int128>(a) + b);
}

struct Interval {
  int64_t lo = 0, hi = 0;
};

Interval interval_mul(Interval a, Interval b) {
  const auto product = [](int64_t x, int64_t y) -> int64_t {
    if (x == 0 || y == 0) return 0;
    if (infinite(x) || infinite(y)) return (x < 0) == (y < 0) ? INT64_MAX : INT64_MIN;
    return saturate(static_cast<__int128>(x) * y);
  };
  const std::initializer_list<int64_t> all = {product(a.lo, b.lo), product(a.lo, b.hi), product(a.hi, b.lo),
                                              product(a.hi, b.hi)};
  return {std::min(all), std::max(all)};
}

int64_t bound_div(int64_t a, int64_t b) {  // b > 0
  if (infinite(a)) return a;
  return b == INT64_MAX ? (a < 0 ? -1 : 0) : div_floor(a, b);
}

struct Atom {
  enum class Kind : uint8_t { symbol, floordiv, mod, max, min } kind;
  std::string name;  // of a symbol
  Interval bounds;
  Dim a, b;  // of a function
  int nesting = 0;
};
using Factor = std::shared_ptr<const Atom>;

struct Term {
  std::vector<Factor> factors;  // sorted; not empty
  int64_t coefficient;
};

}  // namespace

struct Dim::Expr {
  std::vector<Term> terms;  // sorted by factors, coefficients not 0; not empty
  int64_t constant = 0;
  Interval bounds;
  int nesting = 0;
};

namespace {

struct Polynomial {
  std::vector<Term> terms;
  int64_t constant = 0;
};

int compare(const Dim& a, const Dim& b);

int compare(const Factor& a, const Factor& b) {
  if (a == b) return 0;
  if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
  if (a->kind == Atom::Kind::symbol) return a->name.compare(b->name);
  const int c = compare(a->a, b->a);
  return c != 0 ? c : compare(a->b, b->b);
}

/// Lexicographic by factor, a longer product before its prefix: leading terms come first, as long division wants.
int compare(const std::vector<Factor>& a, const std::vector<Factor>& b) {
  for (size_t i = 0; i < a.size() && i < b.size(); ++i)
    if (const int c = compare(a[i], b[i]); c != 0) return c;
  return a.size() == b.size() ? 0 : (a.size() > b.size() ? -1 : 1);
}

}  // namespace

/// The door between Dim and its representation for the functions of this file.
struct DimAccess {
  static const Dim::Expr* expr(const Dim& d) { return d.expr_.get(); }
  static Polynomial polynomial(const Dim& d) {
    if (!d.expr_) return {{}, d.value_};
    return {d.expr_->terms, d.expr_->constant};
  }
  static Dim make(Polynomial p) {
    if (p.terms.empty()) return Dim(p.constant);
    if (p.terms.size() > kMostTerms) throw InputError("a dimension has more than {} terms", kMostTerms);
    auto expr = std::make_shared<Dim::Expr>();
    expr->bounds = {p.constant, p.constant};
    for (const Term& t : p.terms) {
      Interval product{t.coefficient, t.coefficient};
      for (const Factor& f : t.factors) {
        product = interval_mul(product, f->bounds);
        expr->nesting = std::max(expr->nesting, f->nesting);
      }
      expr->bounds = {bound_add(expr->bounds.lo, product.lo), bound_add(expr->bounds.hi, product.hi)};
    }
    expr->terms = std::move(p.terms);
    expr->constant = p.constant;
    return Dim(std::shared_ptr<const Dim::Expr>(std::move(expr)));
  }
  static Dim atom(Atom a) {
    if (a.kind != Atom::Kind::symbol) {
      for (const Dim* d : {&a.a, &a.b})
        if (const Dim::Expr* e = expr(*d)) a.nesting = std::max(a.nesting, e->nesting);
      if (++a.nesting > kMostNesting) throw InputError("a dimension is nested more than {} deep", kMostNesting);
    }
    Polynomial p;
    p.terms.push_back({{std::make_shared<const Atom>(std::move(a))}, 1});
    return make(std::move(p));
  }
};

namespace {

int compare(const Dim& a, const Dim& b) {
  const Dim::Expr* x = DimAccess::expr(a);
  const Dim::Expr* y = DimAccess::expr(b);
  if (!x || !y) {
    if (!x && !y) return a.value() < b.value() ? -1 : a.value() > b.value();
    return x ? 1 : -1;
  }
  if (x == y) return 0;
  for (size_t i = 0; i < x->terms.size() && i < y->terms.size(); ++i) {
    if (const int c = compare(x->terms[i].factors, y->terms[i].factors); c != 0) return c;
    if (x->terms[i].coefficient != y->terms[i].coefficient)
      return x->terms[i].coefficient < y->terms[i].coefficient ? -1 : 1;
  }
  if (x->terms.size() != y->terms.size()) return x->terms.size() < y->terms.size() ? -1 : 1;
  return x->constant < y->constant ? -1 : x->constant > y->constant;
}

/// a + factor * b, both sorted.
Polynomial combine(const Polynomial& a, const Polynomial& b, int64_t factor) {
  Polynomial out;
  out.constant = add(a.constant, mul(b.constant, factor));
  auto i = a.terms.begin();
  auto j = b.terms.begin();
  while (i != a.terms.end() || j != b.terms.end()) {
    const int c = i == a.terms.end() ? 1 : j == b.terms.end() ? -1 : compare(i->factors, j->factors);
    Term t = c <= 0 ? *i : Term{j->factors, 0};
    if (c >= 0) t.coefficient = add(t.coefficient, mul(j->coefficient, factor));
    if (t.coefficient != 0) out.terms.push_back(std::move(t));
    i += c <= 0;
    j += c >= 0;
  }
  return out;
}

std::vector<Factor> merged(const std::vector<Factor>& a, const std::vector<Factor>& b) {
  std::vector<Factor> out;
  std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out),
             [](const Factor& x, const Factor& y) { return compare(x, y) < 0; });
  if (out.size() > kMostFactors) throw InputError("a dimension is a product of more than {} factors", kMostFactors);
  return out;
}

/// p times one term (of possibly no factors). Multiplying by a term does not keep the order in general.
Polynomial times(const Polynomial& p, const Term& t) {
  Polynomial out;
  if (t.factors.empty()) out.constant = mul(p.constant, t.coefficient);
  else if (p.constant != 0) out.terms.push_back({t.factors, mul(p.constant, t.coefficient)});
  for (const Term& s : p.terms) out.terms.push_back({merged(s.factors, t.factors), mul(s.coefficient, t.coefficient)});
  std::sort(out.terms.begin(), out.terms.end(),
            [](const Term& x, const Term& y) { return compare(x.factors, y.factors) < 0; });
  return out;
}

/// `whole` without the factors of `part`; nothing where it does not have them all.
std::optional<std::vector<Factor>> without(const std::vector<Factor>& whole, const std::vector<Factor>& part) {
  std::vector<Factor> rest;
  size_t j = 0;
  for (const Factor& f : whole) {
    if (j < part.size() && compare(f, part[j]) == 0) ++j;
    else rest.push_back(f);
  }
  if (j < part.size()) return std::nullopt;
  return rest;
}

/// a / b where the division leaves no remainder, by long division.
std::optional<Polynomial> exact_quotient(Polynomial a, const Polynomial& b) {
  Polynomial quotient;
  const Term lead = b.terms.empty() ? Term{{}, b.constant} : b.terms.front();
  for (int step = 0; step < 64; ++step) {
    if (a.terms.empty() && a.constant == 0) return quotient;
    const Term top = a.terms.empty() ? Term{{}, a.constant} : a.terms.front();
    auto rest = without(top.factors, lead.factors);
    if (!rest || mod_floor(top.coefficient, lead.coefficient) != 0) return std::nullopt;
    const Term t{std::move(*rest), div_floor(top.coefficient, lead.coefficient)};
    Polynomial addend;
    if (t.factors.empty()) addend.constant = t.coefficient;
    else addend.terms.push_back(t);
    quotient = combine(quotient, addend, 1);
    a = combine(a, times(b, t), -1);
  }
  return std::nullopt;
}

/// The only factor of an expression that is "atom + constant", of the given kind; null otherwise.
const Atom* lone_atom(const Polynomial& p, Atom::Kind kind) {
  if (p.terms.size() != 1 || p.terms[0].coefficient != 1 || p.terms[0].factors.size() != 1) return nullptr;
  const Atom* a = p.terms[0].factors[0].get();
  return a->kind == kind ? a : nullptr;
}

Dim extreme(Atom::Kind kind, const Dim& a, const Dim& b) {
  const bool largest = kind == Atom::Kind::max;
  const Dim difference = a - b;
  if (difference.min() >= 0) return largest ? a : b;
  if (difference.max() <= 0) return largest ? b : a;
  const bool swap = compare(a, b) > 0;
  const auto pick = [largest](int64_t x, int64_t y) { return largest ? std::max(x, y) : std::min(x, y); };
  return DimAccess::atom({kind, "", {pick(a.min(), b.min()), pick(a.max(), b.max())}, swap ? b : a, swap ? a : b});
}

}  // namespace

Dim::Dim(int64_t value) : value_(value) {}
Dim::Dim(std::shared_ptr<const Expr> expr) : expr_(std::move(expr)) {}

Dim Dim::symbol(std::string name, int64_t min, int64_t max) {
  if (min > max) throw InputError("dimension {}: its bounds {}..{} are empty", name, min, max);
  if (min == max) return Dim(min);
  return DimAccess::atom({Atom::Kind::symbol, std::move(name), {min, max}});
}

bool Dim::is_static() const { return expr_ == nullptr; }

int64_t Dim::value() const {
  RT_CHECK(is_static(), "the dimension {} is symbolic", to_string());
  return value_;
}

int64_t Dim::min() const { return expr_ ? expr_->bounds.lo : value_; }
int64_t Dim::max() const { return expr_ ? expr_->bounds.hi : value_; }

std::vector<std::string> Dim::symbols() const {
  std::vector<std::string> out;
  if (!expr_) return out;
  for (const Term& t : expr_->terms) {
    for (const Factor& f : t.factors) {
      if (f->kind == Atom::Kind::symbol) {
        out.push_back(f->name);
        continue;
      }
      for (const Dim* d : {&f->a, &f->b})
        for (std::string& s : d->symbols()) out.push_back(std::move(s));
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Dim Dim::substitute(const std::map<std::string, Dim>& values) const {
  if (!expr_) return *this;
  Dim sum(expr_->constant);
  for (const Term& t : expr_->terms) {
    Dim product(t.coefficient);
    for (const Factor& f : t.factors) {
      if (f->kind == Atom::Kind::symbol) {
        const auto it = values.find(f->name);
        product = product * (it != values.end() ? it->second : Dim::symbol(f->name, f->bounds.lo, f->bounds.hi));
        continue;
      }
      const Dim a = f->a.substitute(values), b = f->b.substitute(values);
      switch (f->kind) {
        case Atom::Kind::floordiv: product = product * floordiv(a, b); break;
        case Atom::Kind::mod: product = product * mod(a, b); break;
        case Atom::Kind::max: product = product * ir::max(a, b); break;
        default: product = product * ir::min(a, b); break;
      }
    }
    sum = sum + product;
  }
  return sum;
}

Dim operator+(const Dim& a, const Dim& b) {
  if (!a.expr_ && !b.expr_) return Dim(add(a.value_, b.value_));
  return DimAccess::make(combine(DimAccess::polynomial(a), DimAccess::polynomial(b), 1));
}

Dim operator-(const Dim& a, const Dim& b) {
  if (!a.expr_ && !b.expr_) return Dim(add(a.value_, mul(b.value_, -1)));
  return DimAccess::make(combine(DimAccess::polynomial(a), DimAccess::polynomial(b), -1));
}

Dim operator*(const Dim& a, const Dim& b) {
  if (!a.expr_ && !b.expr_) return Dim(mul(a.value_, b.value_));
  const Polynomial p = DimAccess::polynomial(a), q = DimAccess::polynomial(b);
  if (p.terms.size() * q.terms.size() > kMostTerms) throw InputError("a dimension has more than {} terms", kMostTerms);
  Polynomial sum;
  if (q.constant != 0) sum = times(p, {{}, q.constant});
  for (const Term& t : q.terms) sum = combine(sum, times(p, t), 1);
  return DimAccess::make(std::move(sum));
}

Dim floordiv(const Dim& a, const Dim& b) {
  if (b == Dim(0)) throw InputError("a dimension is divided by zero");
  if (!a.expr_ && !b.expr_) return Dim(div_floor(a.value_, b.value_));
  Polynomial p = DimAccess::polynomial(a);
  if (auto quotient = exact_quotient(p, DimAccess::polynomial(b))) return DimAccess::make(std::move(*quotient));
  if (b.expr_ || b.value_ < 0) {
    Interval bounds{kLowest, Dim::kUnbounded};
    if (a.min() >= 0 && b.min() > 0) bounds = {bound_div(a.min(), b.max()), bound_div(a.max(), b.min())};
    return DimAccess::atom({Atom::Kind::floordiv, "", bounds, a, b});
  }
  // By a positive constant c: whole multiples of c come out, floor((floor(x / d) + k) / c) = floor((x + k d) / (c d)).
  const int64_t c = b.value_;
  if (const Atom* inner = lone_atom(p, Atom::Kind::floordiv); inner && inner->b.is_static() && inner->b.value() > 0)
    return floordiv(inner->a + Dim(mul(p.constant, inner->b.value())), Dim(mul(c, inner->b.value())));
  Polynomial whole, rest;
  whole.constant = div_floor(p.constant, c);
  rest.constant = mod_floor(p.constant, c);
  for (Term& t : p.terms) {
    const int64_t q = div_floor(t.coefficient, c), r = mod_floor(t.coefficient, c);
    if (q != 0) whole.terms.push_back({t.factors, q});
    if (r != 0) rest.terms.push_back({std::move(t.factors), r});
  }
  const bool split = !whole.terms.empty() || whole.constant != 0;
  const Dim out = DimAccess::make(std::move(whole)), inside = DimAccess::make(std::move(rest));
  if (split) return out + floordiv(inside, b);
  const int64_t lo = bound_div(inside.min(), c), hi = bound_div(inside.max(), c);
  if (lo == hi) return Dim(lo);
  return DimAccess::atom({Atom::Kind::floordiv, "", {lo, hi}, inside, b});
}

Dim ceildiv(const Dim& a, const Dim& b) {
  if (auto quotient = b == Dim(0) ? std::nullopt : exact_quotient(DimAccess::polynomial(a), DimAccess::polynomial(b)))
    return DimAccess::make(std::move(*quotient));
  if (b.max() < 0) return floordiv(Dim(0) - a + (Dim(0) - b) - Dim(1), Dim(0) - b);
  return floordiv(a + b - Dim(1), b);
}

Dim mod(const Dim& a, const Dim& b) {
  if (b == Dim(0)) throw InputError("a dimension is divided by zero");
  if (!a.expr_ && !b.expr_) return Dim(mod_floor(a.value_, b.value_));
  Polynomial p = DimAccess::polynomial(a);
  if (exact_quotient(p, DimAccess::polynomial(b))) return Dim(0);
  if (b.expr_ || b.value_ < 0) {
    Interval bounds{kLowest, Dim::kUnbounded};
    if (b.min() > 0) bounds = {0, infinite(b.max()) ? b.max() : b.max() - 1};
    return DimAccess::atom({Atom::Kind::mod, "", bounds, a, b});
  }
  Polynomial rest;
  rest.constant = mod_floor(p.constant, b.value_);
  for (Term& t : p.terms)
    if (const int64_t r = mod_floor(t.coefficient, b.value_); r != 0) rest.terms.push_back({std::move(t.factors), r});
  const Dim inside = DimAccess::make(std::move(rest));
  if (inside.min() >= 0 && inside.max() < b.value_) return inside;
  return DimAccess::atom({Atom::Kind::mod, "", {0, b.value_ - 1}, inside, b});
}

Dim max(const Dim& a, const Dim& b) { return extreme(Atom::Kind::max, a, b); }
Dim min(const Dim& a, const Dim& b) { return extreme(Atom::Kind::min, a, b); }

bool operator==(const Dim& a, const Dim& b) {
  if (!a.expr_ && !b.expr_) return a.value_ == b.value_;
  return compare(a, b) == 0;
}

namespace {

const char* function_name(Atom::Kind kind) {
  switch (kind) {
    case Atom::Kind::floordiv: return "floordiv";
    case Atom::Kind::mod: return "mod";
    case Atom::Kind::max: return "max";
    default: return "min";
  }
}

std::string print(const Atom& a) {
  if (a.kind != Atom::Kind::symbol)
    return fmt::format("{}({}, {})", function_name(a.kind), a.a.to_string(), a.b.to_string());
  // A symbol is a word, so that operators and digits cannot be mistaken for parts of it.
  bool plain = !a.name.empty() && !(a.name[0] >= '0' && a.name[0] <= '9') && a.name[0] != '.';
  plain = plain && is_plain_name(a.name) && a.name.find_first_of("/-") == std::string::npos;
  std::string out = plain ? a.name : quote(a.name);
  if (a.bounds.lo != 0 || a.bounds.hi != Dim::kUnbounded)
    out += a.bounds.hi == Dim::kUnbounded ? fmt::format("{{{}..}}", a.bounds.lo)
                                          : fmt::format("{{{}..{}}}", a.bounds.lo, a.bounds.hi);
  return out;
}

Dim parse_sum(Scanner& scanner);

Dim parse_symbol(Scanner& scanner) {
  const std::string name = scanner.next_is_quoted() ? scanner.quoted() : scanner.word();
  if (!scanner.accept("{")) return Dim::symbol(name);
  const int64_t lo = scanner.integer();
  scanner.expect("..");
  const int64_t hi = scanner.peek() == '}' ? Dim::kUnbounded : scanner.integer();
  scanner.expect("}");
  return Dim::symbol(name, lo, hi);
}

Dim parse_factor(Scanner& scanner) {
  const Scanner::Nested nested(scanner);
  const char c = scanner.peek();
  if (c >= '0' && c <= '9') return Dim(scanner.integer());
  if (scanner.accept("-")) return Dim(0) - parse_factor(scanner);
  if (scanner.accept("(")) {
    const Dim d = parse_sum(scanner);
    scanner.expect(")");
    return d;
  }
  using Function = Dim (*)(const Dim&, const Dim&);
  constexpr std::pair<std::string_view, Function> kFunctions[] = {
      {"floordiv(", floordiv}, {"ceildiv(", ceildiv}, {"mod(", mod}, {"max(", max}, {"min(", min}};
  for (const auto& [name, function] : kFunctions) {
    if (!scanner.accept(name)) continue;
    const Dim a = parse_sum(scanner);
    scanner.expect(",");
    const Dim b = parse_sum(scanner);
    scanner.expect(")");
    return function(a, b);
  }
  return parse_symbol(scanner);
}

Dim parse_product(Scanner& scanner) {
  Dim d = parse_factor(scanner);
  while (scanner.accept("*")) d = d * parse_factor(scanner);
  return d;
}

Dim parse_sum(Scanner& scanner) {
  Dim d = parse_product(scanner);
  while (true) {
    if (scanner.accept("+")) d = d + parse_product(scanner);
    else if (scanner.accept("-")) d = d - parse_product(scanner);
    else return d;
  }
}

}  // namespace

Dim parse_dim(Scanner& scanner) { return parse_sum(scanner); }

Dim Dim::parse(std::string_view text) {
  Scanner scanner(text);
  const Dim d = parse_dim(scanner);
  if (!scanner.at_end()) scanner.fail("expected the end of the dimension");
  return d;
}

std::string Dim::to_string() const {
  if (!expr_) return std::to_string(value_);
  std::string out;
  for (const Term& t : expr_->terms) {
    std::string product;
    if (t.coefficient != 1 && t.coefficient != -1) {
      product = std::to_string(t.coefficient);
      if (t.coefficient < 0) product.erase(0, 1);
    }
    for (const Factor& f : t.factors) product += (product.empty() ? "" : "*") + print(*f);
    out += out.empty() ? (t.coefficient < 0 ? "-" : "") : (t.coefficient < 0 ? " - " : " + ");
    out += product;
  }
  if (expr_->constant > 0) out += " + " + std::to_string(expr_->constant);
  if (expr_->constant < 0) out += " - " + std::to_string(expr_->constant).substr(1);
  return out;
}

size_t Dim::hash() const {  // of what == compares; the bounds of symbols do not count
  if (!expr_) return static_cast<size_t>(value_) * 0x9e3779b97f4a7c15u;
  size_t h = static_cast<size_t>(expr_->constant);
  const auto mix = [&h](size_t v) { h = (h ^ v) * 0x9e3779b97f4a7c15u + (h >> 29); };
  for (const Term& t : expr_->terms) {
    mix(static_cast<size_t>(t.coefficient));
    for (const Factor& f : t.factors) {
      mix(static_cast<size_t>(f->kind));
      mix(f->kind == Atom::Kind::symbol ? std::hash<std::string>()(f->name) : f->a.hash() * 31 + f->b.hash());
    }
  }
  return h;
}

bool is_static(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_static(); });
}

int64_t element_count(const Shape& shape) {
  Dim n(1);
  for (const Dim& d : shape) n = n * Dim(d.value());
  return n.value();
}

std::vector<int64_t> static_values(const Shape& shape) {
  std::vector<int64_t> out;
  for (const Dim& d : shape) out.push_back(d.value());
  return out;
}

Shape to_shape(const std::vector<int64_t>& values) { return {values.begin(), values.end()}; }

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? "," : "") + shape[i].to_string();
  return out + "]";
}

}  // namespace rooftune::ir
