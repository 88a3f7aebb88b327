#include <mutex>

#include "ops/common.h"
#include "ops/families.h"
#include "ops/op.h"

namespace rooftune::ops {
namespace {

std::string canonical(std::string_view domain) { return domain == "ai.onnx" ? std::string() : std::string(domain); }

std::string qualified_name(const std::string& domain, const std::string& name) {
  return domain.empty() ? name : domain + "." + name;
}

}  // namespace

Catalogue& Catalogue::shared() {
  static Catalogue catalogue;
  static const bool filled = [] {
    register_families(catalogue);
    return true;
  }();
  (void)filled;
  return catalogue;
}

const Catalogue& Catalogue::instance() { return shared(); }

void Catalogue::add(OpDef def) {
  RT_CHECK((def.infer && def.evaluate) != static_cast<bool>(def.function),
           "operator {} needs inference and a reference, or must be a function of others", def.name);
  auto key = std::make_pair(canonical(def.domain), def.name);
  const auto [at, fresh] = defs_.emplace(std::move(key), std::move(def));
  RT_CHECK(fresh, "operator {} is registered twice", at->first.second);
}

void Catalogue::extend(std::vector<OpDef> defs) {
  Catalogue& all = shared();
  const std::unique_lock lock(all.mutex_);
  std::set<std::pair<std::string, std::string>> fresh;
  for (const OpDef& def : defs) {
    auto key = std::make_pair(canonical(def.domain), def.name);
    const auto at = all.defs_.find(key);
    const std::string name = qualified_name(key.first, key.second);
    if (at != all.defs_.end())
      throw InputError("operator {} of {} is there already: {} defines it", name, def.plugin,
                       at->second.plugin.empty() ? "Rooftune itself" : at->second.plugin);
    if (!fresh.insert(std::move(key)).second) throw InputError("{} defines operator {} twice", def.plugin, name);
  }
  for (OpDef& def : defs) all.add(std::move(def));
}

const OpDef* Catalogue::find(std::string_view op, std::string_view domain) const {
  const std::shared_lock lock(mutex_);
  const auto at = defs_.find(std::make_pair(canonical(domain), std::string(op)));
  return at == defs_.end() ? nullptr : &at->second;
}

const OpDef& Catalogue::at(const Node& node) const {
  const OpDef* def = find(node.op, node.domain);
  if (def == nullptr) {
    const bool foreign = !node.domain.empty() && node.domain != "com.microsoft";
    fail(node,
         fmt::format("operator {} is not supported{}", qualified_name(node),
                     foreign ? "; if a plug-in defines it, name its file by --plugin or in ROOFTUNE_PLUGINS" : ""));
  }
  if (node.since_version != 0 && node.since_version < def->since_version)
    fail(node, fmt::format("opset {} is too old: {} is supported from opset {} on", node.since_version, node.op,
                           def->since_version));
  return *def;
}

std::vector<const OpDef*> Catalogue::all() const {
  const std::shared_lock lock(mutex_);
  std::vector<const OpDef*> result;
  for (const auto& [key, def] : defs_) result.push_back(&def);
  return result;
}

std::string qualified_name(const Node& node) { return qualified_name(node.domain, node.op); }

}  // namespace rooftune::ops
