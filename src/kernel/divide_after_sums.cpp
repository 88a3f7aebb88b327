// See rewrites.h.
#include <algorithm>

#include "kernel/analysis.h"
#include "kernel/rewrites.h"

namespace rooftune::kernel {
namespace {

/// A stage that is x / y of two loads, x at its own axes, into a temporary that nobody else writes.
bool is_quotient(const Kernel& kernel, const Stage& stage) {
  if (stage.is_reduction() || stage.scatters || stage.nodes.size() != 3 || !stage.where.empty()) return false;
  const auto& buffer = kernel.buffers[static_cast<size_t>(stage.buffer)];
  const auto& value = stage.nodes.back();
  if (buffer.role != Role::temporary || writers(kernel, stage.buffer).size() != 1 || !writes_identity(kernel, stage) ||
      value.op != Op::div || value.type != DType::f32 || value.a == value.b)
    return false;
  const auto plain = [&](int n) {
    const auto& load = stage.nodes[static_cast<size_t>(n)];
    return load.op == Op::load && load.where.empty() &&
           std::all_of(load.indices.begin(), load.indices.end(),
                       [](const Index& e) { return e.is_constant() || plain_axis(e).has_value(); });
  };
  return plain(value.a) && plain(value.b) &&
         reads_identity(kernel, stage, stage.nodes[static_cast<size_t>(value.a)].buffer);
}

}  // namespace

void divide_after_sums(Kernel& kernel) {
  for (size_t d = 0; d < kernel.stages.size(); ++d) {
    if (!is_quotient(kernel, kernel.stages[d])) continue;
    const Stage quotient = kernel.stages[d];
    const auto from = readers(kernel, quotient.buffer);
    if (from.size() != 1) continue;
    Stage sum = kernel.stages[static_cast<size_t>(from[0])];
    if (!is_contraction(sum) || sum.reduction != Reduction::sum || !sum.where.empty()) continue;
    const auto& product = sum.nodes.back();
    if (product.op != Op::mul || product.type != DType::f32) continue;
    const auto reads = [&](int n) { return sum.nodes[static_cast<size_t>(n)].buffer == quotient.buffer; };
    const int times = static_cast<int>(std::count_if(sum.nodes.begin(), sum.nodes.end(), [&](const auto& node) {
      return node.op == Op::load && node.buffer == quotient.buffer;
    }));
    if (times != 1 || reads(product.a) == reads(product.b)) continue;
    auto& load = sum.nodes[static_cast<size_t>(reads(product.a) ? product.a : product.b)];
    if (!load.where.empty()) continue;
    const auto& value = quotient.nodes.back();
    const auto& divisor = quotient.nodes[static_cast<size_t>(value.b)];
    std::vector<Index> divided_at;
    bool summed = false;
    for (const auto& e : divisor.indices) {
      divided_at.push_back(e.substitute([&](int v) { return load.indices[static_cast<size_t>(v)]; }));
      std::vector<int> used;
      divided_at.back().collect_variables(used);
      summed = summed || std::any_of(used.begin(), used.end(), [&](int v) { return v >= sum.spatial; });
    }
    if (summed) continue;
    load.buffer = quotient.nodes[static_cast<size_t>(value.a)].buffer;
    StageBuilder after(kernel, sum.name + "_divided", {sum.axes.begin(), sum.axes.begin() + sum.spatial});
    std::vector<int64_t> shape;
    std::vector<Index> in_order;
    for (int a = 0; a < sum.spatial; ++a) {
      shape.push_back(sum.axes[static_cast<size_t>(a)].extent);
      in_order.push_back(Index::variable(a));
    }
    const int buffer = sum.buffer;
    const auto out = sum.out_indices;
    sum.buffer = kernel.add_buffer(sum.name + "_sum", DType::f32, shape, Role::temporary);
    sum.out_indices = in_order;
    after.finish(after.div(after.load(sum.buffer, in_order), after.load(divisor.buffer, divided_at)), Reduction::none,
                 buffer, out);
    // The builder put its stage last; it belongs behind the sum.
    kernel.stages[static_cast<size_t>(from[0])] = std::move(sum);
    std::rotate(kernel.stages.begin() + from[0] + 1, kernel.stages.end() - 1, kernel.stages.end());
  }
}

}  // namespace rooftune::kernel
