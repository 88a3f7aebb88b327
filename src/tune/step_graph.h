// A program, before it runs, as a graph of its kernels: what is known of each, and which reads what which one made. From
// such a graph a network predicts how long the whole takes (pipeline/latency_network.h); kernels measured alone do not say,
// because what one leaves in the caches its neighbours find there.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "estimate/features.h"
#include "estimate/trees.h"
#include "tune/workload.h"

namespace rooftune::tune {

struct StepGraph {
  std::vector<std::string> names;          // of the groups, in the order in which they run
  estimate::Matrix features;               // a row for each, of step_feature_names()
  std::vector<double> rough_ms;            // arithmetic's guess, all its runs in one run of the model
  std::vector<std::pair<int, int>> edges;  // from the step that makes a value to one that reads it, each pair once
};

/// Of the choices (one per task). Steps without a kernel have features of their values only.
StepGraph step_graph(const Workload& workload, const std::vector<Choice>& choices, const estimate::CostTarget& target);

/// Names of the columns; a network made for other columns is of no use.
const std::vector<std::string>& step_feature_names();
/// A short name of all of them together.
std::string step_feature_version();

}  // namespace rooftune::tune
