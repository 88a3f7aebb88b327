#include "kernel/schedule.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"

namespace rooftune::kernel {
namespace {

Kernel example() {
  Kernel kernel{.name = "gemm"};
  int x = kernel.add_buffer("x", DType::f32, {128, 768}, Role::input);
  int w = kernel.add_buffer("onnx::w", DType::f32, {768, 3072}, Role::constant);
  int y = kernel.add_buffer("y", DType::f32, {128, 3072}, Role::output);
  StageBuilder s(kernel, "acc", {{"m", 128}, {"n", 3072}}, {{"k", 768}});
  int acc = s.finish(s.mul(s.load(x, {s.axis(0), s.axis(2)}), s.load(w, {s.axis(2), s.axis(1)})), Reduction::sum);
  StageBuilder t(kernel, "y", {{"m", 128}, {"n", 3072}});
  t.finish(t.max(t.load(acc, {t.axis(0), t.axis(1)}), t.constant(0)), Reduction::none, y);
  return kernel;
}

TEST(Schedule, ReadsAndWritesTheForm) {
  Kernel kernel = example();
  std::string text =
      "acc:      @y.1 k m:u n/16:u n:v\n"
      "y:        n/48 m/8:p m:u n/16:u n:v\n"
      "$1:       (1,48,64)(0,1,768)(1,1,48)\n"
      "prefetch: $1@acc.0+k/4\n"
      "prefetch: $1@acc.0+n/48|m/8*16\n";
  Schedule s = parse_schedule(kernel, text);
  EXPECT_EQ(print(kernel, s), text);
  EXPECT_EQ(s.stages[0].at_stage, 1);
  EXPECT_EQ(s.stages[0].at_loop, 1);
  EXPECT_EQ(s.stages[0].loops, (std::vector<Loop>{{2, 1, LoopKind::serial},
                                                  {0, 1, LoopKind::unrolled},
                                                  {1, 16, LoopKind::unrolled},
                                                  {1, 1, LoopKind::vector}}));
  EXPECT_EQ(s.stages[1].loops[1], (Loop{0, 8, LoopKind::parallel}));
  EXPECT_EQ(s.prepared, (std::vector<std::pair<int, Layout>>{{1, Layout::parse("(1,48,64)(0,1,768)(1,1,48)")}}));
  EXPECT_EQ(s.prefetch, (std::vector<Prefetch>{{0, 1, 0, 2, 4}, {0, 1, 0, 1, 48, 0, 8, 16}}));
  // Spacing, order of lines, names of constants and empty lines are free.
  EXPECT_EQ(parse_schedule(kernel,
                           "\n onnx::w:  (1,48,64)(0,1,768)(1,1,48)\r\ny: n/48 m/8:p\tm:u n/16:u n:v \n\nprefetch: "
                           "onnx::w@acc.0+k/4\nacc: @y.1 k m:u n/16:u n:v\nprefetch: $1@acc.0+n/48|m/8*16"),
            s);
}

TEST(Schedule, Tiles) {
  const Kernel kernel = example();
  const std::string text =
      "acc: @y.1 k/32 m/16:u n/16:u m:t n:t k:t\n"
      "y:   n/32 m/32:p m n/16:u n:v\n"
      "$1:  (1,32,96)(0,32,24)(1,16,2)(0,2,16)(1,1,16)(0,1,2)\n";
  const Schedule s = parse_schedule(kernel, text);
  EXPECT_EQ(print(kernel, s), text);
  EXPECT_EQ(s.stages[0].loops.back(), (Loop{2, 1, LoopKind::tile}));
  const auto words = loops_in_words(s.stages[0].loops, 2);
  EXPECT_EQ(words, (parse_schedule(kernel, "acc: @y.1 k/32 m/16:u n/16:u k/2 m:u n:v k:d\ny: m n").stages[0].loops));
  EXPECT_EQ(loops_in_words(words, 2), words);
}

TEST(Schedule, TextFitsEveryKernelOfTheSameHash) {
  Kernel a = example(), b = a;
  b.buffers[1].name = "another";
  Schedule s = parse_schedule(a, "acc: @y.0 ~m k (0,1,4)(1,1,3072)\ny: m/4:p n:v\n$1: (1,16,192)(0,1,768)(1,1,16)");
  EXPECT_EQ(s.stages[0].slide_axis, 0);
  EXPECT_EQ(parse_schedule(b, print(a, s)), s);
  EXPECT_EQ(hash(a, s), hash(b, s));
  Schedule other = s;
  other.stages[1].loops[0].step = 8;
  EXPECT_NE(hash(a, s), hash(a, other));
  b.buffers[1].dtype = DType::bf16;
  EXPECT_NE(hash(a, s), hash(b, s));
}

TEST(Schedule, OddNamesGoByNumber) {
  Kernel kernel = example();
  kernel.stages[0].name = "/layer.0/MatMul";
  kernel.stages[0].axes[2].name = "m";
  Schedule s = parse_schedule(kernel, "#0: @y.0 #2/4 n:v\ny: m n:v");
  EXPECT_EQ(s.stages[0].loops[0].axis, 2);
  EXPECT_EQ(print(kernel, s), "#0: @y.0 #2/4 n:v\ny:  m n:v\n");
}

TEST(Schedule, MistakesNameLineAndWord) {
  Kernel kernel = example();
  auto rejects = [&](const char* text, std::vector<std::string> parts) {
    try {
      parse_schedule(kernel, text);
      ADD_FAILURE() << text;
    } catch (const InputError& e) {
      for (const std::string& part : parts) EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  rejects("acc: k\ny: m q/8", {"line 2", "'q/8'", "stage y has no axis 'q'", "m, n"});
  rejects("acc: k\nz: m", {"line 2", "'z:'", "no stage or buffer 'z'", "acc, y"});
  rejects("acc: k", {"stage y has no line"});
  rejects("acc: k\nacc: k\ny: m", {"line 2", "a line already"});
  rejects("acc k\ny: m", {"line 1", "'acc'", "colon"});
  rejects("acc: m/x", {"'m/x'", "expected a step at 'x'"});
  rejects("acc: m/0", {"'m/0'", "at least 1"});
  rejects("acc: m/-4", {"'m/-4'"});
  rejects("acc: m:w", {"'m:w'", ":u (unrolled)"});
  rejects("acc: m/8:", {"'m/8:'", ":u (unrolled)"});
  rejects("acc: @y k", {"'@y'", "stage.loop"});
  rejects("acc: @z.0 k", {"'@z.0'", "no stage 'z'"});
  rejects("acc: @y.0 @y.1 k", {"'@y.1'", "one place"});
  rejects("acc: ~m ~n k", {"'~n'", "one axis"});
  rejects("acc: (0,1,8)(7,1,8)", {"dim 7", "rank 2"});
  rejects("acc: (0,1", {"'(0,1'", "(dim,divisor,extent)"});
  rejects("acc: k\ny: m\n$0: (0,1,128)(1,1,768)", {"line 3", "'$0:'", "only constants"});
  rejects("acc: k\ny: m\n$9: (0,1,128)", {"no buffer $9"});
  rejects("acc: k\ny: m\n$1:", {"one layout"});
  rejects("acc: k\ny: m\nprefetch: $1@acc+k/4", {"'$1@acc+k/4'", "stage.loop"});
  rejects("acc: k\ny: m\nprefetch: acc.0+4", {"buffer@stage.loop+axis/distance"});
  rejects("acc: k\ny: m\nprefetch: $1@acc.0+z/4", {"no axis"});
  rejects("acc: #9\ny: m", {"'#9'", "no axis"});
}

RC_GTEST_PROP(Schedule, TextParsesBack, ()) {
  Kernel kernel = example();
  auto below = [](int n) { return *rc::gen::inRange(0, n); };
  Schedule s;
  for (int i = 0; i < 2; i++) {
    StagePlan plan;
    int axes = static_cast<int>(kernel.stages[static_cast<size_t>(i)].axes.size());
    for (int loops = below(7); loops > 0; loops--) {
      plan.loops.push_back(
          {below(axes), *rc::gen::element<int64_t>(1, 2, 8, 48, 1000), static_cast<LoopKind>(below(5))});
    }
    if (below(2)) plan.at_stage = 1 - i, plan.at_loop = below(5);
    if (below(3) == 0) plan.slide_axis = below(axes);
    if (below(2)) plan.layout = Layout::blocked({128, 3072}, {below(2), 0}, {{1, 1 + below(16)}});
    s.stages.push_back(plan);
  }
  if (below(2)) s.prepared.emplace_back(1, Layout::blocked({768, 3072}, {1, 0}, {{1, 1 + below(64)}}));
  for (int n = below(3); n > 0; n--) s.prefetch.push_back({below(2), below(2), below(4), below(2), below(9)});
  std::string text = print(kernel, s);
  RC_LOG() << text;
  RC_ASSERT(parse_schedule(kernel, text) == s);
  RC_ASSERT(print(kernel, parse_schedule(kernel, text)) == text);
}

}  // namespace
}  // namespace rooftune::kernel
