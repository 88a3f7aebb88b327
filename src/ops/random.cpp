// RandomNormal(Like) RandomUniform(Like) Bernoulli Multinomial.
#include "ops/random.h"

#include <algorithm>

#include "ops/common.h"
#include "ops/families.h"

namespace rooftune::ops {
namespace {

DType random_type(const Node& node, DType otherwise, DTypeSet allowed) {
  const int64_t dtype = node.attr_int("dtype", static_cast<int64_t>(otherwise));
  if (dtype <= 0 || dtype > 26 || !contains(allowed, static_cast<DType>(dtype)))
    fail(node, fmt::format("dtype {} must be one of {}", dtype, to_string(allowed)));
  return static_cast<DType>(dtype);
}

// A type as `otherwise` where that is random numbers' own type, else f32.
DType like_type(const Node& node, DType input) {
  return random_type(node, contains(kFloats, input) ? input : DType::f32, kFloats);
}

template <typename F>
void add_random(Catalogue& c, const std::string& name, F draw) {
  const auto fill = [draw](EvalContext& ctx, DType dtype, const std::vector<int64_t>& shape) {
    Random random(ctx.node());
    Tensor out(dtype, shape);
    for (int64_t i = 0; i < out.size(); ++i) out.set_double(i, draw(ctx.node(), random));
    ctx.set_output(0, std::move(out));
  };
  OpDef plain{.name = name, .deterministic = false};
  plain.infer = [](InferContext& ctx) {
    if (!ctx.node().has("shape")) ctx.fail("has no shape attribute");
    const std::vector<int64_t> shape = ctx.node().attr_ints("shape");
    if (std::any_of(shape.begin(), shape.end(), [](int64_t d) { return d < 0; }))
      ctx.fail("the shape has a negative dim");
    ctx.set_output(0, random_type(ctx.node(), DType::f32, kFloats), ir::to_shape(shape));
  };
  plain.evaluate = [fill](EvalContext& ctx) {
    fill(ctx, random_type(ctx.node(), DType::f32, kFloats), ctx.node().attr_ints("shape"));
  };
  c.add(std::move(plain));
  OpDef like{.name = name + "Like", .min_inputs = 1, .max_inputs = 1, .deterministic = false};
  like.infer = [](InferContext& ctx) {
    ctx.set_output(0, Type::tensor(like_type(ctx.node(), ctx.dtype(0)),
                                   ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
  };
  like.evaluate = [fill](EvalContext& ctx) {
    fill(ctx, like_type(ctx.node(), ctx.input(0).dtype()), ctx.input(0).shape());
  };
  c.add(std::move(like));
}

void evaluate_bernoulli(EvalContext& ctx) {
  const Tensor& p = ctx.input(0);
  Random random(ctx.node());
  Tensor out(random_type(ctx.node(), p.dtype(), kNumbers | kBool), p.shape());
  for (int64_t i = 0; i < p.size(); ++i) out.set_double(i, random.uniform() < p.as_double(i) ? 1 : 0);
  ctx.set_output(0, std::move(out));
}

// Draws from unnormalised log-probabilities [batch, classes].
void evaluate_multinomial(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const int64_t samples = ctx.node().attr_int("sample_size", 1), classes = x.dim(1);
  if (classes == 0) ctx.fail("there are no classes to draw from");
  Random random(ctx.node());
  Tensor out(random_type(ctx.node(), DType::i32, kIndices), {x.dim(0), samples});
  std::vector<double> cumulative(static_cast<size_t>(classes));
  for (int64_t b = 0; b < x.dim(0); ++b) {
    double largest = x.as_double(b * classes), sum = 0;
    for (int64_t k = 1; k < classes; ++k) largest = std::max(largest, x.as_double(b * classes + k));
    for (int64_t k = 0; k < classes; ++k)
      cumulative[static_cast<size_t>(k)] = sum += std::exp(x.as_double(b * classes + k) - largest);
    for (int64_t s = 0; s < samples; ++s) {
      const auto at = std::upper_bound(cumulative.begin(), cumulative.end() - 1, random.uniform() * sum);
      out.set_double(b * samples + s, static_cast<double>(at - cumulative.begin()));
    }
  }
  ctx.set_output(0, std::move(out));
}

}  // namespace

void register_random(Catalogue& c) {
  add_random(c, "RandomNormal", [](const Node& node, Random& r) {
    return node.attr_float("mean", 0) + node.attr_float("scale", 1) * r.normal();
  });
  add_random(c, "RandomUniform", [](const Node& node, Random& r) {
    const double low = node.attr_float("low", 0);
    return low + (node.attr_float("high", 1) - low) * r.uniform();
  });
  c.add({.name = "Bernoulli",
         .min_inputs = 1,
         .max_inputs = 1,
         .infer =
             [](InferContext& ctx) {
               const DType input = require(ctx, 0, kFloats);
               ctx.set_output(0, Type::tensor(random_type(ctx.node(), input, kNumbers | kBool),
                                              ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
             },
         .evaluate = evaluate_bernoulli,
         .deterministic = false});
  c.add({.name = "Multinomial",
         .min_inputs = 1,
         .max_inputs = 1,
         .infer =
             [](InferContext& ctx) {
               require(ctx, 0, kFloats);
               require_rank(ctx, 0, 2, 2);
               const Dim batch = ctx.has_shape(0) ? ctx.shape(0)[0] : ctx.unknown_dim(0, 0);
               ctx.set_output(0, random_type(ctx.node(), DType::i32, kIndices),
                              {batch, Dim(ctx.node().attr_int("sample_size", 1))});
             },
         .evaluate = evaluate_multinomial,
         .deterministic = false});
}

}  // namespace rooftune::ops
