#include "frontends/stablehlo/lexer.h"

#include <algorithm>
#include <charconv>

#include "frontends/stablehlo/syntax.h"
#include "frontends/utf8.h"
#include "ir/tensor.h"

namespace rooftune::frontends::mlir {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word_char(char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '$'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

struct NamedType {
  std::string_view name;
  ir::DType dtype;
};
constexpr NamedType kElementTypes[] = {
    {"f32", ir::DType::f32},
    {"f64", ir::DType::f64},
    {"f16", ir::DType::f16},
    {"bf16", ir::DType::bf16},
    {"i1", ir::DType::boolean},
    {"i2", ir::DType::i2},
    {"i4", ir::DType::i4},
    {"i8", ir::DType::i8},
    {"i16", ir::DType::i16},
    {"i32", ir::DType::i32},
    {"i64", ir::DType::i64},
    {"ui2", ir::DType::u2},
    {"ui4", ir::DType::u4},
    {"ui8", ir::DType::u8},
    {"ui16", ir::DType::u16},
    {"ui32", ir::DType::u32},
    {"ui64", ir::DType::u64},
    {"f8E4M3FN", ir::DType::f8e4m3fn},
    {"f8E4M3FNUZ", ir::DType::f8e4m3fnuz},
    {"f8E5M2", ir::DType::f8e5m2},
    {"f8E5M2FNUZ", ir::DType::f8e5m2fnuz},
    {"f4E2M1FN", ir::DType::f4e2m1},
    {"f8E8M0FNU", ir::DType::f8e8m0},
};

}  // namespace

void fail_at(std::string_view text, size_t at, const std::string& what) {
  const std::string_view before = text.substr(0, at);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t start = before.rfind('\n');
  const size_t column = start == std::string_view::npos ? before.size() + 1 : before.size() - start;
  throw InputError("line {}, column {}: {}", line, column, what);
}

std::string text_of(const ir::Type& type) {
  if (!type.is_tensor() || !type.has_rank()) return type.to_string();
  std::string out = "tensor<";
  for (const ir::Dim& d : type.shape()) out += (d.is_static() ? std::to_string(d.value()) : "?") + "x";
  for (const NamedType& t : kElementTypes)
    if (t.dtype == type.dtype()) out += t.name;
  return out + ">";
}

void Lexer::fail_here(size_t at, const std::string& what) const { fail_at(text_, at, what); }

void Lexer::fail(std::string_view what) {
  peek();
  size_t end = at_;
  while (end < text_.size() && end - at_ < 30 && is_word_char(text_[end])) ++end;
  if (end == at_ && end < text_.size()) ++end;
  std::string found;
  for (const char c : text_.substr(at_, end - at_)) found += c >= ' ' && c < 127 ? c : '?';
  fail_here(at_, fmt::format("{}, not {}", what, found.empty() ? "the end of the text" : "'" + found + "'"));
}

char Lexer::peek() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else {
      return c;
    }
  }
  return 0;
}

size_t Lexer::at() {
  peek();
  return at_;
}

bool Lexer::accept(std::string_view token) {
  peek();
  if (text_.substr(at_, token.size()) != token) return false;
  const size_t end = at_ + token.size();
  if (is_word_char(token.back()) && end < text_.size() && is_word_char(text_[end])) return false;
  at_ = end;
  return true;
}

void Lexer::expect(std::string_view token) {
  if (!accept(token)) fail(fmt::format("expected '{}'", token));
}

bool Lexer::next_is_word() { return is_letter(peek()); }

std::string Lexer::word() {
  if (!next_is_word()) fail("expected a word");
  const size_t start = at_;
  while (at_ < text_.size() && is_word_char(text_[at_])) ++at_;
  return std::string(text_.substr(start, at_ - start));
}

std::string Lexer::quoted() {
  const size_t start = at();
  if (peek() != '"') fail("expected a string");
  std::string out;
  for (++at_; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == '"') {
      ++at_;
      return out;
    }
    if (c != '\\') {  // all up to the next mark at once: literals are megabytes long
      const size_t end = std::min(text_.find_first_of("\"\\", at_), text_.size());
      out += text_.substr(at_, end - at_);
      at_ = end - 1;
      continue;
    }
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : 0;
    int code = 0;
    if (next == '\\' || next == '"') out += next, ++at_;
    else if (next == 'n') out += '\n', ++at_;
    else if (next == 't') out += '\t', ++at_;
    else if (at_ + 2 < text_.size() &&
             std::from_chars(text_.data() + at_ + 1, text_.data() + at_ + 3, code, 16).ptr == text_.data() + at_ + 3)
      out += static_cast<char>(code), at_ += 2;
    else fail_here(at_, "unknown escape in a string; \\\\, \\\", \\n, \\t and two hexadecimal digits are accepted");
  }
  fail_here(start, "a string that does not end");
}

