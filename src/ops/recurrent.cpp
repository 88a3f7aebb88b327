// LSTM, GRU and RNN: all directions, layouts, activations, peepholes and sequence lengths. The products of the inputs
// with their weights are done for all steps at once; what remains in each step is the product with the state.
#include "ops/recurrent.h"

#include "ops/cells.h"
#include "ops/dense.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"

namespace rooftune::ops {
namespace {

/// What each activation is called, and its parameters' defaults (how many of them it takes from the lists).
struct ActivationKind {
  const char* name;
  Activation::Kind kind;
  int alphas, betas;
  float alpha, beta;
};
constexpr ActivationKind kActivations[] = {{"sigmoid", Activation::Kind::sigmoid, 0, 0, 0, 0},
                                           {"tanh", Activation::Kind::tanh, 0, 0, 0, 0},
                                           {"relu", Activation::Kind::relu, 0, 0, 0, 0},
                                           {"affine", Activation::Kind::affine, 1, 1, 1, 0},
                                           {"leakyrelu", Activation::Kind::leaky_relu, 1, 0, 0.01F, 0},
                                           {"thresholdedrelu", Activation::Kind::thresholded_relu, 1, 0, 1, 0},
                                           {"scaledtanh", Activation::Kind::scaled_tanh, 1, 1, 1, 1},
                                           {"hardsigmoid", Activation::Kind::hard_sigmoid, 1, 1, 0.2F, 0.5F},
                                           {"elu", Activation::Kind::elu, 1, 0, 1, 0},
                                           {"softsign", Activation::Kind::softsign, 0, 0, 0, 0},
                                           {"softplus", Activation::Kind::softplus, 0, 0, 0, 0}};

}  // namespace

Cell cell_of(const Node& node) {
  if (node.op == "LSTM") return {4, {"Sigmoid", "Tanh", "Tanh"}};
  if (node.op == "GRU") return {3, {"Sigmoid", "Tanh"}};
  return {1, {"Tanh"}};
}

std::vector<Activation> activations_of(const Node& node, const Cell& cell, size_t directions) {
  std::vector<std::string> names;
  const auto it = node.attributes.find("activations");
  if (it != node.attributes.end()) {
    const auto* given = std::get_if<std::vector<std::string>>(&it->second);
    if (given == nullptr) fail(node, "attribute 'activations' must be a list of strings");
    names = *given;
  }
  for (size_t d = 0; names.size() < directions * cell.defaults.size() && it == node.attributes.end(); ++d) {
    names.insert(names.end(), cell.defaults.begin(), cell.defaults.end());
  }
  if (names.size() != directions * cell.defaults.size())
    fail(node, fmt::format("activations has {} names, must have {}", names.size(), directions * cell.defaults.size()));
  const std::vector<float> alphas = node.attr_floats("activation_alpha"), betas = node.attr_floats("activation_beta");
  size_t next_alpha = 0, next_beta = 0;
  std::vector<Activation> out;
  for (const std::string& name : names) {
    std::string lower = name;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const auto* kind = std::find_if(std::begin(kActivations), std::end(kActivations),
                                    [&](const ActivationKind& k) { return lower == k.name; });
    if (kind == std::end(kActivations)) fail(node, "activation '" + name + "' is not known");
    Activation a{name, kind->alpha, kind->beta, kind->kind};
    if (kind->alphas > 0 && next_alpha < alphas.size()) a.alpha = alphas[next_alpha++];
    if (kind->betas > 0 && next_beta < betas.size()) a.beta = betas[next_beta++];
    out.push_back(a);
  }
  return out;
}

size_t directions_of(const Node& node) {
  const std::string d = node.attr_string("direction", "forward");
  if (d != "forward" && d != "reverse" && d != "bidirectional")
    fail(node, "direction '" + d + "', must be forward, reverse or bidirectional");
  return d == "bidirectional" ? 2 : 1;
}

namespace {

void infer_recurrent(InferContext& ctx) {
  const Node& node = ctx.node();
  const DType dtype = require_same(ctx, 0, 3, kFloats);
  for (int i : {5, 6, 7}) {
    if (ctx.has_input(i) && ctx.dtype(i) != dtype)
      ctx.fail(fmt::format("inputs 0 and {} must have the same element type, but are {} and {}", i, ir::name(dtype),
                           ir::name(ctx.dtype(i))));
  }
  if (ctx.has_input(4)) require(ctx, 4, bit(DType::i32));
  const bool batch_first = node.attr_int("layout", 0) != 0;
  const Dim directions = static_cast<int64_t>(directions_of(node));
  activations_of(node, cell_of(node), directions_of(node));
  for (int i = 0; i < 3; ++i) require_rank(ctx, i, 3, 3);
  Dim hidden = node.attr_int("hidden_size", 0);
  if (hidden == Dim(0) && ctx.has_shape(2)) hidden = ctx.shape(2)[2];
  if (!ctx.has_shape(0) || hidden == Dim(0)) {
    for (int i = 0; i < ctx.output_count(); ++i) ctx.set_output(i, Type::tensor(dtype));
    return;
  }
  const Shape& x = ctx.shape(0);
  const Dim rows = hidden * Dim(cell_of(node).gates);
  require_shape(ctx, 1, "W", {directions, rows, x[2]});
  require_shape(ctx, 2, "R", {directions, rows, hidden});
  require_shape(ctx, 3, "B", {directions, rows * Dim(2)});
  const Dim steps = x[batch_first ? 1 : 0], batch = x[batch_first ? 0 : 1];
  const Shape state = batch_first ? Shape{batch, directions, hidden} : Shape{directions, batch, hidden};
  require_shape(ctx, 4, "sequence_lens", {batch});
  require_shape(ctx, 5, "initial_h", state);
  require_shape(ctx, 6, "initial_c", state);
  require_shape(ctx, 7, "P", {directions, hidden * Dim(3)});
  ctx.set_output(0, dtype,
                 batch_first ? Shape{batch, steps, directions, hidden} : Shape{steps, directions, batch, hidden});
  for (int i = 1; i < ctx.output_count(); ++i) ctx.set_output(i, dtype, state);
}

Cost cost_recurrent(const CostContext& ctx) {
  const std::vector<int64_t> x = ir::static_values(ctx.input(0).shape()), w = ir::static_values(ctx.input(1).shape()),
                             r = ir::static_values(ctx.input(2).shape());
  const double rows = static_cast<double>(x[0] * x[1]);
  return {2 * rows * static_cast<double>(product(w) + product(r)), bytes_touched(ctx)};
}

// --- reference

template <typename T>
struct Run {
  const Node& node;
  int64_t steps, batch, inputs, hidden, gates;
  bool batch_first;
  T clip;                                // 0: none
  std::vector<int64_t> lengths;          // of each batch entry
  const T *x, *w, *r, *bias, *peephole;  // of one direction; bias and peephole may be null
  bool backward;
  const Activation* activation;
  std::vector<T> h, c;  // state [batch, hidden]

