// The names that torch.export keeps of the user's code: what a module returns (a "tree spec") and whose code a node is.
#pragma once
#include <string>
#include <vector>

namespace rooftune::frontends::torch_format {

/// A name per leaf of an out_spec: dict keys and positions joined by dots ("logits", "states.0"); "output" and
/// "output_0", … where the module returns no dict. InputError for a malformed spec.
std::vector<std::string> leaf_names(const std::string& tree_spec);

/// The path of the last module on a nn_module_stack: "key,path,type;key,path,type;…".
std::string innermost_module(const std::string& stack);

}  // namespace rooftune::frontends::torch_format
