#include "frontends/torch/graph_importer.h"

#include <algorithm>

#include "frontends/torch/in_place.h"

namespace rooftune::frontends::torch_format {
namespace {

/// Names of all results, lists unrolled; an empty name where a result is not kept.
std::vector<std::string> result_names(const Call& call) {
  std::vector<std::string> names;
  for (const Argument& output : call.outputs) {
    if (const auto* ref = std::get_if<TensorRef>(&output)) names.push_back(ref->name);
    else if (const auto* n = std::get_if<Number>(&output)) names.push_back(n->name);
    else if (const auto* list = std::get_if<std::vector<TensorRef>>(&output))
      for (const TensorRef& ref : *list) names.push_back(ref.name);
    else names.emplace_back();
  }
  return names;
}

bool gives_numbers(const Call& call) {
  return !call.outputs.empty() && std::holds_alternative<Number>(call.outputs[0]);
}

}  // namespace

void GraphImporter::bind(const std::string& name, ValueId value, std::string protect) {
  Binding b;
  b.value = value;
  b.protect = std::move(protect);
  if (!tensors_.emplace(name, std::move(b)).second) throw InputError("two values are called '{}'", name);
}

void GraphImporter::run() {
  for (const Call& call : program_.calls) {
    try {
      lower(call);
    } catch (const InputError& e) {
      if (std::string_view(e.what()).find("node '") != std::string_view::npos) throw;
      throw InputError("{}: {}", label(call), e.what());
    }
  }
}

// --- names

GraphImporter::Binding& GraphImporter::binding(const std::string& name) {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) throw InputError("tensor '{}' is used, but nothing before computes it", name);
  return it->second;
}

GraphImporter::Binding& GraphImporter::root(const std::string& name) {
  Binding* b = &binding(name);
  while (!b->base.empty()) b = &binding(b->base);
  return *b;
}

ValueId GraphImporter::tensor(const std::string& name) {
  Binding& b = binding(name);
  const int64_t writes = root(name).writes;
  if (b.base.empty() || b.seen == writes) return b.value;
  const ValueId base = tensor(b.base);
  if (b.view == nullptr) {
    b.value = base;
  } else {  // its argument is read through this same map, so it is made from what stands there now
    const std::vector<ValueId> values = results(*b.view, *Lowerings::instance().find(b.view->target), false);
    b.value = values.at(b.result);
  }
  b.seen = writes;
  return b.value;
}

ValueId GraphImporter::number(const std::string& name) {
  const auto it = numbers_.find(name);
  if (it == numbers_.end()) throw InputError("number '{}' is used, but nothing before computes it", name);
  return it->second;
}

const TensorMeta& GraphImporter::meta(const std::string& name) const {
  const auto it = program_.tensors.find(name);
  if (it == program_.tensors.end()) throw InputError("tensor '{}' has no entry in tensor_values", name);
  return it->second;
}

std::optional<int64_t> GraphImporter::known_integer(const std::string& name) const {
  const auto it = program_.integers.find(name);
  if (it == program_.integers.end() || !it->second.is_static()) return std::nullopt;
  return it->second.value();
}

// --- calls

std::vector<ValueId> GraphImporter::results(const Call& call, const Lowering& lowering, bool names_results) {
  Context context(call, *this, graph_, constants_);
  const std::vector<std::string> names = result_names(call);
  context.results_ = names;
  lowering(context);
  std::vector<ValueId> values = context.given();
  values.resize(names.size(), kNone);
  const bool numbers = gives_numbers(call);
  for (size_t i = 0; i < values.size() && !numbers; ++i) {
    if (values[i] == kNone || names[i].empty()) continue;
    const TensorMeta& m = meta(names[i]);
    values[i] = context.cast(values[i], m.dtype);
    if (!context.made_here(values[i])) continue;
    ir::Value& value = graph_.value(values[i]);
    if (value.type.is_tensor() && !value.type.has_rank()) value.type = ir::Type::tensor(m.dtype, m.shape);
    if (names_results) graph_.rename(values[i], names[i]);
  }
  context.flush(call.module.empty() ? call.name : call.module + "/" + call.name);
  return values;
}

void GraphImporter::lower(const Call& call) {
  const Lowerings& table = Lowerings::instance();
  if (const Lowering* lowering = table.find(call.target)) return bind_results(call, results(call, *lowering, true));
  const Lowering* lowering = table.find(without_underscore(call.target));
  if (lowering == nullptr) throw InputError("{}: the operator is not supported", label(call));
  lower_in_place(call, *lowering);
}

