#include "tune/database.h"

#include <sqlite3.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"

namespace rooftune::tune {
namespace {

constexpr int kApplication = 0x52545544;  // "RTUD", in the header of the file
constexpr int kFormat = 2;                // 1 had neither records nor budgets

uint64_t parse_hex(const std::string& text, const std::string& source) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    throw InputError("{}: kernel key '{}' is no hexadecimal number", source, text);
  return value;
}

}  // namespace

std::string print_decisions(const std::map<std::string, int64_t>& point) {
  std::string text;
  for (const auto& [name, value] : point) text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
  return text;
}

std::map<std::string, int64_t> parse_decisions(const std::string& text) {
  std::map<std::string, int64_t> point;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word(text.data() + begin, end - begin);
    begin = end + 1;
    const size_t equals = word.rfind('=');
    if (equals == std::string_view::npos) continue;
    int64_t value = 0;
    const char* const last = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data() + equals + 1, last, value);
    if (error == std::errc() && stop == last) point[std::string(word.substr(0, equals))] = value;
  }
  return point;
}

Json to_json(const Entry& e) {
  // The key in hexadecimal: a number of 64 bits is more than most readers of JSON keep.
  return {{"kernel", to_hex(e.key.kernel)}, {"machine", e.key.machine},       {"threads", e.key.threads},
          {"codegen", e.key.codegen},       {"algorithm", e.algorithm},       {"schedule", e.schedule},
          {"measured_ms", e.measured_ms},   {"predicted_ms", e.predicted_ms}, {"budget_seconds", e.budget_seconds}};
}

Json to_json(const Record& r) {
  Json values = Json::array();
  // Three decimals are what features are computed to: more would be those of the binary number.
  for (const float v : r.features) values.push_back(std::round(static_cast<double>(v) * 1e3) / 1e3);
  return {{"kernel", to_hex(r.key.kernel)},
          {"machine", r.key.machine},
          {"threads", r.key.threads},
          {"codegen", r.key.codegen},
          {"algorithm", r.algorithm},
          {"schedule", r.schedule},
          {"decisions", r.decisions},
          {"measured_ms", r.measured_ms},
          {"roofline_ms", r.roofline_ms},
          {"rough_ms", r.rough_ms},
          {"feature_version", r.feature_version},
          {"features", std::move(values)}};
}

namespace {

EntryKey key_from(const Json& json, const std::string& source) {
  return {parse_hex(json_field<std::string>(json, "kernel", source), source),
          json_field<std::string>(json, "machine", source), json_field<int>(json, "threads", source),
          json_field<std::string>(json, "codegen", source)};
}

Entry entry_from(const Json& json, const std::string& source) {
  Entry e;
  e.key = key_from(json, source);
  e.algorithm = json_field<std::string>(json, "algorithm", source);
  e.schedule = json_field<std::string>(json, "schedule", source);
  e.measured_ms = json_field<double>(json, "measured_ms", source);
  e.predicted_ms = json_field<double>(json, "predicted_ms", source);
  if (json.contains("budget_seconds")) e.budget_seconds = json_field<double>(json, "budget_seconds", source);
  return e;
}

}  // namespace

