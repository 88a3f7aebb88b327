#include "kernel/kernel.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "kernel/interpreter.h"
#include "kernel/nodes.h"

namespace rooftune::kernel {
namespace {

Kernel gemm_bias_relu(int64_t m, int64_t n, int64_t k) {
  Kernel kernel{.name = "gemm"};
  int x = kernel.add_buffer("x", DType::f32, {m, k}, Role::input);
  int w = kernel.add_buffer("w", DType::f32, {k, n}, Role::constant);
  int b = kernel.add_buffer("b", DType::f32, {n}, Role::constant);
  int y = kernel.add_buffer("y", DType::f32, {m, n}, Role::output);
  StageBuilder s(kernel, "acc", {{"m", m}, {"n", n}}, {{"k", k}});
  int acc = s.finish(s.mul(s.load(x, {s.axis(0), s.axis(2)}), s.load(w, {s.axis(2), s.axis(1)})), Reduction::sum);
  StageBuilder t(kernel, "y", {{"m", m}, {"n", n}});
  int sum = t.add(t.load(acc, {t.axis(0), t.axis(1)}), t.load(b, {t.axis(1)}));
  t.finish(t.max(sum, t.constant(0)), Reduction::none, y);
  return kernel;
}

TEST(Kernel, PrintsAsWritten) {
  EXPECT_EQ(print(gemm_bias_relu(128, 3072, 768)),
            "kernel gemm\n"
            "  input x: f32[128,768]\n"
            "  constant w: f32[768,3072]\n"
            "  constant b: f32[3072]\n"
            "  output y: f32[128,3072]\n"
            "  temporary acc: f32[128,3072]\n"
            "  stage acc(m:128, n:3072 | k:768) = sum x[m,k] * w[k,n]\n"
            "  stage y(m:128, n:3072) = max(acc[m,n] + b[n], 0)\n");
}

TEST(Kernel, PrintsSharedNodesConditionsAndGathers) {
  Kernel kernel{.name = "odd"};
  int ids = kernel.add_buffer("ids", DType::i64, {6}, Role::input);
  int table = kernel.add_buffer("table", DType::f32, {50, 4}, Role::constant);
  int y = kernel.add_buffer("out", DType::f32, {4, 6}, Role::output);
  StageBuilder s(kernel, "y", {{"i", 6}, {"j", 4}});
  int id = s.load(ids, {s.axis(0)});
  int v = s.load(table, {s.value_index(id), s.axis(1)});
  int shifted = s.load(table, {s.axis(0) * 2 + s.axis(1) - 1, 0}, {s.axis(0) * 2 + s.axis(1) - 1}, 0.5);
  int square = s.mul(s.sub(v, shifted), s.sub(v, shifted));
  s.where(s.axis(0) + s.axis(1) - 1);
  s.finish(s.sub(s.constant(1), s.sub(square, s.cast(id, DType::f32))), Reduction::none, y, {s.axis(1), s.axis(0)});
  EXPECT_EQ(print(kernel),
            "kernel odd\n"
            "  input ids: i64[6]\n"
            "  constant table: f32[50,4]\n"
            "  output out: f32[4,6]\n"
            "  stage y(i:6, j:4) -> out[j,i] = 1 - ($4 * $4 - cast_f32($1)) where i+j-1 >= 0\n"
            "    $1 = ids[i]\n"
            "    $4 = table[$1,j] - table[2*i+j-1,0 where 2*i+j-1 >= 0 else 0.5]\n");
  verify(kernel);
}

Kernel index_add(Reduction combine = Reduction::sum) {
  Kernel kernel{.name = "index_add"};
  const int target = kernel.add_buffer("target", DType::i64, {9}, Role::input);
  const int x = kernel.add_buffer("x", DType::f32, {9, 4}, Role::input);
  const int y = kernel.add_buffer("y", DType::f32, {5, 4}, Role::output);
  StageBuilder zero(kernel, "zero", {{"n", 5}, {"f", 4}});
  zero.finish(zero.constant(0), Reduction::none, y);
  StageBuilder s(kernel, "y", {{"f", 4}}, {{"e", 9}});
  const Index row = s.value_index(s.load(target, {s.axis(1)}));
  s.finish_scatter(s.load(x, {s.axis(1), s.axis(0)}), combine, y, {row, s.axis(0)});
  return kernel;
}

TEST(Kernel, PrintsAndHashesAScatter) {
  EXPECT_EQ(print(index_add()),
            "kernel index_add\n"
            "  input target: i64[9]\n"
            "  input x: f32[9,4]\n"
            "  output y: f32[5,4]\n"
            "  stage zero(n:5, f:4) -> y[n,f] = 0\n"
            "  stage y(f:4 | e:9) -> y[$0,f] = scatter sum x[e,f]\n"
            "    $0 = target[e]\n");
  EXPECT_NE(print(index_add(Reduction::none)).find("= scatter x[e,f]"), std::string::npos);
  EXPECT_NE(hash(index_add()), hash(index_add(Reduction::none)));
  EXPECT_DOUBLE_EQ(cost(index_add()).operations, 36);
  EXPECT_DOUBLE_EQ(cost(index_add()).compulsory_bytes, 9 * 8 + 36 * 4 + 20 * 4);
}

TEST(Kernel, EqualNodesAreSharedAndUnneededOnesDropped) {
  Kernel kernel{.name = "k"};
  int x = kernel.add_buffer("x", DType::f32, {8}, Role::input);
  StageBuilder s(kernel, "y", {{"i", 8}});
  int a = s.load(x, {s.axis(0)});
  EXPECT_EQ(s.load(x, {s.axis(0)}, {s.axis(0) + 3}), a);  // a condition that always holds is none
  EXPECT_NE(s.load(x, {s.axis(0)}, {s.axis(0) - 3}), a);
  EXPECT_EQ(s.add(a, a), s.add(a, a));
  EXPECT_NE(s.constant(0.0), s.constant(-0.0));
  s.unary(Op::exp, a);
  s.finish(s.add(a, a));
  EXPECT_EQ(kernel.stages[0].nodes.size(), 2u);
}

TEST(Kernel, NamesAreMadeUnique) {
  Kernel kernel{.name = "k"};
  int x = kernel.add_buffer("x", DType::f32, {8}, Role::input);
  for (int i = 0; i < 3; i++) {
    StageBuilder s(kernel, "x", {{"i", 8}});
    x = s.finish(s.unary(Op::neg, s.load(x, {s.axis(0)})));
  }
  EXPECT_EQ(kernel.buffers[3].name, "x_3");
  EXPECT_EQ(kernel.stages[2].name, "x_3");
}

TEST(Kernel, HashIgnoresNamesOfKernelAndBuffersOnly) {
  Kernel a = gemm_bias_relu(4, 5, 6), b = a;
  b.name = "other";
  b.buffers[1].name = "weight";
  EXPECT_EQ(hash(a), hash(b));
  b.buffers.insert(b.buffers.begin() + 1, Buffer{"unused", DType::f32, {3}, Role::temporary, Layout::row_major({3})});
  for (Stage& s : b.stages) {
    s.buffer += s.buffer > 0;
    for (ExprNode& n : s.nodes) n.buffer += n.buffer > 0;
  }
  EXPECT_EQ(hash(a), hash(b));
  EXPECT_EQ(compact_buffers(b), (std::vector<int>{0, -1, 1, 2, 3, 4}));
  EXPECT_EQ(print(b).substr(12), print(Kernel{b}).substr(12));
  EXPECT_EQ(hash(a), hash(b));
  b.buffers[3].layout = Layout::blocked({4, 5}, {0, 1}, {{1, 2}});
  EXPECT_NE(hash(a), hash(b));
  EXPECT_NE(hash(a), hash(gemm_bias_relu(4, 6, 5)));
  b = a;
  b.stages[1].nodes.back().op = Op::min;
  EXPECT_NE(hash(a), hash(b));
}

TEST(Kernel, CostCountsWhatTheStagesDo) {
  KernelCost c = cost(gemm_bias_relu(128, 3072, 768));
  EXPECT_DOUBLE_EQ(c.operations, 2.0 * 128 * 3072 * 768 + 2.0 * 128 * 3072);
  EXPECT_DOUBLE_EQ(c.compulsory_bytes, 4.0 * (128 * 768 + 768 * 3072 + 3072 + 128 * 3072));
}

TEST(Kernel, CostOfGatherAndCausalMask) {
  Kernel kernel{.name = "k"};
  int ids = kernel.add_buffer("ids", DType::i64, {6}, Role::input);
  int table = kernel.add_buffer("table", DType::f32, {30000, 4}, Role::constant);
  int x = kernel.add_buffer("x", DType::f32, {256, 256}, Role::input);
  int y = kernel.add_buffer("y", DType::f32, {6, 4}, Role::output);
  int z = kernel.add_buffer("z", DType::f32, {256}, Role::output);
  StageBuilder s(kernel, "y", {{"i", 6}, {"j", 4}});
  s.finish(s.load(table, {s.value_index(s.load(ids, {s.axis(0)})), s.axis(1)}), Reduction::none, y);
  StageBuilder t(kernel, "z", {{"i", 256}}, {{"j", 256}});
  t.where(t.axis(0) - t.axis(1));
  t.finish(t.load(x, {t.axis(0), t.axis(1)}), Reduction::sum, z);
  KernelCost c = cost(kernel);
  EXPECT_DOUBLE_EQ(c.compulsory_bytes, 6 * 8 + 24 * 4 + 65536 * 4 + 24 * 4 + 256 * 4);
  EXPECT_NEAR(c.operations, 32768, 3000);
}

TEST(Kernel, DeadStagesGo) {
  Kernel kernel = gemm_bias_relu(4, 5, 6);
  StageBuilder s(kernel, "unused", {{"m", 4}});
  int u = s.finish(s.load(0, {s.axis(0), 0}));
  StageBuilder t(kernel, "unused", {{"m", 4}});
  t.finish(t.unary(Op::neg, t.load(u, {t.axis(0)})));
  uint64_t before = hash(gemm_bias_relu(4, 5, 6));
  EXPECT_NE(hash(kernel), before);
  eliminate_dead_stages(kernel);
  EXPECT_EQ(kernel.stages.size(), 2u);
  EXPECT_EQ(hash(kernel), before);
}

TEST(Kernel, KeepNeededRepeatsAValueThatConditionsStandBehind) {
  Kernel kernel{.name = "k"};
  int ids = kernel.add_buffer("ids", DType::i64, {6}, Role::input);
  StageBuilder s(kernel, "y", {{"i", 6}});
  int id = s.load(ids, {s.axis(0)});
  s.where(s.value_index(s.mul(id, id)) - 5);
  s.finish(id);
  EXPECT_EQ(kernel.stages[0].nodes.size(), 3u);
  EXPECT_TRUE(same(kernel.stages[0].nodes.front(), kernel.stages[0].nodes.back()));
  verify(kernel);
}

/// verify() must fail with a message that holds all of `parts`.
void expect_broken(const Kernel& kernel, std::vector<std::string> parts) {
  try {
    verify(kernel);
    ADD_FAILURE() << "no error, expected " << parts[0];
  } catch (const InternalError& e) {
    for (const std::string& part : parts) EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

TEST(Kernel, VerifyNamesWhatIsBroken) {
  const Kernel good = gemm_bias_relu(4, 5, 6);
  verify(good);
  auto broken = [&](auto&& change, std::vector<std::string> parts) {
    Kernel k = good;
    change(k);
    parts.push_back("kernel gemm");
    expect_broken(k, parts);
  };
  broken([](Kernel& k) { k.stages[0].nodes[0].indices[1] = Index::variable(1) + 3; },
         {"stage acc", "node 0 (load)", "from 3 to 7", "extent is 6"});
  broken([](Kernel& k) { k.stages[0].nodes[0].indices.pop_back(); }, {"1 indices for x of rank 2"});
  broken([](Kernel& k) { k.stages[0].nodes[0].indices[0] = Index::variable(7); }, {"variable 7"});
  broken([](Kernel& k) { k.stages[0].nodes[0].indices[0] = Index::variable(kNodeVariable + 1); }, {"variable 65537"});
  broken([](Kernel& k) { k.stages[0].nodes[1].type = DType::f64; }, {"loads w as f64, it holds f32"});
  broken([](Kernel& k) { k.stages[0].nodes[2].b = 2; }, {"node 2 (mul)", "argument 2 is no earlier node"});
  broken([](Kernel& k) { k.stages[0].reduction = Reduction::none; }, {"reduction axes but no reduction"});
  broken([](Kernel& k) { k.stages[0].buffer = 2; }, {"writes b, an input or constant"});
  broken([](Kernel& k) { std::swap(k.stages[0], k.stages[1]); }, {"stage y", "loads acc before a stage wrote it"});
  broken([](Kernel& k) { k.stages.pop_back(); }, {"no stage writes output y"});
  broken([](Kernel& k) { k.stages[1].nodes.back().op = Op::logical_and; }, {"takes and gives booleans"});
  broken([](Kernel& k) { k.stages[1].nodes.back().op = Op::mod; }, {"takes integers"});
  broken([](Kernel& k) { k.stages[1].nodes.back().type = DType::f16; }, {"takes arguments of its type"});
  broken([](Kernel& k) { k.stages[1].out_indices = {Index::variable(1), Index::variable(0)}; },
         {"index 0 of y runs from 0 to 4"});
  broken([](Kernel& k) { k.stages[0].out_indices[1] = Index::variable(2); }, {"variable 2"});
  broken([](Kernel& k) { k.stages[1].nodes.clear(); }, {"no expression"});
  broken([](Kernel& k) { k.buffers[3].dtype = DType::f16; }, {"writes f32 to y, which holds f16"});
  // Of one that scatters.
  auto scatter = [&](auto&& change, std::vector<std::string> parts) {
    Kernel k = index_add();
    verify(k);
    change(k);
    expect_broken(k, parts);
  };
  scatter([](Kernel& k) { k.stages.erase(k.stages.begin()); }, {"scatters into y, which no stage wrote before"});
  scatter([](Kernel& k) { k.stages[1].where = {Index::variable(0) - 1}; }, {"scatters under conditions"});
  scatter([](Kernel& k) { k.stages[1].out_indices[1] = 0; }, {"points along axis f meet"});
  scatter([](Kernel& k) { k.stages[1].out_indices[0] = Index::variable(1); }, {"variable 1"});
  scatter([](Kernel& k) { k.stages[1].out_indices[0] = k.stages[1].out_indices[0] + Index::variable(0); },
          {"variable 65536"});
  scatter([](Kernel& k) { k.stages[1].scatters = false; }, {"variable 65536"});
  scatter(
      [](Kernel& k) {
        StageBuilder between(k, "between", {{"n", 5}});
        const int b = between.finish(between.load(2, {between.axis(0), 0}));
        StageBuilder z(k, "z", {{"n", 5}});
        z.finish(z.load(b, {z.axis(0)}), Reduction::none, k.add_buffer("z", DType::f32, {5}, Role::output));
        std::rotate(k.stages.begin() + 1, k.stages.begin() + 2, k.stages.begin() + 3);
      },
      {"stage between", "loads y before all stages wrote it"});
  // Guarded or skipped points may be outside.
  Kernel k = good;
  k.stages[0].nodes[0].indices[1] = Index::variable(2) + 3;
  k.stages[0].nodes[0].where = {Index(2) - Index::variable(2)};
  verify(k);
}

}  // namespace
}  // namespace rooftune::kernel
