#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace rooftune {
namespace {

LogLevel level_from_environment() {
  const char* value = std::getenv("ROOFTUNE_LOG");
  const std::string name = value ? value : "";
  if (name == "debug") return LogLevel::debug;
  if (name == "warning") return LogLevel::warning;
  if (name == "error") return LogLevel::error;
  if (name == "off") return LogLevel::off;
  return LogLevel::info;
}

std::atomic<LogLevel>& current_level() {
  static std::atomic<LogLevel> level{level_from_environment()};
  return level;
}

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("rooftune", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("rooftune: %^%v%$");
    made->set_level(spdlog::level::trace);  // current_level() decides
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) { current_level().store(level, std::memory_order_relaxed); }
LogLevel log_level() { return current_level().load(std::memory_order_relaxed); }

void log_message(LogLevel level, std::string_view text) {
  if (level < log_level()) return;
  switch (level) {
    case LogLevel::debug: logger().debug("debug: {}", text); break;
    case LogLevel::info: logger().info("{}", text); break;
    case LogLevel::warning: logger().warn("warning: {}", text); break;
    case LogLevel::error: logger().error("error: {}", text); break;
    case LogLevel::off: break;
  }
}

}  // namespace rooftune
