// The CPU code generator against the interpreter (tests/support/codegen_check.h), and what only it does.
#include "tests/support/codegen_check.h"

#include <array>

namespace rooftune {
namespace {

using namespace kernel;

using testing::machine_of;
using testing::random_tensors;
using testing::relative_error;

void check(const Kernel& kernel, int samples = 6, const std::string& algorithm = "direct") {
  testing::check_codegen(*codegen::cpu_codegen(testing::host_target()), kernel, samples, algorithm);
}

TEST(Emitter, Gemm) {
  check(testing::gemm(32, 96, 64));
  check(testing::gemm(7, 50, 33));
  check(testing::gemm(1, 17, 130));
  check(testing::gemm(13, 5, 9, false));
}

/// A package must run wherever its target's name says it does: timings may be one processor's, instructions not.
TEST(Emitter, UsesTheInstructionsOfTheLevelOnly) {
  const Kernel original = testing::gemm(32, 96, 64);
  codegen::CpuTarget target = testing::host_target();
  target.tune = "znver4";
  EXPECT_EQ(target.cpu, target.vector_bits == 512 ? "x86-64-v4" : "x86-64-v3");
  const Machine machine = machine_of(target);
  Kernel kernel = original;
  normalise(kernel, machine);
  const Schedule schedule = make_schedule(kernel, machine);
  const std::string text = codegen::cpu_codegen(target)->dump({&kernel, &schedule}, "llvm");
  EXPECT_NE(text.find("\"target-cpu\"=\"" + target.cpu + "\""), std::string::npos);
  EXPECT_NE(text.find("\"tune-cpu\"=\"znver4\""), std::string::npos);
}

TEST(Emitter, TheVersionNamesItsSources) {
  const std::string version = codegen::cpu_codegen(testing::host_target())->version();
  ASSERT_TRUE(version.starts_with("cpu-") && version.size() > 20 && version.substr(20).starts_with("-llvm-"))
      << version;
  EXPECT_EQ(version.substr(4, 16).find_first_not_of("0123456789abcdef"), std::string::npos) << version;
}

TEST(Emitter, BatchedGemm) {
  check(testing::batched_gemm(3, 17, 40, 24, false));
  check(testing::batched_gemm(3, 17, 40, 24, true));
}

TEST(Emitter, Convolution) {
  testing::ConvShape s;
  s = {32, 32, 14, 14, 3, 1, 1};
  check(testing::convolution(s));
  check(testing::convolution(s, true));
  s = {16, 48, 9, 11, 1, 1, 0};
  check(testing::convolution(s));
  s = {16, 32, 15, 13, 3, 2, 1};
  check(testing::convolution(s));
  s = {3, 32, 17, 17, 7, 2, 3};
  s.blocked_input = false;
  check(testing::convolution(s));
  s = {24, 40, 7, 7, 3, 1, 1};
  check(testing::convolution(s));
  s.block = 0;
  check(testing::convolution(s));
}

/// This machine, without what it has beyond its level, and the level before that.
std::vector<codegen::CpuTarget> targets() {
  std::vector<codegen::CpuTarget> all = {testing::host_target()};
  if (!all[0].extensions.empty()) {
    all.push_back(all[0]);
    all.back().extensions.clear();
  }
  if (all[0].vector_bits == 512) {
    all.emplace_back();
    all.back().cpu = "x86-64-v3";
    all.back().vector_bits = 256;
    all.back().vector_registers = 16;
  }
  return all;
}

/// Also with schedules in tiles, which code for processors without them takes word by word.
void check_everywhere(const Kernel& kernel, int samples = 3) {
  for (const auto& target : targets()) {
    testing::check_codegen(*codegen::cpu_codegen(target), kernel, samples, "direct", target);
    Machine machine = machine_of(target);
    if (machine.tiles || machine.lanes != 16) continue;
    machine.tiles = true;
    testing::check_codegen(*codegen::cpu_codegen(target), kernel, samples, "direct", machine);
  }
}

TEST(Emitter, DotProductsOfBytes) {
  for (DType x : {DType::u8, DType::i8})
    for (DType w : {DType::i8, DType::u8}) {
      check_everywhere(testing::dot_gemm(32, 96, 64, x, w));
      check_everywhere(testing::dot_gemm(7, 50, 33, x, w));
      check_everywhere(testing::dot_gemm(5, 17, 3, x, w, true));
    }
  check_everywhere(testing::dot_gemm(1, 100, 130, DType::u8, DType::i8));
  check_everywhere(testing::dot_gemm(13, 5, 9, DType::u8, DType::i8, true));
  check_everywhere(testing::dot_gemm(3, 3, 2, DType::u8, DType::i8));
}

TEST(Emitter, WeightsOfFewBits) {
  for (bool zeros : {false, true}) {
    check_everywhere(testing::weight_only_gemm(1, 100, 128, 4, 32, zeros));
    check_everywhere(testing::weight_only_gemm(7, 50, 64, 4, 16, zeros));
    check_everywhere(testing::weight_only_gemm(13, 130, 96, 8, 32, zeros));
    check_everywhere(testing::weight_only_gemm(1, 16, 256, 8, 0, zeros));
    check_everywhere(testing::weight_only_gemm(3, 5, 256, 4, 256, zeros));
    check_everywhere(testing::weight_only_gemm(4, 24, 40, 4, 8, zeros));
    check_everywhere(testing::weight_only_gemm(2, 20, 60, 4, 32, zeros));  // a block that is not whole: as floats
    check(testing::weight_only_gemm(19, 70, 128, 4, 32, zeros), 3, "weights16");
  }
}

TEST(Emitter, DotProductsOfHalves) {
  check_everywhere(testing::dot_gemm(32, 96, 64, DType::bf16, DType::bf16));
  check_everywhere(testing::dot_gemm(7, 50, 33, DType::bf16, DType::bf16));
  check_everywhere(testing::dot_convolution({16, 48, 9, 11, 3, 1, 1}, DType::bf16, DType::bf16));
}

TEST(Emitter, ConvolutionOfBytes) {
  testing::ConvShape s;
  s = {32, 32, 14, 14, 3, 1, 1};
  check_everywhere(testing::dot_convolution(s));
  s = {24, 48, 9, 11, 1, 1, 0};
  check_everywhere(testing::dot_convolution(s));
  s = {18, 40, 15, 13, 3, 2, 1};
  check_everywhere(testing::dot_convolution(s));
  s = {3, 32, 17, 17, 7, 2, 3};  // words along a row of pixels
  s.blocked_input = false;
  check_everywhere(testing::dot_convolution(s));
  s = {40, 40, 13, 13, 3, 2, 1, true};
  check_everywhere(testing::dot_convolution(s));
}

TEST(Emitter, DotProductsAreOneInstruction) {
  codegen::CpuTarget target = testing::host_target();
  target.cpu = "x86-64-v4";
  target.vector_bits = 512;
  target.vector_registers = 32;
  target.extensions = {"avx512vnni", "avx512bf16"};
  const Machine machine = machine_of(target);
  auto code_of = [&](Kernel kernel) {
    normalise(kernel, machine);
    const Schedule schedule = make_schedule(kernel, machine);
    return codegen::cpu_codegen(target)->dump({&kernel, &schedule}, "asm");
  };
  const auto bytes = code_of(testing::dot_gemm(32, 96, 64, DType::u8, DType::i8));
  EXPECT_NE(bytes.find("vpdpbusd"), std::string::npos);
  EXPECT_NE(code_of(testing::dot_gemm(32, 96, 64, DType::bf16, DType::bf16)).find("vdpbf16ps"), std::string::npos);
  EXPECT_NE(code_of(testing::stored_as(testing::gemm(32, 96, 64), DType::bf16)).find("vcvtneps2bf16"),
            std::string::npos);
  // Code that has no use for an extension runs without it.
  auto needs = [&](Kernel kernel) {
    normalise(kernel, machine);
    const Schedule schedule = make_schedule(kernel, machine);
    return codegen::cpu_codegen(target)->compile({{&kernel, &schedule}}).target;
  };
  EXPECT_EQ(needs(testing::gemm(32, 96, 64)), "x86_64-avx512");
  EXPECT_EQ(needs(testing::dot_gemm(32, 96, 64, DType::u8, DType::i8)), "x86_64-avx512+avx512vnni");
}

/// A target with tiles, whether or not this machine has them.
codegen::CpuTarget with_tiles() {
  codegen::CpuTarget target;
  target.cpu = "x86-64-v4";
  target.extensions = {"avx512vnni", "avx512bf16", "amx-tile", "amx-bf16", "amx-int8"};
  return target;
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(Emitter, ProductsOfTiles) {
  using enum DType;
  for (const auto& [x, w] :
       {std::pair(u8, i8), std::pair(i8, i8), std::pair(u8, u8), std::pair(i8, u8), std::pair(bf16, bf16)}) {
    check_everywhere(testing::dot_gemm(64, 96, 128, x, w), 2);
    check_everywhere(testing::dot_gemm(49, 50, 192, x, w), 2);  // remainders of rows and columns
    check_everywhere(testing::dot_gemm(5, 10, 48, x, w), 2);    // rows of 48 bytes, or 32 and words of 2
    check_everywhere(testing::dot_gemm(37, 70, 51, x, w), 2);   // no whole words
    check_everywhere(testing::dot_gemm(34, 70, 512, x, w), 2);  // in blocks of the sum
  }
  check_everywhere(testing::stored_as(testing::gemm(33, 80, 96), bf16), 6);  // with maps around them
  check_everywhere(testing::stored_as(testing::gemm(34, 40, 1536), bf16), 4);
}

TEST(Emitter, ConvolutionsInTiles) {
  testing::ConvShape s;
  for (const bool last : {false, true}) {
    s.block = 32, s.channels_last = last;
    s.channels = 64, s.outputs = 40, s.height = 5, s.width = 35, s.window = 3, s.stride = 1, s.pad = 1;
    check_everywhere(testing::stored_as(testing::convolution(s, true), DType::bf16), 4);
    s.window = 1, s.pad = 0;
    check_everywhere(testing::stored_as(testing::convolution(s, true), DType::bf16), 4);
    s.window = 3, s.pad = 1, s.stride = 2;
    check_everywhere(testing::stored_as(testing::convolution(s), DType::bf16), 4);
  }
  s.channels = 24, s.outputs = 40, s.stride = 1;
  check_everywhere(testing::stored_as(testing::convolution(s), DType::bf16), 4);
  s.height = 7, s.width = 7, s.window = 5, s.pad = 2;
  check_everywhere(testing::stored_as(testing::convolution(s), DType::bf16), 4);
  // Padding that is no zero.
  Kernel padded = testing::stored_as(testing::convolution(s), DType::bf16);
  for (auto& node : padded.stages[0].nodes)
    if (node.op == Op::load && node.buffer == 0)
      node.where = std::exchange(padded.stages[0].where, {}), node.value = 1.5;
  check_everywhere(padded, 6);
}

TEST(Emitter, ProductsOfTilesAreOneInstruction) {
  const codegen::CpuTarget target = with_tiles();
  const Machine machine = machine_of(target);
  const auto codegen = codegen::cpu_codegen(target);
  auto code_of = [&](Kernel kernel) {
    normalise(kernel, machine);
    const Schedule schedule = make_schedule(kernel, machine);
    return codegen->dump({&kernel, &schedule}, "asm");
  };
  using enum DType;
  const std::map<std::string, std::pair<DType, DType>> instructions = {{"tdpbusd", {u8, i8}},
                                                                       {"tdpbssd", {i8, i8}},
                                                                       {"tdpbuud", {u8, u8}},
                                                                       {"tdpbsud", {i8, u8}},
                                                                       {"tdpbf16ps", {bf16, bf16}}};
  for (const auto& [name, types] : instructions) {
    const auto text = code_of(testing::dot_gemm(64, 64, 128, types.first, types.second));
    // 2 x 2 sums of a loop's turn, in which every operand is loaded once; the shapes are set once in all.
    EXPECT_EQ(count(text, name) % 4, 0U) << text;
    EXPECT_GT(count(text, name), 0U) << text;
    EXPECT_EQ(count(text, "tileloadd"), count(text, name)) << text;
    EXPECT_EQ(count(text, "tilestored"), 4U) << text;
    EXPECT_EQ(count(text, "ldtilecfg"), 1U) << text;
    EXPECT_EQ(count(text, "tilerelease"), 1U) << text;
    EXPECT_EQ(count(text, "vpdpbusd") + count(text, "vdpbf16ps"), 0U) << text;
  }
  // Other shapes are set around what needs them.
  EXPECT_EQ(count(code_of(testing::dot_gemm(72, 64, 128, u8, i8)), "ldtilecfg") % 2, 1U);
  // Sums whose length is no multiple of a word are taken word by word.
  EXPECT_EQ(count(code_of(testing::dot_gemm(64, 64, 127, u8, i8)), "tdpbusd"), 0U);
  auto needs = [&](Kernel kernel) {
    normalise(kernel, machine);
    const Schedule schedule = make_schedule(kernel, machine);
    return codegen->compile({{&kernel, &schedule}}).target;
  };
  EXPECT_EQ(needs(testing::dot_gemm(64, 64, 128, u8, i8)), "x86_64-avx512+avx512vnni+amx-tile+amx-int8");
  EXPECT_EQ(needs(testing::dot_gemm(64, 64, 128, bf16, bf16)), "x86_64-avx512+avx512bf16+amx-tile+amx-bf16");
  EXPECT_EQ(needs(testing::dot_gemm(64, 64, 127, u8, i8)), "x86_64-avx512+avx512vnni");
}

TEST(Emitter, Winograd) {
  for (const std::string algorithm : {"winograd2", "winograd4"}) {
    check(testing::convolution({16, 32, 12, 12, 3, 1, 1}), 4, algorithm);
    check(testing::convolution({32, 48, 13, 10, 3, 1, 1}, true), 4, algorithm);
    check(testing::convolution({40, 24, 9, 14, 3, 1, 0}), 4, algorithm);
  }
  check(testing::convolution({16, 32, 12, 12, 3, 2, 1}), 4, "winograd2");
  check(testing::convolution({32, 48, 13, 10, 3, 2, 1}, true), 4, "winograd2");
  check(testing::convolution({40, 24, 9, 14, 3, 2, 0}), 4, "winograd2");
}

/// 16-bit floats are operands and results only.
TEST(Emitter, StoresIn16Bits) {
  for (const auto dtype : {ir::DType::f16, ir::DType::bf16}) {
    const auto check16 = [&](const Kernel& kernel, const std::string& algorithm = "direct") {
      check(testing::stored_as(kernel, dtype), 3, algorithm);
    };
    check16(testing::gemm(13, 50, 33));
    check16(testing::gemm(1, 96, 130));
    check16(testing::batched_gemm(3, 17, 40, 24, true));
    check16(testing::convolution({32, 32, 9, 11, 3, 1, 1}, true));
    check16(testing::convolution({40, 40, 9, 9, 3, 2, 1, true}));
    check16(testing::convolution({32, 48, 13, 10, 3, 1, 1}, true), "winograd4");
    check16(testing::max_pool(20, 11, 3, 2, 1, 16));
    check16(testing::softmax(7, 50));
    check16(testing::layer_norm(5, 70));
    check16(testing::attention(2, 9, 21, 16, true));
    check16(testing::transpose(5, 17, 33));
    check16(testing::elementwise(3, 45));
  }
}

/// Every bit pattern, and floats around those between which they are rounded.
TEST(Emitter, RoundsTo16BitsAsTheInterpreterDoes) {
  for (const auto dtype : {ir::DType::f16, ir::DType::bf16}) {
    Kernel kernel;
    kernel.name = "round";
    constexpr int64_t kCodes = 65536;
    const int x = kernel.add_buffer("x", dtype, {kCodes}, Role::input);
    const int d = kernel.add_buffer("d", ir::DType::f32, {kCodes}, Role::input);
    const int y = kernel.add_buffer("y", dtype, {kCodes}, Role::output);
    StageBuilder s(kernel, "y", {{"i", kCodes}});
    const auto i = std::vector{Index::variable(0)};
    s.finish(s.cast(s.mul(s.cast(s.load(x, i), ir::DType::f32), s.load(d, i)), dtype), Reduction::none, y);
    std::vector<ir::Tensor> tensors = {ir::Tensor(dtype, {kCodes}), ir::Tensor(ir::DType::f32, {kCodes}), {}};
    for (int64_t code = 0; code < kCodes; ++code) {
      tensors[0].data<uint16_t>()[code] = static_cast<uint16_t>(code);
      tensors[1].data<float>()[code] = std::array{1.0F, 1 + 0x1p-11F, 1 + 0x1p-8F, 1 + 0x1p-20F, 1 - 0x1p-9F}[code % 5];
    }
    const auto codegen = codegen::cpu_codegen(testing::host_target());
    const Schedule schedule = make_schedule(kernel, machine_of(testing::host_target()));
    testing::KernelRunner runner(*codegen, kernel, schedule, tensors);
    runner.run();
    const auto got = runner.outputs()[0], expected = interpret(kernel, tensors)[0];
    for (int64_t code = 0; code < kCodes; ++code) {
      if (std::isnan(expected.as_double(code))) EXPECT_TRUE(std::isnan(got.as_double(code))) << code;
      else EXPECT_EQ(got.data<uint16_t>()[code], expected.data<uint16_t>()[code]) << code;
    }
    // Nothing of a library may be called: generated code has none.
    EXPECT_EQ(codegen->dump({&kernel, &schedule}, "asm").find("call"), std::string::npos);
  }
}

TEST(Emitter, DepthwiseConvolution) {
  testing::ConvShape s{32, 32, 14, 14, 3, 1, 1, true};
  check(testing::convolution(s));
  s = {40, 40, 13, 13, 3, 2, 1, true};
  check(testing::convolution(s));
}

TEST(Emitter, TransposedConvolution) {
  check(testing::transposed_convolution(32, 48, 9, 2, 16));
  check(testing::transposed_convolution(20, 24, 5, 3, 16));
  check(testing::transposed_convolution(7, 5, 4, 2, 0));
}

TEST(Emitter, Prefetch) {
  auto codegen = codegen::cpu_codegen(testing::host_target());
  const Machine machine = machine_of(testing::host_target());
  auto kernel = testing::convolution({64, 32, 17, 17, 1, 1, 0});
  normalise(kernel, machine);
  for (int64_t ahead : {0, 1}) {
    const Schedule schedule = make_schedule(kernel, machine, {{"acc.ahead", ahead}});
    EXPECT_EQ(schedule.prefetch.size(), static_cast<size_t>(ahead));
    const std::string code = codegen->dump({&kernel, &schedule}, "asm");
    EXPECT_EQ(code.find("prefetcht0") != std::string::npos, ahead == 1);
  }
}

// The turns of the rows ask for the next panel, each for its part.
TEST(Emitter, PrefetchIsSharedByTurns) {
  auto codegen = codegen::cpu_codegen(testing::host_target());
  const Machine machine = machine_of(testing::host_target());
  auto kernel = testing::gemm(128, 768, 512);
  normalise(kernel, machine);
  auto prefetches = [&](int64_t next) {
    const Schedule schedule = make_schedule(kernel, machine, {{"acc.next", next}, {"acc.order", 0}, {"acc.rows", 8}});
    EXPECT_EQ(parse_schedule(kernel, print(kernel, schedule)), schedule);
    const std::string code = codegen->dump({&kernel, &schedule}, "asm");
    size_t count = 0;
    for (size_t at = 0; (at = code.find("prefetcht1", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  EXPECT_EQ(prefetches(0), 0u);
  const size_t some = prefetches(1);
  EXPECT_TRUE(some >= 1 && some <= 8) << some;
}

/// A schedule written by hand, against the interpreter.
void check_schedule(const Kernel& kernel, const std::string& text) {
  std::mt19937 random(std::random_device{}());
  auto codegen = codegen::cpu_codegen(testing::host_target());
  const auto tensors = random_tensors(kernel, random);
  const Schedule schedule = parse_schedule(kernel, text);
  ASSERT_EQ(why_illegal(kernel, schedule), "") << text;
  testing::KernelRunner runner(*codegen, kernel, schedule, tensors);
  runner.run();
  runner.run();
  const auto got = runner.outputs(), expected = interpret(kernel, tensors);
  for (size_t o = 0; o < got.size(); ++o) EXPECT_LT(relative_error(got[o], expected[o]), 3e-6) << text;
}

// The whole block is one kernel: of the expanded tensor three rows exist at a time, each computed once per strip.
TEST(Emitter, InvertedResidualWithRollingRows) {
  for (int64_t size : {14, 13, 5}) {
    const auto kernel = testing::inverted_residual(24, 80, size);
    for (const std::string strip : {"y/7:p", "y/4:p", "y/64"})
      check_schedule(kernel, "y:  " + strip +
                                 " y x/7 o/16 x:u o:v\n"
                                 "ua: @u.2 i x:u c/16:u c:v\n"
                                 "u:  @y.1 ~y y x/6 c/32 x:u c/16:u c:v (1,1,3)(2,1,1)(0,1,1)\n"
                                 "da: @d.2 fy fx:u x:u c:v\n"
                                 "d:  @y.1 y x/7 c/16 x:u c:v (1,1,1)(2,1,1)(0,1,1)\n"
                                 "pa: @y.3 c x:u o:v\n");
  }
}

TEST(Emitter, RollingRowsAsSketched) {
  check(testing::inverted_residual(24, 80, 14));
  check(testing::inverted_residual(40, 48, 13, 2));
  check(testing::inverted_residual(17, 30, 9, 2, false));
  check(testing::inverted_residual(16, 32, 12, 1, false));
}

// Blocks of a long sum add to what lies in memory.
TEST(Emitter, SumsInBlocks) {
  for (const auto& [m, n, k] : {std::array<int64_t, 3>{40, 96, 512}, {33, 70, 768}}) {
    const auto kernel = testing::gemm(m, n, k);
    check(kernel);
    Kernel normal = kernel;
    const Machine machine = machine_of(testing::host_target());
    normalise(normal, machine);
    check_schedule(normal, print(normal, make_schedule(normal, machine, {{"acc.depth", 256}})));
  }
}

TEST(Emitter, Pool) {
  check(testing::max_pool(32, 15, 3, 2, 1, 16));
  check(testing::max_pool(5, 12, 2, 2, 0, 0));
  check(testing::mean_of_pixels(40, 7, 16));
  check(testing::mean_of_pixels(10, 7, 0));
}

TEST(Emitter, RowWise) {
  check(testing::softmax(9, 128));
  check(testing::softmax(5, 77));
  check(testing::layer_norm(8, 384));
  check(testing::layer_norm(3, 50));
}

TEST(Emitter, Attention) {
  check(testing::attention(2, 24, 32, 16, false));
  check(testing::attention(3, 19, 37, 24, true));
}

TEST(Emitter, Movement) {
  check(testing::transpose(5, 18, 33));
  check(testing::elementwise(13, 35));
}

// Points may meet: the order in which they do is part of the result, whatever the schedule.
TEST(Emitter, ScatterToTheLastBit) {
  std::mt19937 random(std::random_device{}());
  auto codegen = codegen::cpu_codegen(testing::host_target());
  const Machine machine = machine_of(testing::host_target());
  for (const auto combine : {Reduction::none, Reduction::sum, Reduction::product, Reduction::max, Reduction::min})
    for (const bool per_feature : {false, true})
      for (const auto& [batch, edges, width] :
           {std::tuple{1, 40, 96}, {3, 57, 37}, {5, 30, 1}, {2, 1, 200}, {1, 9, 5}}) {
        const auto kernel = testing::scatter(batch, 7, edges, width, combine, per_feature);
        const auto tensors = random_tensors(kernel, random);
        const auto expected = interpret(kernel, tensors);
        Kernel normal = kernel;
        normalise(normal, machine);
        for (int i = 0; i < 4; ++i) {
          Point point;
          for (const auto& d : decisions(normal, machine))
            if (i > 0) point[d.name] = d.values[random() % d.values.size()];
          const Schedule schedule = make_schedule(normal, machine, point);
          const std::string text = print(normal) + print(normal, schedule);
          ASSERT_EQ(why_illegal(normal, schedule), "") << text;
          testing::KernelRunner runner(*codegen, normal, schedule, tensors);
          runner.run();
          runner.run();
          const auto got = runner.outputs();
          ASSERT_EQ(std::memcmp(got[0].raw(), expected[0].raw(), got[0].bytes()), 0) << text;
        }
      }
}

// Indices are data of all kinds: none may lead out of the buffer.
TEST(Emitter, ScatterSkipsWhatIsNoPlace) {
  const auto kernel = testing::scatter(1, 3, 6, 20, Reduction::sum);
  std::mt19937 random(1);
  auto tensors = random_tensors(kernel, random);
  const int64_t targets[] = {INT64_MAX, INT64_MIN, -1, 3, int64_t{1} << 40, 2};
  std::copy(std::begin(targets), std::end(targets), tensors[1].data<int64_t>());
  const Machine machine = machine_of(testing::host_target());
  const Schedule schedule = make_schedule(kernel, machine);
  testing::KernelRunner runner(*codegen::cpu_codegen(testing::host_target()), kernel, schedule, tensors);
  runner.run();
  const auto got = runner.outputs();
  for (int64_t n = 0; n < 3; ++n)
    for (int64_t f = 0; f < 20; ++f) {
      const float before = tensors[2].data<float>()[n * 20 + f], last = tensors[0].data<float>()[5 * 20 + f];
      EXPECT_EQ(got[0].data<float>()[n * 20 + f], n == 2 ? before + last : before);
    }
}

// What only the first of two stages reads is no constant of the second.
TEST(Emitter, BufferThatAConstantIsWrittenIntoIsNotPrepared) {
  Kernel kernel;
  kernel.name = "joined";
  const int x = kernel.add_buffer("x", DType::f32, {20}, Role::input);
  const int c = kernel.add_buffer("c", DType::f32, {5}, Role::constant);
  const int both = kernel.add_buffer("both", DType::f32, {25}, Role::temporary);
  StageBuilder first(kernel, "first", {{"i", 20}});
  first.finish(first.load(x, {first.axis(0)}), Reduction::none, both, {first.axis(0)});
  StageBuilder second(kernel, "second", {{"i", 5}});
  second.finish(second.load(c, {second.axis(0)}), Reduction::none, both, {second.axis(0) + Index(20)});
  StageBuilder y(kernel, "y", {{"i", 25}});
  y.finish(y.mul(y.load(both, {y.axis(0)}), y.load(both, {Index(24) - y.axis(0)})), Reduction::none,
           kernel.add_buffer("y", DType::f32, {25}, Role::output));
  check(kernel);
  const Schedule schedule = make_schedule(kernel, machine_of(testing::host_target()));
  const auto code = codegen::cpu_codegen(testing::host_target())->compile({{&kernel, &schedule}});
  EXPECT_TRUE(code.kernels[0].prepare_phases.empty());
}

}  // namespace
}  // namespace rooftune
