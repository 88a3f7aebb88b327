#include "frontends/stablehlo/literal.h"

#include <charconv>
#include <cstring>

namespace rooftune::frontends::mlir {
namespace {

int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The elements of a nested list, in row-major order, as they are written; `shape` gets the extents of the nesting.
class Elements {
 public:
  explicit Elements(Lexer& lexer) : lexer_(lexer) {}

  void read() {
    if (lexer_.peek() == '[') list(0);
    else element();
  }
  const std::vector<std::string_view>& texts() const { return texts_; }
  const std::vector<size_t>& places() const { return places_; }
  const std::vector<int64_t>& shape() const { return shape_; }

 private:
  void list(size_t depth) {
    const Lexer::Nested nested(lexer_);
    const size_t start = lexer_.at();
    lexer_.expect("[");
    int64_t count = 0;
    if (lexer_.peek() != ']') {
      do {
        const bool inner = lexer_.peek() == '[';
        if (leaf_depth_ && inner != (depth + 1 < *leaf_depth_)) lexer_.fail("the lists of a literal differ in depth");
        if (inner) {
          list(depth + 1);
        } else {
          leaf_depth_ = depth + 1;
          element();
        }
        ++count;
      } while (lexer_.accept(","));
    }
    lexer_.expect("]");
    if (shape_.size() <= depth) shape_.resize(depth + 1, -1);
    if (shape_[depth] >= 0 && shape_[depth] != count)
      lexer_.fail_here(start, fmt::format("a list of {} elements beside one of {}", count, shape_[depth]));
    shape_[depth] = count;
  }

  void element() {
    const size_t start = lexer_.at();
    if (lexer_.next_is_word()) lexer_.word();
    else lexer_.number();
    places_.push_back(start);
    texts_.push_back(lexer_.text().substr(start, end_of(start)));
  }

  /// Length of the token that begins at `start`.
  size_t end_of(size_t start) const {
    const std::string_view rest = lexer_.text().substr(start);
    const size_t n = rest.find_first_of(" \t\r\n,]>/");
    return n == std::string_view::npos ? rest.size() : n;
  }

