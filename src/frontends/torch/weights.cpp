#include "frontends/torch/weights.h"

#include <algorithm>
#include <cstring>

#include "frontends/torch/program.h"

namespace rooftune::frontends::torch_format {
namespace {

using ir::Tensor;

bool row_by_row(const StoredTensor& t) {
  int64_t expected = 1;
  for (size_t i = t.shape.size(); i-- > 0;) {
    if (t.shape[i] == 1) continue;
    if (t.strides[i] != expected) return false;
    expected *= t.shape[i];
  }
  return true;
}

/// The element after the last one that the tensor touches; the shape holds no 0.
__int128 end_of(const StoredTensor& t) {
  __int128 last = t.offset;
  for (size_t i = 0; i < t.shape.size(); ++i) last += static_cast<__int128>(t.shape[i] - 1) * t.strides[i];
  return last + 1;
}

Tensor gathered(const StoredTensor& t, const uint8_t* data, size_t element) {
  Tensor out(t.dtype, t.shape);
  std::vector<int64_t> index(t.shape.size(), 0);
  int64_t from = t.offset;
  for (int64_t i = 0; i < out.size(); ++i) {
    std::memcpy(out.raw() + static_cast<size_t>(i) * element, data + static_cast<size_t>(from) * element, element);
    for (size_t d = t.shape.size(); d-- > 0;) {
      from += t.strides[d];
      if (++index[d] < t.shape[d]) break;
      from -= t.strides[d] * t.shape[d];
      index[d] = 0;
    }
  }
  return out;
}

}  // namespace

Weights::Weights(const Archive& archive, const std::string& model) : archive_(archive) {
  if (const std::string_view order = archive.text("byteorder"); order != "little")
    throw InputError("the archive's byteorder is '{}', but must be 'little'", order);
  add(fmt::format("data/weights/{}_weights_config.json", model), "data/weights/");
  add(fmt::format("data/constants/{}_constants_config.json", model), "data/constants/");
}

void Weights::add(const std::string& config, const std::string& folder) {
  const Json document = parse_json(archive_.text(config), config);
  const Json entries = json_field<Json>(document, "config", config);
  if (!entries.is_object()) throw InputError("{}: field 'config' must be an object", config);
  for (const auto& [name, entry] : entries.items()) {
    const std::string what = fmt::format("{}: '{}'", config, name);
    places_[name] = {folder + json_field<std::string>(entry, "path_name", what),
                     json_field<Json>(entry, "tensor_meta", what), json_field<bool>(entry, "use_pickle", what)};
  }
}

Tensor Weights::read(const std::string& name) const {
  const std::string what = fmt::format("tensor '{}'", name);
  const auto place = places_.find(name);
  if (place == places_.end()) throw InputError("{}: the archive does not hold it", what);
  const auto& [member_name, meta, pickled] = place->second;
  if (pickled || meta.is_null())
    throw InputError("{}: it is a tensor subclass or an object, stored as a Python pickle; only plain tensors are read",
                     what);
  const StoredTensor t = read_stored_tensor(meta, what);
  int64_t count = 0;
  try {
    count = ir::checked_element_count(t.shape);
  } catch (const InputError& e) {
    throw InputError("{}: {}", what, e.what());
  }
  const Member& member = archive_.at(member_name);
  if (count == 0) return Tensor(t.dtype, t.shape);
  const size_t element = ir::byte_size(t.dtype, 1);
  if (end_of(t) > static_cast<__int128>(member.bytes / element))
    throw InputError("{}: {}[{}] with strides [{}] at {} does not fit into member '{}' of {} bytes", what,
                     ir::name(t.dtype), fmt::join(t.shape, ","), fmt::join(t.strides, ","), t.offset, member_name,
                     member.bytes);
  const auto& storage = archive_.storage();
  if (!row_by_row(t)) return gathered(t, storage->data() + member.offset, element);
  Tensor mapped(t.dtype, t.shape, storage, member.offset + static_cast<size_t>(t.offset) * element);
  const auto alignment = static_cast<uintptr_t>(std::clamp<size_t>(element, 1, 8));
  return reinterpret_cast<uintptr_t>(mapped.raw()) % alignment == 0 ? mapped : mapped.clone();
}

}  // namespace rooftune::frontends::torch_format
