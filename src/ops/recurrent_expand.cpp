// LSTM, GRU and RNN as other operators, which is how they become kernels: the inputs' products with their weights for all
// steps at once, then a Scan over the steps that is left with the state's product and a few maps. Bidirectional ones are
// two such scans. Where entries of a batch are of different lengths, a step changes the states of those that still run;
// backwards these begin at their own last step, so x and Y are turned entry by entry.
#include "ops/recurrent.h"

namespace rooftune::ops {
namespace {

using Value = ir::ValueId;
using Values = std::vector<ir::ValueId>;
using Attributes = std::map<std::string, ir::Attribute>;

/// Adds nodes to a graph under names that begin with the expanded node's.
class Writer {
 public:
  Writer(Graph& graph, std::string prefix, DType dtype) : graph_(graph), prefix_(std::move(prefix)), dtype_(dtype) {}

  Values add_many(const std::string& op, Values inputs, size_t outputs, Attributes attributes = {}) {
    Node node{.name = prefix_ + "/" + op, .op = op, .inputs = std::move(inputs), .attributes = std::move(attributes)};
    for (size_t i = 0; i < outputs; ++i) node.outputs.push_back(graph_.add_value(node.name, {}));
    const Values made = node.outputs;
    graph_.add_node(std::move(node));
    return made;
  }
  Value add(const std::string& op, Values inputs, Attributes attributes = {}) {
    return add_many(op, std::move(inputs), 1, std::move(attributes))[0];
  }
  Value constant(Tensor tensor) { return graph_.add_constant(prefix_ + "/constant", std::move(tensor)); }
  Value scalar(double value) {
    Tensor tensor(dtype_, {});
    tensor.set_double(0, value);
    return constant(std::move(tensor));
  }
  Value zeros(const std::vector<int64_t>& shape) {
    Tensor tensor(dtype_, shape);
    std::fill_n(tensor.raw(), tensor.bytes(), uint8_t{0});
    return constant(std::move(tensor));
  }
  Value ints(const std::vector<int64_t>& values) {
    return constant(Tensor::of(DType::i64, {static_cast<int64_t>(values.size())}, values));
  }
  Value slice(Value x, int64_t axis, int64_t begin, int64_t end) {
    return add("Slice", {x, ints({begin}), ints({end}), ints({axis})});
  }
  Value squeeze(Value x, int64_t axis) { return add("Squeeze", {x, ints({axis})}); }
  Value unsqueeze(Value x, int64_t axis) { return add("Unsqueeze", {x, ints({axis})}); }
  Value transpose(Value x, const std::vector<int64_t>& perm) { return add("Transpose", {x}, {{"perm", perm}}); }

  Value activate(const Activation& f, Value x) {
    using Kind = Activation::Kind;
    const auto constant = [&](float v) { return scalar(v); };
    switch (f.kind) {
      case Kind::sigmoid: return add("Sigmoid", {x});
      case Kind::tanh: return add("Tanh", {x});
      case Kind::relu: return add("Relu", {x});
      case Kind::affine: return add("Add", {add("Mul", {x, constant(f.alpha)}), constant(f.beta)});
      case Kind::leaky_relu: return add("LeakyRelu", {x}, {{"alpha", f.alpha}});
      case Kind::thresholded_relu: return add("Where", {add("GreaterOrEqual", {x, constant(f.alpha)}), x, constant(0)});
      case Kind::scaled_tanh: return add("Mul", {add("Tanh", {add("Mul", {x, constant(f.beta)})}), constant(f.alpha)});
      case Kind::hard_sigmoid: return add("HardSigmoid", {x}, {{"alpha", f.alpha}, {"beta", f.beta}});
      case Kind::elu: return add("Elu", {x}, {{"alpha", f.alpha}});
      case Kind::softsign: return add("Softsign", {x});
      default: return add("Softplus", {x});
    }
  }

 private:
  Graph& graph_;
  std::string prefix_;
  DType dtype_;
};

/// A body under construction: it takes values of the graph around it as captures.
class Body {
 public:
  Body(const Graph& outer, const std::string& prefix, DType dtype)
      : graph(std::make_shared<Graph>()), write(*graph, prefix, dtype), outer_(outer) {}

  Value input(const std::string& name) { return graph->add_input(name, {}); }
  Value capture(Value outside) {
    if (outside == ir::kNone) return ir::kNone;
    const Value inside = graph->add_value(outer_.value(outside).name, {});
    graph->captures_inner.push_back(inside);
    graph->captures_outer.push_back(outside);
    return inside;
  }

