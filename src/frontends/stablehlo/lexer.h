// Tokens and types of MLIR text.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "ir/type.h"

namespace rooftune::frontends::mlir {

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::string_view text() const { return text_; }
  size_t at();  // of the next token
  void rewind(size_t at) { at_ = at; }
  char peek();                          // the next character after white space and '//' comments; 0 at the end
  bool accept(std::string_view token);  // whole words are not cut
  void expect(std::string_view token);
  bool next_is_word();
  std::string word();         // [A-Za-z_][A-Za-z0-9_.$]*
  std::string quoted();       // "…" with escapes
  std::string value_name();   // %0, %arg1, %2#1: without '%'
  std::string symbol();       // @name, @"name", without '@'
  std::string_view number();  // an integer, a decimal number or hexadecimal bits, as it stands
  int64_t integer();
  /// What stands between '<' and the '>' that closes it, with other brackets balanced; the next token is '<'.
  std::string_view balanced();
  ir::Type type();  // tensor<…>; other types are refused
  ir::DType element_type();

  [[noreturn]] void fail(std::string_view what);  // at the next token
  [[noreturn]] void fail_here(size_t at, const std::string& what) const;

  /// Bounds recursion: one per nested construct.
  class Nested {
   public:
    explicit Nested(Lexer& lexer) : lexer_(lexer) {
      if (++lexer_.depth_ > 100) lexer_.fail("nested too deeply");
    }
    ~Nested() { --lexer_.depth_; }

   private:
    Lexer& lexer_;
  };

 private:
  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace rooftune::frontends::mlir
