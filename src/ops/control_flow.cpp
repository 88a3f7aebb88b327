// If, Loop, Scan. A body's captured values come after the node's own inputs (see EvalContext).
#include <algorithm>
#include <cstring>

#include "ops/common.h"
#include "ops/families.h"
#include "ops/loop_borders.h"

namespace rooftune::ops {
namespace {

std::shared_ptr<Graph> body_of(const Node& node, const char* key) {
  auto body = node.attr_graph(key);
  if (!body) fail(node, fmt::format("has no graph attribute {}", key));
  return body;
}

// The values that the body under `key` captures, out of those that follow the node's inputs.
std::vector<Tensor> captured_by(const EvalContext& ctx, const std::string& key) {
  size_t at = ctx.node().inputs.size();
  for (const auto& [name, attribute] : ctx.node().attributes) {
    const auto* body = std::get_if<std::shared_ptr<Graph>>(&attribute);
    if (body == nullptr) continue;
    const size_t count = (*body)->captures_outer.size();
    if (name == key) {
      std::vector<Tensor> values;
      for (size_t i = at; i < at + count; ++i) values.push_back(ctx.input(static_cast<int>(i)));
      return values;
    }
    at += count;
  }
  return {};
}

// --- types

// A type that holds both: dims that differ become one unknown dim of output `i`.
Type generalize(const InferContext& ctx, int i, const Type& a, const Type& b) {
  if (a.kind() != b.kind() || (a.is_tensor() && a.dtype() != b.dtype()))
    ctx.fail(fmt::format("output {} would be {} or {}", i, a.to_string(), b.to_string()));
  if (a.kind() == Type::Kind::sequence) return Type::sequence(generalize(ctx, i, a.element(), b.element()));
  if (a.kind() == Type::Kind::optional) return Type::optional(generalize(ctx, i, a.element(), b.element()));
  if (!a.is_tensor() || !a.has_rank() || !b.has_rank() || a.rank() != b.rank()) return Type::tensor(a.dtype());
  Shape shape;
  for (int d = 0; d < a.rank(); ++d) {
    const Dim& x = a.shape()[static_cast<size_t>(d)];
    shape.push_back(x == b.shape()[static_cast<size_t>(d)] ? x : ctx.unknown_dim(i, d));
  }
  return Type::tensor(a.dtype(), std::move(shape));
}

/// A type of which nothing but the rank is known.
Type without_dims(const InferContext& ctx, int i, const Type& type) {
  if (!type.is_tensor() || !type.has_rank()) return type;
  Shape shape;
  for (int d = 0; d < type.rank(); ++d) shape.push_back(ctx.unknown_dim(i, d));
  return Type::tensor(type.dtype(), std::move(shape));
}

void set_body_input(const InferContext& ctx, Graph& body, size_t i, const Type& type) {
  ir::Value& value = body.value(body.inputs[i]);
  const Type& stated = value.type;
  if (stated.is_tensor() && type.is_tensor() && stated.dtype() != DType::undefined && stated.dtype() != type.dtype())
    ctx.fail(
        fmt::format("body input '{}' is stated as {}, but gets {}", value.name, stated.to_string(), type.to_string()));
  value.type = type;
}

Type scalar(DType dtype) { return Type::tensor(dtype, Shape{}); }

// Infers a body whose first inputs after `fixed` carry state from iteration to iteration, starting as `states`; widens
// their types until an iteration gives what it takes. The body's outputs after `fixed_outputs` are the next states.
std::vector<Type> infer_states(InferContext& ctx, Graph& body, size_t fixed, size_t fixed_outputs,
                               std::vector<Type> states) {
  std::vector<Type> stated;
  for (size_t v = 0; v < body.value_capacity(); ++v) stated.push_back(body.type(static_cast<ir::ValueId>(v)));
  for (int round = 0;; ++round) {
    for (size_t v = 0; v < stated.size(); ++v) body.value(static_cast<ir::ValueId>(v)).type = stated[v];
    for (size_t s = 0; s < states.size(); ++s) body.value(body.inputs[fixed + s]).type = states[s];
    ctx.infer_body(body);
    std::vector<Type> wider;
    for (size_t s = 0; s < states.size(); ++s)
      wider.push_back(generalize(ctx, static_cast<int>(s), states[s], body.type(body.outputs[fixed_outputs + s])));
    if (wider == states) return states;
    states = std::move(wider);
    // Where states hand their shapes on to each other each round would change one more.
    for (size_t s = 0; s < states.size() && round >= 4; ++s)
      states[s] = without_dims(ctx, static_cast<int>(s), states[s]);
  }
}

// --- If

void infer_if(InferContext& ctx) {
  require_scalar(ctx, 0, kBool);
  const auto then_body = body_of(ctx.node(), "then_branch"), else_body = body_of(ctx.node(), "else_branch");
  const Tensor* condition = ctx.constant(0);
  const Graph* taken = condition == nullptr ? nullptr : condition->as_int(0) != 0 ? then_body.get() : else_body.get();
  for (const auto& body : {then_body, else_body}) {
    if (body->outputs.size() != ctx.node().outputs.size())
      ctx.fail(fmt::format("a branch has {} outputs, the node {}", body->outputs.size(), ctx.node().outputs.size()));
    if (!body->inputs.empty()) ctx.fail("a branch must not have inputs");
    try {
      ctx.infer_body(*body);
    } catch (const InputError&) {
      // Exporters ask at run time whether an axis can be squeezed: the branch for the other shapes fits none of ours.
      if (taken == nullptr || body.get() == taken) throw;
    }
  }
  for (int i = 0; i < ctx.output_count(); ++i) {
    const Type& a = then_body->type(then_body->outputs[static_cast<size_t>(i)]);
    const Type& b = else_body->type(else_body->outputs[static_cast<size_t>(i)]);
    ctx.set_output(i, taken == nullptr ? generalize(ctx, i, a, b) : taken == then_body.get() ? a : b);
  }
}

void evaluate_if(EvalContext& ctx) {
  const char* key = scalar_int(ctx, 0) != 0 ? "then_branch" : "else_branch";
  std::vector<Tensor> outputs = evaluate_body(*body_of(ctx.node(), key), {}, captured_by(ctx, key));
  for (size_t i = 0; i < outputs.size(); ++i) ctx.set_output(static_cast<int>(i), std::move(outputs[i]));
}

// --- slices and stacks

// Copies between one tensor and the `count` slices of another along `axis`; to_stack says in which direction.
void copy_slice(Tensor& stack, Tensor& slice, int axis, int64_t index, bool to_stack) {
  const int64_t inner = slice.size() == 0 ? 0 : [&] {
    int64_t n = 1;
    for (int d = axis + 1; d < stack.rank(); ++d) n *= stack.dim(d);
    return n;
  }();
  const int64_t outer = inner == 0 ? 0 : slice.size() / inner, step = stack.dim(axis) * inner;
  if (stack.dtype() == DType::string) {
    for (int64_t o = 0; o < outer; ++o) {
      const auto a = stack.strings().begin() + o * step + index * inner;
      const auto b = slice.strings().begin() + o * inner;
      to_stack ? std::copy(b, b + inner, a) : std::copy(a, a + inner, b);
    }
    return;
  }
  const int bits = ir::bit_width(stack.dtype());
  RT_CHECK(bits >= 8, "slices of {} are not supported", ir::name(stack.dtype()));
  const size_t size = static_cast<size_t>(bits) / 8, run = static_cast<size_t>(inner) * size;
  for (int64_t o = 0; o < outer; ++o) {
    uint8_t* a = stack.raw() + static_cast<size_t>(o * step + index * inner) * size;
    uint8_t* b = slice.raw() + static_cast<size_t>(o) * run;
    to_stack ? std::memcpy(a, b, run) : std::memcpy(b, a, run);
  }
}

Tensor take_slice(Tensor tensor, int axis, int64_t index) {
  std::vector<int64_t> shape = tensor.shape();
  shape.erase(shape.begin() + axis);
  Tensor slice(tensor.dtype(), shape);
  copy_slice(tensor, slice, axis, index, false);
  return slice;
}

Tensor stack_slices(const Node& node, std::vector<Tensor> slices, int64_t axis, const Type& slice_type) {
  DType dtype = slice_type.dtype();
  std::vector<int64_t> shape;
  if (!slices.empty()) {
    dtype = slices[0].dtype();
    shape = slices[0].shape();
  } else if (slice_type.has_rank()) {
    for (const Dim& d : slice_type.shape()) shape.push_back(d.is_static() ? d.value() : 0);
  }
  const int at = normalize_axis(node, axis, static_cast<int>(shape.size()) + 1);
  std::vector<int64_t> stacked = shape;
  stacked.insert(stacked.begin() + at, static_cast<int64_t>(slices.size()));
  Tensor out(dtype, stacked);
  for (size_t i = 0; i < slices.size(); ++i) {
    if (slices[i].shape() != shape)
      fail(node, fmt::format("iterations give [{}] and [{}] for one output", fmt::join(shape, ","),
                             fmt::join(slices[i].shape(), ",")));
    copy_slice(out, slices[i], at, static_cast<int64_t>(i), true);
  }
  return out;
}

// --- Loop

void infer_loop(InferContext& ctx) {
  require_scalar(ctx, 0, bit(DType::i64));
  require_scalar(ctx, 1, kBool);
  const auto body = body_of(ctx.node(), "body");
  const size_t states = ctx.node().inputs.size() < 2 ? 0 : ctx.node().inputs.size() - 2;
  if (body->inputs.size() != states + 2)
    ctx.fail(fmt::format("the body has {} inputs, but must have {}", body->inputs.size(), states + 2));
  if (body->outputs.size() < states + 1 || body->outputs.size() - 1 != ctx.node().outputs.size())
    ctx.fail(fmt::format("the body has {} outputs, the node {}: the body must have one more (the condition)",
                         body->outputs.size(), ctx.node().outputs.size()));
  set_body_input(ctx, *body, 0, scalar(DType::i64));
  set_body_input(ctx, *body, 1, scalar(DType::boolean));
  std::vector<Type> types;
  for (size_t s = 0; s < states; ++s) {
    types.push_back(ctx.input(static_cast<int>(s) + 2));
    set_body_input(ctx, *body, s + 2, types.back());
  }
  types = infer_states(ctx, *body, 2, 1, std::move(types));
  const Type& condition = body->type(body->outputs[0]);
  if (!condition.is_tensor() || condition.dtype() != DType::boolean)
    ctx.fail(fmt::format("the body's condition is {}, but must be bool", condition.to_string()));
  const auto trips = ctx.ints(0);
  const int64_t most = trips && trips->size() == 1 ? std::max<int64_t>(0, (*trips)[0].max()) : Dim::kUnbounded;
  for (int i = 0; i < ctx.output_count(); ++i) {
    if (static_cast<size_t>(i) < states) {
      ctx.set_output(i, types[static_cast<size_t>(i)]);
      continue;
    }
    const Type& slice = body->type(body->outputs[static_cast<size_t>(i) + 1]);
    if (!slice.is_tensor()) ctx.fail(fmt::format("scan output {} must be a tensor", i));
    if (!slice.has_rank()) {
      ctx.set_output(i, Type::tensor(slice.dtype()));
      continue;
    }
    Shape shape = slice.shape();
    shape.insert(shape.begin(), ctx.unknown_dim(i, 0, 0, most));
    ctx.set_output(i, slice.dtype(), std::move(shape));
  }
}

void evaluate_loop(EvalContext& ctx) {
  const Node& node = ctx.node();
  const auto body = body_of(node, "body");
  const std::vector<Tensor> captured = captured_by(ctx, "body");
  const int64_t trips = node.input(0) != ir::kNone ? scalar_int(ctx, 0) : INT64_MAX;
  bool go_on = node.input(1) == ir::kNone || scalar_int(ctx, 1) != 0;
  std::vector<Tensor> states;
  for (size_t s = 2; s < node.inputs.size(); ++s) states.push_back(ctx.input(static_cast<int>(s)));
  const size_t scans = body->outputs.size() - 1 - states.size();
  std::vector<std::vector<Tensor>> slices(scans);
  for (int64_t i = 0; i < trips && go_on; ++i) {
    std::vector<Tensor> inputs = {Tensor::of<int64_t>(DType::i64, {}, {i}),
                                  Tensor::of<uint8_t>(DType::boolean, {}, {1})};
    inputs.insert(inputs.end(), states.begin(), states.end());
    std::vector<Tensor> outputs = evaluate_body(*body, inputs, captured);
    if (outputs[0].size() != 1) fail(node, fmt::format("the body's condition has {} elements", outputs[0].size()));
    go_on = outputs[0].as_int(0) != 0;
    for (size_t s = 0; s < states.size(); ++s) states[s] = std::move(outputs[1 + s]);
    for (size_t s = 0; s < scans; ++s) slices[s].push_back(std::move(outputs[1 + states.size() + s]));
  }
  for (size_t s = 0; s < states.size(); ++s) ctx.set_output(static_cast<int>(s), states[s]);
  for (size_t s = 0; s < scans; ++s) {
    const Type& type = body->type(body->outputs[1 + states.size() + s]);
    ctx.set_output(static_cast<int>(states.size() + s), stack_slices(node, std::move(slices[s]), 0, type));
  }
}

// --- Scan

}  // namespace

ScanPlan scan_plan(const Node& node, const Graph& body) {
  ScanPlan plan;
  const int64_t scanned = node.attr_int("num_scan_inputs", 0);
  if (scanned < 1 || scanned > static_cast<int64_t>(node.inputs.size()))
    fail(node, fmt::format("num_scan_inputs {} must be 1 to {}", scanned, node.inputs.size()));
  plan.scan_inputs = static_cast<size_t>(scanned);
  plan.states = node.inputs.size() - plan.scan_inputs;
  if (body.inputs.size() != node.inputs.size())
    fail(node, fmt::format("the body has {} inputs, the node {}", body.inputs.size(), node.inputs.size()));
  if (body.outputs.size() != node.outputs.size() || body.outputs.size() < plan.states)
    fail(node, fmt::format("the body has {} outputs, the node {}", body.outputs.size(), node.outputs.size()));
  plan.scan_outputs = body.outputs.size() - plan.states;
  const auto list = [&](const char* key, size_t count) {
    std::vector<int64_t> values = node.attr_ints(key, std::vector<int64_t>(count, 0));
    if (values.size() != count)
      fail(node, fmt::format("{} has {} elements, but must have {}", key, values.size(), count));
    return values;
  };
  plan.input_axes = list("scan_input_axes", plan.scan_inputs);
  plan.input_reversed = list("scan_input_directions", plan.scan_inputs);
  plan.output_axes = list("scan_output_axes", plan.scan_outputs);
  plan.output_reversed = list("scan_output_directions", plan.scan_outputs);
  return plan;
}

namespace {

void infer_scan(InferContext& ctx) {
  const auto body = body_of(ctx.node(), "body");
  const ScanPlan plan = scan_plan(ctx.node(), *body);
  std::vector<Type> types;
  for (size_t s = 0; s < plan.states; ++s) {
    types.push_back(ctx.input(static_cast<int>(s)));
    set_body_input(ctx, *body, s, types.back());
  }
  std::optional<Dim> length;
  for (size_t s = 0; s < plan.scan_inputs; ++s) {
    const int i = static_cast<int>(plan.states + s);
    Type slice = Type::tensor(ctx.dtype(i));
    if (ctx.has_shape(i)) {
      Shape shape = ctx.shape(i);
      const int axis = normalize_axis(ctx.node(), plan.input_axes[s], static_cast<int>(shape.size()));
      const Dim own = shape[static_cast<size_t>(axis)];
      if (length && length->is_static() && own.is_static() && !(*length == own))
        ctx.fail(fmt::format("scan inputs have lengths {} and {}", length->to_string(), own.to_string()));
      if (!length || own.is_static()) length = own;
      shape.erase(shape.begin() + axis);
      slice = Type::tensor(ctx.dtype(i), std::move(shape));
    }
    set_body_input(ctx, *body, plan.states + s, slice);
  }
  types = infer_states(ctx, *body, 0, 0, std::move(types));
  for (int i = 0; i < ctx.output_count(); ++i) {
    if (static_cast<size_t>(i) < plan.states) {
      ctx.set_output(i, types[static_cast<size_t>(i)]);
      continue;
    }
    const Type& slice = body->type(body->outputs[static_cast<size_t>(i)]);
    if (!slice.is_tensor()) ctx.fail(fmt::format("scan output {} must be a tensor", i));
    if (!slice.has_rank()) {
      ctx.set_output(i, Type::tensor(slice.dtype()));
      continue;
    }
    Shape shape = slice.shape();
    const int axis = normalize_axis(ctx.node(), plan.output_axes[static_cast<size_t>(i) - plan.states],
                                    static_cast<int>(shape.size()) + 1);
    shape.insert(shape.begin() + axis, length ? *length : ctx.unknown_dim(i, axis));
    ctx.set_output(i, slice.dtype(), std::move(shape));
  }
}

void evaluate_scan(EvalContext& ctx) {
  const Node& node = ctx.node();
  const auto body = body_of(node, "body");
  const ScanPlan plan = scan_plan(node, *body);
  const std::vector<Tensor> captured = captured_by(ctx, "body");
  std::vector<Tensor> states;
  for (size_t s = 0; s < plan.states; ++s) states.push_back(ctx.input(static_cast<int>(s)));
  std::vector<int> axes;
  int64_t length = 0;
  for (size_t s = 0; s < plan.scan_inputs; ++s) {
    const Tensor& x = ctx.input(static_cast<int>(plan.states + s));
    axes.push_back(normalize_axis(node, plan.input_axes[s], x.rank()));
    if (s > 0 && x.dim(axes[s]) != length)
      fail(node, fmt::format("scan inputs have lengths {} and {}", length, x.dim(axes[s])));
    length = x.dim(axes[s]);
  }
  std::vector<std::vector<Tensor>> slices(plan.scan_outputs);
  for (int64_t t = 0; t < length; ++t) {
    std::vector<Tensor> inputs = states;
    for (size_t s = 0; s < plan.scan_inputs; ++s)
      inputs.push_back(take_slice(ctx.input(static_cast<int>(plan.states + s)), axes[s],
                                  plan.input_reversed[s] != 0 ? length - 1 - t : t));
    std::vector<Tensor> outputs = evaluate_body(*body, inputs, captured);
    for (size_t s = 0; s < plan.states; ++s) states[s] = std::move(outputs[s]);
    for (size_t s = 0; s < plan.scan_outputs; ++s) slices[s].push_back(std::move(outputs[plan.states + s]));
  }
  for (size_t s = 0; s < plan.states; ++s) ctx.set_output(static_cast<int>(s), states[s]);
  for (size_t s = 0; s < plan.scan_outputs; ++s) {
    if (plan.output_reversed[s] != 0) std::reverse(slices[s].begin(), slices[s].end());
    const size_t o = plan.states + s;
    ctx.set_output(static_cast<int>(o),
                   stack_slices(node, std::move(slices[s]), plan.output_axes[s], body->type(body->outputs[o])));
  }
}

// --- the borders of a flat loop

/// How many of a border's outputs are states; it must have as many `inputs` for them.
int border_states(const InferContext& ctx, size_t inputs) {
  const int64_t states = ctx.node().attr_int("states", 0), outputs = ctx.output_count();
  if (states < 0 || states > outputs || outputs != static_cast<int64_t>(inputs) ||
      ctx.node().attr_ints("reversed").size() != static_cast<size_t>(outputs - states))
    ctx.fail("it is no border of a loop");
  return static_cast<int>(states);
}

void infer_loop_begin(InferContext& ctx) {
  const int states = border_states(ctx, ctx.node().inputs.size());
  if (states == ctx.output_count()) ctx.fail("nothing says how often the loop goes round");
  for (int i = 0; i < ctx.output_count(); ++i) {
    if (!ctx.has_output(i)) continue;
    Shape shape = ctx.shape(i);
    if (i >= states && shape.empty()) ctx.fail(fmt::format("scanned input {} has no dimensions", i));
    if (i >= states) shape.erase(shape.begin());
    ctx.set_output(i, ctx.dtype(i), std::move(shape));
  }
}

void infer_loop_end(InferContext& ctx) {
  const int states = border_states(ctx, ctx.node().inputs.size() - 1);
  if (ctx.shape(0).empty()) ctx.fail("nothing says how often the loop goes round");
  for (int i = 0; i < ctx.output_count(); ++i) {
    if (!ctx.has_output(i)) continue;
    Shape shape = ctx.shape(i + 1);
    if (i >= states) shape.insert(shape.begin(), ctx.shape(0)[0]);
    ctx.set_output(i, ctx.dtype(i + 1), std::move(shape));
  }
}

/// Neither means anything alone, and graphs that hold them are never evaluated.
void evaluate_border(EvalContext& ctx) { ctx.fail("it is the border of a loop, which only kernels run"); }

// --- cost: of the dearer branch; of one iteration times the trip count where that is known

/// Not known (in a branch that is never taken), or a tensor of symbolic shape.
bool countless(const Type& type) { return type.kind() == Type::Kind::none || (type.is_tensor() && !type.is_static()); }

double body_flops(const Graph& body) {
  double flops = 0;
  for (ir::NodeId id : body.order()) {
    const Node& node = body.node(id);
    bool is_static = true;
    for (const auto* ids : {&node.inputs, &node.outputs}) {
      for (ir::ValueId v : *ids) is_static = is_static && (v == ir::kNone || !countless(body.type(v)));
    }
    if (is_static) flops += cost(body, node).flops;
  }
  return flops;
}

Cost if_cost(const CostContext& ctx) {
  return {std::max(body_flops(*body_of(ctx.node, "then_branch")), body_flops(*body_of(ctx.node, "else_branch"))),
          bytes_touched(ctx)};
}

Cost loop_cost(const CostContext& ctx) {
  const Tensor* trips = ctx.graph.constant(ctx.node.input(0));
  return {body_flops(*body_of(ctx.node, "body")) *
              (trips != nullptr ? static_cast<double>(std::max<int64_t>(0, trips->as_int(0))) : 1),
          bytes_touched(ctx)};
}

Cost scan_cost(const CostContext& ctx) {
  const auto body = body_of(ctx.node, "body");
  const ScanPlan plan = scan_plan(ctx.node, *body);
  const Shape& shape = ctx.input(static_cast<int>(plan.states)).shape();
  const Dim& length =
      shape[static_cast<size_t>(normalize_axis(ctx.node, plan.input_axes[0], static_cast<int>(shape.size())))];
  return {body_flops(*body) * static_cast<double>(length.value()), bytes_touched(ctx)};
}

}  // namespace

std::vector<FlatLoop> flat_loops(const Graph& graph) {
  std::vector<FlatLoop> loops;
  bool open = false;
  for (ir::NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (is_loop_begin(node)) {
      if (open) fail(node, "a loop begins within a loop");
      loops.push_back({.begin = id});
      open = true;
    }
    if (!open && is_loop_end(node)) fail(node, "no loop has begun");
    if (!open) continue;
    loops.back().nodes.push_back(id);
    if (!is_loop_end(node)) continue;
    if (node.attr_int("states", 0) != graph.node(loops.back().begin).attr_int("states", 0))
      fail(node, "it ends another loop");
    loops.back().end = id;
    open = false;
  }
  if (open) fail(graph.node(loops.back().begin), "the loop has no end");
  return loops;
}

void register_control_flow(Catalogue& c) {
  const std::string domain(kLoopDomain);
  c.add({.name = "LoopBegin",
         .domain = domain,
         .min_inputs = 1,
         .max_inputs = -1,
         .max_outputs = -1,
         .infer = infer_loop_begin,
         .evaluate = evaluate_border,
         .deterministic = false});
  c.add({.name = "LoopEnd",
         .domain = domain,
         .min_inputs = 1,
         .max_inputs = -1,
         .max_outputs = -1,
         .infer = infer_loop_end,
         .evaluate = evaluate_border,
         .deterministic = false});
  c.add({.name = "If",
         .min_inputs = 1,
         .max_inputs = 1,
         .min_outputs = 1,
         .max_outputs = -1,
         .infer = infer_if,
         .cost = if_cost,
         .evaluate = evaluate_if});
  c.add({.name = "Loop",
         .min_inputs = 0,
         .max_inputs = -1,
         .min_outputs = 1,
         .max_outputs = -1,
         .infer = infer_loop,
         .cost = loop_cost,
         .evaluate = evaluate_loop});
  c.add({.name = "Scan",
         .since_version = 9,
         .min_inputs = 1,
         .max_inputs = -1,
         .min_outputs = 1,
         .max_outputs = -1,
         .infer = infer_scan,
         .cost = scan_cost,
         .evaluate = evaluate_scan});
}

}  // namespace rooftune::ops
