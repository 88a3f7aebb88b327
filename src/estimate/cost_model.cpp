#include "estimate/cost_model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"

namespace rooftune::estimate {
namespace {

constexpr size_t kMembers = 5;
constexpr double kCoverage = 0.9;
constexpr double kUntaught = 0.5;     // standard deviation of arithmetic's logarithm
constexpr double kLeast = 0.02;       // no prediction is surer than that: measurements are not
constexpr size_t kLeastSamples = 24;  // fewer teach nothing
constexpr size_t kLeastKernels = 10;  // fewer are not held out as a whole

double target_of(const Sample& s) { return std::log(s.ms / s.features.rough_ms); }

Matrix matrix_of(const std::vector<Features>& features) {
  Matrix m;
  for (const auto& f : features) m.add(f.values);
  return m;
}

/// Which member does not see a sample: all schedules of a kernel together, where there are kernels enough.
std::vector<size_t> folds_of(const std::vector<Sample>& samples) {
  std::set<uint64_t> kernels;
  for (const auto& s : samples) kernels.insert(s.kernel);
  const std::vector<uint64_t> order(kernels.begin(), kernels.end());
  std::vector<size_t> folds;
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto at = std::lower_bound(order.begin(), order.end(), samples[i].kernel) - order.begin();
    folds.push_back((kernels.size() < kLeastKernels ? i : static_cast<size_t>(at)) % kMembers);
  }
  return folds;
}

/// What one member learns from, and what it does not see.
struct Fold {
  Fold(const std::vector<Sample>& samples, const std::vector<float>& targets, const std::vector<size_t>& folds,
       size_t m) {
    for (size_t i = 0; i < samples.size(); ++i) {
      if (folds[i] == m) unseen.add(samples[i].features.values), held_out.push_back(i);
      else seen.add(samples[i].features.values), values.push_back(targets[i]);
    }
  }
  Matrix seen, unseen;
  std::vector<float> values;     // of what is seen
  std::vector<size_t> held_out;  // numbers of what is not
};

/// The value below which a share of what a kernel that was not seen gives lies, each kernel counting as one however many
/// schedules of it were measured (Dunn, Wasserman, Ramdas: Distribution-free prediction sets for two-layer hierarchical
/// models, 2022).
double quantile(const std::vector<double>& values, const std::vector<Sample>& samples, double share) {
  std::map<uint64_t, double> of_kernel;
  for (const auto& s : samples) of_kernel[s.kernel] += 1;
  std::vector<std::pair<double, double>> weighted;
  for (size_t i = 0; i < values.size(); ++i) weighted.emplace_back(values[i], 1 / of_kernel[samples[i].kernel]);
  std::sort(weighted.begin(), weighted.end());
  double left = share * (static_cast<double>(of_kernel.size()) + 1);
  for (const auto& [value, weight] : weighted)
    if ((left -= weight) <= 0) return value;
  return weighted.back().first;
}

}  // namespace

void CostModel::fit(const std::vector<Sample>& samples, double effort) {
  members_.clear();
  error_ = recent_ = nullptr;
  quantile_ = kUntaughtQuantile;
  const TreeLibrary* library = samples.size() < kLeastSamples ? nullptr : tree_library();
  if (library == nullptr) return;
  const auto folds = folds_of(samples);
  Matrix all;
  for (const auto& s : samples) all.add(s.features.values);
  TreeOptions options;
  options.rounds = std::max(20, static_cast<int>(300 * effort));
  options.rate = effort < 0.6 ? 0.1 : 0.06;
  options.depth = 6;
  std::vector<float> targets, errors(samples.size());
  for (const auto& s : samples) targets.push_back(static_cast<float>(target_of(s)));
  for (size_t m = 0; m < kMembers; ++m) {
    const Fold fold(samples, targets, folds, m);
    if (fold.values.empty()) continue;
    options.seed = seed_ * 31 + m;
    members_.push_back(library->fit(fold.seen, fold.values, {}, options));
    const auto guesses = members_.back()->predict(fold.unseen);
    for (size_t h = 0; h < fold.held_out.size(); ++h)
      errors[fold.held_out[h]] = std::abs(guesses[h] - targets[fold.held_out[h]]);
  }
  // Where it errs how much: again learned, from errors on what was not seen, and judged on what this has not seen either.
  std::vector<float> log_errors;
  for (const float e : errors) log_errors.push_back(std::log(std::max(e, 0.01F)));
  TreeOptions coarse;
  coarse.rounds = 40;
  coarse.depth = 3;
  coarse.least = 20;
  coarse.seed = seed_ * 31 + kMembers;
  std::vector<double> ratios(samples.size());
  for (size_t m = 0; m < kMembers; ++m) {
    const Fold fold(samples, log_errors, folds, m);
    if (fold.values.empty() || fold.held_out.empty()) continue;
    error_ = library->fit(fold.seen, fold.values, {}, coarse);
    const auto expected = errors_of(fold.unseen);
    for (size_t h = 0; h < fold.held_out.size(); ++h) {
      const size_t i = fold.held_out[h];
      ratios[i] = errors[i] / expected[h];
    }
  }
  error_ = library->fit(all, log_errors, {}, coarse);
  quantile_ = quantile(ratios, samples, kCoverage);
}

