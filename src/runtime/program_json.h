// The JSON form of a program, without its graph, the bytes of its constants and its machine code.
#pragma once
#include <functional>
#include <string>

#include "base/json.h"
#include "runtime/executable.h"

namespace rooftune::runtime {

/// `constant_name(slot)`: how the constant of a slot is called among the weights.
Json to_json(const Program& program, const std::function<std::string(size_t slot)>& constant_name);
/// A program over `graph`, without ELF bytes. InputError that starts with `source` and names the field that is wrong.
Program from_json(const Json& json, std::shared_ptr<ir::Graph> graph,
                  const std::function<ir::Tensor(const Slot& slot, const std::string& name)>& constant,
                  const std::string& source);

}  // namespace rooftune::runtime
