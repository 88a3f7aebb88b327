#include "frontends/onnx/upgrade.h"

#include <algorithm>
#include <optional>

namespace rooftune::frontends::onnx_format {
namespace {

using ir::Attribute;
using ir::DType;
using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::Tensor;
using ir::Type;
using ir::ValueId;

/// Attributes that became inputs.
struct Moved {
  std::string_view op;
  int until;  // the first opset that has the input
  std::string_view attribute;
  size_t input;
};
constexpr Moved kMoved[] = {
    {"Squeeze", 13, "axes", 1},   {"Unsqueeze", 13, "axes", 1}, {"ReduceSum", 13, "axes", 1}, {"Split", 13, "split", 1},
    {"Slice", 10, "starts", 1},   {"Slice", 10, "ends", 2},     {"Slice", 10, "axes", 3},     {"TopK", 10, "k", 1},
    {"Pad", 11, "pads", 1},       {"Pad", 11, "value", 2},      {"Clip", 11, "min", 1},       {"Clip", 11, "max", 2},
    {"Upsample", 9, "scales", 1},
};

/// Attributes without a meaning in inference, gone since.
constexpr std::pair<std::string_view, std::string_view> kDropped[] = {{"Dropout", "ratio"},
                                                                      {"BatchNormalization", "spatial"},
                                                                      {"BatchNormalization", "is_test"},
                                                                      {"Dropout", "is_test"},
                                                                      {"Gemm", "broadcast"},
                                                                      {"GRU", "output_sequence"},
                                                                      {"LSTM", "output_sequence"},
                                                                      {"RNN", "output_sequence"}};

/// Before opset 7 they broadcast their second operand only, at an axis.
constexpr std::string_view kBroadcastAtAxis[] = {"Add", "Sub", "Mul",     "Div",  "Pow",   "And",
                                                 "Or",  "Xor", "Greater", "Less", "Equal", "PRelu"};

/// What opset 1 has as opset 6 has it, sorted. Others changed between them, in ways that we do not know of.
constexpr std::string_view kSinceTheFirst[] = {"And",
                                               "ArgMax",
                                               "ArgMin",
                                               "AveragePool",
                                               "Constant",
                                               "Conv",
                                               "ConvTranspose",
                                               "DepthToSpace",
                                               "Equal",
                                               "Flatten",
                                               "Gather",
                                               "GlobalAveragePool",
                                               "GlobalMaxPool",
                                               "Greater",
                                               "Hardmax",
                                               "Identity",
                                               "LRN",
                                               "Less",
                                               "LogSoftmax",
                                               "LpNormalization",
                                               "MatMul",
                                               "MaxPool",
                                               "Not",
                                               "Or",
                                               "Pow",
                                               "ReduceL1",
                                               "ReduceL2",
                                               "ReduceLogSum",
                                               "ReduceLogSumExp",
                                               "ReduceMax",
                                               "ReduceMean",
                                               "ReduceMin",
                                               "ReduceProd",
                                               "ReduceSum",
                                               "ReduceSumSquare",
                                               "Shape",
                                               "Size",
                                               "Slice",
                                               "Softmax",
                                               "Softplus",
                                               "Softsign",
                                               "SpaceToDepth",
                                               "Squeeze",
                                               "TopK",
                                               "Transpose",
                                               "Unsqueeze",
                                               "Xor"};

void set_input(Node& node, size_t i, ValueId v) {
  if (node.inputs.size() <= i) node.inputs.resize(i + 1, kNone);
  node.inputs[i] = v;
}

/// The element type of the node's first input; f32 where the model does not state it (as all old models mean).
DType data_type(const Graph& g, const Node& node) {
  const ValueId v = node.input(0);
  return v != kNone && g.type(v).is_tensor() ? g.type(v).dtype() : DType::f32;
}

Tensor to_tensor(const Graph& g, const Node& node, std::string_view key, const Attribute& a) {
  if (const auto* ints = std::get_if<std::vector<int64_t>>(&a))
    return Tensor::of<int64_t>(DType::i64, {static_cast<int64_t>(ints->size())}, *ints);
  if (const auto* i = std::get_if<int64_t>(&a)) return Tensor::of<int64_t>(DType::i64, {1}, {*i});
  if (const auto* floats = std::get_if<std::vector<float>>(&a))
    return Tensor::of<float>(DType::f32, {static_cast<int64_t>(floats->size())}, *floats);
  const auto* f = std::get_if<float>(&a);
  if (!f) throw InputError("{}: attribute '{}' has the wrong type", node.label(), key);
  const DType dtype = data_type(g, node);
  if (!ir::is_float(dtype) && !ir::is_integer(dtype))
    throw InputError("{}: attribute '{}' is a number, its data are {}", node.label(), key, ir::name(dtype));
  Tensor t(dtype, {});
  t.set_double(0, *f);
  return t;
}

void move_attributes(Graph& g, Node& node) {
  for (const Moved& m : kMoved) {
    if (m.op != node.op || node.since_version >= m.until) continue;
    const auto it = node.attributes.find(std::string(m.attribute));
    if (it == node.attributes.end()) continue;
    if (node.input(m.input) != kNone)
      throw InputError("{}: '{}' is given as an attribute and as an input", node.label(), m.attribute);
    Tensor t = to_tensor(g, node, m.attribute, it->second);
    const std::string base = node.name.empty() && !node.outputs.empty() && node.outputs[0] != kNone
                                 ? g.value(node.outputs[0]).name
                                 : node.name;
    set_input(node, m.input, g.add_constant(fmt::format("{}_{}", base, m.attribute), std::move(t)));
    node.attributes.erase(it);
  }
}

/// Upsample and the first Resize place pixels by x * scale, with no half-pixel centres.
void upgrade_resize(Node& node) {
  node.op = "Resize";
  const ValueId scales = node.input(1);
  node.inputs.resize(1);
  set_input(node, 2, scales);
  node.attributes["coordinate_transformation_mode"] = std::string("asymmetric");
  if (node.attr_string("mode", "nearest") == "nearest") node.attributes["nearest_mode"] = std::string("floor");
}

ValueId add(Graph& g, const Node& like, std::string_view op, std::vector<ValueId> inputs,
            std::map<std::string, Attribute> attributes) {
  Node n;
  n.op = op;
  n.name = like.name.empty() ? "" : fmt::format("{}_{}", like.name, op);
  n.since_version = kModernOpset;
  n.inputs = std::move(inputs);
  n.outputs = {g.add_value(fmt::format("{}_{}", g.value(like.outputs[0]).name, op), Type())};
  n.attributes = std::move(attributes);
  const ValueId out = n.outputs[0];
  g.add_node(std::move(n));
  return out;
}

/// Before opset 7 `axis` says where in the first operand the second one begins: what follows it becomes dims of 1. A
/// PRelu's slopes, one per channel, begin at axis 1.
void upgrade_broadcast(Graph& g, Node& node) {
  const auto rank = [&](size_t i) -> std::optional<int> {
    const ValueId v = node.input(i);
    if (v == kNone || !g.type(v).is_tensor() || !g.type(v).has_rank()) return std::nullopt;
    return g.type(v).rank();
  };
  const bool prelu = node.op == "PRelu", given = node.attributes.contains("axis");
  const int64_t axis = node.attr_int("axis", 1);
  node.attributes.erase("axis");
  node.attributes.erase("broadcast");
  const auto of = rank(0), own = rank(1);
  if (!given && !(prelu && own && *own == 1)) return;
  if (!of || !own)
    throw InputError("{}: shapes of its operands must be stated where it broadcasts at an axis", node.label());
  const int64_t at = axis < 0 ? axis + *of : axis;
  if (prelu && *of <= 1) return;
  if (at < 0 || at + *own > *of)
    throw InputError("{}: axis is {}, but the operands have ranks {} and {}", node.label(), axis, *of, *own);
  std::vector<int64_t> axes;
  for (int64_t d = at + *own; d < *of; ++d) axes.push_back(*own + static_cast<int64_t>(axes.size()));
  if (axes.empty()) return;
  const auto count = static_cast<int64_t>(axes.size());
  const ValueId at_end = g.add_constant(fmt::format("{}_axes", g.value(node.outputs.at(0)).name),
                                        Tensor::of<int64_t>(DType::i64, {count}, axes));
  node.inputs[1] = add(g, node, "Unsqueeze", {node.inputs[1], at_end}, {});
}

/// Before opset 13 Softmax and its kin saw a matrix: the axes before `axis` by those from it on.
void upgrade_softmax(Graph& g, Node node) {
  const int64_t axis = node.attr_int("axis", 1);
  const ValueId x = node.input(0);
  if (x == kNone || node.outputs.empty() || node.outputs[0] == kNone)
    throw InputError("{}: its input or output is missing", node.label());
  const Type& type = g.type(x);
  const bool last = axis == -1 || (type.is_tensor() && type.has_rank() && axis == type.rank() - 1);
  node.attributes["axis"] = int64_t{-1};
  if (last) {
    g.add_node(std::move(node));
    return;
  }
  const ValueId shape = add(g, node, "Shape", {x}, {});
  const ValueId matrix = add(g, node, "Flatten", {x}, {{"axis", axis}});
  const ValueId result = add(g, node, node.op, {matrix}, {{"axis", int64_t{-1}}});
  node.op = "Reshape";
  node.attributes.clear();
  node.inputs = {result, shape};
  g.add_node(std::move(node));
}

/// The first Scan runs its body for each item of a batch by itself: a scan over the batch, states included, whose body is
/// the Scan of today.
void upgrade_scan(Graph& g, Node node) {
  if (node.input(0) != kNone) throw InputError("{}: sequence_lens is not supported", node.label());
  const std::shared_ptr<Graph> body = node.attr_graph("body");
  if (!body) throw InputError("{}: its body is missing", node.label());
  if (!node.inputs.empty()) node.inputs.erase(node.inputs.begin());
  const auto count = static_cast<int64_t>(node.inputs.size());
  const int64_t scanned = node.attr_int("num_scan_inputs", 0);
  if (scanned < 1 || scanned > count || body->inputs.size() != node.inputs.size() ||
      body->outputs.size() != node.outputs.size())
    throw InputError("{}: its {} inputs and {} outputs do not fit num_scan_inputs={} and a body of {} and {}",
                     node.label(), count, node.outputs.size(), scanned, body->inputs.size(), body->outputs.size());
  auto item = std::make_shared<Graph>();
  item->name = body->name + "_item";
  Node inner;
  inner.op = "Scan";
  inner.since_version = kModernOpset;
  inner.attributes = {{"num_scan_inputs", scanned}, {"body", body}};
  if (const auto directions = node.attributes.find("directions"); directions != node.attributes.end())
    inner.attributes["scan_input_directions"] = directions->second;
  for (const ValueId v : body->inputs) inner.inputs.push_back(item->add_input(body->value(v).name, Type()));
  for (const ValueId v : body->outputs) inner.outputs.push_back(item->add_value(body->value(v).name, Type()));
  item->outputs = inner.outputs;
  for (ValueId& outer : body->captures_outer) {
    const ValueId own = item->add_value(g.value(outer).name, g.type(outer));
    item->captures_inner.push_back(own);
    item->captures_outer.push_back(outer);
    outer = own;
  }
  item->add_node(std::move(inner));
  node.since_version = kModernOpset;
  node.attributes = {{"num_scan_inputs", count}, {"body", std::move(item)}};
  g.add_node(std::move(node));
}

}  // namespace

int form_of(const Node& node, int model_opset) {
  constexpr int kLayerNormalization = 17;
  return node.op == "LayerNormalization" ? std::max(model_opset, kLayerNormalization) : model_opset;
}

void upgrade(Graph& g, Node node) {
  const int version = node.since_version;
  if (node.op == "Scan" && version < 9) return upgrade_scan(g, std::move(node));
  if (node.op == "BatchNormalization" && node.attr_int("spatial", 1) == 0)
    throw InputError("{}: spatial=0 is not supported", node.label());
  move_attributes(g, node);
  for (const auto& [op, key] : kDropped)
    if (op == node.op) node.attributes.erase(std::string(key));
  if (version < 6 && !std::ranges::binary_search(kSinceTheFirst, node.op))
    throw InputError("{}: {} is supported from opset 6 on, the model has {}", node.label(), node.op, version);
  if (node.op == "Upsample" && version < 7)
    throw InputError("{}: Upsample is supported from opset 7 on, the model has {}", node.label(), version);
  node.since_version = kModernOpset;
  if (version < 7 && std::ranges::find(kBroadcastAtAxis, node.op) != std::end(kBroadcastAtAxis))
    upgrade_broadcast(g, node);
  if (node.op == "Upsample" || (node.op == "Resize" && version < 11)) upgrade_resize(node);
  if (node.op == "Scatter") node.op = "ScatterElements";
  if (node.op == "Softmax" || node.op == "LogSoftmax" || node.op == "Hardmax")
    return upgrade_softmax(g, std::move(node));
  g.add_node(std::move(node));
}

}  // namespace rooftune::frontends::onnx_format
