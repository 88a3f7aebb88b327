// Which plug-ins a stored program needs: those whose operators it runs by their references. What a plug-in's operator was
// expanded to, and what its code generator made, needs it no more.
#pragma once
#include <string>

#include "base/json.h"
#include "runtime/executable.h"

namespace rooftune::runtime {

/// {"com.example.Crop": "plug-in example 1.0 (libexample.so)"}: operators of reference steps, those in bodies included.
Json needed_plugins(const Program& program);

/// InputError naming the plug-in where an operator of that list is not known to this process.
void require_plugins(const Json& needed, const std::string& path);

}  // namespace rooftune::runtime
