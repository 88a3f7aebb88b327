#include "frontends/stablehlo/lowering.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <numeric>
#include <set>

#include "frontends/stablehlo/importer.h"

namespace rooftune::frontends::stablehlo {
namespace {

using mlir::Attribute;
using Kind = Attribute::Kind;

constexpr int64_t kLargestIota = 1 << 16;  // that is stored; longer ones are computed

bool is_identity(const std::vector<int64_t>& perm) {
  for (size_t i = 0; i < perm.size(); ++i)
    if (perm[i] != static_cast<int64_t>(i)) return false;
  return true;
}

}  // namespace

Lowering::Lowering(Importer& importer, Scope& scope, const mlir::Operation& op)
    : importer_(importer), scope_(scope), op_(op) {
  for (const std::string& name : op.operands) operands_.push_back(importer.resolve(scope, name, op.at));
  if (op.operand_types.size() == operands_.size()) {
    for (size_t i = 0; i < operands_.size(); ++i)
      if (!(operands_[i].type == op.operand_types[i]))
        fail(fmt::format("operand '%{}' is {}, stated is {}", op.operands[i], mlir::text_of(operands_[i].type),
                         mlir::text_of(op.operand_types[i])));
  }
  label_ = importer.module().location_name(op.location);
  if (label_.empty()) label_ = mnemonic();
}

std::string Lowering::mnemonic() const { return op_.name.substr(op_.name.find_last_of('.') + 1); }

void Lowering::fail(const std::string& what) const {
  mlir::fail_at(importer_.text(), op_.at, fmt::format("{}: {}", op_.name, what));
}

// --- operands and results

void Lowering::require_operands(size_t n) const {
  if (count() != n) fail(fmt::format("has {} operands; expected {}", count(), n));
}

const Operand& Lowering::operand(size_t i) const {
  if (i >= operands_.size()) fail(fmt::format("has {} operands; expected at least {}", operands_.size(), i + 1));
  return operands_[i];
}

std::vector<int64_t> Lowering::shape(size_t i) const {
  if (!type(i).is_static())
    fail(fmt::format("operand {} is {}: this operation is supported with static dimensions only", i,
                     mlir::text_of(type(i))));
  return ir::static_values(type(i).shape());
}

const ir::Tensor* Lowering::constant(size_t i) const {
  const ir::Graph& g = *scope_.builder->graph;
  if (const ir::Tensor* t = g.constant(id(i))) return t;
  const Operand* n = narrow(id(i));
  const ir::Tensor* t = n ? g.constant(n->id) : nullptr;
  return t && t->size() == 1 ? t : nullptr;
}

const Operand* Lowering::narrow(ir::ValueId wide) const {
  const auto it = scope_.builder->narrow.find(wide);
  return it == scope_.builder->narrow.end() ? nullptr : &it->second;
}

const ir::Type& Lowering::result(size_t i) const {
  if (i >= op_.result_types.size()) fail(fmt::format("states no type of result {}", i));
  return op_.result_types[i];
}

std::vector<int64_t> Lowering::result_shape(size_t i) const {
  if (!result(i).is_static())
    fail(fmt::format("result {} is {}: this operation is supported with static dimensions only", i,
                     mlir::text_of(result(i))));
  return ir::static_values(result(i).shape());
}

void Lowering::set(ir::ValueId value, size_t i) {
  if (i >= op_.results.size()) return;
  ir::Value& v = graph().value(value);
  if (result(i).is_static()) {
    if (v.type.kind() == ir::Type::Kind::none) v.type = result(i);
    else if (v.type.is_static() && !(v.type == result(i)))
      fail(fmt::format("its result is {}, stated is {}", mlir::text_of(v.type), mlir::text_of(result(i))));
  }
  scope_.names[op_.results[i]] = {value, result(i)};
}

// --- attributes

const Attribute* Lowering::find(Names names) const {
  for (const char* name : names)
    if (const auto it = op_.attributes.find(name); it != op_.attributes.end()) return &it->second;
  return nullptr;
}

int64_t Lowering::to_int(const Attribute& a, const std::string& name) const {
  if (a.kind == Kind::word && (a.text == "true" || a.text == "false")) return a.text == "true";
  if (a.kind == Kind::tensor && a.tensor.size() == 1 && !ir::is_float(a.tensor.dtype())) return a.tensor.as_int(0);
  int64_t value = 0;
  const char* end = a.text.data() + a.text.size();
  if (a.kind != Kind::number || std::from_chars(a.text.data(), end, value).ptr != end || a.text.empty())
    fail(fmt::format("attribute '{}' must be an integer", name));
  return value;
}

std::vector<int64_t> Lowering::to_ints(const Attribute& a, const std::string& name) const {
  if (a.kind == Kind::tensor) {
    if (ir::is_float(a.tensor.dtype())) fail(fmt::format("attribute '{}' must hold integers", name));
    const int64_t n = ir::checked_element_count(ir::static_values(a.type.shape()));
    if (a.tensor.size() != n) {
      if (n > 4096) fail(fmt::format("attribute '{}' has {} values", name, n));
      return std::vector<int64_t>(static_cast<size_t>(n), a.tensor.as_int(0));
    }
    return a.tensor.as_ints();
  }
  if (a.kind != Kind::list) fail(fmt::format("attribute '{}' must be a list of integers", name));
  std::vector<int64_t> out;
  for (const Attribute& item : a.items) {
    if (item.kind != Kind::list) {
      out.push_back(to_int(item, name));
      continue;
    }
    for (const Attribute& inner : item.items) out.push_back(to_int(inner, name));  // [[1, 2], [3, 4]]
  }
  return out;
}

std::vector<int64_t> Lowering::ints(Names names, std::vector<int64_t> otherwise) const {
  const Attribute* a = find(names);
  return a ? to_ints(*a, *names.begin()) : otherwise;
}

std::vector<int64_t> Lowering::ints(Names names) const {
  if (!has(names)) fail(fmt::format("attribute '{}' is missing", *names.begin()));
  return ints(names, {});
}

int64_t Lowering::integer(Names names, int64_t otherwise) const {
  const Attribute* a = find(names);
  return a ? to_int(*a, *names.begin()) : otherwise;
}

int64_t Lowering::integer(Names names) const {
  if (!has(names)) fail(fmt::format("attribute '{}' is missing", *names.begin()));
  return integer(names, 0);
}

std::string Lowering::word(Names names, const std::string& otherwise) const {
  const Attribute* a = find(names);
  if (!a) return otherwise;
  if (a->kind != Kind::word && a->kind != Kind::string && a->kind != Kind::symbol)
    fail(fmt::format("attribute '{}' must be a word", *names.begin()));
  return a->text;
}

void Lowering::check_axes(const std::vector<int64_t>& axes, int rank, const std::string& name) const {
  std::set<int64_t> seen;
  for (const int64_t a : axes) {
    if (a < 0 || a >= rank) fail(fmt::format("'{}' names dimension {} of a tensor of rank {}", name, a, rank));
    if (!seen.insert(a).second) fail(fmt::format("'{}' names dimension {} twice", name, a));
  }
}

std::vector<int64_t> Lowering::axes(Names names, int rank) const {
  std::vector<int64_t> out = ints(names);
  check_axes(out, rank, *names.begin());
  return out;
}

int64_t Lowering::axis(Names names, int rank) const {
  const int64_t a = integer(names);
  check_axes({a}, rank, *names.begin());
  return a;
}

// --- nodes

std::vector<ir::ValueId> Lowering::emit_many(const std::string& op, std::vector<ir::ValueId> inputs, size_t outputs,
                                             Attributes attributes) {
  ir::Node node;
  node.op = op;
  node.name = label_;
  node.since_version = op == "BitCast" ? kBitCastOpset : kOpset;
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  for (size_t i = 0; i < outputs; ++i) node.outputs.push_back(graph().add_value(label_, ir::Type()));
  std::vector<ir::ValueId> out = node.outputs;
  graph().add_node(std::move(node));
  return out;
}

ir::ValueId Lowering::emit(const std::string& op, std::vector<ir::ValueId> inputs, Attributes attributes) {
  return emit_many(op, std::move(inputs), 1, std::move(attributes))[0];
}

ir::ValueId Lowering::constant(ir::Tensor tensor) {
  const bool named = op_.name.ends_with("constant") && !op_.results.empty();
  return graph().add_constant(named ? op_.results[0] : label_ + ".constant", std::move(tensor));
}

ir::ValueId Lowering::scalar(ir::DType dtype, double value) {
  ir::Tensor t(dtype, {});
  t.set_double(0, value);
  return constant(std::move(t));
}

ir::ValueId Lowering::list(const std::vector<int64_t>& values) {
  return constant(ir::Tensor::of<int64_t>(ir::DType::i64, {static_cast<int64_t>(values.size())}, values));
}

ir::ValueId Lowering::cast(ir::ValueId value, ir::DType to) {
  return emit("Cast", {value}, {{"to", static_cast<int64_t>(to)}});
}

ir::ValueId Lowering::reshape(ir::ValueId value, const std::vector<int64_t>& shape) {
  return emit("Reshape", {value, list(shape)}, {{"allowzero", int64_t{1}}});
}

ir::ValueId Lowering::transpose(ir::ValueId value, const std::vector<int64_t>& perm) {
  return is_identity(perm) ? value : emit("Transpose", {value}, {{"perm", perm}});
}

ir::ValueId Lowering::unsqueeze(ir::ValueId value, const std::vector<int64_t>& axes) {
  return axes.empty() ? value : emit("Unsqueeze", {value, list(axes)});
}

ir::ValueId Lowering::squeeze(ir::ValueId value, const std::vector<int64_t>& axes) {
  return axes.empty() ? value : emit("Squeeze", {value, list(axes)});
}

ir::ValueId Lowering::expand(ir::ValueId value, const std::vector<int64_t>& shape) {
  return emit("Expand", {value, list(shape)});
}

ir::ValueId Lowering::slice(ir::ValueId value, const std::vector<int64_t>& starts, const std::vector<int64_t>& ends,
                            const std::vector<int64_t>& steps) {
  std::vector<int64_t> axes(starts.size());
  std::iota(axes.begin(), axes.end(), 0);
  std::vector<ir::ValueId> inputs = {value, list(starts), list(ends), list(axes)};
  if (!steps.empty()) inputs.push_back(list(steps));
  return emit("Slice", std::move(inputs));
}

ir::ValueId Lowering::pad(ir::ValueId value, std::vector<int64_t> shape, const std::vector<int64_t>& low,
                          const std::vector<int64_t>& high, const std::vector<int64_t>& interior, ir::ValueId fill) {
  const size_t rank = shape.size();
  const auto any = [](const std::vector<int64_t>& v, auto&& test) { return std::any_of(v.begin(), v.end(), test); };
  if (any(interior, [](int64_t i) { return i != 0; })) {
    // x x x -> x 0 0 | x 0 0 | x 0 0 -> x 0 0 x 0 0 x: a dimension beside each, padded, folded in, and the end cut off
    std::vector<int64_t> beside, split, pads(4 * rank, 0), folded, zeros(rank, 0), ends;
    for (size_t i = 0; i < rank; ++i) {
      const int64_t steps = product(*this, {interior[i] + 1});
      beside.push_back(static_cast<int64_t>(2 * i + 1));
      pads[2 * rank + 2 * i + 1] = interior[i];
      folded.push_back(product(*this, {shape[i], steps}));
      ends.push_back(shape[i] == 0 ? 0 : folded[i] - interior[i]);
    }
    const ir::ValueId padded = emit("Pad", {unsqueeze(value, beside), list(pads), fill});
    value = slice(reshape(padded, folded), zeros, ends);
    shape = ends;
  }
  if (any(low, [](int64_t p) { return p < 0; }) || any(high, [](int64_t p) { return p < 0; })) {
    std::vector<int64_t> starts(rank), ends(rank);
    for (size_t i = 0; i < rank; ++i) {
      starts[i] = std::min(shape[i], std::max<int64_t>(0, -low[i]));
      ends[i] = std::max(starts[i], shape[i] + std::min<int64_t>(0, high[i]));
      if (shape[i] + std::min<int64_t>(0, high[i]) + std::min<int64_t>(0, low[i]) < 0)
        fail(fmt::format("cuts more than the {} elements of dimension {}", shape[i], i));
    }
    value = slice(value, starts, ends);
  }
  if (!any(low, [](int64_t p) { return p > 0; }) && !any(high, [](int64_t p) { return p > 0; })) return value;
  std::vector<int64_t> pads;
  for (const auto* side : {&low, &high})
    for (const int64_t p : *side) pads.push_back(std::max<int64_t>(0, p));
  return emit("Pad", {value, list(pads), fill});
}

ir::ValueId Lowering::iota(ir::DType dtype, int64_t n) {
  if (n <= kLargestIota) {
    ir::Tensor t(dtype, {n});
    for (int64_t i = 0; i < n; ++i) t.set_double(i, static_cast<double>(i));
    return constant(std::move(t));
  }
  const auto number = [&](int64_t v) { return constant(ir::Tensor::of<int64_t>(ir::DType::i64, {}, {v})); };
  const ir::ValueId range = emit("Range", {number(0), number(n), number(1)});
  return dtype == ir::DType::i64 ? range : cast(range, dtype);
}

int64_t product(const Lowering& l, const std::vector<int64_t>& values) {
  int64_t out = 1;
  for (const int64_t v : values)
    if (v < 0 || __builtin_mul_overflow(out, v, &out) || out > (int64_t{1} << 46)) l.fail("a size that is too large");
  return out;
}

// --- what regions compute

namespace {

struct Formulas {
  Lowering& l;
  std::map<std::string, std::string> of = {};

