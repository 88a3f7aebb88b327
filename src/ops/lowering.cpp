#include "ops/lowering.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "ops/half.h"

namespace rooftune::ops {

bool can_lower(LowerContext& ctx, DTypeSet allowed) {
  const auto check = [&](ir::ValueId id) {
    if (id == ir::kNone) return true;
    const Type& type = ctx.graph().type(id);
    const std::string& name = ctx.graph().value(id).name;
    if (!type.is_static()) {
      ctx.reject(fmt::format("lower: '{}' is {}, not a tensor of static shape", name, type.to_string()));
    } else if (!contains(allowed, computed_in(type.dtype()))) {
      ctx.reject(fmt::format("lower: '{}' is {}, {} is lowered for {}", name, ir::name(type.dtype()), ctx.node().op,
                             to_string(allowed)));
    } else if (element_count(type.shape()) == 0) {
      ctx.reject(fmt::format("lower: '{}' is empty", name));
    } else {
      return true;
    }
    return false;
  };
  const Node& node = ctx.node();
  return std::all_of(node.inputs.begin(), node.inputs.end(), check) && check(node.outputs[0]);
}

std::string lower_case(const std::string& name) {
  std::string result;
  for (char c : name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0 && !result.empty()) result += '_';
    result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return result;
}

std::string stage_name(const kernel::Kernel& kernel, const std::string& name) {
  const auto taken = [&](const std::string& candidate) {
    return std::any_of(kernel.stages.begin(), kernel.stages.end(),
                       [&](const kernel::Stage& s) { return s.name == candidate; });
  };
  std::string candidate = name;
  for (int n = 2; taken(candidate); ++n) candidate = fmt::format("{}_{}", name, n);
  return candidate;
}

std::vector<kernel::Axis> axes_of(const std::vector<int64_t>& shape, const std::string& prefix) {
  std::vector<kernel::Axis> axes;
  for (size_t d = 0; d < shape.size(); ++d) axes.push_back({fmt::format("{}{}", prefix, d), shape[d]});
  return axes;
}

std::vector<Index> broadcast_indices(const std::vector<int64_t>& shape, const std::vector<Index>& at) {
  RT_CHECK(shape.size() <= at.size());
  std::vector<Index> indices;
  for (size_t d = 0; d < shape.size(); ++d)
    indices.push_back(shape[d] == 1 ? Index(0) : at[at.size() - shape.size() + d]);
  return indices;
}

std::vector<Index> axis_indices(int count) {
  std::vector<Index> indices;
  for (int a = 0; a < count; ++a) indices.push_back(Index::variable(a));
  return indices;
}

int load_input(LowerContext& ctx, StageBuilder& stage, int i, const std::vector<Index>& at) {
  const Tensor* constant = ctx.constant(i);
  if (constant != nullptr && constant->size() == 1 && std::abs(constant->as_double(0)) <= 0x1p53)
    return stage.constant(constant->as_double(0), ctx.dtype(i));
  return stage.load(ctx.input(i), broadcast_indices(ctx.shape(i), at));
}

void lower_map(LowerContext& ctx, const std::string& name, DTypeSet allowed, const MapValue& value) {
  if (!can_lower(ctx, allowed)) return;
  const std::vector<int64_t> shape = ctx.output_shape(0);
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), name), axes_of(shape));
  const std::vector<Index> at = axis_indices(static_cast<int>(shape.size()));
  std::vector<int> loaded;
  for (size_t i = 0; i < ctx.node().inputs.size(); ++i)
    loaded.push_back(ctx.has_input(static_cast<int>(i)) ? load_input(ctx, stage, static_cast<int>(i), at) : -1);
  const int result = value(ctx, stage, loaded);
  if (ctx.rejection().empty()) ctx.set_output(0, stage.finish(result));
}

std::function<void(LowerContext&)> lowered_map(std::string name, DTypeSet allowed, MapValue value) {
  return [name = std::move(name), allowed, value = std::move(value)](LowerContext& ctx) {
    lower_map(ctx, name, allowed, value);
  };
}

}  // namespace rooftune::ops
