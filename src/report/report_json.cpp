// report.json and run_card.json. Every struct lists its fields once, in `fields`; writing and reading both walk that list.
#include <cmath>
#include <filesystem>
#include <limits>

#include "base/files.h"
#include "base/hash.h"
#include "report/report.h"

namespace rooftune::report {
namespace {

template <typename A>
void fields(A& a, Measurement& m) {
  a("label", m.label), a("p50_ms", m.p50_ms), a("p95_ms", m.p95_ms), a("min_ms", m.min_ms), a("runs", m.runs);
  a("roofline_ms", m.roofline_ms), a("direct_roofline_ms", m.direct_roofline_ms), a("load_ms", m.load_ms);
  a("peak_memory_mb", m.peak_memory_mb), a("size_mb", m.size_mb);
}

template <typename A>
void fields(A& a, Operator& o) {
  a("name", o.name), a("op", o.op), a("nodes", o.nodes), a("before_ms", o.before_ms), a("after_ms", o.after_ms);
  a("flops", o.flops), a("bytes", o.bytes), a("roofline_ms", o.roofline_ms), a("note", o.note);
  a("algorithm", o.algorithm);
}

template <typename A>
void fields(A& a, MemoryPoint& m) {
  a("step", m.step), a("live_bytes", m.live_bytes);
}

template <typename A>
void fields(A& a, Candidate& c) {
  a("id", c.id), a("predicted_ms", c.predicted_ms), a("measured_ms", c.measured_ms);
  a("accuracy_drop_pct", c.accuracy_drop_pct), a("size_mb", c.size_mb), a("chosen", c.chosen), a("note", c.note);
  a("max_rel_error", c.max_rel_error);
}

template <typename A>
void fields(A& a, TriedSchedule& s) {
  a("schedule", s.schedule), a("predicted_ms", s.predicted_ms), a("measured_ms", s.measured_ms), a("note", s.note);
}

template <typename A>
void fields(A& a, Task& t) {
  a("name", t.name), a("kernel", t.kernel), a("uses", t.uses), a("trials", t.trials), a("roofline_ms", t.roofline_ms);
  a("top5", t.top5), a("from_database", t.from_database), a("note", t.note);
}

template <typename A>
void fields(A& a, Pass& p) {
  a("name", p.name), a("ms", p.ms), a("changes", p.changes), a("note", p.note);
}

template <typename A>
void fields(A& a, Environment& e) {
  a("cpu", e.cpu), a("isa", e.isa), a("os", e.os), a("rooftune_version", e.rooftune_version), a("target", e.target);
  a("cores", e.cores), a("threads", e.threads), a("peak_gflops", e.peak_gflops), a("bandwidth_gbs", e.bandwidth_gbs);
}

template <typename A>
void fields(A& a, Verification& v) {
  a("verified", v.verified), a("max_rel_error", v.max_rel_error), a("tolerance", v.tolerance), a("samples", v.samples);
  a("against", v.against), a("note", v.note), a("accuracy", v.accuracy);
}

template <typename A>
void fields(A& a, Report& r) {
  a("model", r.model), a("created", r.created), a("parameters", r.parameters), a("flops", r.flops);
  a("weight_bytes", r.weight_bytes), a("baseline", r.baseline), a("best", r.best), a("kept_original", r.kept_original);
  a("reason", r.reason), a("tuning_seconds", r.tuning_seconds), a("operators", r.operators);
  a("memory_before", r.memory_before), a("memory_after", r.memory_after), a("candidates", r.candidates);
  a("pareto", r.pareto), a("tasks", r.tasks), a("passes", r.passes), a("environment", r.environment);
  a("verification", r.verification);
}

template <typename A>
void fields(A& a, RunCard& c) {
  a("command", c.command), a("started", c.started), a("finished", c.finished), a("inputs", c.inputs);
  a("outputs", c.outputs), a("versions", c.versions), a("seeds", c.seeds), a("options", c.options);
  a("environment", c.environment), a("request", c.request);
}

struct Writer {
  Json out = Json::object();

