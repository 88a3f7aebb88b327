// TreeEnsemble of ai.onnx.ml: trees of comparisons whose leaves add up to targets. It runs its reference only.
#include <algorithm>
#include <cmath>
#include <set>

#include "ops/dispatch.h"
#include "ops/families.h"

namespace rooftune::ops {
namespace {

enum Mode { kLessEqual, kLess, kGreaterEqual, kGreater, kEqual, kNotEqual, kMember };
enum Aggregate { kAverage, kSum, kMin, kMax };
enum Transform { kNone, kSoftmax, kLogistic };

struct Branch {
  bool leaf = false;
  int64_t to = 0;
};
struct Inner {
  int mode = 0;
  int64_t feature = 0;
  double split = 0;
  std::set<double> members;
  bool missing_is_true = false;
  Branch yes, no;
};
struct Leaf {
  double weight = 0;
  int64_t target = 0;
};
struct Trees {
  std::vector<int64_t> roots;
  std::vector<Inner> inner;
  std::vector<Leaf> leaves;
  int64_t targets = 1;
  int64_t features = 0;  // the least number that the input must have
  int64_t aggregate = kSum, transform = kNone;
};

int64_t in_range(const Node& node, const char* what, int64_t value, int64_t end) {
  if (value < 0 || value >= end) fail(node, fmt::format("{} holds {}, must be below {}", what, value, end));
  return value;
}

/// One number for each of `count` nodes or leaves; those of an optional attribute are 0 where it is absent.
std::vector<int64_t> ints(const Node& node, const char* key, size_t count, bool optional = false) {
  std::vector<int64_t> values = node.attr_ints(key);
  if (optional && values.empty()) values.assign(count, 0);
  if (values.size() != count) fail(node, fmt::format("{} has {} elements, must have {}", key, values.size(), count));
  return values;
}

std::vector<double> numbers(const Node& node, const char* key, std::optional<size_t> count) {
  const Tensor* tensor = node.attr_tensor(key);
  if (tensor == nullptr) fail(node, fmt::format("{} is missing", key));
  if (!contains(kNumbers, tensor->dtype()) || (count && static_cast<size_t>(tensor->size()) != *count))
    fail(node, fmt::format("{} must hold {} numbers", key, count ? std::to_string(*count) : "only"));
  std::vector<double> values;
  for (int64_t i = 0; i < tensor->size(); ++i) values.push_back(tensor->as_double(i));
  return values;
}

/// The sets of the nodes that ask for membership, in the order of these, each ended by a NaN.
void read_members(const Node& node, Trees& trees) {
  if (std::ranges::none_of(trees.inner, [](const Inner& n) { return n.mode == kMember; })) return;
  const std::vector<double> all = numbers(node, "membership_values", std::nullopt);
  size_t at = 0;
  for (Inner& n : trees.inner) {
    if (n.mode != kMember) continue;
    for (; at < all.size() && !std::isnan(all[at]); ++at) n.members.insert(all[at]);
    if (at++ >= all.size()) fail(node, "membership_values holds fewer sets than there are nodes of that mode");
  }
}

/// Everything that an index can point to is checked here.
Trees read_trees(const Node& node) {
  Trees trees;
  trees.roots = node.attr_ints("tree_roots");
  const size_t inner = node.attr_ints("nodes_featureids").size(), leaves = node.attr_ints("leaf_targetids").size();
  trees.targets = node.attr_int("n_targets", 1);
  if (trees.targets < 1 || trees.targets > INT32_MAX) fail(node, fmt::format("n_targets is {}", trees.targets));
  trees.aggregate = in_range(node, "aggregate_function", node.attr_int("aggregate_function", kSum), kMax + 1);
  trees.transform = node.attr_int("post_transform", kNone);
  if (trees.transform < kNone || trees.transform > kLogistic)
    fail(node, fmt::format("post_transform {} is not supported; 0 (none), 1 (softmax) and 2 (logistic) are",
                           trees.transform));
  const auto features = ints(node, "nodes_featureids", inner), yes = ints(node, "nodes_truenodeids", inner),
             no = ints(node, "nodes_falsenodeids", inner), yes_leaf = ints(node, "nodes_trueleafs", inner),
             no_leaf = ints(node, "nodes_falseleafs", inner), targets = ints(node, "leaf_targetids", leaves),
             missing = ints(node, "nodes_missing_value_tracks_true", inner, true);
  const auto modes = numbers(node, "nodes_modes", inner), splits = numbers(node, "nodes_splits", inner),
             weights = numbers(node, "leaf_weights", leaves);
  const auto branch = [&](const char* what, bool leaf, int64_t to) {
    return Branch{leaf, in_range(node, what, to, static_cast<int64_t>(leaf ? leaves : inner))};
  };
  for (size_t i = 0; i < inner; ++i) {
    Inner n;
    n.mode = static_cast<int>(in_range(node, "nodes_modes", static_cast<int64_t>(modes[i]), kMember + 1));
    n.feature = in_range(node, "nodes_featureids", features[i], INT32_MAX);
    trees.features = std::max(trees.features, n.feature + 1);
    n.split = splits[i];
    n.missing_is_true = missing[i] != 0;
    n.yes = branch("nodes_truenodeids", yes_leaf[i] != 0, yes[i]);
    n.no = branch("nodes_falsenodeids", no_leaf[i] != 0, no[i]);
    trees.inner.push_back(std::move(n));
  }
  for (size_t i = 0; i < leaves; ++i)
    trees.leaves.push_back({weights[i], in_range(node, "leaf_targetids", targets[i], trees.targets)});
  for (int64_t root : trees.roots) in_range(node, "tree_roots", root, static_cast<int64_t>(inner));
  if (trees.roots.empty()) fail(node, "tree_roots is missing");
  read_members(node, trees);
  return trees;
}

void infer_trees(InferContext& ctx) {
  const DType dtype = require(ctx, 0, kFloats);
  require_rank(ctx, 0, 2, 2);
  const Trees trees = read_trees(ctx.node());
  if (!ctx.has_shape(0)) return ctx.set_output(0, Type::tensor(dtype));
  const Dim& width = ctx.shape(0)[1];
  if (width.max() < trees.features)
    ctx.fail(fmt::format("the trees look at {} features, but the input has {}", trees.features, width.to_string()));
  ctx.set_output(0, dtype, {ctx.shape(0)[0], trees.targets});
}

bool holds(const Inner& n, double x) {
  if (std::isnan(x) && n.missing_is_true) return true;
  switch (n.mode) {
    case kLessEqual: return x <= n.split;
    case kLess: return x < n.split;
    case kGreaterEqual: return x >= n.split;
    case kGreater: return x > n.split;
    case kEqual: return x == n.split;
    case kNotEqual: return x != n.split;
    default: return n.members.contains(x);
  }
}

const Leaf& leaf_of(const EvalContext& ctx, const Trees& trees, int64_t root, const auto& feature) {
  Branch at{false, root};
  for (size_t depth = 0; !at.leaf; ++depth) {
    if (depth > trees.inner.size()) ctx.fail("its nodes lead round in circles");
    const Inner& n = trees.inner[static_cast<size_t>(at.to)];
    at = holds(n, feature(n.feature)) ? n.yes : n.no;
  }
  return trees.leaves[static_cast<size_t>(at.to)];
}

void transform(std::vector<double>& scores, int64_t how) {
  if (how == kLogistic)
    for (double& s : scores) s = 1 / (1 + std::exp(-s));
  if (how != kSoftmax) return;
  const double highest = *std::ranges::max_element(scores);
  double sum = 0;
  for (double& s : scores) sum += s = std::exp(s - highest);
  for (double& s : scores) s /= sum;
}

void evaluate_trees(EvalContext& ctx) {
  const Tensor& x = ctx.input(0);
  const Trees trees = read_trees(ctx.node());
  const int64_t rows = x.dim(0), width = x.dim(1);
  if (width < trees.features)
    ctx.fail(fmt::format("the trees look at {} features, but the input has {}", trees.features, width));
  Tensor out(x.dtype(), {rows, trees.targets});
  dispatch_float(ctx.node(), x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t r = 0; r < rows; ++r) {
      const T* row = x.data<T>() + r * width;
      std::vector<double> scores(static_cast<size_t>(trees.targets), 0);
      std::vector<bool> seen(scores.size(), false);
      for (int64_t root : trees.roots) {
        const Leaf& leaf = leaf_of(ctx, trees, root, [&](int64_t f) { return static_cast<double>(row[f]); });
        const auto t = static_cast<size_t>(leaf.target);
        if (!seen[t]) scores[t] = leaf.weight;
        else if (trees.aggregate == kMin) scores[t] = std::min(scores[t], leaf.weight);
        else if (trees.aggregate == kMax) scores[t] = std::max(scores[t], leaf.weight);
        else scores[t] += leaf.weight;
        seen[t] = true;
      }
      if (trees.aggregate == kAverage)
        for (double& s : scores) s /= static_cast<double>(trees.roots.size());
      transform(scores, trees.transform);
      std::ranges::transform(scores, out.data<T>() + r * trees.targets, [](double s) { return static_cast<T>(s); });
    }
  });
  ctx.set_output(0, std::move(out));
}

}  // namespace

void register_ml_trees(Catalogue& catalogue) {
  catalogue.add({.name = "TreeEnsemble",
                 .domain = "ai.onnx.ml",
                 .since_version = 5,
                 .min_inputs = 1,
                 .max_inputs = 1,
                 .infer = infer_trees,
                 .evaluate = widened(evaluate_trees)});
}

}  // namespace rooftune::ops
