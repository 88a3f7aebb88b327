#include "tune/database.h"

#include <sqlite3.h>

#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"

namespace rooftune::tune {
namespace {

constexpr int kApplication = 0x52545544;  // "RTUD", in the header of the file
constexpr int kFormat = 1;

uint64_t parse_hex(const std::string& text, const std::string& source) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    throw InputError("{}: kernel key '{}' is no hexadecimal number", source, text);
  return value;
}

}  // namespace

Json to_json(const Entry& e) {
  // The key in hexadecimal: a number of 64 bits is more than most readers of JSON keep.
  return {{"kernel", to_hex(e.key.kernel)}, {"machine", e.key.machine},      {"threads", e.key.threads},
          {"codegen", e.key.codegen},       {"algorithm", e.algorithm},      {"schedule", e.schedule},
          {"measured_ms", e.measured_ms},   {"predicted_ms", e.predicted_ms}};
}

/// A prepared statement; ends with its scope.
struct Database::Statement {
  Statement(const Database& database, const char* sql) : db(database) {
    if (sqlite3_prepare_v2(db.handle_, sql, -1, &s, nullptr) != SQLITE_OK) db.fail("reading it");
  }
  ~Statement() { sqlite3_finalize(s); }
  Statement& bind(const std::string& text) {
    sqlite3_bind_text(s, ++at, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind(int value) {
    sqlite3_bind_int(s, ++at, value);
    return *this;
  }
  Statement& bind(double value) {
    sqlite3_bind_double(s, ++at, value);
    return *this;
  }
  bool step(const char* doing) {
    const int code = sqlite3_step(s);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) db.fail(doing);
    return false;
  }
  std::string text(int column) const {
    const auto* t = reinterpret_cast<const char*>(sqlite3_column_text(s, column));
    return t == nullptr ? "" : t;
  }
  Entry entry() const {
    Entry e;
    e.key = {parse_hex(text(0), db.path_), text(1), sqlite3_column_int(s, 2), text(3)};
    e.algorithm = text(4);
    e.schedule = text(5);
    e.measured_ms = sqlite3_column_double(s, 6);
    e.predicted_ms = sqlite3_column_double(s, 7);
    return e;
  }
  const Database& db;
  sqlite3_stmt* s = nullptr;
  int at = 0;
};

void Database::fail(const std::string& doing) const {
  const int code = handle_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(handle_);
  const std::string why = handle_ == nullptr ? "out of memory" : sqlite3_errmsg(handle_);
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
    throw InputError("tuning database '{}' is damaged or another kind of file ({}); delete it or name another one",
                     path_, why);
  throw EnvironmentError("tuning database '{}': {} failed: {}", path_, doing, why);
}

void Database::run(const char* sql) const {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail("preparing it");
}

Database::Database(std::string path) : path_(std::move(path)) {
  const bool lines = path_.ends_with(".jsonl");
  try {
    if (sqlite3_open_v2(lines ? ":memory:" : path_.c_str(), &handle_,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr) != SQLITE_OK)
      fail("opening it");
    sqlite3_busy_timeout(handle_, 10000);
    auto number = [&](const char* pragma) {
      Statement statement(*this, pragma);
      return statement.step("opening it") ? sqlite3_column_int(statement.s, 0) : 0;
    };
    const int application = number("PRAGMA application_id");
    if (application != kApplication && number("SELECT count(*) FROM sqlite_master") > 0)
      throw InputError("'{}' is a database, but no tuning database; name another file", path_);
    const int format = number("PRAGMA user_version");
    if (application == kApplication && format != kFormat)
      throw InputError("tuning database '{}' has format {}; this version reads format {}", path_, format, kFormat);
    run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;");
    run("BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS tuned (kernel TEXT NOT NULL, machine TEXT NOT NULL, threads INTEGER NOT NULL,"
        " codegen TEXT NOT NULL, algorithm TEXT NOT NULL, schedule TEXT NOT NULL, measured_ms REAL NOT NULL,"
        " predicted_ms REAL NOT NULL, PRIMARY KEY (kernel, machine, threads, codegen)) WITHOUT ROWID;");
    run(fmt::format("PRAGMA application_id={}; PRAGMA user_version={}; COMMIT;", kApplication, kFormat).c_str());
    if (lines) import_jsonl(path_);
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Database::~Database() { sqlite3_close(handle_); }

std::optional<Entry> Database::find(const EntryKey& key) const {
  Statement s(*this, "SELECT * FROM tuned WHERE kernel=? AND machine=? AND threads=? AND codegen=?");
  s.bind(to_hex(key.kernel)).bind(key.machine).bind(key.threads).bind(key.codegen);
  if (!s.step("reading it")) return std::nullopt;
  return s.entry();
}

void Database::put(const Entry& e) {
  Statement s(*this, "INSERT OR REPLACE INTO tuned VALUES (?,?,?,?,?,?,?,?)");
  s.bind(to_hex(e.key.kernel)).bind(e.key.machine).bind(e.key.threads).bind(e.key.codegen);
  s.bind(e.algorithm).bind(e.schedule).bind(e.measured_ms).bind(e.predicted_ms);
  s.step("writing to it");
}

void Database::remove(const EntryKey& key) {
  Statement s(*this, "DELETE FROM tuned WHERE kernel=? AND machine=? AND threads=? AND codegen=?");
  s.bind(to_hex(key.kernel)).bind(key.machine).bind(key.threads).bind(key.codegen);
  s.step("writing to it");
}

std::vector<Entry> Database::all() const {
  Statement s(*this, "SELECT * FROM tuned ORDER BY kernel, machine, threads, codegen");
  std::vector<Entry> entries;
  while (s.step("reading it")) entries.push_back(s.entry());
  return entries;
}

void Database::export_jsonl(const std::string& path) const {
  std::string text;
  for (const auto& e : all()) text += to_json(e).dump() + "\n";
  write_file(path, text);
}

size_t Database::import_jsonl(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<Entry> entries;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string source = fmt::format("{}:{}", path, number);
    const Json json = parse_json(line, source);
    Entry e;
    e.key.kernel = parse_hex(json_field<std::string>(json, "kernel", source), source);
    e.key.machine = json_field<std::string>(json, "machine", source);
    e.key.threads = json_field<int>(json, "threads", source);
    e.key.codegen = json_field<std::string>(json, "codegen", source);
    e.algorithm = json_field<std::string>(json, "algorithm", source);
    e.schedule = json_field<std::string>(json, "schedule", source);
    e.measured_ms = json_field<double>(json, "measured_ms", source);
    e.predicted_ms = json_field<double>(json, "predicted_ms", source);
    entries.push_back(std::move(e));
  }
  run("BEGIN IMMEDIATE");
  try {
    for (const auto& e : entries) put(e);
  } catch (...) {
    sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
  run("COMMIT");
  return entries.size();
}

}  // namespace rooftune::tune
