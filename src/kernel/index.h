// Integer index expressions: constant + Σ coefficient · term, where a term is a variable, floordiv(e, c) or mod(e, c).
// They address tensors in stages (variables are the stage's axes) and in generated code (variables are loop counters).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rooftune::kernel {

struct Range {  // inclusive
  int64_t lo = 0;
  int64_t hi = 0;
};
using RangeOf = std::function<Range(int variable)>;
inline constexpr int64_t kUnbounded = int64_t{1} << 62;  // a bound of this size (or of minus this size) is none

class Index {
 public:
  struct Term;

  Index(int64_t constant = 0);  // NOLINT: an integer is an Index
  static Index variable(int id);
  static Index of_term(Term term);                                    // as it is, not simplified
  static Index of_terms(int64_t constant, std::vector<Term> sorted);  // each key once, no coefficient 0

  int64_t constant() const { return constant_; }
  bool is_constant() const { return terms_.empty(); }
  const std::vector<Term>& terms() const { return terms_; }

  friend Index operator+(const Index& a, const Index& b);
  friend Index operator-(const Index& a, const Index& b);
  friend Index operator*(const Index& a, int64_t factor);
  friend bool operator==(const Index& a, const Index& b);
  friend bool operator<(const Index& a, const Index& b);  // a total order, for canonical forms

  /// Replaces each variable by an expression.
  Index substitute(const std::function<Index(int variable)>& value) const;
  /// Smallest and largest value when variables lie in their ranges (exact for linear expressions, else an enclosure).
  Range range(const RangeOf& range_of) const;
  /// The coefficient of a variable in the linear part; `appears_inside` says whether it also stands in a div or mod.
  int64_t coefficient(int variable) const;
  bool appears_inside(int variable) const;
  bool uses(int variable) const { return coefficient(variable) != 0 || appears_inside(variable); }
  void collect_variables(std::vector<int>& out) const;

  std::string to_string(const std::function<std::string(int variable)>& name) const;
  int64_t evaluate(const std::function<int64_t(int variable)>& value) const;

 private:
  friend Index floordiv(const Index& e, int64_t divisor, const RangeOf& range_of);
  friend Index mod(const Index& e, int64_t divisor, const RangeOf& range_of);
  friend Index simplify(const Index& e, const RangeOf& range_of);
  void fold_mods();
  int64_t constant_ = 0;
  std::vector<Term> terms_;  // sorted, coefficients not 0
};

struct Index::Term {
  enum class Kind : uint8_t { variable, floordiv, mod };
  int64_t coefficient = 1;
  Kind kind = Kind::variable;
  int variable = -1;                      // of a variable
  std::shared_ptr<const Index> argument;  // of floordiv and mod
  int64_t divisor = 1;
};

inline Index::Index(int64_t constant) : constant_(constant) {}  // here, where Term is complete

/// floor(e / divisor) and e mod divisor (result in [0, divisor)), simplified by what `range_of` proves:
/// (16 a + b) / 16 = a where 0 <= b < 16; W · (m / W) + m mod W = m is folded by `+`.
Index floordiv(const Index& e, int64_t divisor, const RangeOf& range_of);
Index mod(const Index& e, int64_t divisor, const RangeOf& range_of);
/// Simplifies every div and mod inside again, after a substitution or with better ranges.
Index simplify(const Index& e, const RangeOf& range_of);

}  // namespace rooftune::kernel
