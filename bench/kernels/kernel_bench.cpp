// Single kernels on one thread: operations per second of the analytical schedule, and of the best of N random points.
//   kernel_bench [filter] [points] [decision=value ...] [schedule|asm|llvm]
// The named decisions are taken as given in all points; "schedule", "asm" and "llvm" print the analytical schedule or its code.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>

#include "hardware/host.h"
#include "kernel/algorithms.h"
#include "kernel/space.h"
#include "tests/support/kernel_runner.h"
#include "tests/support/sample_kernels.h"

using namespace rooftune;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double median_seconds(testing::KernelRunner& runner) {
  runner.run();
  std::vector<double> times;
  const double start = now();
  while (times.size() < 5 || (now() - start < 0.05 && times.size() < 500)) {
    const double t = now();
    runner.run();
    times.push_back(now() - t);
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const std::string filter = argc > 1 ? argv[1] : "";
  const int points = argc > 2 ? std::atoi(argv[2]) : 0;
  kernel::Point given;
  std::string shown;
  for (int i = 3; i < argc; ++i) {
    const std::string text = argv[i];
    if (text == "asm" || text == "llvm" || text == "schedule") shown = text;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) given[text.substr(0, equals)] = std::atoll(text.c_str() + equals + 1);
  }
  const auto target = testing::host_target();
  auto codegen = codegen::cpu_codegen(target);
  kernel::Machine machine;
  machine.lanes = target.vector_bits / 32;
  machine.registers = target.vector_registers;
  machine.fmas = hardware::detect_host().vector_fmas();
  using testing::ConvShape;
  std::vector<std::pair<std::string, kernel::Kernel>> kernels;
  auto add = [&](const std::string& name, kernel::Kernel k) {
    if (name.find(filter) != std::string::npos) kernels.emplace_back(name, std::move(k));
  };
  add("gemm 128x768x768", testing::gemm(128, 768, 768));
  add("gemm 128x3072x768", testing::gemm(128, 3072, 768));
  add("gemm 128x768x3072", testing::gemm(128, 768, 3072));
  add("gemm 128x384x384", testing::gemm(128, 384, 384));
  add("gemm 128x50257x768", testing::gemm(128, 50257, 768));
  add("gemm 1x1000x2048", testing::gemm(1, 1000, 2048));
  add("conv3 56 64", testing::convolution({64, 64, 56, 56, 3, 1, 1}));
  add("conv3 28 128", testing::convolution({128, 128, 28, 28, 3, 1, 1}));
  add("conv3 14 256", testing::convolution({256, 256, 14, 14, 3, 1, 1}));
  add("conv3 7 512", testing::convolution({512, 512, 7, 7, 3, 1, 1}));
  add("conv3 s2 56 128", testing::convolution({128, 128, 56, 56, 3, 2, 1}));
  add("conv3 256 64-32", testing::convolution({64, 32, 256, 256, 3, 1, 1}));
  add("conv3 256 32", testing::convolution({32, 32, 256, 256, 3, 1, 1}));
  add("conv3 128 64", testing::convolution({64, 64, 128, 128, 3, 1, 1}));
  add("conv3 32 512-256", testing::convolution({512, 256, 32, 32, 3, 1, 1}));
  add("conv3 16 512", testing::convolution({512, 512, 16, 16, 3, 1, 1}));
  add("conv1 56 64-256", testing::convolution({64, 256, 56, 56, 1, 1, 0}));
  add("conv1 56 256-64", testing::convolution({256, 64, 56, 56, 1, 1, 0}));
  add("conv1 14 1024-256", testing::convolution({1024, 256, 14, 14, 1, 1, 0}));
  add("conv1 7 512-2048", testing::convolution({512, 2048, 7, 7, 1, 1, 0}));
  add("conv1 s2 56 256-512", testing::convolution({256, 512, 56, 56, 1, 2, 0}));
  add("conv7 224 3-64", testing::convolution({3, 64, 224, 224, 7, 2, 3, false, 16, false}));
  add("dw3 112 32", testing::convolution({32, 32, 112, 112, 3, 1, 1, true}));
  add("dw3 28 192", testing::convolution({192, 192, 28, 28, 3, 1, 1, true}));
  add("dw3 s2 56 144", testing::convolution({144, 144, 56, 56, 3, 2, 1, true}));
  add("maxpool 112 64", testing::max_pool(64, 112, 3, 2, 1, 16));
  add("softmax 1536x128", testing::softmax(1536, 128));
  add("layernorm 128x768", testing::layer_norm(128, 768));
  add("attention 12 128", testing::attention(12, 128, 128, 64, false));
  add("attention causal 12 128", testing::attention(12, 128, 128, 64, true));
  add("transpose 12 128 64", testing::transpose(12, 128, 64));
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (auto& [name, original] : kernels) {
    const double operations = kernel::cost(original).operations;  // of the direct algorithm
    for (const auto& algorithm : kernel::algorithms()) {
      const auto kernel = algorithm.rewrite(original, machine);
      if (!kernel) continue;
      std::vector<ir::Tensor> tensors(kernel->buffers.size());
      for (size_t i = 0; i < tensors.size(); ++i) {
        const auto& buffer = kernel->buffers[i];
        if (buffer.role != kernel::Role::input && buffer.role != kernel::Role::constant) continue;
        tensors[i] = ir::Tensor(buffer.dtype, buffer.shape);
        for (int64_t e = 0; e < tensors[i].size(); ++e) tensors[i].data<float>()[e] = normal(random);
      }
      double best = 1e9, first = 0, compile = 0;
      std::string best_text;
      for (int p = 0; p <= points; ++p) {
        kernel::Point point = given;
        if (p > 0)
          for (const auto& d : kernel::decisions(*kernel, machine, given))
            if (!given.contains(d.name)) point[d.name] = d.values[random() % d.values.size()];
        const auto schedule = kernel::make_schedule(*kernel, machine, point);
        if (p == 0 && shown == "schedule") std::puts(print(*kernel, schedule).c_str());
        else if (p == 0 && !shown.empty()) std::puts(codegen->dump({&*kernel, &schedule}, shown).c_str());
        const double t = now();
        testing::KernelRunner runner(*codegen, *kernel, schedule, tensors);
        if (p == 0) compile = now() - t;
        const double seconds = median_seconds(runner);
        if (p == 0) first = seconds;
        if (seconds < best) best = seconds, best_text = print(*kernel, schedule);
      }
      std::printf("%-24s %-10s %9.1f us  %6.1f GFLOP/s  compile %5.0f ms\n", name.c_str(), algorithm.name.c_str(),
                  first * 1e6, operations / first / 1e9, compile * 1e3);
      if (points > 0)
        std::printf("best of %d: %9.1f us %6.1f GFLOP/s\n%s\n", points, best * 1e6, operations / best / 1e9,
                    best_text.c_str());
      std::fflush(stdout);
    }
  }
}
