// Names of the inputs and of their unknown dimensions. jax's shape polymorphism computes its dimension variables at the start of
// main (get_dimension_size), says which are equal (compare EQ and @shape_assertion), and hands them to a function whose
// parameters carry their names (jax.global_constant), as the parameters for main's arguments carry theirs.
#include <algorithm>

#include "frontends/stablehlo/importer.h"
#include "frontends/utf8.h"

namespace rooftune::frontends::stablehlo {
namespace {

using Place = std::pair<size_t, int64_t>;  // argument, dimension

std::string word_of(const mlir::Operation& op, const char* key) {
  const auto it = op.attributes.find(key);
  return it == op.attributes.end() ? "" : it->second.text;
}

bool is_equality(const mlir::Operation& op) {
  if (!op.name.ends_with(".compare") || op.operands.size() != 2 || op.results.size() != 1) return false;
  const auto it = op.attributes.find("words");
  return it != op.attributes.end() && !it->second.items.empty() && it->second.items[0].text == "EQ";
}

/// What main's first operations say of its arguments.
struct Facts {
  std::map<Place, Place> same_as;
  std::map<Place, std::string> dimensions;
  std::map<size_t, std::string> arguments;  // the names of the parameters that they are handed to
};

Facts facts(const mlir::Module& module, const mlir::Function& main) {
  Facts out;
  std::map<std::string, size_t> arguments;
  for (size_t i = 0; i < main.arguments.size(); ++i) arguments[main.arguments[i].name] = i;
  std::map<std::string, Place> sizes;                                     // values that are the size of a dimension
  std::map<std::string, std::pair<std::string, std::string>> equalities;  // values that say that two of them are equal
  for (const mlir::Operation& op : main.body.operations) {
    if (op.name.ends_with(".get_dimension_size") && op.operands.size() == 1 && op.results.size() == 1) {
      const auto argument = arguments.find(op.operands[0]);
      const std::string axis = word_of(op, op.attributes.count("dim") ? "dim" : "dimension");
      if (argument != arguments.end() && axis.size() == 1) sizes[op.results[0]] = {argument->second, axis[0] - '0'};
    } else if (is_equality(op) && sizes.count(op.operands[0]) && sizes.count(op.operands[1])) {
      equalities[op.results[0]] = {op.operands[0], op.operands[1]};
    } else if (word_of(op, "callee") == "shape_assertion" && !op.operands.empty()) {
      const auto e = equalities.find(op.operands[0]);
      if (e == equalities.end()) continue;
      const Place a = sizes[e->second.first], b = sizes[e->second.second];
      if (a != b) out.same_as[std::max(a, b)] = std::min(a, b);
    } else if (const auto f = module.functions.find(word_of(op, "callee")); f != module.functions.end()) {
      const auto& parameters = f->second.arguments;
      for (size_t i = 0; i < std::min(parameters.size(), op.operands.size()); ++i) {
        const auto name = parameters[i].attributes.find("jax.global_constant");
        const auto size = sizes.find(op.operands[i]);
        if (name != parameters[i].attributes.end() && size != sizes.end() && !name->second.text.empty() &&
            is_utf8(name->second.text))
          out.dimensions[size->second] = name->second.text;
        const auto argument = arguments.find(op.operands[i]);
        const std::string parameter = module.location_name(parameters[i].location);
        if (argument != arguments.end() && !parameter.empty()) out.arguments.emplace(argument->second, parameter);
      }
    }
  }
  return out;
}

}  // namespace

Inputs describe_inputs(const mlir::Module& module, const mlir::Function& main) {
  const Facts known = facts(module, main);
  Inputs out;
  for (size_t i = 0; i < main.arguments.size(); ++i) {
    std::string name = module.location_name(main.arguments[i].location);
    if (const auto it = known.arguments.find(i); name.empty() && it != known.arguments.end()) name = it->second;
    out.names.push_back(name.empty() ? main.arguments[i].name : name);
  }
  for (size_t i = 0; i < main.arguments.size(); ++i) {
    ir::Shape shape = main.arguments[i].type.shape();
    for (size_t d = 0; d < shape.size(); ++d) {
      if (shape[d].is_static()) continue;
      Place place{i, static_cast<int64_t>(d)};
      for (auto it = known.same_as.find(place); it != known.same_as.end(); it = known.same_as.find(place))
        place = it->second;  // always a smaller one
      const auto name = known.dimensions.find(place);
      shape[d] = ir::Dim::symbol(name != known.dimensions.end()
                                     ? name->second
                                     : fmt::format("{}_{}", out.names[std::min(place.first, i)], place.second));
    }
    out.types.push_back(ir::Type::tensor(main.arguments[i].type.dtype(), std::move(shape)));
  }
  return out;
}

}  // namespace rooftune::frontends::stablehlo
