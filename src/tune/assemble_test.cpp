// Programs as assembled: which groups need no step.
#include <gtest/gtest.h>

#include "ops/op.h"
#include "runtime/executable.h"
#include "tune/testing.h"

namespace rooftune::tune {
namespace {

TEST(Assemble, WhatAConcatJoinsIsMadeInItsPlace) {
  const kernel::Machine machine = small_machine();
  const auto codegen = codegen::cpu_codegen(testing::host_target());
  for (const auto& [axis, steps] : {std::pair<int, size_t>{1, 4}, {2, 5}}) {
    ir::Graph graph = ir::parse(fmt::format(R"(graph "g" {{
  opset "" 18
  input %x: f32[1,32,6,4]
  %a: ? = Relu@14(%x) "a"
  %b: ? = Exp@13(%x) "b"
  %both: ? = Concat@13(%a, %b) "both" {{ axis = {} }}
  %y: ? = Neg@13(%both) "y"
  %z: ? = Abs@13(%a) "z"
  output %y, %z
}})",
                                            axis));
    ops::infer_types(graph);
    const ir::Graph given = graph.clone();
    const Workload work = make_workload(std::move(graph), machine);
    std::vector<Choice> choices;
    for (const Task& task : work.tasks) choices.push_back(first_choice(task, machine));
    runtime::Program program = assemble(work, choices, *codegen);
    EXPECT_EQ(program.steps.size(), steps) << "axis " << axis;
    ir::Tensor x(ir::DType::f32, {1, 32, 6, 4});
    for (int64_t i = 0; i < x.size(); ++i) x.set_double(i, std::sin(static_cast<double>(i)));
    const auto wanted = ops::evaluate(given, {x});
    const runtime::Executable executable(std::move(program));
    const auto context = executable.make_context(1);
    context->litter();
    std::vector<ir::Tensor> got;
    executable.run(*context, {x}, got);
    for (size_t o = 0; o < wanted.size(); ++o)
      for (int64_t i = 0; i < wanted[o].size(); ++i)
        ASSERT_NEAR(got[o].as_double(i), wanted[o].as_double(i), 1e-5) << "axis " << axis << " output " << o;
  }
}

}  // namespace
}  // namespace rooftune::tune
