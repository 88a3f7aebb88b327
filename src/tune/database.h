// What tuning found, kept between runs: one SQLite file, which several processes may use at once. An entry holds for one
// kernel, machine, thread count and version of the code generator; nothing else about a model is stored.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

struct sqlite3;

namespace rooftune::tune {

struct EntryKey {
  uint64_t kernel = 0;  // Task::key
  std::string machine;  // hardware::Host::key()
  int threads = 1;
  std::string codegen;  // Codegen::version()
  bool operator==(const EntryKey&) const = default;
};

struct Entry {
  EntryKey key;
  std::string algorithm;
  std::string schedule;  // kernel::print of it
  double measured_ms = 0;
  double predicted_ms = 0;
  bool operator==(const Entry&) const = default;
};

Json to_json(const Entry& entry);

class Database {
 public:
  /// Opens or makes the file. InputError naming it where it is damaged or something else than a tuning database;
  /// EnvironmentError where it cannot be made. A path that ends with .jsonl is what export_jsonl or `optimize` wrote: its
  /// entries are read, and what is put later is forgotten with this object.
  explicit Database(std::string path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  std::optional<Entry> find(const EntryKey& key) const;
  void put(const Entry& entry);      // replaces what has the same key
  void remove(const EntryKey& key);  // no error where there is none
  std::vector<Entry> all() const;    // ordered by key

  /// One JSON object per line, as to_json makes it, perhaps with more fields. `import` returns how many entries it read;
  /// InputError naming file and line of a bad one, and then nothing was imported.
  void export_jsonl(const std::string& path) const;
  size_t import_jsonl(const std::string& path);

 private:
  void run(const char* sql) const;
  [[noreturn]] void fail(const std::string& doing) const;
  struct Statement;
  std::string path_;
  sqlite3* handle_ = nullptr;
};

}  // namespace rooftune::tune
