#include "ops/common.h"
#include "ops/families.h"
#include "ops/op.h"

namespace rooftune::ops {
namespace {

std::string canonical(std::string_view domain) { return domain == "ai.onnx" ? std::string() : std::string(domain); }

}  // namespace

const Catalogue& Catalogue::instance() {
  static const Catalogue catalogue = [] {
    Catalogue c;
    register_families(c);
    return c;
  }();
  return catalogue;
}

void Catalogue::add(OpDef def) {
  RT_CHECK(def.infer && def.evaluate, "operator {} needs inference and a reference", def.name);
  auto key = std::make_pair(canonical(def.domain), def.name);
  const auto [at, fresh] = defs_.emplace(std::move(key), std::move(def));
  RT_CHECK(fresh, "operator {} is registered twice", at->first.second);
}

const OpDef* Catalogue::find(std::string_view op, std::string_view domain) const {
  const auto at = defs_.find(std::make_pair(canonical(domain), std::string(op)));
  return at == defs_.end() ? nullptr : &at->second;
}

const OpDef& Catalogue::at(const Node& node) const {
  const OpDef* def = find(node.op, node.domain);
  if (def == nullptr)
    fail(node, fmt::format("operator {}{}{} is not supported", node.domain, node.domain.empty() ? "" : ".", node.op));
  if (node.since_version != 0 && node.since_version < def->since_version)
    fail(node, fmt::format("opset {} is too old: {} is supported from opset {} on", node.since_version, node.op,
                           def->since_version));
  return *def;
}

std::vector<const OpDef*> Catalogue::all() const {
  std::vector<const OpDef*> result;
  for (const auto& [key, def] : defs_) result.push_back(&def);
  return result;
}

}  // namespace rooftune::ops