void GraphImporter::bind_results(const Call& call, const std::vector<ValueId>& values) {
  const std::vector<std::string> names = result_names(call);
  const bool numbers = gives_numbers(call);
  const std::string base = viewed(call, *this);
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty() || values[i] == kNone) continue;
    if (numbers) {
      numbers_[names[i]] = values[i];
      continue;
    }
    bind(names[i], values[i]);
    if (base.empty()) continue;
    Binding& b = binding(names[i]);
    b.base = base;
    b.view = &call;
    b.result = i;
    b.seen = root(base).writes;
  }
}

void GraphImporter::lower_in_place(const Call& call, const Lowering& lowering) {
  const std::vector<std::string> names = result_names(call);
  const auto* self = call.inputs.empty() ? nullptr : std::get_if<TensorRef>(&call.inputs[0].second);
  if (self == nullptr || names.size() != 1)
    throw InputError("{}: an operator in place must write to its first argument", label(call));
  const ValueId value = results(call, lowering, true)[0];
  write(self->name, value);
  bind(names[0], value);
  Binding& b = binding(names[0]);
  b.base = self->name;
  b.seen = root(self->name).writes;
}

void GraphImporter::write(const std::string& name, ValueId value) {
  Binding& b = binding(name);
  if (!b.protect.empty())
    throw InputError(
        "the model writes to {}: nothing is kept from one run to the next; pass such a tensor as an input and return "
        "its new value{}",
        b.protect,
        b.protect.find("running_") != std::string::npos || b.protect.find("num_batches") != std::string::npos
            ? " (or call eval() before exporting)"
            : "");
  if (ir::Value& v = graph_.value(value); !v.type.has_rank())
    v.type = ir::Type::tensor(meta(name).dtype, meta(name).shape);
  if (b.base.empty()) {
    ++b.writes;
  } else if (b.view == nullptr) {
    write(b.base, value);
  } else {
    Context context(*b.view, *this, graph_, constants_);
    context.results_ = result_names(*b.view);
    const ValueId base = write_back(context, tensor(b.base), value, b.result);
    context.flush(b.view->module.empty() ? b.view->name : b.view->module + "/" + b.view->name);
    write(b.base, base);
  }
  b.value = value;
  b.seen = root(name).writes;
}

// --- bodies of control flow

void GraphImporter::bind_operands(const std::vector<ValueId>& operands) {
  if (operands.size() != program_.inputs.size())
    throw InputError("a body takes {} operands, but is given {}", program_.inputs.size(), operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    if (operands[i] == kNone) continue;
    if (const auto* ref = std::get_if<TensorRef>(&program_.inputs[i]))
      bind(ref->name, operands[i], "an operand of a body");
    else if (const auto* n = std::get_if<Number>(&program_.inputs[i])) bind_number(n->name, operands[i]);
    else throw InputError("operand {} of a body is neither a tensor nor a number", i);
  }
}

std::vector<ValueId> GraphImporter::all_outputs() {
  std::vector<ValueId> values;
  for (const Argument& output : program_.outputs) {
    const auto* ref = std::get_if<TensorRef>(&output);
    if (ref == nullptr || ref->name.empty()) throw InputError("a body returns something that is no tensor");
    values.push_back(tensor(ref->name));
  }
  return values;
}

std::vector<ValueId> GraphImporter::captured(ir::Graph& body, const std::vector<ValueId>& operands, size_t from) const {
  std::vector<ValueId> inner(operands.size(), kNone);
  for (size_t i = from; i < operands.size(); ++i) {
    if (operands[i] == kNone) continue;
    inner[i] = body.add_value(graph_.value(operands[i]).name, graph_.type(operands[i]));
    body.captures_inner.push_back(inner[i]);
    body.captures_outer.push_back(operands[i]);
  }
  return inner;
}

std::vector<ValueId> GraphImporter::inlined(const SubGraph& graph, const std::vector<ValueId>& operands) {
  GraphImporter inner(graph_, graph);
  inner.bind_operands(operands);
  inner.run();
  return inner.all_outputs();
}

