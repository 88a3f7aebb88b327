// A Gaussian process over points: what the values of some tell of the others near them. Values are what remains of the
// logarithm of a point's value after a prior belief, so far from everything told that belief stands.
#pragma once
#include <vector>

#include "search/strategy.h"

namespace rooftune::search {

class GaussianProcess {
 public:
  /// `kind`: the decision whose values make points strangers (Space::kind).
  explicit GaussianProcess(std::string kind) : kind_(std::move(kind)) {}

  /// `deviation`: of the prior belief. How far a point's influence reaches is what explains all values best.
  void fit(const std::vector<Point>& points, const std::vector<double>& residuals, double deviation);
  /// One more, as if `residual` had been seen there; the reach stays.
  void add(const Point& point, double residual);

  /// What is known at a place: of the residual the mean, and the standard deviation as a share of the prior's. `update`
  /// takes in what was added since the last time, which costs little.
  struct Place {
    std::vector<double> position, row;
    Belief belief;
  };
  Place place(const Point& point);
  void update(Place& place) const;

 private:
  std::vector<double> position_of(const Point& point);
  double covariance(const std::vector<double>& a, const std::vector<double>& b) const;
  void append(const std::vector<double>& position, double residual);
  double likelihood() const;  // of the residuals, as a logarithm

  std::string kind_;
  double deviation_ = 1, reach_ = 2;
  std::map<std::string, size_t> axis_of_;  // of each decision ever met
  std::vector<std::vector<double>> positions_;
  std::vector<std::vector<double>> lower_;  // the covariances' Cholesky factor, row by row
  std::vector<double> half_;                // lower_⁻¹ residuals
};

}  // namespace rooftune::search
