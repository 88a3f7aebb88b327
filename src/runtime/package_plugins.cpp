#include "runtime/package_plugins.h"

#include "ops/op.h"

namespace rooftune::runtime {
namespace {

void collect(const ir::Node& node, Json& needed) {
  const ops::OpDef* def = ops::Catalogue::instance().find(node.op, node.domain);
  if (def != nullptr && !def->plugin.empty()) needed[ops::qualified_name(node)] = def->plugin;
  for (const auto& body : ir::bodies(node))
    for (ir::NodeId inner : body->order()) collect(body->node(inner), needed);
}

}  // namespace

Json needed_plugins(const Program& program) {
  Json needed = Json::object();
  for (const Step& step : program.steps)
    if (step.kind == Step::Kind::reference) collect(program.graph->node(step.node), needed);
  return needed;
}

void require_plugins(const Json& needed, const std::string& path) {
  for (const auto& [name, plugin] : needed.items()) {
    const size_t dot = name.rfind('.');
    const bool qualified = dot != std::string::npos;
    if (ops::Catalogue::instance().find(qualified ? name.substr(dot + 1) : name, qualified ? name.substr(0, dot) : ""))
      continue;
    throw InputError(
        "{}: it runs operator {} of {}, which is not loaded: name its file by --plugin or in ROOFTUNE_PLUGINS", path,
        name, plugin.is_string() ? plugin.get<std::string>() : "a plug-in");
  }
}

}  // namespace rooftune::runtime
