// Data that users hand in: an .npz with one array per model input, of one sample or of many.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace rooftune::pipeline {

/// The arrays of an .npz (numpy.savez or savez_compressed) by name. InputError naming the file and the array at fault.
std::map<std::string, ir::Tensor> read_npz(const std::string& path);

/// What a file of samples holds.
struct Data {
  std::vector<std::vector<ir::Tensor>> samples;  // each with one tensor per graph input
  std::vector<int64_t> labels;                   // the right classes, sample after sample; empty: none are given
};

/// An input that takes shape S may be given as S (one sample), as [N, …S] (N samples), or with N times its first dimension.
/// An array `labels` of integers, where the model has no input of that name, holds the right classes, as many for each
/// sample. InputError naming an array that is missing, not an input, of another type or shape, or with another number of
/// samples than the others.
Data read_data(const ir::Graph& graph, const std::string& path);

}  // namespace rooftune::pipeline