/// Expected size of the members' error, up to a factor that is the same for all.
std::vector<double> CostModel::errors_of(const Matrix& rows) const {
  std::vector<double> result(rows.rows(), kUntaught);
  if (!error_) return result;
  const auto logs = error_->predict(rows);
  for (size_t i = 0; i < result.size(); ++i) result[i] = std::max(kLeast / 2, std::exp(static_cast<double>(logs[i])));
  return result;
}

void CostModel::refine(const std::vector<Sample>& samples) {
  const TreeLibrary* library = samples.size() < kLeastSamples ? nullptr : tree_library();
  if (library == nullptr) return;
  recent_ = nullptr;
  Matrix rows;
  std::vector<Features> features;
  for (const auto& s : samples) rows.add(s.features.values), features.push_back(s.features);
  const auto known = predict(features);
  std::vector<float> values;
  for (size_t i = 0; i < samples.size(); ++i)
    values.push_back(static_cast<float>(std::log(samples[i].ms / known[i].ms)));
  TreeOptions options;
  options.rounds = 40;
  options.depth = 4;
  options.rate = 0.15;
  options.seed = seed_ * 31 + kMembers + 1;
  recent_ = library->fit(rows, values, {}, options);
  const auto guesses = recent_->predict(rows);
  double squares = 0;
  for (size_t i = 0; i < values.size(); ++i) squares += std::pow(values[i] - guesses[i], 2.0F);
  recent_error_ = 1.5 * std::sqrt(squares / static_cast<double>(values.size()));  // it has seen them
}

Prediction CostModel::predict(const Features& features) const { return predict(std::vector<Features>{features})[0]; }

std::vector<Prediction> CostModel::predict(const std::vector<Features>& features) const {
  if (features.empty()) return {};
  std::vector<double> mean(features.size()), error(features.size(), kUntaught);
  for (size_t i = 0; i < features.size(); ++i) mean[i] = std::log(features[i].rough_ms);
  if (learned()) {
    const Matrix rows = matrix_of(features);
    for (const auto& member : members_) {
      const auto values = member->predict(rows);
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += values[i] / static_cast<double>(members_.size());
    }
    if (error_) error = errors_of(rows);
    if (recent_) {
      const auto values = recent_->predict(rows);
      for (size_t i = 0; i < mean.size(); ++i) {
        mean[i] += values[i];
        if (!error_) error[i] = std::max(kLeast, recent_error_) / 1.2;
      }
    }
  }
  std::vector<Prediction> result;
  for (size_t i = 0; i < mean.size(); ++i) {
    const double roof = features[i].roofline_ms, half = quantile_ * error[i];
    Prediction p;
    p.ms = std::max(roof, std::exp(mean[i]));
    p.low_ms = std::max(roof, std::exp(mean[i] - half));
    p.high_ms = std::max(roof, std::exp(mean[i] + half));
    p.log_error = std::max(kLeast, half / kUntaughtQuantile);
    result.push_back(p);
  }
  return result;
}

std::string CostModel::save() const {
  Json json = {{"features", feature_version()}, {"quantile", quantile_}, {"seed", seed_}};
  const auto packed = [](const Trees& trees) {
    const std::string bytes = trees.save();
    return Json::binary({bytes.begin(), bytes.end()});
  };
  json["members"] = Json::array();
  for (const auto& member : members_) json["members"].push_back(packed(*member));
  if (error_) json["error"] = packed(*error_);
  const auto bytes = Json::to_cbor(json);
  return {bytes.begin(), bytes.end()};
}

CostModel CostModel::load(const std::string& bytes, const std::string& source) {
  try {
    const Json json = Json::from_cbor(bytes);
    CostModel model(json.at("seed").get<uint64_t>());
    if (json.at("features") != feature_version()) return model;
    const TreeLibrary* library = tree_library();
    if (library == nullptr) return model;
    const auto trees = [&](const Json& packed) {
      const auto& binary = packed.get_binary();
      return std::shared_ptr<const Trees>(library->load({reinterpret_cast<const char*>(binary.data()), binary.size()}));
    };
    for (const auto& member : json.at("members")) model.members_.push_back(trees(member));
    if (json.contains("error")) model.error_ = trees(json.at("error"));
    model.quantile_ = json.at("quantile").get<double>();
    return model;
  } catch (const Json::exception& e) {
    throw InputError("'{}' is no cost model: {}", source, e.what());
  }
}

}  // namespace rooftune::estimate
