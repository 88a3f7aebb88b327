#include "runtime/executable.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "base/error.h"
#include "runtime/testing/programs.h"

namespace rooftune::runtime {
namespace {

using testing::Builder;
using testing::Everything;
using testing::kMatrixBytes;
using testing::random_matrix;
using testing::relative_error;
using testing::scaled;
using testing::to_matrix;
using Tensors = std::vector<ir::Tensor>;

ir::Tensor run_one(const Executable& executable, Context& context, const ir::Tensor& x) {
  Tensors outputs;
  executable.run(context, {x}, outputs);
  return outputs.at(0);
}

bool same_bytes(const ir::Tensor& a, const ir::Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const InputError& e) {
    return e.what();
  }
  return "no InputError";
}

TEST(Executable, ComputesTheProgram) {
  Everything everything;
  const Executable executable(everything.program);
  for (int threads : {1, 2, 3, 5}) {
    const auto context = executable.make_context(threads);
    EXPECT_EQ(context->threads(), threads);
    for (int i = 0; i < 5; ++i) {
      const ir::Tensor x = random_matrix();
      EXPECT_LT(relative_error(run_one(executable, *context, x), everything.expected(x)), 1e-5);
    }
  }
}

TEST(Executable, GivesTheSameBitsForAnyThreadsAndRun) {
  const Executable executable(Everything().program);
  const ir::Tensor x = random_matrix();
  const auto first = executable.make_context(1);
  const ir::Tensor expected = run_one(executable, *first, x);
  for (int threads : {1, 2, 4}) {
    const auto context = executable.make_context(threads);
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(same_bytes(run_one(executable, *context, x), expected));
      run_one(executable, *context, random_matrix());  // whatever the last run left must not matter
    }
  }
}

TEST(Executable, PreparesConstantsOnce) {
  Everything everything;
  const Executable executable(everything.program);
  const ir::Tensor x = random_matrix();
  const testing::Matrix expected = everything.expected(x);
  std::memset(everything.w.raw(), 0, everything.w.bytes());  // shared with the program, read by the prepare phase only
  const auto context = executable.make_context(2);
  EXPECT_LT(relative_error(run_one(executable, *context, x), expected), 1e-5);
}

TEST(Executable, PreparesOnNoMoreThreadsThanItIsTold) {
  Builder b;
  b.step(Builder::note_threads, {-1, b.output()});
  const Program program = b.build();
  const auto threads_used = [&](int threads) {
    const Executable executable(program, threads);
    const auto context = executable.make_context(1);
    Tensors outputs;
    executable.run(*context, {}, outputs);
    std::set<uint64_t> places;
    for (int64_t n = 0; n < testing::kColumns; ++n) {
      uint64_t place;
      std::memcpy(&place, outputs[0].raw() + n * 8, 8);
      places.insert(place);
    }
    return places.size();
  };
  EXPECT_EQ(threads_used(1), 1u);
  EXPECT_EQ(threads_used(3), 3u);
}

TEST(Executable, ConcurrentRunsWithTheirOwnContextsAgree) {
  const Executable executable(Everything().program);
  constexpr int kCallers = 4;
  Tensors inputs, expected;
  const auto context = executable.make_context(1);
  for (int i = 0; i < kCallers; ++i) {
    inputs.push_back(random_matrix());
    expected.push_back(run_one(executable, *context, inputs.back()));
  }
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < kCallers; ++c)
    callers.emplace_back([&, c] {
      const auto own = executable.make_context(1 + c % 2);
      for (int i = 0; i < 50; ++i) {
        const auto which = static_cast<size_t>((c + i) % kCallers);
        if (!same_bytes(run_one(executable, *own, inputs[which]), expected[which])) ++wrong;
      }
    });
  for (auto& t : callers) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Executable, WritesIntoGivenOutputsInPlace) {
  Everything everything;
  const Executable executable(everything.program);
  const auto context = executable.make_context(1);
  const ir::Tensor x = random_matrix();
  Tensors outputs{random_matrix()};
  const uint8_t* memory = outputs[0].raw();
  executable.run(*context, {x}, outputs);
  EXPECT_EQ(outputs[0].raw(), memory);
  EXPECT_LT(relative_error(outputs[0], everything.expected(x)), 1e-5);
}

