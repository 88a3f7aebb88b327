#include "ir/npy.h"

#include <gtest/gtest.h>

#include <random>

#include "base/files.h"

namespace rooftune::ir {
namespace {

TEST(Npy, RoundTrip) {
  TempDirectory folder;
  std::mt19937 random(std::random_device{}());
  for (DType dtype : {DType::f32, DType::f64, DType::i64, DType::u8, DType::f16, DType::boolean}) {
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{}, {0, 3}, {2, 3, 4}}) {
      Tensor t(dtype, shape);
      for (int64_t i = 0; i < t.size(); ++i) t.set_double(i, static_cast<double>(random() % 2));
      write_npy(folder.file("x.npy"), t);
      const Tensor back = read_npy(folder.file("x.npy"));
      ASSERT_EQ(back.dtype(), dtype);
      ASSERT_EQ(back.shape(), shape);
      for (int64_t i = 0; i < t.size(); ++i) EXPECT_EQ(back.as_double(i), t.as_double(i));
    }
  }
}

TEST(Npy, NarrowTypesAreWidened) {
  TempDirectory folder;
  Tensor t(DType::bf16, {3});
  for (int64_t i = 0; i < 3; ++i) t.set_double(i, 0.5 * static_cast<double>(i));
  write_npy(folder.file("x.npy"), t);
  const Tensor back = read_npy(folder.file("x.npy"));
  EXPECT_EQ(back.dtype(), DType::f32);
  EXPECT_EQ(back.as_double(2), 1.0);
}

std::string error_of(const std::string& content) {
  TempDirectory folder;
  write_file(folder.file("bad.npy"), content);
  try {
    (void)read_npy(folder.file("bad.npy"));
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

std::string with_header(const std::string& header) {
  std::string file = std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header;
  return file;
}

TEST(Npy, BadFilesAreNamed) {
  EXPECT_NE(error_of("hello").find("not a .npy file"), std::string::npos);
  EXPECT_NE(error_of(with_header("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }")).find("Fortran"),
            std::string::npos);
  EXPECT_NE(error_of(with_header("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }")).find("'>f4'"),
            std::string::npos);
  EXPECT_NE(error_of(with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }")).find("8 bytes"),
            std::string::npos);
  EXPECT_NE(error_of(with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"))
                .find("absurd"),
            std::string::npos);
}

TEST(Npy, LongHeadersAreRefused) {
  std::string file("\x93NUMPY\x02\x00\x00\x00\x20\x00", 12);  // 2 MiB of header
  file += "{'descr': '" + std::string((1 << 21) - 11, 'f');
  try {
    parse_npy(file, "x.npy");
    ADD_FAILURE() << "accepted";
  } catch (const InputError& e) {
    EXPECT_STREQ(e.what(), "x.npy: the .npy header has 2097152 bytes; at most 10000 are accepted");
  }
}

}  // namespace
}  // namespace rooftune::ir
