#include "exporters/exporter.h"

#include <mutex>

#include "exporters/onnx/onnx.h"
#include "exporters/stablehlo/stablehlo.h"

namespace rooftune::exporters {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<std::unique_ptr<Exporter>> exporters;
  Registry() {  // one line per built-in exporter
    exporters.push_back(make_onnx_exporter());
    exporters.push_back(make_stablehlo_exporter());
  }
};

Registry& registry() {
  static Registry r;
  return r;
}

}  // namespace

std::vector<const Exporter*> all() {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  std::vector<const Exporter*> out;
  for (const auto& e : r.exporters) out.push_back(e.get());
  return out;
}

void add(std::unique_ptr<Exporter> exporter) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  r.exporters.push_back(std::move(exporter));
}

const Exporter& find(const std::string& name) {
  std::vector<std::string> names;
  for (const Exporter* e : all()) {
    if (e->name() == name) return *e;
    names.push_back(e->name());
  }
  throw InputError("there is no exporter '{}'; known are: {}", name, fmt::join(names, ", "));
}

}  // namespace rooftune::exporters
