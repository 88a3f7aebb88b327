#include "ir/safetensors.h"

#include <algorithm>
#include <future>

#include "base/files.h"
#include "base/json.h"
#include "ir/derived.h"
#include "ir/mapped.h"
#include "ir/type.h"

namespace rooftune::ir {
namespace {

constexpr size_t kAlignment = 64;
constexpr uint64_t kLargestHeader = 100'000'000;  // the limit of the reference implementation
constexpr std::string_view kPadding = "__padding__";
constexpr std::string_view kTypePrefix = "rooftune.type.";

constexpr std::pair<DType, std::string_view> kNames[] = {
    {DType::f32, "F32"},      {DType::f64, "F64"},          {DType::f16, "F16"},        {DType::bf16, "BF16"},
    {DType::i8, "I8"},        {DType::i16, "I16"},          {DType::i32, "I32"},        {DType::i64, "I64"},
    {DType::u8, "U8"},        {DType::u16, "U16"},          {DType::u32, "U32"},        {DType::u64, "U64"},
    {DType::boolean, "BOOL"}, {DType::f8e4m3fn, "F8_E4M3"}, {DType::f8e5m2, "F8_E5M2"},
};

std::string_view format_name(DType dtype) {
  for (const auto& [d, name] : kNames)
    if (d == dtype) return name;
  return {};
}

/// One entry of the header, checked against the size of the data part.
Tensor entry(const Json& j, const std::shared_ptr<Storage>& storage, size_t data, size_t data_bytes,
             const std::string& place) {
  const auto shape = json_field<std::vector<int64_t>>(j, "shape", place);
  const auto offsets = json_field<std::vector<uint64_t>>(j, "data_offsets", place);
  const auto dtype_name = json_field<std::string>(j, "dtype", place);
  const auto known =
      std::find_if(std::begin(kNames), std::end(kNames), [&](const auto& p) { return p.second == dtype_name; });
  if (known == std::end(kNames)) throw InputError("{}: the element type {} is not supported", place, dtype_name);
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_bytes)
    throw InputError("{}: its data lies outside the file", place);
  int64_t count = 0;
  try {
    count = checked_element_count(shape);
  } catch (const InputError& e) {
    throw InputError("{}: {}", place, e.what());
  }
  if (byte_size(known->first, static_cast<size_t>(count)) != offsets[1] - offsets[0])
    throw InputError("{}: {} bytes of data do not fit {}[{}]", place, offsets[1] - offsets[0], dtype_name,
                     fmt::join(shape, ","));
  return Tensor(known->first, shape, storage, data + offsets[0]);
}

/// Gives the tensors that were stored as bytes their true types.
void restore_types(Safetensors& content, const std::string& source) {
  for (auto it = content.metadata.begin(); it != content.metadata.end();) {
    if (it->first.rfind(kTypePrefix, 0) != 0) {
      ++it;
      continue;
    }
    const std::string name = it->first.substr(kTypePrefix.size());
    const auto t = content.tensors.find(name);
    const Type type = Type::parse(it->second);
    if (t == content.tensors.end() || !type.is_static() || type.dtype() == DType::undefined ||
        type.dtype() == DType::string)
      throw InputError("{}: metadata '{}' does not fit a tensor", source, it->first);
    const std::vector<int64_t> shape = static_values(type.shape());
    if (byte_size(type.dtype(), static_cast<size_t>(checked_element_count(shape))) != t->second.bytes())
      throw InputError("{}: tensor '{}': its bytes do not fit {}", source, name, it->second);
    t->second = Tensor(type.dtype(), shape, t->second.storage(), t->second.offset());
    it = content.metadata.erase(it);
  }
}

}  // namespace

