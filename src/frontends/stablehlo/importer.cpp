#include "frontends/stablehlo/importer.h"

#include <set>

#include "frontends/stablehlo/stablehlo.h"
#include "frontends/utf8.h"
#include "ir/tensor.h"

namespace rooftune::frontends {
namespace stablehlo {
namespace {

constexpr int kMostNesting = 60;              // calls and regions within each other
constexpr int64_t kMostOperations = 1 << 18;  // after inlining; small functions can call each other into the billions

const Table& table() {
  static const Table all = [] {
    Table t;
    add_elementwise(t);
    add_shapes(t);
    add_contractions(t);
    add_reductions(t);
    add_windows(t);
    add_indexing(t);
    add_sorting(t);
    add_control_flow(t);
    return t;
  }();
  return all;
}

/// "stablehlo.add" and "mhlo.add" are the same; other dialects keep their name.
std::string_view key_of(std::string_view name) {
  for (const std::string_view dialect : {"stablehlo.", "mhlo."})
    if (name.starts_with(dialect)) return name.substr(dialect.size());
  return name;
}

bool is_return(const std::string& name) { return name == "func.return" || key_of(name) == "return"; }

}  // namespace

ir::Graph Importer::run() {
  const auto it = module_.functions.size() == 1 ? module_.functions.begin() : module_.functions.find("main");
  if (it == module_.functions.end()) throw InputError("the module has no function '@main'");
  const mlir::Function& main = it->second;
  ir::Graph g;
  g.name = module_.name.empty() ? main.name : module_.name;
  g.opsets[""] = kOpset;
  Builder builder{&g, {}};
  Scope scope{&builder, nullptr, main.name};
  add_inputs(scope, main);
  std::vector<Operand> results;
  try {
    results = operations(scope, main.body);
  } catch (const InputError& e) {
    if (!unknown_.empty()) fail_unknown(e.what());
    throw;
  }
  if (!unknown_.empty()) fail_unknown("");
  if (results.size() != main.result_types.size())
    mlir::fail_at(
        text_, main.at,
        fmt::format("'@{}' returns {} values and states {}", main.name, results.size(), main.result_types.size()));
  if (results.empty()) mlir::fail_at(text_, main.at, fmt::format("'@{}' returns nothing", main.name));
  add_outputs(g, main, results);
  for (const ir::NodeId n : g.order())
    if (g.node(n).op == "BitCast") g.opsets[""] = kBitCastOpset;
  g.remove_dead();
  g.sort();
  ir::verify(g);
  return g;
}

void Importer::add_inputs(Scope& scope, const mlir::Function& main) {
  ir::Graph& g = *scope.builder->graph;
  const Inputs inputs = describe_inputs(module_, main);
  for (size_t i = 0; i < main.arguments.size(); ++i) {
    const mlir::Argument& a = main.arguments[i];
    const Operand input{g.add_input(inputs.names[i], inputs.types[i]), a.type};
    if (!scope.names.emplace(a.name, input).second)
      mlir::fail_at(text_, main.at, fmt::format("'@{}' has two arguments '%{}'", main.name, a.name));
  }
}

/// Outputs are values of nodes, each once, under the names that jax gives results.
void Importer::add_outputs(ir::Graph& g, const mlir::Function& main, const std::vector<Operand>& results) {
  for (size_t i = 0; i < results.size(); ++i) {
    ir::ValueId v = results[i].id;
    if (!(results[i].type == main.result_types[i]))
      mlir::fail_at(text_, main.at,
                    fmt::format("result {} of '@{}' is {}, stated is {}", i, main.name, mlir::text_of(results[i].type),
                                mlir::text_of(main.result_types[i])));
    if (g.value(v).producer == ir::kNone || g.is_output(v)) {
      ir::Node identity;
      identity.op = "Identity";
      identity.since_version = kOpset;
      identity.inputs = {v};
      identity.outputs = {v = g.add_value("result", g.type(v))};
      g.add_node(std::move(identity));
    }
    const auto& attributes = main.result_attributes[i];
    const auto info = attributes.find("jax.result_info");
    const bool named = info != attributes.end() && !info->second.text.empty() && is_utf8(info->second.text);
    g.rename(v, named ? info->second.text : results.size() == 1 ? "result" : fmt::format("result[{}]", i));
    g.outputs.push_back(v);
  }
}

void Importer::fail_unknown(const std::string& also) const {
  std::vector<std::string> each;
  for (const auto& [name, u] : unknown_) {
    try {
      mlir::fail_at(text_, u.at, name);
    } catch (const InputError& e) {  // "line 3, column 7: name"
      each.push_back(fmt::format("  {} ({} time{})", e.what(), u.count, u.count == 1 ? "" : "s"));
    }
  }
  std::vector<std::string_view> known;
  for (const auto& [name, lower] : table()) known.push_back(name);
  throw InputError("operations that are not supported:\n{}\n{}supported are: {}", fmt::join(each, "\n"),
                   also.empty() ? "" : also + "\n", fmt::join(known, ", "));
}

Operand Importer::resolve(Scope& scope, const std::string& name, size_t at) {
  if (const auto it = scope.names.find(name); it != scope.names.end()) return it->second;
  if (!scope.around)
    mlir::fail_at(text_, at, fmt::format("'%{}' is not defined before its use in '@{}'", name, scope.function));
  Operand outer = resolve(*scope.around, name, at);
  if (scope.builder != scope.around->builder) {  // a body: it takes constants along, and captures other values
    ir::Graph& g = *scope.builder->graph;
    const ir::Graph& around = *scope.around->builder->graph;
    const ir::Value& value = around.value(outer.id);
    if (value.constant) {
      outer.id = g.add_constant(value.name, *value.constant);
    } else {
      const ir::ValueId inner = g.add_value(value.name, value.type);
      g.captures_inner.push_back(inner);
      g.captures_outer.push_back(outer.id);
      outer.id = inner;
    }
  }
  scope.names[name] = outer;
  return outer;
}

std::vector<Operand> Importer::operations(Scope& scope, const mlir::Region& region) {
  for (size_t i = 0; i < region.operations.size(); ++i) {
    const mlir::Operation& op = region.operations[i];
    if (!is_return(op.name)) {
      lower(scope, op);
      continue;
    }
    if (i + 1 != region.operations.size()) mlir::fail_at(text_, op.at, "a return that is not the last operation");
    std::vector<Operand> out;
    for (const std::string& name : op.operands) out.push_back(resolve(scope, name, op.at));
    return out;
  }
  return {};
}

void Importer::lower(Scope& scope, const mlir::Operation& op) {
  if (++operations_ > kMostOperations)
    mlir::fail_at(text_, op.at, fmt::format("more than {} operations once functions are inlined", kMostOperations));
  if (depth_ > kMostNesting)
    mlir::fail_at(text_, op.at, fmt::format("calls and regions are nested more than {} deep", kMostNesting));
  for (const std::string& name : op.results)
    if (scope.names.count(name))
      mlir::fail_at(text_, op.at, fmt::format("'%{}' is defined twice in '@{}'", name, scope.function));
  const auto it = table().find(key_of(op.name));
  if (it == table().end()) return unknown(scope, op);
  ++depth_;
  Lowering lowering(*this, scope, op);
  try {
    it->second(lowering);
  } catch (const InputError& e) {  // of the room below (sizes that overflow): say where
    if (std::string_view(e.what()).starts_with("line ")) throw;
    lowering.fail(e.what());
  }
  --depth_;
  for (const std::string& name : op.results)
    if (!scope.names.count(name)) lowering.fail(fmt::format("has no result '%{}'", name));
}

/// Notes it and goes on, so that all of them are named at once.
void Importer::unknown(Scope& scope, const mlir::Operation& op) {
  Unknown& u = unknown_[op.name];
  if (u.count++ == 0) u.at = op.at;
  for (size_t i = 0; i < op.results.size(); ++i)
    scope.names[op.results[i]] = {scope.builder->graph->add_value("unknown", op.result_types[i]), op.result_types[i]};
}

std::vector<Operand> Importer::call(Scope& scope, const std::string& function, const std::vector<Operand>& arguments,
                                    size_t at) {
  const auto it = module_.functions.find(function);
  if (it == module_.functions.end()) mlir::fail_at(text_, at, fmt::format("there is no function '@{}'", function));
  const mlir::Function& f = it->second;
  if (f.arguments.size() != arguments.size())
    mlir::fail_at(text_, at,
                  fmt::format("'@{}' has {} arguments, {} are given", function, f.arguments.size(), arguments.size()));
  Scope inside{scope.builder, nullptr, function};
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!(f.arguments[i].type == arguments[i].type))
      mlir::fail_at(text_, at,
                    fmt::format("argument {} of '@{}' is {}, given is {}", i, function,
                                mlir::text_of(f.arguments[i].type), mlir::text_of(arguments[i].type)));
    inside.names[f.arguments[i].name] = arguments[i];
  }
  std::vector<Operand> results = operations(inside, f.body);
  if (results.size() != f.result_types.size())
    mlir::fail_at(
        text_, f.at,
        fmt::format("'@{}' returns {} values and states {}", function, results.size(), f.result_types.size()));
  return results;
}