Record record_from_json(const Json& json, const std::string& source) {
  Record r;
  r.key = key_from(json, source);
  r.algorithm = json_field<std::string>(json, "algorithm", source);
  r.schedule = json_field<std::string>(json, "schedule", source);
  r.decisions = json_field<std::string>(json, "decisions", source);
  r.measured_ms = json_field<double>(json, "measured_ms", source);
  r.roofline_ms = json_field<double>(json, "roofline_ms", source);
  r.rough_ms = json_field<double>(json, "rough_ms", source);
  r.feature_version = json_field<std::string>(json, "feature_version", source);
  r.features = json_field<std::vector<float>>(json, "features", source);
  if (!(r.measured_ms > 0 && r.roofline_ms > 0 && r.rough_ms > 0))
    throw InputError("{}: times of a record must be above 0", source);
  return r;
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
  Statement& bind(const std::vector<float>& numbers) {
    sqlite3_bind_blob(s, ++at, numbers.data(), static_cast<int>(numbers.size() * sizeof(float)), SQLITE_TRANSIENT);
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
    e.budget_seconds = sqlite3_column_double(s, 8);
    return e;
  }
  Record record() const {
    Record r;
    r.key = {parse_hex(text(0), db.path_), text(1), sqlite3_column_int(s, 2), text(3)};
    r.algorithm = text(4);
    r.schedule = text(5);
    r.decisions = text(6);
    r.measured_ms = sqlite3_column_double(s, 7);
    r.roofline_ms = sqlite3_column_double(s, 8);
    r.rough_ms = sqlite3_column_double(s, 9);
    r.feature_version = text(10);
    r.features.resize(static_cast<size_t>(sqlite3_column_bytes(s, 11)) / sizeof(float));
    if (!r.features.empty())
      std::memcpy(r.features.data(), sqlite3_column_blob(s, 11), r.features.size() * sizeof(float));
    return r;
  }
  void again() { sqlite3_reset(s), sqlite3_clear_bindings(s), at = 0; }
  const Database& db;
  sqlite3_stmt* s = nullptr;
  int at = 0;
};

