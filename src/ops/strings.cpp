// Strings: StringConcat, StringSplit, RegexFullMatch, StringNormalizer. They run their references only.
#include <algorithm>
#include <regex>
#include <set>

#include "ops/common.h"
#include "ops/families.h"

namespace rooftune::ops {
namespace {

using Strings = std::vector<std::string>;

Strings strings_of(const Node& node, const char* key) {
  const auto at = node.attributes.find(key);
  if (at == node.attributes.end()) return {};
  const auto* values = std::get_if<Strings>(&at->second);
  if (values == nullptr) fail(node, fmt::format("{} must be a list of strings", key));
  return *values;
}

// --- StringConcat

void infer_concat(InferContext& ctx) {
  require_same(ctx, 0, 1, kString);
  ctx.set_output(0, Type::tensor(DType::string, broadcast_inputs(ctx, 0, 1)));
}

void evaluate_concat(EvalContext& ctx) {
  const Tensor &a = ctx.input(0), &b = ctx.input(1);
  Tensor out(DType::string, broadcast(ctx.node(), a.shape(), b.shape()));
  const BroadcastPlan plan = plan_broadcast(out.shape(), {a.shape(), b.shape()});
  for_each_row(plan, [&](const int64_t* at, int64_t to) {
    for (int64_t i = 0; i < plan.row; ++i)
      out.strings()[static_cast<size_t>(to + i)] = a.strings()[static_cast<size_t>(at[0] + i * plan.row_step[0])] +
                                                   b.strings()[static_cast<size_t>(at[1] + i * plan.row_step[1])];
  });
  ctx.set_output(0, std::move(out));
}

// --- StringSplit

/// At most `most` splits (-1: any number), at each `delimiter`; where that is empty, at runs of white space.
Strings split(const std::string& text, const std::string& delimiter, int64_t most) {
  constexpr const char* kSpace = " \t\n\v\f\r";
  Strings parts;
  const auto may_split = [&] { return most < 0 || static_cast<int64_t>(parts.size()) < most; };
  size_t at = delimiter.empty() ? text.find_first_not_of(kSpace) : 0;
  while (at != std::string::npos) {
    const size_t end = !may_split()        ? std::string::npos
                       : delimiter.empty() ? text.find_first_of(kSpace, at)
                                           : text.find(delimiter, at);
    parts.push_back(text.substr(at, end == std::string::npos ? end : end - at));
    if (end == std::string::npos) break;
    at = delimiter.empty() ? text.find_first_not_of(kSpace, end) : end + delimiter.size();
  }
  return parts;
}

void infer_split(InferContext& ctx) {
  require(ctx, 0, kString);
  if (!ctx.has_shape(0)) {
    ctx.set_output(0, Type::tensor(DType::string));
    return ctx.set_output(1, Type::tensor(DType::i64));
  }
  Shape shape = ctx.shape(0);
  ctx.set_output(1, DType::i64, shape);
  shape.push_back(ctx.unknown_dim(0, static_cast<int>(shape.size())));
  ctx.set_output(0, DType::string, std::move(shape));
}

void evaluate_split(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::string delimiter = ctx.node().attr_string("delimiter", "");
  const int64_t most = ctx.node().attr_int("maxsplit", -1);
  std::vector<Strings> parts;
  Tensor counts(DType::i64, x.shape());
  size_t widest = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    parts.push_back(split(x.strings()[static_cast<size_t>(i)], delimiter, most));
    counts.data<int64_t>()[i] = static_cast<int64_t>(parts.back().size());
    widest = std::max(widest, parts.back().size());
  }
  std::vector<int64_t> shape = x.shape();
  shape.push_back(static_cast<int64_t>(widest));
  Tensor out(DType::string, shape);
  for (size_t i = 0; i < parts.size(); ++i)
    std::move(parts[i].begin(), parts[i].end(), out.strings().begin() + static_cast<int64_t>(i * widest));
  ctx.set_output(0, std::move(out));
  ctx.set_output(1, std::move(counts));
}

// --- RegexFullMatch

/// The standard's patterns are RE2's: no back references, so matching takes no backtracking. libstdc++ has such a matcher,
/// which neither overflows its stack on long strings nor takes exponential time.
std::regex pattern_of(const Node& node) {
  const std::string pattern = node.attr_string("pattern", "");
  auto flags = std::regex::ECMAScript;
#ifdef __GLIBCXX__
  flags |= std::regex_constants::__polynomial;
#endif
  try {
    return std::regex(pattern, flags);
  } catch (const std::regex_error& e) {
    fail(node, fmt::format("pattern '{}' is not a regular expression that is understood: {}", pattern, e.what()));
  }
}

void infer_match(InferContext& ctx) {
  require(ctx, 0, kString);
  (void)pattern_of(ctx.node());
  ctx.set_output(0, Type::tensor(DType::boolean, ctx.has_shape(0) ? std::optional(ctx.shape(0)) : std::nullopt));
}

void evaluate_match(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const std::regex pattern = pattern_of(ctx.node());
  Tensor out(DType::boolean, x.shape());
  for (int64_t i = 0; i < x.size(); ++i)
    out.raw()[i] = std::regex_match(x.strings()[static_cast<size_t>(i)], pattern) ? 1 : 0;
  ctx.set_output(0, std::move(out));
}

// --- StringNormalizer

enum class Case { keep, lower, upper };

Case case_change(const Node& node) {
  const std::string name = node.attr_string("case_change_action", "NONE");
  if (name == "NONE") return Case::keep;
  if (name == "LOWER") return Case::lower;
  if (name == "UPPER") return Case::upper;
  fail(node, fmt::format("case_change_action is '{}', but must be LOWER, UPPER or NONE", name));
}

/// Of ASCII letters; other characters would need a locale that the machine may lack, and the result would depend on it.
std::string recased(const Node& node, std::string text, Case to) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) >= 0x80)
      fail(node, fmt::format("'{}': letters beyond ASCII cannot change their case", text));
    if (to == Case::lower && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (to == Case::upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

void infer_normalizer(InferContext& ctx) {
  require(ctx, 0, kString);
  (void)case_change(ctx.node());
  (void)strings_of(ctx.node(), "stopwords");
  require_rank(ctx, 0, 1, 2);
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(DType::string));
  Shape shape = ctx.shape(0);
  if (shape.size() == 2 && shape[0].is_static() && shape[0].value() != 1)
    ctx.fail(fmt::format("input 0 has shape {}, but must be [C] or [1,C]", to_string(shape)));
  shape.back() = ctx.unknown_dim(0, static_cast<int>(shape.size()) - 1, 1);
  ctx.set_output(0, DType::string, std::move(shape));
}

void evaluate_normalizer(EvalContext& ctx) {
  const Node& node = ctx.node();
  const Tensor& x = ctx.input(0);
  const Case change = case_change(node);
  const Strings words = strings_of(node, "stopwords");
  const bool exact = node.attr_int("is_case_sensitive", 0) != 0;
  std::set<std::string> stops;
  for (const auto& word : words) stops.insert(exact ? word : recased(node, word, Case::lower));
  Strings kept;
  for (const auto& text : x.strings()) {
    if (!stops.empty() && stops.contains(exact ? text : recased(node, text, Case::lower))) continue;
    kept.push_back(change == Case::keep ? text : recased(node, text, change));
  }
  if (kept.empty()) kept.emplace_back();  // never empty: one empty string
  std::vector<int64_t> shape = x.shape();
  shape.back() = static_cast<int64_t>(kept.size());
  ctx.set_output(0, Tensor::of_strings(std::move(shape), std::move(kept)));
}

}  // namespace

void register_strings(Catalogue& c) {
  c.add({.name = "StringConcat",
         .since_version = 20,
         .min_inputs = 2,
         .max_inputs = 2,
         .infer = infer_concat,
         .cost = cost_per_output(0),
         .evaluate = evaluate_concat});
  c.add({.name = "StringSplit",
         .since_version = 20,
         .min_inputs = 1,
         .max_inputs = 1,
         .min_outputs = 1,
         .max_outputs = 2,
         .infer = infer_split,
         .cost = cost_per_input(0),
         .evaluate = evaluate_split});
  c.add({.name = "RegexFullMatch",
         .since_version = 20,
         .min_inputs = 1,
         .max_inputs = 1,
         .infer = infer_match,
         .cost = cost_per_input(0),
         .evaluate = evaluate_match});
  c.add({.name = "StringNormalizer",
         .since_version = 10,
         .min_inputs = 1,
         .max_inputs = 1,
         .infer = infer_normalizer,
         .cost = cost_per_input(0),
         .evaluate = evaluate_normalizer});
}

}  // namespace rooftune::ops