  std::string value(const std::string& name) const {
    const auto it = of.find(name);
    if (it != of.end()) return it->second;
    // a value from around the region: constants show as numbers
    const Operand outer = l.importer().resolve(l.scope(), name, l.op().at);
    const ir::Tensor* t = l.graph().constant(outer.id);
    if (!t || t->size() != 1) return "%" + name;
    return number(*t);
  }

  static std::string number(const ir::Tensor& t) {
    if (ir::is_float(t.dtype())) return std::isnan(t.as_double(0)) ? "nan" : fmt::format("{}", t.as_double(0));
    return fmt::format("{}", t.as_int(0));
  }
};

/// jax brings keys to one zero and one NaN before it compares: select(NE(x,x),nan,select(EQ(x,0),0,x)) is x for us.
std::string canonical_select(const std::string& p, const std::string& a, const std::string& b) {
  if ((p == "EQ(" + b + ",0)" && a == "0") || (p.starts_with("NE(") && a == "nan")) {
    const std::string twice = p.substr(3, p.size() - 4);
    const std::string half = twice.substr(0, twice.size() / 2);
    if (p.starts_with("EQ(") || (twice == half + "," + half && b == half)) return b;
  }
  return fmt::format("select({},{},{})", p, a, b);
}

}  // namespace

std::vector<std::string> formulas(Lowering& l, const mlir::Region& region) {
  constexpr size_t kLongest = 2000;  // nothing that is recognised is longer; shared operands double at each step
  Formulas f{l};
  for (size_t i = 0; i < region.arguments.size(); ++i) f.of[region.arguments[i].name] = fmt::format("a{}", i);
  for (const mlir::Operation& op : region.operations) {
    std::vector<std::string> operands;
    for (const std::string& name : op.operands) operands.push_back(f.value(name));
    const std::string name = op.name.substr(op.name.find_last_of('.') + 1);
    if (name == "return") return operands;
    std::string out;
    if (name == "constant") {
      const auto it = op.attributes.find("value");
      const bool one = it != op.attributes.end() && it->second.tensor && it->second.tensor.size() == 1;
      out = one ? Formulas::number(it->second.tensor) : "?";
    } else if (name == "select" && operands.size() == 3) {
      out = canonical_select(operands[0], operands[1], operands[2]);
    } else if (name == "compare") {
      std::string direction = "?";
      if (const auto it = op.attributes.find("comparison_direction"); it != op.attributes.end())
        direction = it->second.text;
      else if (const auto words = op.attributes.find("words");
               words != op.attributes.end() && !words->second.items.empty())
        direction = words->second.items[0].text;
      out = fmt::format("{}({})", direction, fmt::join(operands, ","));
    } else {
      out = fmt::format("{}({})", name, fmt::join(operands, ","));
    }
    if (out.size() > kLongest) out = "?";
    for (const std::string& result : op.results) f.of[result] = op.results.size() == 1 ? out : "?";
  }
  return {};
}

std::string simple_body(Lowering& l, const mlir::Region& region) {
  const std::vector<std::string> out = formulas(l, region);
  if (out.size() != 1 || region.arguments.size() != 2) return "";
  if (out[0] == "a1") return "second";
  for (const char* name : {"add", "multiply", "maximum", "minimum", "and", "or"})
    if (out[0] == std::string(name) + "(a0,a1)" || out[0] == std::string(name) + "(a1,a0)") return name;
  return "";
}

}  // namespace rooftune::frontends::stablehlo
