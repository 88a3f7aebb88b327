// Files: mapped reading, and writing that is all or nothing. Errors name the path and what the system said:
// InputError where the path itself is wrong (missing, a folder, not readable), EnvironmentError where the machine
// cannot (disk full, read-only, no permission to write, out of descriptors).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune {

/// A file mapped private and copy-on-write: reading costs no copy, writing to the memory never reaches the file.
class MappedFile {
 public:
  static std::shared_ptr<MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  uint8_t* data() const { return data_; }  // null for an empty file
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  MappedFile(std::string path, uint8_t* data, size_t size) : path_(std::move(path)), data_(data), size_(size) {}
  std::string path_;
  uint8_t* data_;
  size_t size_;
};

std::string read_file(const std::string& path);

/// Writes beside `path` and takes its place at commit() (fsync, then rename), so that a reader sees the old file or the
/// whole new one. Without a commit nothing remains.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  uint64_t position() const { return position_; }  // bytes written so far
  void commit();

 private:
  std::string path_, temporary_;
  int descriptor_ = -1;
  uint64_t position_ = 0;
};

void write_file(const std::string& path, std::string_view content);  // by AtomicFile

/// An output folder that appears whole or not at all: write into path(), then commit(). Where the target exists
/// already, its files of the same names are replaced and all others stay. Without a commit nothing remains.
class AtomicDirectory {
 public:
  explicit AtomicDirectory(std::string target);
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  const std::string& path() const { return staging_; }
  std::string file(std::string_view name) const { return staging_ + "/" + std::string(name); }
  void commit();

 private:
  std::string target_, staging_;
  std::vector<std::string> created_parents_;  // innermost last; removed again without a commit
  bool committed_ = false;
};

/// A folder under $TMPDIR that goes with its contents when this goes.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

/// ${XDG_CACHE_HOME:-~/.cache}/rooftune, made where it is missing.
std::string cache_directory();

}  // namespace rooftune