  int64_t row(int64_t step, int64_t b) const { return batch_first ? b * steps + step : step * batch + b; }
  /// The input's step that batch entry `b` sees at step `s`.
  int64_t time(int64_t s, int64_t b) const { return backward ? lengths[static_cast<size_t>(b)] - 1 - s : s; }
  T clipped(T v) const { return clip > 0 ? std::clamp(v, -clip, clip) : v; }
  /// Sum of the two biases of gate row `g`.
  T bias_of(int64_t g) const { return bias == nullptr ? T{0} : bias[g] + bias[gates * hidden + g]; }

  /// `x` times `w` for all steps: [rows, gates · hidden].
  std::vector<T> input_products() const {
    std::vector<T> out(static_cast<size_t>(steps * batch * gates * hidden));
    matrix_product<T>(steps * batch, gates * hidden, inputs, {x, inputs}, {w, 1, inputs}, out.data(), gates * hidden);
    return out;
  }
  /// `state` [batch, hidden] times gate rows [first, first + count) of `r`: [batch, count · hidden].
  std::vector<T> state_products(const std::vector<T>& state, int64_t first, int64_t count) const {
    std::vector<T> out(static_cast<size_t>(batch * count * hidden));
    matrix_product<T>(batch, count * hidden, hidden, {state.data(), hidden}, {r + first * hidden * hidden, 1, hidden},
                      out.data(), count * hidden);
    return out;
  }
};

template <typename T>
void lstm_step(Run<T>& run, int64_t b, const T* xw, const T* hr) {
  const int64_t n = run.hidden;
  const bool coupled = run.node.attr_int("input_forget", 0) != 0;
  const Activation &f = run.activation[0], &g = run.activation[1], &h = run.activation[2];
  for (int64_t i = 0; i < n; ++i) {
    T& cell = run.c[static_cast<size_t>(b * n + i)];
    auto gate = [&](int64_t which, int64_t hole, T state) {  // order of rows: input, output, forget, cell
      const int64_t at = which * n + i;
      const T peep = run.peephole != nullptr && hole >= 0 ? run.peephole[hole * n + i] * state : T{0};
      return run.clipped(xw[at] + hr[at] + run.bias_of(at) + peep);
    };
    const T input = f(gate(0, 0, cell));
    const T forget = coupled ? 1 - input : f(gate(2, 2, cell));
    cell = forget * cell + input * g(gate(3, -1, 0));
    run.h[static_cast<size_t>(b * n + i)] = f(gate(1, 1, cell)) * h(cell);
  }
}

template <typename T>
void rnn_step(Run<T>& run, int64_t b, const T* xw, const T* hr) {
  for (int64_t i = 0; i < run.hidden; ++i) {
    run.h[static_cast<size_t>(b * run.hidden + i)] = run.activation[0](run.clipped(xw[i] + hr[i] + run.bias_of(i)));
  }
}

/// One step of all batch entries that are `active`. Rows: update, reset, hidden.
template <typename T>
void gru_step(Run<T>& run, const std::vector<const T*>& xw, const std::vector<bool>& active) {
  const int64_t n = run.hidden;
  const bool late_reset = run.node.attr_int("linear_before_reset", 0) != 0;
  const std::vector<T> hr = run.state_products(run.h, 0, late_reset ? 3 : 2);
  const int64_t width = (late_reset ? 3 : 2) * n;
  auto gate = [&](int64_t b, int64_t which, int64_t i) {
    const int64_t at = which * n + i;
    return run.activation[0](
        run.clipped(xw[static_cast<size_t>(b)][at] + hr[static_cast<size_t>(b * width + at)] + run.bias_of(at)));
  };
  std::vector<T> reset_state(run.h.size(), 0), from_reset;
  if (!late_reset) {
    for (int64_t b = 0; b < run.batch; ++b) {
      for (int64_t i = 0; i < n && active[static_cast<size_t>(b)]; ++i)
        reset_state[static_cast<size_t>(b * n + i)] = gate(b, 1, i) * run.h[static_cast<size_t>(b * n + i)];
    }
    from_reset = run.state_products(reset_state, 2, 1);
  }
  for (int64_t b = 0; b < run.batch; ++b) {
    for (int64_t i = 0; i < n && active[static_cast<size_t>(b)]; ++i) {
      T& h = run.h[static_cast<size_t>(b * n + i)];
      const int64_t at = 2 * n + i;
      const T from_x = xw[static_cast<size_t>(b)][at], wb = run.bias ? run.bias[at] : T{0},
              rb = run.bias ? run.bias[3 * n + at] : T{0};
      const T sum = late_reset ? from_x + gate(b, 1, i) * (hr[static_cast<size_t>(b * width + at)] + rb) + wb
                               : from_x + from_reset[static_cast<size_t>(b * n + i)] + rb + wb;
      const T update = gate(b, 0, i);
      h = (1 - update) * run.activation[1](run.clipped(sum)) + update * h;
    }
  }
}

/// Runs one direction; `y` receives the state of each step: y(step, batch entry) points at `hidden` elements.
template <typename T, typename Y>
void run_direction(Run<T>& run, Y&& y) {
  const std::vector<T> products = run.input_products();
  const int64_t width = run.gates * run.hidden;
  for (int64_t s = 0; s < run.steps; ++s) {
    std::vector<const T*> xw(static_cast<size_t>(run.batch), nullptr);
    std::vector<bool> active(static_cast<size_t>(run.batch), false);
    for (int64_t b = 0; b < run.batch; ++b) {
      if (s >= run.lengths[static_cast<size_t>(b)]) continue;
      active[static_cast<size_t>(b)] = true;
      xw[static_cast<size_t>(b)] = products.data() + run.row(run.time(s, b), b) * width;
    }
    if (run.node.op == "GRU") {
      gru_step(run, xw, active);
    } else {
      const std::vector<T> hr = run.state_products(run.h, 0, run.gates);
      for (int64_t b = 0; b < run.batch; ++b) {
        if (!active[static_cast<size_t>(b)]) continue;
        if (run.node.op == "LSTM") lstm_step(run, b, xw[static_cast<size_t>(b)], hr.data() + b * width);
        else rnn_step(run, b, xw[static_cast<size_t>(b)], hr.data() + b * width);
      }
    }
    for (int64_t b = 0; b < run.batch; ++b) {
      if (active[static_cast<size_t>(b)]) std::copy_n(run.h.data() + b * run.hidden, run.hidden, y(run.time(s, b), b));
    }
  }
}

template <typename T>
void recurrent(EvalContext& ctx) {
  const Node& node = ctx.node();
  const Tensor &x = ctx.input(0), &w = ctx.input(1), &r = ctx.input(2);
  const Cell cell = cell_of(node);
  const auto directions = static_cast<int64_t>(directions_of(node));
  const std::vector<Activation> activations = activations_of(node, cell, static_cast<size_t>(directions));
  const bool first = node.attr_int("layout", 0) != 0;
  const int64_t steps = x.dim(first ? 1 : 0), batch = x.dim(first ? 0 : 1), hidden = r.dim(2), gates = cell.gates;
  if (w.dim(0) != directions || r.dim(0) != directions || w.dim(1) != gates * hidden || r.dim(1) != gates * hidden ||
      w.dim(2) != x.dim(2))
    ctx.fail("X, W and R do not fit");
  std::vector<int64_t> lengths(static_cast<size_t>(batch), steps);
  if (ctx.has_input(4)) lengths = ctx.input(4).as_ints();
  for (int64_t l : lengths) {
    if (l < 0 || l > steps || static_cast<int64_t>(lengths.size()) != batch)
      ctx.fail(fmt::format("sequence_lens must hold {} lengths of at most {}", batch, steps));
  }
  const std::vector<int64_t> state_shape =
      first ? std::vector<int64_t>{batch, directions, hidden} : std::vector<int64_t>{directions, batch, hidden};
  Tensor y(x.dtype(), first ? std::vector<int64_t>{batch, steps, directions, hidden}
                            : std::vector<int64_t>{steps, directions, batch, hidden});
  std::fill_n(y.data<T>(), y.size(), T{0});
  Tensor last_h(x.dtype(), state_shape), last_c(x.dtype(), state_shape);
  auto state_at = [&](int64_t d, int64_t b) { return (first ? b * directions + d : d * batch + b) * hidden; };
  for (int64_t d = 0; d < directions; ++d) {
    auto part = [&](int i) {
      return ctx.has_input(i) ? ctx.input(i).data<T>() + d * (ctx.input(i).size() / directions) : nullptr;
    };
    Run<T> run{node,
               steps,
               batch,
               x.dim(2),
               hidden,
               gates,
               first,
               static_cast<T>(node.attr_float("clip", 0)),
               lengths,
               x.data<T>(),
               part(1),
               part(2),
               part(3),
               node.op == "LSTM" ? part(7) : nullptr,
               directions == 2 ? d == 1 : node.attr_string("direction", "forward") == "reverse",
               activations.data() + d * static_cast<int64_t>(cell.defaults.size()),
               {},
               {}};
    auto initial = [&](int i) {
      std::vector<T> state(static_cast<size_t>(batch * hidden), 0);
      for (int64_t b = 0; b < batch && ctx.has_input(i); ++b)
        std::copy_n(ctx.input(i).data<T>() + state_at(d, b), hidden, state.data() + b * hidden);
      return state;
    };
    run.h = initial(5);
    if (node.op == "LSTM") run.c = initial(6);
    run_direction(run, [&](int64_t t, int64_t b) {
      return y.data<T>() + (first ? (b * steps + t) * directions + d : (t * directions + d) * batch + b) * hidden;
    });
    for (int64_t b = 0; b < batch; ++b) {
      std::copy_n(run.h.data() + b * hidden, hidden, last_h.data<T>() + state_at(d, b));
      if (node.op == "LSTM") std::copy_n(run.c.data() + b * hidden, hidden, last_c.data<T>() + state_at(d, b));
    }
  }
  ctx.set_output(0, std::move(y));
  ctx.set_output(1, std::move(last_h));
  if (node.op == "LSTM") ctx.set_output(2, std::move(last_c));
}

void evaluate_recurrent(EvalContext& ctx) {
  dispatch_float(ctx.node(), ctx.input(0).dtype(), [&](auto tag) { recurrent<typename decltype(tag)::type>(ctx); });
}

}  // namespace

void register_recurrent(Catalogue& catalogue) {
  auto add = [&](const char* name, int max_inputs, int max_outputs) {
    catalogue.add({.name = name,
                   .since_version = 7,
                   .min_inputs = 3,
                   .max_inputs = max_inputs,
                   .min_outputs = 0,
                   .max_outputs = max_outputs,
                   .infer = infer_recurrent,
                   .cost = cost_recurrent,
                   .evaluate = widened(evaluate_recurrent),
                   .expand = expand_recurrent,
                   .expand_for_kernels = true});
  };
  add("LSTM", 8, 3);
  add("GRU", 6, 2);
  add("RNN", 6, 2);
}

}  // namespace rooftune::ops
