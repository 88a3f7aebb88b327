// Sizes that are expressions over symbols, as torch.export writes them: sympy's srepr, "Mul(Integer(2), Symbol('s0', …))".
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "ir/dim.h"

namespace rooftune::frontends::torch_format {

struct Range {
  int64_t min = 0, max = ir::Dim::kUnbounded;
};
/// The symbols of a program: what each is called and between which bounds it lies.
class Symbols {
 public:
  std::map<std::string, std::string> names;  // PyTorch's → ours, where they differ
  std::map<std::string, Range> ranges;       // by PyTorch's name

  /// Nothing for an expression that no Dim can say (a real quotient, say). InputError for malformed text.
  std::optional<ir::Dim> parse(std::string_view text) const;
  ir::Dim symbol(const std::string& name) const;
};

}  // namespace rooftune::frontends::torch_format