TEST(Executable, TakesUnalignedInputsAndOutputs) {
  Builder b;
  const int x = b.input(), y = b.output(), flag = b.slot(Slot::Kind::output, {1}, ir::DType::i32);
  b.step(Builder::scale, {x, y});
  b.step(Builder::check_alignment, {x, flag});
  const Executable executable(b.build());
  const auto context = executable.make_context(1);
  const ir::Tensor aligned = random_matrix();
  const auto shifted = [](ir::DType dtype, const std::vector<int64_t>& shape) {
    return ir::Tensor(dtype, shape, ir::allocate(testing::kMatrixBytes + 64), 4);
  };
  ir::Tensor in = shifted(ir::DType::f32, aligned.shape());
  std::memcpy(in.raw(), aligned.raw(), aligned.bytes());
  Tensors outputs{shifted(ir::DType::f32, aligned.shape()), shifted(ir::DType::i32, {1})};
  executable.run(*context, {in}, outputs);
  EXPECT_LT(relative_error(outputs[0], scaled(to_matrix(aligned))), 1e-6);
  EXPECT_EQ(*outputs[1].data<int>(), 1) << "a kernel saw memory that is not 64-byte aligned";
}

TEST(Executable, ComputesInPlaceThroughAnAlias) {
  Builder b;
  const int x = b.input(), t = b.temporary(), same = b.alias(t), y = b.output();
  b.step(Builder::scale, {x, t});
  b.step(Builder::scale, {t, same});
  b.step(Builder::scale, {same, y});
  const Program program = b.build();
  EXPECT_EQ(program.arena_bytes, (testing::kMatrixBytes + 63) / 64 * 64);
  const Executable executable(program);
  const ir::Tensor in = random_matrix();
  EXPECT_LT(relative_error(run_one(executable, *executable.make_context(2), in), scaled(scaled(scaled(to_matrix(in))))),
            1e-6);
}

TEST(Executable, OutputsMayBeInputsConstantsTemporariesOrEachOther) {
  Builder b;
  const ir::Tensor c = random_matrix();
  const int x = b.input(), t = b.temporary(), y = b.output();
  const int constant = b.constant(c);
  b.alias(x, Slot::Kind::output);
  b.alias(t, Slot::Kind::output);
  b.alias(y, Slot::Kind::output);
  b.program.outputs.push_back(constant);
  b.program.outputs.push_back(x);
  b.program.outputs.push_back(y);
  b.step(Builder::scale, {x, t});
  b.step(Builder::scale, {t, y});
  const Executable executable(b.build());
  const auto context = executable.make_context(1);
  const ir::Tensor in = random_matrix();
  const testing::Matrix once = scaled(to_matrix(in)), twice = scaled(once);
  Tensors outputs;
  executable.run(*context, {in}, outputs);
  ASSERT_EQ(outputs.size(), 7u);
  EXPECT_LT(relative_error(outputs[0], twice), 1e-6);
  EXPECT_TRUE(same_bytes(outputs[1], in));
  EXPECT_LT(relative_error(outputs[2], once), 1e-6);
  EXPECT_TRUE(same_bytes(outputs[3], outputs[0]));
  EXPECT_TRUE(same_bytes(outputs[4], c));
  EXPECT_TRUE(same_bytes(outputs[5], in));
  EXPECT_TRUE(same_bytes(outputs[6], outputs[0]));
}

TEST(Executable, RunsReferenceStepsBetweenKernels) {
  Builder b;
  const ir::Tensor c = random_matrix();
  const int x = b.input(), t = b.temporary(), s = b.temporary(), y = b.output(), constant = b.constant(c);
  b.step(Builder::scale, {x, t});
  b.reference("Sub", {t, constant}, {s});
  b.step(Builder::scale, {s, y});
  const Executable executable(b.build());
  const auto context = executable.make_context(2);
  const ir::Tensor in = random_matrix();
  EXPECT_LT(relative_error(run_one(executable, *context, in),
                           scaled(testing::difference(scaled(to_matrix(in)), to_matrix(c)))),
            1e-6);
}

