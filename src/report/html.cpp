// report.html: the sections of the page, top down in the order in which a reader asks.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "report/charts.h"
#include "report/html_style.h"
#include "report/html_text.h"
#include "report/report.h"

namespace rooftune::report {
namespace {

constexpr size_t kShownOperators = 25, kShownTasks = 20;
using Out = std::back_insert_iterator<std::string>;

// ---------------------------------------------------------------- verdict and tiles
struct Verdict {
  std::string text;
  std::string_view css;  // "", "even" or "bad"
};

Verdict verdict(const Report& r) {
  const std::string because = r.reason.empty() ? "" : " " + r.reason;
  if (!r.verification.verified)
    return {(r.kept_original ? "The original model is returned, and it is not verified: "
                             : "The result is not verified: ") +
                r.verification.note,
            "bad"};
  if (r.kept_original) return {"The original model is returned." + because, "even"};
  const std::string limit =
      fmt::format(" One inference takes {}; the limit of this machine for the algorithms used is {}.",
                  ms_text(r.best.p50_ms), ms_text(r.best.roofline_ms));
  if (r.speedup() < 1.03)
    return {"No faster than the original within what can be measured; outputs verified." + limit + because, "even"};
  return {fmt::format("{} as fast as the original, outputs verified.", ratio_text(r.speedup())) + limit + because, ""};
}

void tile(Out& out, std::string_view title, const std::string& value, const std::string& detail,
          std::string_view css = "") {
  fmt::format_to(out, "<div class=\"tile\"><small>{}</small><b class=\"{}\">{}</b><small>{}</small></div>", title, css,
                 value, detail);
}

int64_t peak_bytes(const std::vector<MemoryPoint>& line) {
  int64_t peak = 0;
  for (const MemoryPoint& p : line) peak = std::max(peak, p.live_bytes);
  return peak;
}

void roofline_tile(Out& out, const Report& r) {
  const double fraction = r.best.roofline_fraction();
  std::string detail = fmt::format("of the machine's limit, {}", ms_text(r.best.roofline_ms));
  if (r.best.direct_roofline_ms > r.best.roofline_ms * 1.005)
    detail += fmt::format(" (direct algorithms: {})", ms_text(r.best.direct_roofline_ms));
  if (fraction > 1) detail += ". More than 100 % is impossible: the limit or the latency was measured wrongly";
  tile(out, "Roofline reached", percent_text(fraction), detail, fraction > 1 ? "bad" : "");
}

void tiles(Out& out, const Report& r) {
  const Verification& v = r.verification;
  out = fmt::format_to(out, "<div class=\"tiles\">");
  tile(out, "Latency, median", ms_text(r.best.p50_ms),
       fmt::format("before: {} · p95 {} · {} runs, {} thread{}", ms_text(r.baseline.p50_ms), ms_text(r.best.p95_ms),
                   r.best.runs, r.environment.threads, r.environment.threads == 1 ? "" : "s"));
  tile(out, "Speed-up", ratio_text(r.speedup()), "over: " + escape(r.baseline.label));
  roofline_tile(out, r);
  tile(out, "Outputs", v.verified ? "agree" : "not verified",
       fmt::format("largest relative error {}, allowed {}, {} sample{}", error_text(v.max_rel_error),
                   error_text(v.tolerance), v.samples, v.samples == 1 ? "" : "s"),
       v.verified ? "good" : "bad");
  std::string memory =
      fmt::format("at the peak of a run, beside {} of weights", bytes_text(static_cast<double>(r.weight_bytes)));
  if (!r.memory_before.empty()) memory += "; before: " + bytes_text(static_cast<double>(peak_bytes(r.memory_before)));
  tile(out, "Activations",
       r.memory_after.empty() ? std::string(kUnknown) : bytes_text(static_cast<double>(peak_bytes(r.memory_after))),
       memory);
  const int64_t trials = std::accumulate(r.tasks.begin(), r.tasks.end(), int64_t{0},
                                         [](int64_t n, const Task& t) { return n + t.trials; });
  tile(out, "Tuning", duration_text(r.tuning_seconds),
       fmt::format("{} schedules measured for {} kernels", trials, r.tasks.size()));
  fmt::format_to(out, "</div>");
}

// ---------------------------------------------------------------- operators
double time_of(const Operator& o) { return std::max(o.before_ms.value_or(0), o.after_ms.value_or(0)); }

void bar(Out& out, std::string_view css, const std::optional<double>& ms, double longest) {
  fmt::format_to(out, "<i class=\"{}\" style=\"width:{:.2f}%\"></i>", css, ms ? 100 * *ms / longest : 0.0);
}

void operator_row(Out& out, const Operator& o, double longest) {
  std::string detail = escape(o.op);
  if (!o.algorithm.empty() && o.algorithm != "direct") detail += " · " + escape(o.algorithm);
  if (o.algorithm == "reference" && !o.note.empty()) detail += ": " + escape(o.note);
  fmt::format_to(out, "<div class=\"op\"><div class=\"who\">{}<small>{}</small></div><div class=\"bars\">",
                 escape(o.name), detail);
  bar(out, "before", o.before_ms, longest);
  bar(out, "after", o.after_ms, longest);
  if (o.roofline_ms > 0)
    fmt::format_to(out, "<u style=\"left:{:.2f}%\"></u>", 100 * std::min(1.0, o.roofline_ms / longest));
  const bool both = o.before_ms && o.after_ms && *o.after_ms > 0;
  fmt::format_to(out,
                 "</div><div class=\"n\">{}</div><div class=\"n\">{}</div><div class=\"n\">{}</div><div "
                 "class=\"n\">{}</div></div>",
                 ms_text(o.before_ms), ms_text(o.after_ms),
                 both ? ratio_text(*o.before_ms / *o.after_ms) : std::string(kUnknown),
                 o.after_ms && *o.after_ms > 0 && o.roofline_ms > 0 ? percent_text(o.roofline_ms / *o.after_ms)
                                                                    : std::string(kUnknown));
}

void operators(Out& out, const Report& r) {
  if (r.operators.empty()) return;
  std::vector<const Operator*> sorted;
  double longest = 1e-12, total = 0;
  for (const Operator& o : r.operators) {
    sorted.push_back(&o);
    longest = std::max(longest, time_of(o));
    total += o.after_ms.value_or(0);
  }
  std::stable_sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return time_of(*a) > time_of(*b); });
  fmt::format_to(
      out,
      "<h2>Where the time goes</h2><p class=\"soft\">Each row is one kernel of the result. \"Before\" sums the "
      "operators of "
      "the original that it replaces, each timed alone; the mark is the least time that the machine allows.</p>"
      "<p class=\"key\"><span><i class=\"before\"></i>before</span><span><i class=\"after\"></i>after</span>"
      "<span><u></u>limit</span></p><div class=\"card ops\"><div class=\"op head\"><div class=\"who\">kernel</div>"
      "<div class=\"bars\" style=\"background:none\"></div><div class=\"n\">before</div><div class=\"n\">after</div>"
      "<div class=\"n\">faster</div><div class=\"n\">of limit</div></div>");
  const size_t shown = sorted.size() <= kShownOperators + 5 ? sorted.size() : kShownOperators;
  for (size_t i = 0; i < shown; ++i) operator_row(out, *sorted[i], longest);
  if (shown < sorted.size()) {
    double rest = 0;
    for (size_t i = shown; i < sorted.size(); ++i) rest += sorted[i]->after_ms.value_or(0);
    fmt::format_to(out, "<details><summary>{} more, together {} after ({} of the total)</summary>",
                   sorted.size() - shown, ms_text(rest), percent_text(total > 0 ? rest / total : 0));
    for (size_t i = shown; i < sorted.size(); ++i) operator_row(out, *sorted[i], longest);
    fmt::format_to(out, "</details>");
  }
  fmt::format_to(out, "</div>");
}

