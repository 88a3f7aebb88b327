#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "kernel/layout.h"
#include "runtime/executable.h"
#include "runtime/packed_storage.h"
#include "runtime/tar.h"
#include "runtime/testing/programs.h"

namespace rooftune::runtime {
namespace {

using testing::Builder;
using testing::Everything;
using testing::random_matrix;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const InputError& e) {
    return e.what();
  }
  return "no InputError";
}

ir::Tensor run_one(const Program& program, const ir::Tensor& x) {
  const Executable executable(program);
  const auto context = executable.make_context(1);
  std::vector<ir::Tensor> outputs;
  executable.run(*context, {x}, outputs);
  return outputs.at(0);
}

bool same_bytes(const ir::Tensor& a, const ir::Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

TEST(Package, ALoadedProgramComputesTheSameBits) {
  const TempDirectory folder;
  const Everything everything;
  const std::string path = folder.file("m.rt");
  save(everything.program, path);
  const Program loaded = load(path, true);
  for (int i = 0; i < 3; ++i) {
    const ir::Tensor x = random_matrix();
    EXPECT_TRUE(same_bytes(run_one(loaded, x), run_one(everything.program, x)));
  }
  // Everything that a report shows survives.
  ASSERT_EQ(loaded.steps.size(), everything.program.steps.size());
  for (size_t i = 0; i < loaded.steps.size(); ++i) EXPECT_EQ(loaded.steps[i].name, everything.program.steps[i].name);
  EXPECT_EQ(loaded.arena_bytes, everything.program.arena_bytes);
}

TEST(Package, ReferenceStepsFindTheirNodesAndConstants) {
  const TempDirectory folder;
  Builder b;
  const int x = b.input(), t = b.temporary(), y = b.output(), c = b.constant(random_matrix());
  b.reference("Sub", {x, c}, {t});
  b.step(Builder::scale, {t, y});
  b.program.steps[0].flops = 888;
  b.program.steps[0].why = "only \"for\" this test";
  const Program program = b.build();
  save(program, folder.file("m.rt"));
  const Program loaded = load(folder.file("m.rt"));
  const ir::Tensor in = random_matrix();
  EXPECT_TRUE(same_bytes(run_one(loaded, in), run_one(program, in)));
  EXPECT_EQ(loaded.steps[0].flops, 888);
  EXPECT_EQ(loaded.steps[0].why, program.steps[0].why);
  EXPECT_EQ(loaded.graph->node(loaded.steps[0].node).op, "Sub");
}

TEST(Package, KeepsDynamicSlotsAndStrings) {
  const TempDirectory folder;
  Builder b;
  const int a = b.dynamic(Slot::Kind::input, ir::DType::f32, {-1, 2}),
            y = b.dynamic(Slot::Kind::output, ir::DType::f32);
  b.reference("Add", {a, a}, {y});
  Slot words;
  words.name = "words";
  words.kind = Slot::Kind::constant;
  words.dtype = ir::DType::string;
  words.dynamic = true;
  words.constant = ir::Tensor::of_strings({2}, {"grüße", "world"});
  b.program.graph->add_constant("words", words.constant);
  b.program.slots.push_back(words);
  b.program.outputs.push_back(static_cast<int>(b.program.slots.size()) - 1);
  save(b.build(), folder.file("m.rt"));
  const Executable executable(load(folder.file("m.rt")));
  const auto context = executable.make_context(1);
  std::vector<ir::Tensor> outputs;
  const ir::Tensor in = testing::random_tensor({5, 2});
  executable.run(*context, {in}, outputs);
  ASSERT_EQ(outputs[0].shape(), in.shape());
  EXPECT_EQ(outputs[0].data<float>()[9], 2 * in.data<float>()[9]);
  EXPECT_EQ(outputs[1].strings(), (std::vector<std::string>{"grüße", "world"}));
}

TEST(Package, StoresAPackedConstantOnce) {
  const TempDirectory folder;
  Builder b;
  const ir::Tensor w = testing::random_tensor({480, 320});
  const int x = b.input(), y = b.output();
  b.step(Builder::scale, {x, y});
  const int c = b.constant(w);
  Slot& slot = b.program.slots[static_cast<size_t>(c)];
  slot.layout = kernel::Layout::blocked({480, 320}, {1, 0}, {{1, 16}});
  slot.constant = ir::Tensor(ir::DType::f32, {480 * 320}, std::make_shared<PackedStorage>(w, slot.layout, slot.bytes));
  ir::Tensor packed(ir::DType::f32, {480 * 320});
  kernel::pack(w.raw(), {480, 320}, slot.layout, 4, packed.raw());
  b.program.graph->add_constant(slot.name, w.reshaped({320, 480}));  // the graph's view has another shape
  b.program.graph->add_constant("odd % \xff name", testing::random_tensor({3}));
  save(b.build(), folder.file("m.rt"));
  EXPECT_LT(read_file(folder.file("m.rt")).size(), w.bytes() + 30'000) << "the weights stand in the package twice";
  const Program loaded = load(folder.file("m.rt"));
  const Slot& got = loaded.slots[static_cast<size_t>(c)];
  EXPECT_TRUE(same_bytes(got.constant, packed));
  const ir::Tensor* original = loaded.graph->constant(*loaded.graph->find_value(slot.name));
  ASSERT_NE(original, nullptr);
  EXPECT_EQ(original->shape(), (std::vector<int64_t>{320, 480}));
  EXPECT_TRUE(same_bytes(*original, w));
  EXPECT_TRUE(loaded.graph->find_value("odd % \xff name").has_value());
  // A loaded program can be saved again, to the same bytes.
  save(loaded, folder.file("again.rt"));
  EXPECT_EQ(read_file(folder.file("again.rt")), read_file(folder.file("m.rt")));
}

TEST(Package, KeepsAConstantThatIsUsedInBothForms) {
  const TempDirectory folder;
  Builder b;
  const ir::Tensor w = testing::random_tensor({48, 32});
  const int x = b.input(), y = b.output();
  b.step(Builder::scale, {x, y});
  const int plain = b.constant(w), packed = b.constant(w);
  Slot& slot = b.program.slots[static_cast<size_t>(packed)];
  slot.layout = kernel::Layout::blocked({48, 32}, {1, 0}, {{1, 24}});  // 32 in blocks of 24: padded
  slot.bytes = static_cast<size_t>(slot.layout.size()) * 4 + 256;
  slot.constant = ir::Tensor(ir::DType::f32, {static_cast<int64_t>(slot.bytes / 4)},
                             std::make_shared<PackedStorage>(w, slot.layout, slot.bytes));
  b.program.graph->add_constant(slot.name, w);
  save(b.build(), folder.file("m.rt"));
  const Program loaded = load(folder.file("m.rt"), true);
  EXPECT_TRUE(same_bytes(loaded.slots[static_cast<size_t>(plain)].constant, w));
  EXPECT_TRUE(same_bytes(loaded.slots[static_cast<size_t>(packed)].constant, slot.constant));
  EXPECT_EQ(loaded.slots[static_cast<size_t>(packed)].constant.data<float>()[slot.bytes / 4 - 1], 0);
}

TEST(Package, ConstantsComeStraightFromTheMappedFile) {
  const TempDirectory folder;
  const Everything everything;
  save(everything.program, folder.file("m.rt"));
  const Program loaded = load(folder.file("m.rt"));
  for (const Slot& slot : loaded.slots) {
    if (slot.kind != Slot::Kind::constant) continue;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(slot.constant.raw()) % 64, 0u);
    std::ifstream maps("/proc/self/maps");
    bool mapped = false;
    for (std::string line; std::getline(maps, line);) {
      uintptr_t begin = 0, end = 0;
      std::sscanf(line.c_str(), "%lx-%lx", &begin, &end);
      const auto at = reinterpret_cast<uintptr_t>(slot.constant.raw());
      mapped |= at >= begin && at < end && line.find("m.rt") != std::string::npos;
    }
    EXPECT_TRUE(mapped) << slot.name;
  }
}

TEST(Package, RefusesWhatIsNoPackage) {
  const TempDirectory folder;
  const std::string path = folder.file("m.rt");
  const auto refusal = [&](std::string_view content) {
    write_file(path, content);
    const std::string message = message_of([&] { load(path); });
    EXPECT_EQ(message.find(path), 0u) << message;
    return message.substr(std::min(message.size(), path.size()));
  };
  EXPECT_NE(refusal("").find("too few"), std::string::npos);
  EXPECT_NE(refusal(std::string(5000, 'x')).find("not a package (no tar archive)"), std::string::npos);
  std::string foreign;
  TarWriter tar([&](const void* data, size_t bytes) { foreign.append(static_cast<const char*>(data), bytes); });
  tar.add("readme.txt", "hello");
  tar.finish();
  EXPECT_NE(refusal(foreign).find("not a Rooftune package (no manifest.json)"), std::string::npos);
  const auto with_manifest = [&](const std::string& manifest) {
    std::string archive;
    TarWriter writer([&](const void* data, size_t bytes) { archive.append(static_cast<const char*>(data), bytes); });
    writer.add("manifest.json", manifest);
    writer.finish();
    return refusal(archive);
  };
  EXPECT_NE(with_manifest(R"({"format": "docker"})").find("not a Rooftune package"), std::string::npos);
  EXPECT_NE(with_manifest(R"({"format": "rooftune", "format_version": 99, "members": []})")
                .find("format 99; this Rooftune reads"),
            std::string::npos);
  EXPECT_NE(with_manifest("{").find("manifest.json"), std::string::npos);
  EXPECT_THROW(load(folder.file("absent.rt")), InputError);
}

TEST(Package, RefusesEveryTruncation) {
  const TempDirectory folder;
  const std::string path = folder.file("m.rt");
  save(Everything().program, path);
  const std::string whole = read_file(path);
  for (size_t size = 0; size + 1024 < whole.size(); size += 97) {
    write_file(path, whole.substr(0, size));
    EXPECT_THROW(load(path), InputError) << size << " of " << whole.size();
  }
}

TEST(Package, NoticesDamage) {
  const TempDirectory folder;
  const std::string path = folder.file("m.rt");
  save(Everything().program, path);
  const std::string whole = read_file(path);
  const auto members = read_tar(whole, "m");
  for (const auto& [name, member] : members) {
    for (size_t i = 0; i < 20 && member.bytes > 0; ++i) {
      std::string damaged = whole;
      const size_t at = member.offset + (i == 19 ? member.bytes - 1 : i * member.bytes / 20);
      damaged[at] = static_cast<char>(damaged[at] ^ 0x15);
      write_file(path, damaged);
      if (name == "manifest.json") {
        // Any sensible manifest is fine; a name or version may change without harm.
        try {
          load(path, true);
        } catch (const InputError&) {
        }
      } else {
        EXPECT_THROW(load(path, true), InputError) << name << " " << i;
      }
    }
  }
}

TEST(Package, SavingIsAllOrNothing) {
  const TempDirectory folder;
  EXPECT_ANY_THROW(save(Everything().program, folder.file("no/such/folder/m.rt")));
  Builder b;
  b.program.graph = nullptr;
  EXPECT_THROW(save(b.program, folder.file("m.rt")), InternalError);
  EXPECT_THROW(load(folder.file("m.rt")), InputError);
}

TEST(Tar, HoldsSizesBeyondOctal) {
  // Only the header of a huge member is looked at: its size must survive, and a file without the bytes is cut off.
  std::string header;
  TarWriter tar([&](const void* data, size_t bytes) { header.append(static_cast<const char*>(data), bytes); });
  try {
    tar.add("huge", uint64_t{20} << 30, [](const TarWriter::Sink&) {});
    FAIL();
  } catch (const InternalError&) {
  }
  header.resize(1024);
  EXPECT_NE(message_of([&] { read_tar(header, "t"); }).find("'huge' has 21474836480 bytes, 512 are there"),
            std::string::npos);
}

TEST(Tar, IsReadByTar) {
  const TempDirectory folder;
  save(Everything().program, folder.file("m.rt"));
  const std::string command =
      "cd '" + folder.path() + "' && tar xf m.rt && test -s weights.safetensors -a -s code_0.so -a -s graph.json";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace rooftune::runtime
