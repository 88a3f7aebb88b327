// From a graph to tuning tasks and back to a program. A task is a kernel that the graph needs, once however often it
// occurs; a choice says by which algorithm and schedule it runs.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codegen/codegen.h"
#include "ir/graph.h"
#include "kernel/space.h"
#include "passes/lower_group.h"
#include "passes/storage.h"
#include "runtime/executable.h"
#include "tune/sizes.h"

namespace rooftune::tune {

/// One algorithm for a task: the kernel as rewritten by it, ready for a schedule.
struct Variant {
  std::string algorithm;  // "direct", "winograd4x4"
  kernel::Kernel kernel;
};

struct Task {
  std::string name;  // of the first group that needs it
  uint64_t key = 0;  // hash of the kernel as lowered: equal kernels share a task
  std::vector<Variant> variants;
  std::vector<size_t> groups;
  double runs = 0;          // in one run of the model: a group in a loop counts as often as that goes round
  double direct_flops = 0;  // operations of the direct algorithm
  double bytes = 0;         // compulsory: every input, constant and output once
};

struct Choice {
  size_t variant = 0;
  kernel::Schedule schedule;
};

/// Constants as packed for kernels: what several programs of a workload need exists once, as long as one of them does.
using PackedConstants = std::map<std::pair<ir::ValueId, std::string>, std::weak_ptr<ir::Storage>>;  // by layout

struct Workload {
  std::shared_ptr<const ir::Graph> graph;
  std::shared_ptr<const ir::Graph> given;  // before loops were flattened: what can be exported
  ir::Partition partition;
  passes::Layouts layouts;
  std::vector<Task> tasks;
  // Per group:
  std::vector<int> task_of_group;                           // -1: runs by its reference or is no work at all
  std::vector<std::string> why_reference;                   // where there is no lowering
  std::map<std::string, std::vector<std::string>> unfused;  // by name of the group: what was not fused into it and why
  std::vector<std::vector<ir::ValueId>> values_of_group;    // per kernel buffer the graph's value
  std::vector<double> runs_of_group;                        // 1, or the iterations of the loop that it stands in
  std::vector<ir::Dim> symbols;                             // of a model with free dimensions …
  std::vector<int64_t> units;                               // … and the steps in which they are taken
  std::map<ir::ValueId, ir::Shape> dims;                    // of the values whose shape depends on them
  // Integer constants whose elements do, where a reference reads them: element by element (the shape that a Reshape is
  // given), or (numbers that count) the first element and the steps along each dim.
  std::map<ir::ValueId, std::vector<ir::Dim>> numbers, steps;
  std::shared_ptr<PackedConstants> packed = std::make_shared<PackedConstants>();
};

/// Flattens loops, partitions a graph, chooses layouts and collects tasks. `fuse` false: every node is a group of its
/// own (LSTM and Scan too, which then run by their references), everything row-major, direct algorithms only (the
/// baseline).
/// `as_it_is`: which 16-bit types contractions multiply without widening them first; none where empty.
Workload make_workload(ir::Graph optimised, const kernel::Machine& machine, bool fuse = true,
                       const passes::MultipliesAsItIs& as_it_is = {});
/// The same for a model with free dimensions, given as it is at each of the sizes. InputError naming the first difference
/// where the models differ in more than sizes.
Workload make_workload(std::vector<ir::Graph> optimised, const Sizes& sizes, const kernel::Machine& machine,
                       bool fuse = true, const passes::MultipliesAsItIs& as_it_is = {});

/// Bytes of the f32 constants of the whole model: what does not fit into a cache comes from outside of it.
size_t weight_bytes(const Workload& workload);

/// The analytical choice for a task.
Choice first_choice(const Task& task, const kernel::Machine& machine);

/// Generates code for the choices (one per task) and lays out the program; its memory is planned.
runtime::Program assemble(const Workload& workload, const std::vector<Choice>& choices, codegen::Codegen& codegen);
/// The same a few tasks at a time; nothing once `stop` says so in between (empty: never).
std::optional<runtime::Program> assemble_unless(const Workload& workload, const std::vector<Choice>& choices,
                                                codegen::Codegen& codegen, const std::function<bool()>& stop);

}  // namespace rooftune::tune
