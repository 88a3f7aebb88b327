#include "pipeline/request.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

namespace rooftune::pipeline {
namespace {

std::string message(const std::function<void()>& body) {
  try {
    body();
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Request, UnknownOptionIsNamedAmongTheKnown) {
  const auto said = message([] { Request({{"modle", "x"}}, "run", {"model", "input"}); });
  EXPECT_TRUE(mentions(said, "run") && mentions(said, "'modle'") && mentions(said, "input, model")) << said;
  EXPECT_TRUE(mentions(message([] { Request(Json::array(), "run", {}); }), "object"));
}

TEST(Request, ReadsWhatIsThereAndElseTheDefault) {
  const Request r({{"text", "abc"}, {"n", 7}, {"x", 1.5}, {"on", true}, {"list", {"a", "b"}}, {"none", nullptr}}, "c",
                  {"text", "n", "x", "on", "list", "none"});
  EXPECT_EQ(r.text("text"), "abc");
  EXPECT_EQ(r.text("n"), "7");  // a duration given as a number
  EXPECT_EQ(r.integer("n", 0), 7);
  EXPECT_EQ(r.number("x", 0), 1.5);
  EXPECT_EQ(r.number("n", 0), 7);
  EXPECT_TRUE(r.flag("on"));
  EXPECT_EQ(r.texts("list"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(r.texts("text"), std::vector<std::string>{"abc"});
  EXPECT_FALSE(r.has("none"));
  EXPECT_EQ(r.text("none", "d"), "d");
  EXPECT_EQ(r.integer("absent", 3), 3);
  EXPECT_FALSE(r.flag("absent"));
  EXPECT_TRUE(r.texts("absent").empty());
}

TEST(Request, WrongKindsAreNamed) {
  const Request r({{"a", true}, {"b", "x"}, {"c", {1, 2}}, {"d", 1.5}}, "cmd", {"a", "b", "c", "d"});
  for (const auto& said : {message([&] { (void)r.text("a"); }), message([&] { (void)r.integer("a", 0); }),
                           message([&] { (void)r.number("a", 0); }), message([&] { (void)r.texts("a"); })})
    EXPECT_TRUE(mentions(said, "cmd") && mentions(said, "'a'") && mentions(said, "must be")) << said;
  EXPECT_TRUE(mentions(message([&] { (void)r.flag("b"); }), "'b'"));
  EXPECT_TRUE(mentions(message([&] { (void)r.texts("c"); }), "'c'"));
  EXPECT_TRUE(mentions(message([&] { (void)r.integer("d", 0); }), "integer"));
  EXPECT_TRUE(mentions(message([&] { (void)r.text("absent"); }), "'absent' is missing"));
}

TEST(Duration, Examples) {
  EXPECT_EQ(parse_duration("0", "t"), 0);
  EXPECT_EQ(parse_duration("90", "t"), 90);
  EXPECT_EQ(parse_duration("5m", "t"), 300);
  EXPECT_EQ(parse_duration("1h30m", "t"), 5400);
  EXPECT_EQ(parse_duration("1h2m3s", "t"), 3723);
  EXPECT_DOUBLE_EQ(parse_duration("0.5s", "t"), 0.5);
  EXPECT_DOUBLE_EQ(parse_duration("250ms", "t"), 0.25);
  EXPECT_DOUBLE_EQ(parse_duration("1.5m", "t"), 90);
}

TEST(Duration, WhatIsNoneIsSaidSo) {
  for (const char* text :
       {"", "soon", "-5s", "5x", "s", "5m!", "inf", "nan", "1e9999", "0x10", "5 m", "1m m", ".", "1e300h"}) {
    const auto said = message([&] { (void)parse_duration(text, "--budget"); });
    EXPECT_TRUE(mentions(said, "--budget") && mentions(said, "5m")) << '"' << text << "\": " << said;
  }
}

RC_GTEST_PROP(Duration, PartsAdd, ()) {
  const int h = *rc::gen::inRange(0, 100), m = *rc::gen::inRange(0, 1000), s = *rc::gen::inRange(0, 10000);
  RC_ASSERT(parse_duration(fmt::format("{}h{}m{}s", h, m, s), "t") == 3600.0 * h + 60.0 * m + s);
}

RC_GTEST_PROP(Duration, AnyTextIsANumberOrAnError, (const std::string& text)) {
  try {
    const double seconds = parse_duration(text, "t");
    RC_ASSERT(seconds >= 0 && std::isfinite(seconds));
  } catch (const InputError&) {
  }
}

TEST(Request, WordsAreSplitAtCommas) {
  const Request r({{"a", "x,y"}, {"b", {"x", "y,z"}}, {"c", "x,,y"}, {"d", ""}}, "cmd", {"a", "b", "c", "d"});
  EXPECT_EQ(r.words("a"), (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(r.words("b"), (std::vector<std::string>{"x", "y", "z"}));
  EXPECT_TRUE(r.words("d").empty());
  EXPECT_TRUE(mentions(message([&] { (void)r.words("c"); }), "'c'"));
}

TEST(Request, ASeedOfZeroIsASeed) {
  const Request given({{"seed", 0}}, "cmd", {"seed"}), absent(Json::object(), "cmd", {"seed"});
  EXPECT_EQ(given.seed(), 0u);
  EXPECT_TRUE(mentions(message([] { (void)Request({{"seed", -3}}, "cmd", {"seed"}).seed(); }), "'seed'"));
  std::set<uint64_t> fresh;
  for (int i = 0; i < 8; ++i) fresh.insert(absent.seed());
  EXPECT_GT(fresh.size(), 6u);
  EXPECT_LT(*fresh.rbegin(), uint64_t{1} << 53);
}

TEST(CommandLine, IsWhatAShellReadsBack) {
  const Json request = {{"model", "my model.onnx"}, {"output", "it's"}, {"dim", {"batch=2", "n=3"}}, {"seed", 7},
                        {"dry_run", true},          {"quiet", false},   {"max_rel_error", 0.001},    {"data", nullptr}};
  EXPECT_EQ(command_line("optimize", request, {"model"}),
            "rooftune optimize 'my model.onnx' --output 'it'\\''s' --dim batch=2 --dim n=3 --seed 7 --dry-run "
            "--max-rel-error 0.001");
}

TEST(Pairs, SplitAtTheFirstEqualsSign) {
  const auto pairs = parse_pairs({"a=1", "x=dir=y/f.npy"}, "--input");
  EXPECT_EQ(pairs.at("a"), "1");
  EXPECT_EQ(pairs.at("x"), "dir=y/f.npy");
  for (const char* text : {"", "a", "=1", "a="})
    EXPECT_TRUE(mentions(message([&] { parse_pairs({text}, "--input"); }), "name=value")) << text;
  EXPECT_TRUE(mentions(message([&] { parse_pairs({"a=1", "a=2"}, "--input"); }), "'a'"));
}

}  // namespace
}  // namespace rooftune::pipeline
