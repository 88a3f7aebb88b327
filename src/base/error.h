// The three ways in which Rooftune fails. Thrown anywhere, caught only at the doors (CLI, C ABI, HTTP),
// which map them to exit codes 3 / 4 / 5, HTTP 4xx / 503 / 500 and Python exceptions.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace rooftune {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// The user's model, config or request is at fault. The message says which node, line or field, and what would be accepted.
class InputError : public Error {
 public:
  explicit InputError(const std::string& message) : Error(message) {}
  template <typename... A>
  explicit InputError(fmt::format_string<A...> f, A&&... a) : Error(fmt::format(f, std::forward<A>(a)...)) {}
};

/// Something is missing on this machine. The message says what and how to get it.
class EnvironmentError : public Error {
 public:
  explicit EnvironmentError(const std::string& message) : Error(message) {}
  template <typename... A>
  explicit EnvironmentError(fmt::format_string<A...> f, A&&... a) : Error(fmt::format(f, std::forward<A>(a)...)) {}
};

/// A bug of ours.
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& message) : Error(message) {}
  template <typename... A>
  explicit InternalError(fmt::format_string<A...> f, A&&... a) : Error(fmt::format(f, std::forward<A>(a)...)) {}
};

[[noreturn]] void fail_check(const char* file, int line, const char* condition, const std::string& message);

}  // namespace rooftune

/// Checks an invariant of our own code; a failure is an InternalError that names the place.
#define RT_CHECK(condition, ...)                                                                             \
  do {                                                                                                       \
    if (!(condition)) ::rooftune::fail_check(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
