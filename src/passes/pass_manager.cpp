#include <chrono>
#include <fstream>

#include "base/error.h"
#include "ops/op.h"
#include "passes/pass.h"

namespace rooftune::passes {
namespace {

using ir::Graph;

int count_nodes(const Graph& graph) {
  int count = static_cast<int>(graph.order().size());
  for (ir::NodeId id : graph.order())
    for (const auto& body : ir::bodies(graph.node(id))) count += count_nodes(*body);
  return count;
}

/// Bodies first: what becomes constant or dead inside may free something outside.
bool run_everywhere(Graph& graph, const Pass& pass, PassContext& context) {
  bool changed = false;
  for (ir::NodeId id : std::vector<ir::NodeId>(graph.order()))
    for (const auto& body : ir::bodies(graph.node(id))) changed |= run_everywhere(*body, pass, context);
  return pass.run(graph, context) || changed;
}

/// A pass must leave a well-formed graph whose types still agree; anything else is a bug of that pass.
void check(Graph& graph, const PassRecord& record) {
  try {
    ir::verify(graph);
    if (record.changed) ops::infer_types(graph);
  } catch (const Error& error) {
    throw InternalError("pass {} left an invalid graph: {}", record.name, error.what());
  }
}

void dump(const Graph& graph, const std::filesystem::path& folder, int number, const std::string& name) {
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  const auto path = folder / fmt::format("{:02}_{}.txt", number, name);
  std::ofstream file(path);
  file << ir::print(graph);
  file.close();
  if (!file) throw EnvironmentError("cannot write the pass dump {}: choose a writable folder", path.string());
}

void check_names(const std::vector<Pass>& passes, const std::set<std::string>& names) {
  std::set<std::string> known;
  for (const Pass& pass : passes) known.insert(pass.name);
  for (const std::string& name : names)
    if (!known.count(name)) throw InputError("unknown pass '{}'; the passes are {}", name, fmt::join(known, ", "));
}

}  // namespace

std::vector<PassRecord> run_passes(Graph& graph, const std::vector<Pass>& passes, const PassOptions& options) {
  check_names(passes, options.disabled);
  std::vector<PassRecord> records;
  if (!options.dump_dir.empty()) dump(graph, options.dump_dir, 0, "input");
  for (size_t i = 0; i < passes.size(); ++i) {
    const Pass& pass = passes[i];
    if (options.cancelled && options.cancelled->requested()) break;
    if (options.disabled.count(pass.name)) continue;
    if (options.progress) options.progress(pass.name, static_cast<double>(i) / static_cast<double>(passes.size()));
    PassRecord record{.name = pass.name, .nodes_before = count_nodes(graph)};
    PassContext context{graph, record.notes};
    const auto start = std::chrono::steady_clock::now();
    record.changed = run_everywhere(graph, pass, context);
    record.ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    record.nodes_after = count_nodes(graph);
    check(graph, record);
    if (!options.dump_dir.empty()) dump(graph, options.dump_dir, static_cast<int>(i) + 1, pass.name);
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<PassRecord> run_passes(Graph& graph, const PassOptions& options) {
  return run_passes(graph, all_passes(), options);
}

bool run_pass(Graph& graph, const std::string& name) {
  check_names(all_passes(), {name});
  for (const Pass& pass : all_passes())
    if (pass.name == name) return run_passes(graph, {pass}).front().changed;
  return false;
}

}  // namespace rooftune::passes
