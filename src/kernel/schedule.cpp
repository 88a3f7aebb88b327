#include "kernel/schedule.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/hash.h"
#include "kernel/nodes.h"

namespace rooftune::kernel {

namespace {

bool is_identifier(std::string_view s) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (s.empty() || !letter(s[0]) || s == "prefetch") return false;
  return std::all_of(s.begin(), s.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// What the i-th of named things is called in a schedule: its name where that says which one is meant, else #i.
template <typename T>
std::string label(const std::vector<T>& things, int i) {
  const std::string& name = things[static_cast<size_t>(i)].name;
  auto same = [&](const T& t) { return t.name == name; };
  if (is_identifier(name) && std::count_if(things.begin(), things.end(), same) == 1) return name;
  return fmt::format("#{}", i);
}

constexpr std::string_view kKinds[] = {"", ":u", ":v", ":p", ":d", ":t"};

std::string stage_text(const Kernel& kernel, const Stage& stage, const StagePlan& plan) {
  std::string s;
  if (plan.at_stage >= 0) s += fmt::format(" @{}.{}", label(kernel.stages, plan.at_stage), plan.at_loop);
  if (plan.slide_axis >= 0) s += fmt::format(" ~{}", label(stage.axes, plan.slide_axis));
  for (const Loop& l : plan.loops) {
    s += fmt::format(" {}", label(stage.axes, l.axis));
    if (l.step != 1) s += fmt::format("/{}", l.step);
    s += kKinds[static_cast<size_t>(l.kind)];
  }
  if (!plan.layout.empty()) s += fmt::format(" {}", plan.layout.to_string());
  return s;
}

class Parser {
 public:
  explicit Parser(const Kernel& kernel) : kernel_(kernel), number_(canonical_buffers(kernel)) {}

  Schedule run(std::string_view text) {
    schedule_.stages.resize(kernel_.stages.size());
    seen_.assign(kernel_.stages.size(), false);
    for (line_ = 1; !text.empty(); line_++) {
      size_t end = std::min(text.find('\n'), text.size());
      std::vector<std::string_view> words = split(text.substr(0, end));
      if (!words.empty()) parse_line(words);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    for (size_t i = 0; i < seen_.size(); i++) {
      if (!seen_[i]) throw InputError("schedule: stage {} has no line", label(kernel_.stages, static_cast<int>(i)));
    }
    return std::move(schedule_);
  }

 private:
  template <typename... A>
  [[noreturn]] void fail(std::string_view word, fmt::format_string<A...> what, A&&... a) const {
    throw InputError("schedule, line {}, '{}': {}", line_, word, fmt::format(what, std::forward<A>(a)...));
  }

  static std::vector<std::string_view> split(std::string_view line) {
    constexpr std::string_view kSpace = " \t\r";
    std::vector<std::string_view> words;
    while (true) {
      size_t start = line.find_first_not_of(kSpace);
      if (start == std::string_view::npos) return words;
      line.remove_prefix(start);
      size_t end = std::min(line.find_first_of(kSpace), line.size());
      words.push_back(line.substr(0, end));
      line.remove_prefix(end);
    }
  }

  int64_t integer(std::string_view word, std::string_view digits, const char* what) const {
    int64_t v = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), v);
    if (error != std::errc() || end != digits.data() + digits.size() || v < 0)
      fail(word, "expected {} at '{}'", what, digits);
    return v;
  }

  /// The thing that `name` calls; -1 where there is none.
  template <typename T>
  int find(const std::vector<T>& things, std::string_view word, std::string_view name) const {
    if (name.starts_with('#')) {
      int64_t i = integer(word, name.substr(1), "a number after #");
      return i < static_cast<int64_t>(things.size()) ? static_cast<int>(i) : -1;
    }
    auto at = std::find_if(things.begin(), things.end(), [&](const T& t) { return t.name == name; });
    return at == things.end() ? -1 : static_cast<int>(at - things.begin());
  }

  template <typename T>
  std::string all(const std::vector<T>& things) const {
    std::string s;
    for (size_t i = 0; i < things.size(); i++)
      s += fmt::format("{}{}", i > 0 ? ", " : "", label(things, static_cast<int>(i)));
    return s;
  }

  int stage(std::string_view word, std::string_view name) const {
    int s = find(kernel_.stages, word, name);
    if (s < 0) fail(word, "the kernel has no stage '{}'; its stages are {}", name, all(kernel_.stages));
    return s;
  }

  int axis(std::string_view word, int stage, std::string_view name) const {
    const Stage& s = kernel_.stages[static_cast<size_t>(stage)];
    int a = find(s.axes, word, name);
    if (a < 0)
      fail(word, "stage {} has no axis '{}'; its axes are {}", label(kernel_.stages, stage), name, all(s.axes));
    return a;
  }

  int buffer(std::string_view word, std::string_view name) const {
    if (name.starts_with('$')) {
      int64_t wanted = integer(word, name.substr(1), "a number after $");
      for (size_t b = 0; b < number_.size(); b++) {
        if (number_[b] == wanted) return static_cast<int>(b);
      }
      fail(word, "the kernel has no buffer {}", name);
    }
    int b = find(kernel_.buffers, word, name);
    if (b < 0) fail(word, "the kernel has no stage or buffer '{}'; its stages are {}", name, all(kernel_.stages));
    return b;
  }

  Layout layout(std::string_view word, int buffer) const {
    Layout parsed;
    try {
      parsed = Layout::parse(word);
    } catch (const InputError& e) {
      fail(word, "{}", e.what());
    }
    for (const PhysicalAxis& a : parsed.axes()) {
      size_t rank = kernel_.buffers[static_cast<size_t>(buffer)].shape.size();
      if (static_cast<size_t>(a.dim) >= rank) fail(word, "dim {} of a buffer of rank {}", a.dim, rank);
    }
    return parsed;
  }

  std::pair<int, int> stage_and_loop(std::string_view word, std::string_view name) const {
    size_t dot = name.rfind('.');
    if (dot == std::string_view::npos) fail(word, "expected stage.loop");
    return {stage(word, name.substr(0, dot)),
            static_cast<int>(integer(word, name.substr(dot + 1), "the loop's number"))};
  }

  void parse_line(const std::vector<std::string_view>& words) {
    std::string_view key = words[0];
    if (!key.ends_with(':')) fail(key, "a line starts with the name of a stage or buffer and a colon");
    key.remove_suffix(1);
    if (key == "prefetch") return parse_prefetch(words);
    int s = key.starts_with('$') ? -1 : find(kernel_.stages, words[0], key);
    if (s >= 0) return parse_stage(s, words);
    int b = buffer(words[0], key);
    if (kernel_.buffers[static_cast<size_t>(b)].role != Role::constant) fail(words[0], "only constants are prepared");
    if (words.size() != 2) fail(words[0], "expected one layout after it");
    schedule_.prepared.emplace_back(b, layout(words[1], b));
  }

  void parse_stage(int s, const std::vector<std::string_view>& words) {
    if (seen_[static_cast<size_t>(s)]) fail(words[0], "this stage has a line already");
    seen_[static_cast<size_t>(s)] = true;
    StagePlan& plan = schedule_.stages[static_cast<size_t>(s)];
    for (size_t i = 1; i < words.size(); i++) {
      std::string_view word = words[i];
      if (word[0] == '@') {
        if (plan.at_stage >= 0) fail(word, "a stage is computed at one place");
        std::tie(plan.at_stage, plan.at_loop) = stage_and_loop(word, word.substr(1));
      } else if (word[0] == '~') {
        if (plan.slide_axis >= 0) fail(word, "one axis slides at most");
        plan.slide_axis = axis(word, s, word.substr(1));
      } else if (word[0] == '(') {
        if (!plan.layout.empty()) fail(word, "a second layout");
        plan.layout = layout(word, kernel_.stages[static_cast<size_t>(s)].buffer);
      } else {
        plan.loops.push_back(loop(word, s));
      }
    }
  }

  Loop loop(std::string_view word, int s) const {
    Loop l;
    std::string_view rest = word;
    if (size_t colon = rest.find(':'); colon != std::string_view::npos) {
      auto kind = std::find(std::begin(kKinds) + 1, std::end(kKinds), rest.substr(colon));
      if (kind == std::end(kKinds))
        fail(word,
             "a loop is axis, axis/step, with :u (unrolled), :v (vector), :d (dot), :t (tile) or :p (parallel) after "
             "it");
      l.kind = static_cast<LoopKind>(kind - std::begin(kKinds));
      rest = rest.substr(0, colon);
    }
    if (size_t slash = rest.find('/'); slash != std::string_view::npos) {
      l.step = integer(word, rest.substr(slash + 1), "a step");
      if (l.step == 0) fail(word, "a step is at least 1");
      rest = rest.substr(0, slash);
    }
    l.axis = axis(word, s, rest);
    return l;
  }

  void parse_prefetch(const std::vector<std::string_view>& words) {
    constexpr const char* kForm = "expected buffer@stage.loop+axis/distance, perhaps with |axis/step*turns";
    if (words.size() != 2) fail(words[0], "{} after it", kForm);
    const std::string_view whole = words[1];
    const size_t bar = whole.find('|');
    const std::string_view word = whole.substr(0, bar);
    size_t at = word.find('@'), plus = word.rfind('+');
    size_t slash = word.rfind('/');
    if (at == std::string_view::npos || plus == std::string_view::npos || plus < at ||
        slash == std::string_view::npos || slash < plus)
      fail(word, "{}", kForm);
    Prefetch p;
    p.buffer = buffer(word, word.substr(0, at));
    std::tie(p.stage, p.loop) = stage_and_loop(word, word.substr(at + 1, plus - at - 1));
    p.axis = axis(word, p.stage, word.substr(plus + 1, slash - plus - 1));
    p.distance = integer(word, word.substr(slash + 1), "a distance");
    if (bar != std::string_view::npos) {
      const std::string_view shared = whole.substr(bar + 1);
      const size_t cut = shared.rfind('/'), star = shared.rfind('*');
      if (cut == std::string_view::npos || star == std::string_view::npos || star < cut) fail(whole, "{}", kForm);
      p.shared = axis(whole, p.stage, shared.substr(0, cut));
      p.shared_step = integer(whole, shared.substr(cut + 1, star - cut - 1), "a step");
      p.turns = integer(whole, shared.substr(star + 1), "a number of turns");
    }
    schedule_.prefetch.push_back(p);
  }

  const Kernel& kernel_;
  std::vector<int> number_;
  Schedule schedule_;
  std::vector<bool> seen_;
  int line_ = 1;
};

}  // namespace

std::vector<Loop> loops_in_words(const std::vector<Loop>& loops, int width) {
  auto words = loops;
  if (words.size() < 3 || words.back().kind != LoopKind::tile) return words;
  const int row = words[words.size() - 3].axis, column = words[words.size() - 2].axis, word = words.back().axis;
  words.resize(words.size() - 3);
  words.push_back({word, width, LoopKind::serial});
  words.push_back({row, 1, LoopKind::unrolled});
  words.push_back({column, 1, LoopKind::vector});
  words.push_back({word, 1, LoopKind::dot});
  return words;
}

std::string print(const Kernel& kernel, const Schedule& schedule) {
  RT_CHECK(schedule.stages.size() == kernel.stages.size(), "a schedule of {} stages for kernel {} of {}",
           schedule.stages.size(), kernel.name, kernel.stages.size());
  std::vector<int> number = canonical_buffers(kernel);
  auto buffer = [&](int b) { return fmt::format("${}", number[static_cast<size_t>(b)]); };
  std::vector<std::pair<std::string, std::string>> lines;
  for (size_t i = 0; i < kernel.stages.size(); i++) {
    lines.emplace_back(label(kernel.stages, static_cast<int>(i)),
                       stage_text(kernel, kernel.stages[i], schedule.stages[i]));
  }
  for (const auto& [b, layout] : schedule.prepared)
    lines.emplace_back(buffer(b), fmt::format(" {}", layout.to_string()));
  for (const Prefetch& p : schedule.prefetch) {
    const auto& axes = kernel.stages[static_cast<size_t>(p.stage)].axes;
    lines.emplace_back("prefetch", fmt::format(" {}@{}.{}+{}/{}", buffer(p.buffer), label(kernel.stages, p.stage),
                                               p.loop, label(axes, p.axis), p.distance));
    if (p.shared >= 0) lines.back().second += fmt::format("|{}/{}*{}", label(axes, p.shared), p.shared_step, p.turns);
  }
  size_t width = 0;
  for (const auto& line : lines) width = std::max(width, line.first.size() + 1);
  std::string text;
  for (const auto& [name, rest] : lines)
    text += rest.empty() ? name + ":\n" : fmt::format("{:<{}}{}\n", name + ':', width, rest);
  return text;
}

Schedule parse_schedule(const Kernel& kernel, std::string_view text) { return Parser(kernel).run(text); }

uint64_t hash(const Kernel& kernel, const Schedule& schedule) { return xxh64(print(kernel, schedule), hash(kernel)); }

}  // namespace rooftune::kernel
