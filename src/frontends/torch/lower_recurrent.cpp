// LSTM, GRU and plain recurrent layers, and their single steps.
#include <algorithm>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

struct Kind {
  std::string op;              // of ONNX
  std::vector<int64_t> gates;  // ONNX's order of PyTorch's gates
  bool has_cell = false;
  Attributes attributes;
};

const Kind kLstm{"LSTM", {0, 3, 1, 2}, true, {}};                                 // i o f c from i f c o
const Kind kGru{"GRU", {1, 0, 2}, false, {{"linear_before_reset", int64_t{1}}}};  // z r h from r z h
const Kind kTanh{"RNN", {0}, false, {}};
const Kind kRelu{"RNN", {0}, false, {}};

/// The gates' rows in ONNX's order.
ValueId reordered(Context& c, ValueId weights, const std::vector<int64_t>& gates, int64_t hidden) {
  if (std::is_sorted(gates.begin(), gates.end())) return weights;
  std::vector<ValueId> parts;
  for (const int64_t g : gates) parts.push_back(c.slice(weights, 0, g * hidden, (g + 1) * hidden));
  return c.concat(parts, 0);
}

struct Layers {
  std::vector<ValueId> parameters;  // per layer and direction: w_ih, w_hh and, with biases, b_ih, b_hh
  bool biases, both_ways;
  int64_t layers, hidden;
};

Layers read_layers(Context& c) {
  Layers l{c.tensors("params"), c.flag("has_biases", true), c.flag("bidirectional", false), c.integer("num_layers"), 0};
  const int64_t expected = l.layers * (l.both_ways ? 2 : 1) * (l.biases ? 4 : 2);
  if (l.layers < 1 || static_cast<int64_t>(l.parameters.size()) != expected)
    c.fail(fmt::format("{} parameters are expected for {} layers, {} are given (projections are not supported)",
                       expected, l.layers, l.parameters.size()));
  if (c.rank(l.parameters[1]) != 2 || !c.shape(l.parameters[1])[1].is_static()) c.fail("the hidden size must be known");
  l.hidden = c.shape(l.parameters[1])[1].value();
  if (c.flag("train", false) && c.real("dropout", 0) > 0) c.fail("it drops at random: export the model after eval()");
  return l;
}

/// One layer in all directions: its inputs W, R and B of ONNX.
std::vector<ValueId> layer_weights(Context& c, const Layers& l, const Kind& kind, int64_t layer) {
  const int64_t directions = l.both_ways ? 2 : 1, each = l.biases ? 4 : 2;
  std::vector<ValueId> w, r, b;
  for (int64_t d = 0; d < directions; ++d) {
    const ValueId* p = &l.parameters[static_cast<size_t>((layer * directions + d) * each)];
    const auto in_order = [&](ValueId v) { return reordered(c, v, kind.gates, l.hidden); };
    w.push_back(c.unsqueeze(in_order(p[0]), {0}));
    r.push_back(c.unsqueeze(in_order(p[1]), {0}));
    if (l.biases) b.push_back(c.unsqueeze(c.concat({in_order(p[2]), in_order(p[3])}, 0), {0}));
  }
  return {c.concat(w, 0), c.concat(r, 0), l.biases ? c.concat(b, 0) : kNone};
}

Lowering recurrent(const Kind& kind, const std::string& activation = "") {
  return [&kind, activation](Context& c) {
    const Layers l = read_layers(c);
    const bool batch_first = c.flag("batch_first", false);
    ValueId x = c.tensor("input");
    if (c.rank_of("input") != 3) c.fail("only inputs of rank 3 are supported");
    if (batch_first) x = c.transpose(x, {1, 0, 2});
    const std::vector<ValueId> initial = kind.has_cell ? c.tensors("hx") : std::vector{c.tensor("hx")};
    const int64_t directions = l.both_ways ? 2 : 1;
    const DType dtype = c.dtype(x);
    std::vector<std::vector<ValueId>> last(kind.has_cell ? 2 : 1);
    for (int64_t layer = 0; layer < l.layers; ++layer) {
      const auto state = [&](ValueId all) {
        return l.layers == 1 ? all : c.slice(all, 0, layer * directions, (layer + 1) * directions);
      };
      const std::vector<ValueId> weights = layer_weights(c, l, kind, layer);
      std::vector<ValueId> inputs{x, weights[0], weights[1], weights[2], kNone};
      for (const ValueId v : initial) inputs.push_back(state(v));
      Attributes attributes = kind.attributes;
      attributes["hidden_size"] = l.hidden;
      attributes["direction"] = std::string(l.both_ways ? "bidirectional" : "forward");
      if (!activation.empty())
        attributes["activations"] = std::vector<std::string>(static_cast<size_t>(directions), activation);
      const auto y = c.ops(kind.op, inputs, std::vector<DType>(1 + last.size(), dtype), std::move(attributes));
      for (size_t i = 0; i < last.size(); ++i) last[i].push_back(y[1 + i]);
      // [length, directions, batch, hidden] → [length, batch, directions · hidden]
      x = l.both_ways ? c.reshape(c.transpose(y[0], {0, 2, 1, 3}), {0, 0, directions * l.hidden})
                      : c.squeeze(y[0], {1});
    }
    c.give(batch_first ? c.transpose(x, {1, 0, 2}) : x);
    for (size_t i = 0; i < last.size(); ++i) c.give(1 + i, c.concat(last[i], 0));
  };
}

