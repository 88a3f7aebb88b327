// rt_operator → ops::OpDef.
#include "ops/common.h"
#include "plugins/define.h"
#include "plugins/node.h"

namespace rooftune::plugins {
namespace {

/// Runs a callback; why it failed, empty where it did not.
std::string run(rt_node& node, rt_callback callback, const std::string& plugin) {
  const int status = guarded(&node, 1, [&] { return callback(&host(), &node); });
  if (node.failed) return node.why.empty() ? plugin + " gave no reason" : node.why;
  return status != 0 ? fmt::format("{} failed and gave no reason", plugin) : "";
}

/// Messages of our own functions may name the node already.
[[noreturn]] void refuse(const ir::Node& node, const std::string& why) {
  if (why.find("node '") != std::string::npos) throw InputError(why);
  ops::fail(node, why);
}

void infer(ops::InferContext& ctx, const rt_operator& op, const std::string& plugin) {
  rt_node node(ctx.node(), op.expand_opset);
  node.infer = &ctx;
  if (const std::string why = run(node, op.infer, plugin); !why.empty()) refuse(ctx.node(), why);
  for (int i = 0; i < ctx.output_count(); ++i)
    if (ctx.has_output(i) &&
        ctx.graph().type(ctx.node().outputs[static_cast<size_t>(i)]).kind() == ir::Type::Kind::none)
      ctx.fail(fmt::format("{} does not say the type of output {}", plugin, i));
}

void evaluate(ops::EvalContext& ctx, const rt_operator& op, const std::string& plugin) {
  rt_node node(ctx.node(), op.expand_opset);
  node.evaluate = &ctx;
  if (const std::string why = run(node, op.evaluate, plugin); !why.empty()) refuse(ctx.node(), why);
}

void expand(ops::ExpandContext& ctx, const rt_operator& op, const std::string& plugin) {
  rt_node node(ctx.node(), op.expand_opset);
  node.expand = &ctx;
  ctx.reject(run(node, op.expand, plugin));
}

ops::Cost cost(const ops::CostContext& ctx, const rt_operator& op) {
  ops::Cost result{0, ops::bytes_touched(ctx)};
  for (ir::ValueId v : ctx.node.inputs)
    if (v != ir::kNone && !ctx.graph.type(v).is_static()) return result;
  if (op.flops == nullptr) return result;
  rt_node node(ctx.node, op.expand_opset);
  node.cost = &ctx;
  result.flops = guarded(&node, 0.0, [&] { return op.flops(&host(), &node); });
  if (node.failed) refuse(ctx.node, node.why);
  return result;
}

}  // namespace

ops::OpDef define_operator(const rt_operator& op, const std::string& plugin) {
  const auto require = [&](bool holds, const char* what) {
    if (!holds) throw InputError("{}: operator '{}' {}", plugin, op.name == nullptr ? "" : op.name, what);
  };
  require(op.name != nullptr && *op.name != '\0', "must have a name");
  require(op.domain != nullptr, "must have a domain");
  require(op.since_version >= 1, "must have a since_version of at least 1");
  require(op.min_inputs >= 0 && (op.max_inputs < 0 || op.max_inputs >= op.min_inputs),
          "must have min_inputs <= max_inputs");
  require(op.min_outputs >= 1 && (op.max_outputs < 0 || op.max_outputs >= op.min_outputs),
          "must have 1 <= min_outputs <= max_outputs");
  require(op.infer != nullptr, "must have infer");
  require(op.evaluate != nullptr, "must have evaluate");
  require(op.expand == nullptr || op.expand_opset >= 13, "must have an expand_opset of 13 or newer");
  ops::OpDef def;
  def.name = op.name;
  def.domain = op.domain;
  def.since_version = op.since_version;
  def.min_inputs = op.min_inputs;
  def.max_inputs = op.max_inputs < 0 ? -1 : op.max_inputs;
  def.min_outputs = op.min_outputs;
  def.max_outputs = op.max_outputs < 0 ? -1 : op.max_outputs;
  def.deterministic = op.random == 0;
  def.plugin = plugin;
  def.expand_opset = op.expand_opset;
  def.infer = [&op, plugin](ops::InferContext& ctx) { infer(ctx, op, plugin); };
  def.evaluate = [&op, plugin](ops::EvalContext& ctx) { evaluate(ctx, op, plugin); };
  def.cost = [&op](const ops::CostContext& ctx) { return cost(ctx, op); };
  if (op.expand != nullptr) def.expand = [&op, plugin](ops::ExpandContext& ctx) { expand(ctx, op, plugin); };
  return def;
}

}  // namespace rooftune::plugins
