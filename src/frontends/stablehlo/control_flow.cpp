// Calls (inlined), and the operations with regions that run: if and case become If, while becomes Loop.
#include "frontends/stablehlo/importer.h"
#include "frontends/stablehlo/lowering.h"

namespace rooftune::frontends::stablehlo {
namespace {

using ir::DType;
using ir::ValueId;

std::vector<Operand> operands(Lowering& l) {
  std::vector<Operand> out;
  for (size_t i = 0; i < l.count(); ++i) out.push_back(l.operand(i));
  return out;
}

void set_all(Lowering& l, const std::vector<Operand>& results) {
  if (results.size() < l.op().results.size())
    l.fail(fmt::format("has {} results; {} are named", results.size(), l.op().results.size()));
  for (size_t i = 0; i < l.op().results.size(); ++i) {
    if (!(results[i].type == l.result(i)))
      l.fail(
          fmt::format("result {} is {}, stated is {}", i, mlir::text_of(results[i].type), mlir::text_of(l.result(i))));
    l.set(results[i].id, i);
  }
}

void call(Lowering& l) {
  const std::string callee = l.word({"callee"}, "");
  if (callee.empty()) l.fail("expected the name of a function (@name)");
  set_all(l, l.importer().call(l.scope(), callee, operands(l), l.op().at));
}

/// What may stand in the place of a composite or a custom call, with its operands and results.
const Table& functions() {
  static const Table table = [] {
    Table t;
    add_elementwise(t);
    add_sorting(t);
    return t;
  }();
  return table;
}

Lower known(const std::string& key) {
  const auto it = functions().find(key);
  return it == functions().end() ? nullptr : it->second;
}

/// A known function of chlo by its operator, any other by its decomposition.
void composite(Lowering& l) {
  const std::string name = l.word({"name"}, "");
  if (const Lower lower = name.starts_with("chlo.") ? known(name) : nullptr) return lower(l);
  const std::string decomposition = l.word({"decomposition"}, "");
  if (decomposition.empty()) l.fail(fmt::format("'{}' has no decomposition", name));
  set_all(l, l.importer().call(l.scope(), decomposition, operands(l), l.op().at));
}

void custom_call(Lowering& l) {
  const std::string target = l.word({"callee", "call_target_name"}, "");
  const std::string name = target == "mhlo.topk" ? "top_k" : target.starts_with("mhlo.") ? target.substr(5) : "";
  if (const Lower lower = name.empty() ? nullptr : known("chlo." + name)) return lower(l);
  if (target == "shape_assertion" && l.op().results.empty()) return;
  // annotations: what they say of devices does not change values
  if (target == "Sharding" || target == "annotate_device_placement" || target == "SPMDFullToShardShape" ||
      target == "SPMDShardToFullShape") {
    l.require_operands(1);
    if (!(l.type(0) == l.result())) l.fail(fmt::format("@{} must have its operand's type", target));
    return l.set(l.id(0));
  }
  l.fail(
      fmt::format("the function '@{}' is not known; known are mhlo.erf, mhlo.asin and others of chlo, mhlo.topk, "
                  "Sharding, annotate_device_placement and shape_assertion",
                  target));
}

// --- regions

/// Outputs of a body must be distinct, and of its own: a value that stands twice or comes from outside is passed on.
void add_output(Lowering& l, ir::Graph& g, const Operand& value) {
  ValueId v = value.id;
  if (g.value(v).producer == ir::kNone || g.is_output(v)) {
    ir::Node identity;
    identity.op = "Identity";
    identity.since_version = kOpset;
    identity.inputs = {v};
    identity.outputs = {v = g.add_value(l.mnemonic(), g.type(v))};
    g.add_node(std::move(identity));
  }
  g.outputs.push_back(v);
}

std::shared_ptr<ir::Graph> branch(Lowering& l, const mlir::Region& region) {
  if (!region.arguments.empty()) l.fail("a branch must have no arguments");
  return l.importer().body(l.scope(), [&](Scope& inside) {
    const std::vector<Operand> values = l.importer().operations(inside, region);
    if (values.size() != l.op().result_types.size())
      l.fail(fmt::format("a branch returns {} values; expected {}", values.size(), l.op().result_types.size()));
    for (size_t i = 0; i < values.size(); ++i) {
      if (!(values[i].type == l.result(i)))
        l.fail(fmt::format("a branch returns {} for result {}, which is {}", mlir::text_of(values[i].type), i,
                           mlir::text_of(l.result(i))));
      add_output(l, *inside.builder->graph, values[i]);
    }
  });
}

void set_outputs(Lowering& l, const std::vector<ValueId>& values) {
  for (size_t i = 0; i < values.size(); ++i) l.set(values[i], i);
}

void if_(Lowering& l) {
  l.require_operands(1);
  if (l.rank(0) != 0 || l.dtype(0) != DType::boolean || l.op().regions.size() != 2)
    l.fail("expected a boolean scalar and two branches");
  if (l.op().result_types.empty()) return;
  set_outputs(
      l, l.emit_many("If", {l.id(0)}, l.op().result_types.size(),
                     {{"then_branch", branch(l, l.op().regions[0])}, {"else_branch", branch(l, l.op().regions[1])}}));
}

/// Branch `from` and those behind it: If the index is `from`, else the rest. The last one takes every other index.
std::shared_ptr<ir::Graph> branches(Lowering& l, size_t from) {
  const auto& regions = l.op().regions;
  if (from + 1 == regions.size()) return branch(l, regions[from]);
  return l.importer().body(l.scope(), [&](Scope& inside) {
    ir::Graph& g = *inside.builder->graph;
    const Operand index = l.importer().resolve(inside, l.op().operands[0], l.op().at);
    ir::Tensor place(DType::i32, {});
    place.set_double(0, static_cast<double>(from));
    ir::Node equal;
    equal.op = "Equal";
    equal.since_version = kOpset;
    equal.inputs = {index.id, g.add_constant("place", std::move(place))};
    equal.outputs = {g.add_value("here", ir::Type::tensor(DType::boolean, ir::Shape{}))};
    const ValueId here = equal.outputs[0];
    g.add_node(std::move(equal));
    // the branches are bodies of this body: they resolve names through it
    Lowering inner(l.importer(), inside, l.op());
    ir::Node node;
    node.op = "If";
    node.since_version = kOpset;
    node.inputs = {here};
    node.attributes["then_branch"] = branch(inner, regions[from]);
    node.attributes["else_branch"] = branches(inner, from + 1);
    for (const ir::Type& type : l.op().result_types)
      node.outputs.push_back(g.add_value("case", type.is_static() ? type : ir::Type()));
    g.outputs = node.outputs;
    g.add_node(std::move(node));
  });
}

void case_(Lowering& l) {
  l.require_operands(1);
  const auto& regions = l.op().regions;
  if (l.rank(0) != 0 || l.dtype(0) != DType::i32 || regions.empty()) l.fail("expected an i32 scalar and branches");
  if (regions.size() > 40) l.fail("more than 40 branches are not supported");
  if (l.op().result_types.empty()) return;
  if (regions.size() == 1) {
    Scope inside{l.scope().builder, &l.scope(), l.scope().function};
    return set_all(l, l.importer().operations(inside, regions[0]));
  }
  const ValueId first = l.emit("Equal", {l.id(0), l.scalar(DType::i32, 0)});
  set_outputs(l, l.emit_many("If", {first}, l.op().result_types.size(),
                             {{"then_branch", branch(l, regions[0])}, {"else_branch", branches(l, 1)}}));
}

/// The condition for these values of the variables, in the scope's graph.
ValueId condition(Lowering& l, Scope& around, const std::vector<Operand>& variables) {
  const mlir::Region& cond = l.op().regions[0];
  Scope inside{around.builder, &around, around.function};
  for (size_t i = 0; i < variables.size(); ++i) inside.names[cond.arguments[i].name] = variables[i];
  const std::vector<Operand> values = l.importer().operations(inside, cond);
  if (values.size() != 1 || !(values[0].type == ir::Type::tensor(DType::boolean, ir::Shape{})))
    l.fail("its condition must return one tensor<i1>");
  return values[0].id;
}

/// Loop without a trip count: the condition is computed once before it, and at the end of each iteration.
void while_(Lowering& l) {
  const auto& regions = l.op().regions;
  if (regions.size() != 2) l.fail("expected a condition and a body");
  if (l.count() == 0 || l.op().result_types.size() != l.count()) l.fail("expected as many results as variables");
  for (const mlir::Region& r : regions) {
    if (r.arguments.size() != l.count()) l.fail("condition and body must have an argument for each variable");
    for (size_t i = 0; i < l.count(); ++i)
      if (!(r.arguments[i].type == l.type(i)) || !(l.result(i) == l.type(i)))
        l.fail(fmt::format("variable {} is {}; its argument and its result must be that, too", i,
                           mlir::text_of(l.type(i))));
  }
  const auto body = l.importer().body(l.scope(), [&](Scope& inside) {
    ir::Graph& g = *inside.builder->graph;
    g.add_input("iteration", ir::Type::tensor(DType::i64, ir::Shape{}));
    g.add_input("condition", ir::Type::tensor(DType::boolean, ir::Shape{}));
    for (size_t i = 0; i < l.count(); ++i) {
      const ir::Type& type = l.type(i);
      const ValueId v = g.add_input(regions[1].arguments[i].name, type.is_static() ? type : ir::Type());
      inside.names[regions[1].arguments[i].name] = {v, type};
    }
    const std::vector<Operand> next = l.importer().operations(inside, regions[1]);
    if (next.size() != l.count())
      l.fail(fmt::format("its body returns {} values; expected {}", next.size(), l.count()));
    for (size_t i = 0; i < next.size(); ++i)
      if (!(next[i].type == l.type(i)))
        l.fail(fmt::format("its body returns {} for variable {}, which is {}", mlir::text_of(next[i].type), i,
                           mlir::text_of(l.type(i))));
    add_output(l, g, {condition(l, inside, next), {}});
    for (const Operand& v : next) add_output(l, g, v);
  });
  std::vector<ValueId> inputs = {ir::kNone, condition(l, l.scope(), operands(l))};
  for (size_t i = 0; i < l.count(); ++i) inputs.push_back(l.id(i));
  set_outputs(l, l.emit_many("Loop", std::move(inputs), l.count(), {{"body", body}}));
}

}  // namespace

void add_control_flow(Table& table) {
  table["func.call"] = call;
  table["composite"] = composite;
  table["custom_call"] = custom_call;
  table["if"] = if_;
  table["case"] = case_;
  table["while"] = while_;
}

}  // namespace rooftune::frontends::stablehlo