/// What is written in between appears as a whole or not at all; within another one it is part of that.
struct Database::Transaction {
  explicit Transaction(const Database& database) : db(database), outer(sqlite3_get_autocommit(database.handle_) == 0) {
    if (!outer) db.run("BEGIN IMMEDIATE");
  }
  ~Transaction() {
    if (!outer && !done) sqlite3_exec(db.handle_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  void commit() {
    if (!outer) db.run("COMMIT");
    done = true;
  }
  const Database& db;
  bool outer, done = false;
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
    if (application == kApplication && (format < 1 || format > kFormat))
      throw InputError("tuning database '{}' has format {}; this version reads up to {}", path_, format, kFormat);
    run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;");
    run("BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS tuned (kernel TEXT NOT NULL, machine TEXT NOT NULL, threads INTEGER NOT NULL,"
        " codegen TEXT NOT NULL, algorithm TEXT NOT NULL, schedule TEXT NOT NULL, measured_ms REAL NOT NULL,"
        " predicted_ms REAL NOT NULL, budget_seconds REAL NOT NULL DEFAULT 0,"
        " PRIMARY KEY (kernel, machine, threads, codegen)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS measured (kernel TEXT NOT NULL, machine TEXT NOT NULL, threads INTEGER NOT NULL,"
        " codegen TEXT NOT NULL, algorithm TEXT NOT NULL, schedule TEXT NOT NULL, decisions TEXT NOT NULL,"
        " measured_ms REAL NOT NULL, roofline_ms REAL NOT NULL, rough_ms REAL NOT NULL, feature_version TEXT NOT NULL, "
        "features BLOB NOT NULL,"
        " UNIQUE (kernel, machine, threads, codegen, algorithm, schedule));");
    // Another process may have been faster: what a format lacks is asked of the table.
    if (number("SELECT count(*) FROM pragma_table_info('tuned') WHERE name='budget_seconds'") == 0)
      run("ALTER TABLE tuned ADD COLUMN budget_seconds REAL NOT NULL DEFAULT 0;");
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
  Statement s(*this, "INSERT OR REPLACE INTO tuned VALUES (?,?,?,?,?,?,?,?,?)");
  s.bind(to_hex(e.key.kernel)).bind(e.key.machine).bind(e.key.threads).bind(e.key.codegen);
  s.bind(e.algorithm).bind(e.schedule).bind(e.measured_ms).bind(e.predicted_ms).bind(e.budget_seconds);
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

void Database::put(const std::vector<Record>& records) {
  if (records.empty()) return;
  Transaction transaction(*this);
  Statement s(*this, "INSERT OR REPLACE INTO measured VALUES (?,?,?,?,?,?,?,?,?,?,?,?)");
  for (const auto& r : records) {
    s.bind(to_hex(r.key.kernel)).bind(r.key.machine).bind(r.key.threads).bind(r.key.codegen);
    s.bind(r.algorithm).bind(r.schedule).bind(r.decisions);
    s.bind(r.measured_ms).bind(r.roofline_ms).bind(r.rough_ms);
    s.bind(r.feature_version).bind(r.features);
    s.step("writing to it");
    s.again();
  }
  transaction.commit();
}

std::vector<Record> Database::records(const std::string& feature_version, const EntryKey& near, size_t most) const {
  Statement s(
      *this,
      "SELECT * FROM measured WHERE feature_version=? ORDER BY (machine=? AND threads=?) DESC, (codegen=?) DESC,"
      " rowid DESC LIMIT ?");
  s.bind(feature_version).bind(near.machine).bind(near.threads).bind(near.codegen).bind(static_cast<int>(most));
  std::vector<Record> result;
  while (s.step("reading it")) result.push_back(s.record());
  return result;
}

std::vector<Record> Database::best_of(const EntryKey& kernel, size_t most) const {
  Statement s(*this,
              "SELECT * FROM measured WHERE kernel=? ORDER BY (machine=?) DESC, (threads=?) DESC, measured_ms, rowid");
  s.bind(to_hex(kernel.kernel)).bind(kernel.machine).bind(kernel.threads);
  std::vector<Record> result;
  while (result.size() < most && s.step("reading it")) {
    auto record = s.record();
    if (std::none_of(result.begin(), result.end(),
                     [&](const auto& r) { return r.algorithm == record.algorithm && r.schedule == record.schedule; }))
      result.push_back(std::move(record));
  }
  return result;
}

std::vector<Record> Database::all_records() const {
  Statement s(*this, "SELECT * FROM measured ORDER BY rowid");
  std::vector<Record> result;
  while (s.step("reading it")) result.push_back(s.record());
  return result;
}

std::vector<Database::Holding> Database::holdings() const {
  Statement s(*this,
              "SELECT machine, threads, codegen, sum(won), sum(1-won), count(DISTINCT kernel) FROM"
              " (SELECT machine, threads, codegen, kernel, 1 AS won FROM tuned UNION ALL"
              "  SELECT machine, threads, codegen, kernel, 0 FROM measured)"
              " GROUP BY machine, threads, codegen ORDER BY machine, threads, codegen");
  std::vector<Holding> result;
  while (s.step("reading it"))
    result.push_back({s.text(0), sqlite3_column_int(s.s, 1), s.text(2), sqlite3_column_int64(s.s, 3),
                      sqlite3_column_int64(s.s, 4), sqlite3_column_int64(s.s, 5)});
  return result;
}

void Database::export_jsonl(const std::string& path) const {
  std::string text;
  for (const auto& e : all()) text += to_json(e).dump() + "\n";
  for (const auto& r : all_records()) text += to_json(r).dump() + "\n";
  write_file(path, text);
}

size_t Database::import_jsonl(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<Entry> entries;
  std::vector<Record> records;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string source = fmt::format("{}:{}", path, number);
    const Json json = parse_json(line, source);
    if (json.is_object() && json.contains("features")) records.push_back(record_from_json(json, source));
    else entries.push_back(entry_from(json, source));
  }
  Transaction transaction(*this);
  for (const auto& e : entries) {
    const auto known = find(e.key);
    const bool faster = known && e.measured_ms > 0 && (known->measured_ms <= 0 || e.measured_ms < known->measured_ms);
    if (!known || faster) put(e);
  }
  put(records);
  transaction.commit();
  return entries.size() + records.size();
}

}  // namespace rooftune::tune
