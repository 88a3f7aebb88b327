#include "pipeline/request.h"

#include <algorithm>
#include <charconv>
#include <random>

namespace rooftune::pipeline {

Request::Request(const Json& json, std::string command, const std::set<std::string>& known)
    : json_(json), command_(std::move(command)) {
  if (!json.is_object()) throw InputError("{}: the request must be an object", command_);
  for (const auto& [key, value] : json.items())
    if (!known.contains(key) && key != kPlugins)
      throw InputError("{}: unknown option '{}'; there are {}, {}", command_, key, fmt::join(known, ", "), kPlugins);
}

std::vector<std::string> plugins_of(const Json& request) {
  if (!request.is_object() || !request.contains(kPlugins)) return {};
  return Request({{kPlugins, request[kPlugins]}}, "a command", {}).texts(kPlugins);
}

void Request::fail(const std::string& key, const std::string& expected) const {
  throw InputError("{}: option '{}' must be {}", command_, key, expected);
}

std::string Request::text(const std::string& key) const {
  if (!has(key)) throw InputError("{}: option '{}' is missing", command_, key);
  return text(key, "");
}

std::string Request::text(const std::string& key, std::string otherwise) const {
  if (!has(key)) return otherwise;
  const auto& value = json_.at(key);
  if (value.is_number()) return value.dump();
  if (!value.is_string()) fail(key, "a text");
  return value.get<std::string>();
}

int64_t Request::integer(const std::string& key, int64_t otherwise) const {
  if (!has(key)) return otherwise;
  if (!json_.at(key).is_number_integer()) fail(key, "an integer");
  return json_.at(key).get<int64_t>();
}

double Request::number(const std::string& key, double otherwise) const {
  if (!has(key)) return otherwise;
  if (!json_.at(key).is_number()) fail(key, "a number");
  return json_.at(key).get<double>();
}

bool Request::flag(const std::string& key) const {
  if (!has(key)) return false;
  if (!json_.at(key).is_boolean()) fail(key, "true or false");
  return json_.at(key).get<bool>();
}

std::vector<std::string> Request::texts(const std::string& key) const {
  if (!has(key)) return {};
  const auto& value = json_.at(key);
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array()) fail(key, "a list of texts");
  std::vector<std::string> result;
  for (const auto& item : value) {
    if (!item.is_string()) fail(key, "a list of texts");
    result.push_back(item.get<std::string>());
  }
  return result;
}

std::vector<std::string> Request::words(const std::string& key) const {
  std::vector<std::string> result;
  for (const auto& text : texts(key))
    for (size_t at = 0; !text.empty() && at <= text.size();) {
      const size_t end = std::min(text.find(',', at), text.size());
      if (end == at) fail(key, "a list of words, separated by commas");
      result.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  return result;
}

uint64_t Request::seed() const {
  if (!has("seed")) return std::random_device{}();
  const int64_t seed = integer("seed", 0);
  if (seed < 0) fail("seed", "0 or a positive integer");
  return static_cast<uint64_t>(seed);
}

double parse_duration(const std::string& text, const std::string& what) {
  constexpr double kLongest = 1e9;  // seconds: some thirty years
  const auto fail = [&] { throw InputError("{} '{}' is not a duration; write 30s, 5m, 1h30m or 0", what, text); };
  const std::pair<std::string_view, double> units[] = {
      {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};  // longest first
  double total = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  if (at == end) fail();
  while (at != end) {
    double value = 0;
    const auto number = std::from_chars(at, end, value, std::chars_format::fixed);
    if (number.ec != std::errc() || !(value >= 0)) fail();
    at = number.ptr;
    const std::string_view rest(at, static_cast<size_t>(end - at));
    const auto unit =
        std::find_if(std::begin(units), std::end(units), [&](const auto& u) { return rest.starts_with(u.first); });
    if (unit == std::end(units) && !rest.empty()) fail();
    if (unit != std::end(units)) {
      at += unit->first.size();
      value *= unit->second;
    }
    total += value;
    if (!(total <= kLongest)) fail();
  }
  return total;
}

namespace {

std::string shell_quoted(const std::string& word) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted = "'";
  for (char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string command_line(const std::string& command, const Json& request, const std::vector<std::string>& positional) {
  std::vector<std::string> words{"rooftune", command};
  const auto add = [&](const Json& value) {
    words.push_back(shell_quoted(value.is_string() ? value.get<std::string>() : value.dump()));
  };
  for (const auto& key : positional)
    if (request.contains(key)) add(request[key]);
  for (const auto& [key, value] : request.items()) {
    if (value.is_null() || value == false || std::find(positional.begin(), positional.end(), key) != positional.end())
      continue;
    std::string option = fmt::format("--{}", key);
    std::replace(option.begin(), option.end(), '_', '-');
    for (const auto& one : value.is_array() ? value : Json::array({value})) {
      words.push_back(option);
      if (one != true) add(one);
    }
  }
  return fmt::format("{}", fmt::join(words, " "));
}

std::map<std::string, std::string> parse_pairs(const std::vector<std::string>& pairs, const std::string& what) {
  std::map<std::string, std::string> result;
  for (const auto& pair : pairs) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == pair.size())
      throw InputError("{} '{}' is not of the form name=value", what, pair);
    if (!result.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second)
      throw InputError("{} names '{}' twice", what, pair.substr(0, equals));
  }
  return result;
}

}  // namespace rooftune::pipeline
