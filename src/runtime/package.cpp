// Saving a program as a package and loading it again.
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/version.h"
#include "ir/json.h"
#include "ir/safetensors.h"
#include "runtime/code_loader.h"
#include "runtime/executable.h"
#include "runtime/executable_impl.h"
#include "runtime/package_plugins.h"
#include "runtime/packed_storage.h"
#include "runtime/program_json.h"
#include "runtime/tar.h"

namespace rooftune::runtime {
namespace {

constexpr int kFormat = 3;
constexpr const char* kWeights = "weights.safetensors";
constexpr const char* kVariant = "ROOFTUNE_VARIANT";

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
  return a.storage() == b.storage() && a.offset() == b.offset() && a.bytes() == b.bytes();
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
    ir::DType dtype;
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
      w.unpacked_from.try_emplace(table.key_of.at(original), Weights::From{s, original->dtype(), original->shape()});
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

/// The tensors of several programs, each stored once.
class SharedTensors {
 public:
  /// The name under which a tensor is stored: that of an equal one of an earlier program, else `name`.
  std::string add(const std::string& name, const ir::Tensor& tensor, bool first) {
    std::optional<uint64_t> hash;
    for (auto& [other, stored] : all_) {
      if (first) break;  // they are different ones
      if (stored.tensor.dtype() != tensor.dtype() || stored.tensor.shape() != tensor.shape()) continue;
      if (same_memory(stored.tensor, tensor)) return other;
      if (!stored.hash) stored.hash = ir::content_hash(ir::for_reading_once(stored.tensor));
      if (!hash) hash = ir::content_hash(ir::for_reading_once(tensor));
      if (hash == stored.hash) return other;
    }
    all_.emplace(name, Stored{tensor, hash});
    return name;
  }
  std::map<std::string, ir::Tensor> tensors() const {
    std::map<std::string, ir::Tensor> result;
    for (const auto& [name, stored] : all_) result.emplace(name, stored.tensor);
    return result;
  }

 private:
  struct Stored {
    ir::Tensor tensor;
    std::optional<uint64_t> hash;
  };
  std::map<std::string, Stored> all_;
};

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
    if (const auto variants = manifest.find("variants"); variants != manifest.end()) {
      if (!variants->is_array() || variants->empty()) throw InputError("{}: variants: expected a list", source);
      for (const Json& entry : *variants)
        variants_.push_back({json_field<std::string>(entry, "target", source + ": variants"),
                             json_field<std::vector<std::string>>(entry, "needs", source + ": variants"),
                             json_field<std::string>(entry, "folder", source + ": variants")});
    }
  }

  /// The folder of the program to take: "" of the only one.
  std::string choose() const {
    if (variants_.empty()) return "";
    const char* asked = std::getenv(kVariant);
    if (asked != nullptr && *asked == '\0') asked = nullptr;
    std::string names, reasons;
    for (const Variant& v : variants_) names += (names.empty() ? "" : ", ") + v.target;
    for (const Variant& v : variants_) {
      if (asked != nullptr && v.target != asked) continue;
      std::string why;
      for (const auto& target : v.needs)
        if (why.empty()) why = why_not_here(target);
      if (why.empty()) return v.folder;
      reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", why);
    }
    if (reasons.empty())
      throw EnvironmentError("{}: it has no code for {}={}; it has {}", path_, kVariant, asked, names);
    throw EnvironmentError("{}: none of its programs ({}) runs here: {}: compile the model again here", path_, names,
                           reasons);
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
  bool has(const std::string& name) const { return members_.contains(name); }
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
  struct Variant {
    std::string target;
    std::vector<std::string> needs;  // targets of its code objects
    std::string folder;
  };
  std::vector<Variant> variants_;  // none: there is one program
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
  // Numbers of 4 bits are packed as the bytes that hold them.
  const auto own = ir::parse_dtype(json_field<std::string>(entry, "dtype", place));
  if (!own) throw InputError("{}: no such type", place);
  return {*own, json_field<std::vector<int64_t>>(entry, "shape", place),
          std::make_shared<UnpackedStorage>(packed->second, shape, layout, *dtype)};
}

}  // namespace

std::string level_of(const Program& program) {
  if (program.code.empty()) return "any";
  const std::string& target = program.code[0].target;
  return target.substr(0, target.find('+'));
}

