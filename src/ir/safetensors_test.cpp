#include "ir/safetensors.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/files.h"
#include "base/json.h"
#include "ir/random_graph.h"

namespace rooftune::ir {
namespace {

RC_GTEST_PROP(Safetensors, TensorsComeBackAligned, (uint64_t seed)) {
  test::RandomGraph random(seed);
  Safetensors content;
  content.metadata["model"] = "x\"y";
  for (int i = 0; i < 12; ++i)
    if (Tensor t = random.tensor(); t.dtype() != DType::string) content.tensors["layer." + std::to_string(i)] = t;
  const TempDirectory folder;
  const std::string path = folder.file("w.safetensors");
  write_safetensors(path, content);
  RC_ASSERT(SafetensorsWriter(content).size() == read_file(path).size());
  const Safetensors again = read_safetensors(path);
  RC_ASSERT(again.metadata == content.metadata);
  RC_ASSERT(again.tensors.size() == content.tensors.size());
  for (const auto& [name, t] : content.tensors) {
    RC_ASSERT(same_content(again.tensors.at(name), t));
    RC_ASSERT(reinterpret_cast<uintptr_t>(again.tensors.at(name).raw()) % 64 == 0u);
  }
}

TEST(Safetensors, LeavesNoGapsAsTheFormatWants) {
  Safetensors content;
  content.tensors["a"] = Tensor::of<float>(DType::f32, {3}, {1, 2, 3});
  content.tensors["b"] = Tensor::of<float>(DType::f32, {16}, std::vector<float>(16, 4));
  Tensor c(DType::i4, {3});
  for (int i = 0; i < 4; i += 2) c.raw()[i / 2] = static_cast<uint8_t>(i + 1);
  content.tensors["c"] = c;
  const TempDirectory folder;
  write_safetensors(folder.file("w"), content);
  const std::string bytes = read_file(folder.file("w"));
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  const Json header = parse_json(bytes.substr(8, length), "w");
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  for (const auto& [name, j] : header.items())
    if (name != "__metadata__") spans.emplace_back(j["data_offsets"][0], j["data_offsets"][1]);
  std::sort(spans.begin(), spans.end());
  uint64_t at = 0;
  for (const auto& [from, to] : spans) {
    EXPECT_EQ(from, at);
    at = to;
  }
  EXPECT_EQ(8 + length + at, bytes.size());
  EXPECT_EQ(header["__metadata__"]["rooftune.type.c"], "i4[3]");
}

TEST(Safetensors, RejectsWhatIsBroken) {
  const auto error = [](const std::string& header, size_t data_bytes) -> std::string {
    const TempDirectory folder;
    const uint64_t length = header.size();
    write_file(folder.file("w"),
               std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(data_bytes, 0));
    try {
      read_safetensors(folder.file("w"));
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8), "");
  const auto has = [&](const char* header, size_t bytes, const char* what) {
    const std::string e = error(header, bytes);
    EXPECT_NE(e.find(what), std::string::npos) << e;
  };
  has(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "tensor 'a': its data lies outside");
  has(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "tensor 'a': its data lies outside");
  has(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "8 bytes of data do not fit F32[3]");
  has(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8, "F33");
  has(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "negative");
  has(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 8, "too large");
  has(R"({"a":{"dtype":"F32","shape":[2]}})", 8, "'data_offsets' is missing");
  has(R"({"a":3})", 8, "tensor 'a'");
  has(R"([1])", 8, "not an object");
  has(R"({"a":)", 8, "w");
  has(R"({"__metadata__":{"rooftune.type.a":"i4[9]"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2,
      "do not fit i4[9]");
  has(R"({"__metadata__":{"rooftune.type.b":"i4[4]"}})", 0, "rooftune.type.b");
  const TempDirectory folder;
  write_file(folder.file("short"), "abc");
  EXPECT_THROW(read_safetensors(folder.file("short")), InputError);
  write_file(folder.file("long"), std::string(16, '\xff'));
  EXPECT_THROW(read_safetensors(folder.file("long")), InputError);
  Safetensors strings;
  strings.tensors["s"] = Tensor::of_strings({1}, {"a"});
  EXPECT_THROW(SafetensorsWriter{strings}, InternalError);
}

}  // namespace
}  // namespace rooftune::ir
