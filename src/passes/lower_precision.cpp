#include "passes/lower_precision.h"

#include "ops/half.h"
#include "passes/edit.h"

namespace rooftune::passes {
namespace {

using ir::DType;

/// Why a node's operands or results stay f32 although it could be computed in 16 bits; empty where they need not.
std::string why_wide(const Node& node) {
  static const std::map<std::string_view, const char*> reasons = [] {
    std::map<std::string_view, const char*> r;
    for (const char* op : {"CumSum", "ReduceSum", "ReduceSumSquare", "ReduceProd", "ReduceL1", "ReduceL2",
                           "ReduceLogSumExp", "ReduceLogSum", "GlobalLpPool", "LpPool", "Sum"})
      r[op] = "its sums can grow large";
    for (const char* op : {"Exp", "Pow", "Log", "Reciprocal", "Sin", "Cos", "Tan", "Mod", "Det", "Inverse"})
      r[op] = "it magnifies the rounding of its operand";
    for (const char* op :
         {"ArgMax", "ArgMin", "TopK", "NonMaxSuppression", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual",
          "Unique", "Hardmax", "Floor", "Ceil", "Round", "QuantizeLinear", "DynamicQuantizeLinear"})
      r[op] = "it decides by its operand, and rounding makes ties";
    for (const char* op : {"Range", "RotaryEmbedding", "GridSample", "AffineGrid", "RoiAlign"})
      r[op] = "it computes positions";
    return r;
  }();
  const auto found = reasons.find(node.op);
  return found == reasons.end() || !node.domain.empty() ? "" : found->second;
}

/// A constant in 16 bits, finite where it was.
Tensor narrowed(const Tensor& tensor, DType dtype) {
  const float most = dtype == DType::f16 ? 65504.0F : 3.3895314e38F;
  Tensor bounded(DType::f32, tensor.shape());
  const float* from = tensor.data<float>();
  float* to = bounded.data<float>();
  for (int64_t i = 0; i < tensor.size(); ++i)
    to[i] = std::isfinite(from[i]) ? std::clamp(from[i], -most, most) : from[i];
  return ops::convert(bounded, dtype);
}

class Lowering {
 public:
  Lowering(Graph& graph, DType dtype) : graph_(graph), dtype_(dtype) {}

  LoweredPrecision run() {
    for (const NodeId id : std::vector<NodeId>(graph_.order())) {
      std::vector<DType> outputs;
      const std::vector<size_t> operands = lowered_operands(id, outputs);
      if (operands.empty()) {
        widen_operands(id);
        continue;
      }
      for (const size_t i : operands) {
        const ValueId operand = narrow(graph_.node(id).inputs[i], id);
        graph_.node(id).inputs[i] = operand;
      }
      for (size_t o = 0; o < outputs.size(); ++o) lower_output(id, o, outputs[o]);
      ++result_.lowered;
    }
    graph_.remove_dead();
    return std::move(result_);
  }

 private:
  bool is_wide(ValueId v) const { return v != kNone && graph_.type(v).is_tensor() && was_f32(v); }
  /// In the model as given.
  bool was_f32(ValueId v) const { return graph_.type(v).dtype() == DType::f32 || lowered_.contains(v); }

  /// The operands of the node that are to be lowered, and the types its outputs have then. None: it stays f32.
  std::vector<size_t> lowered_operands(NodeId id, std::vector<DType>& outputs) {
    const Node& node = graph_.node(id);
    std::vector<size_t> all;
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (is_wide(node.inputs[i])) all.push_back(i);
    if (all.empty() || is_op(node, "Cast") || !ir::bodies(node).empty()) return {};
    const ops::OpDef* def = ops::Catalogue::instance().find(node.op, node.domain);
    const bool asks_for_shape = is_op(node, "Shape") || is_op(node, "Size");
    if (def == nullptr || (!def->lower && !asks_for_shape)) return {};
    if (const std::string why = why_wide(node); !why.empty()) {
      note(node, why);
      return {};
    }
    if (takes(node, all, outputs)) return all;
    if (all.front() == 0 && takes(node, {0}, outputs)) return {0};  // Resize: its scales are f32 always
    note(node, "it takes no 16-bit floats");
    return {};
  }

  void note(const Node& node, const std::string& why) {
    result_.notes.push_back(fmt::format("{}: {}", node.label(), why));
  }

