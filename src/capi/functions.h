// The commands as functions that rt_call finds by name. A new one is a line in functions.cpp.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/progress.h"

namespace rooftune::capi {

/// Request object in, response object out; reports progress and stops early where `cancelled` says so.
using Function = Json (*)(const Json& request, Progress& progress, const Cancelled& cancelled);
using FunctionTable = std::map<std::string, Function, std::less<>>;

const FunctionTable& functions();

/// InputError listing the names where there is no such function, and where the request is no JSON object.
std::string call(const FunctionTable& table, std::string_view name, std::string_view request, Progress& progress,
                 const Cancelled& cancelled);

}  // namespace rooftune::capi