std::shared_ptr<ir::Graph> Importer::body(Scope& around, const std::function<void(Scope&)>& fill) {
  auto g = std::make_shared<ir::Graph>();
  Builder builder{g.get(), {}};
  Scope scope{&builder, &around, around.function};
  fill(scope);
  g->sort();
  return g;
}

}  // namespace stablehlo

namespace {

class StablehloFrontend final : public Frontend {
 public:
  std::string name() const override { return "stablehlo"; }
  std::string accepted() const override { return "*.mlir"; }
  bool accepts(const std::string& path) const override { return path.ends_with(".mlir"); }
  ir::Graph load(const std::string& path) const override {
    const auto bytes = ir::map_file(path);
    return load_stablehlo({reinterpret_cast<const char*>(bytes->data()), bytes->size()}, path);
  }
};

}  // namespace

std::unique_ptr<Frontend> make_stablehlo_frontend() { return std::make_unique<StablehloFrontend>(); }

ir::Graph load_stablehlo(std::string_view text, const std::string& source) {
  try {
    // jax writes portable artifacts as bytecode, which begins with these letters
    if (text.starts_with("ML\xefR") || text.starts_with("StableHLO_"))
      throw InputError("MLIR bytecode; the text form is accepted (jax: exported.mlir_module())");
    const mlir::Module module = mlir::parse_module(text);
    return stablehlo::Importer(text, module).run();
  } catch (const InputError& e) {
    throw InputError("{}: {}", source, e.what());
  }
}

}  // namespace rooftune::frontends
