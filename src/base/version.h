// The version of this build, as the build system states it.
#pragma once
namespace rooftune {

const char* version();  // "0.1.0"

}  // namespace rooftune