  std::shared_ptr<Graph> graph;
  Writer write;

 private:
  const Graph& outer_;
};

/// What one direction of a node consists of, all of it values of the expansion.
struct Direction {
  Value x;         // [steps, batch, inputs], the first step first seen
  Value w, r;      // [rows, inputs], [rows, hidden]
  Value bias;      // [2 · rows], or kNone, as are these:
  Value peephole;  // [3 · hidden]
  Value active;    // bool [steps, batch, 1]: which entries still run
  Value h, c;      // initial states [batch, hidden]; c of an LSTM only
  bool reversed;   // steps from the last to the first
  const Activation* f;
};
struct Results {
  Value y, h, c;  // [steps, batch, hidden]; [batch, hidden]
};

class Expansion {
 public:
  Expansion(ExpandContext& ctx, int64_t hidden)
      : ctx_(ctx),
        node_(ctx.node()),
        prefix_(node_.name),
        dtype_(ctx.body().type(ctx.inputs()[0]).dtype()),
        hidden_(hidden),
        clip_(node_.attr_float("clip", 0)),
        write(ctx.body(), prefix_, dtype_) {}

  Results run(const Direction& d) {
    if (node_.op == "LSTM") return lstm(d);
    return node_.op == "GRU" ? gru(d) : rnn(d);
  }

 private:
  Value rows(Value x, int64_t first, int64_t count) {
    return write.slice(x, 0, first * hidden_, (first + count) * hidden_);
  }
  Value turned(Value matrix) { return write.transpose(matrix, {1, 0}); }
  Value sum(Value a, Value b) { return b == ir::kNone ? a : write.add("Add", {a, b}); }
  /// Both biases of gates [first, first + count).
  Value bias(const Direction& d, int64_t first, int64_t count, int64_t gates) {
    return d.bias == ir::kNone ? ir::kNone : sum(rows(d.bias, first, count), rows(d.bias, gates + first, count));
  }
  Value products(const Direction& d, int64_t first, int64_t count) {
    return write.add("MatMul", {d.x, turned(rows(d.w, first, count))});
  }

  // --- in a body
  /// Gate `which` of [batch, gates · hidden].
  Value gate(Body& b, Value all, int64_t which) {
    return b.write.slice(all, 1, which * hidden_, (which + 1) * hidden_);
  }
  Value clipped(Body& b, Value x) {
    return clip_ > 0 ? b.write.add("Clip", {x, b.write.scalar(-clip_), b.write.scalar(clip_)}) : x;
  }
  Value apply(Body& b, const Activation& f, Value x) { return b.write.activate(f, clipped(b, x)); }
  Value maybe_add(Body& b, Value a, Value other) { return other == ir::kNone ? a : b.write.add("Add", {a, other}); }

  /// One scan: `states` and their values after a step, `scanned` over the leading dim. Entries that do not run any more
  /// keep their states and give zeros.
  Results scan(const Direction& d, Body& b, Values initial, Values scanned, const Values& before, Values after) {
    Value y = after[0];
    if (d.active != ir::kNone) {
      const Value runs = b.input(prefix_ + "/runs");
      scanned.push_back(d.active);
      for (size_t s = 0; s < after.size(); ++s) after[s] = b.write.add("Where", {runs, after[s], before[s]});
      y = b.write.add("Where", {runs, after[0], b.write.scalar(0)});
    }
    b.graph->outputs = after;
    b.graph->outputs.push_back(y);
    const auto count = static_cast<int64_t>(scanned.size());
    Attributes attributes{{"body", b.graph}, {"num_scan_inputs", count}};
    if (d.reversed) {
      attributes["scan_input_directions"] = std::vector<int64_t>(scanned.size(), 1);
      attributes["scan_output_directions"] = std::vector<int64_t>{1};
    }
    Values inputs = std::move(initial);
    inputs.insert(inputs.end(), scanned.begin(), scanned.end());
    const Values made = write.add_many("Scan", std::move(inputs), after.size() + 1, std::move(attributes));
    return {made.back(), made[0], after.size() > 1 ? made[1] : ir::kNone};
  }

