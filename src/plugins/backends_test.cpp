// A plug-in's code generator against the interpreter, as our own is, and what happens when one answers nonsense.
#include "plugins/testing.h"
#include "tests/support/codegen_check.h"

namespace rooftune::plugins {
namespace {

using testing::check_codegen;

class Backends : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    load(built("example_backend"));
    load(built("plugin_odd"));
  }
  static std::unique_ptr<codegen::Codegen> make(const std::string& name) {
    return codegen::make_codegen(name, testing::host_target());
  }
};

/// Kernels of every kind. The schedules change nothing in this code: one random one is enough.
TEST_F(Backends, TheExampleComputesWhatTheInterpreterDoes) {
  const auto codegen = make("portable_c");
  const auto check = [&](const kernel::Kernel& kernel, const std::string& algorithm = "direct") {
    check_codegen(*codegen, kernel, 1, algorithm);
  };
  check(testing::gemm(7, 50, 33));
  check(testing::gemm(13, 5, 9, false));
  check(testing::batched_gemm(3, 17, 40, 24, true));
  check(testing::convolution({16, 48, 9, 11, 3, 1, 1}, true));
  check(testing::convolution({24, 40, 7, 7, 3, 2, 1}));
  check(testing::convolution({32, 48, 13, 10, 3, 1, 1}, true), "winograd4");
  check(testing::convolution({40, 40, 13, 13, 3, 2, 1, true}));
  check(testing::transposed_convolution(20, 24, 5, 3, 16));
  check(testing::max_pool(32, 15, 3, 2, 1, 16));
  check(testing::mean_of_pixels(10, 7, 0));
  check(testing::softmax(5, 77));
  check(testing::layer_norm(3, 50));
  check(testing::attention(3, 19, 37, 24, true));
  check(testing::transpose(5, 18, 33));
  check(testing::elementwise(13, 35));
  for (const auto combine : {kernel::Reduction::none, kernel::Reduction::sum, kernel::Reduction::max})
    check(testing::scatter(3, 7, 30, 20, combine));
}

TEST_F(Backends, TheExampleShowsItsCode) {
  auto kernel = testing::gemm(4, 8, 16);
  const kernel::Machine machine = testing::machine_of(testing::host_target());
  kernel::normalise(kernel, machine);
  const auto schedule = kernel::make_schedule(kernel, machine);
  const auto codegen = make("portable_c");
  const std::string code = codegen->dump({&kernel, &schedule}, "llvm");
  expect_has(code, "void k0_0(void* const* buffers");
  expect_has(code, "for (int64_t i2 = 0; i2 < 16; ++i2)");
  EXPECT_EQ(codegen->version(), "portable_c-1.0");
  EXPECT_FALSE(codegen->follows_schedules());
  // Its own compiler's failure is told.
  setenv("CC", "/nonexistent/cc", 1);
  expect_has(message_of<EnvironmentError>([&] { codegen->compile({{&kernel, &schedule}}); }),
             "code generator portable_c of plug-in example_backend 1.0 (libexample_backend.so) failed: the C compiler "
             "'/nonexistent/cc' cannot be started");
  unsetenv("CC");
}

// Plug-ins do not know of axes that end early: they would compute what is not there.
TEST_F(Backends, KernelsOfFreeDimensionsAreNotTheirs) {
  auto kernel = testing::gemm(4, 8, 16);
  const kernel::Machine machine = testing::machine_of(testing::host_target());
  for (auto& stage : kernel.stages) stage.axes[0].live = kernel.parameter(ir::Dim::symbol("rows", 1, 4));
  kernel::normalise(kernel, machine);
  const auto schedule = kernel::make_schedule(kernel, machine);
  expect_has(message_of<InputError>([&] { make("portable_c")->compile({{&kernel, &schedule}}); }),
             "give the free dimensions as numbers");
}

TEST_F(Backends, BadAnswersAreRefused) {
  auto kernel = testing::elementwise(3, 5);
  const kernel::Machine machine = testing::machine_of(testing::host_target());
  kernel::normalise(kernel, machine);
  const auto schedule = kernel::make_schedule(kernel, machine);
  const auto compile = [&](const std::string& name) { (void)make(name)->compile({{&kernel, &schedule}}); };
  expect_has(message_of<EnvironmentError>([&] { compile("no_code"); }), "code generator no_code of plug-in odd");
  expect_has(message_of<EnvironmentError>([&] { compile("no_code"); }), "no such compiler");
  expect_has(message_of<InputError>([&] { compile("bad_answer"); }), "field 'phases' has the wrong type");
  expect_has(message_of<InputError>([&] { compile("too_few"); }), "it must describe 1 kernels");
  expect_has(make("no_code")->dump({&kernel, &schedule}, "asm"), "shows no code");
  expect_has(message_of<InputError>([&] { make("other"); }),
             "there is no code generator 'other'; there are bad_answer, cpu");
}

}  // namespace
}  // namespace rooftune::plugins