std::string why_not_here(const Program& program) {
  for (const auto& code : program.code)
    if (auto why = why_not_here(code.target); !why.empty()) return why;
  return "";
}

void save(const Program& program, const std::string& path) { save(std::vector{&program}, path); }

void save(const std::vector<const Program*>& variants, const std::string& path) {
  using Content = std::function<void(const TarWriter::Sink&)>;
  const auto dump = [](const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); };
  AtomicFile file(path);
  Json members = Json::array(), list = Json::array();
  TarWriter tar([&](const void* data, size_t bytes) { file.write(data, bytes); });
  const auto add = [&](const std::string& name, uint64_t bytes, const Content& content) {
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
  SharedTensors tensors;
  std::map<std::string, ir::Tensor> only;  // of a single program nothing need be compared
  for (const Program* program : variants) {
    RT_CHECK(program->graph != nullptr, "a program without its graph cannot be saved");
    const bool first = program == variants.front();
    const std::string folder = first ? "" : fmt::format("variants/{}/", level_of(*program));
    Weights weights = choose_weights(*program);
    Json document = to_json(*program, [&](size_t slot) { return weights.of_slot[slot]; });
    if (Json needed = needed_plugins(*program); !needed.empty()) document["plugins"] = std::move(needed);
    for (const auto& [key, from] : weights.unpacked_from)
      document["unpacked"][escape(key)] = {{"slot", from.slot}, {"dtype", ir::name(from.dtype)}, {"shape", from.shape}};
    const std::string graph_text = dump(ir::to_json(*program->graph)), program_text = dump(document);
    add_bytes(folder + "graph.json", graph_text.data(), graph_text.size());
    add_bytes(folder + "program.json", program_text.data(), program_text.size());
    Json needs = Json::array(), stored_as = Json::object();
    for (size_t i = 0; i < program->code.size(); ++i) {
      const auto& code = program->code[i];
      add_bytes(folder + code_name(i), code.elf.data(), code.elf.size());
      needs.push_back(code.target);
    }
    list.push_back({{"target", level_of(*program)}, {"needs", needs}, {"folder", folder}});
    if (variants.size() == 1) {
      only = std::move(weights.tensors);
      continue;
    }
    for (const auto& [name, tensor] : weights.tensors) stored_as[name] = tensors.add(folder + name, tensor, first);
    const std::string names = dump(stored_as);
    add_bytes(folder + "weights.json", names.data(), names.size());
  }
  const ir::SafetensorsWriter writer({variants.size() == 1 ? std::move(only) : tensors.tensors(), {}});
  add(kWeights, writer.size(), [&](const TarWriter::Sink& sink) { writer.write(sink); });
  Json manifest{
      {"format", "rooftune"}, {"format_version", kFormat}, {"rooftune_version", version()}, {"members", members}};
  if (variants.size() > 1) manifest["variants"] = std::move(list);
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
  const std::string folder = package.choose();
  if (package.has(folder + "weights.json")) {  // what this program calls them
    std::map<std::string, ir::Tensor> own;
    const Json names = package.json(folder + "weights.json");
    for (const auto& [name, stored] : names.items()) {
      const auto found = stored.is_string() ? tensors.find(stored.get<std::string>()) : tensors.end();
      if (found == tensors.end()) throw InputError("{}: {}weights.json: '{}' is missing", path, folder, name);
      own.emplace(name, found->second);
    }
    tensors = std::move(own);
  }
  const Json document = package.json(folder + "program.json");
  if (document.contains("plugins")) require_plugins(document["plugins"], path);

  std::map<std::string, ir::Tensor> constants;
  for (const auto& [name, tensor] : tensors) constants.emplace(unescape(name), tensor);
  if (document.contains("unpacked"))
    for (const auto& [name, entry] : document["unpacked"].items())
      constants[unescape(name)] =
          derived_constant(document, entry, tensors, fmt::format("{}: program.json: unpacked '{}'", path, name));
  auto graph =
      std::make_shared<ir::Graph>(ir::from_json(package.json(folder + "graph.json"), constants, path + ": graph.json"));
  Program program = from_json(
      document, graph,
      [&](const Slot& slot, const std::string& name) { return find_constant(tensors, *graph, slot, name, path); },
      path + ": program.json");
  for (size_t i = 0; i < program.code.size(); ++i) {
    const std::string_view elf = package.verified(folder + code_name(i));
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