  template <typename T>
  static Json value(T& v) {
    if constexpr (requires(Writer& w) { fields(w, v); }) {
      Writer inner;
      fields(inner, v);
      return std::move(inner.out);
    } else if constexpr (std::is_same_v<T, double>) {
      return std::isfinite(v) ? Json(v) : Json(nullptr);  // JSON has no infinity
    } else {
      return Json(v);
    }
  }
  template <typename T>
  static Json value(std::optional<T>& v) {
    return v ? value(*v) : Json(nullptr);
  }
  template <typename T>
  static Json value(std::vector<T>& v) {
    Json list = Json::array();
    for (auto& item : v) list.push_back(value(item));
    return list;
  }

  template <typename T>
  void operator()(const char* key, T& v) {
    out[key] = value(v);
  }
};

struct Reader {
  const Json& in;
  std::string where;  // "report.json: operators[3]"

  template <typename T>
  static void value(const Json& json, T& v, const std::string& where) {
    if constexpr (requires(Reader& r) { fields(r, v); }) {
      if (!json.is_object()) throw InputError("{}: an object is expected, found {}", where, json.type_name());
      Reader inner{json, where};
      fields(inner, v);
    } else {
      if constexpr (std::is_same_v<T, double>)
        if (json.is_null()) return void(v = std::numeric_limits<double>::quiet_NaN());  // as Writer wrote it
      try {
        v = json.get<T>();
      } catch (const nlohmann::json::exception&) {
        throw InputError("{} has the wrong type ({})", where, json.type_name());
      }
    }
  }
  template <typename T>
  static void value(const Json& json, std::optional<T>& v, const std::string& where) {
    v.reset();
    if (!json.is_null()) value(json, v.emplace(), where);
  }
  template <typename T>
  static void value(const Json& json, std::vector<T>& v, const std::string& where) {
    if (!json.is_array()) throw InputError("{}: a list is expected, found {}", where, json.type_name());
    v.clear();
    for (size_t i = 0; i < json.size(); ++i) value(json[i], v.emplace_back(), fmt::format("{}[{}]", where, i));
  }

  template <typename T>
  void operator()(const char* key, T& v) {
    const auto it = in.find(key);
    if (it == in.end()) throw InputError("{}: field '{}' is missing", where, key);
    value(*it, v, fmt::format("{}.{}", where, key));
  }
};

template <typename T>
Json write(T copy) {  // `fields` takes what it walks by reference to non-const, to serve the reader too
  return Writer::value(copy);
}

template <typename T>
T read(const Json& json, std::string_view source) {
  T result;
  Reader::value(json, result, std::string(source));
  return result;
}

}  // namespace

Json to_json(const Report& report) {
  Json json = write(report);
  // What readers would otherwise compute themselves, and differently.
  json["speedup"] = report.speedup();
  json["verified"] = report.verification.verified;
  json["baseline"]["roofline_fraction"] = report.baseline.roofline_fraction();
  json["best"]["roofline_fraction"] = report.best.roofline_fraction();
  return json;
}

Report from_json(const Json& json, std::string_view source) { return read<Report>(json, source); }

/// Indented; bytes that are not UTF-8 (names come from users' files) become U+FFFD.
static std::string text(const Json& json) { return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json to_json(const RunCard& card) { return write(card); }

RunCard run_card_from_json(const Json& json, std::string_view source) { return read<RunCard>(json, source); }

void write_report(const Report& report, const std::string& directory) {
  write_file(directory + "/report.json", text(to_json(report)));
  write_file(directory + "/report.html", to_html(report));
}

void write_run_card(RunCard card, const std::string& directory) {
  namespace fs = std::filesystem;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && name != "run_card.json") card.outputs[name] = sha256_file(entry.path().string());
  }
  write_file(directory + "/run_card.json", text(to_json(card)));
}

}  // namespace rooftune::report
