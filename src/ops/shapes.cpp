#include "ops/shapes.h"

#include <algorithm>

namespace rooftune::ops {

using ir::Dim;
using ir::Shape;

bool may_equal(const Dim& a, const Dim& b) { return a == b || (a.max() >= b.min() && b.max() >= a.min()); }

Dim product(const Shape& shape) {
  Dim total = 1;
  for (const Dim& d : shape) total = total * d;
  return total;
}

Dim quotient(Shape numerator, Shape denominator) {
  for (size_t i = 0; i < denominator.size();) {
    auto same =
        denominator[i].is_static() ? numerator.end() : std::find(numerator.begin(), numerator.end(), denominator[i]);
    if (same == numerator.end()) {
      ++i;
      continue;
    }
    numerator.erase(same);
    denominator.erase(denominator.begin() + static_cast<int64_t>(i));
  }
  const Dim below = product(denominator);
  if (below == Dim(0)) return 0;
  if (!below.is_static()) return floordiv(product(numerator), below);
  int64_t factor = 1;  // of the numerator's static part
  Dim symbolic = 1;
  for (const Dim& d : numerator) {
    if (d.is_static()) factor *= d.value();
    else symbolic = symbolic * d;
  }
  if (factor % below.value() == 0) return Dim(factor / below.value()) * symbolic;
  return floordiv(Dim(factor) * symbolic, below);
}

std::optional<std::vector<int64_t>> static_ints(const InferContext& ctx, int i) {
  const auto values = ctx.ints(i);
  if (!values || !ir::is_static(*values)) return std::nullopt;
  return ir::static_values(*values);
}

void require_shape(const InferContext& ctx, int i, const char* name, const Shape& wanted) {
  if (!ctx.has_input(i) || !ctx.has_shape(i)) return;
  const Shape& given = ctx.shape(i);
  if (given.size() != wanted.size() || !std::equal(given.begin(), given.end(), wanted.begin(), may_equal))
    ctx.fail(fmt::format("{} is {}, must be {}", name, to_string(given), to_string(wanted)));
}

Shape unknown_shape(const InferContext& ctx, int output, int64_t rank) {
  Shape shape;
  for (int64_t i = 0; i < rank; ++i) shape.push_back(ctx.unknown_dim(output, static_cast<int>(i)));
  return shape;
}

}  // namespace rooftune::ops
