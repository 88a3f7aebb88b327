// A dimension: an integer, or an expression over named symbols with bounds ("batch", "seq + 1", "4 * seq").
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::ir {

/// Immutable value. Arithmetic simplifies: constants fold, and a sum is kept as a sorted linear combination, so two
/// equal polynomials compare equal and print alike. A symbol is known by its name alone. What overflows 64 bits, or is
/// larger than any shape computation needs, is an InputError. Every Dim has bounds [min, max] derived from those of its symbols.
class Dim {
 public:
  static constexpr int64_t kUnbounded = INT64_MAX;

  Dim() : Dim(0) {}
  Dim(int64_t value);  // NOLINT: an integer is a Dim
  static Dim symbol(std::string name, int64_t min = 0, int64_t max = kUnbounded);

  bool is_static() const;
  int64_t value() const;  // InternalError unless is_static()
  int64_t min() const;
  int64_t max() const;
  std::vector<std::string> symbols() const;

  /// The Dim with symbols replaced; symbols that are not in the map stay.
  Dim substitute(const std::map<std::string, Dim>& values) const;

  /// "4*seq + 1", "floordiv(H + 1, 2)"; bounds other than 0.. are shown as "batch{1..8}". Parses back.
  std::string to_string() const;
  static Dim parse(std::string_view text);  // InputError on a malformed expression
  size_t hash() const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  friend Dim floordiv(const Dim& a, const Dim& b);
  friend Dim ceildiv(const Dim& a, const Dim& b);
  friend Dim mod(const Dim& a, const Dim& b);
  friend Dim max(const Dim& a, const Dim& b);
  friend Dim min(const Dim& a, const Dim& b);
  friend bool operator==(const Dim& a, const Dim& b);  // structural, after simplification

  struct Expr;  // private representation

 private:
  friend struct DimAccess;
  explicit Dim(std::shared_ptr<const Expr> expr);
  std::shared_ptr<const Expr> expr_;  // null: the constant value_
  int64_t value_ = 0;
};

Dim floordiv(const Dim& a, const Dim& b);  // InputError where b is 0, as for ceildiv and mod; rounds down, also
Dim ceildiv(const Dim& a, const Dim& b);   // below zero
Dim mod(const Dim& a, const Dim& b);       // has the sign of b
Dim max(const Dim& a, const Dim& b);
Dim min(const Dim& a, const Dim& b);

using Shape = std::vector<Dim>;

bool is_static(const Shape& shape);
/// Element count of a static shape; 1 for rank 0.
int64_t element_count(const Shape& shape);
std::vector<int64_t> static_values(const Shape& shape);  // InternalError unless static
Shape to_shape(const std::vector<int64_t>& values);
std::string to_string(const Shape& shape);  // "[1,3,H,W]"

}  // namespace rooftune::ir
