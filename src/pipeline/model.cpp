#include "pipeline/model.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "estimate/work.h"
#include "frontends/frontend.h"
#include "ir/npy.h"
#include "measure/load.h"
#include "measure/peaks.h"
#include "ops/op.h"
#include "passes/loops.h"
#include "passes/pass.h"
#include "pipeline/free_dims.h"
#include "verify/inputs.h"

namespace rooftune::pipeline {

namespace {

int64_t parse_extent(const std::string& name, const std::string& all, std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > INT32_MAX)
    throw InputError(
        "--dim {0}={1}: must be a whole number of at least 1, a range as in {0}=1..8, or a list as in {0}=16,32", name,
        all);
  return value;
}

/// "8", or "1..8": free within bounds; or "16,32,64", as runtimes take it that pad inputs to the next of these sizes: all
/// sizes up to the largest, of which none is padded here.
ir::Dim parse_dim(const std::string& name, const std::string& text) {
  if (text.find(',') != std::string::npos) {
    int64_t largest = 1;
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      largest = std::max(largest, parse_extent(name, text, std::string_view(text).substr(begin, end - begin)));
      begin = end + 1;
    }
    return largest == 1 ? ir::Dim(1) : ir::Dim::symbol(name, 1, largest);
  }
  const size_t dots = text.find("..");
  if (dots == std::string::npos) return parse_extent(name, text, text);
  const std::string_view all = text;
  const int64_t lo = parse_extent(name, text, all.substr(0, dots)), hi = parse_extent(name, text, all.substr(dots + 2));
  if (lo > hi) throw InputError("--dim {}={}: the lower bound is above the upper", name, text);
  return lo == hi ? ir::Dim(lo) : ir::Dim::symbol(name, lo, hi);
}

}  // namespace

Model load(const Request& request) { return load(request.text("model"), parse_pairs(request.texts("dim"), "--dim")); }

namespace {

/// With those of the dimensions that it has; `known` gets the names of all that it has.
Model load_with(const std::string& path, const std::map<std::string, ir::Dim>& dims, std::set<std::string>& known) {
  const double start = measure::now_seconds();
  Model model;
  model.path = path;
  if (path.ends_with(".rt")) {
    model.program = runtime::load(path);
    model.graph = model.program->graph->clone();
    passes::restore_scans(model.graph);
  } else {
    model.graph = frontends::load_model(path);
    for (auto& name : frontends::input_symbols(model.graph)) known.insert(std::move(name));
    frontends::require_within(model.graph, dims);
    if (!dims.empty()) frontends::substitute_dims(model.graph, dims);
    ops::infer_types(model.graph);
  }
  model.load_ms = (measure::now_seconds() - start) * 1e3;
  return model;
}

std::map<std::string, ir::Dim> parse_dims(const std::map<std::string, std::string>& dims) {
  std::map<std::string, ir::Dim> parsed;
  for (const auto& [name, value] : dims) parsed[name] = parse_dim(name, value);
  return parsed;
}

void require_known(const std::map<std::string, ir::Dim>& dims, const std::set<std::string>& known,
                   const std::string& what) {
  for (const auto& [name, value] : dims)
    if (!known.contains(name))
      throw InputError("--dim {}: no input of {} has a dimension '{}'; its symbolic dimensions are: {}", name, what,
                       name, known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
}

}  // namespace

Model load(const std::string& path, const std::map<std::string, std::string>& dims) {
  if (path.ends_with(".rt") && !dims.empty())
    throw InputError("{} is compiled: its dimensions are fixed, --dim cannot change them", path);
  const auto wanted = parse_dims(dims);
  std::set<std::string> known;
  Model model = load_with(path, wanted, known);
  require_known(wanted, known, path);
  return model;
}

std::pair<Model, Model> load_pair(const std::string& first, const std::string& second,
                                  const std::map<std::string, std::string>& dims) {
  const auto wanted = parse_dims(dims);
  std::set<std::string> known;
  Model a = load_with(first, wanted, known);
  Model b = load_with(second, wanted, known);
  require_known(wanted, known, first + " or " + second);
  return {std::move(a), std::move(b)};
}

void require_bounded(const Model& model) {
  for (ir::ValueId v : model.graph.inputs)
    if (const auto& type = model.graph.type(v); !type.is_tensor())
      throw InputError("{}: input '{}' is of type {}: sequences and optionals cannot be inputs of a compiled model",
                       model.path, model.graph.value(v).name, type.to_string());
  for (ir::ValueId v : model.graph.inputs)
    if (const auto& type = model.graph.type(v);
        type.is_tensor() && type.dtype() == ir::DType::string && !type.is_static() && is_bounded(type))
      throw InputError("{}: input '{}' holds strings, which have no free dimensions: give them as numbers", model.path,
                       model.graph.value(v).name);
  for (ir::ValueId v : model.graph.inputs)
    if (!is_bounded(model.graph.type(v)))
      throw InputError(
          "{}: input '{}' has shape {}: give its free dimensions, as numbers or bounds, for example --dim {}=1..8",
          model.path, model.graph.value(v).name, model.graph.type(v).to_string(),
          frontends::input_symbols(model.graph).empty() ? "name" : frontends::input_symbols(model.graph)[0]);
}

runtime::Program compile(const Model& model, const HostTarget& target, bool fuse, const Precision& precision) {
  if (model.program) {
    if (precision.dtype != ir::DType::f32)
      throw InputError("{} is compiled: its precision is fixed; give the model it was made from", model.path);
    return *model.program;
  }
  require_bounded(model);
  const auto work = workload_of(
      model.graph,
      [&](ir::Graph& graph) {
        if (fuse) passes::run_passes(graph);
        lower_to(graph, precision);
      },
      target, fuse);
  std::vector<tune::Choice> choices;
  for (const auto& task : work.tasks) choices.push_back(tune::first_choice(task, target.machine));
  auto program = tune::assemble(work, choices, *target.make_codegen());
  if (runtime::why_not_here(program).empty()) check_special_sizes(model.graph, program, target.machine.threads);
  return program;
}

std::vector<ir::Tensor> read_inputs(const ir::Graph& graph, const std::vector<std::string>& files, uint64_t seed,
                                    const tune::Size& sizes) {
  auto named = parse_pairs(files, "--input");
  std::vector<ir::Tensor> inputs(graph.inputs.size());
  bool all = true;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& value = graph.value(graph.inputs[i]);
    const auto found = named.find(value.name);
    if (found == named.end()) {
      all = false;
      continue;
    }
    inputs[i] = ir::read_npy(found->second);
    const auto& type = value.type;
    if (inputs[i].dtype() != type.dtype())
      throw InputError("--input {}: {} holds {}, the model takes {}", value.name, found->second,
                       ir::numpy_name(inputs[i].dtype()), ir::numpy_name(type.dtype()));
    if (type.is_static() && inputs[i].shape() != ir::static_values(type.shape()))
      throw InputError("--input {}: {} has shape {}, the model takes {}", value.name, found->second,
                       ir::to_string(ir::to_shape(inputs[i].shape())), ir::to_string(type.shape()));
    named.erase(found);
  }
  if (!named.empty()) {
    std::vector<std::string> names;
    for (ir::ValueId v : graph.inputs) names.push_back(graph.value(v).name);
    throw InputError("--input {}: the model has no such input; it has {}", named.begin()->first,
                     fmt::join(names, ", "));
  }
  if (!all) {
    constexpr uint64_t kZero = 0x9e3779b97f4a7c15;  // InputGenerator takes 0 for none
    verify::InputGenerator generator(graph, seed == 0 ? kZero : seed);
    auto told = sizes_of(graph, inputs);
    told.insert(sizes.begin(), sizes.end());
    generator.set_sizes(told);
    const auto random = generator.next();
    for (size_t i = 0; i < inputs.size(); ++i)
      if (!inputs[i]) inputs[i] = random[i];
  }
  return inputs;
}

