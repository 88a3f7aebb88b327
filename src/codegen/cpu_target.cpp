// Finds and loads the CPU code generator's library.
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/own_path.h"
#include "codegen/codegen.h"

namespace rooftune::codegen {

namespace {

constexpr const char* kLibrary = "librooftune_codegen_cpu.so";

void* open_library() {
  std::vector<std::string> places;
  if (const char* given = std::getenv("ROOFTUNE_CODEGEN_CPU")) places.emplace_back(given);
  const auto folder = own_path(reinterpret_cast<const void*>(&open_library)).parent_path();
  for (const auto& relative : {".", "../lib", "../lib/rooftune"})
    places.push_back((folder / relative / kLibrary).string());
  places.emplace_back(kLibrary);
  std::string why;
  for (const auto& place : places) {
    if (void* handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    const std::string message = dlerror();
    if (std::filesystem::exists(place)) why = message;  // it is there and does not load: that is the reason to show
  }
  throw EnvironmentError(
      "the CPU code generator could not be loaded ({}): put {} beside the program, or name it in ROOFTUNE_CODEGEN_CPU. "
      "A tuned .rt runs without it.",
      why.empty() ? "not found" : why, kLibrary);
}

}  // namespace

std::unique_ptr<Codegen> cpu_codegen(const CpuTarget& target) {
  static void* library = open_library();
  using Make = Codegen* (*)(const CpuTarget&);
  auto make = reinterpret_cast<Make>(dlsym(library, "rooftune_make_cpu_codegen"));
  if (make == nullptr) throw EnvironmentError("{} is of another version of Rooftune", kLibrary);
  return std::unique_ptr<Codegen>(make(target));
}

}  // namespace rooftune::codegen
