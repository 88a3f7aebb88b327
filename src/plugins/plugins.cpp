#include "plugins/plugins.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "base/error.h"
#include "plugins/define.h"

namespace rooftune::plugins {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<Plugin> plugins;
};

Registry& registry() {
  static Registry r;
  return r;
}

constexpr const char* kEntry = "rooftune_plugin";

std::string real_path(const std::string& path) {
  std::error_code error;
  const auto real = std::filesystem::canonical(path, error);
  if (error) throw InputError("plug-in {}: {}", path, error.message());
  std::ifstream file(real, std::ios::binary);
  char magic[4] = {};
  if (!std::filesystem::is_regular_file(real) || !file.read(magic, sizeof magic) ||
      std::memcmp(magic, "\177ELF", 4) != 0)
    throw InputError("plug-in {}: it is no shared library", path);
  return real.string();
}

/// A library that is closed again unless it is kept.
class Library {
 public:
  explicit Library(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw EnvironmentError("plug-in {} cannot be loaded: {}", path, dlerror());
  }
  ~Library() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  void* symbol(const char* name) const { return dlsym(handle_, name); }
  void keep() { handle_ = nullptr; }

 private:
  void* handle_;
};

const rt_plugin& describe(const Library& library, const std::string& path) {
  using Entry = const rt_plugin* (*)();
  const auto entry = reinterpret_cast<Entry>(library.symbol(kEntry));
  if (entry == nullptr)
    throw InputError("plug-in {}: it is no plug-in of Rooftune, for it does not export {}", path, kEntry);
  const rt_plugin* plugin = entry();
  if (plugin == nullptr) throw InputError("plug-in {}: its {} returns nothing", path, kEntry);
  if (plugin->abi != ROOFTUNE_PLUGIN_ABI)
    throw EnvironmentError(
        "plug-in {} was made for version {} of the plug-in interface, this Rooftune has version {}: compile it again "
        "with "
        "this Rooftune's rooftune_plugin.h",
        path, plugin->abi, ROOFTUNE_PLUGIN_ABI);
  if (plugin->name == nullptr || plugin->version == nullptr)
    throw InputError("plug-in {}: it must state its name and its version", path);
  if (plugin->operator_count < 0 || plugin->backend_count < 0 ||
      (plugin->operator_count > 0 && plugin->operators == nullptr) ||
      (plugin->backend_count > 0 && plugin->backends == nullptr))
    throw InputError("plug-in {}: its lists of operators and code generators are not whole", path);
  return *plugin;
}

}  // namespace

void load(const std::string& path) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  const std::string file = real_path(path);
  for (const Plugin& known : r.plugins)
    if (known.file == file) return;
  Library library(file);
  const rt_plugin& plugin = describe(library, path);
  Plugin made{file, plugin.name, plugin.version, {}, {}};
  const std::string label =
      fmt::format("plug-in {} {} ({})", made.name, made.version, std::filesystem::path(file).filename().string());
  std::vector<ops::OpDef> operators;
  for (int i = 0; i < plugin.operator_count; ++i) {
    operators.push_back(define_operator(plugin.operators[i], label));
    made.operators.push_back(ops::qualified_name({.op = operators.back().name, .domain = operators.back().domain}));
  }
  std::vector<codegen::MakeCodegen> backends;
  for (int i = 0; i < plugin.backend_count; ++i) {
    backends.push_back(define_backend(plugin.backends[i], label));
    made.backends.emplace_back(plugin.backends[i].name);
    const auto& names = made.backends;
    if (codegen::has_backend(names.back()) || std::count(names.begin(), names.end(), names.back()) > 1)
      throw InputError("{}: a code generator '{}' is there already", label, names.back());
  }
  ops::Catalogue::extend(std::move(operators));
  for (size_t i = 0; i < backends.size(); ++i) codegen::add_backend(made.backends[i], std::move(backends[i]));
  library.keep();
  r.plugins.push_back(std::move(made));
}

void load_from_environment() {
  const char* list = std::getenv("ROOFTUNE_PLUGINS");
  const std::string all = list == nullptr ? "" : list;
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find(':', at), all.size());
    if (end > at) load(all.substr(at, end - at));
    at = end + 1;
  }
}

std::vector<Plugin> loaded() {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  return r.plugins;
}

}  // namespace rooftune::plugins
