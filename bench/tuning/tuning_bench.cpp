// tuning_bench collect MODEL.onnx… --out DATA.jsonl [--per-task 24] [--seed 1] [--threads N]
//     draws legal schedules of every kernel of the models uniformly from its space and measures them, twice.
// tuning_bench refresh MODEL.onnx… --data DATA.jsonl --out DATA2.jsonl [--threads N]
//     computes the features of what was measured anew, after a change of them.
// tuning_bench evaluate DATA.jsonl… [--csv FILE] [--effort 1]
//     leaves out each model in turn, teaches a cost model with the others and predicts the kernels that only this one has.
// tuning_bench ablation MODEL.onnx --tasks 2 --seeds 5 --measurements 96 --out FILE.csv [--transfer DATA.jsonl]
//     latency against number of measurements for each of the presets random, evolutionary, guided, bayesian, and default
//     with the data of other models. Every schedule is measured once, whichever search asks for it first.
// tuning_bench graphs MODEL.onnx… --out GRAPHS.jsonl [--threads N]
//     untuned programs as graphs of kernels, with the measured time of every step and of the whole: what train_network.py
//     learns from.
#include "bench/tuning/tuning_bench.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"

namespace rooftune::bench {

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
  const auto found = options.find(name);
  return found == options.end() ? otherwise : found->second;
}

double Arguments::number(const std::string& name, double otherwise) const {
  const auto found = options.find(name);
  if (found == options.end()) return otherwise;
  double value = 0;
  const auto& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw InputError("--{} must be a number, not '{}'", name, text);
  return value;
}

}  // namespace rooftune::bench

int main(int argc, char** argv) {
  using namespace rooftune;
  bench::Arguments arguments;
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with("--") && i + 1 < argc) arguments.options[word.substr(2)] = argv[++i];
    else arguments.words.push_back(word);
  }
  const std::string what = argc > 1 ? argv[1] : "";
  try {
    if (what == "collect") return bench::collect(arguments);
    if (what == "refresh") return bench::refresh(arguments);
    if (what == "evaluate") return bench::evaluate(arguments);
    if (what == "ablation") return bench::ablation(arguments);
    if (what == "graphs") return bench::graphs(arguments);
    fmt::print(stderr,
               "tuning_bench collect, refresh, evaluate, ablation or graphs: see bench/tuning/tuning_bench.cpp\n");
    return 2;
  } catch (const Error& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return 3;
  }
}
