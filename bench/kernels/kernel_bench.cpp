// Single kernels on one thread, the ways to compute them in turns (A B C A B C …): operations per second of every
// algorithm's analytical schedule, and of the best of N random points.
//   kernel_bench [filter] [points] [decision=value,... ...] [cold] [schedule|asm|llvm]
// The named decisions are taken as given in all points, every one of several values in a way of its own; "schedule", "asm"
// and "llvm" print the analytical schedule or its code. "cold": weights come from beyond the second-level cache, as they do
// in a model. Times are those that the thread ran.
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <sstream>

#include "hardware/host.h"
#include "kernel/algorithms.h"
#include "kernel/space.h"
#include "tests/support/kernel_runner.h"
#include "tests/support/sample_kernels.h"

using namespace rooftune;

namespace {

/// Seconds that this thread has run: others that take turns with it do not count.
double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// One algorithm and schedule, in as many copies as keep their weights out of the cache.
struct Way {
  std::string name, schedule;
  std::vector<std::unique_ptr<testing::KernelRunner>> copies;
  std::vector<double> times;
  double compile = 0;

  void run() {
    const double t = now();
    copies[times.size() % copies.size()]->run();
    times.push_back(now() - t);
  }
  double median() {
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
    return times[times.size() / 2];
  }
};

/// All points that take each decision at one of its values.
std::vector<kernel::Point> product(const std::map<std::string, std::vector<int64_t>>& given) {
  std::vector<kernel::Point> points = {{}};
  for (const auto& [name, values] : given) {
    std::vector<kernel::Point> next;
    for (const auto& point : points)
      for (int64_t v : values) next.push_back(point), next.back()[name] = v;
    points = next;
  }
  return points;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string filter = argc > 1 ? argv[1] : "";
  const int points = argc > 2 ? std::atoi(argv[2]) : 0;
  std::map<std::string, std::vector<int64_t>> given;
  std::string shown;
  bool cold = false;
  for (int i = 3; i < argc; ++i) {
    const std::string text = argv[i];
    if (text == "asm" || text == "llvm" || text == "schedule") shown = text;
    if (text == "cold") cold = true;
    const size_t equals = text.find('=');
    if (equals == std::string::npos) continue;
    std::stringstream values(text.substr(equals + 1));
    for (std::string v; std::getline(values, v, ',');) given[text.substr(0, equals)].push_back(std::stoll(v));
  }
  const auto target = testing::host_target();
  auto codegen = codegen::cpu_codegen(target);
  kernel::Machine machine;
  machine.lanes = target.vector_bits / 32;
  machine.registers = target.vector_registers;
  machine.tiles = std::find(target.extensions.begin(), target.extensions.end(), "amx-tile") != target.extensions.end();
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
  for (const auto type : {ir::DType::bf16, ir::DType::i8}) {
    const std::string of = type == ir::DType::i8 ? "i8" : "bf16";
    auto gemm = [&](int64_t m, int64_t n, int64_t k) {
      add(fmt::format("gemm {} {}x{}x{}", of, m, n, k), testing::dot_gemm(m, n, k, type, type));
    };
    gemm(128, 768, 768), gemm(128, 3072, 768), gemm(128, 768, 3072), gemm(128, 384, 384), gemm(196, 256, 1024);
  }
  auto conv16 = [&](const std::string& name, ConvShape shape) {
    shape.block = 32;
    add("bf16 " + name, testing::stored_as(testing::convolution(shape), ir::DType::bf16));
  };
  conv16("conv3 56 64", {64, 64, 56, 56, 3, 1, 1}), conv16("conv3 28 128", {128, 128, 28, 28, 3, 1, 1});
  conv16("conv3 14 256", {256, 256, 14, 14, 3, 1, 1}), conv16("conv3 7 512", {512, 512, 7, 7, 3, 1, 1});
  conv16("conv3 256 64-32", {64, 32, 256, 256, 3, 1, 1}), conv16("conv3 s2 56 128", {128, 128, 56, 56, 3, 2, 1});
  conv16("conv1 56 64-256", {64, 256, 56, 56, 1, 1, 0}), conv16("conv1 56 256-64", {256, 64, 56, 56, 1, 1, 0});
  conv16("conv1 14 1024-256", {1024, 256, 14, 14, 1, 1, 0}), conv16("conv1 7 512-2048", {512, 2048, 7, 7, 1, 1, 0});
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
  add("conv3 s2 224 3-32", testing::convolution({3, 32, 224, 224, 3, 2, 1, false, 16, false}));
  add("conv7 224 3-64", testing::convolution({3, 64, 224, 224, 7, 2, 3, false, 16, false}));
  add("dw3 112 32", testing::convolution({32, 32, 112, 112, 3, 1, 1, true}));
  add("dw3 28 192", testing::convolution({192, 192, 28, 28, 3, 1, 1, true}));
  add("dw3 s2 56 144", testing::convolution({144, 144, 56, 56, 3, 2, 1, true}));
  add("inverted 112 16-96", testing::inverted_residual(16, 96, 112));
  add("inverted 56 24-144", testing::inverted_residual(24, 144, 56));
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
    std::vector<Way> ways;
    for (const auto& algorithm : kernel::algorithms()) {
      const auto kernel = algorithm.rewrite(original, machine);
      if (!kernel) continue;
      std::vector<ir::Tensor> tensors(kernel->buffers.size());
      size_t constant_bytes = 1;
      for (size_t i = 0; i < tensors.size(); ++i) {
        const auto& buffer = kernel->buffers[i];
        if (buffer.role != kernel::Role::input && buffer.role != kernel::Role::constant) continue;
        tensors[i] = ir::Tensor(buffer.dtype, buffer.shape);
        if (buffer.role == kernel::Role::constant) constant_bytes += tensors[i].bytes();
        for (int64_t e = 0; e < tensors[i].size(); ++e)
          tensors[i].set_double(e, buffer.dtype == ir::DType::i8 ? std::round(40 * normal(random)) : normal(random));
      }
      const size_t copies = cold ? std::clamp<size_t>((size_t{64} << 20) / constant_bytes, 2, 8) : 1;
      std::vector<kernel::Point> tried;
      for (const auto& point : product(given)) {
        const auto met = kernel::decisions(*kernel, machine, point);
        const bool known = std::all_of(point.begin(), point.end(), [&](const auto& p) {
          return std::any_of(met.begin(), met.end(), [&](const auto& d) { return d.name == p.first; });
        });
        if (known || ways.empty() || ways.back().name != algorithm.name) tried.push_back(point);
      }
      for (int p = 0; p < points; ++p) {
        kernel::Point point = tried[0];
        for (const auto& d : kernel::decisions(*kernel, machine, point))
          if (!given.contains(d.name)) point[d.name] = d.values[random() % d.values.size()];
        tried.push_back(point);
      }
      for (const auto& point : tried) {
        const auto schedule = kernel::make_schedule(*kernel, machine, point);
        if (shown == "schedule") std::puts(print(*kernel, schedule).c_str());
        else if (!shown.empty()) std::puts(codegen->dump({&*kernel, &schedule}, shown).c_str());
        Way way;
        way.name = algorithm.name;
        for (const auto& [decision, value] : point)
          if (given.contains(decision)) way.name += " " + decision + "=" + std::to_string(value);
        way.schedule = print(*kernel, schedule);
        if (std::any_of(ways.begin(), ways.end(), [&](const Way& w) { return w.schedule == way.schedule; })) continue;
        const double t = now();
        for (size_t i = 0; i < copies; ++i)
          way.copies.push_back(std::make_unique<testing::KernelRunner>(*codegen, *kernel, schedule, tensors));
        way.compile = (now() - t) / static_cast<double>(copies);
        ways.push_back(std::move(way));
      }
    }
    const double start = now(), most = 0.15 * static_cast<double>(ways.size());
    for (size_t round = 0; round < 8 || (now() - start < most && round < 1000); ++round)
      for (auto& way : ways) way.run();
    const double first = ways[0].median();
    for (auto& way : ways)
      if (points == 0 || way.median() <= first)
        std::printf("%-24s %-40s %9.1f us  %6.1f GFLOP/s  %5.3f  compile %5.0f ms\n%s", name.c_str(), way.name.c_str(),
                    way.median() * 1e6, operations / way.median() / 1e9, way.median() / first, way.compile * 1e3,
                    points > 0 ? way.schedule.c_str() : "");
    std::fflush(stdout);
  }
}
