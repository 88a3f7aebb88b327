// Where this code lies: what is installed beside it (the code generator, the hardware registry, scripts) is found from
// there.
#pragma once
#include <filesystem>

namespace rooftune {

/// The program or library that the function or object `inside` is in, as an absolute path without links; empty where the
/// system does not tell.
std::filesystem::path own_path(const void* inside);

}  // namespace rooftune