TEST(Executable, CarriesDynamicTensorsBetweenReferenceSteps) {
  Builder b;
  const int a = b.dynamic(Slot::Kind::input, ir::DType::f32, {-1, 3}),
            other = b.dynamic(Slot::Kind::input, ir::DType::f32),
            sum = b.dynamic(Slot::Kind::temporary, ir::DType::f32), y = b.dynamic(Slot::Kind::output, ir::DType::f32);
  b.reference("Add", {a, other}, {sum});
  b.reference("Add", {sum, sum}, {y});
  const Executable executable(b.build());
  const auto context = executable.make_context(1);
  for (int64_t rows : {1, 4, 2}) {
    const ir::Tensor p = testing::random_tensor({rows, 3}), q = testing::random_tensor({rows, 3});
    Tensors outputs;
    executable.run(*context, {p, q}, outputs);
    ASSERT_EQ(outputs[0].shape(), p.shape());
    for (int64_t i = 0; i < p.size(); ++i)
      EXPECT_NEAR(outputs[0].data<float>()[i], 2 * (p.data<float>()[i] + q.data<float>()[i]), 1e-5);
  }
  Tensors outputs;
  EXPECT_EQ(message_of([&] {
              executable.run(*context, {testing::random_tensor({3, 2}), testing::random_tensor({3, 2})}, outputs);
            }),
            "input 'in0' is f32[3,2]: a f32[?,3] is expected");
}

TEST(Executable, AnOutputMayLieInAnInput) {
  Builder b;
  const int x = b.input(), doubled = b.output(), rest = b.output(), same = b.alias(x, Slot::Kind::output);
  b.step(Builder::scale, {x, doubled});
  b.step(Builder::subtract, {x, doubled, rest});
  const Executable executable(b.build());
  const auto context = executable.make_context(1);
  ASSERT_EQ(executable.program().outputs.back(), same);
  for (const size_t offset : {size_t{0}, size_t{64}, kMatrixBytes / 64 * 64}) {  // all aligned
    const auto memory = ir::allocate(2 * kMatrixBytes + 64);
    const ir::Tensor values = random_matrix();
    const ir::Tensor in(ir::DType::f32, values.shape(), memory), out(ir::DType::f32, values.shape(), memory, offset);
    std::memcpy(memory->data(), values.raw(), values.bytes());
    Tensors outputs{out, ir::Tensor(), ir::Tensor()};
    executable.run(*context, {in}, outputs);
    EXPECT_EQ(outputs[0].raw(), out.raw());
    EXPECT_LT(relative_error(outputs[0], scaled(to_matrix(values))), 1e-6);
    EXPECT_LT(relative_error(outputs[1], testing::difference(to_matrix(values), scaled(to_matrix(values)))), 1e-6);
    EXPECT_TRUE(same_bytes(outputs[2], values));
  }
  const ir::Tensor shared = random_matrix();
  Tensors outputs{shared, shared, ir::Tensor()};
  EXPECT_EQ(message_of([&] { executable.run(*context, {random_matrix()}, outputs); }),
            "outputs 'out1' and 'out2' were given the same memory: each needs its own");
}

