#include "ir/derived.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/files.h"
#include "ir/mapped.h"
#include "ir/safetensors.h"

namespace rooftune::ir {
namespace {

class Counted final : public DerivedStorage {
 public:
  using DerivedStorage::DerivedStorage;
  mutable std::atomic<int> computed = 0;

 private:
  void compute(uint8_t* to) const override {
    ++computed;
    for (size_t i = 0; i < size(); ++i) to[i] = static_cast<uint8_t>(i * 7 + 3);
  }
};

TEST(Derived, IsComputedOnceForThoseWhoKeepIt) {
  const auto storage = std::make_shared<Counted>(1000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { EXPECT_EQ(storage->data()[5], 38); });
  for (auto& t : threads) t.join();
  EXPECT_EQ(storage->computed, 1);
  EXPECT_EQ(storage->once()->data(), storage->data()) << "what is there is not made again";
  EXPECT_EQ(storage->computed, 1);
}

TEST(Derived, IsGoneWithWhoReadsItOnce) {
  const auto storage = std::make_shared<Counted>(1000);
  const Tensor tensor(DType::u8, {10, 90}, storage, 100);
  std::weak_ptr<Storage> memory;
  {
    const Tensor once = for_reading_once(tensor);
    EXPECT_EQ(once.shape(), tensor.shape());
    EXPECT_EQ(once.raw()[7], static_cast<uint8_t>(107 * 7 + 3));
    memory = once.storage();
  }
  EXPECT_TRUE(memory.expired());
  EXPECT_EQ(storage->computed, 1);
  EXPECT_TRUE(same_content(for_reading_once(tensor), tensor));
  const Tensor plain = Tensor::of<float>(DType::f32, {2}, {1, 2});
  EXPECT_EQ(for_reading_once(plain).raw(), plain.raw());
}

TEST(Derived, FilesHoldWhatIsComputedForThem) {
  const TempDirectory folder;
  Safetensors content;
  std::vector<std::shared_ptr<Counted>> storages;
  for (int64_t i = 0; i < 5; ++i) {
    storages.push_back(std::make_shared<Counted>(static_cast<size_t>(64 * i + 40)));
    content.tensors["t" + std::to_string(i)] = Tensor(DType::u8, {64 * i + 40}, storages.back());
    content.tensors["u" + std::to_string(i)] = Tensor::of<float>(DType::f32, {1}, {static_cast<float>(i)});
  }
  write_safetensors(folder.file("w"), content);
  for (const auto& s : storages) EXPECT_EQ(s->computed, 1);
  const Safetensors again = read_safetensors(folder.file("w"));
  for (const auto& [name, t] : content.tensors) EXPECT_TRUE(same_content(again.tensors.at(name), t)) << name;
}

/// Bytes of the mapping of a file that are in memory.
size_t resident(const std::string& name) {
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    size_t kilobytes = 0;
    if (line.find('-') < 20 && line.find(':') != 3) inside = line.find(name) != std::string::npos;
    if (inside && std::sscanf(line.c_str(), "Rss: %zu", &kilobytes) == 1) return kilobytes * 1024;
  }
  return 0;
}

TEST(Mapped, MemoryIsGivenBackAndReadAgain) {
  const TempDirectory folder;
  std::string bytes(4 << 20, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i >> 7);
  write_file(folder.file("released.bin"), bytes);
  const Tensor whole(DType::u8, {4 << 20}, map_file(folder.file("released.bin")));
  const Tensor part(DType::u8, {1 << 20}, whole.storage(), 1'000'001);
  EXPECT_EQ(std::memcmp(whole.raw(), bytes.data(), bytes.size()), 0);
  EXPECT_GE(resident("released.bin"), bytes.size());
  release(part);
  EXPECT_LT(resident("released.bin"), bytes.size() - (1 << 20) + 3 * 4096);
  EXPECT_EQ(std::memcmp(whole.raw(), bytes.data(), bytes.size()), 0);
  Tensor heap = Tensor::of<float>(DType::f32, {4}, {1, 2, 3, 4});
  release(heap);
  release(Tensor());
  EXPECT_EQ(heap.data<float>()[3], 4);
}

}  // namespace
}  // namespace rooftune::ir
