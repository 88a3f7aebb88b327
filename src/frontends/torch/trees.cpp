#include "frontends/torch/trees.h"

#include "base/json.h"

namespace rooftune::frontends::torch_format {
namespace {

constexpr int kMostNesting = 64;
constexpr size_t kMostLeaves = 1 << 16;

/// The keys of a node with names (a dict, a dataclass), as many as it has children; else none.
std::vector<std::string> keys_of(const Json& node, size_t children) {
  Json context = node.value("context", Json());
  if (context.is_string()) context = Json::parse(context.get<std::string>(), nullptr, false);  // JSON within JSON
  if (context.is_array() && context.size() == 2 && context[1].is_array())
    context = context[1];  // defaultdict, dataclass
  std::vector<std::string> keys;
  if (!context.is_array() || context.size() != children) return keys;
  for (const Json& key : context) {
    if (key.is_string()) keys.push_back(key.get<std::string>());
    else if (key.is_number_integer()) keys.push_back(std::to_string(key.get<int64_t>()));
    else return {};
  }
  return keys;
}

void collect(const Json& node, const std::string& path, int depth, std::vector<std::string>& names) {
  const Json* children = nullptr;
  if (node.is_object())
    if (const auto it = node.find("children_spec"); it != node.end() && it->is_array()) children = &*it;
  if (children == nullptr || depth > kMostNesting || names.size() > kMostLeaves)
    throw InputError("out_spec: malformed, or nested more than {} deep", kMostNesting);
  const auto type = node.find("type");
  if (type == node.end() || type->is_null()) {
    names.push_back(path.empty() ? "output" : path);
    return;
  }
  const std::vector<std::string> keys = keys_of(node, children->size());
  for (size_t i = 0; i < children->size(); ++i) {
    const std::string key = !keys.empty() ? keys[i] : path.empty() ? fmt::format("output_{}", i) : std::to_string(i);
    collect((*children)[i], path.empty() ? key : path + "." + key, depth + 1, names);
  }
}

}  // namespace

std::vector<std::string> leaf_names(const std::string& tree_spec) {
  const Json spec = parse_json(tree_spec, "out_spec");
  if (!spec.is_array() || spec.size() != 2) throw InputError("out_spec: a version and a tree are expected");
  std::vector<std::string> names;
  collect(spec[1], "", 0, names);
  return names;
}

std::string innermost_module(const std::string& stack) {
  const size_t semicolon = stack.rfind(';');
  const std::string last = semicolon == std::string::npos ? stack : stack.substr(semicolon + 1);
  const size_t first_comma = last.find(','), last_comma = last.rfind(',');
  if (first_comma == std::string::npos || first_comma == last_comma) return "";
  std::string path = last.substr(first_comma + 1, last_comma - first_comma - 1);
  if (path.starts_with("_empty_nn_module_stack")) return "";
  // Modules taken out of a slice of a ModuleList carry the slice in their path: "layers.slice(None, 6, None).0".
  for (size_t at = path.find("slice("); at != std::string::npos; at = path.find("slice(")) {
    const size_t end = path.find(')', at);
    if (end == std::string::npos) break;
    path.erase(at, end + 1 - at + (end + 1 < path.size() && path[end + 1] == '.' ? 1 : 0));
  }
  return path;
}

}  // namespace rooftune::frontends::torch_format
