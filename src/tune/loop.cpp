#include "tune/loop.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/log.h"

namespace rooftune::tune {
namespace {

constexpr double kWin = 0.98;       // of the incumbent's time: less gain than that may be noise
constexpr size_t kChallengers = 2;  // of a batch, that are measured against the incumbent once more

// The roof of one core of a present-day server CPU: how far a task may still go is only estimated from it.
constexpr double kOperations = 100e9, kBandwidth = 20e9;

struct State {
  explicit State(std::unique_ptr<TaskSearch> of) : search(std::move(of)) {}
  std::unique_ptr<TaskSearch> search;
  Candidate start;
  double occurrences = 1;
  double roof_ms = 0;
  double start_ms = 0, best_ms = std::numeric_limits<double>::infinity();
  Candidate best;
  bool refuted = false;       // what was to be the start failed
  int trials = 0, stale = 0;  // batches since the best was found
  double gain = 0.3;          // share of the time that recent batches saved
  double batch_seconds = 0;   // of the last batch, per candidate
  bool exhausted = false;

  double total_ms() const { return occurrences * (std::isfinite(best_ms) ? best_ms : start.predicted_ms); }
  /// Expected milliseconds that the next batch saves, per second of measuring: what it saved lately, and what is left
  /// to the roof, less likely with every batch in vain.
  double worth() const {
    const double left = std::max(0.0, best_ms - roof_ms);
    const double expected = 0.5 * gain * best_ms + 0.2 * left / std::pow(1.0 + stale, 1.5);
    return occurrences * expected / std::max(1e-3, batch_seconds);
  }
};

class Loop {
 public:
  Loop(const LoopInput& input, MeasurementSource& source)
      : in_(input), guidance_(input.guidance), source_(source), begin_(source.seconds()) {
    for (size_t t = 0; t < in_.tasks->size(); ++t) {
      const Task& task = (*in_.tasks)[t];
      State& s = states_.emplace_back(std::make_unique<TaskSearch>(task, guidance_, in_.seed));
      if (t < in_.hints.size()) s.search->hint(in_.hints[t]);
      s.start = s.best = s.search->adopt(in_.start[t]);
      s.occurrences = std::max(1.0, task.runs);
      s.roof_ms = 1e3 * std::max(task.direct_flops / 3 / (kOperations * machine().threads),
                                 task.bytes / (kBandwidth * machine().threads));
    }
  }

  LoopOutput run() {
    std::vector<size_t> order(states_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    auto known = [&](size_t t) {
      return t < in_.start_ms.size() ? in_.start_ms[t] * states_[t].occurrences : states_[t].total_ms();
    };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return known(a) > known(b); });
    for (size_t t : order) {
      if (stopped()) break;
      begin(t);
    }
    while (!stopped()) {
      const auto t = most_worth();
      if (!t) break;
      State& s = states_[*t];
      auto n = static_cast<size_t>(guidance_.preset.batch);
      const double left = in_.deadline - source_.seconds();
      if (s.batch_seconds > 0)  // the incumbent, and what wins is measured twice
        n = std::min(n, static_cast<size_t>(std::max(0.0, left / s.batch_seconds - 3)));
      auto candidates = n == 0 ? std::vector<Candidate>{} : s.search->propose(n);
      if (candidates.empty()) {
        s.exhausted = true;
        continue;
      }
      candidates.insert(candidates.begin(), s.best);
      step(*t, candidates, 0);
    }
    return finish();
  }

 private:
  const kernel::Machine& machine() const { return guidance_.target.machine; }
  bool stopped() const {
    return (in_.cancelled != nullptr && in_.cancelled->requested()) || source_.seconds() >= in_.deadline;
  }

  std::optional<size_t> most_worth() const {
    std::optional<size_t> best;
    for (size_t t = 0; t < states_.size(); ++t)
      if (!states_[t].exhausted && states_[t].start_ms > 0 && (!best || states_[t].worth() > states_[*best].worth()))
        best = t;
    return best;
  }

  bool same(const Choice& a, const Choice& b) const { return a.variant == b.variant && a.schedule == b.schedule; }

  std::vector<Measured> measure(size_t t, const std::vector<Candidate>& candidates, size_t incumbent, bool first) {
    Batch batch;
    batch.task = t;
    batch.has_reference = first;
    batch.incumbent = incumbent;
    batch.deadline = in_.deadline;
    for (const auto& c : candidates) batch.choices.push_back(c.choice);
    return source_.measure(batch);
  }

