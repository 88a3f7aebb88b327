// Typed access to a command's request. A request is a JSON object with the names of the command-line options (dashes as
// underscores); every door hands over the same one.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace rooftune::pipeline {

class Request {
 public:
  /// InputError naming a field that is not among `known` (and listing those).
  Request(const Json& json, std::string command, const std::set<std::string>& known);

  std::string text(const std::string& key) const;  // InputError where it is missing
  std::string text(const std::string& key, std::string otherwise) const;
  int64_t integer(const std::string& key, int64_t otherwise) const;
  double number(const std::string& key, double otherwise) const;
  bool flag(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;  // a list, or one text
  std::vector<std::string> words(const std::string& key) const;  // the same; a text is a list separated by commas
  /// What was given, 0 too; else a fresh one, which fits into any JSON reader's integers.
  uint64_t seed() const;
  bool has(const std::string& key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  [[noreturn]] void fail(const std::string& key, const std::string& expected) const;

 private:
  Json json_;
  std::string command_;
};

/// The plug-ins that a request of any command names; the Request itself need not know them.
inline constexpr const char* kPlugins = "plugins";
std::vector<std::string> plugins_of(const Json& request);

/// "5m", "30s", "1h30m", "0", "90" (seconds) → seconds. InputError showing what would be accepted.
double parse_duration(const std::string& text, const std::string& what);
/// "name=value" pairs; InputError naming the malformed one.
std::map<std::string, std::string> parse_pairs(const std::vector<std::string>& pairs, const std::string& what);

/// The command line that makes this request, as a shell reads it: `positional` options stand without their names.
std::string command_line(const std::string& command, const Json& request, const std::vector<std::string>& positional);

}  // namespace rooftune::pipeline
