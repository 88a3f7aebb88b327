#include "verify/inputs.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "base/error.h"

namespace rooftune::verify {
namespace {

using ir::DType;
using ir::Graph;
using ir::Node;
using ir::ValueId;

/// The extent of an axis; of a free one the least, which is right at every size.
std::optional<int64_t> least_extent(const Graph& g, ValueId v, int64_t axis) {
  if (v == ir::kNone || !g.type(v).is_tensor() || !g.type(v).has_rank()) return std::nullopt;
  const ir::Shape& shape = g.type(v).shape();
  if (axis < 0) axis += static_cast<int64_t>(shape.size());
  if (axis < 0 || axis >= static_cast<int64_t>(shape.size())) return std::nullopt;
  const ir::Dim& dim = shape[static_cast<size_t>(axis)];
  if (!dim.is_static() && dim.min() < 1) return std::nullopt;
  return dim.min();
}

struct Bounds {
  int64_t lo, hi;
};
using Rule = std::function<std::optional<Bounds>(const Graph&, const Node&)>;

Rule index_of_axis(int64_t default_axis) {
  return [=](const Graph& g, const Node& n) -> std::optional<Bounds> {
    const auto dim = least_extent(g, n.input(0), n.attr_int("axis", default_axis));
    if (!dim) return std::nullopt;
    return Bounds{0, *dim - 1};
  };
}

std::optional<Bounds> index_tuple(const Graph& g, const Node& n) {  // GatherND, ScatterND
  const auto length = least_extent(g, n.input(1), -1);
  if (!length) return std::nullopt;
  int64_t smallest = INT64_MAX;
  const int64_t first = n.op == "GatherND" ? n.attr_int("batch_dims", 0) : 0;
  for (int64_t i = first; i < first + *length; ++i)
    smallest = std::min(smallest, least_extent(g, n.input(0), i).value_or(1));
  return Bounds{0, smallest - 1};
}

std::optional<Bounds> one_hot(const Graph& g, const Node& n) {
  const ir::Tensor* depth = g.constant(n.input(1));
  if (!depth) return std::nullopt;
  return Bounds{0, depth->as_int(0) - 1};
}

/// A count of what lies along an axis of input 0, at least one.
Rule count_along(int64_t default_axis) {
  return [=](const Graph& g, const Node& n) -> std::optional<Bounds> {
    const auto dim = least_extent(g, n.input(0), n.attr_int("axis", default_axis));
    if (!dim) return std::nullopt;
    return Bounds{1, *dim};
  };
}

std::optional<Bounds> sequence_length(const Graph& g, const Node& n) {  // of LSTM, GRU, RNN
  const auto steps = least_extent(g, n.input(0), n.attr_int("layout", 0) == 0 ? 0 : 1);
  if (!steps) return std::nullopt;
  return Bounds{1, *steps};
}

std::optional<Bounds> reversed_length(const Graph& g, const Node& n) {
  const auto steps = least_extent(g, n.input(0), n.attr_int("time_axis", 0));
  if (!steps) return std::nullopt;
  return Bounds{1, *steps};
}

std::optional<Bounds> position(const Graph& g, const Node& n) {  // a row of the tables of sines and cosines
  const auto rows = least_extent(g, n.input(1), 0);
  if (!rows) return std::nullopt;
  return Bounds{0, *rows - 1};
}

/// Which operators bound one of their inputs, and how.
const std::map<std::pair<std::string_view, size_t>, Rule>& rules() {
  static const std::map<std::pair<std::string_view, size_t>, Rule> table{
      {{"Gather", 1}, index_of_axis(0)},
      {{"GatherElements", 1}, index_of_axis(0)},
      {{"ScatterElements", 1}, index_of_axis(0)},
      {{"GatherND", 1}, index_tuple},
      {{"ScatterND", 1}, index_tuple},
      {{"OneHot", 0}, one_hot},
      {{"TopK", 1}, count_along(-1)},
      {{"LSTM", 4}, sequence_length},
      {{"GRU", 4}, sequence_length},
      {{"RNN", 4}, sequence_length},
      {{"ReverseSequence", 1}, reversed_length},
      {{"RotaryEmbedding", 3}, position},
  };
  return table;
}

/// Operators whose output holds (some of) the values of the input given.
bool passes_on(std::string_view op, size_t input) {
  static const std::set<std::string_view> first{"Identity",  "Unsqueeze", "Squeeze", "Reshape", "Flatten",
                                                "Transpose", "Slice",     "Expand",  "Tile",    "Cast",
                                                "Split",     "Gather",    "Clip",    "Pad"};
  static const std::set<std::string_view> any{"Concat", "Max", "Min"};
  return (input == 0 && first.contains(op)) || any.contains(op) || (op == "Where" && input > 0);
}

bool tests(std::string_view op, size_t input) {
  static const std::set<std::string_view> any{"Equal",          "Not",        "And", "Or", "Xor", "Greater", "Less",
                                              "GreaterOrEqual", "LessOrEqual"};
  return any.contains(op) || (op == "Where" && input == 0) || (op == "If" && input == 0);
}

/// Follows a value to its uses, through what only moves it or adds a constant.
class Tracer {
 public:
  /// `offset`: what was added to the graph input on the way.
  void trace(const Graph& g, ValueId v, int64_t offset) {
    if (!seen_.insert({&g, v}).second) return;
    for (const ir::NodeId id : g.consumers(v)) {
      const Node& n = g.node(id);
      for (size_t i = 0; i < n.inputs.size(); ++i)
        if (n.inputs[i] == v) use(g, n, i, offset);
      for (const auto& [key, attribute] : n.attributes)
        if (const auto* body = std::get_if<std::shared_ptr<Graph>>(&attribute))
          for (size_t c = 0; c < (*body)->captures_outer.size(); ++c)
            if ((*body)->captures_outer[c] == v) trace(**body, (*body)->captures_inner[c], offset);
    }
  }

