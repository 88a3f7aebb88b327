// JSON with our errors: a malformed document or a missing field is an InputError that says where.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace rooftune {

using Json = nlohmann::ordered_json;  // keys stay in the order of writing

/// `source` names the document in messages ("report.json"). InputError with line and column.
Json parse_json(std::string_view text, std::string_view source);

/// The field `key` of an object as a T. InputError "<source>: field 'key' …" where it is missing or of another type.
template <typename T>
T json_field(const Json& object, const std::string& key, std::string_view source) {
  const auto it = object.find(key);
  if (it == object.end()) throw InputError("{}: field '{}' is missing", source, key);
  try {
    return it->template get<T>();
  } catch (const nlohmann::json::exception&) {
    throw InputError("{}: field '{}' has the wrong type ({})", source, key, it->type_name());
  }
}

}  // namespace rooftune
