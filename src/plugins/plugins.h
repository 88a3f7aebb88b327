// Plug-ins: shared libraries of the user's own that add operators and code generators (rooftune_plugin.h is what they see
// of us). Stands below the catalogue and the interface of code generators, which they extend, and above all that works
// with operators and code without caring where they are from.
#pragma once
#include <string>
#include <vector>

namespace rooftune::plugins {

struct Plugin {
  std::string file;  // absolute, without links
  std::string name, version;
  std::vector<std::string> operators;  // "com.example.Crop"
  std::vector<std::string> backends;
};

/// Loads a plug-in for the rest of this process's life; one that is loaded already stays as it is. All that it adds, or
/// nothing: InputError naming the file where it is none, or defines what is there already; EnvironmentError where it was
/// made for another version of the interface, or the system cannot load it.
void load(const std::string& path);

/// Those that the variable ROOFTUNE_PLUGINS names, separated by colons.
void load_from_environment();

std::vector<Plugin> loaded();

}  // namespace rooftune::plugins
