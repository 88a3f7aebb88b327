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
  return {{kernel, machine, threads, "llvm19-1"}, "direct", "y: n/48 m/8:p\n\"quoted\"", 0.25, 0.3};
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
