// Log lines for people, on stderr; results go to stdout. The library behind it (spdlog) is seen by log.cpp only.
#pragma once
#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace rooftune {

enum class LogLevel { debug, info, warning, error, off };

/// Messages below `level` are dropped (`--quiet` is LogLevel::error). The start value is info, or what the environment
/// variable ROOFTUNE_LOG names ("debug", "info", "warning", "error", "off").
void set_log_level(LogLevel level);
LogLevel log_level();

void log_message(LogLevel level, std::string_view text);

template <typename... A>
void log_at(LogLevel level, fmt::format_string<A...> format, A&&... arguments) {
  if (level >= log_level()) log_message(level, fmt::format(format, std::forward<A>(arguments)...));
}
template <typename... A>
void log_debug(fmt::format_string<A...> f, A&&... a) {
  log_at(LogLevel::debug, f, std::forward<A>(a)...);
}
template <typename... A>
void log_info(fmt::format_string<A...> f, A&&... a) {
  log_at(LogLevel::info, f, std::forward<A>(a)...);
}
template <typename... A>
void log_warning(fmt::format_string<A...> f, A&&... a) {
  log_at(LogLevel::warning, f, std::forward<A>(a)...);
}
template <typename... A>
void log_error(fmt::format_string<A...> f, A&&... a) {
  log_at(LogLevel::error, f, std::forward<A>(a)...);
}

}  // namespace rooftune
