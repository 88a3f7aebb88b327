// Which files are plug-ins, and that one which is refused leaves nothing behind.
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/files.h"
#include "codegen/codegen.h"
#include "ops/op.h"
#include "plugins/testing.h"

namespace rooftune::plugins {
namespace {

template <typename E>
std::string refusal(const std::string& path) {
  return message_of<E>([&] { load(path); });
}

TEST(Plugins, WhatIsNoPluginIsNamed) {
  const TempDirectory folder;
  const std::string missing = folder.file("missing.so"), text = folder.file("text.so");
  std::ofstream(text) << "no library";
  EXPECT_EQ(refusal<InputError>(missing), "plug-in " + missing + ": No such file or directory");
  EXPECT_EQ(refusal<InputError>(text), "plug-in " + text + ": it is no shared library");
  expect_has(refusal<InputError>(folder.path()), "it is no shared library");
  expect_has(refusal<InputError>(built("plugin_no_entry")),
             "libplugin_no_entry.so: it is no plug-in of Rooftune, for it does not export rooftune_plugin");
  expect_has(refusal<InputError>(built("plugin_nothing")), "its rooftune_plugin returns nothing");
}

TEST(Plugins, ADamagedLibraryIsTheMachinesFault) {
  const TempDirectory folder;
  const std::string damaged = folder.file("damaged.so");
  std::ofstream(damaged) << "\177ELF and then nothing of the kind";
  expect_has(refusal<EnvironmentError>(damaged), "plug-in " + damaged + " cannot be loaded: ");
}

TEST(Plugins, AnotherVersionOfTheInterfaceIsRefused) {
  const std::string why = refusal<EnvironmentError>(built("plugin_wrong_abi"));
  expect_has(why,
             "libplugin_wrong_abi.so was made for version 99 of the plug-in interface, this Rooftune has version 1");
  expect_has(why, "compile it again");
}

TEST(Plugins, NamesThatAreTakenAreRefusedAndNothingIsKept) {
  expect_has(refusal<InputError>(built("plugin_taken")),
             "operator Relu of plug-in odd 0.1 (libplugin_taken.so) is there already: Rooftune itself defines it");
  EXPECT_EQ(ops::Catalogue::instance().find("Fresh", "com.other"), nullptr);
  expect_has(refusal<InputError>(built("plugin_twice")), "defines operator com.other.Same twice");
  EXPECT_EQ(ops::Catalogue::instance().find("Same", "com.other"), nullptr);
  expect_has(refusal<InputError>(built("plugin_taken_backend")), "a code generator 'cpu' is there already");
  expect_has(refusal<InputError>(built("plugin_no_reference")), "operator 'NoReference' must have evaluate");
  for (const auto& plugin : loaded())
    for (const char* refused : {"taken", "twice", "no_reference"})
      EXPECT_EQ(plugin.file.find(refused), std::string::npos) << plugin.file;
}

TEST(Plugins, OneIsLoadedOnceByWhateverName) {
  const TempDirectory folder;
  const std::string link = folder.file("link.so");
  std::filesystem::create_symlink(built("example_operators"), link);
  load(built("example_operators"));
  load(link);
  size_t found = 0;
  for (const auto& plugin : loaded()) {
    if (plugin.name != "example_operators") continue;
    ++found;
    EXPECT_EQ(plugin.version, "1.0");
    EXPECT_EQ(plugin.operators, (std::vector<std::string>{"com.example.SwiGLU", "com.example.EditDistance"}));
    EXPECT_TRUE(plugin.backends.empty());
  }
  EXPECT_EQ(found, 1u);
  // A copy is another library, whose operators are there already.
  std::filesystem::copy_file(built("example_operators"), folder.file("copy.so"));
  expect_has(refusal<InputError>(folder.file("copy.so")),
             "is there already: plug-in example_operators 1.0 (libexample_operators.so) defines it");
}

TEST(Plugins, TheEnvironmentNamesSome) {
  setenv("ROOFTUNE_PLUGINS", fmt::format(":{}:{}:", built("example_backend"), built("example_operators")).c_str(), 1);
  load_from_environment();
  EXPECT_TRUE(codegen::has_backend("portable_c"));
  EXPECT_NE(ops::Catalogue::instance().find("SwiGLU", "com.example"), nullptr);
  setenv("ROOFTUNE_PLUGINS", "/nonexistent/x.so", 1);
  expect_has(message_of<InputError>([] { load_from_environment(); }), "/nonexistent/x.so");
  unsetenv("ROOFTUNE_PLUGINS");
  load_from_environment();
}

TEST(Plugins, OperatorsAreFoundWhileOthersComeIn) {
  std::vector<std::thread> readers;
  for (int t = 0; t < 4; ++t)
    readers.emplace_back([] {
      for (int i = 0; i < 2000; ++i) {
        EXPECT_NE(ops::Catalogue::instance().find("Relu", ""), nullptr);
        EXPECT_GT(ops::Catalogue::instance().all().size(), 100u);
      }
    });
  load(built("plugin_odd"));
  for (auto& reader : readers) reader.join();
  EXPECT_NE(ops::Catalogue::instance().find("Reverse", "com.test"), nullptr);
}

}  // namespace
}  // namespace rooftune::plugins