void unfused(Out& out, const Report& r) {
  const auto has_reason = [](const Operator& o) { return o.algorithm != "reference" && !o.note.empty(); };
  const auto count = std::count_if(r.operators.begin(), r.operators.end(), has_reason);
  if (count == 0) return;
  fmt::format_to(out,
                 "<details><summary>why {} of the kernels are not part of another</summary><div class=\"card\"><table>",
                 count);
  for (const Operator& o : r.operators)
    if (has_reason(o)) fmt::format_to(out, "<tr><td class=\"w\">{}<td class=\"w\">{}", escape(o.name), escape(o.note));
  fmt::format_to(out, "</table></div></details>");
}

// ---------------------------------------------------------------- plots
void plots(Out& out, const Report& r) {
  if (!r.operators.empty()) {
    const auto silent = std::count_if(r.operators.begin(), r.operators.end(),
                                      [](const Operator& o) { return !(o.flops > 0 && o.bytes > 0); });
    fmt::format_to(
        out,
        "<h2>Roofline</h2><p class=\"soft\">How fast each kernel computes, against how much it computes per byte that "
        "it must "
        "move. On the line it is as fast as this machine can be with {} thread{}; bytes count as read from DRAM, so "
        "what "
        "stays in a cache may lie above the slope. The larger a point, the more of the time it takes.{}</p>"
        "<p class=\"key\"><span><i class=\"ring\"></i>before</span><span><i class=\"dot\"></i>after</span></p>"
        "<div class=\"card\">{}{}</div>",
        r.environment.threads, r.environment.threads == 1 ? "" : "s",
        silent ? fmt::format(" Without arithmetic, and so not shown: {} kernel{}.", silent, silent == 1 ? "" : "s")
               : "",
        roofline_chart(r, kWide), roofline_chart(r, kNarrow));
  }
  if (!r.memory_before.empty() || !r.memory_after.empty())
    fmt::format_to(out,
                   "<h2>Memory over one run</h2><p class=\"soft\">Activations and scratch alive while each step runs; "
                   "weights ({}) are "
                   "not included.</p><div class=\"card\">{}{}</div>",
                   bytes_text(static_cast<double>(r.weight_bytes)), memory_chart(r, kWide), memory_chart(r, kNarrow));
}

