# rooftune_room(<name> [DEPENDS …]): the library of one room: every .cpp in src/<name> (subfolders included) but
# *_test.cpp, which make the room's test program <name>_test. A new file needs no line here.
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Threads REQUIRED)
find_package(GTest REQUIRED)
find_library(RAPIDCHECK rapidcheck REQUIRED)
find_program(CCACHE ccache)
if(CCACHE)
  # ccache keeps no compile that uses a precompiled header unless told that its macros and times may be trusted
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(rooftune_flags INTERFACE)
target_include_directories(rooftune_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(rooftune_flags INTERFACE -Wall -Wextra -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(rooftune_flags INTERFACE -fpch-preprocess)  # for ccache
else()
  target_compile_options(rooftune_flags INTERFACE "SHELL:-Xclang -fno-pch-timestamp")  # for ccache
endif()
if(ROOFTUNE_SANITIZE)
  target_compile_options(rooftune_flags INTERFACE -fsanitize=${ROOFTUNE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(rooftune_flags INTERFACE -fsanitize=${ROOFTUNE_SANITIZE})
endif()
if(ROOFTUNE_FUZZ)
  target_compile_options(rooftune_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(ROOFTUNE_COVERAGE)
  target_compile_options(rooftune_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(rooftune_flags INTERFACE --coverage)
endif()
target_link_libraries(rooftune_flags INTERFACE fmt::fmt spdlog::spdlog nlohmann_json::nlohmann_json Threads::Threads)

# One precompiled header for all rooms: the standard containers and the few heavy third-party headers everybody uses.
file(WRITE ${CMAKE_BINARY_DIR}/pch.cpp "")
add_library(rooftune_pch STATIC ${CMAKE_BINARY_DIR}/pch.cpp)
target_link_libraries(rooftune_pch PUBLIC rooftune_flags)
target_precompile_headers(rooftune_pch PRIVATE <algorithm> <array> <cmath> <cstdint> <cstring> <functional> <map> <memory>
  <optional> <set> <span> <string> <string_view> <unordered_map> <variant> <vector> <fmt/format.h> <nlohmann/json.hpp>)
# … and one for all test programs, with the test headers.
add_library(rooftune_test_pch STATIC ${CMAKE_BINARY_DIR}/pch.cpp)
target_link_libraries(rooftune_test_pch PUBLIC rooftune_flags GTest::gtest)
target_precompile_headers(rooftune_test_pch PRIVATE <algorithm> <array> <cmath> <cstdint> <cstring> <functional> <map>
  <memory> <optional> <random> <set> <span> <string> <string_view> <unordered_map> <variant> <vector> <fmt/format.h>
  <nlohmann/json.hpp> <gtest/gtest.h> <rapidcheck/gtest.h>)

function(rooftune_room name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  foreach(pattern ${ARG_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  string(REPLACE "/" "_" target ${name})
  if(sources)
    add_library(rt_${target} STATIC ${sources})
    target_link_libraries(rt_${target} PUBLIC rooftune_flags ${ARG_DEPENDS})
    target_precompile_headers(rt_${target} REUSE_FROM rooftune_pch)
  else()  # headers only
    add_library(rt_${target} INTERFACE)
    target_link_libraries(rt_${target} INTERFACE rooftune_flags ${ARG_DEPENDS})
  endif()
  if(tests)
    rooftune_test(${target}_test SOURCES ${tests} DEPENDS rt_${target})
  endif()
endfunction()

function(rooftune_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gtest_main ${RAPIDCHECK})
  target_precompile_headers(${name} REUSE_FROM rooftune_test_pch)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)  # -fPIE would not match the header's -fPIC
  target_compile_options(${name} PRIVATE -fPIC)
  add_test(NAME ${name} COMMAND ${name})
endfunction()
