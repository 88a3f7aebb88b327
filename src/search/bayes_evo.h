// Evolution on beliefs, measurement by expected gain. Generations are bred and selected by what is believed of them (a
// prior, corrected near every point told by a Gaussian process), which costs no measurement; of all that were bred those
// are asked whose expected improvement over the best is largest, each as if the ones before it had been told what was
// believed, and a share of those of which least is known.
#pragma once
#include "search/evolutionary.h"
#include "search/gaussian.h"

namespace rooftune::search {

class BayesEvo : public Evolutionary {
 public:
  BayesEvo(Space space, const Options& options);
  std::vector<Point> ask(int n) override;
  void tell(const Point& point, double value) override;

 private:
  struct Bred {
    Point point;
    Belief prior, belief;
    GaussianProcess::Place place;
    double gain = 0;
    bool asked = false;
  };
  std::vector<Bred> breed(int n);
  void learn();
  void believe(Bred& bred) const;
  std::vector<Belief> prior_of(const std::vector<Point>& points) const;

  std::vector<std::pair<Point, double>> told_;  // logarithms of values, in order of tells
  std::vector<Belief> told_prior_;              // as of the last time that the prior was asked
  GaussianProcess process_;
  double best_ = 0, mean_ = 0, spread_ = 1;  // of the logarithms told
};

}  // namespace rooftune::search
