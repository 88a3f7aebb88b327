// Hashes, log, progress, JSON, errors.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <csignal>

#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"

namespace rooftune {
namespace {

template <typename E>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing of this type was thrown";
}

TEST(Hash, KnownAnswers) {  // the published test vectors
  EXPECT_EQ(xxh64(""), 0xef46db3751d8e999u);
  EXPECT_EQ(xxh64("abc"), 0x44bc2cf5ad770999u);
  EXPECT_EQ(to_hex(0xab), "00000000000000ab");
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

RC_GTEST_PROP(Hash, PiecewiseShaIsTheWhole, (const std::string& a, const std::string& b)) {
  Sha256 hash;
  hash.update(a);
  hash.update(b);
  RC_ASSERT(hash.finish() == sha256(a + b));
}

TEST(Hash, OfAFile) {
  TempDirectory folder;
  write_file(folder.file("a"), "abc");
  EXPECT_EQ(sha256_file(folder.file("a")), sha256("abc"));
}

TEST(Log, LevelDropsAndStderrReceives) {
  const LogLevel before = log_level();
  set_log_level(LogLevel::warning);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  log_info("dropped {}", 1);
  log_warning("kept {}", 2);
  log_error("also {}", "3");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  set_log_level(before);
  EXPECT_EQ(text.find("dropped"), std::string::npos);
  EXPECT_NE(text.find("warning: kept 2"), std::string::npos) << text;
  EXPECT_NE(text.find("error: also 3"), std::string::npos) << text;
}

TEST(Progress, InterruptSetsTheFlag) {
  EXPECT_FALSE(interrupted().requested());
  catch_interrupts();
  std::raise(SIGINT);
  EXPECT_TRUE(interrupted().requested());
  interrupted().reset();
  std::raise(SIGINT);
  EXPECT_TRUE(interrupted().requested());
  interrupted().reset();
  std::signal(SIGINT, SIG_DFL);
}

TEST(ProgressDeathTest, SecondInterruptEnds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        catch_interrupts();
        std::raise(SIGINT);
        std::raise(SIGINT);
        std::_Exit(0);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST(Progress, SilentWhereThereIsNoTerminal) {
  testing::internal::CaptureStderr();
  {
    TerminalProgress progress;
    progress.report("tune", 1, 2, 3.5, 10);
    no_progress().report("tune", 1, 2);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Json, MalformedNamesLineAndColumn) {
  const std::string message = message_of<InputError>([] { parse_json("{\n  \"a\": 1,\n  \"b\": ]\n}", "run.json"); });
  EXPECT_EQ(message, "run.json is not valid JSON: line 3, column 8");
  EXPECT_THROW(parse_json("", "empty"), InputError);
  EXPECT_THROW(parse_json("{\"a\": \"\xff\"}", "bad utf-8"), InputError);
}

TEST(Json, FieldsAreChecked) {
  const Json object = parse_json(R"({"n": 3, "s": "x", "l": [1, 2]})", "t");
  EXPECT_EQ(json_field<int>(object, "n", "t"), 3);
  EXPECT_EQ(json_field<std::vector<int>>(object, "l", "t"), (std::vector<int>{1, 2}));
  EXPECT_EQ(message_of<InputError>([&] { json_field<int>(object, "m", "t"); }), "t: field 'm' is missing");
  EXPECT_NE(message_of<InputError>([&] { json_field<int>(object, "s", "t"); }).find("'s' has the wrong type"),
            std::string::npos);
  EXPECT_THROW(json_field<int>(Json(3), "s", "t"), InputError);
  EXPECT_EQ(object.dump(), R"({"n":3,"s":"x","l":[1,2]})");
}

TEST(Error, ChecksNameThePlace) {
  const std::string message = message_of<InternalError>([] { RT_CHECK(1 + 1 == 3, "sum {}", 2); });
  EXPECT_NE(message.find("base_test.cpp"), std::string::npos);
  EXPECT_NE(message.find("1 + 1 == 3"), std::string::npos);
  EXPECT_NE(message.find("sum 2"), std::string::npos);
}

}  // namespace
}  // namespace rooftune
