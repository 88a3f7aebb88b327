// For this room's tests: the plug-ins that the build makes for them.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "plugins/plugins.h"

namespace rooftune::plugins {

/// Of docs/examples/ ("example_operators", "example_backend") or of testing/plugin.c ("plugin_odd", …).
inline std::string built(const std::string& name) { return std::string(PLUGINS) + "/lib" + name + ".so"; }

template <typename E, typename F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "it did not fail";
}

inline void expect_has(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

}  // namespace rooftune::plugins
