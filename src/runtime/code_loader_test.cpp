#include "runtime/code_loader.h"

#include <dirent.h>
#include <elf.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/tile_permission.h"

namespace rooftune::runtime {
namespace {

codegen::CodeObject test_object() {
  const std::string elf = read_file(RUNTIME_TEST_KERNELS);
  codegen::CodeObject object;
  object.target = "x86_64-generic";
  object.elf.assign(elf.begin(), elf.end());
  return object;
}

using Scale = void (*)(void* const*, void*, void*, int64_t, int64_t);

void expect_works(const LoadedCode& code) {
  float x[24], y[24];
  for (int i = 0; i < 24; ++i) x[i] = static_cast<float>(i * i);
  void* buffers[] = {x, y};
  reinterpret_cast<Scale>(code.symbol("scale"))(buffers, nullptr, nullptr, 0, 1);
  for (int i = 0; i < 24; ++i) ASSERT_EQ(y[i], 2.0f * static_cast<float>(i * i) + 1.0f);
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* directory = opendir(folder.c_str());
  while (const dirent* entry = readdir(directory))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  closedir(directory);
  return names;
}

TEST(CodeLoader, LoadsFromMemoryAndFromATemporaryFileThatIsGone) {
  const TempDirectory folder;
  setenv("TMPDIR", folder.path().c_str(), 1);
  for (CodeStore store : {CodeStore::memory, CodeStore::temporary_file}) {
    const LoadedCode code(test_object(), store);
    expect_works(code);
    EXPECT_TRUE(files_in(folder.path()).empty());
  }
  unsetenv("TMPDIR");
}

TEST(CodeLoader, CopiesOfOneObjectAreIndependent) {
  // dlopen knows objects by name: objects loaded together, and one after another, must not be taken for each other.
  LoadedCode a(test_object());
  const LoadedCode b(test_object());
  EXPECT_NE(a.symbol("scale"), b.symbol("scale"));
  const size_t before = files_in("/proc/self/fd").size();
  for (int i = 0; i < 50; ++i) expect_works(LoadedCode(test_object()));
  EXPECT_EQ(files_in("/proc/self/fd").size(), before);
  LoadedCode moved(std::move(a));
  expect_works(moved);
  expect_works(b);
}

TEST(CodeLoader, NamesAMissingSymbol) {
  const LoadedCode code(test_object());
  try {
    code.symbol("no_such_kernel");
    FAIL();
  } catch (const InternalError& e) {
    EXPECT_NE(std::string(e.what()).find("'no_such_kernel'"), std::string::npos);
  }
}

TEST(CodeLoader, RefusesWhatIsNoCode) {
  const codegen::CodeObject whole = test_object();
  codegen::CodeObject object = whole;
  Elf64_Ehdr header;
  std::memcpy(&header, whole.elf.data(), sizeof header);
  size_t end = 0;  // of what is loaded
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, whole.elf.data() + header.e_phoff + static_cast<size_t>(i) * sizeof segment, sizeof segment);
    if (segment.p_type == PT_LOAD) end = std::max<size_t>(end, segment.p_offset + segment.p_filesz);
  }
  for (size_t size : {end - 1, end / 2, size_t{100}, size_t{63}, size_t{3}, size_t{0}}) {
    object.elf.resize(size);
    EXPECT_THROW(LoadedCode{object}, InputError) << size;
  }
  object = whole;
  object.elf[18] ^= 0xff;  // the machine
  EXPECT_THROW(LoadedCode{object}, EnvironmentError);
}

TEST(CodeLoader, SaysWhichFeaturesAreMissing) {
  const auto message = [](const std::string& target) -> std::string {
    try {
      check_target(target);
    } catch (const EnvironmentError& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message("x86_64-generic"), "accepted");
  EXPECT_EQ(message("x86_64"), "accepted");
  EXPECT_NE(message("x86_64-avx1024+warp").find("this processor lacks avx1024, warp"), std::string::npos);
  EXPECT_NE(message("riscv64-v").find("this machine is x86_64"), std::string::npos);
  for (const char* feature : {"amx-tile", "amx-bf16", "amx-int8"}) {  // the processor has them, and the system lets us
    const bool here = may_use_tiles() && read_file("/proc/cpuinfo").find("amx_int8") != std::string::npos;
    EXPECT_EQ(message(std::string("x86_64-generic+") + feature) == "accepted", here) << feature;
  }
  EXPECT_EQ(message("x86_64-avx2") == "accepted", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
}

}  // namespace
}  // namespace rooftune::runtime
