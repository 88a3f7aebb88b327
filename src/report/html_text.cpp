#include "report/html_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace rooftune::report {
namespace {

// Numbers must not part from their units at the end of a line: no-break spaces and hyphens.
#define NBSP "\xC2\xA0"
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Length of the UTF-8 sequence at `i`, 0 where there is no valid one.
size_t sequence_length(std::string_view s, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(s[k]); };
  const unsigned char first = byte(i);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xC2 && first < 0xE0 ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length == 0 || i + length > s.size()) return 0;
  for (size_t k = 1; k < length; ++k)
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  if (length == 3 && ((first == 0xE0 && byte(i + 1) < 0xA0) || (first == 0xED && byte(i + 1) > 0x9F))) return 0;
  if (length == 4 && ((first == 0xF0 && byte(i + 1) < 0x90) || (first == 0xF4 && byte(i + 1) > 0x8F))) return 0;
  return length;
}

struct Scale {
  double from;  // used for values of at least this size; the last one for all others
  double divisor;
  std::string_view unit;
};

template <size_t N>
std::string scaled(double value, const std::array<Scale, N>& scales) {
  if (!std::isfinite(value)) return std::string(kUnknown);
  for (const Scale& s : scales)
    if (std::abs(value) >= s.from || &s == &scales.back()) return significant(value / s.divisor) + std::string(s.unit);
  return {};
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (size_t i = 0; i < text.size();) {
    const size_t length = sequence_length(text, i);
    const char c = text[i];
    if (length == 0 || (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
      out += kReplacement;
      ++i;
      continue;
    }
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += text.substr(i, length);
    }
    i += length;
  }
  return out;
}

std::string significant(double value, int digits) {
  if (!std::isfinite(value)) return std::string(kUnknown);
  if (value == 0) return "0";
  const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(value) * (1 + 1e-12))));
  return fmt::format("{:.{}f}", value, std::clamp(digits - 1 - magnitude, 0, 9));
}

std::string ms_text(double ms) {
  return scaled(ms, std::array<Scale, 3>{{{1000, 1000, NBSP "s"}, {0.1, 1, NBSP "ms"}, {0, 1e-3, NBSP "µs"}}});
}
std::string ms_text(const std::optional<double>& ms) { return ms ? ms_text(*ms) : std::string(kUnknown); }

std::string bytes_text(double bytes) {
  return scaled(bytes, std::array<Scale, 4>{
                           {{1e9, 1e9, NBSP "GB"}, {1e6, 1e6, NBSP "MB"}, {1e3, 1e3, NBSP "kB"}, {0, 1, NBSP "B"}}});
}

std::string count_text(double value) {
  return scaled(
      value,
      std::array<Scale, 5>{
          {{1e12, 1e12, NBSP "T"}, {1e9, 1e9, NBSP "G"}, {1e6, 1e6, NBSP "M"}, {1e3, 1e3, NBSP "k"}, {0, 1, ""}}});
}

std::string percent_text(double fraction) {
  if (!std::isfinite(fraction)) return std::string(kUnknown);
  return fmt::format("{:.{}f}" NBSP "%", 100 * fraction, std::abs(fraction) < 0.0995 ? 1 : 0);
}

std::string ratio_text(double ratio) { return significant(ratio) + "×"; }

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds)) return std::string(kUnknown);
  if (seconds < 60) return significant(seconds, 2) + NBSP "s";
  const auto whole = static_cast<long>(std::lround(seconds));
  if (whole < 3600) return fmt::format("{}" NBSP "min {}" NBSP "s", whole / 60, whole % 60);
  return fmt::format("{}" NBSP "h {}" NBSP "min", whole / 3600, whole % 3600 / 60);
}

std::string error_text(double error) {
  if (!std::isfinite(error)) return "not finite";
  if (error == 0) return "0";
  std::string text = fmt::format("{:.1e}", error);
  if (const size_t minus = text.find("e-"); minus != std::string::npos) text.replace(minus + 1, 1, "\xE2\x80\x91");
  return text;
}

}  // namespace rooftune::report
