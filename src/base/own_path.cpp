#include "base/own_path.h"

#include <dlfcn.h>

#include <cstring>

namespace rooftune {

std::filesystem::path own_path(const void* inside) {
  Dl_info info{};
  std::error_code error;
  // The name of a program that was found on PATH has no folder, and is not to be looked for in the working directory.
  if (::dladdr(inside, &info) != 0 && info.dli_fname != nullptr && std::strchr(info.dli_fname, '/') != nullptr)
    if (auto path = std::filesystem::canonical(info.dli_fname, error); !error) return path;
  auto path = std::filesystem::canonical("/proc/self/exe", error);
  return error ? std::filesystem::path() : path;
}

}  // namespace rooftune