  /// Whether the operator takes the operands in 16 bits; the types of its outputs.
  bool takes(const Node& node, const std::vector<size_t>& operands, std::vector<DType>& outputs) const {
    Graph one;
    one.opsets = graph_.opsets;
    Node copy = node;
    std::map<ValueId, ValueId> copied;
    for (size_t i = 0; i < copy.inputs.size(); ++i) {
      const ValueId v = copy.inputs[i];
      if (v == kNone) continue;
      const bool lowered = std::find(operands.begin(), operands.end(), i) != operands.end();
      const Tensor* constant = graph_.constant(v);
      const Type& type = graph_.type(v);
      const DType dtype = lowered ? dtype_ : is_wide(v) ? DType::f32 : type.is_tensor() ? type.dtype() : DType::f32;
      if (constant != nullptr && !lowered) copy.inputs[i] = one.add_constant("c", *constant);
      else if (type.is_tensor()) copy.inputs[i] = one.add_input("x", Type::tensor(dtype, type.shape()));
      else copy.inputs[i] = one.add_input("x", type);
    }
    for (ValueId& v : copy.outputs)
      if (v != kNone) v = one.add_value("y", Type());
    const std::vector<ValueId> made = copy.outputs;
    one.add_node(std::move(copy));
    try {
      ops::infer_types(one);
    } catch (const InputError&) {
      return false;
    }
    outputs.clear();
    for (ValueId v : made)
      outputs.push_back(v == kNone || !one.type(v).is_tensor() ? DType::undefined : one.type(v).dtype());
    return true;
  }

  /// The value in 16 bits.
  ValueId narrow(ValueId v, NodeId reader) {
    if (graph_.type(v).dtype() == dtype_) return v;
    auto [found, fresh] = narrow_.emplace(v, kNone);
    if (!fresh) return found->second;
    if (const Tensor* constant = graph_.constant(v))
      return found->second = graph_.add_constant(graph_.value(v).name + "_" + std::string(ir::name(dtype_)),
                                                 narrowed(*constant, dtype_));
    return found->second = cast(v, dtype_, reader);
  }

  ValueId cast(ValueId v, DType to, NodeId reader) {
    return insert(graph_, reader, "Cast", {v}, Type::tensor(to, graph_.type(v).shape()),
                  {{"to", static_cast<int64_t>(to)}});
  }

  /// What became 16 bits is f32 again for a node that takes nothing else.
  void widen_operands(NodeId id) {
    for (size_t i = 0; i < graph_.node(id).inputs.size(); ++i) {
      const ValueId v = graph_.node(id).inputs[i];
      if (v == kNone || !lowered_.contains(v)) continue;
      const ValueId wide = widened(v, id);
      graph_.node(id).inputs[i] = wide;
    }
    for (const auto& body : ir::bodies(graph_.node(id)))
      for (ValueId& v : body->captures_outer)
        if (lowered_.contains(v)) v = widened(v, id);
  }

  ValueId widened(ValueId v, NodeId reader) {
    auto [found, fresh] = wide_.emplace(v, kNone);
    if (fresh) found->second = cast(v, DType::f32, reader);
    return found->second;
  }

  void lower_output(NodeId id, size_t o, DType dtype) {
    const ValueId v = graph_.node(id).outputs[o];
    if (dtype != dtype_ || v == kNone || graph_.type(v).dtype() != DType::f32) return;
    if (!graph_.is_output(v)) {
      graph_.value(v).type = Type::tensor(dtype_, graph_.type(v).shape());
      lowered_.insert(v);
      return;
    }
    // The output keeps its name and type, and what reads it in 16 bits does so before.
    const ValueId stored = graph_.add_value(graph_.value(v).name + "_" + std::string(ir::name(dtype_)),
                                            Type::tensor(dtype_, graph_.type(v).shape()));
    graph_.node(id).outputs[o] = stored;
    graph_.value(stored).producer = id;
    const auto& order = graph_.order();
    const auto after = std::next(std::find(order.begin(), order.end(), id));
    Node back{.op = "Cast", .since_version = graph_.node(id).since_version, .inputs = {stored}, .outputs = {v}};
    back.attributes["to"] = static_cast<int64_t>(DType::f32);
    graph_.value(v).producer = kNone;
    graph_.add_node(std::move(back), after == order.end() ? kNone : *after);
    narrow_[v] = stored;
  }

  Graph& graph_;
  DType dtype_;
  std::set<ValueId> lowered_;          // values that were f32
  std::map<ValueId, ValueId> narrow_;  // f32 values → the same in 16 bits
  std::map<ValueId, ValueId> wide_;    // and the other way round
  LoweredPrecision result_;
};

}  // namespace

LoweredPrecision lower_precision(Graph& graph, DType dtype) {
  RT_CHECK(ops::is_half(dtype), "precision {} is no 16-bit one", ir::name(dtype));
  return Lowering(graph, dtype).run();
}

}  // namespace rooftune::passes
