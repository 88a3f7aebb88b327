// Small programs over the kernels of testing/kernels.c, and what they compute, for the runtime's own tests.
#pragma once
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/files.h"
#include "runtime/executable.h"

namespace rooftune::runtime::testing {

inline constexpr int64_t kRows = 37, kColumns = 24;
inline constexpr size_t kMatrixBytes = kRows * kColumns * sizeof(float);

inline ir::Tensor random_tensor(std::vector<int64_t> shape) {
  thread_local std::mt19937 random(std::random_device{}());
  std::normal_distribution<float> normal;
  ir::Tensor t(ir::DType::f32, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = normal(random);
  return t;
}
inline ir::Tensor random_matrix() { return random_tensor({kRows, kColumns}); }

/// Builds a program step by step.
class Builder {
 public:
  enum Kernel { scale, subtract, multiply, center, check_alignment, note_threads };

  Builder() {
    const std::string elf = read_file(RUNTIME_TEST_KERNELS);
    codegen::CodeObject code;
    code.target = "x86_64-generic";
    code.elf.assign(elf.begin(), elf.end());
    const auto add = [&](std::string name, std::vector<codegen::Phase> phases,
                         std::vector<size_t> bytes) -> codegen::CompiledKernel& {
      codegen::CompiledKernel& k = code.kernels.emplace_back();
      k.name = std::move(name);
      k.phases = std::move(phases);
      k.buffer_bytes = std::move(bytes);
      k.layouts.resize(k.buffer_bytes.size());
      return k;
    };
    const size_t matrix = kMatrixBytes, square = kColumns * kColumns * sizeof(float), row = kColumns * sizeof(float);
    add("scale", {{"scale", kRows}}, {matrix, matrix});
    add("subtract", {{"subtract", kRows}}, {matrix, matrix, matrix});
    codegen::CompiledKernel& m = add("multiply", {{"multiply", kRows}}, {matrix, square, square, matrix});
    m.prepare_phases = {{"pack_transposed", kColumns}};
    m.prepared_buffers = {2};
    m.scratch_bytes = row;
    add("center", {{"sum_rows", kColumns}, {"subtract_sums", kRows}}, {matrix, matrix}).workspace_bytes = row;
    codegen::CompiledKernel& a = add("check_alignment", {{"check_alignment", 1}}, {1, sizeof(int)});
    a.workspace_bytes = a.scratch_bytes = 1;
    codegen::CompiledKernel& n = add("note_threads", {{"copy_notes", kColumns}}, {size_t{8} << 20, matrix});
    n.prepare_phases = {{"note_thread", kColumns}};
    n.prepared_buffers = {0};
    n.scratch_bytes = 1;
    program.code = {code};
    program.graph = std::make_shared<ir::Graph>();
  }

  int slot(Slot::Kind kind, std::vector<int64_t> shape = {kRows, kColumns}, ir::DType dtype = ir::DType::f32) {
    Slot s;
    s.name = std::string(kind == Slot::Kind::input    ? "in"
                         : kind == Slot::Kind::output ? "out"
                                                      : "t") +
             std::to_string(program.slots.size());
    s.kind = kind;
    s.dtype = dtype;
    size_t count = 1;
    for (int64_t d : shape) count *= static_cast<size_t>(d);
    s.shape = std::move(shape);
    s.bytes = ir::byte_size(dtype, count);
    program.slots.push_back(s);
    const int id = static_cast<int>(program.slots.size()) - 1;
    if (kind == Slot::Kind::input) program.inputs.push_back(id);
    if (kind == Slot::Kind::output) program.outputs.push_back(id);
    return id;
  }
  int input() { return slot(Slot::Kind::input); }
  int output() { return slot(Slot::Kind::output); }
  int temporary() { return slot(Slot::Kind::temporary); }
  int alias(int of, Slot::Kind kind = Slot::Kind::temporary) {
    const int s = slot(kind);
    program.slots[static_cast<size_t>(s)].alias_of = of;
    return s;
  }
  int constant(ir::Tensor tensor) {
    const int s = slot(Slot::Kind::constant, tensor.shape(), tensor.dtype());
    program.slots[static_cast<size_t>(s)].constant = std::move(tensor);
    return s;
  }
  int dynamic(Slot::Kind kind, ir::DType dtype, std::vector<int64_t> shape = {}) {
    const int s = slot(kind, {}, dtype);
    program.slots[static_cast<size_t>(s)].shape = std::move(shape);
    program.slots[static_cast<size_t>(s)].dynamic = true;
    program.slots[static_cast<size_t>(s)].bytes = 0;
    return s;
  }

  void step(Kernel kernel, std::vector<int> slots) {
    Step s;
    s.name = program.code[0].kernels[static_cast<size_t>(kernel)].name + "_" + std::to_string(program.steps.size());
    s.kernel = kernel;
    s.slots = std::move(slots);
    program.steps.push_back(s);
  }
  /// A node of the graph, run by its reference; the graph's values are named after the slots.
  void reference(const std::string& op, const std::vector<int>& inputs, const std::vector<int>& outputs) {
    ir::Node node;
    node.op = op;
    node.name = op + "_" + std::to_string(program.steps.size());
    node.since_version = 18;
    const auto value = [&](int s) {
      const Slot& slot = program.slots[static_cast<size_t>(s)];
      if (auto known = program.graph->find_value(slot.name)) return *known;
      const ir::Type type =
          slot.dynamic ? ir::Type::tensor(slot.dtype) : ir::Type::tensor(slot.dtype, ir::to_shape(slot.shape));
      if (slot.kind == Slot::Kind::input) return program.graph->add_input(slot.name, type);
      if (slot.kind == Slot::Kind::constant) return program.graph->add_constant(slot.name, slot.constant);
      return program.graph->add_value(slot.name, type);
    };
    for (int s : inputs) node.inputs.push_back(s < 0 ? ir::kNone : value(s));
    for (int s : outputs) node.outputs.push_back(s < 0 ? ir::kNone : value(s));
    Step s;
    s.kind = Step::Kind::reference;
    s.name = node.name;
    s.nodes = {node.name};
    s.inputs = inputs;
    s.outputs = outputs;
    s.node = program.graph->add_node(std::move(node));
    s.why = "tested as a reference";
    program.steps.push_back(s);
  }

  Program build() {
    plan_memory(program);
    return program;
  }

  Program program;
};

// What the kernels compute, written down a second time.
using Matrix = std::vector<double>;
inline Matrix to_matrix(const ir::Tensor& t) { return {t.data<float>(), t.data<float>() + t.size()}; }
inline Matrix scaled(Matrix x) {
  for (double& v : x) v = 2 * v + 1;
  return x;
}
inline Matrix difference(Matrix a, const Matrix& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}
inline Matrix product(const Matrix& x, const Matrix& w) {
  Matrix y(kRows * kColumns);
  for (int64_t m = 0; m < kRows; ++m)
    for (int64_t n = 0; n < kColumns; ++n)
      for (int64_t k = 0; k < kColumns; ++k)
        y[static_cast<size_t>(m * kColumns + n)] +=
            x[static_cast<size_t>(m * kColumns + k)] * w[static_cast<size_t>(k * kColumns + n)];
  return y;
}
inline Matrix centered(Matrix x) {
  for (int64_t n = 0; n < kColumns; ++n) {
    double sum = 0;
    for (int64_t m = 0; m < kRows; ++m) sum += x[static_cast<size_t>(m * kColumns + n)];
    for (int64_t m = 0; m < kRows; ++m) x[static_cast<size_t>(m * kColumns + n)] -= sum;
  }
  return x;
}

/// A program with everything a kernel can have: packing, scratch, workspace, reuse of memory, an alias.
///   out = center((2 x + 1) w) - (2 (2 x + 1) + 1)
struct Everything {
  ir::Tensor w = random_tensor({kColumns, kColumns});
  Program program;

  Everything() {
    Builder b;
    const int x = b.input(), weights = b.constant(w), doubled = b.temporary(), multiplied = b.temporary(),
              middle = b.temporary(), view = b.alias(doubled), again = b.temporary(), y = b.output();
    b.step(Builder::scale, {x, doubled});
    b.step(Builder::multiply, {doubled, weights, -1, multiplied});
    b.step(Builder::center, {multiplied, middle});
    b.step(Builder::scale, {view, again});
    b.step(Builder::subtract, {middle, again, y});
    program = b.build();
  }
  Matrix expected(const ir::Tensor& x) const {
    const Matrix d = scaled(to_matrix(x));
    return difference(centered(product(d, to_matrix(w))), scaled(d));
  }
};

inline double relative_error(const ir::Tensor& got, const Matrix& expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = got.data<float>()[i] - expected[i];
    difference += d * d;
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace rooftune::runtime::testing
