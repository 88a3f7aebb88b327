// A run allocates nothing once its outputs are given. Every way to get heap memory is counted: malloc and its kin are
// defined here and hand on to the C library's own; a sanitizer, which wants them for itself, tells us by a hook.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "runtime/executable.h"
#include "runtime/testing/programs.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RT_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RT_SANITIZED 1
#endif

#ifdef RT_SANITIZED
#include <sanitizer/allocator_interface.h>
#endif

namespace {
std::atomic<int64_t> allocations{0};
}

#ifdef RT_SANITIZED
static const int hook_installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { allocations.fetch_add(1, std::memory_order_relaxed); },
    [](const volatile void*) {});
#else
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void* malloc(size_t bytes) { return ++allocations, __libc_malloc(bytes); }
void* calloc(size_t count, size_t bytes) { return ++allocations, __libc_calloc(count, bytes); }
void* realloc(void* p, size_t bytes) { return ++allocations, __libc_realloc(p, bytes); }
void* aligned_alloc(size_t alignment, size_t bytes) { return ++allocations, __libc_memalign(alignment, bytes); }
int posix_memalign(void** p, size_t alignment, size_t bytes) {
  ++allocations;
  *p = __libc_memalign(alignment, bytes);
  return *p ? 0 : 12;
}
}
#endif

namespace rooftune::runtime {
namespace {

TEST(SteadyState, RunsAllocateNothing) {
  const testing::Everything everything;
  const Executable executable(everything.program);
  for (int threads : {1, 3}) {
    const auto context = executable.make_context(threads);
    const std::vector<ir::Tensor> inputs{testing::random_matrix()};
    std::vector<ir::Tensor> outputs{ir::Tensor(ir::DType::f32, {testing::kRows, testing::kColumns})};
    executable.run(*context, inputs, outputs);
    const int64_t before = allocations;
    for (int i = 0; i < 100; ++i) executable.run(*context, inputs, outputs);
    EXPECT_EQ(allocations - before, 0) << threads << " threads";
    EXPECT_LT(testing::relative_error(outputs[0], everything.expected(inputs[0])), 1e-5);
  }
}

TEST(SteadyState, NorDoRunsOnUnalignedTensorsAfterTheFirst) {
  const testing::Everything everything;
  const Executable executable(everything.program);
  const auto context = executable.make_context(2);
  const std::vector<int64_t> shape{testing::kRows, testing::kColumns};
  const auto shifted = [&] { return ir::Tensor(ir::DType::f32, shape, ir::allocate(testing::kMatrixBytes + 64), 8); };
  const std::vector<ir::Tensor> inputs{shifted()};
  for (int64_t i = 0; i < inputs[0].size(); ++i)
    const_cast<ir::Tensor&>(inputs[0]).data<float>()[i] = static_cast<float>(i % 7) - 3;
  std::vector<ir::Tensor> outputs{shifted()};
  executable.run(*context, inputs, outputs);
  const int64_t before = allocations;
  for (int i = 0; i < 10; ++i) executable.run(*context, inputs, outputs);
  EXPECT_EQ(allocations - before, 0);
}

TEST(SteadyState, TheCountingWorks) {
  const int64_t before = allocations;
  std::vector<double>* volatile v = new std::vector<double>(10);
  delete v;
  EXPECT_GE(allocations - before, 2);
}

}  // namespace
}  // namespace rooftune::runtime
