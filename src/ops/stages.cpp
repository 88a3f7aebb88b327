#include "ops/stages.h"

#include "ops/cells.h"
#include "ops/half.h"

namespace rooftune::ops {

bool can_lower_inputs(LowerContext& ctx, std::initializer_list<int> inputs, DTypeSet allowed) {
  auto check = [&](ir::ValueId id) {
    if (id == ir::kNone) return true;
    const ir::Value& value = ctx.graph().value(id);
    if (!value.type.is_static())
      ctx.reject(fmt::format("lower: '{}' is {}, not a tensor of static shape", value.name, value.type.to_string()));
    else if (!contains(allowed, computed_in(value.type.dtype())))
      ctx.reject(fmt::format("lower: '{}' is {}, {} is lowered for {}", value.name, ir::name(value.type.dtype()),
                             ctx.node().op, to_string(allowed)));
    else if (ir::element_count(value.type.shape()) == 0) ctx.reject(fmt::format("lower: '{}' is empty", value.name));
    return ctx.rejection().empty();
  };
  for (int i : inputs) {
    if (!check(ctx.node().input(static_cast<size_t>(i)))) return false;
  }
  const auto& outputs = ctx.node().outputs;
  return std::all_of(outputs.begin(), outputs.end(), check);
}

std::vector<Index> axes_from(int first, size_t count) {
  std::vector<Index> out;
  for (size_t i = 0; i < count; ++i) out.push_back(Index::variable(first + static_cast<int>(i)));
  return out;
}

kernel::RangeOf ranges_of(const std::vector<int64_t>& extents) {
  return [extents](int variable) { return kernel::Range{0, extents.at(static_cast<size_t>(variable)) - 1}; };
}

Index linear_index(const std::vector<Index>& at, const std::vector<int64_t>& shape) {
  const std::vector<int64_t> strides = row_major_strides(shape);
  Index linear;
  for (size_t i = 0; i < at.size(); ++i) linear = linear + at[i] * strides[i];
  return linear;
}

std::vector<Index> split_index(const Index& linear, const std::vector<int64_t>& shape, const kernel::RangeOf& ranges) {
  const std::vector<int64_t> strides = row_major_strides(shape);
  std::vector<Index> index;
  for (size_t i = 0; i < shape.size(); ++i) {
    const Index above = floordiv(linear, strides[i], ranges);
    index.push_back(i == 0 ? above : mod(above, shape[i], ranges));
  }
  return index;
}

int add_move(LowerContext& ctx, const std::string& name, int buffer, const std::vector<int64_t>& shape,
             const IndexMap& source) {
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), name), axes_of(shape));
  return stage.finish(stage.load(buffer, source(axes_from(0, shape.size()), ranges_of(shape))));
}

}  // namespace rooftune::ops