// ---------------------------------------------------------------- tables
void task_row(Out& out, const Task& t) {
  const std::optional<double> best = t.top5.empty() ? std::nullopt : t.top5.front().measured_ms;
  fmt::format_to(out, "<tr><td class=\"w\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}",
                 escape(t.name), t.uses, t.trials, ms_text(best),
                 best && t.roofline_ms && *best > 0 ? percent_text(*t.roofline_ms / *best) : std::string(kUnknown));
  fmt::format_to(out,
                 "<tr class=\"more\"><td colspan=\"5\"><details><summary>what it computes{}</summary><pre>{}</pre>",
                 t.top5.empty() ? "" : fmt::format(", best {} schedules", t.top5.size()), escape(t.kernel));
  if (!t.note.empty()) fmt::format_to(out, "<p class=\"soft\">Rejected: {}</p>", escape(t.note));
  for (const TriedSchedule& s : t.top5)
    fmt::format_to(out, "<p class=\"soft\">{} measured, {} predicted{}</p><pre>{}</pre>", ms_text(s.measured_ms),
                   ms_text(s.predicted_ms), s.note.empty() ? "" : ": " + escape(s.note), escape(s.schedule));
  fmt::format_to(out, "</details>");
}

void tasks(Out& out, const Report& r) {
  if (r.tasks.empty()) return;
  constexpr std::string_view head =
      "<table><tr><th>kernel<th class=\"n\">uses<th class=\"n\">tried<th class=\"n\">best<th class=\"n\">of limit";
  fmt::format_to(out, "<h2>Kernels tuned</h2><p class=\"soft\">Equal kernels are tuned once.</p><div class=\"card\">{}",
                 head);
  const size_t shown = std::min(r.tasks.size(), kShownTasks);
  for (size_t i = 0; i < shown; ++i) task_row(out, r.tasks[i]);
  fmt::format_to(out, "</table>");
  if (shown < r.tasks.size()) {
    fmt::format_to(out, "<details><summary>{} more</summary>{}", r.tasks.size() - shown, head);
    for (size_t i = shown; i < r.tasks.size(); ++i) task_row(out, r.tasks[i]);
    fmt::format_to(out, "</table></details>");
  }
  fmt::format_to(out, "</div>");
}

