#include "pipeline/free_dims.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "frontends/frontend.h"
#include "ops/op.h"
#include "runtime/executable.h"
#include "verify/compare.h"
#include "verify/inputs.h"

namespace rooftune::pipeline {
namespace {

/// The free symbols of the inputs, each once.
std::vector<ir::Dim> symbols_of(const ir::Graph& graph) {
  std::vector<ir::Dim> symbols;
  for (ir::ValueId v : graph.inputs) {
    if (!is_bounded(graph.type(v))) continue;
    for (const auto& dim : graph.type(v).shape())
      if (const auto names = dim.symbols(); names.size() == 1)
        if (dim == ir::Dim::symbol(names[0], dim.min(), dim.max()) &&
            std::find(symbols.begin(), symbols.end(), dim) == symbols.end())
          symbols.push_back(dim);
  }
  return symbols;
}

bool deterministic(const ir::Graph& graph) {
  for (const ir::NodeId id : graph.order()) {
    if (!ops::Catalogue::instance().at(graph.node(id)).deterministic) return false;
    for (const auto& body : ir::bodies(graph.node(id)))
      if (!deterministic(*body)) return false;
  }
  return true;
}

}  // namespace

std::string to_string(const tune::Size& size) {
  std::string text;
  for (const auto& [name, value] : size) text += (text.empty() ? "" : ", ") + name + "=" + value.to_string();
  return text;
}

bool is_bounded(const ir::Type& type) {
  return type.is_tensor() && type.has_rank() &&
         std::all_of(type.shape().begin(), type.shape().end(),
                     [](const auto& d) { return d.is_static() || d.max() <= INT32_MAX; });
}

bool has_free_dims(const ir::Graph& graph) {
  return std::any_of(graph.inputs.begin(), graph.inputs.end(),
                     [&](ir::ValueId v) { return is_bounded(graph.type(v)) && !graph.type(v).is_static(); });
}

ir::Graph at_largest(const ir::Graph& graph) {
  ir::Graph result = graph.clone();
  tune::Size largest;
  for (const auto& symbol : symbols_of(graph)) largest[symbol.symbols()[0]] = symbol.max();
  if (largest.empty()) return result;
  frontends::substitute_dims(result, largest);
  ops::infer_types(result);
  return result;
}

namespace {

/// The graph with its free dimensions at a size. InputError where the model does not take it.
ir::Graph at_size(const ir::Graph& graph, const tune::Size& size) {
  ir::Graph result = graph.clone();
  if (size.empty()) return result;
  frontends::substitute_dims(result, size);
  ops::infer_types(result);
  return result;
}

/// Models that cut images into patches, or halve them five times and put the halves together again, take sizes in steps
/// only: per symbol the smallest unit for which the model takes its twins, while the other symbols are at their largest.
std::map<std::string, int64_t> units_of(const ir::Graph& graph) {
  std::map<std::string, int64_t> units;
  for (const auto& symbol : symbols_of(graph)) {
    const std::string name = symbol.symbols()[0];
    for (const int64_t unit : {1, 2, 4, 8, 16, 32, 64}) {
      const auto sizes = tune::sizes_of(graph, {{name, unit}});
      const bool taken = std::all_of(sizes.at.begin(), sizes.at.end(), [&](const tune::Size& twin) {
        tune::Size size = sizes.at[0];
        size[name] = twin.at(name);
        try {
          at_size(graph, size);
          return true;
        } catch (const InputError&) {
          return false;
        }
      });
      if (taken) {
        units[name] = unit;
        break;
      }
    }
  }
  return units;
}

}  // namespace

tune::Workload workload_of(const ir::Graph& graph, const std::function<void(ir::Graph&)>& passes,
                           const HostTarget& target, bool fuse) {
  const auto sizes = tune::sizes_of(graph, units_of(graph));
  std::vector<ir::Graph> graphs;
  for (const auto& size : sizes.at) {
    graphs.push_back(at_size(graph, size));
    passes(graphs.back());
  }
  const auto& extensions = target.cpu.extensions;
  const bool bf16 = std::find(extensions.begin(), extensions.end(), "avx512bf16") != extensions.end();
  return tune::make_workload(std::move(graphs), sizes, target.machine, fuse,
                             [bf16](ir::DType dtype) { return bf16 && dtype == ir::DType::bf16; });
}

tune::Size sizes_of(const ir::Graph& graph, const std::vector<ir::Tensor>& inputs) {
  tune::Size sizes;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i] || !graph.type(graph.inputs[i]).has_rank()) continue;
    const auto& shape = graph.type(graph.inputs[i]).shape();
    for (size_t d = 0; d < shape.size() && d < inputs[i].shape().size(); ++d)
      if (const auto names = shape[d].symbols(); names.size() == 1 && shape[d].max() <= INT32_MAX)
        if (shape[d] == ir::Dim::symbol(names[0], shape[d].min(), shape[d].max()))
          sizes.try_emplace(names[0], inputs[i].shape()[d]);
  }
  return sizes;
}

