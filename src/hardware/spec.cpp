#include "hardware/spec.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/own_path.h"

namespace rooftune::hardware {
namespace fs = std::filesystem;
namespace {

/// Reads fields of one YAML map; whatever is wrong is an InputError that names the source and the field.
class Fields {
 public:
  Fields(const YAML::Node& node, std::string where) : node_(node), where_(std::move(where)) {
    if (!node_.IsMap()) throw InputError("{}: a map of fields is needed", where_);
  }

  template <typename T>
  T get(const char* key) {
    seen_.push_back(key);
    const YAML::Node field = node_[key];
    if (!field) throw InputError("{}: field '{}' is missing", where_, key);
    return convert<T>(field, key);
  }
  template <typename T>
  T get(const char* key, T otherwise) {
    return node_[key] ? get<T>(key) : (seen_.push_back(key), otherwise);
  }
  double positive(const char* key) {
    const auto value = get<double>(key);
    if (!(value > 0)) throw InputError("{}: field '{}' must be above 0, it is {}", where_, key, value);
    return value;
  }
  YAML::Node child(const char* key) {
    seen_.push_back(key);
    return node_[key];
  }
  void reject_others() const {
    for (const auto& entry : node_) {
      const auto key = entry.first.as<std::string>();
      if (std::find(seen_.begin(), seen_.end(), key) == seen_.end())
        throw InputError("{}: unknown field '{}'; there are {}", where_, key, fmt::join(seen_, ", "));
    }
  }

 private:
  template <typename T>
  T convert(const YAML::Node& field, const char* key) {
    try {
      return field.as<T>();
    } catch (const YAML::Exception&) {
      throw InputError("{}: field '{}' has the wrong type (line {})", where_, key, field.Mark().line + 1);
    }
  }
  YAML::Node node_;
  std::string where_;
  std::vector<std::string> seen_;
};

bool has_registry(const fs::path& candidate) { return fs::is_directory(candidate / "hardware"); }

}  // namespace

Spec parse_spec(const std::string& yaml, std::string_view source) {
  YAML::Node document;
  try {
    document = YAML::Load(yaml);
  } catch (const YAML::Exception& error) {
    throw InputError("{}: not valid YAML, line {}: {}", source, error.mark.line + 1, error.msg);
  }
  Fields fields(document, std::string(source));
  Spec spec;
  spec.name = fields.get<std::string>("name");
  spec.kind = fields.get<std::string>("kind");
  if (spec.kind != "cpu" && spec.kind != "gpu")
    throw InputError("{}: kind is '{}', it must be cpu or gpu", source, spec.kind);
  spec.vendor = fields.get<std::string>("vendor");
  spec.model = fields.get<std::string>("model");
  spec.architecture = fields.get<std::string>("architecture");
  spec.compute_units = static_cast<int>(fields.positive("compute_units"));
  spec.clock_hz = fields.positive("clock_hz");
  spec.peak_flops = fields.get<std::map<std::string, double>>("peak_flops");
  if (!spec.peak_flops.contains("f32")) throw InputError("{}: peak_flops lacks f32", source);
  for (const auto& [precision, flops] : spec.peak_flops)
    if (!(flops > 0)) throw InputError("{}: peak_flops of {} must be above 0", source, precision);
  spec.memory_bytes = fields.positive("memory_bytes");
  spec.memory_bandwidth = fields.positive("memory_bandwidth");
  for (const YAML::Node& entry : fields.child("caches")) {
    Fields cache(entry, std::string(source) + ": caches");
    CacheLevel level;
    level.level = cache.get<int>("level");
    level.bytes = cache.positive("bytes");
    level.shared_by = cache.get<int>("shared_by", 1);
    level.bandwidth = cache.get<double>("bandwidth", 0);
    cache.reject_others();
    spec.caches.push_back(level);
  }
  spec.tdp_watts = fields.get<double>("tdp_watts", 0);
  spec.source = fields.get<std::string>("source");
  fields.reject_others();
  return spec;
}

double Spec::peak(std::string_view precision) const {
  static const std::map<std::string, std::string, std::less<>> wider = {
      {"f16", "f32"}, {"bf16", "f32"}, {"tf32", "f32"}, {"f8", "f16"}, {"i8", "f32"},
      {"u8", "i8"},   {"i4", "i8"},    {"f4", "f8"},    {"f32", ""},   {"f64", "f32"}};
  const auto found = peak_flops.find(std::string(precision));
  if (found != peak_flops.end()) return found->second;
  const auto next = wider.find(precision);
  if (next == wider.end() || next->second.empty()) {
    std::string names;
    for (const auto& entry : wider) names += (names.empty() ? "" : ", ") + entry.first;
    throw InputError("unknown precision '{}'; there are {}", precision, names);
  }
  return peak(next->second) * (precision == "f64" ? 0.5 : 1.0);
}

double Spec::transfer_seconds(double bytes) const {
  // What does not fit into the caches so far must come through the next level out.
  double seconds = 0, inside = 0;
  for (const CacheLevel& cache : caches) {
    if (cache.bandwidth <= 0) continue;
    seconds = std::max(seconds, (bytes - inside) / cache.bandwidth);
    inside = cache.bytes * std::max(1, compute_units / std::max(1, cache.shared_by));
  }
  return std::max(seconds, (bytes - inside) / memory_bandwidth);
}

std::string registry_directory() {
  if (const char* chosen = std::getenv("ROOFTUNE_REGISTRY")) {
    if (has_registry(chosen)) return chosen;
    throw EnvironmentError("ROOFTUNE_REGISTRY is '{}', which has no folder 'hardware'", chosen);
  }
  const fs::path from = own_path(reinterpret_cast<const void*>(&registry_directory));
  for (fs::path p = from.parent_path(); !p.empty(); p = p.parent_path()) {
    for (const char* candidate : {"registry", "share/rooftune/registry"})
      if (has_registry(p / candidate)) return (p / candidate).string();
    if (p == p.root_path()) break;
  }
  throw EnvironmentError("the folder 'registry' is nowhere above {}: set ROOFTUNE_REGISTRY to it", from.string());
}

std::vector<std::string> spec_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(registry_directory() + "/hardware"))
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

Spec load_spec(const std::string& name) {
  const auto names = spec_names();
  if (std::find(names.begin(), names.end(), name) == names.end())
    throw InputError("unknown target '{}'; there are host, {}", name, fmt::join(names, ", "));
  const std::string path = registry_directory() + "/hardware/" + name + ".yaml";
  return parse_spec(read_file(path), path);
}

}  // namespace rooftune::hardware
