// Saving a program as a package and loading it again.
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/version.h"
#include "ir/json.h"
#include "ir/safetensors.h"
#include "runtime/executable.h"
#include "runtime/executable_impl.h"
#include "runtime/package_plugins.h"
#include "runtime/packed_storage.h"
#include "runtime/program_json.h"
#include "runtime/tar.h"

namespace rooftune::runtime {
namespace {

constexpr int kFormat = 2;
constexpr const char* kWeights = "weights.safetensors";

std::string code_name(size_t i) { return fmt::format("code_{}.so", i); }

/// Names of values are any bytes, names in a safetensors file are text.
std::string escape(const std::string& key) {
  std::string text;
  for (const char c : key) {
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u < 0x7f && c != '%') text += c;
    else text += fmt::format("%{:02x}", u);
  }
  return text;
}

std::string unescape(const std::string& text) {
  std::string key;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      key += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      key += text[i];
    }
  }
  return key;
}

bool same_memory(const ir::Tensor& a, const ir::Tensor& b) {
  return a.storage() == b.storage() && a.offset() == b.offset() && a.bytes() == b.bytes() && a.dtype() == b.dtype();
}

/// Whether the slot's constant is this one, packed as its layout says.
bool is_packed(const Slot& slot, const ir::Tensor& original) {
  if (ir::bit_width(slot.dtype) % 8 != 0) return false;  // no elements to speak of
  if (const auto* packed = dynamic_cast<const PackedStorage*>(slot.constant.storage().get()))
    return packed->layout() == slot.layout && packed->source().shape() == slot.shape &&
           same_memory(packed->source(), original);
  const auto* unpacked = dynamic_cast<const UnpackedStorage*>(original.storage().get());
  return unpacked != nullptr && same_memory(unpacked->packed(), slot.constant);
}

/// Which tensors a package stores, and under what names: every constant once. What the kernels read in a packed layout
/// is stored so, and the graph's own form of it is derived when it is wanted.
struct Weights {
  struct From {
    size_t slot;
    std::vector<int64_t> shape;
  };
  std::map<std::string, ir::Tensor> tensors;
  std::vector<std::string> of_slot;           // by slot; "graph" for strings, which stand in the graph
  std::map<std::string, From> unpacked_from;  // graph constants by key → slot that holds them packed
};

Weights choose_weights(const Program& program) {
  Weights w;
  const ir::ConstantTable table = ir::collect_constants(*program.graph);
  for (const auto& [key, tensor] : table.tensors)
    if (tensor.dtype() != ir::DType::string) w.tensors.emplace(escape(key), tensor);
  std::map<std::tuple<const ir::Storage*, size_t, size_t, ir::DType>, std::string> by_memory;
  const auto memory_of = [](const ir::Tensor& t) {
    return std::tuple(t.storage().get(), t.offset(), t.bytes(), t.dtype());
  };
  for (const auto& [name, tensor] : w.tensors)
    if (tensor.bytes() > 0) by_memory.emplace(memory_of(tensor), name);
  w.of_slot.resize(program.slots.size());
  for (size_t s = 0; s < program.slots.size(); ++s) {
    const Slot& slot = program.slots[s];
    if (slot.kind != Slot::Kind::constant || slot.alias_of >= 0) continue;
    if (slot.constant.dtype() == ir::DType::string) {
      const auto value = program.graph->find_value(slot.name);
      RT_CHECK(value && program.graph->constant(*value), "string constant '{}' is not in the graph", slot.name);
      w.of_slot[s] = "graph";
      continue;
    }
    std::string& name = by_memory[memory_of(slot.constant)];
    if (name.empty() || slot.constant.bytes() == 0) {
      name = fmt::format("slot{}:{}", s, escape(slot.name));
      w.tensors.emplace(name, slot.constant);
    }
    w.of_slot[s] = name;
    const auto value = program.graph->find_value(slot.name);
    const ir::Tensor* original = value ? program.graph->constant(*value) : nullptr;
    if (original && is_packed(slot, *original))
      w.unpacked_from.try_emplace(table.key_of.at(original), Weights::From{s, original->shape()});
  }
  // A constant that is also used as it is stays; one that is only used packed goes.
  std::set<std::string> used(w.of_slot.begin(), w.of_slot.end());
  for (auto it = w.unpacked_from.begin(); it != w.unpacked_from.end();) {
    const bool drop = !used.contains(escape(it->first));
    if (drop) w.tensors.erase(escape(it->first));
    it = drop ? std::next(it) : w.unpacked_from.erase(it);
  }
  return w;
}

