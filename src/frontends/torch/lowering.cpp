#include "frontends/torch/lowering.h"

#include <algorithm>

namespace rooftune::frontends::torch_format {
namespace {

enum class Category : uint8_t { boolean, integer, real };

Category category(DType dtype) {
  if (dtype == DType::boolean) return Category::boolean;
  return ir::is_integer(dtype) ? Category::integer : Category::real;
}

/// Of two types of tensors of equal standing (torch.promote_types).
DType promote(DType a, DType b) {
  if (a == b || b == DType::undefined) return a;
  if (a == DType::undefined) return b;
  const Category ca = category(a), cb = category(b);
  if (ca != cb) return ca > cb ? a : b;
  if (ca == Category::real)
    return ir::bit_width(a) == ir::bit_width(b) ? DType::f32 : ir::bit_width(a) > ir::bit_width(b) ? a : b;
  if (ir::is_signed(a) == ir::is_signed(b)) return ir::bit_width(a) > ir::bit_width(b) ? a : b;
  const DType with_sign = ir::is_signed(a) ? a : b, without = ir::is_signed(a) ? b : a;
  if (ir::bit_width(with_sign) > ir::bit_width(without)) return with_sign;
  return ir::bit_width(without) == 8 ? DType::i16 : ir::bit_width(without) == 16 ? DType::i32 : DType::i64;
}

std::string_view kind_of(const Argument& a) {
  constexpr std::string_view kKinds[] = {
      "None", "a tensor",        "a list of tensors", "a number",      "a list of numbers",
      "text", "an element type", "a graph",           "something else"};
  return kKinds[a.index()];
}

}  // namespace

std::string label(const Call& call) {
  const std::string place = call.module.empty() ? "" : fmt::format(" of module '{}'", call.module);
  return fmt::format("node '{}' ({}){}", call.name, call.target, place);
}

// --- arguments

void Context::fail(const std::string& why) const { throw InputError("{}: {}", label(call_), why); }

const Argument* Context::find(std::string_view name) const {
  for (const auto& [key, value] : call_.inputs)
    if (key == name) return &value;
  return nullptr;
}

const Argument& Context::argument(std::string_view name) const {
  const Argument* a = find(name);
  if (a == nullptr) fail(fmt::format("argument '{}' is missing", name));
  return *a;
}

bool Context::has(std::string_view name) const {
  const Argument* a = find(name);
  return a != nullptr && !std::holds_alternative<std::monostate>(*a);
}

bool Context::is_tensor(std::string_view name) const {
  const Argument* a = find(name);
  return a != nullptr && std::holds_alternative<TensorRef>(*a);
}

const std::string& Context::tensor_name(std::string_view name) const {
  const Argument& a = argument(name);
  const auto* ref = std::get_if<TensorRef>(&a);
  if (ref == nullptr) fail(fmt::format("argument '{}' must be a tensor, but is {}", name, kind_of(a)));
  return ref->name;
}

ValueId Context::tensor(std::string_view name) { return scope_.tensor(tensor_name(name)); }

std::vector<ValueId> Context::tensors(std::string_view name) {
  const Argument& a = argument(name);
  const auto* list = std::get_if<std::vector<TensorRef>>(&a);
  std::vector<ValueId> values;
  if (const auto* numbers = std::get_if<std::vector<Number>>(&a); numbers != nullptr && numbers->empty()) return values;
  if (list == nullptr) fail(fmt::format("argument '{}' must be a list of tensors, but is {}", name, kind_of(a)));
  for (const TensorRef& ref : *list) values.push_back(ref.name.empty() ? kNone : scope_.tensor(ref.name));
  return values;
}

int64_t Context::integer(std::string_view name) const {
  const Argument& a = argument(name);
  const auto* n = std::get_if<Number>(&a);
  if (n == nullptr || n->kind == Number::Kind::real)
    fail(fmt::format("argument '{}' must be an integer, but is {}", name, n == nullptr ? kind_of(a) : "a real number"));
  const auto known = n->name.empty() ? std::optional(n->integer) : scope_.known_integer(n->name);
  if (!known) fail(fmt::format("argument '{}' must not depend on the sizes of the inputs", name));
  return in_range(*known, name);
}

/// Beyond this an axis, a stride or a number of heads is damaged, and arithmetic with it would overflow.
int64_t Context::in_range(int64_t value, std::string_view name) const {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (value > kMost || value < -kMost) fail(fmt::format("argument '{}' is {}, which is out of range", name, value));
  return value;
}

double Context::real(std::string_view name, double otherwise) const {
  if (!has(name)) return otherwise;
  const Argument& a = argument(name);
  const auto* n = std::get_if<Number>(&a);
  if (n == nullptr) fail(fmt::format("argument '{}' must be a number, but is {}", name, kind_of(a)));
  if (n->name.empty()) return n->real;
  if (n->kind != Number::Kind::real)
    if (const auto known = scope_.known_integer(n->name)) return static_cast<double>(*known);
  fail(fmt::format("argument '{}' must not depend on the sizes of the inputs", name));
}

std::string Context::text(std::string_view name, std::string otherwise) const {
  if (!has(name)) return otherwise;
  const Argument& a = argument(name);
  const auto* s = std::get_if<std::string>(&a);
  if (s == nullptr) fail(fmt::format("argument '{}' must be text, but is {}", name, kind_of(a)));
  return *s;
}

std::vector<int64_t> Context::integers(std::string_view name) const {
  const Argument& a = argument(name);
  if (std::holds_alternative<Number>(a)) return {integer(name)};
  const auto* list = std::get_if<std::vector<Number>>(&a);
  if (const auto* refs = std::get_if<std::vector<TensorRef>>(&a); refs != nullptr && refs->empty()) return {};
  if (list == nullptr) fail(fmt::format("argument '{}' must be a list of integers, but is {}", name, kind_of(a)));
  std::vector<int64_t> values;
  for (const Number& n : *list) {
    if (n.kind == Number::Kind::real) fail(fmt::format("argument '{}' must be a list of integers", name));
    const auto known = n.name.empty() ? std::optional(n.integer) : scope_.known_integer(n.name);
    if (!known) fail(fmt::format("argument '{}' must not depend on the sizes of the inputs", name));
    values.push_back(in_range(*known, name));
  }
  return values;
}

std::vector<int64_t> Context::integers(std::string_view name, size_t count, int64_t otherwise) const {
  std::vector<int64_t> values = integers(name, {});
  if (values.empty()) values = {otherwise};
  if (values.size() == 1) values.resize(count, values[0]);
  if (values.size() != count)
    fail(fmt::format("argument '{}' has {} numbers; 1 or {} are accepted", name, values.size(), count));
  return values;
}

Size Context::to_size(const Number& number, std::string_view name) {
  if (number.kind == Number::Kind::real) fail(fmt::format("argument '{}' must be an integer", name));
  constexpr int64_t kMost = int64_t{1} << 46;  // more than any axis has: ends of slices may be as large as they like
  const auto known = number.name.empty() ? std::optional(number.integer) : scope_.known_integer(number.name);
  if (known) return *known == INT64_MAX ? *known : std::clamp(*known, -kMost, kMost);
  return Size::computed(scope_.number(number.name));
}

Size Context::size(std::string_view name) {
  const Argument& a = argument(name);
  const auto* n = std::get_if<Number>(&a);
  if (n == nullptr) fail(fmt::format("argument '{}' must be an integer, but is {}", name, kind_of(a)));
  return to_size(*n, name);
}

std::vector<Size> Context::sizes(std::string_view name) {
  const Argument& a = argument(name);
  if (std::holds_alternative<Number>(a)) return {size(name)};
  const auto* list = std::get_if<std::vector<Number>>(&a);
  if (const auto* refs = std::get_if<std::vector<TensorRef>>(&a); refs != nullptr && refs->empty()) return {};
  if (list == nullptr) fail(fmt::format("argument '{}' must be a list of integers, but is {}", name, kind_of(a)));
  std::vector<Size> sizes;
  for (const Number& n : *list) sizes.push_back(to_size(n, name));
  return sizes;
}

DType Context::dtype_argument(std::string_view name, DType otherwise) const {
  if (!has(name)) return otherwise;
  const Argument& a = argument(name);
  const auto* dtype = std::get_if<DType>(&a);
  if (dtype == nullptr) fail(fmt::format("argument '{}' must be an element type, but is {}", name, kind_of(a)));
  return *dtype;
}

ValueId Context::to_operand(const Number& number, DType dtype) {
  if (!number.name.empty()) {
    if (number.kind == Number::Kind::integer) {
      if (const auto known = scope_.known_integer(number.name)) return integer(dtype, *known);
      return cast(scalar_of(Size::computed(scope_.number(number.name))), dtype);
    }
    return cast(scope_.number(number.name), dtype);
  }
  return number.kind == Number::Kind::real ? scalar(dtype, number.real) : integer(dtype, number.integer);
}

ValueId Context::operand(std::string_view name, DType dtype) {
  const Argument& a = argument(name);
  if (const auto* n = std::get_if<Number>(&a)) return to_operand(*n, dtype);
  return cast(tensor(name), dtype);
}

DType Context::result_type(std::initializer_list<std::string_view> names) {
  DType dims = DType::undefined, zero = DType::undefined, wrapped = DType::undefined;
  for (const std::string_view name : names) {
    const Argument& a = argument(name);
    if (const auto* n = std::get_if<Number>(&a)) {
      const DType own = n->kind == Number::Kind::boolean   ? DType::boolean
                        : n->kind == Number::Kind::integer ? DType::i64
                                                           : DType::f32;
      wrapped = promote(wrapped, own);
    } else {
      const TensorMeta& m = meta(name);
      DType& group = m.shape.empty() ? zero : dims;
      group = promote(group, m.dtype);
    }
  }
  // What stands lower decides only where it is of a higher category (integers among floats do not).
  DType result = dims;
  for (const DType next : {zero, wrapped}) {
    if (next == DType::undefined) continue;
    if (result == DType::undefined || category(next) > category(result)) result = next;
  }
  return result;
}

const Argument& Context::at(size_t i) const {
  if (i >= call_.inputs.size()) fail(fmt::format("it has {} arguments, one more is needed", call_.inputs.size()));
  return call_.inputs[i].second;
}

const SubGraph& Context::graph_at(size_t i) const {
  const auto* graph = std::get_if<std::shared_ptr<SubGraph>>(&at(i));
  if (graph == nullptr) fail(fmt::format("argument {} must be a graph, but is {}", i, kind_of(at(i))));
  return **graph;
}

std::vector<ValueId> Context::values_at(size_t i, size_t end) {
  std::vector<ValueId> values;
  const auto add = [&](const TensorRef& ref) { values.push_back(ref.name.empty() ? kNone : scope_.tensor(ref.name)); };
  for (; i < end; ++i) {
    if (const auto* ref = std::get_if<TensorRef>(&at(i))) add(*ref);
    else if (const auto* list = std::get_if<std::vector<TensorRef>>(&at(i)))
      std::for_each(list->begin(), list->end(), add);
    else if (const auto* n = std::get_if<Number>(&at(i)))
      values.push_back(n->name.empty() || scope_.known_integer(n->name) ? kNone : scope_.number(n->name));
    else if (const auto* numbers = std::get_if<std::vector<Number>>(&at(i)); numbers != nullptr && numbers->empty())
      continue;
    else fail(fmt::format("argument {} is {}, but must be a tensor or a number", i, kind_of(at(i))));
  }
  return values;
}

// --- types and results

const TensorMeta& Context::result(size_t i) const {
  if (i >= results_.size()) fail(fmt::format("it has {} results, one more is needed", results_.size()));
  return scope_.meta(results_[i]);
}

int64_t Context::axis(int64_t axis, int64_t rank) const {
  const int64_t span = std::max<int64_t>(rank, 1);  // a scalar has the axes 0 and -1
  if (axis < -span || axis >= span) fail(fmt::format("axis {} is out of range for rank {}", axis, rank));
  return axis < 0 ? axis + span : axis;
}

std::vector<int64_t> Context::axes(std::vector<int64_t> axes, int64_t rank) const {
  for (int64_t& a : axes) a = axis(a, rank);
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) fail("an axis appears twice");
  return axes;
}

void Context::give(size_t i, ValueId value) {
  if (given_.size() <= i) given_.resize(i + 1, kNone);
  given_[i] = value;
}

void Context::give_list(const std::vector<ValueId>& values) {
  for (size_t i = 0; i < values.size(); ++i) give(i, values[i]);
}

// --- the table

const Lowerings& Lowerings::instance() {
  static const Lowerings table = [] {
    Lowerings t;
    for (const auto add : {register_pointwise, register_math, register_contractions, register_convolutions,
                           register_pooling, register_normalization, register_reductions, register_views,
                           register_joining, register_indexing, register_creation, register_attention,
                           register_recurrent, register_resize, register_symbolic, register_control_flow})
      add(t);
    return t;
  }();
  return table;
}

const Lowering* Lowerings::find(const std::string& target) const {
  const auto it = table_.find(target);
  return it == table_.end() ? nullptr : &it->second;
}

std::vector<std::string> Lowerings::targets() const {
  std::vector<std::string> all;
  for (const auto& [target, lowering] : table_) all.push_back(target);
  return all;
}

}  // namespace rooftune::frontends::torch_format