  std::optional<Bounds> bounds;
  std::string why;
  bool tested = false, converted = false;

 private:
  void use(const Graph& g, const Node& n, size_t input, int64_t offset) {
    if (const auto rule = rules().find({n.op, input}); rule != rules().end()) {
      if (const auto b = rule->second(g, n)) {
        const Bounds shifted{std::max<int64_t>(0, b->lo - offset), b->hi - offset};
        if (!bounds) bounds = shifted;
        if (shifted.hi <= bounds->hi) why = fmt::format("input {} of '{}' ({})", input, n.name, n.op);
        bounds = Bounds{std::max(bounds->lo, shifted.lo), std::min(bounds->hi, shifted.hi)};
      }
      return;
    }
    if (tests(n.op, input)) tested = true;
    if (n.op == "Cast" && !ir::is_integer(static_cast<DType>(n.attr_int("to", 0)))) converted = true;
    if (passes_on(n.op, input) && n.outputs.size() >= 1)
      for (const ValueId out : n.outputs)
        if (out != ir::kNone) trace(g, out, offset);
    if ((n.op == "Add" || (n.op == "Sub" && input == 0)) && n.inputs.size() == 2) {
      const ir::Tensor* added = g.constant(n.inputs[1 - input]);
      if (added && added->size() == 1 && ir::is_integer(added->dtype()))
        trace(g, n.outputs[0], offset + (n.op == "Add" ? 1 : -1) * added->as_int(0));
    }
  }

