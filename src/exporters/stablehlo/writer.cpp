#include <fmt/ranges.h>

#include "base/files.h"
#include "exporters/stablehlo/spelling.h"
#include "exporters/stablehlo/stablehlo.h"
#include "ops/op.h"
#include "passes/pass.h"

namespace rooftune::exporters {
namespace stablehlo {
namespace {

using ir::Graph;
using ir::ValueId;

constexpr size_t kChunk = 1 << 16;  // bytes of a weight that become text at a time

const Table& table() {
  static const Table all = [] {
    Table t;
    add_elementwise(t);
    add_shapes(t);
    add_contractions(t);
    add_reductions(t);
    return t;
  }();
  return all;
}

/// What a node computes from constants alone is computed, and shapes are: StableHLO has neither Shape nor Reshape to a
/// computed shape. Patterns stay as they are, since every one recognised would have to be spelt out again.
void normalise(Graph& g) {
  passes::PassOptions options;
  for (const passes::Pass& pass : passes::all_passes())
    if (pass.name.starts_with("recognise")) options.disabled.insert(pass.name);
  passes::run_passes(g, options);
  ops::infer_types(g);
}

class Writer {
 public:
  Writer(const Graph& graph, const std::string& path) : g_(graph), path_(path) {}

  void run() {
    for (const ir::NodeId id : g_.order()) find(g_.node(id));  // before anything else that may be wrong
    const std::string head = header();
    for (const ir::NodeId id : g_.order())  // names of the constants first: their lines go before all others
      for (const ValueId v : g_.node(id).inputs) declare(v);
    for (const ValueId v : g_.outputs) declare(v);
    for (const ir::NodeId id : g_.order()) spell(g_.node(id));
    const std::string tail = footer();
    AtomicFile file(path_);
    file.write(head);
    for (const auto& [id, name] : constants_) write_constant(file, name, *g_.constant(id));
    file.write(lines_.text);
    file.write(tail);
    file.commit();
  }

 private:
  Val typed(ValueId v, std::string name) const {
    const ir::Type& type = g_.type(v);
    if (!type.is_static())
      throw InputError("'{}' is {}: StableHLO is written with static shapes only; give its dimensions with --dim",
                       g_.value(v).name, type.to_string());
    return {std::move(name), type.dtype(), ir::static_values(type.shape())};
  }

  std::string header() {
    std::vector<std::string> inputs, outputs;
    for (size_t i = 0; i < g_.inputs.size(); ++i) {
      const Val v = typed(g_.inputs[i], fmt::format("%arg{}", i));
      values_[g_.inputs[i]] = v;
      inputs.push_back(fmt::format("{}: {} loc({})", v.name, type_text(v), quote(g_.value(g_.inputs[i]).name)));
    }
    for (const ValueId v : g_.outputs)
      outputs.push_back(fmt::format("{} {{jax.result_info = {}}}", type_text(typed(v, "")), quote(g_.value(v).name)));
    return fmt::format("module @{} {{\n  func.func public @main({}) -> ({}) {{\n",
                       quote(g_.name.empty() ? "model" : g_.name), fmt::join(inputs, ", "), fmt::join(outputs, ", "));
  }

  std::string footer() {
    std::vector<std::string> names, types;
    for (const ValueId v : g_.outputs) {
      names.push_back(values_.at(v).name);
      types.push_back(type_text(values_.at(v)));
    }
    return fmt::format("    return {} : {}\n  }}\n}}\n", fmt::join(names, ", "), fmt::join(types, ", "));
  }

  void declare(ValueId v) {
    if (v == ir::kNone || !g_.constant(v) || values_.count(v)) return;
    if (g_.constant(v)->dtype() == ir::DType::string) return;  // the node that reads it has no spelling either
    values_[v] = typed(v, lines_.fresh());
    constants_.emplace_back(v, values_[v].name);
  }

  static Spell find(const ir::Node& node) {
    const auto it = node.domain.empty() ? table().find(node.op) : table().end();
    if (it != table().end()) return it->second;
    std::vector<std::string_view> known;
    for (const auto& [name, spelling] : table()) known.push_back(name);
    throw InputError("{}: cannot be written as StableHLO; these operators can: {}", node.label(),
                     fmt::join(known, ", "));
  }

  void spell(const ir::Node& node) {
    Spelling spelling(g_, node, lines_, values_);
    find(node)(spelling);
    for (const ValueId v : node.outputs)
      RT_CHECK(v == ir::kNone || values_.count(v), "{} has no spelling for '{}'", node.label(), g_.value(v).name);
  }

  static void write_constant(AtomicFile& file, const std::string& name, const ir::Tensor& t) {
    const std::string type = type_text(t.dtype(), t.shape());
    file.write(fmt::format("    {} = \"stablehlo.constant\"() <{{value = dense<", name));
    if (t.size() == 0) {
    } else if (t.dtype() == ir::DType::boolean) {
      file.write(nested(t, 0, 0).first);
    } else {
      file.write("\"0x");
      static constexpr char kDigits[] = "0123456789ABCDEF";
      std::string text;
      for (size_t i = 0; i < t.bytes(); ++i) {
        text += kDigits[t.raw()[i] >> 4];
        text += kDigits[t.raw()[i] & 15];
        if (text.size() >= kChunk || i + 1 == t.bytes()) file.write(text), text.clear();
      }
      file.write("\"");
    }
    file.write(fmt::format("> : {}}}> : () -> {}\n", type, type));
  }

  /// Booleans from element `at` on as nested lists, and where they end: their bytes have no one reading.
  static std::pair<std::string, int64_t> nested(const ir::Tensor& t, int axis, int64_t at) {
    if (axis == t.rank()) return {t.as_int(at) != 0 ? "true" : "false", at + 1};
    std::string out = "[";
    for (int64_t i = 0; i < t.dim(axis); ++i) {
      auto [inner, next] = nested(t, axis + 1, at);
      out += (i == 0 ? "" : ", ") + inner;
      at = next;
    }
    return {out + "]", at};
  }

  const Graph& g_;
  std::string path_;
  Lines lines_;
  std::unordered_map<ValueId, Val> values_;
  std::vector<std::pair<ValueId, std::string>> constants_;
};

}  // namespace
}  // namespace stablehlo

namespace {

class StablehloExporter final : public Exporter {
 public:
  std::string name() const override { return "stablehlo"; }
  std::string extension() const override { return ".mlir"; }
  void write(const ir::Graph& graph, const std::string& path) const override { write_stablehlo(graph, path); }
};

}  // namespace

std::unique_ptr<Exporter> make_stablehlo_exporter() { return std::make_unique<StablehloExporter>(); }

void write_stablehlo(const ir::Graph& original, const std::string& path) {
  ir::Graph g = original.clone();
  stablehlo::normalise(g);
  stablehlo::Writer(g, path).run();
}

}  // namespace rooftune::exporters
