#include "frontends/torch/symbols.h"

#include <vector>

#include "base/error.h"
#include "ir/scanner.h"

namespace rooftune::frontends::torch_format {
namespace {

using ir::Dim;
using Expression = std::optional<Dim>;  // nothing: well-formed, but more than a Dim can say

class Parser {
 public:
  Parser(const Symbols& symbols, std::string_view text) : symbols_(symbols), scanner_(text) {}

  Expression run() {
    Expression e = expression();
    if (!scanner_.at_end()) scanner_.fail("expected the end of the expression");
    return e;
  }

 private:
  Expression expression() {
    const ir::Scanner::Nested nested(scanner_);
    const char c = scanner_.peek();
    if (c == '-' || (c >= '0' && c <= '9')) return Dim(scanner_.integer());
    std::string function = scanner_.word();
    function.erase(0, function.rfind('.') + 1);      // without its module
    if (!scanner_.accept("(")) return std::nullopt;  // oo, true, …
    if (function == "Symbol") return symbol();
    std::vector<Expression> arguments;
    if (!scanner_.accept(")")) {
      do arguments.push_back(expression());
      while (scanner_.accept(","));
      scanner_.expect(")");
    }
    return apply(function, arguments);
  }

  /// Symbol('s0', positive=True, integer=True), after its bracket.
  Expression symbol() {
    scanner_.expect("'");
    const std::string name = scanner_.word();
    scanner_.expect("'");
    while (scanner_.accept(",")) {
      scanner_.word();
      scanner_.expect("=");
      scanner_.word();
    }
    scanner_.expect(")");
    return symbols_.symbol(name);
  }

  static Expression apply(const std::string& function, const std::vector<Expression>& arguments) {
    for (const Expression& a : arguments)
      if (!a) return std::nullopt;
    const size_t count = arguments.size();
    if (count == 0) return std::nullopt;
    Dim value = *arguments[0];
    if (function == "Integer") return value;
    if (function == "Pow") return count == 2 ? power(value, *arguments[1]) : std::nullopt;
    const bool divides = function == "FloorDiv" || function == "CleanDiv" || function == "IntTrueDiv";
    if (divides || function == "Mod" || function == "PythonMod") {
      if (count != 2 || arguments[1]->min() <= 0) return std::nullopt;
      if (!divides) return mod(value, *arguments[1]);
      return function == "IntTrueDiv" ? std::nullopt : Expression(floordiv(value, *arguments[1]));
    }
    using Binary = Dim (*)(const Dim&, const Dim&);
    const Binary combine = function == "Add"   ? +[](const Dim& a, const Dim& b) { return a + b; }
                           : function == "Mul" ? +[](const Dim& a, const Dim& b) { return a * b; }
                           : function == "Max" ? +[](const Dim& a, const Dim& b) { return max(a, b); }
                           : function == "Min" ? +[](const Dim& a, const Dim& b) { return min(a, b); }
                                               : Binary(nullptr);
    if (combine == nullptr) return std::nullopt;
    for (size_t i = 1; i < count; ++i) value = combine(value, *arguments[i]);
    return value;
  }

  static Expression power(const Dim& base, const Dim& exponent) {
    if (!exponent.is_static() || exponent.value() < 0 || exponent.value() > 8) return std::nullopt;
    Dim value = 1;
    for (int64_t i = 0; i < exponent.value(); ++i) value = value * base;
    return value;
  }

  const Symbols& symbols_;
  ir::Scanner scanner_;
};

}  // namespace

std::optional<Dim> Symbols::parse(std::string_view text) const { return Parser(*this, text).run(); }

Dim Symbols::symbol(const std::string& name) const {
  const auto named = names.find(name);
  const auto range = ranges.find(name);
  const Range bounds = range == ranges.end() ? Range{} : range->second;
  return Dim::symbol(named == names.end() ? name : named->second, bounds.min, bounds.max);
}

}  // namespace rooftune::frontends::torch_format