Safetensors read_safetensors(const std::shared_ptr<Storage>& storage, size_t offset, size_t bytes,
                             const std::string& source) {
  RT_CHECK(offset <= storage->size() && bytes <= storage->size() - offset);
  const uint8_t* begin = storage->data() + offset;
  uint64_t length = 0;
  if (bytes >= 8) std::memcpy(&length, begin, 8);
  if (bytes < 8 || length > bytes - 8 || length > kLargestHeader)
    throw InputError("{}: not a safetensors file, or cut off ({} bytes)", source, bytes);
  const Json header = parse_json({reinterpret_cast<const char*>(begin) + 8, length}, source);
  if (!header.is_object()) throw InputError("{}: the header is not an object", source);
  const size_t data = offset + 8 + length, data_bytes = bytes - 8 - length;
  Safetensors out;
  for (const auto& [name, j] : header.items()) {
    if (name == "__metadata__") {
      out.metadata = json_field<std::map<std::string, std::string>>(header, name, source);
      continue;
    }
    Tensor t = entry(j, storage, data, data_bytes, fmt::format("{}: tensor '{}'", source, name));
    if (name.rfind(kPadding, 0) != 0 && !out.tensors.emplace(name, std::move(t)).second)
      throw InputError("{}: tensor '{}' stands twice", source, name);
  }
  restore_types(out, source);
  return out;
}

Safetensors read_safetensors(const std::string& path) {
  const auto storage = map_file(path);
  return read_safetensors(storage, 0, storage->size(), path);
}

SafetensorsWriter::SafetensorsWriter(Safetensors content) : content_(std::move(content)) {
  for (const auto& [name, t] : content_.tensors) {
    RT_CHECK(static_cast<bool>(t) && t.dtype() != DType::string, "'{}' cannot be stored in safetensors", name);
    if (format_name(t.dtype()).empty())
      content_.metadata[std::string(kTypePrefix) + name] = Type::tensor(t.dtype(), to_shape(t.shape())).to_string();
    pieces_.push_back({&t, (kAlignment - t.bytes() % kAlignment) % kAlignment});
  }
  // Whole multiples first: they need no padding.
  std::stable_partition(pieces_.begin(), pieces_.end(), [](const Piece& p) { return p.padding == 0; });
  std::map<const Tensor*, const std::string*> name_of;
  for (const auto& [name, t] : content_.tensors) name_of[&t] = &name;

  std::string header = "{";
  const auto add = [&](const std::string& name, const std::string& rest) {
    header += (header.size() > 1 ? "," : "") + Json(name).dump() + ":" + rest;
  };
  if (!content_.metadata.empty()) add("__metadata__", Json(content_.metadata).dump());
  const auto tensor = [&](const std::string& name, std::string_view dtype, const std::string& shape, size_t bytes) {
    add(name,
        fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", dtype, shape, size_, size_ + bytes));
    size_ += bytes;
  };
  int paddings = 0;
  for (const Piece& p : pieces_) {
    const Tensor& t = *p.tensor;
    const std::string_view dtype = format_name(t.dtype());
    if (dtype.empty()) tensor(*name_of[&t], "U8", std::to_string(t.bytes()), t.bytes());
    else tensor(*name_of[&t], dtype, fmt::format("{}", fmt::join(t.shape(), ",")), t.bytes());
    if (p.padding > 0) tensor(fmt::format("{}{}", kPadding, paddings++), "U8", std::to_string(p.padding), p.padding);
  }
  header += "}";
  header.resize((header.size() + 8 + kAlignment - 1) / kAlignment * kAlignment - 8, ' ');
  const uint64_t length = header.size();
  header_.assign(reinterpret_cast<const char*>(&length), 8);
  header_ += header;
  size_ += header_.size();
}

void SafetensorsWriter::write(const std::function<void(const void*, size_t)>& sink) const {
  static constexpr char kZeros[kAlignment] = {};
  sink(header_.data(), header_.size());
  // What is computed for the file alone (packed weights) is computed while its predecessor is written.
  std::future<Tensor> next;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& p = pieces_[i];
    const Tensor tensor = next.valid() ? next.get() : for_reading_once(*p.tensor);
    if (i + 1 < pieces_.size() && dynamic_cast<DerivedStorage*>(pieces_[i + 1].tensor->storage().get()) != nullptr)
      next = std::async(std::launch::async, for_reading_once, *pieces_[i + 1].tensor);
    if (tensor.bytes() > 0) sink(tensor.raw(), tensor.bytes());
    release(tensor);
    if (p.padding > 0) sink(kZeros, p.padding);
  }
}

void write_safetensors(const std::string& path, Safetensors content) {
  const SafetensorsWriter writer(std::move(content));
  AtomicFile file(path);
  writer.write([&](const void* data, size_t bytes) { file.write(data, bytes); });
  file.commit();
}

}  // namespace rooftune::ir
