// The tuning database: what is put is found, by many processes at once, and what is no database is refused.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "tune/database.h"

namespace rooftune::tune {
namespace {

Entry entry(uint64_t kernel, const std::string& machine = "zen4", int threads = 4) {
  return {{kernel, machine, threads, "llvm19-1"}, "direct", "y: n/48 m/8:p\n\"quoted\"", 0.25, 0.3, 60};
}

Record record(uint64_t kernel, double ms, const std::string& schedule = "y: n/48", const std::string& machine = "zen4",
              const std::string& codegen = "llvm19-1") {
  return {{kernel, machine, 4, codegen}, "direct", schedule, "acc.rows=8 acc.vectors=3", ms, 0.125, 0.2, "v1",
          {1.5F, -2.25F, 0.001F, 7.123F}};
}

template <typename E>
std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "";
}

TEST(Database, KeepsWhatWasPut) {
  TempDirectory folder;
  const std::string path = folder.file("tune.db");
  {
    Database db(path);
    db.put(entry(~uint64_t{0}));
    db.put(entry(7));
    auto better = entry(7);
    better.measured_ms = 0.1;
    db.put(better);
  }
  Database a(path), b(path);
  EXPECT_EQ(a.find(entry(7).key)->measured_ms, 0.1);
  EXPECT_EQ(a.find(entry(~uint64_t{0}).key), entry(~uint64_t{0}));
  EXPECT_FALSE(a.find(entry(7, "zen3").key));
  EXPECT_FALSE(a.find(entry(7, "zen4", 5).key));
  b.put(entry(8));
  EXPECT_EQ(a.all().size(), 3u);
}

TEST(Database, ManyProcessesWriteAtOnce) {
  TempDirectory folder;
  const std::string path = folder.file("tune.db");
  {
    Database make(path);
  }
  std::vector<pid_t> children;
  for (int c = 0; c < 4; ++c) {
    children.push_back(fork());
    if (children.back() == 0) {
      try {
        Database db(path);
        for (int i = 0; i < 50; ++i) db.put(entry(static_cast<uint64_t>(c * 100 + i)));
        _exit(0);
      } catch (...) {
        _exit(1);
      }
    }
  }
  for (pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(Database(path).all().size(), 200u);
}

TEST(Database, RefusesWhatIsNone) {
  TempDirectory folder;
  const std::string text = folder.file("notes.txt"), foreign = folder.file("foreign.db");
  std::ofstream(text) << std::string(5000, 'x');
  EXPECT_NE(message_of<InputError>([&] { Database db(text); }).find(text), std::string::npos);
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(foreign.c_str(), &handle), SQLITE_OK);
  sqlite3_exec(handle, "CREATE TABLE t (a)", nullptr, nullptr, nullptr);
  sqlite3_close(handle);
  EXPECT_NE(message_of<InputError>([&] { Database db(foreign); }).find("no tuning database"), std::string::npos);
  EXPECT_NE(
      message_of<EnvironmentError>([&] { Database db("/nonexistent/folder/t.db"); }).find("/nonexistent/folder/t.db"),
      std::string::npos);
}

TEST(Database, KeepsAllThatWasMeasured) {
  TempDirectory folder;
  Database db(folder.file("tune.db"));
  db.put({record(1, 0.5), record(1, 0.3, "other"), record(2, 0.9, "y: n/48", "zen3"), record(2, 0.7)});
  db.put({record(1, 0.4)});  // measured again
  const auto near = db.records("v1", {0, "zen4", 4, "llvm19-1"}, 100);
  ASSERT_EQ(near.size(), 4u);
  EXPECT_EQ(near[0], record(1, 0.4)) << "the latest first";
  EXPECT_EQ(near[3].key.machine, "zen3") << "other machines last";
  EXPECT_EQ(db.records("v1", {0, "zen3", 4, "llvm19-1"}, 1)[0].key.machine, "zen3");
  EXPECT_TRUE(db.records("v2", {}, 100).empty()) << "features of another version mean something else";
  const auto best = db.best_of({1, "zen3", 4, "later"}, 5);
  ASSERT_EQ(best.size(), 2u);
  EXPECT_EQ(best[0].schedule, "other");
  EXPECT_EQ(db.best_of({2, "zen4", 4, ""}, 5).size(), 1u) << "the same schedule counts once";
  db.put(entry(1));
  const auto holdings = db.holdings();
  ASSERT_EQ(holdings.size(), 2u);
  EXPECT_EQ(holdings[0].machine, "zen3");
  EXPECT_EQ(holdings[1].entries, 1);
  EXPECT_EQ(holdings[1].records, 3);
  EXPECT_EQ(holdings[1].kernels, 2);
}

TEST(Database, MergesWhatOthersFound) {
  TempDirectory folder;
  Database a(folder.file("a.db")), b(folder.file("b.db"));
  auto slower = entry(1), faster = entry(2);
  slower.measured_ms = 0.5, faster.measured_ms = 0.1;
  a.put(slower), a.put(faster), a.put({record(1, 0.5), record(3, 0.001)});
  b.put(entry(1)), b.put(entry(2)), b.put({record(1, 0.4)});
  a.export_jsonl(folder.file("a.jsonl"));
  EXPECT_EQ(b.import_jsonl(folder.file("a.jsonl")), 4u);
  EXPECT_EQ(b.find(entry(1).key), entry(1)) << "what is faster stays";
  EXPECT_EQ(b.find(entry(2).key), faster);
  EXPECT_EQ(b.all_records(), (std::vector<Record>{record(1, 0.5), record(3, 0.001)})) << "numbers as they were";
}

/// What the first version of the file lacked is added to it.
TEST(Database, ReadsItsFirstFormat) {
  TempDirectory folder;
  const std::string path = folder.file("old.db");
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(handle,
                         "CREATE TABLE tuned (kernel TEXT NOT NULL, machine TEXT NOT NULL, threads INTEGER NOT NULL,"
                         " codegen TEXT NOT NULL, algorithm TEXT NOT NULL, schedule TEXT NOT NULL,"
                         " measured_ms REAL NOT NULL, predicted_ms REAL NOT NULL,"
                         " PRIMARY KEY (kernel, machine, threads, codegen)) WITHOUT ROWID;"
                         "INSERT INTO tuned VALUES ('07', 'zen4', 4, 'llvm19-1', 'direct', 's', 0.5, 0.6);"
                         "PRAGMA application_id=1381258564; PRAGMA user_version=1;",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(handle);
  Database db(path);
  ASSERT_EQ(db.all().size(), 1u);
  EXPECT_EQ(db.all()[0].budget_seconds, 0);
  db.put(entry(8));
  db.put({record(8, 0.5)});
  EXPECT_EQ(Database(path).find(entry(8).key), entry(8));
}

TEST(Database, DecisionsAreText) {
  const std::map<std::string, int64_t> point = {{"acc.rows", 8}, {"algorithm", 1}, {"y.strip", -2}};
  EXPECT_EQ(print_decisions(point), "acc.rows=8 algorithm=1 y.strip=-2");
  EXPECT_EQ(parse_decisions(print_decisions(point)), point);
  EXPECT_EQ(parse_decisions(" x=  y=z a=1"), (std::map<std::string, int64_t>{{"a", 1}}));
}

TEST(Database, ExportsAndImports) {
  TempDirectory folder;
  Database a(folder.file("a.db")), b(folder.file("b.db"));
  for (uint64_t k : {1, 2, 3}) a.put(entry(k));
  const std::string lines = folder.file("all.jsonl");
  a.export_jsonl(lines);
  EXPECT_EQ(b.import_jsonl(lines), 3u);
  EXPECT_EQ(a.all(), b.all());
  std::ofstream(lines, std::ios::app) << "\n{\"kernel\": \"zz\"}\n";
  Database c(folder.file("c.db"));
  EXPECT_NE(message_of<InputError>([&] { c.import_jsonl(lines); }).find("all.jsonl:5"), std::string::npos);
  EXPECT_TRUE(c.all().empty());
}

}  // namespace
}  // namespace rooftune::tune
