// Names for every tensor in a graph, bodies included; the text form, the JSON form and packages refer to them so.
#include "ir/graph.h"

namespace rooftune::ir {
namespace {

class Collector {
 public:
  void graph(const Graph& g, const std::string& prefix) {
    for (size_t i = 0; i < g.value_capacity(); ++i) {
      const Value& v = g.value(static_cast<ValueId>(i));
      if (v.constant) add(*v.constant, prefix + v.name);
    }
    for (const NodeId n : g.order())
      for (const auto& [key, a] : g.node(n).attributes) attribute(a, prefix + g.node(n).name + "#" + key);
  }
  ConstantTable table;

 private:
  void attribute(const Attribute& a, const std::string& key) {
    if (const auto* t = std::get_if<Tensor>(&a)) add(*t, key);
    if (const auto* g = std::get_if<std::shared_ptr<Graph>>(&a)) graph(**g, key + "#");
    if (const auto* ts = std::get_if<std::vector<Tensor>>(&a))
      for (size_t i = 0; i < ts->size(); ++i) add((*ts)[i], fmt::format("{}#{}", key, i));
    if (const auto* gs = std::get_if<std::vector<std::shared_ptr<Graph>>>(&a))
      for (size_t i = 0; i < gs->size(); ++i) graph(*(*gs)[i], fmt::format("{}#{}#", key, i));
  }

  void add(const Tensor& t, const std::string& wanted) {
    std::string key = wanted;
    for (int n = 2; table.tensors.count(key); ++n) key = fmt::format("{}#{}", wanted, n);
    table.tensors.emplace(key, t);
    table.key_of.emplace(&t, std::move(key));
  }
};

}  // namespace

ConstantTable collect_constants(const Graph& graph) {
  Collector collector;
  collector.graph(graph, "");
  return std::move(collector.table);
}

}  // namespace rooftune::ir