  Results lstm(const Direction& d) {
    const Value from_x = sum(products(d, 0, 4), bias(d, 0, 4, 4));  // input, output, forget, cell
    const Value holes[] = {hole(d, 0), hole(d, 1), hole(d, 2)};
    const Value r = turned(d.r);
    Body b(ctx_.body(), prefix_, dtype_);
    Writer& w = b.write;
    const Value h = b.input(prefix_ + "/h"), c = b.input(prefix_ + "/c"), x = b.input(prefix_ + "/x");
    const Value all = w.add("Add", {w.add("MatMul", {h, b.capture(r)}), x});
    const auto peeped = [&](int64_t which, int hole, Value cell) {
      const Value part = gate(b, all, which);
      return holes[hole] == ir::kNone ? part : w.add("Add", {part, w.add("Mul", {cell, b.capture(holes[hole])})});
    };
    const Value in = apply(b, d.f[0], peeped(0, 0, c));
    const Value forget =
        node_.attr_int("input_forget", 0) != 0 ? w.add("Sub", {w.scalar(1), in}) : apply(b, d.f[0], peeped(2, 2, c));
    const Value next_c =
        w.add("Add", {w.add("Mul", {forget, c}), w.add("Mul", {in, apply(b, d.f[1], gate(b, all, 3))})});
    const Value out = apply(b, d.f[0], peeped(1, 1, next_c));
    const Value next_h = w.add("Mul", {out, w.activate(d.f[2], next_c)});
    return scan(d, b, {d.h, d.c}, {from_x}, {h, c}, {next_h, next_c});
  }
  Value hole(const Direction& d, int64_t which) {
    return d.peephole == ir::kNone ? ir::kNone : rows(d.peephole, which, 1);
  }

  Results gru(const Direction& d) {
    const bool late_reset = node_.attr_int("linear_before_reset", 0) != 0;
    const Value gates_x = sum(products(d, 0, 2), bias(d, 0, 2, 3));  // update, reset
    Value hidden_x = products(d, 2, 1), hidden_bias = ir::kNone;
    if (!late_reset) hidden_x = sum(hidden_x, bias(d, 2, 1, 3));
    else if (d.bias != ir::kNone) hidden_x = sum(hidden_x, rows(d.bias, 2, 1)), hidden_bias = rows(d.bias, 5, 1);
    const Value r = late_reset ? turned(d.r) : turned(rows(d.r, 0, 2));
    const Value late_r = late_reset ? ir::kNone : turned(rows(d.r, 2, 1));
    Body b(ctx_.body(), prefix_, dtype_);
    Writer& w = b.write;
    const Value h = b.input(prefix_ + "/h"), xg = b.input(prefix_ + "/x_gates"), xh = b.input(prefix_ + "/x_hidden");
    const Value all = w.add("MatMul", {h, b.capture(r)});
    Value update = ir::kNone, reset = ir::kNone, from_h = ir::kNone;
    if (late_reset) {
      const auto gate_of = [&](int64_t g) { return apply(b, d.f[0], w.add("Add", {gate(b, all, g), gate(b, xg, g)})); };
      update = gate_of(0);
      reset = gate_of(1);
      from_h = w.add("Mul", {reset, maybe_add(b, gate(b, all, 2), b.capture(hidden_bias))});
    } else {
      const Value both = w.add("Add", {all, xg});
      update = apply(b, d.f[0], gate(b, both, 0));
      reset = w.add("Mul", {apply(b, d.f[0], gate(b, both, 1)), h});
      from_h = w.add("MatMul", {reset, b.capture(late_r)});
    }
    const Value fresh = apply(b, d.f[1], w.add("Add", {from_h, xh}));
    const Value next =
        w.add("Add", {w.add("Mul", {w.add("Sub", {w.scalar(1), update}), fresh}), w.add("Mul", {update, h})});
    return scan(d, b, {d.h}, {gates_x, hidden_x}, {h}, {next});
  }

  Results rnn(const Direction& d) {
    const Value from_x = sum(products(d, 0, 1), bias(d, 0, 1, 1)), r = turned(d.r);
    Body b(ctx_.body(), prefix_, dtype_);
    const Value h = b.input(prefix_ + "/h"), x = b.input(prefix_ + "/x");
    const Value sum = b.write.add("Add", {b.write.add("MatMul", {h, b.capture(r)}), x});
    return scan(d, b, {d.h}, {from_x}, {h}, {apply(b, d.f[0], sum)});
  }

  ExpandContext& ctx_;
  const Node& node_;
  std::string prefix_;
  DType dtype_;
  int64_t hidden_;
  float clip_;