TEST(Executable, RefusesWrongInputsByName) {
  const Executable executable(Everything().program);
  const auto context = executable.make_context(1);
  Tensors outputs;
  EXPECT_EQ(message_of([&] { executable.run(*context, {}, outputs); }), "0 inputs were given, the model takes 1 (in0)");
  EXPECT_EQ(message_of([&] { executable.run(*context, {testing::random_tensor({24, 37})}, outputs); }),
            "input 'in0' is f32[24,37]: a f32[37,24] is expected");
  EXPECT_EQ(message_of([&] { executable.run(*context, {ir::Tensor(ir::DType::i64, {37, 24})}, outputs); }),
            "input 'in0' is i64[37,24]: a f32[37,24] is expected");
  EXPECT_EQ(message_of([&] { executable.run(*context, {ir::Tensor()}, outputs); }),
            "input 'in0' is missing: a f32[37,24] is expected");
  outputs = {testing::random_tensor({2})};
  EXPECT_EQ(message_of([&] { executable.run(*context, {random_matrix()}, outputs); }),
            "output 'out7' is f32[2]: a f32[37,24] is expected");
  outputs.resize(3);
  EXPECT_EQ(message_of([&] { executable.run(*context, {random_matrix()}, outputs); }),
            "3 outputs were given, the model has 1");
  EXPECT_EQ(message_of([&] { executable.make_context(0); }), "0 threads were asked for; 1 to 1024 are possible");
  Tensors fresh;
  executable.run(*context, {random_matrix()}, fresh);  // still usable
}

TEST(Executable, RefusesInconsistentPrograms) {
  int number = 0;
  const auto refused = [&](const std::function<void(Builder&)>& spoil) {
    Builder b;
    const int x = b.input(), t = b.temporary(), y = b.output();
    b.step(Builder::scale, {x, t});
    b.step(Builder::scale, {t, y});
    b.build();
    spoil(b);
    EXPECT_THROW(Executable{b.program}, InternalError) << "case " << number;
    ++number;
  };
  refused([](Builder& b) { b.program.slots[0].layout = kernel::Layout::blocked({37, 24}, {0, 1}, {{0, 4}}); });
  refused([](Builder& b) { b.program.slots[2].layout = kernel::Layout::blocked({37, 24}, {1, 0}, {}); });
  refused([](Builder& b) { b.program.steps[0].slots[1] = 77; });
  refused([](Builder& b) { b.program.steps[0].slots.pop_back(); });
  refused([](Builder& b) { b.program.slots[1].bytes -= 4; });
  refused([](Builder& b) { b.program.slots[1].dynamic = true; });
  refused([](Builder& b) { b.program.steps[0].kind = Step::Kind::reference; });
  refused([](Builder& b) { b.program.outputs.clear(); });
  refused([](Builder& b) { b.program.code[0].kernels[0].phases[0].symbol = "absent"; });
  refused([](Builder& b) { b.program.arena_bytes = 0; });
  refused([](Builder& b) { b.program.slots[1].offset = 4; });
  refused([](Builder& b) { b.program.steps[1].kernel = 77; });
  refused([](Builder& b) { b.constant(ir::Tensor(ir::DType::f32, {3})), b.program.slots.back().bytes = 400; });
  refused([](Builder& b) { b.program.slots[1].alias_of = 1; });
}

TEST(Executable, AContextRunsOneAtATime) {
  const Executable executable(Everything().program);
  const auto context = executable.make_context(1);
  std::atomic<int> refused{0}, finished{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        try {
          run_one(executable, *context, random_matrix());
          ++finished;
        } catch (const InputError&) {
          ++refused;
        }
      }
    });
  for (auto& t : callers) t.join();
  EXPECT_EQ(refused + finished, 900);
  EXPECT_GT(finished, 0);
  run_one(executable, *context, random_matrix());
}

TEST(Executable, ProfilesEveryStep) {
  Everything everything;
  const Executable executable(everything.program);
  const auto context = executable.make_context(1);
  const ir::Tensor x = random_matrix();
  Tensors outputs;
  const std::vector<StepTime> times = executable.profile(*context, {x}, outputs);
  ASSERT_EQ(times.size(), everything.program.steps.size());
  for (size_t i = 0; i < times.size(); ++i) {
    EXPECT_EQ(times[i].name, everything.program.steps[i].name);
    EXPECT_GT(times[i].milliseconds, 0);
  }
  EXPECT_LT(relative_error(outputs[0], everything.expected(x)), 1e-5);
}

}  // namespace
}  // namespace rooftune::runtime
