// Writes the packages that the Python client's tests load:  make_package FOLDER
//   matrix.rt    f32[37,24] → (2 x + 1) w …, all that a kernel can have; matrix.w holds w as raw f32
//   dynamic.rt   f32[?,3] + f32[any] → f32[any]
//   types.rt     one input and output of each of several types, the output being the input
#include <cstdio>

#include "base/files.h"
#include "runtime/testing/programs.h"

namespace rooftune::runtime {
namespace {

void write_all(const std::string& folder) {
  const testing::Everything everything;
  save(everything.program, folder + "/matrix.rt");
  write_file(folder + "/matrix.w", {reinterpret_cast<const char*>(everything.w.raw()), everything.w.bytes()});

  testing::Builder dynamic;
  const int a = dynamic.dynamic(Slot::Kind::input, ir::DType::f32, {-1, 3}),
            b = dynamic.dynamic(Slot::Kind::input, ir::DType::f32);
  dynamic.reference("Add", {a, b}, {dynamic.dynamic(Slot::Kind::output, ir::DType::f32)});
  save(dynamic.build(), folder + "/dynamic.rt");

  testing::Builder types;
  for (const ir::DType dtype : {ir::DType::bf16, ir::DType::f16, ir::DType::f64, ir::DType::i64, ir::DType::u8,
                                ir::DType::boolean, ir::DType::c64, ir::DType::string}) {
    const bool text = dtype == ir::DType::string;
    const int in =
        text ? types.dynamic(Slot::Kind::input, dtype, {2, 3}) : types.slot(Slot::Kind::input, {2, 3}, dtype);
    types.program.slots[static_cast<size_t>(in)].name = std::string(ir::name(dtype));
    const int out =
        text ? types.dynamic(Slot::Kind::output, dtype, {2, 3}) : types.slot(Slot::Kind::output, {2, 3}, dtype);
    types.program.slots[static_cast<size_t>(out)].name = std::string(ir::name(dtype)) + "_out";
    types.reference("Identity", {in}, {out});
  }
  save(types.build(), folder + "/types.rt");
}

}  // namespace
}  // namespace rooftune::runtime

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: make_package FOLDER\n"), 2;
  rooftune::runtime::write_all(argv[1]);
}