std::shared_ptr<ir::Graph> GraphImporter::branch(const SubGraph& graph, const std::vector<ValueId>& operands) {
  auto body = std::make_shared<ir::Graph>();
  GraphImporter inner(*body, graph);
  inner.bind_operands(captured(*body, operands, 0));
  inner.run();
  for (size_t i = 0; i < graph.outputs.size(); ++i)
    body->outputs.push_back(inner.output(graph.outputs[i], fmt::format("result_{}", i)));
  return body;
}

std::shared_ptr<ir::Graph> GraphImporter::loop_body(const SubGraph& condition, const SubGraph& body,
                                                    const std::vector<ValueId>& operands, size_t carried) {
  auto result = std::make_shared<ir::Graph>();
  result->add_input("iteration", ir::Type::tensor(DType::i64, ir::Shape{}));
  result->add_input("go_on", ir::Type::tensor(DType::boolean, ir::Shape{}));
  std::vector<ValueId> values = captured(*result, operands, carried);
  for (size_t i = 0; i < carried; ++i) {
    if (operands[i] == kNone) throw InputError("what a loop carries must be tensors");
    values[i] = result->add_input(fmt::format("carried_{}", i), graph_.type(operands[i]));
  }
  GraphImporter inner(*result, body);
  inner.bind_operands(values);
  inner.run();
  if (body.outputs.size() != carried)
    throw InputError("a loop carries {} values, its body returns {}", carried, body.outputs.size());
  std::vector<ValueId> next;
  for (size_t i = 0; i < carried; ++i) next.push_back(inner.output(body.outputs[i], fmt::format("next_{}", i)));
  std::copy(next.begin(), next.end(), values.begin());
  GraphImporter asks(*result, condition);
  asks.bind_operands(values);
  asks.run();
  if (condition.outputs.size() != 1) throw InputError("the condition of a loop must be one value");
  result->outputs.push_back(asks.output(condition.outputs[0], "again"));
  result->outputs.insert(result->outputs.end(), next.begin(), next.end());
  return result;
}

ValueId GraphImporter::output(const Argument& argument, const std::string& name) {
  Call none;
  none.name = name;
  Builder builder(graph_, constants_);
  ValueId value = kNone;
  bool own = false;
  if (const auto* ref = std::get_if<TensorRef>(&argument)) {
    if (ref->name.empty()) return kNone;
    value = tensor(ref->name);
  } else if (const auto* n = std::get_if<Number>(&argument); n != nullptr && !n->name.empty()) {
    if (const auto known = known_integer(n->name)) value = builder.integer(DType::i64, *known);
    else value = number(n->name);
    if (n->kind == Number::Kind::integer && !graph_.constant(value)) value = builder.scalar_of(Size::computed(value));
    own = builder.made_here(value);
  } else {
    return kNone;
  }
  if (!own && (graph_.value(value).producer == kNone || graph_.is_output(value)))
    value = builder.op_as(graph_.type(value).dtype(), "Identity", {value});
  builder.flush(name);
  graph_.rename(value, name);
  return value;
}

// --- what is not supported

namespace {

struct Unknown {
  size_t count = 0;
  std::string first, module;
};

void collect_unknown(const SubGraph& graph, std::map<std::string, Unknown>& unknown) {
  const Lowerings& table = Lowerings::instance();
  for (const Call& call : graph.calls) {
    for (const auto& [name, argument] : call.inputs)
      if (const auto* body = std::get_if<std::shared_ptr<SubGraph>>(&argument)) collect_unknown(**body, unknown);
    if (table.find(call.target) || table.find(without_underscore(call.target))) continue;
    Unknown& u = unknown[call.target];
    if (u.count++ == 0) {
      u.first = call.name;
      u.module = call.module;
    }
  }
}

}  // namespace

void require_known_operators(const SubGraph& graph) {
  std::map<std::string, Unknown> unknown;
  collect_unknown(graph, unknown);
  if (unknown.empty()) return;
  std::vector<std::string> lines;
  for (const auto& [target, u] : unknown)
    lines.push_back(fmt::format("{} ({}, first in node '{}'{})", target,
                                u.count == 1 ? "once" : fmt::format("{} times", u.count), u.first,
                                u.module.empty() ? "" : fmt::format(" of module '{}'", u.module)));
  throw InputError("the model has {} that {} not supported: {}", lines.size() == 1 ? "an operator" : "operators",
                   lines.size() == 1 ? "is" : "are", fmt::join(lines, "; "));
}

}  // namespace rooftune::frontends::torch_format
