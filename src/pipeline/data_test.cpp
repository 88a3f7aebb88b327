#include "pipeline/data.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "base/error.h"
#include "base/files.h"
#include "ir/npy.h"

namespace rooftune::pipeline {
namespace {

using ir::DType;
using ir::Tensor;

std::string number(uint64_t value, int width) {
  std::string out;
  for (int i = 0; i < width; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

std::string deflated(const std::string& data) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, data.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// What numpy.savez (or savez_compressed) writes, by the book of the zip format.
std::string archive(const std::vector<std::pair<std::string, std::string>>& members, bool compress) {
  std::string body, list;
  for (const auto& [name, content] : members) {
    const std::string data = compress ? deflated(content) : content;
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size()));
    const std::string common = number(20, 2) + number(0, 2) + number(compress ? 8 : 0, 2) + number(0, 4) +
                               number(crc, 4) + number(data.size(), 4) + number(content.size(), 4) +
                               number(name.size(), 2) + number(0, 2);
    list += "PK\x01\x02" + number(20, 2) + common + number(0, 10) + number(body.size(), 4) + name;
    body += "PK\x03\x04" + common + name + data;
  }
  return body + list + "PK\x05\x06" + number(0, 4) + number(members.size(), 2) + number(members.size(), 2) +
         number(list.size(), 4) + number(body.size(), 4) + number(0, 2);
}

class Data : public testing::Test {
 protected:
  std::string npy(const Tensor& tensor) {
    ir::write_npy(folder_.file("t.npy"), tensor);
    return read_file(folder_.file("t.npy"));
  }
  std::string file(const std::vector<std::pair<std::string, Tensor>>& arrays, bool compress = false) {
    std::vector<std::pair<std::string, std::string>> members;
    for (const auto& [name, tensor] : arrays) members.emplace_back(name + ".npy", npy(tensor));
    return file_of(archive(members, compress));
  }
  std::string file_of(const std::string& content) {
    write_file(folder_.file("d.npz"), content);
    return folder_.file("d.npz");
  }
  static Tensor counted(std::vector<int64_t> shape, float start = 0) {
    Tensor t(DType::f32, std::move(shape));
    for (int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = start + static_cast<float>(i);
    return t;
  }
  static ir::Graph graph() {
    ir::Graph g;
    g.add_input("x", ir::Type::tensor(DType::f32, ir::Shape{2, 3}));
    g.add_input("mask", ir::Type::tensor(DType::i64, ir::Shape{2}));
    return g;
  }
  template <typename F>
  static std::string said(F&& body) {
    try {
      body();
    } catch (const InputError& e) {
      return e.what();
    }
    return "nothing";
  }
  TempDirectory folder_;
};

const Tensor kMask = Tensor::of<int64_t>(DType::i64, {2}, {1, 0});

TEST_F(Data, ReadsStoredAndCompressedArrays) {
  for (bool compress : {false, true}) {
    const auto arrays =
        read_npz(file({{"x", counted({2, 3}, 5)}, {"a/b", kMask}, {"big", counted({300, 400})}}, compress));
    ASSERT_EQ(arrays.size(), 3U);
    EXPECT_TRUE(ir::same_content(arrays.at("x"), counted({2, 3}, 5)));
    EXPECT_TRUE(ir::same_content(arrays.at("a/b"), kMask));
    EXPECT_TRUE(ir::same_content(arrays.at("big"), counted({300, 400})));
  }
}

TEST_F(Data, NoDamageGoesUnnoticed) {
  for (bool compress : {false, true}) {
    const std::string whole = read_file(file({{"x", counted({4, 8})}, {"y", counted({3})}}, compress));
    for (size_t cut = 0; cut < whole.size(); cut += 7) {
      const auto path = file_of(whole.substr(0, cut));
      EXPECT_NE(said([&] { read_npz(path); }).find("d.npz"), std::string::npos) << cut;
    }
    const auto good = read_npz(file_of(whole));
    for (size_t i = 0; i < whole.size(); ++i) {  // where a flipped byte is accepted, it did not touch the values
      std::string flipped = whole;
      flipped[i] = static_cast<char>(flipped[i] ^ 0x5A);
      const auto path = file_of(flipped);
      try {
        for (const auto& [name, array] : read_npz(path)) {
          if (good.contains(name)) {
            EXPECT_TRUE(ir::same_content(array, good.at(name))) << i;
          }
        }
      } catch (const InputError&) {
      }
    }
  }
}

TEST_F(Data, OtherFilesAreRefused) {
  EXPECT_NE(said([&] { read_npz(file_of("")); }).find("not a whole .npz"), std::string::npos);
  EXPECT_NE(said([&] { read_npz(file_of(npy(kMask))); }).find("not a whole .npz"), std::string::npos);
  EXPECT_NE(said([&] { read_npz(file_of(archive({{"readme.txt", "hello"}}, false))); }).find("readme.txt"),
            std::string::npos);
  EXPECT_NE(said([&] { read_npz(file_of(archive({{"x.npy", "hello"}}, true))); }).find("'x'"), std::string::npos);
}

TEST_F(Data, OneSampleAsTheModelTakesIt) {
  const auto samples = read_data(graph(), file({{"mask", kMask}, {"x", counted({2, 3})}})).samples;
  ASSERT_EQ(samples.size(), 1U);
  EXPECT_TRUE(ir::same_content(samples[0][0], counted({2, 3})));
  EXPECT_TRUE(ir::same_content(samples[0][1], kMask));
}

TEST_F(Data, ManySamplesAlongANewOrTheFirstAxis) {
  const auto masks = Tensor::of<int64_t>(DType::i64, {3, 2}, {0, 1, 2, 3, 4, 5});
  for (const auto& shape : {std::vector<int64_t>{3, 2, 3}, std::vector<int64_t>{6, 3}}) {
    const auto samples = read_data(graph(), file({{"x", counted(shape)}, {"mask", masks}}, true)).samples;
    ASSERT_EQ(samples.size(), 3U);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(ir::same_content(samples[i][0], counted({2, 3}, 6.0F * static_cast<float>(i))));
      EXPECT_EQ(samples[i][1].as_ints(),
                (std::vector<int64_t>{2 * static_cast<int64_t>(i), 2 * static_cast<int64_t>(i) + 1}));
    }
  }
}

TEST_F(Data, LabelsAreNoInput) {
  const auto masks = Tensor::of<int64_t>(DType::i64, {3, 2}, {0, 1, 2, 3, 4, 5});
  const auto labels = Tensor::of<int32_t>(DType::i32, {6}, {4, 0, 1, 1, 2, 3});
  const auto data = read_data(graph(), file({{"x", counted({3, 2, 3})}, {"mask", masks}, {"labels", labels}}));
  EXPECT_EQ(data.samples.size(), 3U);
  EXPECT_EQ(data.labels, (std::vector<int64_t>{4, 0, 1, 1, 2, 3}));
  EXPECT_NE(said([&] {
              read_data(graph(), file({{"x", counted({2, 2, 3})}, {"mask", kMask}, {"labels", masks}}));
            }).find("samples"),
            std::string::npos);
  ir::Graph other;
  other.add_input("labels", ir::Type::tensor(DType::i32, ir::Shape{6}));
  EXPECT_TRUE(read_data(other, file({{"labels", labels}})).labels.empty());
}

TEST_F(Data, WhatDoesNotFitIsNamed) {
  const auto x = counted({2, 3});
  const auto refused = [&](const std::vector<std::pair<std::string, Tensor>>& arrays) {
    return said([&] { read_data(graph(), file(arrays)); });
  };
  EXPECT_NE(refused({{"x", x}}).find("'mask' is missing"), std::string::npos);
  EXPECT_NE(refused({{"x", x}, {"mask", kMask}, {"label", x}}).find("no input 'label'; it has x, mask"),
            std::string::npos);
  EXPECT_NE(refused({{"x", kMask}, {"mask", kMask}}).find("'x' holds int64"), std::string::npos);
  EXPECT_NE(refused({{"x", counted({2, 4})}, {"mask", kMask}}).find("'x' has shape [2,4]"), std::string::npos);
  EXPECT_NE(refused({{"x", counted({0, 2, 3})}, {"mask", kMask}}).find("'x' has shape"), std::string::npos);
  EXPECT_NE(refused({{"x", counted({5, 2, 3})}, {"mask", kMask}}).find("'mask' has 1 samples, 'x' has 5"),
            std::string::npos);
}

TEST_F(Data, FreeDimensionsMustBeGiven) {
  ir::Graph g;
  g.add_input("x", ir::Type::tensor(DType::f32, ir::Shape{ir::Dim::symbol("n"), 3}));
  EXPECT_NE(said([&] { read_data(g, file({{"x", counted({2, 3})}})); }).find("--dim"), std::string::npos);
}

}  // namespace
}  // namespace rooftune::pipeline
