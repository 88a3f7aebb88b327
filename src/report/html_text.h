// Text in the HTML report: escaping, and numbers with the digits that mean something.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace rooftune::report {

/// For element content and quoted attributes. Control characters and bytes that are not UTF-8 become U+FFFD.
std::string escape(std::string_view text);

inline constexpr std::string_view kUnknown = "–";

std::string significant(double value, int digits = 3);  // never with an exponent
std::string ms_text(double ms);                         // "1.23 ms", "45.6 µs", "2.10 s"
std::string ms_text(const std::optional<double>& ms);
std::string bytes_text(double bytes);       // "12.3 MB" (powers of 1000)
std::string count_text(double value);       // "8.18 G"
std::string percent_text(double fraction);  // "87 %"
std::string ratio_text(double ratio);       // "2.20×"
std::string duration_text(double seconds);  // "4 min 32 s"
std::string error_text(double error);       // "1.2e-06"

}  // namespace rooftune::report