  /// A task's first batch: what defines its results, its start, and every other algorithm's start.
  void begin(size_t t) {
    State& s = states_[t];
    report(t);
    std::vector<Candidate> candidates = {s.search->reference()};
    const bool is_reference = same(candidates[0].choice, s.start.choice);
    if (is_reference) s.start = s.best = candidates[0];
    else candidates.push_back(s.start);
    for (auto& other : s.search->starts()) candidates.push_back(std::move(other));
    for (auto& other : s.search->hinted()) candidates.push_back(std::move(other));
    const double began = source_.seconds();
    const auto results = measure(t, candidates, is_reference ? 0 : 1, true);
    s.batch_seconds = (source_.seconds() - began) / static_cast<double>(candidates.size());
    size_t start = is_reference ? 0 : 1;
    s.refuted = !results[start].failure.empty();
    if (s.refuted) {
      log_warning("tune {}: the start is out: {}", (*in_.tasks)[t].name, results[start].failure);
      start = fallback(t, candidates, results);
      s.start = s.best = candidates[start];
    }
    if (results[start].timed()) s.start_ms = s.best_ms = results[start].ms;
    learn(t, candidates, results, start, true);
  }

  /// What takes the place of a start that failed: the analytical choice, else the reference.
  size_t fallback(size_t t, const std::vector<Candidate>& candidates, const std::vector<Measured>& results) const {
    const Choice analytical = first_choice((*in_.tasks)[t], machine());
    for (size_t i = 0; i < candidates.size(); ++i)
      if (same(candidates[i].choice, analytical) && results[i].failure.empty()) return i;
    return 0;
  }

  void step(size_t t, const std::vector<Candidate>& candidates, size_t incumbent) {
    State& s = states_[t];
    report(t);
    const double began = source_.seconds();
    const auto results = measure(t, candidates, incumbent, false);
    s.batch_seconds = (source_.seconds() - began) / static_cast<double>(candidates.size());
    learn(t, candidates, results, incumbent, false);
  }

