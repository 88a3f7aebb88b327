// Brings dequantised constant weights of 4 and 8 bits that matrix products read into the one form that kernels multiply in
// words (kernel/weight_words.cpp): unsigned numbers, and of 4 bits those that stand in a byte are neighbours along what is
// summed, so [K, N] becomes [N, K] and a Transpose. After integer_contractions, which takes what multiplies quantised
// activations; before canonicalise_matmul.
#include "passes/edit.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

bool is_product(const Node& node) { return is_op(node, "MatMul") || is_op(node, "Gemm"); }

/// Whether all that reads the value are products that take it as their second operand; `direct`: not by way of a Transpose.
bool feeds_products(const Graph& graph, ValueId value, bool direct) {
  const auto readers = graph.consumers(value);
  return !readers.empty() && !graph.is_output(value) && std::all_of(readers.begin(), readers.end(), [&](NodeId id) {
    const Node& node = graph.node(id);
    if (!direct && is_op(node, "Transpose")) return feeds_products(graph, node.outputs[0], true);
    return is_product(node) && node.inputs[1] == value && node.inputs[0] != value;
  });
}

/// The numbers of an integer tensor as bytes, `lift` added.
std::vector<uint8_t> as_bytes(const Tensor& tensor, int lift) {
  std::vector<uint8_t> bytes(static_cast<size_t>(tensor.size()));
  const uint8_t* raw = tensor.raw();
  const bool half = ir::bit_width(tensor.dtype()) == 4;
  const int mask = half ? 15 : 255;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int bits = half ? raw[i / 2] >> (i % 2 * 4) & 15 : raw[i];
    bytes[i] = static_cast<uint8_t>((bits + lift) & mask);
  }
  return bytes;
}

Tensor from_bytes(ir::DType dtype, std::vector<int64_t> shape, const std::vector<uint8_t>& bytes) {
  Tensor tensor(dtype, std::move(shape));
  uint8_t* raw = tensor.raw();
  if (ir::bit_width(dtype) == 8) return std::copy(bytes.begin(), bytes.end(), raw), tensor;
  std::fill_n(raw, tensor.bytes(), uint8_t{0});
  for (size_t i = 0; i < bytes.size(); ++i) raw[i / 2] |= static_cast<uint8_t>(bytes[i] << (i % 2 * 4));
  return tensor;
}

template <typename T>
std::vector<T> turned(const std::vector<T>& from, int64_t rows, int64_t columns) {
  std::vector<T> to(from.size());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      to[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * columns + c)];
  return to;
}

Tensor turned(const Tensor& matrix) {
  const int64_t rows = matrix.dim(0), columns = matrix.dim(1);
  Tensor to(matrix.dtype(), {columns, rows});
  if (ir::bit_width(matrix.dtype()) < 16)
    return from_bytes(matrix.dtype(), {columns, rows}, turned(as_bytes(matrix, 0), rows, columns));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) to.set_double(c * rows + r, matrix.as_double(r * columns + c));
  return to;
}

bool rewrite(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_op(node, "DequantizeLinear")) return false;
  const Tensor *numbers = graph.constant(node.inputs[0]), *scale = graph.constant(node.inputs[1]);
  const Tensor* zero = node.input(2) == kNone ? nullptr : graph.constant(node.inputs[2]);
  const ValueId output = node.outputs[0];
  if (!numbers || !scale || numbers->rank() != 2 || (node.input(2) != kNone && !zero) ||
      !feeds_products(graph, output, false))
    return false;
  using ir::DType;
  const DType dtype = numbers->dtype();
  const bool half = dtype == DType::u4 || dtype == DType::i4, lifts = dtype == DType::i4 || dtype == DType::i8;
  if (!half && !lifts) return false;
  const auto readers = graph.consumers(output);
  const bool turns = half && feeds_products(graph, output, true) &&
                     std::none_of(readers.begin(), readers.end(),
                                  [&](NodeId reader) { return graph.node(reader).attr_int("transB", 0) != 0; });
  if (!lifts && !turns) return false;

  const int lift = lifts ? (half ? 8 : 128) : 0;
  const DType to = half ? DType::u4 : DType::u8;
  const std::string name = graph.value(node.inputs[0]).name;
  Attributes attributes = node.attributes;
  Tensor w = from_bytes(to, numbers->shape(), as_bytes(*numbers, lift));
  Tensor s = *scale;
  Tensor z = zero ? from_bytes(to, zero->shape(), as_bytes(*zero, lift)) : Tensor();
  if (!zero && lifts)
    z = from_bytes(to, scale->shape(),
                   std::vector<uint8_t>(static_cast<size_t>(scale->size()), static_cast<uint8_t>(lift)));
  if (turns) {
    w = turned(w);
    if (s.rank() == 2) s = turned(s), z = z ? turned(z) : z;
    const int64_t axis = node.attr_int("axis", 1);
    attributes["axis"] = 1 - (axis < 0 ? axis + 2 : axis);
  }
  std::vector<ValueId> inputs = {graph.add_constant(name + "_unsigned", std::move(w)),
                                 graph.add_constant(graph.value(node.inputs[1]).name, std::move(s))};
  if (z) inputs.push_back(graph.add_constant(name + "_zero_point", std::move(z)));
  const Type type = graph.type(output);
  if (!turns) {
    replace_node(graph, id, "DequantizeLinear", std::move(inputs), std::move(attributes));
    return true;
  }
  const Type other = Type::tensor(type.dtype(), ir::Shape{type.shape()[1], type.shape()[0]});
  const ValueId made = insert(graph, id, "DequantizeLinear", std::move(inputs), other, std::move(attributes));
  replace_node(graph, id, "Transpose", {made}, {{"perm", std::vector<int64_t>{1, 0}}});
  return true;
}

}  // namespace

bool narrow_weights(Graph& graph, PassContext&) {
  bool changed = false;
  for (NodeId id : std::vector<NodeId>(graph.order())) changed |= rewrite(graph, id);
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace rooftune::passes