Json describe_values(const ir::Graph& graph, const std::vector<ir::ValueId>& values) {
  Json list = Json::array();
  for (ir::ValueId v : values) {
    const auto& value = graph.value(v);
    Json one = {{"name", value.name}, {"type", value.type.to_string()}};
    if (value.type.is_tensor()) {
      one["dtype"] = std::string(ir::name(value.type.dtype()));
      if (value.type.has_rank()) {
        one["shape"] = Json::array();
        for (const auto& d : value.type.shape()) {
          if (d.is_static()) one["shape"].push_back(d.value());
          else one["shape"].push_back(d.to_string());
        }
      }
    }
    list.push_back(one);
  }
  return list;
}

Roof roof_of(const runtime::Program& program, int threads) {
  const auto spec = measure::host_spec(threads);
  Roof roof;
  double arithmetic = 0, direct = 0, bytes = 0;
  auto floor_ms = [&](double seconds, double moved) { return std::max(seconds, spec.transfer_seconds(moved)) * 1e3; };
  for (const auto& step : program.steps) {
    const double seconds = estimate::arithmetic_seconds(step.flops, step.dot_flops, spec);
    roof.step_ms.push_back(floor_ms(seconds, step.bytes));
    arithmetic += seconds;
    // Whatever the direct algorithm's operations are, those that are dot products here are such there.
    direct += step.dot_flops.empty() ? step.direct_flops / spec.peak("f32") : seconds;
  }
  for (const auto& slot : program.slots)
    if (slot.kind == runtime::Slot::Kind::constant || slot.kind == runtime::Slot::Kind::input ||
        slot.kind == runtime::Slot::Kind::output)
      bytes += static_cast<double>(slot.bytes);
  // What all runs must move: weights that a lookup does not touch are not among it, so each step's own count bounds it.
  double touched = 0;
  for (const auto& step : program.steps) touched += step.bytes;
  roof.total_ms = floor_ms(arithmetic, std::min(bytes, touched));
  roof.direct_ms = floor_ms(direct, std::min(bytes, touched));
  return roof;
}

}  // namespace rooftune::pipeline
