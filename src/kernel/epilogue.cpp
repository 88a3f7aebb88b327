#include "kernel/epilogue.h"

namespace rooftune::kernel {

int pick(StageBuilder& b, int axis, const std::vector<int>& values) {
  int chosen = values[0];
  for (size_t k = 1; k < values.size(); ++k)
    chosen = b.select(b.node(Op::eq, DType::boolean, b.index(b.axis(axis), DType::i64),
                             b.constant(static_cast<double>(k), DType::i64)),
                      values[k], chosen);
  return chosen;
}

void finish_with_epilogue(StageBuilder& b, const Kernel& source, const Stage& contraction, int epilogue, int value,
                          const std::vector<Index>& at, const RangeOf& range_of) {
  std::vector<int> renamed;  // nodes of the map
  const RangeOf ranges = [&](int v) { return v < kNodeVariable ? range_of(v) : Range{-kUnbounded, kUnbounded}; };
  auto moved = [&](const std::vector<Index>& indices) {
    std::vector<Index> result;
    for (const auto& e : indices)
      result.push_back(simplify(e.substitute([&](int v) {
        return v < kNodeVariable ? at[static_cast<size_t>(v)]
                                 : b.value_index(renamed[static_cast<size_t>(v - kNodeVariable)]);
      }),
                                ranges));
    return result;
  };
  if (epilogue < 0) {
    b.finish(value, Reduction::none, contraction.buffer, moved(contraction.out_indices));
    return;
  }
  const Stage& map = source.stages[static_cast<size_t>(epilogue)];
  for (const auto& node : map.nodes) {
    auto argument = [&](int i) { return i < 0 ? -1 : renamed[static_cast<size_t>(i)]; };
    if (node.op == Op::constant) renamed.push_back(b.constant(node.value, node.type));
    else if (node.op == Op::load && node.buffer == contraction.buffer) renamed.push_back(value);
    else if (node.op == Op::load)
      renamed.push_back(b.load(node.buffer, moved(node.indices), moved(node.where), node.value));
    else if (node.op == Op::index) renamed.push_back(b.index(moved(node.indices)[0], node.type));
    else renamed.push_back(b.node(node.op, node.type, argument(node.a), argument(node.b), argument(node.c)));
  }
  for (const auto& e : moved(map.where)) b.where(e);
  b.finish(renamed.back(), Reduction::none, map.buffer, moved(map.out_indices));
}

}  // namespace rooftune::kernel
