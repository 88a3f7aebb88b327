#include "estimate/trees.h"

#include <dlfcn.h>

#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/own_path.h"

namespace rooftune::estimate {

void Matrix::add(const std::vector<float>& row) {
  if (columns == 0) columns = row.size();
  RT_CHECK(row.size() == columns, "a row of {} numbers in a matrix of {} columns", row.size(), columns);
  values.insert(values.end(), row.begin(), row.end());
}

const TreeLibrary* tree_library() {
  static const TreeLibrary* const library = []() -> const TreeLibrary* {
    constexpr const char* kName = "librooftune_trees.so";
    const auto folder = own_path(reinterpret_cast<const void*>(&tree_library)).parent_path();
    std::string why = "not found";
    for (const auto& relative : {".", "../lib", "../lib/rooftune"}) {
      const std::string place = (folder / relative / kName).string();
      void* handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (handle == nullptr) {
        const std::string message = dlerror();
        if (std::filesystem::exists(place)) why = message;  // it is there and does not load: that is the reason to show
        continue;
      }
      using Get = const TreeLibrary* (*)();
      if (const auto get = reinterpret_cast<Get>(dlsym(handle, "rooftune_tree_library"))) return get();
      why = "it is of another version";
    }
    log_warning("tuning without a learned cost model: {}: {}", kName, why);
    return nullptr;
  }();
  return library;
}

}  // namespace rooftune::estimate
