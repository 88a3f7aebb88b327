#include "frontends/torch/in_place.h"

#include <map>
#include <string_view>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

enum class View : uint8_t {
  same,       // the same elements in the same order
  in_memory,  // that too, but a copy where the memory is not row by row
  as_typed,   // that too, but a copy where the element type differs
  permuted,
  part,
  broadcast,  // several elements of the result are one of the tensor
  other,
};

const std::map<std::string_view, View>& views() {
  static const std::map<std::string_view, View> table = {
      {"view", View::same},
      {"unsqueeze", View::same},
      {"squeeze", View::same},
      {"detach", View::same},
      {"alias", View::same},
      {"lift_fresh", View::same},
      {"view_as", View::same},
      {"unflatten", View::same},
      {"dropout", View::same},
      {"feature_dropout", View::same},
      {"alpha_dropout", View::same},
      {"feature_alpha_dropout", View::same},
      {"reshape", View::in_memory},
      {"reshape_as", View::in_memory},
      {"flatten", View::in_memory},
      {"ravel", View::in_memory},
      {"contiguous", View::in_memory},
      {"to", View::as_typed},
      {"type_as", View::as_typed},
      {"permute", View::permuted},
      {"transpose", View::permuted},
      {"t", View::permuted},
      {"numpy_T", View::permuted},
      {"mT", View::permuted},
      {"movedim", View::permuted},
      {"moveaxis", View::permuted},
      {"swapaxes", View::permuted},
      {"swapdims", View::permuted},
      {"select", View::part},
      {"slice", View::part},
      {"narrow", View::part},
      {"split", View::part},
      {"split_with_sizes", View::part},
      {"chunk", View::part},
      {"unbind", View::part},
      {"expand", View::broadcast},
      {"expand_as", View::broadcast},
      {"diagonal", View::other},
      {"unfold", View::other},
      {"as_strided", View::other},
  };
  return table;
}

/// "aten.slice.Tensor" → "slice"
std::string_view operator_name(std::string_view target) {
  const size_t first = target.find('.'), last = target.rfind('.');
  if (first == std::string_view::npos || first == last) return {};
  return target.substr(first + 1, last - first - 1);
}

}  // namespace

std::string without_underscore(const std::string& target) {
  const std::string_view name = operator_name(target);
  if (!target.starts_with("aten.") || !name.ends_with('_') || name.ends_with("__")) return target;
  return fmt::format("aten.{}{}", name.substr(0, name.size() - 1), target.substr(target.rfind('.')));
}

std::string viewed(const Call& call, const Scope& scope) {
  const auto found = views().find(operator_name(call.target));
  if (!call.target.starts_with("aten.") || found == views().end() || call.inputs.empty()) return {};
  const auto* self = std::get_if<TensorRef>(&call.inputs[0].second);
  if (self == nullptr) return {};
  if (found->second == View::in_memory && !scope.meta(self->name).contiguous) return {};
  if (found->second == View::as_typed) {
    const auto* result = call.outputs.empty() ? nullptr : std::get_if<TensorRef>(&call.outputs[0]);
    if (result == nullptr || scope.meta(result->name).dtype != scope.meta(self->name).dtype) return {};
  }
  return self->name;
}

ValueId write_back(Context& view, ValueId base, ValueId written, size_t result) {
  switch (views().at(operator_name(view.call().target))) {
    case View::same:
    case View::in_memory:
    case View::as_typed: return reshape_as(view, written, base);
    case View::permuted: return view.transpose(written, inverse(permutation(view)));
    case View::part: return put(view, base, written, part_of(view, result));
    default: view.fail("its result is written to in place, which is not supported for such a view");
  }
}

}  // namespace rooftune::frontends::torch_format
