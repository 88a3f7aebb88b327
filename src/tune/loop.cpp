#include "tune/loop.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/log.h"

namespace rooftune::tune {
namespace {

constexpr size_t kBatch = 8;
constexpr double kWorthwhile = 0.99;  // of the start's time: less gain than that may be noise

// The roof of one core of a present-day server CPU: how far a task may still go is only estimated from it.
constexpr double kOperations = 100e9, kBandwidth = 20e9;

struct State {
  TaskSearch search;
  Candidate start;
  double occurrences = 1;
  double roof_ms = 0;
  double start_ms = 0, best_ms = std::numeric_limits<double>::infinity();
  Candidate best;
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
  Loop(const LoopInput& input, MeasurementSource& source) : in_(input), source_(source), begin_(source.seconds()) {
    for (size_t t = 0; t < in_.tasks->size(); ++t) {
      const Task& task = (*in_.tasks)[t];
      states_.push_back({TaskSearch(task, in_.machine, in_.seed), {}});
      State& s = states_.back();
      s.start = s.best = s.search.adopt(in_.start[t]);
      s.occurrences = static_cast<double>(std::max<size_t>(1, task.groups.size()));
      s.roof_ms = 1e3 * std::max(task.direct_flops / 3 / (kOperations * in_.machine.threads),
                                 task.bytes / (kBandwidth * in_.machine.threads));
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
      auto candidates = states_[t].search.starts();
      candidates.insert(candidates.begin(), states_[t].start);
      measure(t, candidates, true);
    }
    while (!stopped()) {
      const auto t = most_worth();
      if (!t) break;
      State& s = states_[*t];
      size_t n = kBatch;
      const double left = in_.deadline - source_.seconds();
      if (s.batch_seconds > 0) n = std::min(n, static_cast<size_t>(std::max(0.0, left / s.batch_seconds)));
      const auto candidates = n == 0 ? std::vector<Candidate>{} : s.search.propose(n);
      if (candidates.empty()) {
        s.exhausted = true;
        continue;
      }
      measure(*t, candidates, false);
    }
    return finish();
  }

 private:
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

  void measure(size_t t, const std::vector<Candidate>& candidates, bool first) {
    State& s = states_[t];
    report(t);
    Batch batch;
    batch.task = t;
    batch.has_reference = first;
    batch.best_ms = s.best_ms;
    batch.deadline = in_.deadline;
    for (const auto& c : candidates) batch.choices.push_back(c.choice);
    const double began = source_.seconds();
    const auto results = source_.measure(batch);
    s.batch_seconds = (source_.seconds() - began) / static_cast<double>(candidates.size());
    const double before = s.best_ms;
    for (size_t i = 0; i < candidates.size(); ++i) {
      const auto& m = results[i];
      if (!m.failure.empty())
        log_debug("tune {}: {} is out: {}", (*in_.tasks)[t].name,
                  (*in_.tasks)[t].variants[candidates[i].choice.variant].algorithm, m.failure);
      if (!m.timed() && m.failure.empty()) continue;  // time was up
      s.search.tell(candidates[i], m);
      if (m.timed()) ++s.trials;
      if (first && i == 0 && m.timed()) s.start_ms = s.best_ms = m.ms;
      else if (m.timed() && m.checked && m.ms < s.best_ms) s.best_ms = m.ms, s.best = candidates[i];
    }
    const double saved = std::isfinite(before) && before > 0 ? 1 - s.best_ms / before : 0.1;
    s.gain = 0.5 * s.gain + 0.5 * saved;
    s.stale = s.best_ms < before * kWorthwhile ? 0 : s.stale + 1;
    log_debug("tune {}: {} of {} measured, best {:.4f} ms, predictor {:.2f}", (*in_.tasks)[t].name, s.trials,
              candidates.size(), s.best_ms, s.search.predictor_quality());
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
    for (const auto& r : s.search.results())
      if (r.measured.timed()) ranked.push_back(&r);
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const auto* a, const auto* b) { return a->measured.ms < b->measured.ms; });
    TaskLog log;
    log.trials = s.trials;
    for (const auto* r : ranked) {
      if (log.top.size() == 5) break;
      const auto& variant = task.variants[r->candidate.choice.variant];
      log.top.push_back({variant.algorithm, kernel::print(variant.kernel, r->candidate.choice.schedule),
                         r->candidate.predicted_ms, r->measured.ms});
    }
    return log;
  }

  LoopOutput finish() const {
    LoopOutput out;
    for (size_t t = 0; t < states_.size(); ++t) {
      const State& s = states_[t];
      const bool better = s.start_ms > 0 && s.best_ms < kWorthwhile * s.start_ms;
      out.choices.push_back(better ? s.best.choice : s.start.choice);
      out.ms.push_back(better ? s.best_ms : s.start_ms);
      out.start_ms.push_back(s.start_ms);
      out.predicted_ms.push_back(better ? s.best.predicted_ms : s.start.predicted_ms);
      out.logs.push_back(log_of(t));
    }
    return out;
  }

  const LoopInput& in_;
  MeasurementSource& source_;
  double begin_;
  std::vector<State> states_;
};

}  // namespace

LoopOutput tune_loop(const LoopInput& input, MeasurementSource& source) { return Loop(input, source).run(); }

}  // namespace rooftune::tune
