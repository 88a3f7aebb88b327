#include "capi/functions.h"

#include "base/version.h"
#include "frontends/torch/torch.h"
#include "pipeline/commands.h"

namespace rooftune::capi {
namespace {

Json names(const FunctionTable& table) {
  Json list = Json::array();
  for (const auto& [name, function] : table) list.push_back(name);
  return list;
}

Json describe_version(const Json&, Progress&, const Cancelled&) {
  return {{"version", version()}, {"functions", names(functions())}};
}

/// What torch.export may leave in an archive; a client has PyTorch decompose the rest.
Json torch_operators(const Json&, Progress&, const Cancelled&) { return {{"operators", frontends::torch_operators()}}; }

}  // namespace

const FunctionTable& functions() {
  static const FunctionTable table = [] {
    FunctionTable all{{"version", describe_version}, {"torch_operators", torch_operators}};
    for (const auto& command : pipeline::commands()) all.emplace(command.name, command.call);
    return all;
  }();
  return table;
}

std::string call(const FunctionTable& table, std::string_view name, std::string_view request, Progress& progress,
                 const Cancelled& cancelled) {
  const auto function = table.find(name);
  if (function == table.end()) throw InputError("there is no function '{}'; there are {}", name, names(table).dump());
  const std::string source = fmt::format("request of '{}'", name);
  const Json object = parse_json(request, source);
  if (!object.is_object()) throw InputError("{}: an object is expected, not {}", source, object.type_name());
  return function->second(object, progress, cancelled).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace rooftune::capi