 public:
  Writer write;
};

std::string why_not(const ExpandContext& ctx) {
  const Graph& graph = ctx.body();
  for (Value v : ctx.inputs())
    if (v != ir::kNone && !graph.type(v).is_static())
      return fmt::format("'{}' has no static shape ({})", graph.value(v).name, graph.type(v).to_string());
  const Type& x = graph.type(ctx.inputs()[0]);
  if (x.dtype() != DType::f32 && x.dtype() != DType::f64)
    return fmt::format("it computes with {}", ir::name(x.dtype()));
  return "";
}

}  // namespace

void expand_recurrent(ExpandContext& ctx) {
  if (const std::string why = why_not(ctx); !why.empty()) return ctx.reject(why);
  const Node& node = ctx.node();
  const Graph& graph = ctx.body();
  const auto input = [&](size_t i) { return i < ctx.inputs().size() ? ctx.inputs()[i] : ir::kNone; };
  const bool batch_first = node.attr_int("layout", 0) != 0, is_lstm = node.op == "LSTM";
  const std::vector<int64_t> shape = ir::static_values(graph.type(input(0)).shape());
  const int64_t steps = shape[batch_first ? 1 : 0], batch = shape[batch_first ? 0 : 1];
  const int64_t hidden = ir::static_values(graph.type(input(2)).shape())[2];
  const auto directions = static_cast<int64_t>(directions_of(node));
  const Cell cell = cell_of(node);
  const std::vector<Activation> functions = activations_of(node, cell, static_cast<size_t>(directions));
  Expansion expansion(ctx, hidden);
  Writer& w = expansion.write;

  const Value x = batch_first ? w.transpose(input(0), {1, 0, 2}) : input(0);
  Value active = ir::kNone, lengths = ir::kNone;
  if (input(4) != ir::kNone) {
    Tensor numbers(DType::i32, {steps, 1, 1});
    for (int64_t t = 0; t < steps; ++t) numbers.data<int32_t>()[t] = static_cast<int32_t>(t);
    active = w.add("Less", {w.constant(std::move(numbers)), w.unsqueeze(input(4), 1)});
    lengths = w.add("Cast", {input(4)}, {{"to", int64_t{7}}});  // i64
  }
  const auto part = [&](Value v, int64_t d, int64_t axis) {
    if (v == ir::kNone) return v;
    return w.squeeze(directions == 1 ? v : w.slice(v, axis, d, d + 1), axis);
  };
  const int64_t state_axis = batch_first ? 1 : 0;
  const auto initial = [&](size_t i, int64_t d) {
    return input(i) == ir::kNone ? w.zeros({batch, hidden}) : part(input(i), d, state_axis);
  };
  const auto turn = [&](Value v) {
    return w.add("ReverseSequence", {v, lengths}, {{"time_axis", int64_t{0}}, {"batch_axis", int64_t{1}}});
  };
  Values y, h, c;
  for (int64_t d = 0; d < directions; ++d) {
    const bool backward = directions == 2 ? d == 1 : node.attr_string("direction", "forward") == "reverse";
    const bool turned = backward && active != ir::kNone;
    const Results made = expansion.run({.x = turned ? turn(x) : x,
                                        .w = part(input(1), d, 0),
                                        .r = part(input(2), d, 0),
                                        .bias = part(input(3), d, 0),
                                        .peephole = is_lstm ? part(input(7), d, 0) : ir::kNone,
                                        .active = active,
                                        .h = initial(5, d),
                                        .c = is_lstm ? initial(6, d) : ir::kNone,
                                        .reversed = backward && !turned,
                                        .f = functions.data() + static_cast<size_t>(d) * cell.defaults.size()});
    y.push_back(w.unsqueeze(turned ? turn(made.y) : made.y, 1));
    h.push_back(w.unsqueeze(made.h, state_axis));
    if (is_lstm) c.push_back(w.unsqueeze(made.c, state_axis));
  }
  const auto joined = [&](const Values& parts, int64_t axis) {
    return parts.size() == 1 ? parts[0] : w.add("Concat", parts, {{"axis", axis}});
  };
  const auto wanted = [&](size_t i) { return i < node.outputs.size() && node.outputs[i] != ir::kNone; };
  if (wanted(0)) {
    const Value all = joined(y, 1);
    ctx.set_output(0, batch_first ? w.transpose(all, {2, 0, 1, 3}) : all);
  }
  if (wanted(1)) ctx.set_output(1, joined(h, state_axis));
  if (wanted(2)) ctx.set_output(2, joined(c, state_axis));
}

}  // namespace rooftune::ops
