#include "report/report.h"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <chrono>
#include <limits>

#include "base/files.h"
#include "base/hash.h"
#include "report/charts.h"
#include "report/html_text.h"

namespace rooftune::report {
namespace {

size_t count(std::string_view text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

bool contains(std::string_view text, std::string_view what) { return text.find(what) != std::string_view::npos; }

Report sample(int operators = 3) {
  Report r;
  r.model = "resnet50.onnx";
  r.created = "2026-01-02T03:04:05Z";
  r.parameters = 25557032, r.flops = 8.18e9, r.weight_bytes = 102228128;
  r.baseline = {"original graph, untuned", 74.4, 78.1, 73.9, 60, 69.9, 69.9, 338.0, 310.0, 102.4};
  r.best = {"tuned", 37.2, 38.4, 36.9, 120, 32.1, 69.9, {}, 190.5, {}};
  r.tuning_seconds = 272;
  for (int i = 0; i < operators; ++i)
    r.operators.push_back({fmt::format("layer{}", i),
                           "Conv + Relu",
                           {fmt::format("conv{}", i), fmt::format("relu{}", i)},
                           2.0 + 0.001 * i,
                           1.0,
                           1e8,
                           1e6,
                           0.5,
                           "",
                           "direct"});
  r.memory_before = {{"a", 1000000}, {"b", 5000000}, {"c", 2000000}};
  r.memory_after = {{"ab", 1000000}, {"c", 3000000}};
  r.candidates = {{"tuned-1", 36.0, 37.2, 0.0, 102.0, true, ""}, {"tuned-2", 39.0, {}, {}, {}, false, "slower"}};
  r.pareto = {"tuned-1"};
  r.tasks = {{"conv_0",
              "conv 64x56x56",
              4,
              32,
              0.5,
              {{"y: n/48 m/8:p k", 0.9, 1.0, ""}, {"y: n/32 m/8:p k", {}, 1.1, "10.0 % slower"}}}};
  r.passes = {{"fold_batch_norm", 1.25, 53, ""}, {"layout", 0, 0, "disabled"}};
  r.environment = {"Some CPU", "avx512", "Linux 6", "0.1.0", "host", 2, 2, 234, 35};
  r.verification = {true, 1.2e-6, 1e-4, 4, "the unoptimised graph on 4 random inputs", ""};
  return r;
}

TEST(Json, ReadsBackWhatItWrote) {
  const Json json = to_json(sample());
  const Json again = to_json(from_json(parse_json(json.dump(), "x"), "report.json"));
  EXPECT_EQ(json.dump(), again.dump());
  const Report r = from_json(json, "report.json");
  EXPECT_EQ(r.operators[2].nodes, (std::vector<std::string>{"conv2", "relu2"}));
  EXPECT_EQ(r.best.load_ms, std::nullopt);
  EXPECT_EQ(r.baseline.load_ms, 338.0);
  EXPECT_FALSE(r.candidates[1].measured_ms.has_value());
}

TEST(Json, HoldsWhatTheContractNames) {
  const Json json = to_json(sample());
  for (const char* key : {"baseline", "best", "candidates", "tasks", "pareto", "speedup", "verified"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_DOUBLE_EQ(json["speedup"].get<double>(), 2.0);
  EXPECT_NEAR(json["best"]["roofline_fraction"].get<double>(), 32.1 / 37.2, 1e-12);
  EXPECT_TRUE(json["verified"].get<bool>());
  for (const char* key : {"id", "predicted_ms", "measured_ms", "accuracy_drop_pct", "size_mb"})
    EXPECT_TRUE(json["candidates"][0].contains(key)) << key;
  EXPECT_EQ(json["tasks"][0]["top5"][0]["schedule"], "y: n/48 m/8:p k");
}

TEST(Json, ErrorsSayWhere) {
  const auto message = [](Json json) {
    try {
      from_json(json, "report.json");
    } catch (const InputError& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  Json json = to_json(sample());
  json["operators"][1].erase("flops");
  EXPECT_TRUE(contains(message(json), "report.json.operators[1]: field 'flops' is missing")) << message(json);
  json = to_json(sample());
  json["environment"]["cores"] = "two";
  EXPECT_TRUE(contains(message(json), "report.json.environment.cores has the wrong type (string)")) << message(json);
  json = to_json(sample());
  json["passes"] = 3;
  EXPECT_TRUE(contains(message(json), "report.json.passes: a list is expected")) << message(json);
}

TEST(Json, NumbersThatAreNotFiniteBecomeNull) {
  Report r = sample();
  r.verification.max_rel_error = std::numeric_limits<double>::infinity();
  const Json json = to_json(r);
  EXPECT_TRUE(json["verification"]["max_rel_error"].is_null());
  EXPECT_TRUE(std::isnan(from_json(json, "x").verification.max_rel_error));
}

TEST(Html, NeedsNothingFromOutside) {
  const std::string html = to_html(sample());
  for (const char* what : {"http:", "https:", "src=", "href=", "@import", "url("})
    EXPECT_FALSE(contains(html, what)) << what;
  EXPECT_TRUE(contains(html, "prefers-color-scheme:dark"));
  EXPECT_TRUE(contains(html, "2.00× as fast as the original, outputs verified"));
}

TEST(Html, EscapesNamesEverywhere) {
  const std::string evil = "<img onerror='x'>\"&";
  Report r = sample();
  r.model = r.reason = r.created = evil;
  r.operators[0].name = r.operators[0].op = r.operators[0].note = r.operators[0].algorithm = evil;
  r.tasks[0].note = evil;
  r.memory_after[0].step = r.candidates[0].id = r.candidates[0].note = evil;
  r.tasks[0].name = r.tasks[0].kernel = r.tasks[0].top5[0].schedule = evil;
  r.passes[0].name = r.passes[0].note = r.baseline.label = r.best.label = evil;
  r.environment.cpu = r.environment.isa = r.environment.os = r.environment.rooftune_version = r.environment.target =
      evil;
  r.verification.against = r.verification.note = evil;
  const std::string html = to_html(r);
  EXPECT_FALSE(contains(html, "<img"));
  EXPECT_GE(count(html, "&lt;img onerror=&#39;x&#39;&gt;&quot;&amp;"), 21u);
}

TEST(Html, SaysHonestlyWhenNothingWasGained) {
  Report r = sample();
  r.kept_original = true;
  r.reason = "Every candidate was slower.";
  EXPECT_TRUE(contains(to_html(r), "The original model is returned. Every candidate was slower."));
  r = sample();
  r.best.p50_ms = 74.0;
  EXPECT_TRUE(contains(to_html(r), "No faster than the original within what can be measured"));
  r = sample();
  r.verification.verified = false;
  r.verification.note = "output y differs by 0.3";
  EXPECT_TRUE(contains(to_html(r), "The result is not verified: output y differs by 0.3"));
}

TEST(Html, LongTextsStandInRowsOfTheirOwn) {
  Report r = sample();
  r.tasks[0].kernel = "a:\n  b";
  r.tasks[0].note = "winograd4x4: wrong result";
  r.operators[0].note = "starts here: needed elsewhere";
  r.operators[1].algorithm = "reference", r.operators[1].note = "NonZero: no lowering";
  r.operators[2].algorithm = "winograd4x4";
  const std::string html = to_html(r);
  for (const char* part :
       {"<tr class=\"more\"><td colspan=\"5\">", "<pre>a:\n  b</pre>", "<pre>y: n/48 m/8:p k</pre>",
        "Rejected: winograd4x4: wrong result", "why 1 of the kernels", "<td class=\"w\">starts here: needed elsewhere",
        "Conv + Relu · reference: NonZero: no lowering", "Conv + Relu · winograd4x4"})
    EXPECT_TRUE(contains(html, part)) << part;
  EXPECT_FALSE(contains(html, "Conv + Relu · direct"));
}

TEST(Html, CandidatesHaveNoColumnOfUnknowns) {
  Report r = sample();
  EXPECT_TRUE(contains(to_html(r), "accuracy lost") && contains(to_html(r), "<th class=\"n\">predicted"));
  for (Candidate& c : r.candidates) c.accuracy_drop_pct = c.predicted_ms = {};
  const std::string html = to_html(r), table = html.substr(html.find("<h2>Candidates"));
  EXPECT_FALSE(contains(table, "accuracy lost") || contains(table, "predicted"));
  const std::string row = table.substr(table.find("tuned-1"), table.find("tuned-2") - table.find("tuned-1"));
  EXPECT_EQ(count(row, "<td class=\"n\">"), 2u) << row;  // measured, size
}

TEST(Html, AnOriginalThatIsNotVerifiedIsNotCalledGood) {
  Report r = sample();
  r.kept_original = true;
  r.reason = "Every candidate was slower.";
  r.verification.verified = false;
  r.verification.note = "output y differs by 0.3";
  EXPECT_TRUE(contains(to_html(r), "The original model is returned, and it is not verified: output y differs by 0.3"));
}

TEST(Html, FasterThanTheRoofIsCalledAnError) {
  Report r = sample();
  EXPECT_FALSE(contains(to_html(r), "More than 100 % is impossible"));
  r.best.p50_ms = 30;
  EXPECT_TRUE(contains(to_html(r), "More than 100 % is impossible"));
}

TEST(Html, SortsByTimeAndFoldsTheTail) {
  Report r = sample(200);
  r.operators[150].after_ms = 9.0;
  const std::string html = to_html(r);
  const size_t slowest = html.find("layer150"), fold = html.find("175 more, together");
  ASSERT_NE(slowest, std::string::npos);
  ASSERT_NE(fold, std::string::npos);
  EXPECT_LT(slowest, html.find("layer199"));
  EXPECT_LT(html.find("layer199"), fold);
  EXPECT_GT(html.find("layer0<"), fold);
}

TEST(Html, TwoThousandOperatorsStayFast) {
  Report r = sample(2000);
  for (int i = 0; i < 2000; ++i) r.memory_after.push_back({fmt::format("step{}", i), 1000 * (i % 37)});
  const auto start = std::chrono::steady_clock::now();
  const std::string html = to_html(r);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_LT(seconds, 2.0);
  EXPECT_LT(html.size(), 5'000'000u);
  EXPECT_EQ(count(html, "class=\"op\""), 2000u);
}

TEST(Html, AnEmptyReportIsStillAPage) {
  const std::string html = to_html(Report{});
  EXPECT_TRUE(contains(html, "</html>"));
  for (const char* what : {"nan", ">inf", ":inf", "\"inf", "-inf", " inf "}) EXPECT_FALSE(contains(html, what)) << what;
}

TEST(Charts, PointsOnTheRoofAreDrawnOnTheRoof) {
  Report r = sample(1);
  r.environment.peak_gflops = 100, r.environment.bandwidth_gbs = 10;
  r.operators[0].flops = 1e9, r.operators[0].bytes = 1e6;         // 1000 FLOP/byte: under the flat part
  r.operators[0].before_ms = {}, r.operators[0].after_ms = 10.0;  // 100 GFLOP/s
  const std::string svg = roofline_chart(r, kWide);
  EXPECT_EQ(count(svg, "<circle"), 1u);
  const size_t roof = svg.find("class=\"roof\" d=\"M"), corner = svg.find('L', roof);
  const double roof_y = std::stod(svg.substr(svg.find(' ', corner) + 1));
  EXPECT_NEAR(std::stod(svg.substr(svg.find("cy=\"") + 4)), roof_y, 0.11);
}

TEST(Charts, OperatorsWithoutArithmeticAreLeftOut) {
  Report r = sample(2);
  r.operators[1].flops = 0;
  EXPECT_EQ(count(roofline_chart(r, kNarrow), "<circle"), 2u);  // before and after of the other one
  EXPECT_TRUE(contains(to_html(r), "Without arithmetic, and so not shown: 1 kernel."));
}

TEST(Charts, MemoryNamesThePeaks) {
  const std::string svg = memory_chart(sample(), kWide);
  EXPECT_TRUE(contains(svg, "before: peak 5.00\u00A0MB"));
  EXPECT_TRUE(contains(svg, "after: peak 3.00\u00A0MB"));
}

/// With the no-break spaces that stand before units.
std::string nbsp(std::string text) {
  for (size_t at; (at = text.find(' ')) != std::string::npos;) text.replace(at, 1, "\u00A0");
  return text;
}

TEST(Text, Numbers) {
  EXPECT_EQ(significant(1234.5), "1234");
  EXPECT_EQ(significant(100), "100");
  EXPECT_EQ(significant(99.95), "100.0");
  EXPECT_EQ(significant(0.01234), "0.0123");
  EXPECT_EQ(significant(-2.5), "-2.50");
  EXPECT_EQ(significant(0), "0");
  EXPECT_EQ(ms_text(33.51), nbsp("33.5 ms"));
  EXPECT_EQ(ms_text(0.0456), nbsp("45.6 µs"));
  EXPECT_EQ(ms_text(2100), nbsp("2.10 s"));
  EXPECT_EQ(ms_text(std::optional<double>()), "–");
  EXPECT_EQ(bytes_text(102228128), nbsp("102 MB"));
  EXPECT_EQ(bytes_text(0), nbsp("0 B"));
  EXPECT_EQ(count_text(8.18e9), nbsp("8.18 G"));
  EXPECT_EQ(percent_text(0.873), nbsp("87 %"));
  EXPECT_EQ(percent_text(0.031), nbsp("3.1 %"));
  EXPECT_EQ(duration_text(272), "4\u00A0min 32\u00A0s");
  EXPECT_EQ(duration_text(3660), "1\u00A0h 1\u00A0min");
  EXPECT_EQ(error_text(1.23e-6), "1.2e\u201106");
  EXPECT_EQ(error_text(std::numeric_limits<double>::quiet_NaN()), "not finite");
}

TEST(Text, EscapesAndRepairs) {
  EXPECT_EQ(escape("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(escape("größe 層 🙂"), "größe 層 🙂");
  EXPECT_EQ(escape("a\xFF"
                   "b\xC3"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(escape(std::string_view("a\0b", 3)),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(escape("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
}

RC_GTEST_PROP(Text, EscapedTextHasNoMarkup, (const std::string& text)) {
  const std::string out = escape(text);
  RC_ASSERT(out.find_first_of("<>\"'") == std::string::npos);
  RC_ASSERT_FALSE(out.find("\xEF\xBF\xBD\xFF") != std::string::npos);
  Json(out).dump();  // throws where the bytes are not UTF-8
}

TEST(Files, ReportAndRunCard) {
  TempDirectory folder;
  write_file(folder.file("model.rt"), "package");
  write_report(sample(), folder.path());
  RunCard card;
  card.command = "rooftune optimize resnet50.onnx -o out";
  card.inputs = {{"resnet50.onnx", sha256("model")}};
  card.seeds = {{"search", 7}};
  card.options = {{"budget", "5m"}};
  write_run_card(card, folder.path());
  const RunCard read =
      run_card_from_json(parse_json(read_file(folder.file("run_card.json")), "run_card.json"), "run_card.json");
  EXPECT_EQ(read.command, card.command);
  EXPECT_EQ(read.seeds.at("search"), 7);
  EXPECT_EQ(read.outputs.size(), 3u);
  EXPECT_EQ(read.outputs.at("model.rt"), sha256("package"));
  EXPECT_EQ(read.outputs.at("report.html"), sha256_file(folder.file("report.html")));
  EXPECT_EQ(from_json(parse_json(read_file(folder.file("report.json")), "r"), "r").model, "resnet50.onnx");
}

}  // namespace
}  // namespace rooftune::report
