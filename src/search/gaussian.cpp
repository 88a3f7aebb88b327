#include "search/gaussian.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rooftune::search {
namespace {

constexpr double kNoise = 0.03;  // standard deviation of a measurement's logarithm
constexpr double kCommon = 0.5;  // share of the prior's variance that all points of a space have in common
constexpr double kStranger = 4;  // steps between points of different kinds; no decision is further off
constexpr double kAbsent = 1.5;  // … of which one has a decision and the other has not
constexpr double kReaches[] = {1, 2, 4};

constexpr double kNone = std::numeric_limits<double>::max();  // the place along an axis that a point does not have

/// Decisions are sizes more often than not: 8 is as far from 16 as 16 from 32.
double along(int64_t value) {
  return value < 0 ? -std::log2(1.0 - static_cast<double>(value)) : std::log2(1.0 + static_cast<double>(value));
}

}  // namespace

std::vector<double> GaussianProcess::position_of(const Point& point) {
  std::vector<double> result(axis_of_.size(), kNone);
  for (const auto& [name, value] : point) {
    const size_t axis = axis_of_.try_emplace(name, axis_of_.size()).first->second;
    if (axis >= result.size()) result.resize(axis + 1, kNone);
    result[axis] = name == kind_ ? kStranger * kStranger * static_cast<double>(value) : along(value);
  }
  return result;
}

double GaussianProcess::covariance(const std::vector<double>& a, const std::vector<double>& b) const {
  double squares = 0;
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const double x = i < a.size() ? a[i] : kNone, y = i < b.size() ? b[i] : kNone;
    if (x == y) continue;
    const double steps = x == kNone || y == kNone ? kAbsent : std::min(kStranger, std::abs(x - y));
    squares += steps * steps;
  }
  const double near = std::exp(-0.5 * squares / (reach_ * reach_));
  return deviation_ * deviation_ * (kCommon + (1 - kCommon) * near);
}

GaussianProcess::Place GaussianProcess::place(const Point& point) {
  Place place{position_of(point), {}, {0, deviation_ * deviation_}};
  update(place);
  return place;
}

void GaussianProcess::update(Place& place) const {
  double left = deviation_ * deviation_;
  for (const double r : place.row) left -= r * r;
  for (size_t i = place.row.size(); i < positions_.size(); ++i) {
    double value = covariance(place.position, positions_[i]);
    for (size_t k = 0; k < i; ++k) value -= lower_[i][k] * place.row[k];
    value /= lower_[i][i];
    place.row.push_back(value);
    place.belief.mean += value * half_[i];
    left -= value * value;
  }
  place.belief.deviation = std::sqrt(std::max(left, 0.0)) / deviation_;
}

void GaussianProcess::append(const std::vector<double>& position, double residual) {
  Place place{position, {}, {}};
  update(place);
  double left = deviation_ * deviation_ + kNoise * kNoise;
  for (const double r : place.row) left -= r * r;
  place.row.push_back(std::sqrt(std::max(left, 1e-9)));
  half_.push_back((residual - place.belief.mean) / place.row.back());
  lower_.push_back(std::move(place.row));
  positions_.push_back(position);
}

double GaussianProcess::likelihood() const {
  double sum = 0;
  for (size_t i = 0; i < half_.size(); ++i) sum -= 0.5 * half_[i] * half_[i] + std::log(lower_[i][i]);
  return sum;
}

void GaussianProcess::fit(const std::vector<Point>& points, const std::vector<double>& residuals, double deviation) {
  deviation_ = std::max(deviation, 2 * kNoise);
  std::vector<std::vector<double>> positions;
  for (const auto& p : points) positions.push_back(position_of(p));
  double best = 0, best_reach = 0;
  const auto with = [&](double reach) {
    reach_ = reach;
    positions_.clear(), lower_.clear(), half_.clear();
    for (size_t i = 0; i < positions.size(); ++i) append(positions[i], residuals[i]);
    return likelihood();
  };
  for (const double reach : kReaches)
    if (const double l = with(reach); best_reach == 0 || l > best) best = l, best_reach = reach;
  if (reach_ != best_reach) with(best_reach);
}

void GaussianProcess::add(const Point& point, double residual) { append(position_of(point), residual); }

}  // namespace rooftune::search
