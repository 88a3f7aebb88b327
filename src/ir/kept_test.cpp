#include "ir/kept.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>
#include <thread>

namespace rooftune::ir {
namespace {

TEST(Kept, PiecesAreZeroedAlignedAndApart) {
  std::mt19937 random(std::random_device{}());
  std::vector<std::shared_ptr<Storage>> pieces;
  std::vector<uint8_t> marks;
  for (int i = 0; i < 400; ++i) {
    if (!pieces.empty() && random() % 3 == 0) {  // others keep what is theirs
      const size_t gone = random() % pieces.size();
      pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(gone));
      marks.erase(marks.begin() + static_cast<std::ptrdiff_t>(gone));
    }
    const size_t bytes = random() % (random() % 8 == 0 ? 3 << 20 : 9000);
    pieces.push_back(allocate_kept(bytes));
    marks.push_back(static_cast<uint8_t>(1 + random() % 255));
    uint8_t* data = pieces.back()->data();
    ASSERT_EQ(pieces.back()->size(), bytes);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    for (size_t b = 0; b < bytes; ++b) ASSERT_EQ(data[b], 0) << b << " of " << bytes;
    if (bytes > 0) std::memset(data, marks.back(), bytes);
  }
  for (size_t p = 0; p < pieces.size(); ++p)
    for (size_t b = 0; b < pieces[p]->size(); ++b) ASSERT_EQ(pieces[p]->data()[b], marks[p]);
}

TEST(Kept, ManyAskAtOnce) {
  std::vector<std::vector<std::shared_ptr<Storage>>> of(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < of.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        of[t].push_back(allocate_kept(1000));
        std::memset(of[t].back()->data(), static_cast<int>(t + 1), 1000);
      }
    });
  for (auto& thread : threads) thread.join();
  for (size_t t = 0; t < of.size(); ++t)
    for (const auto& piece : of[t])
      for (size_t b = 0; b < 1000; ++b) ASSERT_EQ(piece->data()[b], t + 1);
}

TEST(Kept, WhatIsLargerThanABlockHasOneOfItsOwn) {
  const auto small = allocate_kept(100), large = allocate_kept(size_t{65} << 20), after = allocate_kept(100);
  small->data()[99] = 1, after->data()[0] = 2;
  large->data()[0] = large->data()[large->size() - 1] = 3;
  EXPECT_EQ(small->data()[99], 1);
  EXPECT_EQ(after->data()[0], 2);
}

}  // namespace
}  // namespace rooftune::ir
