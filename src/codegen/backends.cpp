// Code generators by name.
#include <map>
#include <mutex>

#include "base/error.h"
#include "codegen/codegen.h"

namespace rooftune::codegen {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, MakeCodegen> backends = {{kDefaultBackend, cpu_codegen}};
};

Registry& registry() {
  static Registry r;
  return r;
}

}  // namespace

std::vector<std::string> backends() {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  std::vector<std::string> names;
  for (const auto& [name, make] : r.backends) names.push_back(name);
  return names;
}

bool has_backend(const std::string& name) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  return r.backends.contains(name);
}

void add_backend(const std::string& name, MakeCodegen make) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  RT_CHECK(r.backends.emplace(name, std::move(make)).second, "backend {} is registered twice", name);
}

std::unique_ptr<Codegen> make_codegen(const std::string& backend, const CpuTarget& target) {
  MakeCodegen make;
  {
    Registry& r = registry();
    const std::lock_guard lock(r.mutex);
    if (const auto found = r.backends.find(backend); found != r.backends.end()) make = found->second;
  }
  if (!make)
    throw InputError("there is no code generator '{}'; there are {} (others come with plug-ins: --plugin FILE)",
                     backend, fmt::join(backends(), ", "));
  return make(target);
}

}  // namespace rooftune::codegen
