#include "ir/scanner.h"

#include <charconv>

#include "base/error.h"

namespace rooftune::ir {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return is_letter(c) || is_digit(c) || c == '.'; }
bool is_name(char c) { return is_word(c) || c == '/' || c == '-'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }

}  // namespace

bool is_plain_name(std::string_view text) {
  if (text.empty() || text[0] == '-') return false;
  for (const char c : text)
    if (!is_name(c)) return false;
  return true;
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (c == '\n') out += "\\n";
    else if (c < 32 || c > 126) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else out += c;
  }
  return out + '"';
}

std::string quote_name(std::string_view name) { return is_plain_name(name) ? std::string(name) : quote(name); }

char Scanner::peek() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      ++at_;
    } else if (c == '/' && text_.substr(at_, 2) == "//") {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    } else {
      return c;
    }
  }
  return 0;
}

bool Scanner::at_end() { return peek() == 0 && at_ >= text_.size(); }

bool Scanner::accept(std::string_view token) {
  peek();
  if (text_.substr(at_, token.size()) != token) return false;
  const size_t end = at_ + token.size();
  if (is_letter(token.back()) && end < text_.size() && is_word(text_[end])) return false;
  at_ = end;
  return true;
}

void Scanner::expect(std::string_view token) {
  if (!accept(token)) fail(fmt::format("expected '{}'", token));
}

bool Scanner::next_is_name() {
  const char c = peek();
  return c == '"' || (is_name(c) && c != '-');
}

std::string Scanner::word() {
  if (!is_letter(peek())) fail("expected a word");
  const size_t from = at_;
  while (at_ < text_.size() && is_word(text_[at_])) ++at_;
  return std::string(text_.substr(from, at_ - from));
}

std::string Scanner::name() {
  if (next_is_quoted()) return quoted();
  if (!next_is_name()) fail("expected a name");
  const size_t from = at_;
  while (at_ < text_.size() && is_name(text_[at_])) ++at_;
  return std::string(text_.substr(from, at_ - from));
}

std::string Scanner::quoted() {
  expect("\"");
  std::string out;
  while (at_ < text_.size() && text_[at_] != '"') {
    char c = text_[at_++];
    if (c == '\\' && at_ < text_.size()) {
      c = text_[at_++];
      if (c == 'n') {
        c = '\n';
      } else if (c == 'x') {
        unsigned code = 0;
        const auto digits = text_.substr(at_, 2);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        if (error != std::errc() || end != digits.data() + 2) fail("expected two hexadecimal digits after \\x");
        c = static_cast<char>(code);
        at_ += 2;
      }
    }
    out += c;
  }
  if (at_ >= text_.size()) fail("a quoted text does not end");
  ++at_;
  return out;
}

int64_t Scanner::integer() {
  peek();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error == std::errc::result_out_of_range) fail("the integer does not fit 64 bits");
  if (error != std::errc()) fail("expected an integer");
  at_ = static_cast<size_t>(end - text_.data());
  return value;
}

std::string Scanner::number() {
  peek();
  const size_t from = at_;
  if (at_ < text_.size() && text_[at_] == '#') {
    ++at_;
    while (at_ < text_.size() && is_hex(text_[at_])) ++at_;
    return std::string(text_.substr(from, at_ - from));
  }
  if (at_ < text_.size() && text_[at_] == '-') ++at_;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    const bool sign = (c == '-' || c == '+') && text_[at_ - 1] == 'e';
    if (!is_digit(c) && !is_letter(c) && c != '.' && !sign) break;
    ++at_;
  }
  if (from == at_) fail("expected a number");
  return std::string(text_.substr(from, at_ - from));
}

void Scanner::fail(std::string_view what) const {
  size_t line = 1, column = 1;
  for (size_t i = 0; i < at_ && i < text_.size(); ++i) {
    if (text_[i] == '\n') ++line, column = 1;
    else ++column;
  }
  throw InputError("line {} column {}: {}, found '{}'", line, column, what,
                   at_ < text_.size() ? text_.substr(at_, 20) : "the end");
}

}  // namespace rooftune::ir