  Lexer& lexer_;
  std::vector<std::string_view> texts_;
  std::vector<size_t> places_;
  std::vector<int64_t> shape_;
  std::optional<size_t> leaf_depth_;
};

template <typename T>
std::optional<T> parse(std::string_view text, int base = 10) {
  T value{};
  const char* end = text.data() + text.size();
  std::from_chars_result r{};
  if constexpr (std::is_floating_point_v<T>) r = std::from_chars(text.data(), end, value);
  else r = std::from_chars(text.data(), end, value, base);
  // a number that is too small or too large for T is what the nearest one of T is: 0 or infinity, as strtod has it
  if (std::is_floating_point_v<T> && r.ec == std::errc::result_out_of_range && r.ptr == end)
    return static_cast<T>(std::strtod(std::string(text).c_str(), nullptr));
  if (r.ec != std::errc() || r.ptr != end) return std::nullopt;
  return value;
}

/// Writes the low bits of `code` as element `i`; sub-byte types share bytes, low bits first.
void put_code(ir::Tensor& t, int64_t i, uint64_t code) {
  const int bits = ir::bit_width(t.dtype());
  if (bits >= 8) {
    std::memcpy(t.raw() + i * (bits / 8), &code, static_cast<size_t>(bits / 8));
    return;
  }
  const int64_t bit = i * bits;
  uint8_t& byte = t.raw()[bit / 8];
  const unsigned mask = ((1U << bits) - 1U) << (bit % 8);
  byte = static_cast<uint8_t>((byte & ~mask) | ((code << (bit % 8)) & mask));
}

bool put_element(ir::Tensor& t, int64_t i, std::string_view text) {
  const ir::DType dtype = t.dtype();
  const int bits = dtype == ir::DType::boolean ? 1 : ir::bit_width(dtype);
  const uint64_t all = bits == 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;
  if (dtype == ir::DType::boolean && (text == "true" || text == "false")) {
    put_code(t, i, text == "true");
    return true;
  }
  if (text.starts_with("0x")) {
    const auto code = parse<uint64_t>(text.substr(2), 16);
    if (!code || *code > all) return false;
    put_code(t, i, *code);
    return true;
  }
  if (dtype == ir::DType::f32) {
    const auto value = parse<float>(text);
    if (value) *(t.data<float>() + i) = *value;
    return value.has_value();
  }
  if (ir::is_float(dtype)) {
    const auto value = parse<double>(text);
    if (value) t.set_double(i, *value);
    return value.has_value();
  }
  if (text.starts_with("-")) {
    const auto value = parse<int64_t>(text);
    if (!value || (bits < 64 && *value < -(int64_t{1} << (bits - 1)))) return false;
    put_code(t, i, static_cast<uint64_t>(*value) & all);
    return true;
  }
  const auto value = parse<uint64_t>(text);
  if (!value || *value > all) return false;
  put_code(t, i, *value);
  return true;
}

ir::Tensor empty_tensor(ir::DType dtype, std::vector<int64_t> shape) {
  ir::Tensor t(dtype, std::move(shape));
  if (t.bytes() > 0) std::memset(t.raw(), 0, t.bytes());
  return t;
}

}  // namespace

std::string bytes_of_hex(const Lexer& lexer, size_t at, std::string_view hex) {
  if (!hex.starts_with("0x") || hex.size() % 2 != 0)
    lexer.fail_here(at, "expected \"0x…\" with two hexadecimal digits for each byte");
  std::string bytes(hex.size() / 2 - 1, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int high = nibble(hex[2 * i + 2]), low = nibble(hex[2 * i + 3]);
    if (high < 0 || low < 0) lexer.fail_here(at, "expected hexadecimal digits after \"0x\"");
    bytes[i] = static_cast<char>(high * 16 + low);
  }
  return bytes;
}

ir::Tensor tensor_of_bytes(const Lexer& lexer, size_t at, const ir::Type& type, std::string_view bytes) {
  const ir::DType dtype = type.dtype();
  const std::vector<int64_t> shape = ir::static_values(type.shape());
  const auto count = static_cast<size_t>(ir::checked_element_count(shape));
  // elements of less than a byte take one each; booleans may share bytes, too
  const size_t width = static_cast<size_t>(std::max(8, ir::bit_width(dtype))) / 8;
  const bool packed = dtype == ir::DType::boolean && count != bytes.size() && bytes.size() == (count + 7) / 8;
  const bool splat = !packed && count != 1 && bytes.size() == width && count * width != bytes.size();
  if (!packed && !splat && bytes.size() != count * width)
    lexer.fail_here(at, fmt::format("{} bytes for a {}, which takes {}", bytes.size(), text_of(type), count * width));
  ir::Tensor t = empty_tensor(dtype, splat ? std::vector<int64_t>{} : shape);
  if (!packed && width * 8 == static_cast<size_t>(ir::bit_width(dtype)) && dtype != ir::DType::boolean) {
    if (!bytes.empty()) std::memcpy(t.raw(), bytes.data(), bytes.size());
    return t;
  }
  for (int64_t i = 0; i < t.size(); ++i) {
    const auto n = static_cast<size_t>(i);
    const auto byte = static_cast<uint8_t>(bytes[packed ? n / 8 : n]);
    put_code(t, i, dtype != ir::DType::boolean ? byte : packed ? (byte >> (n % 8)) & 1U : byte != 0);
  }
  return t;
}

Attribute parse_dense(Lexer& lexer) {
  Attribute out;
  out.kind = Attribute::Kind::tensor;
  out.at = lexer.at();
  lexer.expect("<");
  std::string bytes;
  Elements elements(lexer);
  const bool hex = lexer.peek() == '"';
  const bool nothing = lexer.peek() == '>';
  if (hex) bytes = bytes_of_hex(lexer, out.at, lexer.quoted());
  else if (!nothing) elements.read();
  lexer.expect(">");
  lexer.expect(":");
  out.type = lexer.type();
  if (!out.type.is_static()) lexer.fail_here(out.at, "a literal needs a type without '?'");
  if (hex) {
    out.tensor = tensor_of_bytes(lexer, out.at, out.type, bytes);
    return out;
  }
  const std::vector<int64_t> shape = ir::static_values(out.type.shape());
  const int64_t count = ir::checked_element_count(shape);
  const bool splat = !nothing && elements.shape().empty();
  const bool empty = count == 0 && elements.texts().empty();
  if (!splat && !empty && elements.shape() != shape)
    lexer.fail_here(
        out.at, fmt::format("a literal of shape [{}] for a {}", fmt::join(elements.shape(), ","), text_of(out.type)));
  out.tensor = empty_tensor(out.type.dtype(), splat ? std::vector<int64_t>{} : shape);
  for (size_t i = 0; i < elements.texts().size(); ++i)
    if (!put_element(out.tensor, static_cast<int64_t>(i), elements.texts()[i]))
      lexer.fail_here(elements.places()[i], fmt::format("'{}' is no value of {}", elements.texts()[i],
                                                        text_of(ir::Type::tensor(out.type.dtype(), ir::Shape{}))));
  return out;
}

}  // namespace rooftune::frontends::mlir
