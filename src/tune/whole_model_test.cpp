// Whole models of tuned kernels: what is refused, how code generation is stopped, what programs share.
#include <gtest/gtest.h>

#include "tune/testing.h"
#include "tune/tuner.h"
#include "tune/whole_model.h"

namespace rooftune::tune {
namespace {

TEST_F(Real, TheWholeModelRefusesWhatIsSlowerOrUnproven) {
  std::vector<Choice> start = untuned(work, machine).choices, slow = start;
  for (size_t t = 0; t < work.tasks.size(); ++t) slow[t] = slow_choice(work.tasks[t], machine);
  ASSERT_FALSE(same_choices(start, slow));
  const std::vector<double> promising(work.tasks.size(), 0.95), clear(work.tasks.size(), 0.5);
  const double ages = 1e12;
  {
    WholeModel whole(work, *codegen, 1, 1);
    ASSERT_EQ(whole.add(start), WholeModel::Added::yes);
    EXPECT_TRUE(same_choices(whole.better(start, slow, promising, ages), start)) << "whatever they took alone";
    EXPECT_TRUE(same_choices(whole.better(start, slow, promising, 0), start)) << "no time to see";
    EXPECT_TRUE(same_choices(whole.better(start, slow, clear, 0), slow)) << "no time to see, but beyond doubt";
  }
}

/// Runs another code generator and counts what it is asked for.
class Counting : public codegen::Codegen {
 public:
  explicit Counting(codegen::Codegen& good) : good_(good) {}
  codegen::CodeObject compile(const std::vector<codegen::Job>& list) override {
    jobs += list.size();
    return good_.compile(list);
  }
  std::string dump(const codegen::Job& job, const std::string& form) override { return good_.dump(job, form); }
  std::string version() const override { return good_.version(); }
  size_t jobs = 0;

 private:
  codegen::Codegen& good_;
};

TEST_F(Real, CodeGenerationCanBeStopped) {
  Counting counting(*codegen);
  const auto start = untuned(work, machine).choices;
  bool stopped = true;
  WholeModel whole(work, counting, 1, 1, [&] { return stopped; });
  EXPECT_EQ(whole.add(start), WholeModel::Added::stopped);
  EXPECT_TRUE(whole.empty());
  EXPECT_EQ(counting.jobs, 0u);
  stopped = false;
  EXPECT_EQ(whole.add(start), WholeModel::Added::yes);
  EXPECT_EQ(counting.jobs, work.tasks.size());
}

TEST_F(Real, ProgramsSharePackedConstants) {
  const auto choices = untuned(work, machine).choices;
  size_t packed = 0;
  {
    const auto one = assemble(work, choices, *codegen), two = *assemble_unless(work, choices, *codegen, {});
    ASSERT_EQ(one.slots.size(), two.slots.size());
    for (size_t s = 0; s < one.slots.size(); ++s) {
      if (one.slots[s].kind != runtime::Slot::Kind::constant) continue;
      EXPECT_EQ(one.slots[s].constant.raw(), two.slots[s].constant.raw()) << one.slots[s].name;
      packed += one.slots[s].layout.axes().empty() ? 0 : 1;
    }
  }
  EXPECT_GT(packed, 0u);
  for (const auto& [key, storage] : *work.packed) EXPECT_TRUE(storage.expired()) << "nobody needs it any more";
}

}  // namespace
}  // namespace rooftune::tune
