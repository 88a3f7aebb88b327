// Elements of a tensor as text.
#include <charconv>
#include <cmath>
#include <cstring>

#include "ir/text.h"

namespace rooftune::ir {
namespace {

/// The bits of one element, the most significant digit first.
std::string bits_of(const Tensor& t, int64_t i) {
  const int bits = bit_width(t.dtype());
  std::string out = "#";
  if (bits < 8) {
    const int64_t at = i * bits;
    return out + fmt::format("{:x}", t.raw()[at / 8] >> (at % 8) & ((1 << bits) - 1));
  }
  const uint8_t* p = t.raw() + i * (bits / 8);
  for (int b = bits / 8 - 1; b >= 0; --b) out += fmt::format("{:02x}", p[b]);
  return out;
}

void set_bits(Scanner& scanner, Tensor& t, int64_t i, std::string_view digits) {
  const int bits = bit_width(t.dtype());
  const size_t expected = bits < 8 ? 1 : static_cast<size_t>(bits) / 4;
  if (digits.size() != expected) scanner.fail(fmt::format("expected {} hexadecimal digits", expected));
  const auto value = [&](size_t from, size_t count) {
    unsigned v = 0;
    std::from_chars(digits.data() + from, digits.data() + from + count, v, 16);
    return v;
  };
  if (bits < 8) {
    const int64_t at = i * bits;
    const unsigned mask = ((1u << bits) - 1) << (at % 8);
    t.raw()[at / 8] = static_cast<uint8_t>((t.raw()[at / 8] & ~mask) | (value(0, 1) << (at % 8) & mask));
    return;
  }
  uint8_t* p = t.raw() + i * (bits / 8);
  for (size_t b = 0; b < expected / 2; ++b) p[expected / 2 - 1 - b] = static_cast<uint8_t>(value(2 * b, 2));
}

}  // namespace

std::string print_element(const Tensor& t, int64_t i) {
  const DType d = t.dtype();
  if (d == DType::string) return quote(t.strings()[static_cast<size_t>(i)]);
  if (d == DType::c64 || d == DType::c128) return bits_of(t, i);
  if (d == DType::u64) {
    uint64_t v;
    std::memcpy(&v, t.raw() + i * 8, 8);  // mapped data need not be aligned
    return std::to_string(v);
  }
  if (d == DType::boolean && t.raw()[i] > 1) return bits_of(t, i);
  if (!is_float(d)) return std::to_string(t.as_int(i));
  const double v = t.as_double(i);
  if (std::isnan(v) || (std::isinf(v) && bit_width(d) == 8)) return bits_of(t, i);  // set_double saturates 8-bit types
  return d == DType::f64 ? fmt::format("{}", v) : fmt::format("{}", static_cast<float>(v));
}

void parse_element(Scanner& scanner, Tensor& t, int64_t i) {
  const DType d = t.dtype();
  if (d == DType::string) {
    t.strings()[static_cast<size_t>(i)] = scanner.quoted();
    return;
  }
  const std::string text = scanner.number();
  if (text[0] == '#') return set_bits(scanner, t, i, std::string_view(text).substr(1));
  const char* begin = text.data();
  const char* end = begin + text.size();
  const auto check = [&](std::from_chars_result r) {
    if (r.ec != std::errc() || r.ptr != end) scanner.fail(fmt::format("'{}' is not a {}", text, name(d)));
  };
  if (is_float(d)) {
    double v = 0;
    float f = 0;
    if (d == DType::f64) {
      check(std::from_chars(begin, end, v));
    } else {
      check(std::from_chars(begin, end, f));
      v = f;
    }
    return t.set_double(i, v);
  }
  if (d == DType::u64) return check(std::from_chars(begin, end, t.data<uint64_t>()[i]));
  if (d == DType::i64) return check(std::from_chars(begin, end, t.data<int64_t>()[i]));
  int64_t v = 0;
  check(std::from_chars(begin, end, v));
  if (d == DType::c64 || d == DType::c128) scanner.fail("expected the bits of a complex number");
  t.set_double(i, static_cast<double>(v));
  if (t.as_int(i) != v) scanner.fail(fmt::format("{} does not fit a {}", v, name(d)));
}

std::string print_elements(const Tensor& tensor) {
  std::string out = "{";
  for (int64_t i = 0; i < tensor.size(); ++i) out += (i ? ", " : "") + print_element(tensor, i);
  return out + "}";
}

Tensor parse_elements(Scanner& scanner, DType dtype, std::vector<int64_t> shape) {
  // Collect first what is written, so that a wrong shape cannot ask for memory that the text does not fill.
  const int64_t count = checked_element_count(shape);
  Tensor whole(dtype, {std::min<int64_t>(count, 1)});
  scanner.expect("{");
  std::vector<std::string> strings;
  std::vector<uint8_t> bytes;
  const auto bits = static_cast<size_t>(bit_width(dtype));
  for (int64_t i = 0; i < count; ++i) {
    if (i > 0) scanner.expect(",");
    std::fill_n(whole.raw(), whole.bytes(), uint8_t{0});
    parse_element(scanner, whole, 0);
    if (dtype == DType::string) {
      strings.push_back(whole.strings()[0]);
      continue;
    }
    const size_t at = static_cast<size_t>(i) * bits;
    bytes.resize((at + bits + 7) / 8);
    if (bits < 8) bytes[at / 8] = static_cast<uint8_t>(bytes[at / 8] | whole.raw()[0] << (at % 8));
    else std::copy_n(whole.raw(), bits / 8, bytes.data() + at / 8);
  }
  scanner.expect("}");
  if (dtype == DType::string) return Tensor::of_strings(std::move(shape), std::move(strings));
  Tensor t(dtype, std::move(shape));
  std::copy(bytes.begin(), bytes.end(), t.raw());
  return t;
}

}  // namespace rooftune::ir