  /// Tells the search what a batch showed, on the scale of the start's time, and lets its winners try again.
  void learn(size_t t, const std::vector<Candidate>& candidates, const std::vector<Measured>& results, size_t incumbent,
             bool first) {
    State& s = states_[t];
    const double before = s.best_ms;
    const double scale = results[incumbent].timed() ? s.best_ms / results[incumbent].ms : 0;
    std::vector<std::pair<double, size_t>> winners;
    for (size_t i = 0; i < candidates.size(); ++i) {
      const auto& m = results[i];
      if (!m.failure.empty())
        log_debug("tune {}: {} is out: {}", (*in_.tasks)[t].name,
                  (*in_.tasks)[t].variants[candidates[i].choice.variant].algorithm, m.failure);
      if (i == incumbent && !first) continue;                    // known since it was a candidate
      if (m.timed() ? scale == 0 : m.failure.empty()) continue;  // time was up
      Measured scaled = m;
      scaled.ms *= m.timed() ? scale : 1;
      s.search->tell(candidates[i], scaled);
      if (m.timed()) ++s.trials, measurements_.push_back({t, candidates[i], scaled.ms});
      if (i != incumbent && scaled.timed() && scaled.checked && scaled.ms < kWin * s.best_ms)
        winners.emplace_back(scaled.ms, i);
    }
    std::stable_sort(winners.begin(), winners.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<Candidate> challengers;
    for (size_t w = 0; w < std::min(winners.size(), kChallengers); ++w)
      challengers.push_back(candidates[winners[w].second]);
    if (!challengers.empty()) duel(s, t, std::move(challengers));
    refine();
    const double saved = std::isfinite(before) && before > 0 ? 1 - s.best_ms / before : 0.1;
    s.gain = 0.5 * s.gain + 0.5 * saved;
    s.stale = s.best_ms < before ? 0 : s.stale + 1;
    log_debug("tune {}: {} of {} measured, best {:.4f} ms, predictor {:.2f}", (*in_.tasks)[t].name, s.trials,
              candidates.size(), s.best_ms, s.search->predictor_quality());
  }

  /// The model learns while there is little that it could know, and then now and then: each time from all of this run.
  void refine() {
    constexpr size_t kLeast = 16;   // new measurements
    constexpr double kMore = 0.15;  // … or this share of those that it has seen
    constexpr size_t kMost = 2000;  // measurements, the latest
    if (guidance_.preset.model != Guide::learned) return;
    const size_t fresh = measurements_.size() - refined_;
    if (fresh < kLeast || static_cast<double>(fresh) < kMore * static_cast<double>(refined_)) return;
    refined_ = measurements_.size();
    std::vector<estimate::Sample> samples;
    for (size_t i = refined_ > kMost ? refined_ - kMost : 0; i < refined_; ++i) {
      const auto& m = measurements_[i];
      samples.push_back({m.candidate.features, m.ms, (*in_.tasks)[m.task].key});
    }
    guidance_.model.refine(samples);
  }

  /// The first win may have been luck, and the best of many is the luckiest: only a second one counts.
  void duel(State& s, size_t t, std::vector<Candidate> challengers) {
    if (stopped()) return;
    challengers.insert(challengers.begin(), s.best);
    const auto results = measure(t, challengers, 0, false);
    if (!results[0].timed()) return;
    double ratio = kWin;
    size_t winner = 0;
    for (size_t i = 1; i < challengers.size(); ++i) {
      if (!results[i].timed() || results[i].ms >= ratio * results[0].ms) continue;
      ratio = results[i].ms / results[0].ms;
      winner = i;
    }
    if (winner == 0) return;
    s.best = challengers[winner];
    s.best_ms *= ratio;
  }

  void report(size_t t) {
    if (in_.progress == nullptr) return;
    double total = 0;
    bool all = true;
    for (const auto& s : states_) total += s.total_ms(), all = all && std::isfinite(s.best_ms);
    const double now = source_.seconds();
    in_.progress->report("tune " + (*in_.tasks)[t].name, now - begin_, in_.deadline - begin_,
                         all ? std::optional<double>(total) : std::nullopt, in_.deadline - now);
  }

  TaskLog log_of(size_t t) const {
    const State& s = states_[t];
    const Task& task = (*in_.tasks)[t];
    std::vector<const TaskSearch::Result*> ranked;
    TaskLog log;
    for (const auto& r : s.search->results()) {
      if (r.measured.timed()) ranked.push_back(&r);
      if (r.measured.failure.empty()) continue;
      std::string why = task.variants[r.candidate.choice.variant].algorithm + ": " + r.measured.failure;
      if (std::find(log.rejected.begin(), log.rejected.end(), why) == log.rejected.end())
        log.rejected.push_back(std::move(why));
    }
    for (const auto& [why, times] : s.search->illegal())
      log.rejected.push_back(times == 1 ? why : fmt::format("{} ({} schedules)", why, times));
    log.passed = s.search->passed();
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const auto* a, const auto* b) { return a->measured.ms < b->measured.ms; });
    log.trials = s.trials;
    for (const auto* r : ranked) {
      if (log.top.size() == 5) break;
      const auto& choice = r->candidate.choice;
      const auto& variant = task.variants[choice.variant];
      Trial trial{variant.algorithm, kernel::print(variant.kernel, choice.schedule), r->candidate.predicted_ms,
                  r->measured.ms, ""};
      if (!same(choice, s.best.choice)) trial.why_not = why_not(*r, s);
      log.top.push_back(std::move(trial));
    }
    return log;
  }

  /// Why a measured candidate is not the choice.
  static std::string why_not(const TaskSearch::Result& r, const State& s) {
    if (r.measured.ms >= s.best_ms) return fmt::format("{:.1f} % slower", 100 * (r.measured.ms / s.best_ms - 1));
    if (!r.measured.checked) return "its result was not checked";
    return r.measured.ms >= kWin * s.best_ms ? "no faster than noise" : "did not win a second time";
  }

  LoopOutput finish() const {
    LoopOutput out;
    for (size_t t = 0; t < states_.size(); ++t) {
      const State& s = states_[t];
      out.choices.push_back(s.best.choice);
      out.ms.push_back(s.start_ms > 0 ? s.best_ms : 0);
      out.start_ms.push_back(s.start_ms);
      out.refuted.push_back(s.refuted);
      out.logs.push_back(log_of(t));
    }
    out.measurements = measurements_;
    out.model = guidance_.model;
    return out;
  }

  const LoopInput& in_;
  Guidance guidance_;
  MeasurementSource& source_;
  double begin_;
  std::vector<State> states_;
  std::vector<Measurement> measurements_;
  size_t refined_ = 0;  // of these the model has seen
};

}  // namespace

LoopOutput tune_loop(const LoopInput& input, MeasurementSource& source) { return Loop(input, source).run(); }

}  // namespace rooftune::tune
