// Axes that end early: any schedule gives the interpreter's result for any parameters, whatever lies beyond the end of
// what is live.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "kernel/algorithms.h"
#include "kernel/interpreter.h"
#include "kernel/rewrites.h"
#include "kernel/unify.h"
#include "tests/support/kernel_runner.h"
#include "tests/support/sample_kernels.h"

namespace rooftune {
namespace {

using namespace kernel;
using Live = std::map<std::string, std::string>;               // axis → symbol
using Dims = std::map<std::string, std::vector<std::string>>;  // input → symbol per dim, or ""

constexpr int64_t kHeight = 23, kWidth = 26;  // largest, of images

/// The kernel with these of its axes live up to a symbol that is at most their extent.
Kernel with_live(Kernel kernel, const Live& live) {
  for (auto& stage : kernel.stages)
    for (auto& axis : stage.axes)
      if (const auto found = live.find(axis.name); found != live.end())
        axis.live = kernel.parameter(ir::Dim::symbol(found->second, 1, axis.extent));
  return kernel;
}

/// The kernel of images for all heights h and widths w from 4 to the largest.
Kernel of_images(const std::function<Kernel(int64_t height, int64_t width)>& lower) {
  const ir::Dim h = ir::Dim::symbol("h", 4, kHeight), w = ir::Dim::symbol("w", 4, kWidth);
  std::vector<std::pair<int64_t, int64_t>> sizes = {{kHeight, kWidth}};
  for (int64_t i = 1; i <= 4; ++i) sizes.emplace_back(kHeight - 2 * i, kWidth - (i % 3 + 1) * 2 - i / 3);
  const auto at = [&](const ir::Dim& dim, size_t i) {
    return dim.substitute({{"h", sizes[i].first}, {"w", sizes[i].second}}).value();
  };
  std::vector<ir::Dim> known = {h * w};
  for (const ir::Dim& d : {h, w})
    for (int64_t less = -3; less <= 3; ++less) {
      known.push_back(d - ir::Dim(less));
      known.push_back(floordiv(d - ir::Dim(less), 2) + ir::Dim(1));
    }
  const Solve solve = [&](const std::vector<int64_t>& values) -> std::optional<ir::Dim> {
    if (std::equal(values.begin() + 1, values.end(), values.begin())) return ir::Dim(values[0]);
    for (const auto& dim : known) {
      bool fits = true;
      for (size_t i = 0; i < values.size(); ++i) fits = fits && at(dim, i) == values[i];
      if (fits) return dim;
    }
    return std::nullopt;
  };
  std::vector<Kernel> twins;
  for (size_t i = 1; i < sizes.size(); ++i) twins.push_back(lower(sizes[i].first, sizes[i].second));
  std::vector<const Kernel*> pointers;
  for (const auto& twin : twins) pointers.push_back(&twin);
  Kernel kernel = lower(kHeight, kWidth);
  EXPECT_EQ(unify(kernel, pointers, solve), "");
  verify(kernel);
  return kernel;
}

std::vector<int64_t> values_of(const Kernel& kernel, const std::map<std::string, ir::Dim>& symbols) {
  std::vector<int64_t> values;
  for (const auto& p : kernel.parameters) values.push_back(p.substitute(symbols).value());
  return values;
}

/// The symbols of the parameters, by name; a parameter that is no symbol must be made of ones that also stand alone.
std::vector<ir::Dim> symbols_of(const Kernel& kernel) {
  std::map<std::string, ir::Dim> found;
  for (const auto& p : kernel.parameters)
    if (p.symbols().size() == 1 && p == ir::Dim::symbol(p.symbols()[0], p.min(), p.max())) found[p.symbols()[0]] = p;
  for (const auto& p : kernel.parameters)
    for (const auto& name : p.symbols())
      found.try_emplace(name, ir::Dim::symbol(name, 4, name == "h" ? kHeight : kWidth));
  std::vector<ir::Dim> symbols;
  for (const auto& [name, symbol] : found) symbols.push_back(symbol);
  return symbols;
}

/// Normal numbers, and beyond what is live NaN.
ir::Tensor random_tensor(const Buffer& buffer, const std::vector<int64_t>& live, std::mt19937& random) {
  std::normal_distribution<float> normal;
  ir::Tensor t(buffer.dtype, buffer.shape);
  std::vector<int64_t> at(buffer.shape.size(), 0);
  for (int64_t e = 0; e < t.size(); ++e) {
    bool inside = true;
    for (size_t d = 0; d < at.size(); ++d) inside = inside && at[d] < live[d];
    if (ir::is_float(buffer.dtype)) t.set_double(e, inside ? normal(random) : NAN);
    else t.set_double(e, inside ? static_cast<double>(random() % 5) : 1e9);  // an index far outside of anything
    for (size_t d = at.size(); d-- > 0;) {
      if (++at[d] < buffer.shape[d]) break;
      at[d] = 0;
    }
  }
  return t;
}

void check(const Kernel& original, const Dims& inputs, int samples = 4) {
  std::mt19937 random(std::random_device{}());
  auto codegen = codegen::cpu_codegen(testing::host_target());
  Machine machine;
  machine.lanes = testing::host_target().vector_bits / 32;
  machine.registers = testing::host_target().vector_registers;
  machine.threads = 2;
  Kernel kernel = original;
  normalise(kernel, machine);
  for (int i = 0; i <= samples; ++i) {
    Point point;
    if (i > 0)
      for (const auto& d : decisions(kernel, machine)) point[d.name] = d.values[random() % d.values.size()];
    const Schedule schedule = make_schedule(kernel, machine, point);
    const std::string text = print(kernel) + print(kernel, schedule);
    ASSERT_EQ(why_illegal(kernel, schedule), "") << text;
    for (int run = 0; run < 5; ++run) {
      std::map<std::string, ir::Dim> symbols;
      for (const auto& p : symbols_of(original)) {
        const int64_t value = run == 0   ? p.min()
                              : run == 1 ? p.max()
                                         : p.min() + static_cast<int64_t>(random()) % (p.max() - p.min() + 1);
        symbols[p.symbols()[0]] = value;
      }
      std::vector<ir::Tensor> tensors(original.buffers.size());
      for (size_t b = 0; b < tensors.size(); ++b) {
        const auto& buffer = original.buffers[b];
        if (buffer.role != Role::input && buffer.role != Role::constant) continue;
        auto live = buffer.shape;
        if (const auto found = inputs.find(buffer.name); found != inputs.end())
          for (size_t d = 0; d < live.size(); ++d)
            if (!found->second[d].empty()) live[d] = symbols.at(found->second[d]).value();
        tensors[b] = random_tensor(buffer, live, random);
      }
      const auto expected = interpret(original, tensors, values_of(original, symbols));
      auto padded = tensors;
      padded.resize(kernel.buffers.size());
      testing::KernelRunner runner(*codegen, kernel, schedule, padded, values_of(kernel, symbols));
      runner.run();
      runner.run();
      const auto got = runner.outputs();
      ASSERT_EQ(got.size(), expected.size());
      std::string shown;
      for (const auto& [name, value] : symbols) shown += name + "=" + value.to_string() + " ";
      for (size_t o = 0; o < got.size(); ++o) {
        double difference = 0, norm = 1e-30;
        int64_t written = 0;
        for (int64_t e = 0; e < got[o].size(); ++e) {
          const double want = expected[o].as_double(e);
          if (std::isnan(want)) continue;  // not live: the interpreter has not written it
          ++written;
          difference += (got[o].as_double(e) - want) * (got[o].as_double(e) - want);
          norm += want * want;
        }
        EXPECT_GT(written, 0);
        norm = std::max(norm, 0.02 * static_cast<double>(written));  // a single result may nearly vanish
        EXPECT_LT(std::sqrt(difference / norm), 3e-6) << shown << text;
      }
    }
  }
}

TEST(Live, Gemm) {
  check(with_live(testing::gemm(40, 96, 64), {{"m", "rows"}}), {{"x", {"rows", ""}}});
  check(with_live(testing::gemm(7, 50, 33), {{"m", "rows"}}), {{"x", {"rows", ""}}});
  check(with_live(testing::gemm(29, 64, 40, false), {{"m", "rows"}}), {{"x", {"rows", ""}}});
}

TEST(Live, ReductionOfAMatrixProduct) {
  check(with_live(testing::batched_gemm(3, 17, 40, 24, false), {{"k", "keys"}}),
        {{"x", {"", "", "keys"}}, {"w", {"", "keys", ""}}});
  check(with_live(testing::batched_gemm(4, 9, 35, 70, true), {{"b", "batch"}, {"k", "keys"}, {"n", "columns"}}),
        {{"x", {"batch", "", "keys"}}, {"w", {"batch", "columns", "keys"}}});
}

TEST(Live, RowWise) {
  check(with_live(testing::softmax(9, 128), {{"c", "keys"}}), {{"x", {"", "keys"}}});
  check(with_live(testing::softmax(21, 77), {{"r", "rows"}, {"c", "keys"}}), {{"x", {"rows", "keys"}}});
  check(with_live(testing::layer_norm(19, 100), {{"r", "rows"}}), {{"x", {"rows", ""}}});
}

TEST(Live, Attention) {
  const Dims dims = {{"q", {"queries", ""}}, {"k", {"keys", ""}}, {"v", {"keys", ""}}};
  check(with_live(testing::attention(2, 24, 40, 16, false), {{"i", "queries"}, {"j", "keys"}}), dims);
  check(with_live(testing::attention(3, 37, 37, 24, true), {{"i", "queries"}, {"j", "queries"}}),
        {{"q", {"queries", ""}}, {"k", {"queries", ""}}, {"v", {"queries", ""}}});
}

TEST(Live, Maps) {
  check(with_live(testing::transpose(5, 18, 33), {{"a", "batch"}}), {{"x", {"batch", "", ""}}});
  check(with_live(testing::elementwise(13, 35), {{"a", "rows"}}), {{"x", {"rows", ""}}});
}

TEST(Live, BatchOfPixels) { check(with_live(testing::mean_of_pixels(40, 7, 16), {{"c", "channels"}}), {}); }

// The edges that padding lies beyond, and what a mean divides by, are numbers of the run.
TEST(Live, Convolution) {
  const Dims dims = {{"x", {"", "", "h", "w"}}};
  for (const int64_t stride : {1, 2})
    for (const int64_t window : {1, 3, 5}) {
      const auto lower = [&](int64_t h, int64_t w) {
        return testing::convolution({16, 32, h, w, window, stride, window / 2});
      };
      check(of_images(lower), dims, 2);
    }
  check(of_images([](int64_t h, int64_t w) { return testing::convolution({32, 32, h, w, 3, 1, 1, true}); }), dims);
  check(of_images([](int64_t h, int64_t w) { return testing::convolution({3, 16, h, w, 3, 2, 1, false, 16, false}); }),
        dims);
}

TEST(Live, Mean) {
  const auto lower = [](int64_t h, int64_t w) {
    Kernel kernel;
    kernel.name = "mean";
    const int x = kernel.add_buffer("x", DType::f32, {20, h, w}, Role::input);
    StageBuilder sum(kernel, "sum", {{"c", 20}}, {{"y", h}, {"x", w}});
    const int s = sum.finish(sum.load(x, {sum.axis(0), sum.axis(1), sum.axis(2)}), Reduction::sum);
    StageBuilder y(kernel, "y", {{"c", 20}});
    const int out = kernel.add_buffer("y", DType::f32, {20}, Role::output);
    y.finish(y.mul(y.load(s, {y.axis(0)}), y.constant(1.0 / static_cast<double>(h * w))), Reduction::none, out);
    return kernel;
  };
  check(of_images(lower), {{"x", {"", "h", "w"}}});
}

// The second part begins where the first ends in this run, and the first must not reach into it.
TEST(Live, Concat) {
  const auto lower = [](int64_t h, int64_t w) {
    Kernel kernel;
    kernel.name = "concat";
    const int a = kernel.add_buffer("a", DType::f32, {3, h, 20}, Role::input);
    const int b = kernel.add_buffer("b", DType::f32, {3, w, 20}, Role::input);
    const int out = kernel.add_buffer("y", DType::f32, {3, h + w, 20}, Role::output);
    for (const int part : {a, b}) {
      StageBuilder y(kernel, part == a ? "first" : "second", {{"n", 3}, {"s", part == a ? h : w}, {"c", 20}});
      y.finish(y.load(part, {y.axis(0), y.axis(1), y.axis(2)}), Reduction::none, out,
               {y.axis(0), y.axis(1) + Index(part == a ? 0 : h), y.axis(2)});
    }
    return kernel;
  };
  check(of_images(lower), {{"a", {"", "h", ""}}, {"b", {"", "w", ""}}});
}

TEST(Live, LastRow) {
  const auto lower = [](int64_t h, int64_t) {
    Kernel kernel;
    kernel.name = "last";
    const int x = kernel.add_buffer("x", DType::f32, {h, 40}, Role::input);
    StageBuilder y(kernel, "y", {{"c", 40}});
    const int out = kernel.add_buffer("y", DType::f32, {40}, Role::output);
    y.finish(y.add(y.load(x, {Index(h - 1), y.axis(0)}), y.constant(1)), Reduction::none, out);
    return kernel;
  };
  check(of_images(lower), {{"x", {"h", ""}}});
}

// An index beyond what is live must not be followed.
TEST(Live, Gather) {
  Kernel kernel;
  kernel.name = "gather";
  const int ids = kernel.add_buffer("ids", DType::i64, {50}, Role::input);
  const int table = kernel.add_buffer("table", DType::f32, {5, 40}, Role::constant);
  StageBuilder y(kernel, "y", {{"s", 50}, {"c", 40}});
  const int id = y.load(ids, {y.axis(0)});
  const int out = kernel.add_buffer("y", DType::f32, {50, 40}, Role::output);
  y.finish(y.add(y.load(table, {y.value_index(id), y.axis(1)}), y.constant(1)), Reduction::none, out);
  check(with_live(kernel, {{"s", "tokens"}}), {{"ids", {"tokens"}}});
}

// Points beyond what is live scatter nothing, wherever their indices lead.
TEST(Live, Scatter) {
  for (const bool per_feature : {false, true}) {
    const auto kernel = testing::scatter(3, 6, 50, 40, Reduction::sum, per_feature);
    check(with_live(kernel, {{"e", "edges"}}), {{"x", {"", "edges", ""}}, {"target", {"", "edges", ""}}});
    check(with_live(kernel, {{"b", "batch"}, {"e", "edges"}}),
          {{"x", {"batch", "edges", ""}}, {"target", {"batch", "edges", ""}}, {"start", {"batch", "", ""}}});
  }
}

// What is fused with a live axis is live with it, as long as it has no holes.
TEST(Live, FusedAxes) {
  Kernel kernel = with_live(testing::elementwise(13, 35), {{"a", "rows"}});
  fuse_axes(kernel);
  bool fused = false;
  for (const auto& stage : kernel.stages)
    for (const auto& axis : stage.axes)
      if (axis.live >= 0) {
        EXPECT_EQ(kernel.parameters[static_cast<size_t>(axis.live)].max(), axis.extent);
        fused = fused || axis.extent == 13 * 35;
      }
  EXPECT_TRUE(fused) << print(kernel);
  Kernel inner = with_live(testing::elementwise(13, 35), {{"b", "columns"}});
  fuse_axes(inner);
  EXPECT_EQ(inner.stages.back().axes.size(), 2u) << print(inner);
}

}  // namespace
}  // namespace rooftune