std::vector<tune::Size> special_sizes(const ir::Graph& graph) {
  const auto symbols = symbols_of(graph);
  std::vector<tune::Size> sizes;
  if (symbols.empty()) return sizes;
  for (size_t alone = symbols.size() == 1 ? 1 : 0; alone <= symbols.size(); ++alone) {  // the last: all
    tune::Size size;
    for (size_t s = 0; s < symbols.size(); ++s) {
      const int64_t smallest = std::max<int64_t>(1, symbols[s].min());
      size[symbols[s].symbols()[0]] =
          alone == s || alone == symbols.size() ? smallest : std::min(symbols[s].max(), smallest + 2);
    }
    sizes.push_back(std::move(size));
  }
  tune::Size middle;  // of the range, geometrically: the references must not take long
  for (const auto& symbol : symbols)
    middle[symbol.symbols()[0]] = static_cast<int64_t>(
        std::sqrt(static_cast<double>(std::max<int64_t>(1, symbol.min())) * static_cast<double>(symbol.max())));
  sizes.push_back(std::move(middle));
  return sizes;
}

void check_special_sizes(const ir::Graph& graph, const runtime::Program& program, int threads) {
  // Wide enough for any rounding: what is looked for is another computation.
  constexpr verify::Tolerance kSameComputation{1e-2, 0.1};
  if (!has_free_dims(graph) || !deterministic(graph)) return;
  const runtime::Executable executable(program, threads);
  const auto context = executable.make_context(threads);
  context->litter();  // as a run of another size leaves it
  verify::InputGenerator generator(graph, 1);
  bool checked = false;
  for (auto size : special_sizes(graph)) {
    for (size_t s = 0; s < program.symbols.size(); ++s) {  // the next that is taken
      auto& dim = size[program.symbols[s].symbols()[0]];
      dim = program.symbols[s].max() - (program.symbols[s].max() - dim.value()) / program.units[s] * program.units[s];
    }
    generator.set_sizes(size);
    const auto inputs = generator.next();
    std::vector<ir::Tensor> expected, got;
    try {
      expected = ops::evaluate(graph, inputs);
    } catch (
        const InputError& e) {  // no size of the model (an image smaller than a window): the program must know, too
      try {
        got.clear();
        executable.run(*context, inputs, got);
      } catch (const InputError&) {
        continue;
      }
      throw InputError("the model does not take {} ({}): leave that size out of the bounds", to_string(size), e.what());
    }
    checked = true;
    std::string why;
    try {
      got.clear();
      executable.run(*context, inputs, got);
      why = verify::compare(verify::output_names(graph), got, expected).why_not(kSameComputation);
    } catch (const std::exception& e) {
      why = e.what();
    }
    if (!why.empty())
      throw InputError(
          "the model is another at {} than at larger sizes ({}): leave that size out of the bounds, or give "
          "the dimensions as numbers",
          to_string(size), why);
  }
  if (!checked)
    throw InputError("the model takes none of the smallest sizes, {}: raise the lower bounds to what it takes",
                     to_string(special_sizes(graph)[0]));
}

}  // namespace rooftune::pipeline
