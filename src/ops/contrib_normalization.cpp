// Normalisations of com.microsoft with what stands before them: a residual, a bias, the look-up of embeddings.
#include "ops/common.h"
#include "ops/contrib.h"
#include "ops/families.h"

namespace rooftune::ops {
namespace {

using Value = FunctionBuilder::Value;
using ir::kNone;

/// The sum of the stream, what the layer adds to it and a bias, normalised; the fourth output is the sum.
void write_skip(FunctionBuilder& ctx, bool simplified) {
  const Value beta = simplified ? kNone : ctx.input(3), bias = ctx.input(simplified ? 3 : 4);
  Value sum = ctx.add("Add", {ctx.input(0), ctx.input(1)});
  if (bias != kNone) sum = ctx.add("Add", {sum, bias});
  if (ctx.has_output(3)) ctx.output(3, "Identity", {sum});
  const FunctionBuilder::Attributes attributes = {{"axis", int64_t{-1}},
                                                  {"epsilon", ctx.node().attr_float("epsilon", 1e-12F)}};
  if (simplified) ctx.output(0, "RMSNormalization", {sum, ctx.input(2)}, attributes);
  else ctx.output(0, "LayerNormalization", {sum, ctx.input(2), beta}, attributes);
}

/// onnxruntime's optimiser writes it in the domain of ai.onnx; RMSNormalization with one more output.
void write_simplified(FunctionBuilder& ctx) {
  FunctionBuilder::Attributes attributes = ctx.attributes({"axis", "epsilon", "stash_type"});
  const Value x = ctx.input(0);
  if (ctx.has_output(1)) {
    const int rank = ctx.rank(x), axis = normalize_axis(ctx.node(), ctx.node().attr_int("axis", -1), rank);
    std::vector<int64_t> axes;
    for (int d = axis; d < rank; ++d) axes.push_back(d);
    const Value wide = ctx.cast(x, DType::f32);
    const Value mean =
        ctx.add("ReduceMean", {ctx.add("Mul", {wide, wide})}, {{"axes", axes}, {"keepdims", int64_t{1}}});
    const Value epsilon = ctx.scalar(DType::f32, ctx.node().attr_float("epsilon", 1e-5F));
    ctx.output(1, "Reciprocal", {ctx.add("Sqrt", {ctx.add("Add", {mean, epsilon})})});
  }
  ctx.output(0, "RMSNormalization", {x, ctx.input(1)}, attributes);
}

void write_embed(FunctionBuilder& ctx) {
  const Value ids = ctx.input(0);
  if (ctx.rank(ids) != 2) ctx.fail(fmt::format("input_ids is {}, its rank must be 2", to_string(ctx.shape(ids))));
  if (ctx.has_input(1) != ctx.has_input(4)) ctx.fail("segment_ids and segment_embedding must be given together");
  Value positions = ctx.input(8);
  if (positions == kNone) positions = ctx.range(ctx.scalar(DType::i64, 0), ctx.extent(ids, 1));
  Value sum = ctx.add("Add", {ctx.add("Gather", {ctx.input(2), ids}), ctx.add("Gather", {ctx.input(3), positions})});
  if (ctx.has_input(1)) sum = ctx.add("Add", {sum, ctx.add("Gather", {ctx.input(4), ctx.input(1)})});
  if (ctx.has_output(2)) ctx.output(2, "Identity", {sum});
  ctx.output(0, "LayerNormalization", {sum, ctx.input(5), ctx.input(6)},
             {{"axis", int64_t{-1}}, {"epsilon", ctx.node().attr_float("epsilon", 1e-12F)}});
  if (!ctx.has_output(1)) return;
  const Value axis = ctx.ints({1});  // the number of tokens that the mask lets stand; 0 where there is none
  const auto i32 = static_cast<int64_t>(DType::i32);
  Value kept = ctx.has_input(7) ? ctx.add("Equal", {ctx.input(7), ctx.scalar(ctx.dtype(ctx.input(7)), 1)})
                                : ctx.add("Not", {ctx.add("Equal", {ids, ids})});
  ctx.output(1, "ReduceSum", {ctx.add("Cast", {kept}, {{"to", i32}}), axis}, {{"keepdims", int64_t{0}}});
}

}  // namespace

void register_contrib_normalization(Catalogue& catalogue) {
  add_contrib(catalogue, "SkipLayerNormalization", 3, 5, 4, [](FunctionBuilder& ctx) { write_skip(ctx, false); });
  add_contrib(catalogue, "SkipSimplifiedLayerNormalization", 3, 4, 4,
              [](FunctionBuilder& ctx) { write_skip(ctx, true); });
  add_contrib(catalogue, "EmbedLayerNormalization", 1, 9, 3, write_embed);
  catalogue.add({.name = "SimplifiedLayerNormalization",
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .max_outputs = 2,
                 .function = write_simplified});
}

}  // namespace rooftune::ops
