#include "frontends/frontend.h"

#include <algorithm>
#include <mutex>
#include <set>

#include "frontends/onnx/onnx.h"
#include "frontends/stablehlo/stablehlo.h"
#include "frontends/tensorflow/tensorflow.h"
#include "frontends/torch/torch.h"

namespace rooftune::frontends {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<std::unique_ptr<Frontend>> frontends;
  Registry() {  // one line per built-in frontend
    frontends.push_back(make_stablehlo_frontend());
    frontends.push_back(make_tensorflow_frontend());
    frontends.push_back(make_torch_frontend());
    frontends.push_back(make_onnx_frontend());
  }
};

Registry& registry() {
  static Registry r;
  return r;
}

ir::Type substituted(const ir::Type& type, const std::map<std::string, ir::Dim>& dims) {
  using Kind = ir::Type::Kind;
  if (type.kind() == Kind::sequence) return ir::Type::sequence(substituted(type.element(), dims));
  if (type.kind() == Kind::optional) return ir::Type::optional(substituted(type.element(), dims));
  if (type.kind() != Kind::tensor || !type.has_rank()) return type;
  ir::Shape shape;
  for (const ir::Dim& d : type.shape()) shape.push_back(d.substitute(dims));
  return ir::Type::tensor(type.dtype(), std::move(shape));
}

}  // namespace

std::vector<const Frontend*> all() {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  std::vector<const Frontend*> out;
  for (auto it = r.frontends.rbegin(); it != r.frontends.rend(); ++it) out.push_back(it->get());
  return out;
}

void add(std::unique_ptr<Frontend> frontend) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  r.frontends.push_back(std::move(frontend));
}

void require_within(const ir::Graph& graph, const std::map<std::string, ir::Dim>& dims) {
  for (const ir::ValueId v : graph.inputs) {
    const ir::Type& type = graph.type(v);
    if (!type.is_tensor() || !type.has_rank()) continue;
    for (const ir::Dim& d : type.shape())
      for (const auto& [name, wanted] : dims)
        if (d == ir::Dim::symbol(name) && (wanted.min() < d.min() || wanted.max() > d.max()))
          throw InputError("dimension '{}' of input '{}' cannot be {}: the model takes {}", name, graph.value(v).name,
                           wanted.to_string(), d.to_string());
  }
}

void substitute_dims(ir::Graph& graph, const std::map<std::string, ir::Dim>& dims) {
  for (size_t v = 0; v < graph.value_capacity(); ++v) {
    const auto id = static_cast<ir::ValueId>(v);
    if (graph.value_alive(id) && !graph.value(id).constant) graph.value(id).type = substituted(graph.type(id), dims);
  }
  for (const ir::NodeId n : graph.order())
    for (const auto& body : ir::bodies(graph.node(n))) substitute_dims(*body, dims);
}

std::vector<std::string> input_symbols(const ir::Graph& graph) {
  std::set<std::string> names;
  for (const ir::ValueId v : graph.inputs) {
    const ir::Type& type = graph.type(v);
    if (!type.is_tensor() || !type.has_rank()) continue;
    for (const ir::Dim& d : type.shape())
      for (std::string& s : d.symbols()) names.insert(std::move(s));
  }
  return {names.begin(), names.end()};
}

ir::Graph load_model(const std::string& path, const LoadOptions& options) {
  const auto frontends = all();
  const auto it = std::find_if(frontends.begin(), frontends.end(), [&](const Frontend* f) { return f->accepts(path); });
  if (it == frontends.end()) {
    std::vector<std::string> accepted;
    for (const Frontend* f : frontends) accepted.push_back(fmt::format("{} ({})", f->accepted(), f->name()));
    throw InputError("{}: not a known kind of model; accepted are {}", path, fmt::join(accepted, ", "));
  }
  ir::Graph graph = (*it)->load(path);
  if (options.dims.empty()) return graph;
  const std::vector<std::string> symbols = input_symbols(graph);
  for (const auto& [name, dim] : options.dims) {
    if (std::find(symbols.begin(), symbols.end(), name) != symbols.end()) continue;
    throw InputError(
        "{}: no input has a dimension '{}', which --dim or an option names; its symbolic dimensions are: {}", path,
        name, symbols.empty() ? "none" : fmt::format("{}", fmt::join(symbols, ", ")));
  }
  require_within(graph, options.dims);
  substitute_dims(graph, options.dims);
  return graph;
}

}  // namespace rooftune::frontends
