// How long a whole model will take, said by a network over the graph of its kernels (tune/step_graph.h). The network is an
// ONNX model that bench/tuning/train_network.py trains; it is compiled and run here like any other model.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "pipeline/host.h"
#include "tune/step_graph.h"

namespace rooftune::pipeline {

/// Where the network for this kind of graph lies ("predictors/cpu-<columns>.onnx" in the registry); nothing where the
/// registry has none.
std::optional<std::string> latency_network_file();

/// Milliseconds of every step of a program, in the order of the graph. InputError where `file` is no such network.
std::vector<double> predict_step_ms(const std::string& file, const tune::StepGraph& graph, const HostTarget& target);

/// Of the program that these choices make, by latency_network_file(); nothing without one.
std::optional<double> predict_model_ms(const tune::Workload& workload, const std::vector<tune::Choice>& choices,
                                       const HostTarget& target);

}  // namespace rooftune::pipeline
