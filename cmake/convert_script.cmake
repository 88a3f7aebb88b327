# python/rooftune/convert.py as a string constant, frontends/convert_script.h: any Python can then run it.
set(script ${CMAKE_SOURCE_DIR}/python/rooftune/convert.py)
set(header ${CMAKE_BINARY_DIR}/generated/frontends/convert_script.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
file(READ ${script} text)
file(CONFIGURE OUTPUT ${header} @ONLY CONTENT [==[
#pragma once

namespace rooftune::frontends {

inline constexpr const char* kConvertScript = R"~~(@text@)~~";

}  // namespace rooftune::frontends
]==])
target_include_directories(rt_frontends PRIVATE ${CMAKE_BINARY_DIR}/generated)