// --- single steps

/// x · wᵀ + b, cut into as many gates.
std::vector<ValueId> gates(Context& c, std::string_view input, std::string_view weight, std::string_view bias,
                           size_t count) {
  const DType dtype = c.result().dtype;
  std::vector<ValueId> inputs{
      input == "hx" && c.has("hx") && !c.is_tensor("hx") ? c.tensors("hx").at(0) : c.tensor(input), c.tensor(weight)};
  if (c.has(bias)) inputs.push_back(c.tensor(bias));
  const ValueId all = c.op("Gemm", inputs, {{"transB", int64_t{1}}});
  if (count == 1) return {all};
  return c.ops("Split", {all}, std::vector<DType>(count, dtype),
               {{"axis", int64_t{1}}, {"num_outputs", static_cast<int64_t>(count)}});
}

void lstm_cell(Context& c) {
  const auto x = gates(c, "input", "w_ih", "b_ih", 4), h = gates(c, "hx", "w_hh", "b_hh", 4);
  const auto sum = [&](size_t i) { return c.op("Add", {x[i], h[i]}); };
  const auto sigmoid = [&](size_t i) { return c.op("Sigmoid", {sum(i)}); };
  const ValueId cell = c.tensors("hx").at(1);
  const ValueId kept = c.op("Mul", {sigmoid(1), cell}), added = c.op("Mul", {sigmoid(0), c.op("Tanh", {sum(2)})});
  const ValueId next = c.op("Add", {kept, added});
  c.give(0, c.op("Mul", {sigmoid(3), c.op("Tanh", {next})}));
  c.give(1, next);
}

void gru_cell(Context& c) {
  const auto x = gates(c, "input", "w_ih", "b_ih", 3), h = gates(c, "hx", "w_hh", "b_hh", 3);
  const auto gate = [&](size_t i) { return c.op("Sigmoid", {c.op("Add", {x[i], h[i]})}); };
  const ValueId fresh = c.op("Tanh", {c.op("Add", {x[2], c.op("Mul", {gate(0), h[2]})})});
  const ValueId kept = c.op("Mul", {gate(1), c.op("Sub", {c.tensor("hx"), fresh})});
  c.give(c.op("Add", {fresh, kept}));
}

Lowering plain_cell(std::string_view activation) {
  return [activation = std::string(activation)](Context& c) {
    const ValueId x = gates(c, "input", "w_ih", "b_ih", 1)[0], h = gates(c, "hx", "w_hh", "b_hh", 1)[0];
    c.give(c.op(activation, {c.op("Add", {x, h})}));
  };
}

}  // namespace

void register_recurrent(Lowerings& t) {
  t.add("aten.lstm.input", recurrent(kLstm));
  t.add("aten.gru.input", recurrent(kGru));
  t.add("aten.rnn_tanh.input", recurrent(kTanh, "Tanh"));
  t.add("aten.rnn_relu.input", recurrent(kRelu, "Relu"));
  t.add("aten.lstm_cell.default", lstm_cell);
  t.add("aten.gru_cell.default", gru_cell);
  t.add("aten.rnn_tanh_cell.default", plain_cell("Tanh"));
  t.add("aten.rnn_relu_cell.default", plain_cell("Relu"));
}

}  // namespace rooftune::frontends::torch_format