void candidates(Out& out, const Report& r) {
  if (r.candidates.empty()) return;
  const auto any = [&](auto member) {
    return std::any_of(r.candidates.begin(), r.candidates.end(), [&](const Candidate& c) { return c.*member; });
  };
  const bool predicted = any(&Candidate::predicted_ms),
             accuracy = any(&Candidate::accuracy_drop_pct);  // else no column
  const auto number = [](const std::string& text) { return "<td class=\"n\">" + text; };
  fmt::format_to(out,
                 "<h2>Candidates</h2><div class=\"card\"><table><tr><th>candidate{}<th class=\"n\">measured{}<th "
                 "class=\"n\">size<th>",
                 predicted ? "<th class=\"n\">predicted" : "", accuracy ? "<th class=\"n\">accuracy lost" : "");
  for (const Candidate& c : r.candidates) {
    const bool pareto = std::find(r.pareto.begin(), r.pareto.end(), c.id) != r.pareto.end();
    std::string remark = c.chosen ? "chosen" : pareto ? "on the Pareto front" : "";
    if (!c.note.empty()) remark += (remark.empty() ? "" : "; ") + escape(c.note);
    const std::string lost = c.accuracy_drop_pct ? significant(*c.accuracy_drop_pct, 2) + " %" : std::string(kUnknown);
    fmt::format_to(out, "<tr class=\"{}\"><td class=\"w\">{}{}{}{}{}<td class=\"w\">{}", c.chosen ? "win" : "",
                   escape(c.id), predicted ? number(ms_text(c.predicted_ms)) : "", number(ms_text(c.measured_ms)),
                   accuracy ? number(lost) : "",
                   number(c.size_mb ? bytes_text(*c.size_mb * 1e6) : std::string(kUnknown)), remark);
  }
  fmt::format_to(out, "</table></div>");
}

void passes(Out& out, const Report& r) {
  if (r.passes.empty()) return;
  fmt::format_to(
      out, "<h2>Passes</h2><div class=\"card\"><table><tr><th>pass<th class=\"n\">changes<th class=\"n\">time<th>");
  for (const Pass& p : r.passes)
    fmt::format_to(out, "<tr><td class=\"w\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"w\">{}", escape(p.name),
                   p.changes, ms_text(p.ms), escape(p.note));
  fmt::format_to(out, "</table></div>");
}

void facts(Out& out, const Report& r) {
  const auto line = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) fmt::format_to(out, "<dt>{}<dd>{}", key, value);
  };
  const Environment& e = r.environment;
  fmt::format_to(out, "<h2>How this was measured</h2><div class=\"card\"><dl>");
  line("Model", fmt::format("{}: {} parameters, {}FLOP an inference", escape(r.model),
                            count_text(static_cast<double>(r.parameters)), count_text(r.flops)));
  for (const auto* m : {&r.baseline, &r.best})
    line(m == &r.baseline ? "Before" : "After",
         fmt::format("{}: median {}, p95 {}, fastest {} of {} runs{}{}", escape(m->label), ms_text(m->p50_ms),
                     ms_text(m->p95_ms), ms_text(m->min_ms), m->runs,
                     m->load_ms ? ", loaded in " + ms_text(m->load_ms) : "",
                     m->peak_memory_mb ? ", needs " + bytes_text(*m->peak_memory_mb * 1e6) + " of memory" : ""));
  line("Outputs",
       escape(r.verification.against) + (r.verification.note.empty() ? "" : ". " + escape(r.verification.note)));
  line("Accuracy", escape(r.verification.accuracy));
  line("Machine", fmt::format("{}, {} core{}, {}, {}", escape(e.cpu), e.cores, e.cores == 1 ? "" : "s", escape(e.isa),
                              escape(e.os)));
  line("Limits",
       fmt::format("{} GFLOP/s f32 and {} GB/s from DRAM, measured with {} thread{}", significant(e.peak_gflops),
                   significant(e.bandwidth_gbs), e.threads, e.threads == 1 ? "" : "s"));
  line("Made by", fmt::format("Rooftune {}, {}", escape(e.rooftune_version), escape(r.created)));
  fmt::format_to(out, "</dl></div>");
}

}  // namespace

std::string to_html(const Report& report) {
  std::string html;
  html.reserve(100000 + 2000 * report.operators.size());
  Out out(html);
  const Verdict v = verdict(report);
  fmt::format_to(
      out,
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>Rooftune: {}</title><style>{}</style></head><body><main>"
      "<h1>{}</h1><div class=\"soft\">{} · {}</div><p class=\"verdict {}\">{}</p>",
      escape(report.model), kStyleSheet, escape(report.model), escape(report.environment.target),
      escape(report.created), v.css, escape(v.text));
  tiles(out, report);
  operators(out, report);
  unfused(out, report);
  plots(out, report);
  tasks(out, report);
  candidates(out, report);
  passes(out, report);
  facts(out, report);
  fmt::format_to(out, "</main><script>{}</script></body></html>\n", kScript);
  return html;
}

}  // namespace rooftune::report