/// A package opened: mapped, its manifest checked.
class Package {
 public:
  explicit Package(const std::string& path) : path_(path), file_(ir::map_file(path)) {
    members_ = read_tar(text(), path);
    if (!members_.contains("manifest.json"))
      throw InputError("{}: a tar archive, but not a Rooftune package (no manifest.json)", path);
    const std::string source = path + ": manifest.json";
    const Json manifest = parse_json(text("manifest.json"), source);
    if (json_field<std::string>(manifest, "format", source) != "rooftune")
      throw InputError("{}: not a Rooftune package", source);
    if (const int format = json_field<int>(manifest, "format_version", source); format != kFormat)
      throw InputError("{}: format {}; this Rooftune reads format {}: compile the model again", source, format,
                       kFormat);
    for (const Json& entry : json_field<Json>(manifest, "members", source)) {
      const auto name = json_field<std::string>(entry, "name", source);
      const auto found = members_.find(name);
      if (found == members_.end()) throw InputError("{}: cut off or damaged: '{}' is missing", path, name);
      if (found->second.bytes != json_field<size_t>(entry, "bytes", source))
        throw InputError("{}: damaged: '{}' has {} bytes, not what the manifest says", path, name, found->second.bytes);
      hashes_[name] = json_field<std::string>(entry, "sha256", source);
    }
  }

  std::string_view text(const std::string& name) const {
    const TarMember& member = members_.at(name);
    return text().substr(member.offset, member.bytes);
  }
  /// The member's bytes, which are what the manifest promises.
  std::string_view verified(const std::string& name) const {
    const auto hash = hashes_.find(name);
    if (hash == hashes_.end()) throw InputError("{}: the manifest does not list '{}'", path_, name);
    if (sha256(text(name)) != hash->second)
      throw InputError("{}: damaged: '{}' is not what was written (SHA-256 differs)", path_, name);
    return text(name);
  }
  Json json(const std::string& name) const { return parse_json(verified(name), path_ + ": " + name); }
  const TarMember& member(const std::string& name) const {
    const auto found = members_.find(name);
    if (found == members_.end()) throw InputError("{}: '{}' is missing", path_, name);
    return found->second;
  }
  const std::shared_ptr<ir::Storage>& file() const { return file_; }

 private:
  std::string_view text() const { return {reinterpret_cast<const char*>(file_->data()), file_->size()}; }

  std::string path_;
  std::shared_ptr<ir::Storage> file_;
  std::map<std::string, TarMember> members_;
  std::map<std::string, std::string> hashes_;
};

/// A constant of a package as the program names it.
ir::Tensor find_constant(const std::map<std::string, ir::Tensor>& tensors, const ir::Graph& graph, const Slot& slot,
                         const std::string& name, const std::string& path) {
  if (name == "graph") {
    const auto value = graph.find_value(slot.name);
    if (value && graph.constant(*value)) return *graph.constant(*value);
  } else if (const auto found = tensors.find(name); found != tensors.end()) {
    return found->second;
  }
  throw InputError("{}: program.json: the constant '{}' is missing", path, name);
}

/// The row-major form of a constant that the package holds packed.
ir::Tensor derived_constant(const Json& document, const Json& entry, const std::map<std::string, ir::Tensor>& tensors,
                            const std::string& place) {
  const auto index = json_field<size_t>(entry, "slot", place);
  const auto slots = document.find("slots");
  if (slots == document.end() || !slots->is_array() || index >= slots->size())
    throw InputError("{}: no such slot", place);
  const Json& slot = (*slots)[index];
  const auto packed = tensors.find(json_field<std::string>(slot, "constant", place));
  const auto dtype = ir::parse_dtype(json_field<std::string>(slot, "dtype", place));
  if (packed == tensors.end() || !dtype) throw InputError("{}: its packed form is missing", place);
  const auto shape = json_field<std::vector<int64_t>>(slot, "shape", place);
  const kernel::Layout layout = kernel::Layout::parse(json_field<std::string>(slot, "layout", place));
  if (ir::byte_size(*dtype, static_cast<size_t>(layout.size())) > packed->second.bytes())
    throw InputError("{}: its packed form is too small", place);
  return {*dtype, json_field<std::vector<int64_t>>(entry, "shape", place),
          std::make_shared<UnpackedStorage>(packed->second, shape, layout, *dtype)};
}

}  // namespace