std::string Lexer::value_name() {
  if (peek() != '%') fail("expected a value (%name)");
  const size_t start = ++at_;
  while (at_ < text_.size() && (is_word_char(text_[at_]) || text_[at_] == '-')) ++at_;
  if (at_ == start) fail("expected a name after '%'");
  if (at_ < text_.size() && text_[at_] == '#') {
    ++at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  }
  return std::string(text_.substr(start, at_ - start));
}

std::string Lexer::symbol() {
  expect("@");
  std::string name = at_ < text_.size() && text_[at_] == '"' ? quoted() : word();
  if (!is_utf8(name)) fail("a name that is not UTF-8");
  if (text_.substr(at_, 2) == "::") fail("symbols of nested modules are not supported: expected a plain @name");
  return name;
}

std::string_view Lexer::number() {
  peek();
  const size_t start = at_;
  if (at_ < text_.size() && text_[at_] == '-') ++at_;
  if (text_.substr(at_, 2) == "0x") {
    at_ += 2;
    while (at_ < text_.size() && is_hex(text_[at_])) ++at_;
  } else {
    const size_t digits = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    if (at_ == digits) {
      at_ = start;
      fail("expected a number");
    }
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
      if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
        ++at_;
        if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
        while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
      }
    }
  }
  return text_.substr(start, at_ - start);
}

int64_t Lexer::integer() {
  const size_t start = at();
  const std::string_view digits = number();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) fail_here(start, "expected an integer of 64 bits");
  return value;
}

std::string_view Lexer::balanced() {
  expect("<");
  const size_t start = at_;
  std::string open = "<";
  while (!open.empty()) {
    const char c = peek();
    if (c == 0) fail_here(start, "'<' that is not closed");
    if (c == '"') {
      quoted();
      continue;
    }
    ++at_;
    if (c == '<' || c == '(' || c == '[' || c == '{') open += c;
    if (c == '-' && at_ < text_.size() && text_[at_] == '>') ++at_;
    if (c != '>' && c != ')' && c != ']' && c != '}') continue;
    const char wanted = c == ')' ? '(' : c == '>' ? '<' : c == ']' ? '[' : '{';
    if (open.back() != wanted) fail_here(at_ - 1, fmt::format("'{}' closes '{}'", c, open.back()));
    open.pop_back();
    if (open.size() > 200) fail("nested too deeply");
  }
  return text_.substr(start, at_ - 1 - start);
}

ir::DType Lexer::element_type() {
  const size_t start = at();
  const std::string name = next_is_word() ? word() : "";
  for (const NamedType& t : kElementTypes)
    if (t.name == name) return t.dtype;
  at_ = start;
  std::string known;
  for (const NamedType& t : kElementTypes) known += (known.empty() ? "" : ", ") + std::string(t.name);
  fail(fmt::format("expected an element type ({})", known));
}

ir::Type Lexer::type() {
  const size_t start = at();
  if (!accept("tensor")) fail("expected a type tensor<…>; tuples, tokens and other types are not supported");
  expect("<");
  ir::Shape shape;
  while (peek() == '?' || is_digit(peek())) {
    if (accept("?")) {
      shape.push_back(ir::Dim::symbol(kUnknownDim));
    } else {
      // digits by hand: "2x3xf32" is no number token, "0x3xf32" no hexadecimal one
      int64_t value = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (error != std::errc()) fail_here(at_, "a dimension beyond 64 bits");
      at_ = static_cast<size_t>(end - text_.data());
      shape.emplace_back(value);
    }
    if (at_ >= text_.size() || text_[at_] != 'x') fail("expected 'x' after a dimension");
    ++at_;
  }
  if (shape.size() > 64)
    fail_here(start, fmt::format("a tensor of {} dimensions; at most 64 are accepted", shape.size()));
  const ir::DType dtype = element_type();
  if (peek() == ',') fail("tensor encodings (bounds, sparsity) are not supported: expected '>'");
  expect(">");
  try {
    if (ir::is_static(shape)) ir::checked_element_count(ir::static_values(shape));
  } catch (const InputError& e) {
    fail_here(start, e.what());
  }
  return ir::Type::tensor(dtype, std::move(shape));
}

}  // namespace rooftune::frontends::mlir