  std::set<std::pair<const Graph*, ValueId>> seen_;
};

void fill(ir::Tensor& t, const InputRange& range, std::mt19937_64& random) {
  const DType dtype = t.dtype();
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int64_t> integer(range.lo, range.hi);
  if (dtype == DType::string) {
    for (std::string& s : t.strings())
      for (int n = 1 + static_cast<int>(random() % 8); n > 0; --n) s += static_cast<char>('a' + random() % 26);
    return;
  }
  if (dtype == DType::c64) {
    for (int64_t i = 0; i < 2 * t.size(); ++i) t.data<float>()[i] = static_cast<float>(normal(random));
    return;
  }
  if (dtype == DType::c128) {
    for (int64_t i = 0; i < 2 * t.size(); ++i) t.data<double>()[i] = normal(random);
    return;
  }
  const int64_t row = t.rank() > 0 ? t.dim(-1) : 1;
  for (int64_t i = 0; i < t.size(); ++i) {
    switch (range.kind) {
      case InputRange::Kind::normal: t.set_double(i, normal(random)); break;
      case InputRange::Kind::integers: t.set_double(i, static_cast<double>(integer(random))); break;
      case InputRange::Kind::mask: t.set_double(i, i % row == 0 ? 1 : static_cast<double>(random() % 2)); break;
    }
  }
}

}  // namespace

InputRange infer_range(const Graph& graph, ValueId input) {
  const DType dtype = graph.type(input).dtype();
  Tracer tracer;
  tracer.trace(graph, input, 0);
  if (tracer.bounds && tracer.bounds->hi >= tracer.bounds->lo)
    return {InputRange::Kind::integers, tracer.bounds->lo, tracer.bounds->hi, tracer.why};
  if (dtype == DType::boolean) return {InputRange::Kind::mask, 0, 1, "boolean"};
  if (!ir::is_integer(dtype)) return {InputRange::Kind::normal, 0, 1, ""};
  const int bits = ir::bit_width(dtype);
  if (tracer.tested || (tracer.converted && bits > 8))  // bytes that are converted are pixels
    return {InputRange::Kind::mask, 0, 1, "an integer that is tested or converted"};
  if (bits > 8) return {InputRange::Kind::integers, 1, 8, "an integer of unknown meaning"};
  const int64_t span = int64_t{1} << bits;
  const int64_t lo = ir::is_signed(dtype) ? -span / 2 : 0;
  return {InputRange::Kind::integers, lo, lo + span - 1, "all values of a small type"};
}

InputGenerator::InputGenerator(const Graph& graph, uint64_t seed) : seed_(seed) {
  if (seed_ == 0) {
    std::random_device device;
    while (seed_ == 0) seed_ = (uint64_t{device()} << 32 | device()) >> 12;  // exact as a JSON number
  }
  random_.seed(seed_);
  for (const ValueId v : graph.inputs) {
    const ir::Type& type = graph.type(v);
    if (!type.is_tensor())
      throw InputError("input '{}' is a {}: random inputs are made for tensors only", graph.value(v).name,
                       type.to_string());
    if (!type.has_rank())
      throw InputError("input '{}' is {}: random inputs need a known rank", graph.value(v).name, type.to_string());
    for (const auto& dim : type.shape()) {
      if (dim.max() > INT32_MAX)
        throw InputError(
            "input '{}' is {}: random inputs need every dimension fixed or bounded (--dim name=n or lo..hi)",
            graph.value(v).name, type.to_string());
      if (const auto names = dim.symbols(); names.size() == 1 && dim == ir::Dim::symbol(names[0], dim.min(), dim.max()))
        symbols_.emplace(names[0], dim);
    }
    inputs_.push_back({type, infer_range(graph, v)});
  }
}

void InputGenerator::set_sizes(const std::map<std::string, ir::Dim>& sizes) {
  for (const auto& [name, symbol] : symbols_) {
    const auto given = sizes.find(name);
    sizes_[name] = given == sizes.end() ? ir::Dim(symbol.max()) : given->second;
  }
}

const std::map<std::string, ir::Dim>& InputGenerator::draw_sizes() {
  for (const auto& [name, symbol] : symbols_) {
    const auto lo = std::max<int64_t>(1, symbol.min());
    std::uniform_real_distribution<double> exponent(std::log(static_cast<double>(lo)),
                                                    std::log(static_cast<double>(symbol.max() + 1)));
    sizes_[name] = std::clamp(static_cast<int64_t>(std::exp(exponent(random_))), lo, symbol.max());
  }
  return sizes_;
}

std::vector<ir::Tensor> InputGenerator::next() {
  if (sizes_.empty()) set_sizes({});
  std::vector<ir::Tensor> tensors;
  for (const Input& input : inputs_) {
    std::vector<int64_t> shape;
    for (const auto& dim : input.type.shape()) shape.push_back(dim.substitute(sizes_).value());
    tensors.emplace_back(input.type.dtype(), std::move(shape));
    fill(tensors.back(), input.range, random_);
  }
  return tensors;
}

}  // namespace rooftune::verify
