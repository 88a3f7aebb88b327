// TfIdfVectorizer: how often n-grams of a pool occur in sequences of integers or strings.
#include <algorithm>
#include <map>

#include "ops/common.h"
#include "ops/families.h"

namespace rooftune::ops {
namespace {

/// The pool: each n-gram, its words by number, and which n-gram it is.
struct Pool {
  std::map<std::string, int64_t> words;  // of pool_strings
  std::map<std::vector<int64_t>, size_t> grams;
  std::vector<int64_t> columns;  // of each n-gram, its place in the output
  std::vector<float> weights;    // of each n-gram; empty: 1
  int64_t longest = 0;           // n of the longest one that counts
  int64_t width = 0;             // of the output
};

Pool read_pool(const Node& node) {
  Pool pool;
  std::vector<int64_t> items = node.attr_ints("pool_int64s");
  if (const auto at = node.attributes.find("pool_strings"); at != node.attributes.end()) {
    const auto* texts = std::get_if<std::vector<std::string>>(&at->second);
    if (texts == nullptr || !items.empty()) fail(node, "must have one of pool_int64s and pool_strings");
    for (const auto& text : *texts)
      items.push_back(pool.words.try_emplace(text, static_cast<int64_t>(pool.words.size())).first->second);
  }
  pool.columns = node.attr_ints("ngram_indexes");
  pool.weights = node.attr_floats("weights");
  const std::vector<int64_t> starts = node.attr_ints("ngram_counts");
  const int64_t shortest = node.attr_int("min_gram_length", 1), longest = node.attr_int("max_gram_length", 1);
  if (items.empty() || pool.columns.empty() || starts.empty())
    fail(node, "a pool, ngram_counts and ngram_indexes must be given");
  if (shortest < 1 || longest < shortest)
    fail(node, fmt::format("min_gram_length {} and max_gram_length {} do not fit", shortest, longest));
  if (!pool.weights.empty() && pool.weights.size() != pool.columns.size())
    fail(node, fmt::format("there are {} weights, but {} ngram_indexes", pool.weights.size(), pool.columns.size()));
  constexpr int64_t kWidest = int64_t{1} << 31;
  for (int64_t column : pool.columns) {
    if (column < 0 || column >= kWidest) fail(node, fmt::format("an element of ngram_indexes is {}", column));
    pool.width = std::max(pool.width, column + 1);
  }
  size_t gram = 0;
  for (size_t n = 1; n <= starts.size(); ++n) {
    const int64_t first = starts[n - 1], end = n < starts.size() ? starts[n] : static_cast<int64_t>(items.size());
    if (first < 0 || end < first || end > static_cast<int64_t>(items.size()) ||
        (end - first) % static_cast<int64_t>(n) != 0)
      fail(node, fmt::format("ngram_counts give {}-grams the items {} to {} of {}", n, first, end, items.size()));
    for (int64_t i = first; i < end; i += static_cast<int64_t>(n), ++gram) {
      if (static_cast<int64_t>(n) < shortest || static_cast<int64_t>(n) > longest) continue;
      pool.grams[{items.begin() + i, items.begin() + i + static_cast<int64_t>(n)}] = gram;
      pool.longest = std::max(pool.longest, static_cast<int64_t>(n));
    }
  }
  if (gram > pool.columns.size())
    fail(node, fmt::format("the pool has {} n-grams, but there are {} ngram_indexes", gram, pool.columns.size()));
  return pool;
}

enum class Weighting { tf, idf, tf_idf };

Weighting weighting(const Node& node) {
  const std::string mode = node.attr_string("mode", "");
  if (mode == "TF") return Weighting::tf;
  if (mode == "IDF") return Weighting::idf;
  if (mode == "TFIDF") return Weighting::tf_idf;
  fail(node, fmt::format("mode is '{}', but must be TF, IDF or TFIDF", mode));
}

void infer_vectorizer(InferContext& ctx) {
  const bool strings = ctx.node().has("pool_strings");
  require(ctx, 0, strings ? kString : kIndices);
  require_rank(ctx, 0, 1, 2);
  (void)weighting(ctx.node());
  const Pool pool = read_pool(ctx.node());
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(DType::f32));
  Shape shape = ctx.shape(0);
  shape.back() = pool.width;
  ctx.set_output(0, DType::f32, std::move(shape));
}

/// Counts the n-grams of one row: words that lie 1 to max_skip_count + 1 apart. A single word has no distance.
void count_grams(const Pool& pool, const std::vector<int64_t>& row, int64_t most_skipped, float* counts) {
  const auto length = static_cast<int64_t>(row.size());
  for (int64_t distance = 1; distance <= std::min(most_skipped + 1, std::max<int64_t>(length, 1)); ++distance) {
    for (int64_t start = 0; start < length; ++start) {
      std::vector<int64_t> gram;
      for (int64_t at = start; at < length && static_cast<int64_t>(gram.size()) < pool.longest; at += distance) {
        gram.push_back(row[static_cast<size_t>(at)]);
        if (gram.size() == 1 && distance > 1) continue;
        if (const auto found = pool.grams.find(gram); found != pool.grams.end())
          counts[pool.columns[found->second]] += 1;
      }
    }
  }
}

void evaluate_vectorizer(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const Pool pool = read_pool(ctx.node());
  const Weighting mode = weighting(ctx.node());
  const int64_t most_skipped = ctx.node().attr_int("max_skip_count", 0);
  if (most_skipped < 0) ctx.fail(fmt::format("max_skip_count is {}, but must be at least 0", most_skipped));
  std::vector<int64_t> shape = x.shape();
  const int64_t length = shape.back(), rows = shape.size() == 2 ? shape[0] : 1;
  shape.back() = pool.width;
  Tensor out(DType::f32, shape);
  std::fill_n(out.data<float>(), out.size(), 0.0F);
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<int64_t> row;
    for (int64_t i = r * length; i < (r + 1) * length; ++i) {
      if (x.dtype() != DType::string) {
        row.push_back(x.as_int(i));
        continue;
      }
      const auto word = pool.words.find(x.strings()[static_cast<size_t>(i)]);
      row.push_back(word == pool.words.end() ? -1 : word->second);
    }
    count_grams(pool, row, most_skipped, out.data<float>() + r * pool.width);
  }
  if (mode != Weighting::tf) {
    std::vector<float> weights(static_cast<size_t>(pool.width), 1);
    for (size_t g = 0; g < pool.weights.size(); ++g) weights[static_cast<size_t>(pool.columns[g])] = pool.weights[g];
    for (int64_t i = 0; i < out.size(); ++i) {
      float& v = out.data<float>()[i];
      v = (mode == Weighting::idf ? (v > 0 ? 1.0F : 0.0F) : v) * weights[static_cast<size_t>(i % pool.width)];
    }
  }
  ctx.set_output(0, std::move(out));
}

}  // namespace

void register_ngrams(Catalogue& c) {
  c.add({.name = "TfIdfVectorizer",
         .since_version = 9,
         .min_inputs = 1,
         .max_inputs = 1,
         .infer = infer_vectorizer,
         .cost = cost_per_output(1),
         .evaluate = evaluate_vectorizer});
}

}  // namespace rooftune::ops
