// What tuning found, kept between runs: one SQLite file, which several processes may use at once. An entry holds for one
// kernel, machine, thread count and version of the code generator; nothing else about a model is stored. Beside what won
// stands all that was measured, with the features that a cost model learns from: for kernels never seen and machines that
// are others, which entries say nothing of.
#pragma once
#include <cstdint>
#include <map>
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
  double budget_seconds = 0;  // of the run that found it: one with no more time need not look again
  bool operator==(const Entry&) const = default;
};

/// One schedule that was measured.
struct Record {
  EntryKey key;
  std::string algorithm;
  std::string schedule;
  std::string decisions;  // the point of the search that made it: "acc.rows=8 acc.vectors=3"; empty: the analytical one
  double measured_ms = 0;
  double roofline_ms = 0;  // estimate::Features …
  double rough_ms = 0;
  std::string feature_version;  // … as computed by this version
  std::vector<float> features;
  bool operator==(const Record&) const = default;
};

std::string print_decisions(const std::map<std::string, int64_t>& point);
std::map<std::string, int64_t> parse_decisions(const std::string& text);  // what is no decision is left out

Json to_json(const Entry& entry);
Json to_json(const Record& record);
Record record_from_json(const Json& json, const std::string& source);  // InputError naming the source and what is wrong

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

  /// What was measured of one schedule several times: the latest counts.
  void put(const std::vector<Record>& records);
  /// Up to `most` records with these features, those of the key's machine and threads first, then those of its code
  /// generator, then the latest.
  std::vector<Record> records(const std::string& feature_version, const EntryKey& near, size_t most) const;
  /// The fastest of a kernel on any machine and from any code generator, different schedules, at most `most` of them; those
  /// of the key's machine first.
  std::vector<Record> best_of(const EntryKey& kernel, size_t most) const;
  std::vector<Record> all_records() const;  // in the order in which they were put

  /// How much there is of each machine, number of threads and code generator.
  struct Holding {
    std::string machine;
    int threads = 1;
    std::string codegen;
    int64_t entries = 0, records = 0, kernels = 0;
  };
  std::vector<Holding> holdings() const;

  /// One JSON object per line, as to_json makes it, perhaps with more fields; a record is what has features. `import` merges:
  /// of entries with the same key the faster one stays. It returns how many lines it read; InputError naming file and line
  /// of a bad one, and then nothing was imported.
  void export_jsonl(const std::string& path) const;
  size_t import_jsonl(const std::string& path);

 private:
  void run(const char* sql) const;
  [[noreturn]] void fail(const std::string& doing) const;
  struct Statement;
  struct Transaction;
  std::string path_;
  sqlite3* handle_ = nullptr;
};

}  // namespace rooftune::tune
