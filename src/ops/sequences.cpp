// Sequences that are taken apart where they are put together: PyTorch's exporter writes chunk and split so. Inference
// follows which tensors a sequence holds, each operator on it becomes one on these tensors, and no sequence remains. Those
// that cannot be followed (a graph's inputs and outputs, results of If and Loop, positions that only data tells) are
// refused by name.
#include "ops/common.h"
#include "ops/families.h"
#include "ops/function.h"

namespace rooftune::ops {
namespace {

using Value = FunctionBuilder::Value;
using Values = FunctionBuilder::Values;

/// The place that input `i` names among `count`, which is the last one where it is absent; `end`: one more is a place.
size_t place(FunctionBuilder& ctx, size_t i, size_t count, bool end) {
  const auto places = static_cast<int64_t>(count) + (end ? 1 : 0);
  int64_t at = static_cast<int64_t>(count) - (end ? 0 : 1);
  if (ctx.has_input(i)) {
    const std::vector<int64_t> given = ctx.known_ints(ctx.input(i), "its position");
    if (given.size() != 1) ctx.fail("its position must be one number");
    at = given[0] < 0 ? given[0] + static_cast<int64_t>(count) : given[0];
  }
  if (at < 0 || at >= places) ctx.fail(fmt::format("its position lies outside a sequence of {} tensors", count));
  return static_cast<size_t>(at);
}

void write_empty(FunctionBuilder& ctx) { ctx.set_sequence({}); }

void write_construct(FunctionBuilder& ctx) { ctx.set_sequence(ctx.node().inputs); }

void write_insert(FunctionBuilder& ctx) {
  Values tensors = ctx.sequence(ctx.input(0));
  const size_t at = place(ctx, 2, tensors.size(), true);
  tensors.insert(tensors.begin() + static_cast<std::ptrdiff_t>(at), ctx.input(1));
  ctx.set_sequence(tensors);
}

void write_erase(FunctionBuilder& ctx) {
  Values tensors = ctx.sequence(ctx.input(0));
  const size_t at = place(ctx, 1, tensors.size(), false);
  tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(at));
  ctx.set_sequence(tensors);
}

void write_at(FunctionBuilder& ctx) {
  const Values tensors = ctx.sequence(ctx.input(0));
  ctx.output(0, "Identity", {tensors[place(ctx, 1, tensors.size(), false)]});
}

void write_length(FunctionBuilder& ctx) {
  const auto count = static_cast<double>(ctx.sequence(ctx.input(0)).size());
  ctx.output(0, "Identity", {ctx.scalar(DType::i64, count)});
}

void write_concat(FunctionBuilder& ctx) {
  Values tensors = ctx.sequence(ctx.input(0));
  if (tensors.empty()) ctx.fail("its sequence is empty");
  if (!ctx.node().has("axis")) ctx.fail("axis is missing");
  const int64_t axis = ctx.node().attr_int("axis", 0);
  if (ctx.node().attr_int("new_axis", 0) != 0)
    for (Value& v : tensors) v = ctx.unsqueeze(v, {axis});
  ctx.output(0, "Concat", tensors, {{"axis", axis}});
}

/// The parts of an axis of `extent`: given one by one, of one given size (the last is what remains), or of 1 each.
std::vector<int64_t> parts_of(FunctionBuilder& ctx, int64_t extent) {
  constexpr int64_t kMost = 4096;
  int64_t size = 1;
  if (ctx.has_input(1)) {
    const std::vector<int64_t> given = ctx.known_ints(ctx.input(1), "its split");
    if (ctx.rank(ctx.input(1)) == 1) {
      if (static_cast<int64_t>(given.size()) > kMost) ctx.fail(fmt::format("it has more than {} parts", kMost));
      return given;
    }
    size = given.at(0);
  }
  if (size < 1) ctx.fail(fmt::format("its split is {}, must be at least 1", size));
  if ((extent - 1) / size >= kMost) ctx.fail(fmt::format("it has more than {} parts", kMost));
  std::vector<int64_t> sizes;
  for (int64_t begin = 0; begin < extent; begin += size) sizes.push_back(std::min(size, extent - begin));
  return sizes;
}

void write_split(FunctionBuilder& ctx) {
  const Value x = ctx.input(0);
  const int axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", 0), ctx.rank(x));
  const std::vector<int64_t> sizes = parts_of(ctx, ctx.static_dim(x, axis, "the extent that it splits"));
  if (sizes.empty()) return ctx.set_sequence({});
  Values parts = ctx.split(x, axis, sizes);
  if (!ctx.has_input(1) && ctx.node().attr_int("keepdims", 1) == 0)
    for (Value& v : parts) v = ctx.squeeze(v, {axis});
  ctx.set_sequence(parts);
}

}  // namespace

void register_sequences(Catalogue& catalogue) {
  const auto add = [&](const char* name, int min, int max, void (*function)(FunctionBuilder&)) {
    catalogue.add({.name = name, .since_version = 11, .min_inputs = min, .max_inputs = max, .function = function});
  };
  add("SequenceEmpty", 0, 0, write_empty);
  add("SequenceConstruct", 1, -1, write_construct);
  add("SequenceInsert", 2, 3, write_insert);
  add("SequenceErase", 1, 2, write_erase);
  add("SequenceAt", 2, 2, write_at);
  add("SequenceLength", 1, 1, write_length);
  add("ConcatFromSequence", 1, 1, write_concat);
  add("SplitToSequence", 1, 2, write_split);
}

}  // namespace rooftune::ops
