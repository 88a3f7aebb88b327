// Reads the text forms of this room (dimensions, types, graphs): tokens by hand, errors with line and column.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rooftune::ir {

/// Letters, digits, '_', '.', '/' and, not at the start, '-'; what else a name may hold must be quoted.
bool is_plain_name(std::string_view text);
/// The name as it is, or quoted with escapes where it is not plain.
std::string quote_name(std::string_view name);
std::string quote(std::string_view text);  // always quoted; bytes outside printable ASCII as \xNN

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end();
  char peek();                          // the next character after white space and '#' comments; 0 at the end
  bool accept(std::string_view token);  // whole words are not cut: accept("in") does not take "input"
  void expect(std::string_view token);
  bool next_is_quoted() { return peek() == '"'; }
  bool next_is_name();
  std::string word();  // [A-Za-z_][A-Za-z0-9_.]*
  std::string name();  // plain or quoted
  std::string quoted();
  int64_t integer();
  std::string number();  // an integer, a decimal number, inf, nan or #hexdigits; as it stands
  [[noreturn]] void fail(std::string_view what) const;

  /// Bounds recursion: one per nested construct.
  class Nested {
   public:
    explicit Nested(Scanner& scanner) : scanner_(scanner) {
      if (++scanner_.depth_ > 100) scanner_.fail("nested too deeply");
    }
    ~Nested() { --scanner_.depth_; }

   private:
    Scanner& scanner_;
  };

 private:
  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace rooftune::ir
