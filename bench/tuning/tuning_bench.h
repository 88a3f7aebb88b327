// Measurements of schedules that were drawn at random, what the cost model makes of them, and what each part of the search
// is worth. See tuning_bench.cpp for how it is called.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "estimate/cost_model.h"
#include "pipeline/host.h"
#include "tune/database.h"
#include "tune/task_search.h"

namespace rooftune::bench {

/// Words that begin with -- and what follows them; the others in order.
struct Arguments {
  std::map<std::string, std::string> options;
  std::vector<std::string> words;
  std::string text(const std::string& name, const std::string& otherwise) const;
  double number(const std::string& name, double otherwise) const;
};

/// A measured schedule and where it is from. As a line it is what `rooftune database import` reads, with more fields.
struct Row {
  tune::Record record;
  std::string model;
  double flops = 0;     // of the direct algorithm
  double again_ms = 0;  // the slower of two measurements; 0: there was one
};

/// Of tuning data as `collect` writes it.
std::vector<Row> read_rows(const std::vector<std::string>& files);

estimate::Sample sample_of(const Row& row);

/// This machine with as many threads as --threads says.
pipeline::HostTarget target_of(const Arguments& arguments);

/// A model's kernels on this machine, and what features are computed for; nothing guides its searches.
struct Prepared {
  Prepared(const std::string& path, const pipeline::HostTarget& target);
  tune::Workload work;
  tune::Guidance guidance;
};

int collect(const Arguments& arguments);
int refresh(const Arguments& arguments);
int evaluate(const Arguments& arguments);
int ablation(const Arguments& arguments);
int graphs(const Arguments& arguments);

}  // namespace rooftune::bench
