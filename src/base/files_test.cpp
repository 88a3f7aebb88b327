#include "base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <random>

#include "base/error.h"

namespace rooftune {
namespace {
namespace fs = std::filesystem;

std::string random_bytes(size_t size) {
  std::mt19937 random(7);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

size_t entries(const std::string& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

template <typename E>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing of this type was thrown";
}

TEST(Files, WriteThenReadAndMap) {
  TempDirectory folder;
  for (size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{100001}}) {
    const std::string content = random_bytes(size), path = folder.file("a.bin");
    write_file(path, content);
    EXPECT_EQ(read_file(path), content);
    const auto mapped = MappedFile::open(path);
    EXPECT_EQ(mapped->text(), content);
    EXPECT_EQ(entries(folder.path()), 1u) << "no temporary may remain";
  }
}

TEST(Files, WritingToAMappingNeverReachesTheFile) {
  TempDirectory folder;
  write_file(folder.file("a"), "original");
  const auto mapped = MappedFile::open(folder.file("a"));
  mapped->data()[0] = 'X';
  EXPECT_EQ(mapped->text(), "Xriginal");
  EXPECT_EQ(read_file(folder.file("a")), "original");
}

TEST(Files, ReadsFilesThatStateNoSize) { EXPECT_NE(read_file("/proc/self/status").find("Pid:"), std::string::npos); }

TEST(Files, MissingFileNamesPath) {
  for (const auto& open :
       {+[] { read_file("/nowhere/model.onnx"); }, +[] { MappedFile::open("/nowhere/model.onnx"); }}) {
    const std::string message = message_of<InputError>(open);
    EXPECT_NE(message.find("/nowhere/model.onnx"), std::string::npos) << message;
    EXPECT_NE(message.find("No such file"), std::string::npos) << message;
  }
}

TEST(Files, AFolderIsNotAFile) {
  TempDirectory folder;
  EXPECT_NE(message_of<InputError>([&] { read_file(folder.path()); }).find("folder"), std::string::npos);
  EXPECT_NE(message_of<InputError>([&] { write_file(folder.path(), "x"); }).find("folder"), std::string::npos);
  EXPECT_THROW(MappedFile::open("/dev/null"), InputError);
}

TEST(Files, WriteWithoutParentFolderFails) {
  TempDirectory folder;
  EXPECT_NE(message_of<InputError>([&] { write_file(folder.file("no/such/a"), "x"); }).find("no/such/a"),
            std::string::npos);
}

TEST(Files, FullDiskIsTheMachinesFault) {  // /dev/full answers every write with ENOSPC
  TempDirectory folder;
  AtomicFile file(folder.file("a"));
  const std::string temporary = fs::directory_iterator(folder.path())->path().string();
  const int full = ::open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  // find the descriptor of the temporary and let it point to the full device
  int found = -1;
  for (int fd = 3; fd < 256 && found < 0; ++fd) {
    std::error_code error;
    if (fs::read_symlink("/proc/self/fd/" + std::to_string(fd), error) == temporary) found = fd;
  }
  ASSERT_GE(found, 0);
  ASSERT_EQ(::dup2(full, found), found);
  ::close(full);
  const std::string message = message_of<EnvironmentError>([&] { file.write("content"); });
  EXPECT_NE(message.find("No space left"), std::string::npos) << message;
  EXPECT_NE(message.find(folder.file("a")), std::string::npos) << message;
}

TEST(Files, NoPermission) {
  if (::geteuid() == 0) {  // root may read all: what it meets is a read-only file system
    EXPECT_THROW(write_file("/proc/rooftune-test", "x"), Error);
    return;
  }
  TempDirectory folder;
  write_file(folder.file("secret"), "x");
  ::chmod(folder.file("secret").c_str(), 0);
  EXPECT_NE(message_of<InputError>([&] { read_file(folder.file("secret")); }).find("Permission"), std::string::npos);
  ::chmod(folder.path().c_str(), 0500);
  EXPECT_THROW(write_file(folder.file("new"), "x"), EnvironmentError);
  ::chmod(folder.path().c_str(), 0700);
}

TEST(AtomicFile, WithoutCommitTheOldFileStays) {
  TempDirectory folder;
  write_file(folder.file("a"), "old");
  {
    AtomicFile file(folder.file("a"));
    file.write("new and");
    file.write(" longer");
    EXPECT_EQ(file.position(), 14u);
    EXPECT_EQ(read_file(folder.file("a")), "old");
  }
  EXPECT_EQ(read_file(folder.file("a")), "old");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(AtomicDirectory, AppearsWholeOrNotAtAll) {
  TempDirectory folder;
  const std::string target = folder.file("deep/er/out");
  {
    AtomicDirectory out(target);
    write_file(out.file("a"), "x");
  }
  EXPECT_EQ(entries(folder.path()), 0u) << "neither staging nor new parents may remain";
  {
    AtomicDirectory out(target + "/");
    write_file(out.file("a"), "x");
    EXPECT_FALSE(fs::exists(target));
    out.commit();
  }
  EXPECT_EQ(read_file(target + "/a"), "x");
  EXPECT_EQ(entries(folder.file("deep/er")), 1u);
}

TEST(AtomicDirectory, ReplacesItsOwnFilesAndKeepsOthers) {
  TempDirectory folder;
  const std::string target = folder.file("out");
  fs::create_directories(target + "/passes");
  write_file(target + "/mine", "keep");
  write_file(target + "/report", "old");
  write_file(target + "/passes/stale", "old");
  AtomicDirectory out(target);
  write_file(out.file("report"), "new");
  fs::create_directory(out.file("passes"));
  write_file(out.file("passes/fresh"), "new");
  out.commit();
  EXPECT_EQ(read_file(target + "/mine"), "keep");
  EXPECT_EQ(read_file(target + "/report"), "new");
  EXPECT_EQ(read_file(target + "/passes/fresh"), "new");
  EXPECT_FALSE(fs::exists(target + "/passes/stale"));
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(AtomicDirectory, TargetIsAFile) {
  TempDirectory folder;
  write_file(folder.file("out"), "x");
  EXPECT_THROW(AtomicDirectory(folder.file("out")), InputError);
}

TEST(TempDirectory, GoesWithItsContents) {
  std::string path;
  {
    TempDirectory folder;
    path = folder.path();
    fs::create_directories(folder.file("a/b"));
    write_file(folder.file("a/b/c"), "x");
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(CacheDirectory, FollowsTheEnvironment) {
  TempDirectory folder;
  const char* before = std::getenv("XDG_CACHE_HOME");
  const std::string saved = before ? before : "";
  ::setenv("XDG_CACHE_HOME", folder.file("cache").c_str(), 1);
  EXPECT_EQ(cache_directory(), folder.file("cache/rooftune"));
  EXPECT_TRUE(fs::is_directory(folder.file("cache/rooftune")));
  if (before) ::setenv("XDG_CACHE_HOME", saved.c_str(), 1);
  else ::unsetenv("XDG_CACHE_HOME");
}

TEST(Files, NamesThatAreTooLongAreTheUsersMistake) {
  TempDirectory folder;
  const std::string name = folder.file(std::string(300, 'n'));
  EXPECT_THROW(AtomicFile file(name), InputError);
  EXPECT_THROW(AtomicFile file(name + "/a"), InputError);
  EXPECT_THROW(AtomicDirectory out(name), InputError);
  EXPECT_THROW(AtomicDirectory out(name + "/a"), InputError);
  EXPECT_THROW(read_file(name), InputError);
  EXPECT_EQ(entries(folder.path()), 0u);
}

}  // namespace
}  // namespace rooftune