void save(const Program& program, const std::string& path) {
  RT_CHECK(program.graph != nullptr, "a program without its graph cannot be saved");
  Weights weights = choose_weights(program);
  Json program_document = to_json(program, [&](size_t slot) { return weights.of_slot[slot]; });
  if (Json needed = needed_plugins(program); !needed.empty()) program_document["plugins"] = std::move(needed);
  if (!weights.unpacked_from.empty()) {
    program_document["unpacked"] = Json::object();
    for (const auto& [key, from] : weights.unpacked_from)
      program_document["unpacked"][escape(key)] = {{"slot", from.slot}, {"shape", from.shape}};
  }
  const auto dump = [](const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); };
  const std::string graph_text = dump(ir::to_json(*program.graph)), program_text = dump(program_document);
  const ir::SafetensorsWriter writer({std::move(weights.tensors), {}});

  AtomicFile file(path);
  Json members = Json::array();
  TarWriter tar([&](const void* data, size_t bytes) { file.write(data, bytes); });
  const auto add = [&](const std::string& name, uint64_t bytes, const auto& content) {
    Sha256 hash;  // while it is written: weights are read and packed only once
    tar.add(name, bytes, [&](const TarWriter::Sink& sink) {
      content([&](const void* data, size_t size) {
        hash.update(data, size);
        sink(data, size);
      });
    });
    members.push_back({{"name", name}, {"bytes", bytes}, {"sha256", hash.finish()}});
  };
  const auto add_bytes = [&](const std::string& name, const void* data, size_t bytes) {
    add(name, bytes, [&](const TarWriter::Sink& sink) { sink(data, bytes); });
  };
  add_bytes("graph.json", graph_text.data(), graph_text.size());
  add_bytes("program.json", program_text.data(), program_text.size());
  for (size_t i = 0; i < program.code.size(); ++i)
    add_bytes(code_name(i), program.code[i].elf.data(), program.code[i].elf.size());
  add(kWeights, writer.size(), [&](const TarWriter::Sink& sink) { writer.write(sink); });
  const Json manifest{
      {"format", "rooftune"}, {"format_version", kFormat}, {"rooftune_version", version()}, {"members", members}};
  tar.add("manifest.json", manifest.dump(1) + "\n");
  tar.finish();
  file.commit();
}

Program load(const std::string& path, bool check_weights) {
  const Package package(path);
  if (check_weights) package.verified(kWeights);
  const TarMember& weights = package.member(kWeights);
  std::map<std::string, ir::Tensor> tensors =
      ir::read_safetensors(package.file(), weights.offset, weights.bytes, path + ": " + kWeights).tensors;
  const Json document = package.json("program.json");
  if (document.contains("plugins")) require_plugins(document["plugins"], path);

  std::map<std::string, ir::Tensor> constants;
  for (const auto& [name, tensor] : tensors) constants.emplace(unescape(name), tensor);
  if (document.contains("unpacked"))
    for (const auto& [name, entry] : document["unpacked"].items())
      constants[unescape(name)] =
          derived_constant(document, entry, tensors, fmt::format("{}: program.json: unpacked '{}'", path, name));
  auto graph = std::make_shared<ir::Graph>(ir::from_json(package.json("graph.json"), constants, path + ": graph.json"));
  Program program = from_json(
      document, graph,
      [&](const Slot& slot, const std::string& name) { return find_constant(tensors, *graph, slot, name, path); },
      path + ": program.json");
  for (size_t i = 0; i < program.code.size(); ++i) {
    const std::string_view elf = package.verified(code_name(i));
    program.code[i].elf.assign(elf.begin(), elf.end());
  }
  try {
    validate(program);
  } catch (const InternalError& e) {
    throw InputError("{}: program.json contradicts itself ({})", path, e.what());
  }
  return program;
}

}  // namespace rooftune::runtime
